"""Files that are there whole or not at all."""

from collections.abc import Iterator
from contextlib import contextmanager
from errno import EISDIR
from os import strerror
from pathlib import Path
from tempfile import NamedTemporaryFile

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
        except OSError:
            partial.unlink(missing_ok=True)
            raise


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
