"""What GGUF files call a decoder's shapes and tensors, and in which order llama.cpp wants the rows of two of them.

Architectures, by ``general.architecture``:

- ``llama``: the LLaMA-like ternary models (Llama3-8B-1.58, Falcon3-1.58, TriLM). llama.cpp rotates neighbouring
  pairs of a head's numbers where the checkpoints of Hugging Face rotate its two halves, so its converter permutes the
  rows of the query and key matrices (`to_pairs`).
- ``bitnet``: llama.cpp's own BitNet (1bitLLM's), with sub-norms and rotated halves. The gate is SiLU unless
  ``bitnet.hidden_activation`` says otherwise.
- ``bitnet-b1.58`` and ``bitnet-25``: bitnet.cpp's (BitNet b1.58 2B-4T): the same with a squared ReLU.

Sources: convert_hf_to_gguf.py, src/models/bitnet.cpp and gguf-py/gguf/constants.py of llama.cpp; the converters in
utils/ and ``build_bitnet`` and ``build_bitnet_158`` in the llama.cpp of bitnet.cpp.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from tritforge.accel.errors import InputError
from tritforge.models.config import DecoderConfig
from tritforge.models.gguf_file import GgufArray, Value
from tritforge.models.strict_json import shown

Number = TypeVar("Number", bound=np.generic)


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """What a value of ``general.architecture`` stands for.

    Attributes
    ----------
    hidden_act
        Activation of the gate where the file does not say.
    sub_norms
        Norms before the output and down projections; their graphs use the embedding table as the LM head.
    pairs
        Rows of the query and key matrices are in the order of `to_pairs`.
    """

    hidden_act: str
    sub_norms: bool
    pairs: bool = False


ARCHITECTURES: Mapping[str, Architecture] = MappingProxyType(
    {
        "llama": Architecture(hidden_act="silu", sub_norms=False, pairs=True),
        "bitnet": Architecture(hidden_act="silu", sub_norms=True),
        "bitnet-b1.58": Architecture(hidden_act="relu2", sub_norms=True),
        "bitnet-25": Architecture(hidden_act="relu2", sub_norms=True),
    }
)
_ACTIVATIONS = {
    "relu2": "relu2",
    "relu_sqr": "relu2",
    "relu_squared": "relu2",
    "silu": "silu",
    "swish": "silu",
    "swiglu": "silu",
}

#: Fields of a configuration by keys, without the architecture before them.
KEYS = {
    "embedding_length": "hidden_size",
    "feed_forward_length": "intermediate_size",
    "block_count": "num_hidden_layers",
    "attention.head_count": "num_attention_heads",
    "attention.head_count_kv": "num_key_value_heads",
    "context_length": "max_position_embeddings",
    "rope.freq_base": "rope_theta",
    "attention.layer_norm_rms_epsilon": "rms_norm_eps",
    "attention.key_length": "head_dim",
    "hidden_activation": "hidden_act",
}
_OPTIONAL = {"attention.head_count_kv", "rope.freq_base", "attention.key_length", "hidden_activation"}
_FRACTIONS = {"rope.freq_base", "attention.layer_norm_rms_epsilon"}
# Keys that say nothing of the numbers, and those that must hold the value at which they do nothing.
_IGNORED = {"tensor_data_layout", "rope.scaling.original_context_length", "rope.scaling.finetuned"}
_NEUTRAL: Mapping[str, tuple[object, ...]] = {
    "rope.scaling.type": ("none", "linear"),
    "rope.scaling.factor": (1,),
    "rope.scale_linear": (1,),
    "rope.scaling.attn_factor": (1,),
    "attention.causal": (True,),
    "attention.clamp_kqv": (0,),
    "attention.max_alibi_bias": (0,),
    "attention.scale": (0,),
    "attention.sliding_window": (0,),
    "embedding_scale": (1,),
    "residual_scale": (1,),
    "logit_scale": (1,),
    "expert_count": (0,),
    "expert_used_count": (0,),
    "use_parallel_residual": (False,),
}

_LAYER_TENSORS = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm.weight": "attn_norm.weight",
    "post_attention_layernorm.weight": "ffn_norm.weight",
    "self_attn.attn_sub_norm.weight": "attn_sub_norm.weight",
    "mlp.ffn_sub_norm.weight": "ffn_sub_norm.weight",
}
_MODEL_TENSORS = {
    "model.embed_tokens.weight": "token_embd.weight",
    "model.norm.weight": "output_norm.weight",
    "lm_head.weight": "output.weight",
}
#: Factors of the rotary frequencies, in files of models that have them.
ROPE_FACTORS = "rope_freqs.weight"


def tensor_name(name: str) -> str:
    """Return what GGUF calls a tensor; a matrix without the ``.weight`` (or ``.scale``) behind it."""
    if name in _MODEL_TENSORS:
        return _MODEL_TENSORS[name]
    _, _, layer, part = name.split(".", 3)
    return f"blk.{layer}.{_LAYER_TENSORS[part]}"


def permuted_heads(name: str, config: DecoderConfig) -> int | None:
    """Return how many heads the rows of a query or key matrix belong to; None for every other matrix."""
    if name.endswith(".q_proj"):
        return config.num_attention_heads
    return config.num_key_value_heads if name.endswith(".k_proj") else None


def to_pairs(rows: npt.NDArray[Number], heads: int) -> npt.NDArray[Number]:
    """Interleave the two halves of each head's rows: row i of the first half, row i of the second, and so on.

    Source: ``LlamaModel.permute`` of llama.cpp's convert_hf_to_gguf.py.

    Parameters
    ----------
    rows : ndarray, shape (M, ...)
        M a multiple of twice the heads.
    """
    return rows.reshape(heads, 2, -1, *rows.shape[1:]).swapaxes(1, 2).reshape(rows.shape)


def from_pairs(rows: npt.NDArray[Number], heads: int) -> npt.NDArray[Number]:
    """Undo `to_pairs`."""
    return rows.reshape(heads, -1, 2, *rows.shape[1:]).swapaxes(1, 2).reshape(rows.shape)


def read_config(values: Mapping[str, Value], *, vocab_size: int, tied: bool) -> tuple[str, DecoderConfig]:
    """Return architecture and configuration that a file's entries say.

    Every entry of the architecture is used, known to say nothing of the numbers, or an error.

    Parameters
    ----------
    values
        The entries.
    vocab_size
        Rows of the embedding table.
    tied
        There is no LM head of its own.

    Raises
    ------
    InputError
        An architecture, an entry or a value that is not known; the message names it.
    """
    architecture = values.get("general.architecture")
    if not isinstance(architecture, str) or architecture not in ARCHITECTURES:
        known = ", ".join(ARCHITECTURES)
        raise InputError(f"general.architecture is {shown(repr(architecture))}; one of {known} is needed")
    if values.get("split.count", 1) not in {0, 1}:
        raise InputError(
            f"it is one of {shown(str(values['split.count']))} files of a model; merge them first "
            "(llama-gguf-split --merge)"
        )
    traits, prefix = ARCHITECTURES[architecture], f"{architecture}."
    entries = {key.removeprefix(prefix): value for key, value in values.items() if key.startswith(prefix)}
    fields: dict[str, Any] = {
        "vocab_size": vocab_size,
        "tie_word_embeddings": tied,
        "sub_norms": traits.sub_norms,
        "hidden_act": traits.hidden_act,
    }
    for key, field in KEYS.items():
        if key in entries:
            fields[field] = _field(prefix + key, entries[key], fraction=key in _FRACTIONS)
        elif key not in _OPTIONAL:
            raise InputError(f"the entry {prefix}{key} is missing")
    fields.setdefault("num_key_value_heads", fields["num_attention_heads"])
    try:
        config = DecoderConfig(**fields)
    except InputError as error:
        raise InputError(f"{error} (from the entries {prefix}*)") from error
    _check_others(prefix, entries, config)
    return architecture, config


def _field(key: str, value: Value, *, fraction: bool) -> Any:
    """Return the value of a field."""
    if key.endswith(".hidden_activation"):
        if not isinstance(value, str) or value not in _ACTIVATIONS:
            raise InputError(f"{key} is {shown(repr(value))}; one of {', '.join(_ACTIVATIONS)} is needed")
        return _ACTIVATIONS[value]
    if isinstance(value, GgufArray):
        raise InputError(f"{key} is an array, one value for each layer; layers of one shape are needed")
    if isinstance(value, bool) or not isinstance(value, (int, float) if fraction else int) or not value > 0:
        what = "number" if fraction else "whole number"
        raise InputError(f"{key} is {shown(repr(value))}; a positive {what} is needed")
    return value


def _check_others(prefix: str, entries: Mapping[str, Value], config: DecoderConfig) -> None:
    """Refuse an entry that would change the numbers and has no place in the configuration."""
    neutral: dict[str, tuple[object, ...]] = {
        **_NEUTRAL,
        "vocab_size": (config.vocab_size,),
        "rope.dimension_count": (config.head_dim,),
        "attention.value_length": (config.head_dim,),
    }
    for key, value in entries.items():
        if key in KEYS or key in _IGNORED:
            continue
        if key not in neutral:
            raise InputError(f"the entry {shown(prefix + key)} is not known, and might change the numbers")
        if value not in neutral[key]:
            wanted = " or ".join(repr(item) for item in neutral[key])
            raise InputError(f"{prefix}{key} is {shown(repr(value))}; only {wanted} is supported")


def write_config(config: DecoderConfig, architecture: str) -> dict[str, int | float | str]:
    """Return the entries of a configuration: `read_config` gives it back.

    Raises
    ------
    InputError
        The architecture is not known, or has no place for something in the configuration.
    """
    traits = ARCHITECTURES.get(architecture)
    if traits is None:
        raise InputError(f"the architecture is {architecture!r}; one of {', '.join(ARCHITECTURES)} is needed")
    if config.linear_norms:
        raise InputError("GGUF has no place for norms before every ternary matrix; choose another format")
    if config.sub_norms != traits.sub_norms:
        has = "has" if traits.sub_norms else "has no"
        raise InputError(
            f"the architecture {architecture} {has} sub-norms, unlike this model; choose another"
        )
    if traits.sub_norms and not config.tie_word_embeddings:
        raise InputError(
            f"the architecture {architecture} has no LM head of its own, which this model has; choose another format"
        )
    entries: dict[str, int | float | str] = {
        f"{architecture}.{key}": getattr(config, field) for key, field in KEYS.items()
    }
    if config.hidden_act == traits.hidden_act:
        del entries[f"{architecture}.hidden_activation"]
    elif architecture != "bitnet":
        raise InputError(
            f"the architecture {architecture} has the activation {traits.hidden_act}; the model's is "
            f"{config.hidden_act}: choose another architecture"
        )
    for key in _FRACTIONS:
        value = entries[f"{architecture}.{key}"]
        if float(str(np.float32(value))) != value:
            raise InputError(f"{architecture}.{key} would be {value!r}, which float32 does not hold")
    entries[f"{architecture}.attention.value_length"] = config.head_dim
    entries[f"{architecture}.rope.dimension_count"] = config.head_dim
    entries[f"{architecture}.vocab_size"] = config.vocab_size
    return entries
