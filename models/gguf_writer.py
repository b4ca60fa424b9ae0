"""Checkpoints written to GGUF files, as llama.cpp and bitnet.cpp name and order them.

The head is written by the ``gguf`` package, the tensors a matrix or some rows at a time. A checkpoint here has no
tokenizer: the file says so (``tokenizer.ggml.model`` is ``no_vocab``), and runs on token numbers until a tokenizer's
entries are added to it.
"""

from collections.abc import Callable, Iterator
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tritforge.accel.errors import InputError, MissingToolError
from tritforge.accel.files import staged
from tritforge.models.config import DecoderConfig
from tritforge.models.gguf_blocks import BLOCK, BLOCK_BYTES, I2S_BLOCK, i2s_bytes, pack_blocks, pack_i2s
from tritforge.models.gguf_file import DEFAULT_ALIGNMENT, TYPES
from tritforge.models.gguf_names import ARCHITECTURES, permuted_heads, tensor_name, to_pairs, write_config
from tritforge.models.gguf_reader import I2sLayout
from tritforge.models.reader import CheckpointReader
from tritforge.models.ternary import TernaryMatrix

#: Types that ternary matrices are written in, with the numbers by which the programs call a file of mostly that type:
#: ``llama_ftype`` of llama.cpp, and of bitnet.cpp for i2_s.
FILE_TYPES = {"TQ1_0": 36, "TQ2_0": 37, "I2_S": 40}
_TYPE_NUMBERS = {kind: number for number, (kind, _, _) in TYPES.items()}
_DESCRIPTION = "Ternary weights written by TritForge; there is no tokenizer in this file."
Progress = Callable[[int, int], None]


def usual_architecture(config: DecoderConfig) -> str:
    """Return the value of ``general.architecture`` whose graph computes a configuration.

    Raises
    ------
    InputError
        None does.
    """
    if not config.sub_norms and config.hidden_act == "silu":
        return "llama"
    if config.sub_norms:
        return "bitnet" if config.hidden_act == "silu" else "bitnet-b1.58"
    raise InputError(
        f"no architecture of GGUF has the activation {config.hidden_act} without sub-norms; choose another format"
    )


def write_gguf(
    reader: CheckpointReader,
    path: Path,
    type: str,  # noqa: A002  (the format's word)
    *,
    i2s_layout: I2sLayout | None = None,
    architecture: str | None = None,
    round_scales: bool = False,
    on_progress: Progress | None = None,
) -> None:
    """Write a checkpoint to a GGUF file: whole or not at all, a matrix or some rows at a time.

    Scales are stored as multipliers, 1 / s_w where the checkpoint has s_w, in float16 (TQ1_0, TQ2_0) or float32
    (I2_S). Embedding, LM head and norms are stored in float32.

    Parameters
    ----------
    reader
        The checkpoint.
    path
        What lies there is replaced.
    type
        Of the ternary matrices: ``TQ1_0``, ``TQ2_0`` or ``I2_S``.
    i2s_layout
        ``x86`` or ``arm``, which builds of bitnet.cpp are to read the file; for I2_S, and needed there.
    architecture
        A name in `tritforge.models.gguf_names.ARCHITECTURES`; that of `usual_architecture` unless given.
    round_scales
        Whether a scale that the file cannot hold exactly is rounded; it is an error otherwise.
    on_progress
        Called with the numbers written so far, and how many there are.

    Raises
    ------
    InputError
        The checkpoint is damaged or does not fit the type or architecture, or the path cannot be written.
    MissingToolError
        The package ``gguf`` is not installed.
    """
    if type not in FILE_TYPES:
        raise InputError(f"the type is {type!r}; one of {', '.join(FILE_TYPES)} is needed")
    if type == "I2_S" and i2s_layout not in I2S_BLOCK:
        raise InputError(
            f"the layout of i2_s is {i2s_layout!r}; x86 or arm is needed, the processor that bitnet.cpp is to run on"
        )
    architecture = usual_architecture(reader.config) if architecture is None else architecture
    entries = write_config(reader.config, architecture)
    block = I2S_BLOCK[i2s_layout] if type == "I2_S" and i2s_layout else BLOCK
    for name, (_, k) in reader.matrices.items():
        if k % block:
            raise InputError(
                f"{name} has {k} weights in a row, which is not a multiple of {block}, as {type} needs; "
                "choose another format"
            )
    total = sum(map(prod, (*reader.matrices.values(), *reader.tensors.values())))
    done = 0
    if on_progress:
        on_progress(done, total)
    with staged(path, replace=True) as partial:
        sizes = _write_head(partial, reader, type, architecture, entries)
        with partial.open("ab") as file:
            for name, size in sizes.items():
                file.write(bytes(-file.tell() % DEFAULT_ALIGNMENT))
                start = file.tell()
                for data, numbers in _pieces(reader, name, type, architecture, i2s_layout, round_scales):
                    file.write(data.data)
                    done += numbers
                    if on_progress:
                        on_progress(done, total)
                assert file.tell() == start + size  # noqa: S101  (what the head says)
            # Programs map whole multiples of the alignment.
            file.write(bytes(-file.tell() % DEFAULT_ALIGNMENT))


def _write_head(
    path: Path, reader: CheckpointReader, kind: str, architecture: str, entries: dict[str, int | float | str]
) -> dict[str, int]:
    """Write everything up to the tensors, and return their bytes by name, in the order in which they follow."""
    try:
        from gguf import GGUFWriter
    except ImportError as error:
        raise MissingToolError(
            "writing GGUF files needs the package gguf; install it with: pip install 'tritforge[gguf]'"
        ) from error
    sizes: dict[str, int] = {}
    writer: Any = GGUFWriter(path, architecture)
    try:
        writer.add_type("model")
        writer.add_description(_DESCRIPTION)
        writer.add_file_type(FILE_TYPES[kind])
        writer.add_quantization_version(2)
        writer.add_tokenizer_model("no_vocab")
        for key, value in entries.items():
            if isinstance(value, str):
                writer.add_string(key, value)
            elif isinstance(value, float):
                writer.add_float32(key, value)
            else:
                writer.add_uint32(key, value)
        for name, shape in reader.tensors.items():
            sizes[name] = prod(shape) * 4
            writer.add_tensor_info(tensor_name(name), shape, np.dtype(np.float32), sizes[name])
        for name, (m, k) in reader.matrices.items():
            sizes[name] = i2s_bytes(m, k) if kind == "I2_S" else m * k // BLOCK * BLOCK_BYTES[kind]
            # The package would count blocks for uint8; of another type it takes the shape, and i2_s by its number.
            writer.add_tensor_info(
                f"{tensor_name(name)}.weight", (m, k), np.dtype(np.int8), sizes[name], _TYPE_NUMBERS[kind]
            )
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
    finally:
        writer.close()
    return sizes


def _pieces(
    reader: CheckpointReader,
    name: str,
    kind: str,
    architecture: str,
    layout: I2sLayout | None,
    round_scales: bool,
) -> Iterator[tuple[npt.NDArray[Any], int]]:
    """Yield a tensor's bytes in order, each piece with how many numbers it stands for."""
    if name in reader.tensors:
        for values in reader.chunks(name):
            yield np.ascontiguousarray(values, dtype="<f4"), values.size
        return
    matrix = reader.matrix(name)
    heads = permuted_heads(name, reader.config) if ARCHITECTURES[architecture].pairs else None
    try:
        yield _packed(matrix, kind, heads, layout, round_scales), matrix.codes.size
    except InputError as error:
        raise InputError(f"{name}: {error}") from error


def _packed(
    matrix: TernaryMatrix, kind: str, heads: int | None, layout: I2sLayout | None, round_scales: bool
) -> npt.NDArray[np.uint8]:
    """Return the bytes of a matrix."""
    grid = _multipliers(matrix, kind, round_scales)
    codes = matrix.codes if heads is None else to_pairs(matrix.codes, heads)
    if layout is not None and kind == "I2_S":
        if grid.size > 1:
            raise InputError(f"it has {grid.size} scales; I2_S has one for a matrix: choose TQ1_0 or TQ2_0")
        return pack_i2s(layout, codes, grid[0, 0])
    blocks = matrix.k // BLOCK
    if blocks % grid.shape[1]:
        raise InputError(
            f"its scales are each for {matrix.k // grid.shape[1]} weights of a row; {kind} has one for each {BLOCK}"
        )
    scales = grid.repeat(matrix.m // grid.shape[0], axis=0).repeat(blocks // grid.shape[1], axis=1)
    return pack_blocks(kind, codes, scales if heads is None else to_pairs(scales, heads))


def _multipliers(matrix: TernaryMatrix, kind: str, round_scales: bool) -> npt.NDArray[np.float32]:
    """Return the scales as the file will hold them, shape (R, C)."""
    grid = matrix.scale_grid
    divisor = matrix.scale_kind == "divisor"
    one = np.float32(1)
    with np.errstate(over="ignore", divide="ignore"):  # what becomes infinite or 0 is not what it was
        stored = one / grid if divisor else grid
        if kind != "I2_S":
            stored = stored.astype(np.float16).astype(np.float32)
        back = one / stored if divisor else stored
    wrong = np.argwhere(back != grid)
    if wrong.size and not round_scales:
        at = tuple(wrong[0])
        raise InputError(
            f"the scale {grid[at]} would be read back as {back[at]} from {kind}; have scales rounded, or choose "
            "another format"
        )
    unusable = np.argwhere(~((stored > 0) & np.isfinite(stored)))
    if unusable.size:
        at = tuple(unusable[0])
        raise InputError(f"the scale {grid[at]} is beyond what {kind} can hold; choose another format")
    return stored
