"""A shape given by its numbers, as on a command line, without a file."""

from dataclasses import dataclass, fields

from tritforge.accel.errors import InputError
from tritforge.models.shapes import ModelShape

#: Source of a shape that somebody typed.
TYPED = "numbers given by the user"

_NEEDED = ("hidden_size", "layers", "heads", "intermediate_size")


def flag(field: str) -> str:
    """Return the flag that sets a field of `ShapeFlags`, such as ``--hidden-size``."""
    return "--" + field.replace("_", "-")


@dataclass(frozen=True, kw_only=True)
class ShapeFlags:
    """Numbers of a shape, each None unless given.

    Attributes
    ----------
    hidden_size, layers, heads, intermediate_size
        Needed: width of the residual stream, depth, query heads, width of the feed-forward network.
    kv_heads
        Heads of keys and values; as many as query heads unless given.
    head_dim
        Width of a head; the hidden size over the heads unless given.
    vocab_size
        Tokens; what needs embeddings or an LM head cannot be computed without.
    gated
        A gate beside the up projection; true unless given.
    experts, active_experts
        Feed-forward networks in a layer, and those that a token passes through; 1 and 1 unless given.
    tied
        Whether the LM head is the embedding table; unknown unless given.
    """

    hidden_size: int | None = None
    layers: int | None = None
    heads: int | None = None
    kv_heads: int | None = None
    head_dim: int | None = None
    intermediate_size: int | None = None
    vocab_size: int | None = None
    gated: bool | None = None
    experts: int | None = None
    active_experts: int | None = None
    tied: bool | None = None

    @property
    def given(self) -> tuple[str, ...]:
        """Flags that were given, in order."""
        return tuple(flag(field.name) for field in fields(self) if getattr(self, field.name) is not None)


def _head_dim(flags: ShapeFlags, hidden_size: int, heads: int) -> int:
    if flags.head_dim is not None:
        return flags.head_dim
    if hidden_size % heads:
        raise InputError(
            f"--hidden-size {hidden_size} is not a multiple of --heads {heads}; give --head-dim as well"
        )
    return hidden_size // heads


def _experts(flags: ShapeFlags) -> tuple[int, int]:
    experts, active = flags.experts, flags.active_experts
    if experts is None and active is not None:
        raise InputError(f"--active-experts is {active}, but --experts is not given; give both or neither")
    if experts is not None and experts > 1 and active is None:
        raise InputError(f"--experts is {experts}, but --active-experts is not given; give both or neither")
    if experts is not None and active is not None and active > experts:
        raise InputError(f"--active-experts {active} is above --experts {experts}; give {experts} or less")
    return experts or 1, active or 1


def shape_from_flags(flags: ShapeFlags, *, name: str = "custom") -> ModelShape:
    """Build a shape from its numbers.

    Raises
    ------
    InputError
        A needed number is missing, or numbers contradict each other; the message names the flags.
    """
    for field in fields(flags):
        value = getattr(flags, field.name)
        if isinstance(value, int) and not isinstance(value, bool) and value < 1:
            raise InputError(f"{flag(field.name)} is {value}; a whole number of 1 or more is needed")
    hidden_size, layers, heads, intermediate_size = (getattr(flags, field) for field in _NEEDED)
    if hidden_size is None or layers is None or heads is None or intermediate_size is None:
        missing = ", ".join(flag(field) for field in _NEEDED if getattr(flags, field) is None)
        raise InputError(f"the shape lacks {missing}; a shape needs {', '.join(map(flag, _NEEDED))}")
    kv_heads = heads if flags.kv_heads is None else flags.kv_heads
    if heads % kv_heads:
        raise InputError(f"--heads {heads} is not a multiple of --kv-heads {kv_heads}")
    experts, active = _experts(flags)
    return ModelShape(
        name=name,
        hidden_size=hidden_size,
        intermediate_size=intermediate_size,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        head_dim=_head_dim(flags, hidden_size, heads),
        source=TYPED,
        status="typed",
        vocab_size=flags.vocab_size,
        ffn_gated=flags.gated is not False,
        num_local_experts=experts,
        num_experts_per_tok=active,
        tie_word_embeddings=flags.tied,
    )
