"""The shipped model's file: ternary matrices in base 3, everything else in float32, a hash of each.

One safetensors file. A ternary matrix ``NAME`` is ``NAME.weight`` (uint8, five trits a byte, see
`tritforge.models.base3`) and ``NAME.weight_scale`` (float32, shape (1,), the scale s_w). Its one metadata
entry ``tritforge`` is a JSON document: format version, configuration, shapes of the ternary matrices, and a
SHA-256 of every tensor's bytes and of the configuration. One entry, because the safetensors library
writes several in a random order and equal models are to give equal files.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as to_safetensors

from tritforge.accel.errors import InputError
from tritforge.accel.files import write_atomically
from tritforge.models.base3 import bytes_per_row, pack, unpack
from tritforge.models.config import DecoderConfig
from tritforge.models.lazy import LazyMapping
from tritforge.models.ternary import TernaryMatrix, quantise_weights

FORMAT_VERSION = 1
_METADATA = "tritforge"
_DTYPES = {"U8": np.uint8, "F32": np.float32}


def matrix_shapes(config: DecoderConfig) -> dict[str, tuple[int, int]]:
    """Full names of all ternary matrices, with outputs M and inputs K."""
    return {
        f"model.layers.{layer}.{name}": shape
        for layer in range(config.num_hidden_layers)
        for name, shape in config.matrices.items()
    }


def tensor_shapes(config: DecoderConfig) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the float32 tensors: embedding, LM head where it is not tied, gains of the norms."""
    shapes: dict[str, tuple[int, ...]] = {
        "model.embed_tokens.weight": (config.vocab_size, config.hidden_size),
        "model.norm.weight": (config.hidden_size,),
    }
    if not config.tie_word_embeddings:
        shapes["lm_head.weight"] = (config.vocab_size, config.hidden_size)
    for layer in range(config.num_hidden_layers):
        prefix = f"model.layers.{layer}"
        shapes[f"{prefix}.input_layernorm.weight"] = (config.hidden_size,)
        shapes[f"{prefix}.post_attention_layernorm.weight"] = (config.hidden_size,)
        if config.sub_norms:
            shapes[f"{prefix}.self_attn.attn_sub_norm.weight"] = (config.attention_width,)
            shapes[f"{prefix}.mlp.ffn_sub_norm.weight"] = (config.intermediate_size,)
        if config.linear_norms:
            for name, (_, inputs) in config.matrices.items():
                shapes[f"{prefix}.{name}.rms_norm.weight"] = (inputs,)
    return shapes


@dataclass(frozen=True, kw_only=True, eq=False)
class Checkpoint:
    """A ternary decoder to run, complete and of the shapes that its configuration says.

    Its content is checked at once, but for that of a `LazyMapping`, which is checked as it is read
    (`tritforge.models.reader.CheckpointReader.checkpoint`).

    Attributes
    ----------
    config
        The shapes.
    matrices
        Ternary matrices, by names such as ``model.layers.0.self_attn.q_proj``.
    tensors : mapping to ndarray of float32
        Embedding and gains of the norms, by names such as ``model.norm.weight``.

    Raises
    ------
    InputError
        A tensor is missing, unknown, or of another type, shape or content than it must be.
    """

    config: DecoderConfig
    matrices: Mapping[str, TernaryMatrix]
    tensors: Mapping[str, npt.NDArray[np.float32]]

    def __post_init__(self) -> None:
        shapes = matrix_shapes(self.config)
        _same_names(self.matrices, shapes, "matrix")
        _same_names(self.tensors, tensor_shapes(self.config), "tensor")
        if not isinstance(self.matrices, LazyMapping):
            self._check()
            object.__setattr__(self, "matrices", MappingProxyType(dict(self.matrices)))
            object.__setattr__(self, "tensors", MappingProxyType(dict(self.tensors)))

    def _check(self) -> None:
        """Check every matrix and tensor."""
        shapes = matrix_shapes(self.config)
        for name, shape in shapes.items():
            matrix = self.matrices[name]
            if (matrix.m, matrix.k) != shape:
                raise InputError(f"{name} has shape {(matrix.m, matrix.k)}; the configuration says {shape}")
        expected = tensor_shapes(self.config)
        for name, wanted in expected.items():
            tensor = self.tensors[name]
            if tensor.dtype != np.float32 or tensor.shape != wanted:
                raise InputError(
                    f"{name} is {tensor.dtype} of shape {tensor.shape}; float32 of shape {wanted} is needed"
                )
            if not np.isfinite(tensor).all():
                raise InputError(f"{name} holds {tensor[~np.isfinite(tensor)][0]}; finite values are needed")

    def matrices_of_layer(self, layer: int) -> dict[str, TernaryMatrix]:
        """Ternary matrices of one layer in the order they are used in, by their full names.

        Raises
        ------
        InputError
            There is no such layer.
        """
        if not 0 <= layer < self.config.num_hidden_layers:
            raise InputError(
                f"layer {layer} does not exist: the model has layers 0 to {self.config.num_hidden_layers - 1}"
            )
        names = (f"model.layers.{layer}.{name}" for name in self.config.matrices)
        return {name: self.matrices[name] for name in names}

    def to_bytes(self) -> bytes:
        """Content of the file; equal models give equal bytes."""
        stored: dict[str, npt.NDArray[Any]] = {}
        for name, matrix in self.matrices.items():
            stored[f"{name}.weight"] = pack(matrix.codes)
            stored[f"{name}.weight_scale"] = np.array([matrix.scale], dtype=np.float32)
        # The writer takes the memory as it lies.
        stored |= {name: np.ascontiguousarray(tensor) for name, tensor in self.tensors.items()}
        config = self.config.to_dict()
        document = {
            "format_version": FORMAT_VERSION,
            "config": config,
            "shapes": {name: [matrix.m, matrix.k] for name, matrix in self.matrices.items()},
            "sha256": {"config": _config_hash(config)}
            | {name: sha256(tensor.tobytes()).hexdigest() for name, tensor in stored.items()},
        }
        return to_safetensors(stored, metadata={_METADATA: json.dumps(document, sort_keys=True)})

    def save(self, path: Path) -> None:
        """Write the file, whole or not at all.

        Raises
        ------
        InputError
            The path cannot be written.
        """
        write_atomically(path, self.to_bytes())

    @classmethod
    def load(cls, path: Path) -> "Checkpoint":
        """Read a file and verify all of it.

        Raises
        ------
        InputError
            The file cannot be read, is of another format or version, is truncated or damaged; the message
            names the tensor and the values.
        """
        try:
            with safe_open(path, framework="numpy") as file:
                return _read(file)
        except SafetensorError as error:
            size = path.stat().st_size
            raise InputError(
                f"{path}: its {size} bytes are not a whole safetensors file ({error}); fetch it again"
            ) from error
        except OSError as error:
            raise InputError(f"cannot read {path}: {error.strerror or error}") from error
        except InputError as error:
            raise InputError(f"{path}: {error}") from error


def quantise_master(config: DecoderConfig, tensors: Mapping[str, npt.NDArray[np.float32]]) -> Checkpoint:
    """Make the ternary model of float32 master weights.

    Parameters
    ----------
    config
        The shapes.
    tensors
        Weights under Hugging Face's names, such as ``model.layers.0.self_attn.q_proj.weight``.

    Raises
    ------
    InputError
        A tensor is missing, unknown, or of another type, shape or content than it must be.
    """
    names = {f"{name}.weight": name for name in matrix_shapes(config)}
    _same_names(tensors, names.keys() | tensor_shapes(config), "tensor")
    matrices = {}
    for stored, name in names.items():
        try:
            matrices[name] = quantise_weights(tensors[stored])
        except InputError as error:
            raise InputError(f"{stored}: {error}") from error
    others = {name: tensors[name] for name in tensor_shapes(config)}
    return Checkpoint(config=config, matrices=matrices, tensors=others)


def _config_hash(config: Mapping[str, Any]) -> str:
    return sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()


def _same_names(found: Mapping[str, Any], expected: Mapping[str, Any] | set[str], what: str) -> None:
    missing = sorted(set(expected) - set(found))
    if missing:
        raise InputError(f"{what} {missing[0]} is missing ({len(missing)} of {len(expected)} are)")
    extra = sorted(set(found) - set(expected))
    if extra:
        raise InputError(f"{what} {extra[0]} does not belong to the model ({len(extra)} such)")


def _metadata(file: Any) -> dict[str, Any]:
    """Return the metadata document with the parts that the rest relies on checked."""
    try:
        document = json.loads((file.metadata() or {})[_METADATA])
        version = document["format_version"]
    except (KeyError, TypeError, json.JSONDecodeError) as error:
        raise InputError(f"no valid metadata entry {_METADATA!r}; this is not a TritForge model") from error
    if version != FORMAT_VERSION:
        raise InputError(f"format version {version!r} is unknown; this release reads {FORMAT_VERSION}")
    for key in ("config", "shapes", "sha256"):
        if not isinstance(document.get(key), dict):
            raise InputError(f"the metadata's {key} is {document.get(key)!r}; an object is needed")
    return dict(document)


def _read(file: Any) -> Checkpoint:
    document = _metadata(file)
    hashes = document["sha256"]
    if _config_hash(document["config"]) != hashes.get("config"):
        raise InputError(
            f"the configuration's SHA-256 is {_config_hash(document['config'])}, "
            f"not {hashes.get('config')} as recorded; the file is damaged"
        )
    config = DecoderConfig.from_dict(document["config"])
    shapes = matrix_shapes(config)
    if document["shapes"] != {name: list(shape) for name, shape in shapes.items()}:
        raise InputError("the metadata's shapes are not those of its configuration; the file is damaged")
    layout: dict[str, tuple[str, tuple[int, ...]]] = {}
    for name, (m, k) in shapes.items():
        layout[f"{name}.weight"] = ("U8", (m, bytes_per_row(k)))
        layout[f"{name}.weight_scale"] = ("F32", (1,))
    layout |= {name: ("F32", shape) for name, shape in tensor_shapes(config).items()}
    _same_names(dict.fromkeys(file.keys()), layout, "tensor")
    stored = {name: _tensor(file, name, *layout[name], hashes.get(name)) for name in layout}
    matrices = {}
    for name, (_, k) in shapes.items():
        try:
            codes = unpack(stored[f"{name}.weight"], k)
            matrices[name] = TernaryMatrix(codes=codes, scale=stored[f"{name}.weight_scale"][0])
        except InputError as error:
            raise InputError(f"{name}: {error}") from error
    tensors = {name: stored[name] for name in tensor_shapes(config)}
    return Checkpoint(config=config, matrices=matrices, tensors=tensors)


def _tensor(file: Any, name: str, dtype: str, shape: tuple[int, ...], recorded: object) -> npt.NDArray[Any]:
    view = file.get_slice(name)
    found = view.get_dtype(), tuple(view.get_shape())
    if found != (dtype, shape):
        raise InputError(f"{name} is {found[0]} of shape {found[1]}; {dtype} of shape {shape} is needed")
    values = np.asarray(file.get_tensor(name), dtype=_DTYPES[dtype])
    computed = sha256(values.tobytes()).hexdigest()
    if computed != recorded:
        raise InputError(f"the SHA-256 of {name} is {computed}, not {recorded} as recorded; fetch it again")
    return values
