"""Files that are there whole or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from errno import EISDIR
from os import strerror
from pathlib import Path
from shutil import rmtree
from tempfile import NamedTemporaryFile, mkdtemp

from tritforge.accel.errors import InputError


@contextmanager
def _refusing(path: Path) -> Iterator[None]:
    """Make the parent folders of a path, and turn what keeps it from being written into one line."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror or error}; choose another path") from error


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write a file so that a reader sees the old content or the new one, never a part.

    Missing parent folders are made.

    Raises
    ------
    InputError
        The path cannot be written.
    """
    data = content.encode() if isinstance(content, str) else content
    with _refusing(path), NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
        partial = Path(file.name)
        try:
            file.write(data)
            file.flush()
            partial.chmod(0o644)
            partial.replace(path)
        finally:
            # After an error or an interruption; otherwise it has its place by now.
            partial.unlink(missing_ok=True)


def user_cache(kind: str) -> Path:
    """Return the folder of this machine's user for what can be made again, such as ``simulators``."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if base else Path.home() / ".cache") / "tritforge" / kind


def check_writable(path: Path) -> None:
    """Refuse a path that cannot be written, before the long work whose result it is for.

    Missing parent folders are made.

    Raises
    ------
    InputError
        The path cannot be written.
    """
    with _refusing(path):
        if path.is_dir():
            raise IsADirectoryError(EISDIR, strerror(EISDIR))
        with NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}."):
            pass


@contextmanager
def staged(path: Path, *, replace: bool = False) -> Iterator[Path]:
    """Yield a path beside another, to write a file or a folder to; at the end it takes the other's place.

    Whatever ends the block early, an interruption included, nothing is left of it, nor of parent folders that were
    missing.

    Parameters
    ----------
    path
        Where the result is to lie.
    replace
        Whether it may take the place of what lies there.

    Raises
    ------
    InputError
        Something lies there, or the path cannot be written.
    """
    refuse_existing(path, replace=replace)
    missing = [folder for folder in path.parents if not folder.exists()]
    with _refusing(path):
        beside = Path(mkdtemp(dir=path.parent, prefix=f".{path.name}."))
        try:
            yield beside / path.name
            refuse_existing(path, replace=replace)
            _take_place(beside, path)
            missing.clear()
        finally:
            rmtree(beside, ignore_errors=True)
            for folder in missing:
                with suppress(OSError):
                    folder.rmdir()


def _take_place(beside: Path, path: Path) -> None:
    """Move ``beside/NAME`` to its path, with what lies there out of the way; put that back where this fails."""
    new, old = beside / path.name, beside / "replaced"
    if new.is_dir() or path.is_dir():
        if path.exists():
            path.rename(old)
        try:
            new.rename(path)
        except OSError:
            if old.exists():
                old.rename(path)
            raise
    else:
        new.replace(path)


def refuse_existing(path: Path, *, replace: bool = False) -> None:
    """Refuse a path at which something lies, unless that may be replaced.

    Raises
    ------
    InputError
        Something lies there.
    """
    if not replace and (path.exists() or path.is_symlink()):
        raise InputError(f"{path} exists; choose another path, or replace it by force")
