"""Writing a checkpoint as the folder that Hugging Face's transformers loads.

Packed matrices are its layers ``BitLinear``, whose ``weight_scale`` the sums are divided by, or ``AutoBitLinear``
(offline), whose ``weight_scale`` they are multiplied with; which of the two follows from the scales, none of which is
changed. Source: ``transformers.integrations.bitnet`` and ``transformers.models.bitnet``, version 5.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from tritforge.accel.errors import InputError
from tritforge.accel.files import staged
from tritforge.models.config import DecoderConfig
from tritforge.models.hf_config import CONFIG
from tritforge.models.hf_shards import INDEX, SINGLE
from tritforge.models.hf_weights import pack_quarters, ternary_from_floats
from tritforge.models.reader import CheckpointReader, counting
from tritforge.models.safetensors_file import DTYPES
from tritforge.models.safetensors_writer import SafetensorsWriter, TensorType, from_float32
from tritforge.models.ternary import TernaryMatrix

Form = Literal["packed", "float"]
#: Most bytes of a file of weights, as transformers has it.
SHARD_BYTES = 5_000_000_000
#: Float types in which the numbers of the float form are kept where every one of them can be.
_FLOATS = ("BF16", "F16")
_LAYERS = {"divisor": ("bitlinear", "offline"), "multiplier": ("autobitlinear", "offline")}


def write_hugging_face(
    reader: CheckpointReader,
    folder: Path,
    form: Form = "packed",
    *,
    shard_bytes: int = SHARD_BYTES,
    on_progress: Callable[[int, int], None] | None = None,
) -> None:
    """Write ``config.json`` and ``model.safetensors``, or shards of it with their index.

    Parameters
    ----------
    reader
        The checkpoint.
    folder
        Where they are to lie; there is nothing yet.
    form
        ``packed``: four codes a byte and a scale for each matrix. ``float``: numbers of which a matrix has three, 0
        and plus and minus its scale.
    shard_bytes
        Largest file of weights, but for a tensor that is larger by itself.
    on_progress
        Called with numbers done and numbers in all.

    Raises
    ------
    InputError
        transformers has no class for the model, or the form cannot hold it unchanged; or the checkpoint is damaged,
        or the folder cannot be written.
    """
    advance = counting(reader.weights + reader.float_numbers, on_progress)
    # What comes first, looking at scales and numbers, may take a while.
    advance(0)
    kind = _scale_kind(reader, form)
    groups = list(_groups(reader, form))
    shards = _shards(groups, shard_bytes)
    with staged(folder) as stage:
        stage.mkdir()
        document = configuration(reader.config, form, kind)
        (stage / CONFIG).write_text(json.dumps(document, indent=2) + "\n")
        index: dict[str, str] = {}
        for number, shard in enumerate(shards, 1):
            name = SINGLE if len(shards) == 1 else f"model-{number:05}-of-{len(shards):05}.safetensors"
            types = {stored: kind for group in shard for stored, kind in group.types.items()}
            index |= dict.fromkeys(types, name)
            with (stage / name).open("wb") as file:
                # The entry that transformers itself writes, and that its readers ask for.
                writer = SafetensorsWriter(file, types, {"format": "pt"})
                for group in shard:
                    for stored, values, numbers in _contents(reader, group, form):
                        writer.write(stored, values)
                        advance(numbers)
                writer.finish()
        if len(shards) > 1:
            size = sum(group.nbytes for group in groups)
            text = json.dumps({"metadata": {"total_size": size}, "weight_map": index}, indent=2)
            (stage / INDEX).write_text(text + "\n")


def configuration(config: DecoderConfig, form: Form, scale_kind: str) -> dict[str, Any]:
    """Return the content of ``config.json``.

    A model with sub-norms is ``BitNetForCausalLM``, any other ``LlamaForCausalLM``.

    Raises
    ------
    InputError
        transformers has no class for the model.
    """
    if config.sub_norms and config.head_dim * config.num_attention_heads != config.hidden_size:
        raise InputError(
            f"head_dim is {config.head_dim}; transformers' BitNet model takes "
            f"{config.hidden_size // config.num_attention_heads}, hidden_size over the heads: use another format"
        )
    if form == "float" and (config.sub_norms or config.linear_norms):
        norms = "sub-norms" if config.sub_norms else "norms before every matrix"
        raise InputError(
            f"{norms} belong to models whose config.json says how they are quantised; use the packed form"
        )
    document: dict[str, Any] = {
        "architectures": ["BitNetForCausalLM" if config.sub_norms else "LlamaForCausalLM"],
        "model_type": "bitnet" if config.sub_norms else "llama",
        "vocab_size": config.vocab_size,
        "hidden_size": config.hidden_size,
        "intermediate_size": config.intermediate_size,
        "num_hidden_layers": config.num_hidden_layers,
        "num_attention_heads": config.num_attention_heads,
        "num_key_value_heads": config.num_key_value_heads,
        "head_dim": config.head_dim,
        "max_position_embeddings": config.max_position_embeddings,
        "hidden_act": config.hidden_act,
        "rms_norm_eps": config.rms_norm_eps,
        "rope_theta": config.rope_theta,
        "rope_parameters": {"rope_type": "default", "rope_theta": config.rope_theta},
        "tie_word_embeddings": config.tie_word_embeddings,
        "attention_bias": False,
        # Without these, transformers would take those of the first model of the class.
        "bos_token_id": None,
        "eos_token_id": None,
        # Scales and norms are computed with as they are stored.
        "dtype": "float32",
    }
    if form == "packed":
        linear_class, mode = _LAYERS[scale_kind]
        document["quantization_config"] = {
            "quant_method": "bitnet",
            "linear_class": linear_class,
            "quantization_mode": mode,
            "modules_to_not_convert": ["lm_head"],
            "use_rms_norm": config.linear_norms,
            "rms_norm_eps": config.linear_norm_eps,
        }
    return document


def _scale_kind(reader: CheckpointReader, form: Form) -> str:
    """Return the one kind of the model's scales; refuse what the form cannot hold."""
    kinds: dict[str, str] = {}
    for name, (m, _) in reader.matrices.items():
        kind, grid = reader.scale_form(name)
        kinds.setdefault(kind, name)
        if form == "packed" and grid is not None:
            raise InputError(
                f"{name} has {grid[0]} x {grid[1]} scales and transformers' layers have one; "
                "use another format, or the float form"
            )
        if form == "packed" and m % 4:
            raise InputError(
                f"{name} has {m} rows and transformers packs four at a time; use another format, or the float form"
            )
    if len(kinds) > 1:
        (first, one), (second, other) = kinds.items()
        raise InputError(
            f"the scale of {one} is a {first} and that of {other} a {second}; transformers has one class of layer "
            "for all: use another format"
        )
    kind = next(iter(kinds))
    if form == "float" and kind == "divisor":
        raise InputError(
            "the model's scales are divisors, whose reciprocals float32 rounds; the float form takes multipliers: "
            "use the packed form"
        )
    return kind


@dataclass(frozen=True, kw_only=True)
class _Group:
    """What is written of one matrix or tensor: names, types and shapes in the file."""

    name: str
    types: dict[str, TensorType]
    is_matrix: bool

    @property
    def nbytes(self) -> int:
        return sum(prod(kind.shape) * DTYPES[kind.dtype].itemsize for kind in self.types.values())


def _groups(reader: CheckpointReader, form: Form) -> Iterator[_Group]:
    for name, (m, k) in reader.matrices.items():
        if form == "packed":
            types = {
                f"{name}.weight": TensorType(dtype="U8", shape=(m // 4, k)),
                f"{name}.weight_scale": TensorType(dtype="F32", shape=(1,)),
            }
        else:
            dtype = _smallest_float([reader.matrix(name).scale_grid])
            types = {f"{name}.weight": TensorType(dtype=dtype, shape=(m, k))}
        yield _Group(name=name, types=types, is_matrix=True)
    for name, shape in reader.tensors.items():
        # transformers widens the numbers of a model of floats, but leaves those beside packed layers as they are.
        dtype = "F32" if form == "packed" else _smallest_float(reader.chunks(name))
        yield _Group(name=name, types={name: TensorType(dtype=dtype, shape=shape)}, is_matrix=False)


def _smallest_float(numbers: Iterable[npt.NDArray[np.float32]]) -> str:
    """Return the smallest type that holds every number."""
    left = list(_FLOATS)
    for some in numbers:
        for dtype in tuple(left):
            try:
                from_float32(some, dtype)
            except InputError:
                left.remove(dtype)
        if not left:
            return "F32"
    return left[0]


def _shards(groups: list[_Group], most: int) -> list[list[_Group]]:
    shards: list[list[_Group]] = [[]]
    size = 0
    for group in groups:
        if shards[-1] and size + group.nbytes > most:
            shards.append([])
            size = 0
        shards[-1].append(group)
        size += group.nbytes
    return shards


def _contents(
    reader: CheckpointReader, group: _Group, form: Form
) -> Iterator[tuple[str, npt.NDArray[Any], int]]:
    """Yield pieces of a group's tensors with the numbers that each stands for."""
    if not group.is_matrix:
        dtype = group.types[group.name].dtype
        for chunk in reader.chunks(group.name):
            yield group.name, from_float32(chunk, dtype), chunk.size
        return
    matrix = reader.matrix(group.name)
    stored = f"{group.name}.weight"
    if form == "packed":
        yield stored, pack_quarters(matrix.codes), matrix.codes.size
        yield f"{stored}_scale", np.asarray(matrix.scale, dtype=np.float32).reshape(1), 0
    else:
        yield stored, from_float32(_floats(group.name, matrix), group.types[stored].dtype), matrix.codes.size


def _floats(name: str, matrix: TernaryMatrix) -> npt.NDArray[np.float32]:
    """Return codes times scales, if they tell codes and scales again."""
    grid = matrix.scale_grid
    blocks = matrix.codes.reshape(grid.shape[0], matrix.m // grid.shape[0], grid.shape[1], -1)
    values: npt.NDArray[np.float32] = (blocks * grid[:, None, :, None]).reshape(matrix.m, matrix.k)
    found = ternary_from_floats(values)
    if found is None or not np.array_equal(found.scale_grid, grid):
        raise InputError(
            f"{name} as floats would be read with other scales, since a block is all zeros or scales repeat; "
            "use another format"
        )
    return values
