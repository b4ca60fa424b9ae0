"""The project's own file, read matrix by matrix and written in a stream.

`tritforge.models.checkpoint` describes version 1: one scale s_w a matrix, the architecture of BitNet b1.58 2B-4T.
What needs more is version 2, which a program of version 1 refuses instead of taking it for something else: the
configuration has further fields, and the metadata's ``scales`` says of every matrix whose scale is not one divisor
what ``NAME.weight_scale`` holds (``kind``, see `tritforge.models.ternary`, and ``grid``, its shape [R, C] if it is a
grid).
"""

import json
from collections.abc import Callable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from tritforge.accel.errors import InputError
from tritforge.accel.files import staged
from tritforge.models.base3 import bytes_per_row, pack, unpack
from tritforge.models.checkpoint import matrix_shapes, same_names, tensor_shapes
from tritforge.models.config import DecoderConfig
from tritforge.models.reader import CheckpointReader, ScaleForm, counting, form_of, row_ranges
from tritforge.models.safetensors_file import SafetensorsFile
from tritforge.models.safetensors_writer import SafetensorsWriter, TensorType
from tritforge.models.strict_json import parse, shown
from tritforge.models.ternary import SCALE_KINDS, TernaryMatrix

VERSIONS = (1, 2)
_METADATA = "tritforge"
_ONE_DIVISOR: ScaleForm = ("divisor", None)
#: Called with the numbers done so far, and how many there are.
Progress = Callable[[int, int], None]


class NativeReader(CheckpointReader):
    """The project's own file. Every tensor's SHA-256 is verified before its first numbers are given out.

    Parameters
    ----------
    path
        The file.

    Raises
    ------
    InputError
        The file cannot be read, is of another format or version, or is damaged.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = SafetensorsFile(path)
        try:
            document = _document(self._file.metadata)
            self.config = _config(document, len(self._file.tensors))
            self._scales = _scale_forms(document, self.matrices)
            self._check_tensors()
        except InputError as error:
            self.close()
            raise InputError(f"{path}: {error}") from error
        self._hashes: Mapping[str, Any] = document["sha256"]
        self._verified: set[str] = set()
        self.format = f"TritForge model, format version {document['format_version']}"

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def scale_form(self, name: str) -> ScaleForm:
        """Return what a matrix's scale is, without reading the matrix."""
        return self._scales.get(name, _ONE_DIVISOR)

    def _check_tensors(self) -> None:
        types = tensor_types(self.config, self._scales)
        same_names(self._file.tensors, types, "tensor")
        for name, wanted in types.items():
            found = self._file.tensors[name]
            if (found.dtype, found.shape) != (wanted.dtype, wanted.shape):
                raise InputError(
                    f"{name} is {found.dtype} of shape {found.shape}; "
                    f"{wanted.dtype} of shape {wanted.shape} is needed"
                )

    def _matrix(self, name: str) -> TernaryMatrix:
        packed, scale = (self._whole(f"{name}.{part}", f"its {part}") for part in ("weight", "weight_scale"))
        kind, grid = self.scale_form(name)
        return TernaryMatrix(
            codes=unpack(packed, self.matrices[name][1]),
            scale=np.float32(scale[0]) if grid is None else scale,
            scale_kind=kind,
        )

    def _whole(self, name: str, what: str) -> npt.NDArray[Any]:
        values = self._file.read(name)
        self._compare(name, what, sha256(values.data).hexdigest())
        return values

    def _rows(self, name: str, start: int, stop: int) -> npt.NDArray[np.float32]:
        shape = self.tensors[name]
        if (start, stop) == (0, shape[0]):
            return self._whole(name, "its numbers")
        if name not in self._verified:
            computed = sha256()
            for first, end in row_ranges(shape):
                computed.update(self._file.read(name, first, end).data)
            self._compare(name, "its numbers", computed.hexdigest())
            self._verified.add(name)
        return self._file.rows(name, start, stop)

    def _compare(self, name: str, what: str, computed: str) -> None:
        recorded = self._hashes.get(name)
        if computed != recorded:
            raise InputError(
                f"the SHA-256 of {what} is {computed}, not {shown(str(recorded))} as recorded; fetch it again"
            )


def write_native(reader: CheckpointReader, path: Path, on_progress: Progress | None = None) -> None:
    """Write a checkpoint to the project's own file: whole or not at all, a matrix or some rows at a time.

    Parameters
    ----------
    reader
        The checkpoint.
    path
        What lies there is replaced.
    on_progress
        Called with the numbers done so far, and how many there are: each matrix counts twice, for its scales too.

    Raises
    ------
    InputError
        The checkpoint is damaged, or the path cannot be written.
    """
    with staged(path, replace=True) as partial, partial.open("wb") as file:
        write_to(file, reader, on_progress)


def write_to(file: BinaryIO, reader: CheckpointReader, on_progress: Progress | None = None) -> None:
    """Write a checkpoint to an open file; see `write_native`. Equal checkpoints give equal bytes."""
    weights = {name: m * k for name, (m, k) in reader.matrices.items()}
    advance = counting(2 * reader.weights + reader.float_numbers, on_progress)
    # The header comes first and says what every scale is, for which some formats must read the matrices.
    forms: dict[str, ScaleForm] = {}
    for name, size in weights.items():
        advance(0)
        if (form := reader.scale_form(name)) != _ONE_DIVISOR:
            forms[name] = form
        advance(size)
    document = _new_document(reader.config, forms)
    types = tensor_types(reader.config, forms)
    hashes = document["sha256"] | dict.fromkeys(types, "0" * 64)
    writer = SafetensorsWriter(file, types, _entry(document | {"sha256": hashes}))
    for name, size in weights.items():
        matrix = reader.matrix(name)
        if form_of(matrix) != forms.get(name, _ONE_DIVISOR):
            raise InputError(f"{reader.path}: the scales of {name} have changed meanwhile; write it again")
        for part, values in (
            ("weight", pack(matrix.codes)),
            ("weight_scale", np.asarray(matrix.scale).reshape(types[f"{name}.weight_scale"].shape)),
        ):
            writer.write(f"{name}.{part}", values)
            hashes[f"{name}.{part}"] = sha256(np.ascontiguousarray(values).data).hexdigest()
        advance(size)
    for name in reader.tensors:
        computed = sha256()
        for values in reader.chunks(name):
            writer.write(name, values)
            computed.update(np.ascontiguousarray(values).data)
            advance(values.size)
        hashes[name] = computed.hexdigest()
    writer.finish(_entry(document | {"sha256": hashes}))


def tensor_types(config: DecoderConfig, forms: Mapping[str, ScaleForm]) -> dict[str, TensorType]:
    """Return types and shapes of all tensors of a file, with the forms of the scales that are not one divisor."""
    types = {}
    for name, (m, k) in matrix_shapes(config).items():
        grid = forms.get(name, _ONE_DIVISOR)[1]
        types[f"{name}.weight"] = TensorType(dtype="U8", shape=(m, bytes_per_row(k)))
        types[f"{name}.weight_scale"] = TensorType(dtype="F32", shape=grid or (1,))
    return types | {
        name: TensorType(dtype="F32", shape=shape) for name, shape in tensor_shapes(config).items()
    }


def _new_document(config: DecoderConfig, forms: Mapping[str, ScaleForm]) -> dict[str, Any]:
    """Return the metadata, but for the tensors' hashes."""
    fields = config.to_dict()
    document: dict[str, Any] = {
        "format_version": 2 if forms or not config.is_plain else 1,
        "config": fields,
        "shapes": {name: list(shape) for name, shape in matrix_shapes(config).items()},
        "sha256": {"config": _hash(fields)},
    }
    if document["format_version"] == 1:
        return document
    scales = {
        name: {"kind": kind} | ({"grid": list(grid)} if grid else {}) for name, (kind, grid) in forms.items()
    }
    document["sha256"]["scales"] = _hash(scales)
    return document | {"scales": scales}


def _entry(document: Mapping[str, Any]) -> dict[str, str]:
    # One entry, because the safetensors library would write several in a random order.
    return {_METADATA: json.dumps(document, sort_keys=True)}


def _hash(part: Mapping[str, Any]) -> str:
    return sha256(json.dumps(part, sort_keys=True).encode()).hexdigest()


def _document(metadata: Mapping[str, str]) -> dict[str, Any]:
    """Return the metadata with the parts that the rest relies on checked."""
    try:
        document = parse(metadata.get(_METADATA, ""))
    except InputError as error:
        raise InputError(f"no valid metadata entry {_METADATA!r}; this is not a TritForge model") from error
    if not isinstance(document, dict) or "format_version" not in document:
        raise InputError(f"no valid metadata entry {_METADATA!r}; this is not a TritForge model")
    version = document["format_version"]
    if type(version) is not int or version not in VERSIONS:
        known = " and ".join(map(str, VERSIONS))
        raise InputError(f"format version {shown(repr(version))} is unknown; this release reads {known}")
    for key in ("config", "shapes", "sha256", *(["scales"] if version > 1 else [])):
        if not isinstance(document.get(key), dict):
            raise InputError(f"the metadata's {key} is {shown(repr(document.get(key)))}; an object is needed")
    for key, whose in (("config", "configuration's"), *([("scales", "scales'")] if version > 1 else [])):
        computed, recorded = _hash(document[key]), document["sha256"].get(key)
        if computed != recorded:
            raise InputError(
                f"the {whose} SHA-256 is {computed}, not {shown(str(recorded))} as recorded; the file is damaged"
            )
    return document


def _config(document: Mapping[str, Any], tensors: int) -> DecoderConfig:
    config = DecoderConfig.from_dict(document["config"])
    if config.num_hidden_layers > tensors:
        # Before anything is counted by layers: their number comes from the file.
        raise InputError(f"num_hidden_layers is {config.num_hidden_layers}; the file has {tensors} tensors")
    if document["shapes"] != {name: list(shape) for name, shape in matrix_shapes(config).items()}:
        raise InputError("the metadata's shapes are not those of its configuration; the file is damaged")
    if document["format_version"] == 1 and not config.is_plain:
        raise InputError(
            "the configuration has fields of format version 2, and the file says 1; it is damaged"
        )
    return config


def _scale_forms(document: Mapping[str, Any], shapes: Mapping[str, tuple[int, int]]) -> dict[str, ScaleForm]:
    forms: dict[str, ScaleForm] = {}
    for name, entry in document.get("scales", {}).items():
        if name not in shapes or not isinstance(entry, dict) or entry.get("kind") not in SCALE_KINDS:
            raise InputError(
                f"the metadata's scales hold {shown(name)}: {shown(repr(entry))}; the file is damaged"
            )
        grid = entry.get("grid")
        if grid is None:
            forms[name] = entry["kind"], None
            continue
        m, k = shapes[name]
        divides = (
            isinstance(grid, list)
            and len(grid) == 2
            and all(
                type(blocks) is int and blocks > 0 and size % blocks == 0
                for blocks, size in zip(grid, (m, k), strict=True)
            )
        )
        if not divides:
            raise InputError(f"{name} has a grid of {shown(repr(grid))} scales; it does not divide {(m, k)}")
        forms[name] = entry["kind"], tuple(grid)
    return forms
