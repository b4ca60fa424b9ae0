"""Models by name, those that come with the package, or by path."""

from pathlib import Path
from typing import TYPE_CHECKING

from tritforge.accel.errors import InputError

if TYPE_CHECKING:
    from tritforge.models.checkpoint import Checkpoint

_DATA = Path(__file__).parent / "data"
_WEIGHTS = "model.safetensors"
_HELD_OUT = "held_out.txt"
#: Files, one of which every folder of a checkpoint has: the project's own, Hugging Face's, an image bundle's.
_FIRST_FILES = (_WEIGHTS, "config.json", "manifest.json")


def names() -> tuple[str, ...]:
    """Names of the shipped models, sorted."""
    return tuple(sorted(path.parent.name for path in _DATA.glob(f"*/{_WEIGHTS}")))


def find(name_or_path: str | Path) -> Path:
    """Return a file of a shipped model, or of a checkpoint's file or folder: what belongs to it lies beside.

    A shipped name comes first: a folder called ``austen`` is reached as ``./austen``.

    Raises
    ------
    InputError
        Neither a shipped model nor a path at which a checkpoint may lie.
    """
    if str(name_or_path) in names():
        return _DATA / str(name_or_path) / _WEIGHTS
    path = Path(name_or_path)
    if str(name_or_path) and path.is_dir():
        for name in _FIRST_FILES:
            if (path / name).is_file():
                return path / name
        refuse_gguf_folder(path)
        raise InputError(
            f"the folder {path} holds none of {', '.join(_FIRST_FILES)}; give a file or another folder"
        )
    if str(name_or_path) and path.exists():
        return path
    from tritforge.models.shapes import is_shape

    known = ", ".join(names()) or "none"
    if is_shape(str(name_or_path)):
        raise InputError(
            f"model {str(name_or_path)!r} is a shape, which has no weights; give a shipped model ({known}), the path "
            f"of a checkpoint, or to cosim --shape {name_or_path}"
        )
    raise InputError(
        f"unknown model {str(name_or_path)!r}: it is neither a shipped model ({known}) "
        "nor the path of a checkpoint's file or folder"
    )


def refuse_gguf_folder(path: Path) -> None:
    """Refuse a folder of GGUF files, each of which is a checkpoint by itself.

    Raises
    ------
    InputError
        It holds one; the message names it.
    """
    files = sorted(path.glob("*.gguf"))
    if files:
        raise InputError(f"the folder {path} holds GGUF files; give one of them, such as {files[0]}")


def load_model(name_or_path: str | Path) -> "Checkpoint":
    """Load a model by its shipped name or by the path of a checkpoint of any format.

    A shipped model is read and verified whole; of another one, each matrix and tensor when it is first used.

    Raises
    ------
    InputError
        No such model, or its file is damaged.
    """
    from tritforge.models.checkpoint import Checkpoint
    from tritforge.models.formats import open_checkpoint

    path = find(name_or_path)
    if str(name_or_path) in names():
        return Checkpoint.load(path)
    return open_checkpoint(name_or_path).checkpoint()


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
