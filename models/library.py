"""Models that come with the package, by name."""

from pathlib import Path
from typing import TYPE_CHECKING

from tritforge.accel.errors import InputError

if TYPE_CHECKING:
    from tritforge.models.checkpoint import Checkpoint

_DATA = Path(__file__).parent / "data"
_WEIGHTS = "model.safetensors"
_HELD_OUT = "held_out.txt"


def names() -> tuple[str, ...]:
    """Names of the shipped models, sorted."""
    return tuple(sorted(path.parent.name for path in _DATA.glob(f"*/{_WEIGHTS}")))


def find(name_or_path: str | Path) -> Path:
    """Return the weights' file of a shipped model, or of a file's or folder's path.

    A folder must hold ``model.safetensors``. A shipped name comes first: a folder called ``austen`` is
    reached as ``./austen``.

    Raises
    ------
    InputError
        Neither a shipped model nor a path that exists.
    """
    if str(name_or_path) in names():
        return _DATA / str(name_or_path) / _WEIGHTS
    path = Path(name_or_path)
    if path.is_dir() and (path / _WEIGHTS).is_file():
        return path / _WEIGHTS
    if path.is_dir():
        raise InputError(f"the folder {path} holds no {_WEIGHTS}; give a file or another folder")
    if path.is_file():
        return path
    known = ", ".join(names()) or "none"
    raise InputError(
        f"unknown model {str(name_or_path)!r}: it is neither a shipped model ({known}) "
        f"nor the path of a safetensors file or of a folder that holds {_WEIGHTS}"
    )


def load_model(name_or_path: str | Path) -> "Checkpoint":
    """Load a model by its shipped name or by a path, verified.

    Raises
    ------
    InputError
        No such model, or its file is damaged.
    """
    from tritforge.models.checkpoint import Checkpoint

    return Checkpoint.load(find(name_or_path))


def has_held_out_text(name_or_path: str | Path) -> bool:
    """Whether a model comes with text that it was not trained on.

    Raises
    ------
    InputError
        No such model.
    """
    return find(name_or_path).with_name(_HELD_OUT).is_file()


def held_out_text(name_or_path: str | Path) -> str:
    """Text that a model was not trained on: ``held_out.txt`` beside its weights.

    Raises
    ------
    InputError
        No such model, or it comes without that text.
    """
    path = find(name_or_path).with_name(_HELD_OUT)
    if not path.is_file():
        raise InputError(f"{path} does not exist: put the text to run beside the model's weights")
    try:
        # Bytes, since reading as text would turn every kind of line end into one.
        return path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: byte {error.start} is not UTF-8") from error
