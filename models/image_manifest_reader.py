"""Reading an image bundle's manifest as hostile.

Names of files are checked for folders in them, and counts and sizes against the configuration, before anything is
made of them.
"""

from typing import Any

import numpy as np

from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.errors import InputError
from tritforge.models.checkpoint import matrix_shapes, tensor_shapes
from tritforge.models.config import DecoderConfig
from tritforge.models.image_manifest import (
    FORMAT,
    FORMAT_VERSION,
    Manifest,
    StoredImage,
    StoredMatrix,
    StoredTensor,
    checksum,
)
from tritforge.models.strict_json import parse, shown
from tritforge.models.ternary import SCALE_KINDS


def read_manifest(data: bytes) -> Manifest:
    """Read and check the content of a manifest.

    Raises
    ------
    InputError
        No manifest, one of another version, or one that contradicts itself; the message names the field.
    """
    try:
        document = parse(data)
    except InputError as error:
        raise InputError(f"the manifest cannot be read: {error}") from error
    fields = _Fields(document, "the manifest")
    said = fields.get("format", str)
    if said != FORMAT:
        raise InputError(f"the manifest's format is {_short(said)}; {FORMAT!r} is needed")
    if fields.get("format_version", int) != FORMAT_VERSION:
        raise InputError(
            f"the manifest's format_version is {fields.get('format_version', int)}; "
            f"this release reads {FORMAT_VERSION}"
        )
    recorded = fields.sha256()
    computed = checksum({name: value for name, value in document.items() if name != "sha256"})
    if computed != recorded:
        raise InputError(
            f"the manifest's SHA-256 is {computed}, not {recorded} as recorded; it is damaged, write it again"
        )
    accelerator = AcceleratorConfig.from_dict(fields.get("accelerator", dict))
    decoder = DecoderConfig.from_dict(fields.get("decoder", dict))
    matrices, tensors = fields.get("matrices", list), fields.get("tensors", list)
    # Before the names are made: a file of a few bytes may speak of any number of layers.
    if len(matrices) != len(decoder.matrices) * decoder.num_hidden_layers:
        raise InputError(
            f"the manifest lists {len(matrices)} matrices; {decoder.num_hidden_layers} layers have "
            f"{len(decoder.matrices) * decoder.num_hidden_layers}"
        )
    wanted = tensor_shapes(decoder)
    if len(tensors) != len(wanted):
        raise InputError(f"the manifest lists {len(tensors)} tensors; the model has {len(wanted)}")
    manifest = Manifest(
        accelerator=accelerator,
        decoder=decoder,
        matrices={
            name: _matrix(_Fields(entry, name), shape, accelerator)
            for (name, shape), entry in zip(matrix_shapes(decoder).items(), matrices, strict=True)
        },
        tensors={
            name: _tensor(_Fields(entry, name), shape)
            for (name, shape), entry in zip(wanted.items(), tensors, strict=True)
        },
    )
    for name, entry in zip((*manifest.matrices, *manifest.tensors), (*matrices, *tensors), strict=True):
        if entry.get("name") != name:
            raise InputError(f"the manifest lists {_short(entry.get('name'))} where {name} belongs")
    end = 0
    for tensor in manifest.stored_tensors:
        if tensor.offset != end:
            raise InputError(f"the manifest has a tensor at byte {tensor.offset} of its file; {end} is next")
        end += tensor.bytes
    return manifest


class _Fields:
    """Fields of a JSON object, with errors that name it."""

    def __init__(self, document: object, where: str) -> None:
        if not isinstance(document, dict):
            raise InputError(f"{where} is {_short(document)}; an object is needed")
        self._document = document
        self.where = where

    def __contains__(self, name: str) -> bool:
        return name in self._document

    def get(self, name: str, kind: type) -> Any:
        value = self._document.get(name)
        if not isinstance(value, kind) or isinstance(value, bool):
            raise InputError(f"{self.where}: {name} is {_short(value)}; {_NAMES[kind]} is needed")
        return value

    def count(self, name: str) -> int:
        value: int = self.get(name, int)
        if value < 0:
            raise InputError(f"{self.where}: {name} is {value}; 0 or more is needed")
        return value

    def sha256(self) -> str:
        value: str = self.get("sha256", str)
        if len(value) != 64 or set(value) - set("0123456789abcdef"):
            raise InputError(f"{self.where}: sha256 is {_short(value)}; 64 hexadecimal digits are needed")
        return value


_NAMES = {int: "a whole number", float: "a number", str: "text", dict: "an object", list: "a list"}


def _short(value: object) -> str:
    """Write a value from the file in a message."""
    return shown(repr(value))


def _matrix(fields: _Fields, shape: tuple[int, int], accelerator: AcceleratorConfig) -> StoredMatrix:
    said = fields.count("m"), fields.count("k")
    if said != shape:
        raise InputError(f"{fields.where} has shape {said}; the configuration says {shape}")
    if fields.get("packing", str) != accelerator.packing:
        raise InputError(
            f"{fields.where}: packing is {fields.get('packing', str)!r}; the accelerator has {accelerator.packing}"
        )
    kind = fields.get("scale_kind", str)
    if kind not in SCALE_KINDS:
        raise InputError(f"{fields.where}: scale_kind is {kind!r}; one of {', '.join(SCALE_KINDS)} is needed")
    images = fields.get("images", list)
    slices = accelerator.k_slices(shape[1])
    if len(images) != len(slices):
        raise InputError(f"{fields.where} has {len(images)} images; K of {shape[1]} takes {len(slices)}")
    return StoredMatrix(
        m=shape[0],
        k=shape[1],
        scale=_scale(fields),
        scale_kind=kind,
        images=tuple(
            _image(_Fields(image, fields.where), part) for image, part in zip(images, slices, strict=True)
        ),
    )


def _scale(fields: _Fields) -> float | StoredTensor:
    if "scales" in fields:
        grid = _Fields(fields.get("scales", dict), f"{fields.where}: scales")
        shape = tuple(grid.get("shape", list))
        if len(shape) != 2 or not all(type(size) is int and size > 0 for size in shape):
            raise InputError(f"{grid.where}: shape is {_short(list(shape))}; two positive numbers are needed")
        return _tensor(grid, shape)
    value = fields.get("scale", float)
    # A number that float32 does not hold would be changed by being read.
    if not 0 < value <= float(np.finfo(np.float32).max) or float(np.float32(value)) != value:
        raise InputError(f"{fields.where}: scale is {value!r}; a positive, finite float32 is needed")
    return float(value)


def _image(fields: _Fields, part: slice) -> StoredImage:
    name = fields.get("file", str)
    if not name.isprintable() or name in {"", ".", ".."} or set(name) & set("/\\:"):
        raise InputError(
            f"{fields.where}: the file name {_short(name)} leaves the folder; a plain name is needed"
        )
    said = fields.count("k_start"), fields.count("k_stop")
    if said != (part.start, part.stop):
        raise InputError(
            f"{fields.where}: {name} holds columns {said[0]} to {said[1]}; {part.start} to {part.stop} are needed"
        )
    return StoredImage(
        file=name,
        k_start=part.start,
        k_stop=part.stop,
        bytes=fields.count("bytes"),
        sha256=fields.sha256(),
    )


def _tensor(fields: _Fields, shape: tuple[int, ...]) -> StoredTensor:
    if fields.get("shape", list) != list(shape):
        raise InputError(
            f"{fields.where} has shape {_short(fields.get('shape', list))}; the configuration says {list(shape)}"
        )
    return StoredTensor(shape=shape, offset=fields.count("offset"), sha256=fields.sha256())
