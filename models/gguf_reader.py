"""Checkpoints in GGUF files, read matrix by matrix."""

from itertools import product
from math import prod
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from tritforge.accel.errors import InputError, MissingToolError
from tritforge.models.gguf_blocks import BLOCK_BYTES, I2S_BLOCK, unpack_blocks, unpack_i2s
from tritforge.models.gguf_file import GgufFile, GgufTensor
from tritforge.models.gguf_names import (
    ARCHITECTURES,
    ROPE_FACTORS,
    from_pairs,
    permuted_heads,
    read_config,
    tensor_name,
)
from tritforge.models.hf_weights import ternary_from_floats
from tritforge.models.reader import CheckpointReader
from tritforge.models.safetensors_file import DTYPES, to_float32
from tritforge.models.strict_json import shown
from tritforge.models.ternary import TernaryMatrix

I2sLayout = Literal["x86", "arm"]
Floats = npt.NDArray[np.float32]
_FLOAT_TYPES = ("F32", "F16", "BF16")


class GgufReader(CheckpointReader):
    """A GGUF file of ternary weights: TQ1_0, TQ2_0, bitnet.cpp's i2_s, or floats that are ternary.

    Parameters
    ----------
    path
        The file.
    i2s_layout
        ``x86`` or ``arm``: the processor that the program which wrote the file was built for, needed for i2_s alone.
        The bytes do not tell. Builds of bitnet.cpp without ``ACT_PARALLEL``, which mix four rows, are not read.

    Raises
    ------
    InputError
        The file cannot be read, is damaged, or holds something else than a ternary decoder of a known architecture.
    """

    def __init__(self, path: Path, *, i2s_layout: I2sLayout | None = None) -> None:
        self.path = path
        if i2s_layout is not None and i2s_layout not in I2S_BLOCK:
            raise InputError(f"the layout of i2_s is {i2s_layout!r}; one of {', '.join(I2S_BLOCK)} is needed")
        self._layout = i2s_layout
        self._file = GgufFile(path)
        try:
            self._open()
        except InputError as error:
            self.close()
            raise InputError(f"{path}: {error}") from error

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _open(self) -> None:
        stored = self._file.tensors
        embedding = stored.get("token_embd.weight")
        if embedding is None:
            raise InputError("there is no tensor token_embd.weight")
        self._architecture, self.config = read_config(
            self._file.values, vocab_size=embedding.shape[0], tied="output.weight" not in stored
        )
        if self.config.num_hidden_layers > len(stored):
            raise InputError(
                f"{self._architecture}.block_count is {self.config.num_hidden_layers}; the file has only "
                f"{len(stored)} tensors"
            )
        self._names = {name: tensor_name(name) for name in self.tensors}
        self._names |= {name: f"{tensor_name(name)}.weight" for name in self.matrices}
        for name, shape in self.tensors.items():
            _check_tensor(self._names[name], stored.get(self._names[name]), shape)
        for name, shape in self.matrices.items():
            self._check_matrix(self._names[name], stored.get(self._names[name]), shape)
        self._check_rest()
        kinds = sorted({stored[self._names[name]].kind for name in self.matrices})
        self.format = f"GGUF version {self._file.version}, {self._architecture}, {', '.join(kinds)}"
        self.notes = tuple(self._remarks(kinds))

    def _check_matrix(self, name: str, tensor: GgufTensor | None, shape: tuple[int, int]) -> None:
        found = _check_tensor(name, tensor, shape, ternary=True)
        if found.kind == "I2_S" and self._layout is None:
            raise InputError(
                f"{name} is i2_s, whose layout differs between x86 and ARM builds of bitnet.cpp and is not in the "
                "file; say which one wrote it (tritforge model convert --i2s-layout x86 or arm)"
            )
        if found.kind == "I2_S" and self._layout and prod(shape) % I2S_BLOCK[self._layout]:
            raise InputError(
                f"{name} has the shape {shape}; i2_s in the {self._layout} layout has blocks of "
                f"{I2S_BLOCK[self._layout]}"
            )
        scale = self._file.tensors.get(name.removesuffix("weight") + "scale")
        if scale is not None and (scale.kind, scale.shape) != ("F32", (1,)):
            raise InputError(
                f"{name.removesuffix('weight')}scale is {scale.kind} of shape {scale.shape}; "
                "F32 of shape (1,) is needed"
            )

    def _check_rest(self) -> None:
        """Refuse tensors that would otherwise be left out."""
        known = set(self._names.values())
        known |= {f"{tensor_name(name)}.scale" for name in self.matrices}
        unknown = sorted(set(self._file.tensors) - known - {ROPE_FACTORS})
        if unknown:
            raise InputError(f"the tensor {shown(unknown[0])} has no place in the model {self._architecture}")
        factors = self._file.tensors.get(ROPE_FACTORS)
        if factors is not None:
            _check_tensor(ROPE_FACTORS, factors, (self.config.head_dim // 2,))
            if (self._floats(ROPE_FACTORS, 0, factors.shape[0]) != 1).any():
                raise InputError(f"{ROPE_FACTORS} scales the rotary frequencies, which is not supported")

    def _remarks(self, kinds: list[str]) -> list[str]:
        remarks = []
        if f"{self._architecture}.hidden_activation" not in self._file.values:
            act = ARCHITECTURES[self._architecture].hidden_act
            remarks.append(f"The file does not name the activation; {act} is that of {self._architecture}.")
        if "I2_S" in kinds:
            remarks.append(f"The matrices in i2_s are read in the {self._layout} layout.")
        for name in self.tensors:
            kind = self._file.tensors[self._names[name]].kind
            if kind not in _FLOAT_TYPES:
                remarks.append(f"{name} is stored in {kind}: what it was before is not known.")
        return remarks

    def _matrix(self, name: str) -> TernaryMatrix:
        stored = self._names[name]
        pairs = ARCHITECTURES[self._architecture].pairs
        try:
            codes, scales = self._codes(stored, permuted_heads(name, self.config) if pairs else None)
            factor = stored.removesuffix("weight") + "scale"
            if factor in self._file.tensors:
                scales = _times(scales, self._floats(factor, 0, 1)[0])
        except InputError as error:
            raise InputError(f"{stored}: {error}") from error
        return TernaryMatrix(codes=codes, scale=smallest_grid(scales), scale_kind="multiplier")

    def _codes(self, stored: str, heads: int | None) -> tuple[npt.NDArray[np.int8], Floats]:
        """Return codes, shape (M, K), and scales by block; `heads` where their rows have to be put back in order."""
        tensor = self._file.tensors[stored]
        m, k = tensor.shape
        if tensor.kind in _FLOAT_TYPES:
            values = self._floats(stored, 0, m)
            matrix = ternary_from_floats(values if heads is None else from_pairs(values, heads))
            if matrix is None:
                raise InputError(
                    f"the weights are {tensor.kind} and not ternary: convert a ternary model, or a Hugging Face "
                    "checkpoint that is quantised on the way"
                )
            return matrix.codes, matrix.scale_grid
        if tensor.kind in BLOCK_BYTES:
            codes, scales = unpack_blocks(tensor.kind, self._file.read(stored).reshape(m, -1), k)
            return (codes, scales) if heads is None else (from_pairs(codes, heads), from_pairs(scales, heads))
        codes, scale = unpack_i2s(self._layout or "", self._file.read(stored), m, k)
        return codes if heads is None else from_pairs(codes, heads), np.full((1, 1), scale)

    def _rows(self, name: str, start: int, stop: int) -> Floats:
        return self._floats(self._names[name], start, stop)

    def _floats(self, stored: str, start: int, stop: int) -> Floats:
        tensor = self._file.tensors[stored]
        shape = (stop - start, *tensor.shape[1:])
        data = self._file.read(stored, start, stop)
        if tensor.kind in _FLOAT_TYPES:
            return to_float32(data.view(DTYPES[tensor.kind]).reshape(shape), tensor.kind)
        return _dequantised(data.reshape(stop - start, -1), tensor.kind, shape)


def _check_tensor(
    name: str, tensor: GgufTensor | None, shape: tuple[int, ...], *, ternary: bool = False
) -> GgufTensor:
    """Return a tensor that is there and has the shape and one of the types it must have."""
    if tensor is None:
        raise InputError(f"there is no tensor {name}")
    if tensor.shape != shape:
        raise InputError(f"{name} has the shape {tensor.shape}; the entries say {shape}")
    wanted = (*BLOCK_BYTES, "I2_S", *_FLOAT_TYPES) if ternary else _FLOAT_TYPES
    if tensor.kind not in wanted and (ternary or len(shape) == 1 or tensor.kind == "I2_S"):
        raise InputError(f"{name} is {tensor.kind}; one of {', '.join(wanted)} is needed")
    return tensor


def _dequantised(data: npt.NDArray[np.uint8], kind: str, shape: tuple[int, ...]) -> Floats:
    """Return the numbers that quantised rows stand for."""
    if kind in BLOCK_BYTES:
        codes, scales = unpack_blocks(kind, data, shape[-1])
        return (codes.reshape(*scales.shape, -1) * scales[..., None]).reshape(shape)
    try:
        from gguf import GGMLQuantizationType, quants
    except ImportError as error:
        raise MissingToolError(
            f"reading numbers in {kind} needs the package gguf; install it with: pip install 'tritforge[gguf]'"
        ) from error
    # Damaged blocks may have scales that overflow; what is not finite is refused afterwards.
    with np.errstate(all="ignore"):
        values: Floats = quants.dequantize(data, GGMLQuantizationType[kind])
    return values.reshape(shape)


def _times(scales: Floats, factor: np.float32) -> Floats:
    """Return the scales times a factor, where float32 holds the products."""
    exact = scales.astype(np.float64) * np.float64(factor)
    if not 0 < factor < np.inf or (exact.astype(np.float32) != exact).any():
        raise InputError(
            f"the tensor .scale holds {factor}, whose product with the scales of the blocks float32 does not hold"
        )
    return exact.astype(np.float32)


def smallest_grid(scales: Floats) -> np.float32 | Floats:
    """Return the scale of a matrix, or the grid with the fewest scales that says the same.

    Parameters
    ----------
    scales : ndarray of float32, shape (R, C)
        Of equal blocks; 0 for a block of zeros, which any scale fits.

    Returns
    -------
    float32, or ndarray of float32, shape (R', C')
        R' and C' divide R and C. A scale that nothing asks for is one of the others, or 1 where there are none.
    """
    low = np.where(scales > 0, scales, np.inf).astype(np.float32)
    spare = np.float32(scales.max() or 1)
    rows, columns = scales.shape
    row_counts = [r for r in _divisors(rows) if _reduced(low, scales, r, columns) is not None]
    column_counts = [c for c in _divisors(columns) if _reduced(low, scales, rows, c) is not None]
    candidates = sorted(product(row_counts, column_counts), key=prod)
    grid = next(found for r, c in candidates if (found := _reduced(low, scales, r, c)) is not None)
    filled = np.where(grid > 0, grid, spare)
    return np.float32(filled[0, 0]) if filled.size == 1 else filled


def _divisors(number: int) -> list[int]:
    return [divisor for divisor in range(1, number + 1) if number % divisor == 0]


def _reduced(low: Floats, high: Floats, rows: int, columns: int) -> Floats | None:
    """Return a coarser grid; None where a block of it has several scales. Zeros are infinite in `low`."""
    blocks = (rows, high.shape[0] // rows, columns, high.shape[1] // columns)
    least, most = low.reshape(blocks).min(axis=(1, 3)), high.reshape(blocks).max(axis=(1, 3))
    return most if ((least == most) | (most == 0)).all() else None
