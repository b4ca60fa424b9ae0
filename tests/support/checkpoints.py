"""Small checkpoints in the forms of Hugging Face, written with NumPy alone: every class, mode and sharding."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from tritforge.models.checkpoint import Checkpoint, matrix_shapes, tensor_shapes
from tritforge.models.config import DecoderConfig
from tritforge.models.hf_weights import pack_quarters
from tritforge.models.safetensors_writer import SafetensorsWriter, TensorType
from tritforge.models.ternary import TernaryMatrix, quantise_weights

Form = Literal["bitlinear", "auto-packed", "auto-units", "online", "1bitllm", "trilm"]
#: How a checkpoint's matrices may be stored.
FORMS: tuple[Form, ...] = ("bitlinear", "auto-packed", "auto-units", "online", "1bitllm", "trilm")
#: BitNet 2B-4T in small: sub-norms, squared ReLU, grouped queries, tied embedding.
BITNET = DecoderConfig(
    vocab_size=19,
    hidden_size=24,
    intermediate_size=36,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    max_position_embeddings=64,
    rope_theta=500000.0,
)
#: A LLaMA of 1.58 bits in small: no sub-norms, SiLU, a head of its own, and wide heads.
LLAMA = DecoderConfig(
    vocab_size=19,
    hidden_size=24,
    intermediate_size=40,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    max_position_embeddings=64,
    head_dim=8,
    hidden_act="silu",
    sub_norms=False,
    tie_word_embeddings=False,
)
_RENAMED = {".attn_sub_norm.": ".inner_attn_ln.", ".ffn_sub_norm.": ".ffn_layernorm."}


@dataclass(frozen=True, kw_only=True)
class Written:
    """A checkpoint that was written: its folder, and the model that a reader must find there."""

    folder: Path
    checkpoint: Checkpoint


def as_bfloat16(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return numbers cut to those that bfloat16 has."""
    return (values.view(np.uint32) & np.uint32(0xFFFF0000)).view(np.float32)


def store(path: Path, tensors: Mapping[str, npt.NDArray[Any]], dtype: str = "F32") -> None:
    """Write tensors to a safetensors file, its floats as F32, F16 or BF16 (cut)."""
    stored: dict[str, tuple[str, npt.NDArray[Any]]] = {}
    for name, values in tensors.items():
        if values.dtype != np.float32:
            stored[name] = "U8", values
        elif dtype == "BF16":
            stored[name] = "BF16", (np.ascontiguousarray(values).view(np.uint32) >> 16).astype(np.uint16)
        else:
            stored[name] = dtype, values.astype({"F32": np.float32, "F16": np.float16}[dtype])
    types = {name: TensorType(dtype=kind, shape=values.shape) for name, (kind, values) in stored.items()}
    with path.open("wb") as file:
        writer = SafetensorsWriter(file, types, {"format": "pt"})
        for name, (_, values) in stored.items():
            writer.write(name, values)
        writer.finish()


def config_json(config: DecoderConfig, form: Form) -> dict[str, Any]:
    """Return the fields of ``config.json`` of such a checkpoint."""
    fields: dict[str, Any] = {
        "architectures": ["BitNetForCausalLM" if config.sub_norms else "LlamaForCausalLM"],
        "model_type": "bitnet" if config.sub_norms else "llama",
        "attention_bias": False,
        "head_dim": config.head_dim,
        "hidden_act": config.hidden_act,
        "rope_scaling": None,
        "tie_word_embeddings": config.tie_word_embeddings,
        "torch_dtype": "bfloat16",
    }
    for name in ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
                 "num_key_value_heads", "max_position_embeddings", "rope_theta", "rms_norm_eps"):  # fmt: skip
        fields[name] = getattr(config, name)
    if form == "1bitllm":
        fields |= {
            "architectures": ["BitnetForCausalLM"],
            "model_type": "llama",
            "weight_bits": 1,
            "input_bits": 8,
        }
    elif form != "trilm":
        fields["quantization_config"] = {
            "quant_method": "bitnet",
            "linear_class": "bitlinear" if form == "bitlinear" else "autobitlinear",
            "quantization_mode": "online" if form == "online" else "offline",
            "modules_to_not_convert": None,
        }
        if config.linear_norms:
            fields["quantization_config"] |= {"use_rms_norm": True, "rms_norm_eps": config.linear_norm_eps}
    return fields


def write(
    folder: Path, config: DecoderConfig, form: Form, *, dtype: str = "F32", shards: int = 1, seed: int = 0
) -> Written:
    """Write a random checkpoint.

    Parameters
    ----------
    folder
        It is made.
    config
        Shapes and architecture, which must be one of the form.
    form
        One of `FORMS`.
    dtype
        Of its floats: ``F32``, ``F16`` or ``BF16``.
    shards
        Number of files; an index goes with more than one.
    seed
        Of the weights.
    """
    random = np.random.default_rng(seed)

    def floats(*shape: int) -> npt.NDArray[np.float32]:
        values = random.standard_normal(shape, dtype=np.float32)
        return as_bfloat16(values) if dtype == "BF16" else values.astype(np.float16).astype(np.float32)

    stored: dict[str, npt.NDArray[Any]] = {}
    matrices: dict[str, TernaryMatrix] = {}
    for name, (m, k) in matrix_shapes(config).items():
        if form in ("online", "1bitllm"):
            stored[f"{name}.weight"] = floats(m, k)
            matrices[name] = quantise_weights(stored[f"{name}.weight"])
            continue
        codes = random.integers(-1, 2, (m, k), dtype=np.int8)
        scale = np.abs(floats(1)) + np.float32(0.5)
        scale = as_bfloat16(scale) if dtype == "BF16" else scale.astype(np.float16).astype(np.float32)
        if form == "trilm":
            grid = scale * np.array([1, 2], dtype=np.float32)
            by_rows = not name.endswith(("o_proj", "down_proj"))
            grid = grid[:, None] if by_rows else grid[None]
            spread = np.kron(grid, np.ones((m // grid.shape[0], k // grid.shape[1]), dtype=np.float32))
            stored[f"{name}.weight"] = codes * spread
            matrices[name] = TernaryMatrix(codes=codes, scale=grid, scale_kind="multiplier")
            continue
        stored[f"{name}.weight"] = codes.astype(np.float32) if form == "auto-units" else pack_quarters(codes)
        stored[f"{name}.weight_scale"] = scale
        kind = "divisor" if form == "bitlinear" else "multiplier"
        matrices[name] = TernaryMatrix(codes=codes, scale=np.float32(scale[0]), scale_kind=kind)
    tensors = {name: floats(*shape) for name, shape in tensor_shapes(config).items()}
    for name, values in tensors.items():
        if form == "1bitllm":
            for ours, theirs in _RENAMED.items():
                name = name.replace(ours, theirs)  # noqa: PLW2901
        stored[name] = values
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config_json(config, form)))
    if shards == 1:
        store(folder / "model.safetensors", stored, dtype)
    else:
        names = sorted(stored)
        files = [f"model-{i + 1:05}-of-{shards:05}.safetensors" for i in range(shards)]
        for i, file in enumerate(files):
            store(folder / file, {name: stored[name] for name in names[i::shards]}, dtype)
        where = {name: files[i % shards] for i, name in enumerate(names)}
        index = {"metadata": {"total_size": 0}, "weight_map": where}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return Written(folder=folder, checkpoint=Checkpoint(config=config, matrices=matrices, tensors=tensors))
