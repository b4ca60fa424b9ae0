"""Files read piece by piece."""

import os
import re
from pathlib import Path

import pytest

from tritforge.accel.errors import InputError
from tritforge.models.regular_file import RegularFile


def test_bytes_are_read_from_their_place_as_far_as_there_are_any(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(range(10)))
    buffer = bytearray(4)
    with RegularFile(path) as file:
        assert file.size == 10
        assert (file.fill(memoryview(buffer), 3), bytes(buffer)) == (4, b"\x03\x04\x05\x06")
        assert (file.fill(memoryview(buffer), 8), bytes(buffer)) == (2, b"\x08\x09\x05\x06")
        assert file.fill(memoryview(buffer), 99) == 0


def test_what_cannot_be_read_is_refused_in_one_line(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for path, why in (
        (tmp_path / "none", "No such file or directory"),
        (tmp_path, "Is a directory"),
        (pipe, "it is not a regular file; give a checkpoint's file"),
        (Path("nul\0"), "embedded null byte"),
    ):
        with pytest.raises(InputError, match=f"^{re.escape(f'cannot read {path}: {why}')}$"):
            RegularFile(path)
