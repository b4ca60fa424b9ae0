"""Shape of a model from a Hugging Face ``config.json``.

A field is used, ignored on purpose (`IGNORED`), or an error: what is not known might change the matrices, and
a shape that leaves it out would be wrong without saying so.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tritforge.accel.errors import InputError
from tritforge.models.shapes import ModelShape
from tritforge.models.strict_json import parse, shown

CONFIG = "config.json"
# Larger whole numbers are no sizes, and larger files no configurations.
_LARGEST_SIZE, _LARGEST_FILE = 2**31 - 1, 1 << 24


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """What a value of ``model_type`` stands for; the defaults are those of transformers 5.

    Attributes
    ----------
    gated
        A gate beside the up projection.
    tied
        Whether the LM head is the embedding table where the file does not say.
    moe
        A mixture of experts in every layer.
    expert_field
        Field with the width of an expert.
    sub_norms
        Norms before the output and down projections.
    """

    gated: bool = True
    tied: bool = False
    moe: bool = False
    expert_field: str = "intermediate_size"
    sub_norms: bool = False


_DENSE = Architecture()
_TIED = Architecture(tied=True)
_PLAIN = Architecture(gated=False)
_MOE = Architecture(moe=True)
_THIN_EXPERTS = Architecture(moe=True, expert_field="moe_intermediate_size")

#: Architectures by ``model_type``.
ARCHITECTURES: Mapping[str, Architecture] = {
    "arcee": _PLAIN,
    "bitnet": Architecture(sub_norms=True),
    "gemma": _TIED,
    "gemma2": _TIED,
    "gemma3_text": _TIED,
    "gpt_oss": _MOE,
    "granite": _DENSE,
    "granitemoe": _MOE,
    "llama": _DENSE,
    "mistral": _DENSE,
    "mixtral": _MOE,
    "nemotron": _PLAIN,
    "olmo": _DENSE,
    "olmo2": _DENSE,
    "olmoe": _MOE,
    "phi3": _DENSE,
    "phimoe": _MOE,
    "qwen2": _DENSE,
    "qwen2_moe": _THIN_EXPERTS,
    "qwen3": _DENSE,
    "qwen3_moe": _THIN_EXPERTS,
    "seed_oss": _DENSE,
    "smollm3": _TIED,
    "stablelm": _DENSE,
}

_NEEDED = ("hidden_size", "num_hidden_layers", "num_attention_heads")
_EXPERTS = ("num_local_experts", "num_experts", "n_routed_experts")
_USED = frozenset(
    {
        *_NEEDED,
        *_EXPERTS,
        "head_dim",
        "hidden_act",
        "hidden_activation",
        "input_bits",
        "intermediate_size",
        "max_position_embeddings",
        "model_type",
        "moe_intermediate_size",
        "num_experts_per_tok",
        "num_key_value_heads",
        "quantization_config",
        "rms_norm_eps",
        "rope_parameters",
        "rope_theta",
        "sliding_window",
        "tie_word_embeddings",
        "use_sliding_window",
        "vocab_size",
        "weight_bits",
    }
)

#: Fields that change neither the matrices nor what is counted: training, generation, numerics, bookkeeping.
IGNORED = frozenset((Path(__file__).parent / "data" / "ignored_config_fields.txt").read_text("utf-8").split())

#: Fields that say that layers differ or hold what a shape has no place for, with the values that mean nothing.
_MUST_BE = {
    "decoder_sparse_step": ("layers with and without experts", (1,)),
    "first_k_dense_replace": ("layers with and without experts", (0,)),
    "mlp_only_layers": ("layers with and without experts", ([],)),
    "moe_layer_freq": ("layers with and without experts", (1,)),
    "shared_expert_intermediate_size": ("an expert that every token shares", (0,)),
    "n_shared_experts": ("an expert that every token shares", (0,)),
    "num_shared_experts": ("an expert that every token shares", (0,)),
    "kv_lora_rank": ("a compressed cache of keys and values", (0,)),
    "q_lora_rank": ("queries through a low-rank product", (0,)),
    "num_nextn_predict_layers": ("layers that predict further tokens", (0,)),
}
_ATTENTION_LAYERS = {"full_attention", "sliding_attention", "chunked_attention", "attention"}


class _Config:
    """Fields of a file, with errors that name it."""

    def __init__(self, fields: Mapping[str, Any], where: str) -> None:
        self.fields = fields
        self.where = where

    def error(self, text: str) -> InputError:
        return InputError(f"{self.where}: {text}")

    def get(self, name: str) -> Any:
        return self.fields.get(name)

    def whole(self, name: str) -> int | None:
        value = self.fields.get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise self.error(f"{name} is {value!r}; a whole number of 1 or more is needed")
        if value > _LARGEST_SIZE:
            raise self.error(f"{name} is {shown(str(value))}; {_LARGEST_SIZE} is the largest that can be")
        return value

    def needed(self, name: str) -> int:
        value = self.whole(name)
        if value is None:
            raise self.error(f"{name} is missing; a shape needs it")
        return value

    def number(self, name: str) -> float | None:
        value = self.fields.get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < 1e30:
            raise self.error(f"{name} is {value!r}; a number above 0 is needed, and below 1e30")
        return float(value)

    def flag(self, name: str) -> bool | None:
        value = self.fields.get(name)
        if value is not None and not isinstance(value, bool):
            raise self.error(f"{name} is {value!r}; true or false is needed")
        return value

    def text(self, name: str) -> str | None:
        value = self.fields.get(name)
        if value is not None and not isinstance(value, str):
            raise self.error(f"{name} is {value!r}; a name is needed")
        return value


def read_config(path: Path, *, repeated: list[str] | None = None) -> dict[str, Any]:
    """Read the fields of a ``config.json``.

    Parameters
    ----------
    path
        The file.
    repeated
        Takes the fields that are there twice; the last one counts, as in transformers. Published files have such
        (HF1BitLLM/Llama3-8B-1.58-100B-tokens has two of ``quantization_config``).

    Raises
    ------
    InputError
        The file cannot be read, or is no JSON object.
    """
    try:
        if path.stat().st_size > _LARGEST_FILE:
            raise InputError(
                f"{path} has {path.stat().st_size} bytes; a {CONFIG} has {_LARGEST_FILE} at most"
            )
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}; give a {CONFIG} or its folder") from error
    try:
        document = parse(content, repeated=[] if repeated is None else repeated)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    if not isinstance(document, dict):
        raise InputError(f"{path} must hold a JSON object, as Hugging Face writes {CONFIG}")
    return document


def _decoder_fields(fields: Mapping[str, Any], where: str) -> _Config:
    text = fields.get("text_config")
    if isinstance(text, dict):
        # A model of text and images: its decoder alone is a shape.
        return _Config(text, f"{where} text_config")
    return _Config(fields, where)


def _architecture(config: _Config) -> Architecture:
    kind = config.text("model_type")
    known = ", ".join(ARCHITECTURES)
    if kind is None:
        raise config.error(f"model_type is missing; it must be one of {known}")
    if kind not in ARCHITECTURES:
        raise config.error(f"model_type is {kind!r}; it must be one of {known}")
    return ARCHITECTURES[kind]


def _check_fields(config: _Config) -> None:
    known = _USED | IGNORED | set(_MUST_BE) | {"layer_types"}
    for name in config.fields:
        if name not in known:
            raise config.error(
                f"the field {shown(name)} is not known and may change the matrices; "
                "remove it from a copy of the file if it does not"
            )
    for name, (meaning, harmless) in _MUST_BE.items():
        value = config.get(name)
        if value is not None and value not in harmless:
            raise config.error(f"{name} is {value!r}: a shape has no place for {meaning}")
    layer_types = config.get("layer_types") or []
    if not isinstance(layer_types, list):
        raise config.error(f"layer_types is {layer_types!r}; a list of names is needed")
    for kind in layer_types:
        if not isinstance(kind, str) or kind not in _ATTENTION_LAYERS:
            raise config.error(f"layer_types has {kind!r}: a shape has no place for layers that differ")


def _experts(config: _Config, architecture: Architecture) -> tuple[int, int, int]:
    """Width of a feed-forward network, experts of a layer, and experts of a token."""
    counts = {name: value for name in _EXPERTS if (value := config.whole(name)) is not None}
    if len(set(counts.values())) > 1:
        listed = " and ".join(f"{name} {value}" for name, value in counts.items())
        raise config.error(f"{listed} contradict each other; keep one")
    experts = next(iter(counts.values()), 1)
    if not architecture.moe:
        if experts > 1:
            name = next(iter(counts))
            kind = config.get("model_type")
            raise config.error(f"{name} is {experts}, but model_type {kind!r} has no experts; change one")
        return config.needed("intermediate_size"), 1, 1
    if not counts:
        raise config.error("num_local_experts is missing; a mixture of experts needs it")
    active = config.needed("num_experts_per_tok")
    if active > experts:
        raise config.error(f"num_experts_per_tok {active} is above {next(iter(counts))} {experts}")
    return config.needed(architecture.expert_field), experts, active


def _heads(config: _Config) -> tuple[int, int, int]:
    """Query heads, heads of keys and values, and width of a head."""
    hidden, heads = config.needed("hidden_size"), config.needed("num_attention_heads")
    groups = config.whole("num_key_value_heads") or heads
    if heads % groups:
        raise config.error(f"num_attention_heads {heads} is not a multiple of num_key_value_heads {groups}")
    width = config.whole("head_dim")
    if width is None:
        if hidden % heads:
            raise config.error(
                f"hidden_size {hidden} is not a multiple of num_attention_heads {heads}, "
                "and head_dim is missing; give it"
            )
        width = hidden // heads
    return heads, groups, width


def _rope_theta(config: _Config) -> float | None:
    parameters = config.get("rope_parameters")
    inner = None
    if isinstance(parameters, dict):
        inner = _Config(parameters, f"{config.where} rope_parameters").number("rope_theta")
    outer = config.number("rope_theta")
    if inner is not None and outer is not None and inner != outer:
        raise config.error(
            f"rope_theta {outer:g} and rope_parameters.rope_theta {inner:g} contradict each other; keep one"
        )
    return outer if inner is None else inner


def _is_ternary(config: _Config) -> bool:
    quantization = config.get("quantization_config")
    method = quantization.get("quant_method") if isinstance(quantization, dict) else None
    bits = config.number("weight_bits")
    return config.get("model_type") == "bitnet" or method == "bitnet" or (bits is not None and bits < 2)


def _note(config: _Config) -> str:
    window = config.whole("sliding_window")
    if window is None or config.flag("use_sliding_window") is False:
        return ""
    return f"sliding_window {window} is not followed: attention and cache are counted over the whole context"


def shape_from_config(path: str | Path, *, name: str | None = None) -> ModelShape:
    """Read the shape of a model from a ``config.json``, or from the folder that holds one.

    Parameters
    ----------
    path
        File or folder.
    name
        Name of the shape; the path as it was given unless given.

    Raises
    ------
    InputError
        The file cannot be read, its architecture is not known, or a field is missing, not known, out of
        bounds or at odds with another; the message names file and field.
    """
    given = Path(path)
    file = given / CONFIG if given.is_dir() else given
    return shape_from_fields(read_config(file), str(file), name=str(path) if name is None else name)


def shape_from_fields(fields: Mapping[str, Any], where: str, *, name: str) -> ModelShape:
    """Take the shape of a model from the fields of a ``config.json``; see `shape_from_config`.

    Parameters
    ----------
    fields
        As `read_config` returns them.
    where
        What messages call the file.
    name
        Name of the shape.

    Raises
    ------
    InputError
        As there, but for reading the file.
    """
    config = _decoder_fields(fields, where)
    architecture = _architecture(config)
    _check_fields(config)
    heads, groups, head_dim = _heads(config)
    width, experts, active = _experts(config, architecture)
    tied = config.flag("tie_word_embeddings")
    bits = config.whole("input_bits")
    ternary = _is_ternary(config)
    act_bits = (8,) if ternary else ()
    return ModelShape(
        name=name,
        hidden_size=config.needed("hidden_size"),
        intermediate_size=width,
        num_hidden_layers=config.needed("num_hidden_layers"),
        num_attention_heads=heads,
        num_key_value_heads=groups,
        head_dim=head_dim,
        source=f"the configuration {config.where}",
        status="verified",
        vocab_size=config.whole("vocab_size"),
        max_position_embeddings=config.whole("max_position_embeddings"),
        hidden_act=config.text("hidden_act") or config.text("hidden_activation"),
        ffn_gated=architecture.gated,
        num_local_experts=experts,
        num_experts_per_tok=active,
        tie_word_embeddings=architecture.tied if tied is None else tied,
        sub_norms=architecture.sub_norms,
        rope_theta=_rope_theta(config),
        rms_norm_eps=config.number("rms_norm_eps"),
        weights="ternary" if ternary else "float16",
        act_bits=act_bits if bits is None else (bits,),
        note=_note(config),
    )
