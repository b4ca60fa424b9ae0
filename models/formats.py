"""Opening a checkpoint of any format: what it is follows from its content, and what is not certain is refused."""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tritforge.accel.errors import InputError
from tritforge.models import library

if TYPE_CHECKING:
    from tritforge.models.gguf_reader import I2sLayout
    from tritforge.models.reader import CheckpointReader

Format = Literal["native", "huggingface", "gguf", "image"]
#: Files that say what a folder is.
_CONFIG, _MANIFEST, _WEIGHTS = "config.json", "manifest.json", "model.safetensors"
_GGUF = b"GGUF"
#: Metadata entry of the project's own files.
_NATIVE_ENTRY = "tritforge"


def detect(path: str | Path) -> tuple[Format, Path]:
    """Return the format of a checkpoint, and the file or folder that its reader takes.

    Parameters
    ----------
    path
        A shipped name; a folder with ``config.json`` (Hugging Face), with ``manifest.json`` (an image bundle) or with
        ``model.safetensors`` of the project's own; a GGUF file or a file of the project's own.

    Raises
    ------
    InputError
        Nothing lies there, or nothing that can be read, or it might be two things; the message says what to give.
    """
    if str(path) in library.names():
        return "native", library.find(path)
    path = Path(path)
    if not path.exists():
        shipped = ", ".join(library.names())
        raise InputError(
            f"{path} does not exist; give a checkpoint's file or folder, or a shipped model ({shipped})"
        )
    return _folder(path) if path.is_dir() else (_file(path), path)


def _folder(path: Path) -> tuple[Format, Path]:
    found = [name for name in (_CONFIG, _MANIFEST) if (path / name).is_file()]
    if len(found) == 2:
        raise InputError(f"the folder {path} holds {_CONFIG} and {_MANIFEST}; move one of them away")
    if found == [_MANIFEST]:
        return "image", path
    if found == [_CONFIG]:
        return "huggingface", path
    if (path / _WEIGHTS).is_file() and _file(path / _WEIGHTS) == "native":
        return "native", path / _WEIGHTS
    library.refuse_gguf_folder(path)
    raise InputError(
        f"the folder {path} is no checkpoint: it holds neither {_CONFIG} nor {_MANIFEST} nor {_WEIGHTS} of TritForge"
    )


def _file(path: Path) -> Format:
    from tritforge.models.safetensors_file import SafetensorsFile

    if path.name in {_CONFIG, _MANIFEST} or path.name.endswith(".safetensors.index.json"):
        raise InputError(f"{path} is a part of a checkpoint; give its folder, {path.parent}")
    try:
        # A pipe would wait for what never comes; the reader refuses it by name.
        start = b""
        if path.is_file():
            with path.open("rb") as file:
                start = file.read(len(_GGUF))
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    if start == _GGUF:
        return "gguf"
    # Pickles and other files are refused here, each with what it is.
    with SafetensorsFile(path) as tensors:
        if _NATIVE_ENTRY in tensors.metadata:
            return "native"
    hint = f"give its folder, {path.parent}" if (path.parent / _CONFIG).is_file() else f"{_CONFIG} is missing"
    raise InputError(f"{path} holds tensors but not the model's configuration; {hint}")


def open_checkpoint(
    path: str | Path, *, i2s_layout: "I2sLayout | None" = None, quantise: bool = False
) -> "CheckpointReader":
    """Open a checkpoint of any format.

    Parameters
    ----------
    path
        A shipped name or a path; see `detect`.
    i2s_layout
        Of the ``i2_s`` tensors of a GGUF file: which build of bitnet.cpp wrote it. The file does not say.
    quantise
        Make ternary weights of a Hugging Face checkpoint's float masters (absmean).

    Raises
    ------
    InputError
        It cannot be read, is damaged, or is of another format than an option is for.
    """
    kind, place = detect(path)
    if i2s_layout is not None and kind != "gguf":
        raise InputError(
            f"{path} is no GGUF file, and the layout {i2s_layout} of i2_s is for those; leave it out"
        )
    if quantise and kind != "huggingface":
        raise InputError(
            f"{path} has ternary weights; only float weights of a Hugging Face checkpoint are quantised"
        )
    if kind == "native":
        from tritforge.models.native import NativeReader

        return NativeReader(place)
    if kind == "huggingface":
        from tritforge.models.huggingface import HuggingFaceReader

        return HuggingFaceReader(place, quantise=quantise)
    if kind == "gguf":
        from tritforge.models.gguf_reader import GgufReader

        return GgufReader(place, i2s_layout=i2s_layout)
    from tritforge.models.image_bundle import ImageReader

    return ImageReader(place)
