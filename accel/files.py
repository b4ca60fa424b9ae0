"""Files that are there whole or not at all."""

from errno import EISDIR
from os import strerror
from pathlib import Path
from tempfile import NamedTemporaryFile

from tritforge.accel.errors import InputError


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write a file so that a reader sees the old content or the new one, never a part.

    Missing parent folders are made.

    Raises
    ------
    InputError
        The path cannot be written.
    """
    data = content.encode() if isinstance(content, str) else content
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
            partial = Path(file.name)
            try:
                file.write(data)
                file.flush()
                partial.chmod(0o644)
                partial.replace(path)
            except OSError:
                partial.unlink(missing_ok=True)
                raise
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror or error}; choose another path") from error


def check_writable(path: Path) -> None:
    """Refuse a path that cannot be written, before the long work whose result it is for.

    Missing parent folders are made.

    Raises
    ------
    InputError
        The path cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            raise IsADirectoryError(EISDIR, strerror(EISDIR))
        with NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}."):
            pass
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror or error}; choose another path") from error
