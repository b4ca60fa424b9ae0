"""What runs, and on what: all choices of the ``hardware`` accounting but the model's shape."""

from dataclasses import dataclass, field
from fractions import Fraction
from math import isfinite
from typing import Any

from tritforge.accel.codes import WORDS
from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.errors import InputError
from tritforge.energy import memory

PHASES = ("prefill", "decode")
ATTENTION = ("fp16", "int8")
LOGITS = ("last", "all")

#: Bits of a weight in memory; ``ideal`` is the information in it, which the shape says.
PACKINGS: dict[str, Fraction | None] = {name: Fraction(bits, trits) for name, (trits, bits) in WORDS.items()}
PACKINGS["ideal"] = None
#: Most positions of a sequence, and most sequences.
COUNT_MAX = 2**31 - 1


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """What runs, and on what.

    Attributes
    ----------
    config
        The accelerator: lanes, rows, tokens that share a pass over the weights, widths.
    phase
        ``prefill``: all positions of the context, in blocks of ``config.tokens_max``, a block passing through all
        layers; ``decode``: one position of each sequence, which sees the context, itself included.
    context, batch
        Positions of a sequence, and sequences.
    causal
        A position sees those before it and itself; otherwise it sees all.
    packing
        How ternary weights lie in memory: ``i2`` (2 bits), ``s5`` (5/3), ``s8`` (8/5), ``ideal``; that of the
        configuration unless given.
    attention
        Products in attention: ``fp16``, or ``int8`` with exact sums.
    kv_bits
        Width of a cached key or value: 16, 8, 4 or 3; 16 unless given, 8 with attention in INT8.
    dram
        Type of the memory behind the chip, as in the technology rows ``dram.TYPE``.
    logits
        Whether a prefill computes the LM head at the ``last`` position of each sequence, or at ``all``.
    zero_weights, zero_acts
        Shares of zeros among ternary weights and among activation codes. An adder with a zero operand is then
        charged nothing: an estimate for an array that holds such adders still, which the tree that is built does not
        do, so that both are 0 unless given.
    wire_mm
        Distance in millimetres that weights and activations travel from memory to the array.
    requantise
        Quantise the input of every matrix anew, as the NumPy model does, rather than once for all matrices
        that share it.

    Raises
    ------
    InputError
        A value outside its list or its bounds, or keys and values of 16 bits with attention in INT8.
    """

    config: AcceleratorConfig = field(default_factory=AcceleratorConfig)
    phase: str = "prefill"
    context: int = 512
    batch: int = 1
    causal: bool = True
    packing: str = ""
    attention: str = "fp16"
    kv_bits: int | None = None
    dram: str = "LPDDR4"
    logits: str = "last"
    zero_weights: float = 0.0
    zero_acts: float = 0.0
    wire_mm: float = 1.0
    requantise: bool = False

    def __post_init__(self) -> None:
        if not self.packing:
            object.__setattr__(self, "packing", self.config.packing)
        for name, allowed in (
            ("phase", PHASES),
            ("packing", tuple(PACKINGS)),
            ("attention", ATTENTION),
            ("logits", LOGITS),
            ("kv_bits", (None, *memory.KV_BITS)),
        ):
            value = getattr(self, name)
            if value not in allowed:
                choices = ", ".join(str(choice) for choice in allowed if choice is not None)
                raise InputError(f"{name} is {value!r}; it must be one of {choices}")
        for name in ("context", "batch"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= COUNT_MAX:
                raise InputError(f"{name} is {value!r}; a whole number from 1 to {COUNT_MAX} is needed")
        for name in ("zero_weights", "zero_acts"):
            value = getattr(self, name)
            if not 0 <= value <= 1:
                raise InputError(f"{name} is {value!r}; a share from 0 to 1 is needed")
        if not (isfinite(self.wire_mm) and self.wire_mm >= 0):
            raise InputError(f"wire_mm is {self.wire_mm!r}; a length of 0 mm or more is needed")
        if self.attention == "int8" and self.kv_bits == 16:
            raise InputError(
                "kv_bits is 16 with attention in int8, whose keys and values are codes; use 8 or less"
            )

    @property
    def key_bits(self) -> int:
        """Width of a cached key or value."""
        return self.kv_bits or (8 if self.attention == "int8" else 16)

    @property
    def tokens(self) -> int:
        """Positions that pass through the layers."""
        return self.batch * (self.context if self.phase == "prefill" else 1)

    @property
    def pairs(self) -> int:
        """Positions times the positions that each sees, over all sequences."""
        if self.phase == "decode":
            return self.batch * self.context
        seen = self.context + 1 if self.causal else 2 * self.context
        return self.batch * self.context * seen // 2

    @property
    def blocks(self) -> int:
        """Blocks of positions that pass through the layers, hence passes over the weights."""
        return -(-self.tokens // self.config.tokens_max)

    @property
    def keys_read(self) -> int:
        """Cached positions that are read: each block of a sequence's queries reads those that it sees once."""
        if self.phase == "decode":
            return self.batch * self.context
        block = self.config.tokens_max
        whole, rest = divmod(self.context, block)
        if not self.causal:
            return self.batch * (whole + (rest > 0)) * self.context
        return self.batch * (block * whole * (whole + 1) // 2 + (self.context if rest else 0))

    @property
    def logit_positions(self) -> int:
        """Positions at which the LM head is computed."""
        return self.tokens if self.logits == "all" or self.phase == "decode" else self.batch

    def to_dict(self) -> dict[str, Any]:
        """Return the choices that a result does not name already, with plain values."""
        return {
            "config": self.config.to_dict(),
            "causal": self.causal,
            "packing": self.packing,
            "attention": self.attention,
            "kv_bits": self.key_bits,
            "dram": self.dram,
            "logits": self.logits,
            "zero_weights": self.zero_weights,
            "zero_acts": self.zero_acts,
            "wire_mm": self.wire_mm,
            "requantise": self.requantise,
        }
