"""Open files that are read piece by piece at their places."""

import os
import stat
from pathlib import Path
from types import TracebackType
from typing import Self

from tritforge.accel.errors import InputError


class RegularFile:
    """An open file, read when bytes are asked for and not mapped into memory.

    A mapped file that is cut short meanwhile kills the process, and its pages that were read count as memory used.

    Parameters
    ----------
    path
        The file.

    Attributes
    ----------
    path
        As it was given.
    size
        Bytes that it had when it was opened.

    Raises
    ------
    InputError
        It cannot be read, or is no regular file: opening a pipe would wait for someone to write to it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            if not stat.S_ISREG(path.stat().st_mode) and not path.is_dir():
                raise InputError(f"cannot read {path}: it is not a regular file; give a checkpoint's file")
            self._file = path.open("rb", buffering=0)
        except (OSError, ValueError) as error:
            if isinstance(error, InputError):
                raise
            reason = error.strerror if isinstance(error, OSError) else None
            raise InputError(f"cannot read {path}: {reason or error}") from error
        self.size = os.fstat(self._file.fileno()).st_size

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; nothing can be read afterwards."""
        self._file.close()

    def fill(self, buffer: memoryview, offset: int) -> int:
        """Read into a buffer from a place on, and return how many bytes there were: fewer only at the file's end.

        Raises
        ------
        InputError
            The file cannot be read.
        """
        done = 0
        try:
            self._file.seek(offset)
            # An operating system may return less than was asked for.
            while done < len(buffer) and (got := self._file.readinto(buffer[done:])):
                done += got
        except OSError as error:
            raise InputError(f"cannot read {self.path}: {error.strerror or error}") from error
        return done
