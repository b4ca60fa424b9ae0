"""Shape of a decoder that can be run, by the field names of Hugging Face's ``config.json``."""

from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, fields
from math import inf
from typing import Any

from tritforge.accel.errors import InputError

#: Activations of the feed-forward network's gate.
ACTIVATIONS = ("relu2", "silu")
# No size or base of a model is near it; what computes with them need not fear for its types.
_LARGEST = 2**32 - 1
# Fields that a file written for BitNet b1.58 need not have.
_ARCHITECTURE = frozenset(
    {"head_dim", "hidden_act", "sub_norms", "tie_word_embeddings", "linear_norms", "linear_norm_eps"}
)


@dataclass(frozen=True, kw_only=True)
class DecoderConfig:
    """A decoder with ternary matrices: pre-norm, gated feed-forward network, grouped-query attention.

    The defaults are those of BitNet b1.58 2B-4T: sub-norms, squared ReLU, tied embeddings.

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
    head_dim
        Width of one attention head; `hidden_size` over the heads unless given.
    hidden_act
        Activation of the gate: ``relu2`` (squared ReLU) or ``silu``.
    sub_norms
        Norms before the output and down projections.
    tie_word_embeddings
        The LM head is the embedding table.
    linear_norms
        A norm of its own before every ternary matrix, with `linear_norm_eps` (``use_rms_norm`` of Hugging Face's
        quantisation configuration).

    Raises
    ------
    InputError
        A size that is not positive, heads that do not divide, or an activation that is not known.
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
    # Zero stands for the quotient of hidden_size and heads, which takes its place.
    head_dim: int = 0
    hidden_act: str = "relu2"
    sub_norms: bool = True
    tie_word_embeddings: bool = True
    linear_norms: bool = False
    linear_norm_eps: float = 1e-6

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name == "head_dim" and value == 0:
                if self.hidden_size % self.num_attention_heads:
                    raise InputError(
                        f"hidden_size {self.hidden_size} is not a multiple of {self.num_attention_heads} heads"
                    )
                object.__setattr__(self, "head_dim", self.hidden_size // self.num_attention_heads)
            elif field.type is bool:
                if not isinstance(value, bool):
                    raise InputError(f"{field.name} is {value!r}; true or false is needed")
            elif field.type is not str:
                if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < inf:
                    raise InputError(f"{field.name} is {value!r}; a positive number is needed")
                if value > _LARGEST:
                    raise InputError(f"{field.name} is {value!r}; {_LARGEST} is the largest that can be")
                if field.type is int and not isinstance(value, int):
                    raise InputError(f"{field.name} is {value!r}; a whole number is needed")
        if self.num_attention_heads % self.num_key_value_heads:
            raise InputError(
                f"num_attention_heads {self.num_attention_heads} is not a multiple of "
                f"{self.num_key_value_heads} heads"
            )
        if self.head_dim % 2:
            raise InputError(f"head_dim is {self.head_dim}; rotary positions need an even one")
        if self.hidden_act not in ACTIVATIONS:
            raise InputError(f"hidden_act is {self.hidden_act!r}; one of {', '.join(ACTIVATIONS)} is needed")

    @property
    def is_plain(self) -> bool:
        """Whether the architecture is that of BitNet b1.58 2B-4T, so that `to_dict` has no field of it."""
        return not _ARCHITECTURE & self.to_dict().keys()

    @property
    def attention_width(self) -> int:
        """Width of all query heads together."""
        return self.num_attention_heads * self.head_dim

    @property
    def matrices(self) -> dict[str, tuple[int, int]]:
        """Ternary matrices of one layer: name in the layer, and (outputs M, inputs K)."""
        h, f, kv = self.hidden_size, self.intermediate_size, self.num_key_value_heads * self.head_dim
        return {
            "self_attn.q_proj": (self.attention_width, h),
            "self_attn.k_proj": (kv, h),
            "self_attn.v_proj": (kv, h),
            "self_attn.o_proj": (h, self.attention_width),
            "mlp.gate_proj": (f, h),
            "mlp.up_proj": (f, h),
            "mlp.down_proj": (h, f),
        }

    def to_dict(self) -> dict[str, Any]:
        """Return the fields, as ``config.json`` has them; those of the architecture only where they differ."""
        usual = {field.name: field.default for field in fields(self) if field.name in _ARCHITECTURE}
        usual["head_dim"] = self.hidden_size // self.num_attention_heads
        return {
            name: value for name, value in asdict(self).items() if name not in usual or value != usual[name]
        }

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> "DecoderConfig":
        """Build from the fields of `to_dict`; fields that it does not need are passed over.

        A ``config.json`` of Hugging Face says more in other ways: `tritforge.models.huggingface` reads it.

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
            field.name for field in fields(cls) if field.name not in values and field.default is MISSING
        ]
        if missing:
            raise InputError(f"the model's configuration lacks {', '.join(missing)}")
        return cls(**values)
