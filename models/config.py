"""Shape of a decoder that can be run, by the field names of Hugging Face's ``config.json``."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from tritforge.accel.errors import InputError


@dataclass(frozen=True, kw_only=True)
class DecoderConfig:
    """A BitNet b1.58 decoder: pre-norm, sub-norms, squared ReLU, grouped-query attention, tied embeddings.

    Attributes
    ----------
    vocab_size, hidden_size, intermediate_size, num_hidden_layers
        Sizes of vocabulary, residual stream, feed-forward network and stack.
    num_attention_heads, num_key_value_heads
        Query heads, and the heads that their keys and values are shared over.
    max_position_embeddings
        Longest sequence.
    rope_theta
        Base of the rotary frequencies.
    rms_norm_eps
        Added to the mean square in every norm.

    Raises
    ------
    InputError
        A size that is not positive, or heads that do not divide.
    """

    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    max_position_embeddings: int
    rope_theta: float = 10000.0
    rms_norm_eps: float = 1e-5

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, bool) or not isinstance(value, (int, float)) or value <= 0:
                raise InputError(f"{field.name} is {value!r}; a positive number is needed")
            if field.type is int and not isinstance(value, int):
                raise InputError(f"{field.name} is {value!r}; a whole number is needed")
        for name, value, divisor in (
            ("hidden_size", self.hidden_size, self.num_attention_heads),
            ("num_attention_heads", self.num_attention_heads, self.num_key_value_heads),
        ):
            if value % divisor:
                raise InputError(f"{name} {value} is not a multiple of {divisor} heads")

    @property
    def head_dim(self) -> int:
        """Width of one attention head."""
        return self.hidden_size // self.num_attention_heads

    @property
    def matrices(self) -> dict[str, tuple[int, int]]:
        """Ternary matrices of one layer: name in the layer, and (outputs M, inputs K)."""
        h, f, kv = self.hidden_size, self.intermediate_size, self.num_key_value_heads * self.head_dim
        return {
            "self_attn.q_proj": (h, h),
            "self_attn.k_proj": (kv, h),
            "self_attn.v_proj": (kv, h),
            "self_attn.o_proj": (h, h),
            "mlp.gate_proj": (f, h),
            "mlp.up_proj": (f, h),
            "mlp.down_proj": (h, f),
        }

    def to_dict(self) -> dict[str, Any]:
        """Return the fields, as ``config.json`` has them."""
        return asdict(self)

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> "DecoderConfig":
        """Build from the fields of a ``config.json``; fields that it does not need are passed over.

        Raises
        ------
        InputError
            A field is missing or out of bounds.
        """
        known = {field.name for field in fields(cls)}
        values = {name: value for name, value in document.items() if name in known}
        rope = document.get("rope_parameters")
        if isinstance(rope, Mapping) and "rope_theta" in rope:
            values["rope_theta"] = rope["rope_theta"]
        missing = [
            field.name
            for field in fields(cls)
            if field.name not in values and field.name not in {"rope_theta", "rms_norm_eps"}
        ]
        if missing:
            raise InputError(f"the model's configuration lacks {', '.join(missing)}")
        return cls(**values)
