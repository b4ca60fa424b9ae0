"""The shipped model's file: ternary matrices in base 3, everything else in float32, a hash of each.

One safetensors file. A ternary matrix ``NAME`` is ``NAME.weight`` (uint8, five trits a byte, see
`tritforge.models.base3`) and ``NAME.weight_scale`` (float32, shape (1,), the scale s_w). Its one metadata
entry ``tritforge`` is a JSON document: format version, configuration, shapes of the ternary matrices, and a
SHA-256 of every tensor's bytes and of the configuration. One entry, because the safetensors library
writes several in a random order and equal models are to give equal files.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tritforge.accel.errors import InputError
from tritforge.models.config import DecoderConfig
from tritforge.models.lazy import LazyMapping
from tritforge.models.strict_json import shown
from tritforge.models.ternary import TernaryMatrix, quantise_weights

if TYPE_CHECKING:
    from tritforge.models.reader import MemoryReader


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
        same_names(self.matrices, shapes, "matrix")
        same_names(self.tensors, tensor_shapes(self.config), "tensor")
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
        file = BytesIO()
        _native().write_to(file, self._reader())
        return file.getvalue()

    def save(self, path: Path) -> None:
        """Write the file, whole or not at all.

        Raises
        ------
        InputError
            The path cannot be written.
        """
        _native().write_native(self._reader(), path)

    @classmethod
    def load(cls, path: Path) -> "Checkpoint":
        """Read a file and verify all of it.

        Raises
        ------
        InputError
            The file cannot be read, is of another format or version, is truncated or damaged; the message
            names the tensor and the values.
        """
        with _native().NativeReader(path) as reader:
            return cls(
                config=reader.config,
                matrices={name: reader.matrix(name) for name in reader.matrices},
                tensors={name: reader.tensor(name) for name in reader.tensors},
            )

    def _reader(self) -> "MemoryReader":
        from tritforge.models.reader import MemoryReader

        return MemoryReader(self)


def _native() -> ModuleType:
    """Return `tritforge.models.native`, which builds on this module."""
    from tritforge.models import native

    return native


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
    same_names(tensors, names.keys() | tensor_shapes(config), "tensor")
    matrices = {}
    for stored, name in names.items():
        try:
            matrices[name] = quantise_weights(tensors[stored])
        except InputError as error:
            raise InputError(f"{stored}: {error}") from error
    others = {name: tensors[name] for name in tensor_shapes(config)}
    return Checkpoint(config=config, matrices=matrices, tensors=others)


def same_names(found: Mapping[str, Any], expected: Mapping[str, Any] | set[str], what: str) -> None:
    """Refuse names that are missing or that do not belong to the model."""
    missing = sorted(set(expected) - set(found))
    if missing:
        raise InputError(f"{what} {missing[0]} is missing ({len(missing)} of {len(expected)} are)")
    extra = sorted(set(found) - set(expected))
    if extra:
        raise InputError(f"{what} {shown(extra[0])} does not belong to the model ({len(extra)} such)")
