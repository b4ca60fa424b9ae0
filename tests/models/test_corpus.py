"""The novels and their split."""

import re
from hashlib import sha256
from pathlib import Path

import pytest

from tritforge.accel.errors import InputError
from tritforge.models.corpus import BOOKS, read_novels, split


def test_the_last_twentieth_of_every_book_is_held_out() -> None:
    novels = {book: "".join(f"{book[:2]}{at:04}" for at in range(100)) for book in BOOKS}
    found = split(novels)
    assert found.held_out == "\n".join(text[-30:] for text in novels.values())
    assert found.train == "\n".join(text[:-30] for text in novels.values())
    assert found.held_out_sha256 == sha256(found.held_out.encode()).hexdigest()


@pytest.mark.parametrize("content", [b"", b"!<arch>\n", b"PK\3\4 something else", b"!<arch>\n" + b"x" * 20])
def test_a_file_that_is_not_the_package_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "novels.deb"
    path.write_bytes(content)
    message = f"{path}: not a Debian package with a member data.tar.xz"
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        read_novels(path)
