"""The safetensors files of a Hugging Face checkpoint, one or several, as one set of tensors."""

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tritforge.accel.errors import InputError
from tritforge.models.safetensors_file import SafetensorsFile, TensorPlace
from tritforge.models.strict_json import parse, shown

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
# Larger files are no indices; what is cut here is no JSON.
_LARGEST_INDEX = 1 << 26
#: Most shards that are opened; the largest published models have some hundred.
_MOST_SHARDS = 512


class Shards:
    """All tensors of a folder, wherever they lie in it.

    Parameters
    ----------
    folder
        With ``model.safetensors``, or with ``model.safetensors.index.json`` and the files that it names.

    Attributes
    ----------
    tensors
        Type, shape and place of every tensor.
    count
        Number of files.

    Raises
    ------
    InputError
        A file is missing, damaged, or not within the folder, or the index says otherwise than the files.
    """

    def __init__(self, folder: Path) -> None:
        self._files: dict[str, SafetensorsFile] = {}
        self._stack = ExitStack()
        with ExitStack() as stack:
            if _choose(folder) == SINGLE:
                self._open(stack, within(folder, SINGLE))
            else:
                self._open_indexed(stack, folder)
            # Everything is open: from here on it is closed by `close`.
            self._stack = stack.pop_all()
        self.tensors: Mapping[str, TensorPlace] = {n: file.tensors[n] for n, file in self._files.items()}
        self.count = len(set(map(id, self._files.values())))

    def close(self) -> None:
        """Close all files; nothing can be read afterwards."""
        self._stack.close()

    def read(self, name: str) -> npt.NDArray[Any]:
        """Read a tensor as the type that it is stored in."""
        return self._files[name].read(name)

    def rows(self, name: str, start: int = 0, stop: int | None = None) -> npt.NDArray[np.float32]:
        """Read a float tensor, or rows of it, as float32."""
        return self._files[name].rows(name, start, stop)

    def _open(self, stack: ExitStack, path: Path) -> SafetensorsFile:
        file = stack.enter_context(SafetensorsFile(path))
        for name in file.tensors:
            if name in self._files:
                raise InputError(f"{path}: {shown(name)} is in {self._files[name].path.name} too; remove one")
            self._files[name] = file
        return file

    def _open_indexed(self, stack: ExitStack, folder: Path) -> None:
        index = within(folder, INDEX)
        places = _weight_map(index)
        shards = sorted(set(places.values()))
        if len(shards) > _MOST_SHARDS:
            raise InputError(f"{index}: it names {len(shards)} files; {_MOST_SHARDS} are the limit")
        for shard in shards:
            self._open(stack, _shard_path(index, folder, shard))
        for name, shard in places.items():
            file = self._files.get(name)
            if file is None or file.path.name != shard:
                where = "no file has it" if file is None else f"it is in {file.path.name}"
                raise InputError(f"{index}: {shown(name)} must be in {shown(shard)}, but {where}")
        for name, file in self._files.items():
            if name not in places:
                raise InputError(
                    f"{index}: {shown(name)} of {file.path.name} is not in it; the index is another's"
                )


def within(folder: Path, name: str) -> Path:
    """Return the path of a regular file in a folder, and refuse a link that leads elsewhere.

    The cache of Hugging Face's hub is an exception that is followed: its ``snapshots/REVISION`` holds links to files
    of its ``blobs``.

    Raises
    ------
    InputError
        The file is not there, is no regular file, or is a link out of the folder.
    """
    path = folder / name
    try:
        found = path.is_file()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    if not found:
        raise InputError(f"cannot read {path}: there is no such file; fetch it, or give another folder")
    roots = [folder.resolve()]
    if roots[0].parent.name == "snapshots":
        roots.append(roots[0].parent.parent / "blobs")
    target = path.resolve()
    if not any(target.is_relative_to(root) for root in roots):
        raise InputError(f"{path} is a link out of its folder, to {target}; put the file itself there")
    return path


def _choose(folder: Path) -> str:
    found = [name for name in (SINGLE, INDEX) if (folder / name).exists()]
    if len(found) == 2:
        raise InputError(f"{folder} holds both {SINGLE} and {INDEX}; remove the one that is not the model's")
    if found:
        return found[0]
    pickles = sorted(path.name for path in folder.glob("*.bin"))
    if pickles:
        raise InputError(
            f"{folder} holds no safetensors files, and {shown(pickles[0])} is a pickle: pickles can run code and are "
            "never opened; convert it to safetensors where it is trusted"
        )
    raise InputError(f"{folder} holds neither {SINGLE} nor {INDEX}; give the folder of a checkpoint")


def _weight_map(index: Path) -> dict[str, str]:
    try:
        with index.open("rb") as file:
            content = file.read(_LARGEST_INDEX)
        document = parse(content)
    except OSError as error:
        raise InputError(f"cannot read {index}: {error.strerror or error}") from error
    except InputError as error:
        raise InputError(f"{index}: {error}") from error
    if not isinstance(document, dict) or not isinstance(document.get("weight_map"), dict):
        raise InputError(f"{index}: it has no weight_map, an object of tensors and files")
    places: dict[str, str] = {}
    for name, shard in document["weight_map"].items():
        if not isinstance(shard, str):
            raise InputError(f"{index}: the file of {shown(name)} is {shown(repr(shard))}; a name is needed")
        places[name] = shard
    if not places:
        raise InputError(f"{index}: its weight_map is empty")
    return places


def _shard_path(index: Path, folder: Path, shard: str) -> Path:
    plain = shard.isprintable() and not any(mark in shard for mark in "/\\:") and not shard.startswith(".")
    if not plain or not shard.endswith(".safetensors") or len(shard) > 200:
        raise InputError(
            f"{index}: the file {shown(repr(shard))} is refused; the name of a .safetensors file in the same folder "
            "is needed"
        )
    return within(folder, shard)
