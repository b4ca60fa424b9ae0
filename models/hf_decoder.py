"""The decoder that a Hugging Face ``config.json`` describes, and how its weights are stored.

Stricter than a shape (`tritforge.models.hf_config`): what changes the arithmetic is carried out or refused by name.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from typing import Any

from tritforge.accel.errors import InputError
from tritforge.models.config import ACTIVATIONS, DecoderConfig
from tritforge.models.hf_config import CONFIG, read_config, shape_from_fields
from tritforge.models.strict_json import shown


class Storage(Enum):
    """What a matrix's tensors hold."""

    PACKED_DIVISOR = "packed codes, and 1/mean|W| as their scale (bitlinear)"
    MULTIPLIER = "codes, and mean|W| as their scale (autobitlinear, offline)"
    MASTERS = "float master weights (quantised by absmean)"
    FLOATS = "floats of three values"


@dataclass(frozen=True, kw_only=True)
class StoredDecoder:
    """A decoder, and what its checkpoint holds.

    Attributes
    ----------
    config
        Shapes and architecture.
    storage
        What the matrices' tensors hold.
    renamed
        Parts of the tensors' names here, and what the checkpoint calls them.
    notes
        What a user should know of the configuration, a sentence each.
    """

    config: DecoderConfig
    storage: Storage
    renamed: Mapping[str, str]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class _Defaults:
    """What transformers takes for a field that the file lacks."""

    hidden_act: str
    rope_theta: float
    rms_norm_eps: float
    max_position_embeddings: int = 2048


_DEFAULTS = {
    "bitnet": _Defaults(hidden_act="relu2", rope_theta=500000.0, rms_norm_eps=1e-5),
    "llama": _Defaults(hidden_act="silu", rope_theta=10000.0, rms_norm_eps=1e-6),
}
#: Fields that would change the arithmetic, with the values at which they do not.
_NEUTRAL: Mapping[str, tuple[object, ...]] = {
    "activation": ("swiglu",),
    "add_cross_attention": (False,),
    "attention_bias": (False,),
    "attention_multiplier": (),
    "attention_out_bias": (False,),
    "attn_logit_softcapping": (),
    "clip_qkv": (),
    "embedding_multiplier": (1,),
    "final_logit_softcapping": (),
    "is_encoder_decoder": (False,),
    "lm_head_bias": (False,),
    "logits_scaling": (1,),
    "mlp_bias": (False,),
    "parallel_attn": (False,),
    "partial_rotary_factor": (1,),
    "qk_layernorm": (False,),
    "qkv_bias": (False,),
    "residual_multiplier": (1,),
    "rope_interleaved": (False,),
    "rotary_pct": (1,),
    "use_bidirectional_attention": (False,),
    "use_mrope": (False,),
    "use_parallel_residual": (False,),
    "use_qkv_bias": (False,),
}
# Fields that say again what another says.
_SAME = {"dims_per_head": "head_dim", "rotary_emb_base": "rope_theta"}
_NEUTRAL_ROPE: Mapping[str, tuple[object, ...]] = {
    "rope_type": ("default",),
    "type": ("default",),
    "partial_rotary_factor": (1,),
}
_QUANTISATION = frozenset(
    {
        "linear_class",
        "modules_to_not_convert",
        "quant_method",
        "quantization_mode",
        "rms_norm_eps",
        "use_rms_norm",
    }
)
#: Modules that hold no ternary matrix here, by the names under which a file may except them.
_NOT_CONVERTED = frozenset({"lm_head", "lm_head.weight", "model.embed_tokens", "embed_tokens", "model.norm"})
#: The class of the models of 1bitLLM, which are LLaMA with norms before the output and down projections.
_REPRODUCTION = "BitnetForCausalLM"
_REPRODUCTION_NAMES = {
    "self_attn.attn_sub_norm": "self_attn.inner_attn_ln",
    "mlp.ffn_sub_norm": "mlp.ffn_layernorm",
}


def read_decoder(folder: Path) -> StoredDecoder:
    """Read a checkpoint's configuration.

    Parameters
    ----------
    folder
        That holds ``config.json``.

    Raises
    ------
    InputError
        The file cannot be read, or describes a model that is not run here; the message names file and field.
    """
    path = folder / CONFIG
    repeated: list[str] = []
    fields = read_config(path, repeated=repeated)
    notes = [f"{CONFIG} has {shown(name)} twice; the last counts, as in transformers." for name in repeated]
    try:
        return replace(_decoder(path, fields), notes=tuple(notes))
    except InputError as error:
        text = str(error)
        raise InputError(text if text.startswith(str(path)) else f"{path}: {text}") from error


def _decoder(path: Path, fields: Mapping[str, Any]) -> StoredDecoder:
    kind = fields.get("model_type")
    if not isinstance(kind, str) or kind not in _DEFAULTS:
        raise InputError(f"model_type is {_said(kind)}; one of {', '.join(_DEFAULTS)} can be run")
    if "text_config" in fields:
        raise InputError("text_config is there: a model of more than text cannot be run")
    _check_neutral(fields)
    shape = shape_from_fields(fields, str(path), name=str(path))
    reproduction = _is_reproduction(fields)
    quantisation = fields.get("quantization_config")
    usual = _DEFAULTS[kind]
    if shape.vocab_size is None:
        raise InputError("vocab_size is missing; a decoder needs it")
    act = shape.hidden_act or usual.hidden_act
    if act not in ACTIVATIONS:
        raise InputError(f"hidden_act is {_said(act)}; one of {', '.join(ACTIVATIONS)} can be run")
    norms, eps = False, 1e-6
    if quantisation is None:
        storage = Storage.MASTERS if reproduction else Storage.FLOATS
    elif reproduction:
        raise InputError(
            f"{_REPRODUCTION} with a quantization_config is not known; remove the one that is wrong"
        )
    else:
        storage = _storage(quantisation)
        norms = _flag(quantisation, "use_rms_norm")
        eps = _number(quantisation, "rms_norm_eps", eps)
    if quantisation is None and kind == "bitnet":
        raise InputError("quantization_config is missing: it says what the weights of a bitnet are; add it")
    config = DecoderConfig(
        vocab_size=shape.vocab_size,
        hidden_size=shape.hidden_size,
        intermediate_size=shape.intermediate_size,
        num_hidden_layers=shape.num_hidden_layers,
        num_attention_heads=shape.num_attention_heads,
        num_key_value_heads=shape.num_key_value_heads,
        max_position_embeddings=shape.max_position_embeddings or usual.max_position_embeddings,
        rope_theta=shape.rope_theta or usual.rope_theta,
        rms_norm_eps=shape.rms_norm_eps or usual.rms_norm_eps,
        head_dim=shape.head_dim or 0,
        hidden_act=act,
        sub_norms=kind == "bitnet" or reproduction,
        tie_word_embeddings=bool(shape.tie_word_embeddings),
        linear_norms=norms,
        **({"linear_norm_eps": eps} if norms else {}),
    )
    for name, meaning in _SAME.items():
        value, ours = fields.get(name), getattr(config, meaning)
        if value is not None and value != ours:
            raise InputError(
                f"{name} is {_said(value)}, but {meaning} is {ours:g}; change the one that is wrong"
            )
    _check_window(fields, config)
    return StoredDecoder(config=config, storage=storage, renamed=_REPRODUCTION_NAMES if reproduction else {})


def _said(value: object) -> str:
    return shown(repr(value))


def _check_neutral(fields: Mapping[str, Any]) -> None:
    for name, harmless in _NEUTRAL.items():
        value = fields.get(name)
        if value is not None and value not in harmless:
            raise InputError(f"{name} is {_said(value)}; a decoder that has that cannot be run")
    for name in ("rope_scaling", "rope_parameters"):
        rope = fields.get(name)
        if rope is None:
            continue
        if not isinstance(rope, dict):
            raise InputError(f"{name} is {_said(rope)}; an object is needed")
        for key, value in rope.items():
            if key != "rope_theta" and value is not None and value not in _NEUTRAL_ROPE.get(key, ()):
                raise InputError(
                    f"{name} has {shown(key)} {_said(value)}; only rotary positions of the default kind can be run"
                )


def _check_window(fields: Mapping[str, Any], config: DecoderConfig) -> None:
    window = fields.get("sliding_window")
    if window is None or fields.get("use_sliding_window") is False:
        return
    if window < config.max_position_embeddings:
        raise InputError(f"sliding_window is {window}; attention to a part of the text cannot be run")


def _is_reproduction(fields: Mapping[str, Any]) -> bool:
    classes, bits = fields.get("architectures"), fields.get("weight_bits")
    if classes != [_REPRODUCTION]:
        if bits is not None:
            raise InputError(
                f"weight_bits is {_said(bits)}, which is known of {_REPRODUCTION} alone, and architectures is "
                f"{_said(classes)}"
            )
        return False
    if (bits, fields.get("input_bits")) != (1, 8) or fields.get("model_type") != "llama":
        raise InputError(
            f"{_REPRODUCTION} has weight_bits {_said(bits)} and input_bits {_said(fields.get('input_bits'))}; "
            "1 (which stands for ternary) and 8 can be run, with model_type 'llama'"
        )
    return True


def _storage(quantisation: object) -> Storage:
    if not isinstance(quantisation, dict):
        raise InputError(f"quantization_config is {_said(quantisation)}; an object is needed")
    method = quantisation.get("quant_method")
    if method != "bitnet":
        raise InputError(
            f"quant_method is {_said(method)}; 'bitnet' is needed: other weights are not ternary"
        )
    for name in quantisation:
        if name not in _QUANTISATION:
            raise InputError(f"the field {shown(name)} of quantization_config is not known")
    linear, mode = (
        quantisation.get("linear_class", "bitlinear"),
        quantisation.get("quantization_mode", "offline"),
    )
    if linear not in ("bitlinear", "autobitlinear"):
        raise InputError(f"linear_class is {_said(linear)}; 'bitlinear' or 'autobitlinear' is needed")
    if mode not in ("offline", "online"):
        raise InputError(f"quantization_mode is {_said(mode)}; 'offline' or 'online' is needed")
    # The class bitlinear has one mode.
    online = linear == "autobitlinear" and mode == "online"
    _check_exceptions(quantisation.get("modules_to_not_convert"), online=online)
    if linear == "bitlinear":
        return Storage.PACKED_DIVISOR
    return Storage.MASTERS if online else Storage.MULTIPLIER


def _check_exceptions(exceptions: object, *, online: bool) -> None:
    """Refuse matrices that are left unconverted, and an LM head that is not."""
    if exceptions is None:
        return
    if not isinstance(exceptions, list):
        raise InputError(f"modules_to_not_convert is {_said(exceptions)}; a list of names is needed")
    for name in exceptions:
        if not isinstance(name, str) or name not in _NOT_CONVERTED:
            raise InputError(
                f"modules_to_not_convert has {_said(name)}; a matrix that is not ternary, or a pattern of names, "
                "cannot be run"
            )
    # Offline, the tensors themselves say what the head is.
    if online and not {"lm_head", "lm_head.weight"} & set(exceptions):
        raise InputError("modules_to_not_convert lacks 'lm_head'; a ternary LM head cannot be run")


def _flag(fields: Mapping[str, Any], name: str) -> bool:
    value = fields.get(name, False)
    if not isinstance(value, bool):
        raise InputError(f"{name} is {_said(value)}; true or false is needed")
    return value


def _number(fields: Mapping[str, Any], name: str, usual: float) -> float:
    value = fields.get(name)
    if value is None:
        return usual
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < 1:
        raise InputError(f"{name} is {_said(value)}; a number above 0 and below 1 is needed")
    return float(value)
