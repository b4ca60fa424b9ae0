"""Floating-point multiplier and adder, rounded to nearest even, subnormal numbers included.

What a ternary lane is compared with. The formats are parameters; `FP16` is IEEE 754 binary16.
"""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

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
class _Parts:
    """Fields of a number; `exponent` is 1 for a subnormal one, as its weight is."""

    sign: Value
    exponent: Value
    significand: Value
    magnitude: Value
    is_zero: Value
    is_inf: Value
    is_nan: Value


def _unpack(value: Value, form: FloatFormat) -> _Parts:
    fraction = value[: form.fraction_bits]
    field = value[form.fraction_bits : form.bits - 1]
    normal, top = field.any(), field.all()
    return _Parts(
        sign=value[-1],
        exponent=Cat(field[0] | ~normal, field[1:]),
        significand=Cat(fraction, normal),
        magnitude=value[:-1],
        is_zero=~value[:-1].any(),
        is_inf=top & ~fraction.any(),
        is_nan=top & fraction.any(),
    )


def _leading_zeros(value: Value) -> Value:
    """Return the number of zeros above the highest one, by halves; of no meaning for zero."""

    def count(bits: Value) -> tuple[Value, Value]:
        if len(bits) == 1:
            return ~bits, Const(0, 0)
        half = len(bits) // 2
        (low_empty, low), (high_empty, high) = count(bits[:half]), count(bits[half:])
        return low_empty & high_empty, Cat(Mux(high_empty, low, high)[: len(high)], high_empty)

    size = 1 << (len(value) - 1).bit_length()
    return count(Cat(Const(0, size - len(value)), value))[1]


class _Rounder(wiring.Component):
    """Normalises an exact sum or product and rounds it: the last three cycles of both units.

    Parameters
    ----------
    form
        Format of the result.
    width
        Width of `significand`, at least two more than the result's own significand; its lowest bit may stand for
        any number of bits below.

    Members
    -------
    sign, significand : In, the number; sign alone where it is zero
    room : In, places that `significand` may move to the left before the result is subnormal
    is_inf, is_nan : In, what the number is instead
    result : Out, three cycles later
    """

    latency = 3

    def __init__(self, form: FloatFormat, width: int) -> None:
        self.form = form
        self.width = width
        super().__init__(
            {
                "sign": In(1),
                "significand": In(width),
                "room": In(signed(form.exponent_bits + 3)),
                "is_inf": In(1),
                "is_nan": In(1),
                "result": Out(form.bits),
            }
        )

    def elaborate(self, platform: object) -> Module:  # noqa: ARG002
        m = Module()
        form, width = self.form, self.width
        # How far to the left.
        zeros = Signal(range(width))
        m.d.comb += zeros.eq(_leading_zeros(self.significand))
        shift, significand, room = Signal.like(zeros), Signal(width), Signal.like(self.room)
        flags, flags_2 = Signal(3), Signal(3)
        m.d.sync += [
            shift.eq(Mux(self.room < 0, 0, Mux(self.room < zeros, self.room, zeros))),
            significand.eq(self.significand),
            room.eq(self.room),
            flags.eq(Cat(self.sign, self.is_inf, self.is_nan)),
        ]

        # To the left.
        field, moved = Signal(form.exponent_bits + 2), Signal(width)
        m.d.sync += [moved.eq(significand << shift), field.eq(room - shift + 1), flags_2.eq(flags)]
        sign, is_inf, is_nan = flags_2

        low = width - 1 - form.fraction_bits
        rest = moved[: low - 1].any()
        up = moved[low - 1] & (rest | moved[low])
        rounded = Signal(form.bits + 1)
        # A carry out of the fraction goes on into the exponent, where it belongs.
        m.d.comb += rounded.eq(Cat(moved[low:-1], Mux(moved[-1], field, 0)) + up)
        m.d.sync += self.result.eq(
            Cat(
                Mux(
                    is_nan,
                    form.nan,
                    Mux(is_inf | (rounded >= form.infinity), form.infinity, rounded[: form.bits - 1]),
                )[: form.bits - 1],
                sign & ~is_nan,
            )
        )
        return m


def _round(
    form: FloatFormat, width: int, sign: Patterns, significand: Patterns, room: Patterns, special: Patterns
) -> Patterns:
    """Return what `_Rounder` gives; `special` is a magnitude that replaces the result's, or -1."""
    zeros = np.full(significand.shape, width - 1, dtype=np.int64)
    for place in range(width):
        zeros = np.where(significand >> place & 1, width - 1 - place, zeros)
    shift = np.minimum(zeros, np.maximum(room, 0))
    moved = significand << shift
    low = width - 1 - form.fraction_bits
    field = np.where(moved >> (width - 1) & 1, room - shift + 1, 0)
    rest = (moved & ((1 << (low - 1)) - 1)) != 0
    up = (moved >> (low - 1) & 1) & (rest | (moved >> low & 1))
    fraction = moved >> low & ((1 << form.fraction_bits) - 1)
    magnitude = np.minimum((field << form.fraction_bits | fraction) + up, form.infinity)
    magnitude = np.where(special >= 0, special, magnitude)
    sign = np.where(magnitude > form.infinity, 0, sign)
    return np.asarray(sign << (form.bits - 1) | magnitude)


def _fields(value: Patterns, form: FloatFormat) -> tuple[Patterns, Patterns, Patterns, Patterns]:
    """Return sign, exponent (1 for a subnormal number), significand and magnitude."""
    magnitude = value & ((1 << (form.bits - 1)) - 1)
    field = magnitude >> form.fraction_bits
    significand = (
        magnitude & ((1 << form.fraction_bits) - 1) | (field > 0).astype(np.int64) << form.fraction_bits
    )
    return value >> (form.bits - 1), np.maximum(field, 1), significand, magnitude


class FloatMultiplier(wiring.Component):
    """Product of two numbers, rounded to nearest even.

    Parameters
    ----------
    form
        Format of the operands.
    result_form
        Format of the product, of at least the operands' precision; theirs by default.

    Members
    -------
    a, b : In, the operands
    product : Out, four cycles later; a new product may start in every cycle
    """

    latency = 1 + _Rounder.latency

    def __init__(self, form: FloatFormat = FP16, result_form: FloatFormat | None = None) -> None:
        self.form = form
        self.result_form = result_form or form
        super().__init__({"a": In(form.bits), "b": In(form.bits), "product": Out(self.result_form.bits)})

    @property
    def _headroom(self) -> int:
        # Zeros above the product, so that one that rounds to a subnormal number or to zero moves left as well.
        return self.result_form.fraction_bits + 3

    @property
    def _offset(self) -> int:
        return self._headroom - 2 * self.form.bias + self.result_form.bias

    def model(self, a: npt.ArrayLike, b: npt.ArrayLike) -> Patterns:
        """Return the products of patterns as patterns."""
        form, out = self.form, self.result_form
        sign_a, exp_a, sig_a, mag_a = _fields(np.asarray(a, dtype=np.int64), form)
        sign_b, exp_b, sig_b, mag_b = _fields(np.asarray(b, dtype=np.int64), form)
        inf, invalid = form.infinity, np.maximum(mag_a, mag_b) > form.infinity
        invalid = invalid | ((mag_a == inf) & (mag_b == 0)) | ((mag_b == inf) & (mag_a == 0))
        special = np.where((mag_a == inf) | (mag_b == inf), out.infinity, -1)
        return _round(
            out,
            self._headroom + 2 * (form.fraction_bits + 1),
            sign_a ^ sign_b,
            sig_a * sig_b,
            exp_a + exp_b + self._offset,
            np.where(invalid, out.nan, special),
        )

    def elaborate(self, platform: object) -> Module:  # noqa: ARG002
        m = Module()
        form = self.form
        a, b = _unpack(self.a, form), _unpack(self.b, form)
        m.submodules.rounder = rounder = _Rounder(
            self.result_form, self._headroom + 2 * (form.fraction_bits + 1)
        )
        m.d.sync += [
            rounder.sign.eq(a.sign ^ b.sign),
            rounder.significand.eq(a.significand * b.significand),
            rounder.room.eq(a.exponent + b.exponent + Const(self._offset, signed(len(rounder.room)))),
            rounder.is_inf.eq(a.is_inf | b.is_inf),
            rounder.is_nan.eq(a.is_nan | b.is_nan | (a.is_inf & b.is_zero) | (b.is_inf & a.is_zero)),
        ]
        m.d.comb += self.product.eq(rounder.result)
        return m


class FloatAdder(wiring.Component):
    """Sum of two numbers, rounded to nearest even.

    Parameters
    ----------
    form
        Format of operands and sum.

    Members
    -------
    a, b : In, the operands
    sum : Out, six cycles later; a new sum may start in every cycle
    """

    latency = 3 + _Rounder.latency

    def __init__(self, form: FloatFormat = FP16) -> None:
        self.form = form
        super().__init__({"a": In(form.bits), "b": In(form.bits), "sum": Out(form.bits)})

    def model(self, a: npt.ArrayLike, b: npt.ArrayLike) -> Patterns:
        """Return the sums of patterns as patterns."""
        form = self.form
        left, right = np.broadcast_arrays(np.asarray(a, dtype=np.int64), np.asarray(b, dtype=np.int64))
        mask = (1 << (form.bits - 1)) - 1
        swap = (right & mask) > (left & mask)
        sign, exp, sig, mag = _fields(np.where(swap, right, left), form)
        sign_s, exp_s, sig_s, mag_s = _fields(np.where(swap, left, right), form)
        away = np.minimum(exp - exp_s, form.fraction_bits + 4)
        lost = (sig_s << 3 & ((1 << away) - 1)) != 0
        aligned = sig_s << 3 >> away | lost
        total = np.where(sign == sign_s, (sig << 3) + aligned, (sig << 3) - aligned)
        inf = form.infinity
        invalid = (mag > inf) | ((mag == inf) & (mag_s == inf) & (sign != sign_s))
        sign = np.where(total == 0, sign & sign_s, sign)
        special = np.where(invalid, form.nan, np.where(mag == inf, inf, -1))
        return _round(form, form.fraction_bits + 5, sign, total, exp, special)

    def elaborate(self, platform: object) -> Module:  # noqa: ARG002
        m = Module()
        form = self.form
        width = form.fraction_bits + 5  # a carry, the significand, guard, round and sticky bits

        # The operand of larger magnitude comes first.
        swap = self.b[:-1] > self.a[:-1]
        first = _unpack(Mux(swap, self.b, self.a), form)
        second = _unpack(Mux(swap, self.a, self.b), form)
        sign, subtract, zero_sign = Signal(), Signal(), Signal()
        is_inf, is_nan = Signal(), Signal()
        exponent, distance = Signal(form.exponent_bits), Signal(form.exponent_bits)
        large, small = Signal(width - 1), Signal(width - 1)
        m.d.sync += [
            sign.eq(first.sign),
            subtract.eq(first.sign ^ second.sign),
            zero_sign.eq(first.sign & second.sign),
            is_inf.eq(first.is_inf),
            is_nan.eq(first.is_nan | (first.is_inf & second.is_inf & (first.sign ^ second.sign))),
            exponent.eq(first.exponent),
            distance.eq(first.exponent - second.exponent),
            large.eq(first.significand << 3),
            small.eq(second.significand << 3),
        ]

        # Bits that leave on the right set the sticky bit.
        aligned, lost = Signal(width - 1), Signal()
        far = distance >= width - 1
        m.d.comb += [
            aligned.eq(Mux(far, 0, small >> distance)),
            lost.eq(
                Mux(far, small.any(), (small & ~(((1 << (width - 1)) - 1) << distance)[: width - 1]).any())
            ),
        ]
        behind = [Signal.like(value, name=f"{value.name}_2") for value in (sign, subtract, zero_sign, is_inf)]
        is_nan_2, exponent_2, large_2 = Signal(), Signal.like(exponent), Signal.like(large)
        small_2 = Signal(width - 1)
        m.d.sync += [
            *(
                after.eq(before)
                for after, before in zip(behind, (sign, subtract, zero_sign, is_inf), strict=True)
            ),
            is_nan_2.eq(is_nan),
            exponent_2.eq(exponent),
            large_2.eq(large),
            small_2.eq(aligned | lost),
        ]

        m.submodules.rounder = rounder = _Rounder(form, width)
        sign_2, subtract_2, zero_sign_2, is_inf_2 = behind
        total, zero = Signal(width), Signal()
        m.d.comb += total.eq(large_2 + (Cat(small_2, Const(0, 1)) ^ subtract_2.replicate(width)) + subtract_2)
        m.d.comb += zero.eq(subtract_2 & (large_2 == small_2))
        m.d.sync += [
            rounder.sign.eq(Mux(zero, zero_sign_2, sign_2)),
            rounder.significand.eq(total),
            rounder.room.eq(exponent_2),
            rounder.is_inf.eq(is_inf_2),
            rounder.is_nan.eq(is_nan_2),
        ]
        m.d.comb += self.sum.eq(rounder.result)
        return m
