"""Training text: Jane Austen's six novels, read from Debian's package of them.

The novels are in the public domain; the package ``r-cran-janeaustenr`` carries them as an R
lazy-load database, which is read here without R. ``apt-get download r-cran-janeaustenr`` fetches
the package (1.6 MB); nothing here reaches the network.
"""

import io
import lzma
import tarfile
import warnings
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import cast

import numpy as np

from tritforge.accel.errors import InputError

#: The last part of every book is held out.
HELD_OUT_SHARE = 0.05
BOOKS = (
    "sensesensibility",
    "prideprejudice",
    "mansfieldpark",
    "emma",
    "northangerabbey",
    "persuasion",
)
_DATA = "usr/lib/R/site-library/janeaustenr/data/Rdata"


@dataclass(frozen=True, kw_only=True)
class Split:
    """Training and held-out text.

    Attributes
    ----------
    train, held_out
        All books' first 95 % and last 5 % of characters, in the order of `BOOKS`.
    """

    train: str
    held_out: str

    @property
    def held_out_sha256(self) -> str:
        """Hash of the held-out text in UTF-8: names the split in a model card."""
        return sha256(self.held_out.encode()).hexdigest()


def read_novels(package: Path) -> dict[str, str]:
    """Read the novels from ``r-cran-janeaustenr_*.deb`` or from an installed file system's root.

    Parameters
    ----------
    package
        The ``.deb`` file, or a folder that holds ``usr/lib/R/...`` (``/`` once it is installed).

    Returns
    -------
    dict
        Text by name of the book (`BOOKS`), lines joined by a newline.

    Raises
    ------
    InputError
        The file is not that package.
    """
    index, database = _database(package)
    novels = {}
    for name, (offset, length) in _entries(index).items():
        # Each record: size of the plain data (4 bytes, big-endian), then a zlib stream.
        lines = _from_r(zlib.decompress(database[offset + 4 : offset + length]))
        novels[name] = "\n".join(map(str, cast("np.ndarray[tuple[int], np.dtype[np.str_]]", lines)))
    missing = [book for book in BOOKS if book not in novels]
    if missing:
        raise InputError(f"{package}: lacks the novels {', '.join(missing)}")
    return novels


def split(novels: Mapping[str, str]) -> Split:
    """Hold out the last `HELD_OUT_SHARE` of every book."""
    cut = {name: len(novels[name]) - int(len(novels[name]) * HELD_OUT_SHARE) for name in BOOKS}
    return Split(
        train="\n".join(novels[name][: cut[name]] for name in BOOKS),
        held_out="\n".join(novels[name][cut[name] :] for name in BOOKS),
    )


def _database(package: Path) -> tuple[bytes, bytes]:
    if package.is_dir():
        base = package / _DATA
        return base.with_suffix(".rdx").read_bytes(), base.with_suffix(".rdb").read_bytes()
    member = _ar_member(package, "data.tar.xz")
    with tarfile.open(fileobj=io.BytesIO(lzma.decompress(member))) as tar:
        files = [tar.extractfile(f"./{_DATA}{suffix}") for suffix in (".rdx", ".rdb")]
    contents = [file.read() for file in files if file is not None]
    return contents[0], contents[1]


def _ar_member(archive: Path, name: str) -> bytes:
    """Return one member of a Unix archive, the container of a .deb (60-byte headers, even offsets)."""
    data = archive.read_bytes()
    position = 8
    while data.startswith(b"!<arch>\n") and position + 60 <= len(data):
        header = data[position : position + 60]
        size = int(header[48:58])
        if header[:16].decode("ascii").strip(" /") == name:
            return data[position + 60 : position + 60 + size]
        position += 60 + size + size % 2
    raise InputError(f"{archive}: not a Debian package with a member {name}")


def _entries(index: bytes) -> dict[str, tuple[int, int]]:
    variables = cast("dict[str, dict[str, tuple[int, int]]]", _from_r(index))["variables"]
    return {str(name): (int(offset), int(length)) for name, (offset, length) in variables.items()}


def _from_r(serialised: bytes) -> object:
    from rdata.conversion import convert
    from rdata.parser import parse_data

    with warnings.catch_warnings():
        # Records of a lazy-load database carry no file magic; the parser says that it assumes one.
        warnings.filterwarnings("ignore", message="Unknown file type: assumed RDS")
        return cast("object", convert(parse_data(serialised)))
