"""Binary floating-point formats: patterns, and a number taken apart, in hardware and in NumPy."""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from amaranth.hdl import Cat, Value

Patterns: TypeAlias = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class FloatFormat:
    """A binary interchange format of IEEE 754: sign, biased exponent, fraction.

    Attributes
    ----------
    exponent_bits, fraction_bits
        Widths of the two fields.
    """

    exponent_bits: int
    fraction_bits: int

    @property
    def bits(self) -> int:
        """Width of a number."""
        return 1 + self.exponent_bits + self.fraction_bits

    @property
    def bias(self) -> int:
        """What the exponent field of a normal number is above its exponent."""
        return (1 << (self.exponent_bits - 1)) - 1

    @property
    def infinity(self) -> int:
        """Pattern of positive infinity; patterns above it, sign apart, are no numbers."""
        return ((1 << self.exponent_bits) - 1) << self.fraction_bits

    @property
    def nan(self) -> int:
        """Pattern of the quiet NaN that the units return."""
        return self.infinity | 1 << (self.fraction_bits - 1)


FP16 = FloatFormat(exponent_bits=5, fraction_bits=10)
FP32 = FloatFormat(exponent_bits=8, fraction_bits=23)


@dataclass(frozen=True, kw_only=True)
class Parts:
    """Fields of a number; `exponent` is 1 for a subnormal one, as its weight is."""

    sign: Value
    exponent: Value
    significand: Value
    magnitude: Value
    is_normal: Value
    is_zero: Value
    is_inf: Value
    is_nan: Value


def unpack(value: Value, form: FloatFormat) -> Parts:
    """Take a number apart."""
    fraction = value[: form.fraction_bits]
    field = value[form.fraction_bits : form.bits - 1]
    normal, top = field.any(), field.all()
    return Parts(
        sign=value[-1],
        exponent=Cat(field[0] | ~normal, field[1:]),
        significand=Cat(fraction, normal),
        magnitude=value[:-1],
        is_normal=normal,
        is_zero=~value[:-1].any(),
        is_inf=top & ~fraction.any(),
        is_nan=top & fraction.any(),
    )


def fields(value: Patterns, form: FloatFormat) -> tuple[Patterns, Patterns, Patterns, Patterns]:
    """Return sign, exponent (1 for a subnormal number), significand and magnitude."""
    magnitude = value & ((1 << (form.bits - 1)) - 1)
    field = magnitude >> form.fraction_bits
    significand = (
        magnitude & ((1 << form.fraction_bits) - 1) | (field > 0).astype(np.int64) << form.fraction_bits
    )
    return value >> (form.bits - 1), np.maximum(field, 1), significand, magnitude
