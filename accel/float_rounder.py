"""The end of every floating-point unit: an exact sum or product is normalised and rounded to nearest even."""

from collections.abc import Collection

import numpy as np
from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from tritforge.accel.errors import InputError
from tritforge.accel.float_format import FloatFormat, Patterns

#: Steps of the rounder, each of which may end in a register.
STEPS = ("count", "move", "round")


def check_registers(registers: Collection[str], steps: Collection[str]) -> tuple[str, ...]:
    """Return the steps of a unit that end in a register, in order.

    Raises
    ------
    InputError
        A name that is no step of the unit.
    """
    for name in registers:
        if name not in steps:
            raise InputError(f"registers has {name!r}; it may have {', '.join(steps)}")
    return tuple(step for step in steps if step in registers)


def domain(registers: Collection[str], step: str) -> str:
    """Return the domain that the results of a step are assigned in."""
    return "sync" if step in registers else "comb"


def leading_zeros(value: Value) -> Value:
    """Return the number of zeros above the highest one, by halves; of no meaning for zero."""

    def count(bits: Value) -> tuple[Value, Value]:
        if len(bits) == 1:
            return ~bits, Const(0, 0)
        half = len(bits) // 2
        (low_empty, low), (high_empty, high) = count(bits[:half]), count(bits[half:])
        return low_empty & high_empty, Cat(Mux(high_empty, low, high)[: len(high)], high_empty)

    size = 1 << (len(value) - 1).bit_length()
    return count(Cat(Const(0, size - len(value)), value))[1]


class Rounder(wiring.Component):
    """Normalises an exact sum or product and rounds it.

    Parameters
    ----------
    form
        Format of the result.
    width
        Width of `significand`, at least two more than the result's own significand; its lowest bit may stand for
        any number of bits below.
    registers
        Which of `STEPS` end in a register; all of them unless given.
    plain_zeros
        Zeros above the highest one, or one less than them, of a number that `plain` marks. Such a number takes a
        multiplexer past the counter and the shifter, which then see zeros and stand still.

    Members
    -------
    sign, significand : In, the number; sign alone where it is zero
    room : In, places that `significand` may move to the left before the result is subnormal
    is_inf, is_nan : In, what the number is instead
    plain : In, the number has `plain_zeros` zeros above its highest one, or one more, and its result is normal
    result : Out, `latency` cycles later
    """

    def __init__(
        self,
        form: FloatFormat,
        width: int,
        registers: Collection[str] = STEPS,
        plain_zeros: int | None = None,
    ) -> None:
        self.form = form
        self.width = width
        self.registers = check_registers(registers, STEPS)
        self.plain_zeros = plain_zeros
        self.latency = len(self.registers)
        super().__init__(
            {
                "sign": In(1),
                "significand": In(width),
                "room": In(signed(form.exponent_bits + 3)),
                "is_inf": In(1),
                "is_nan": In(1),
                "plain": In(1),
                "result": Out(form.bits),
            }
        )

    def elaborate(self, platform: object) -> Module:  # noqa: ARG002
        m = Module()
        form, width = self.form, self.width
        count, move, end = (domain(self.registers, step) for step in STEPS)
        by_hand = Const(0, 1) if self.plain_zeros is None else self.plain
        general = self.significand & ~by_hand.replicate(width)
        # How far to the left.
        zeros = Signal(range(width))
        m.d.comb += zeros.eq(leading_zeros(general))
        shift, significand, room = Signal.like(zeros), Signal(width), Signal.like(self.room)
        flags, flags_2 = Signal(3), Signal(3)
        m.d[count] += [
            shift.eq(Mux(self.room < 0, 0, Mux(self.room < zeros, self.room, zeros))),
            significand.eq(general),
            room.eq(self.room),
            flags.eq(Cat(self.sign, self.is_inf, self.is_nan)),
        ]

        # To the left.
        field, moved = Signal(form.exponent_bits + 2), Signal(width)
        shifted, exponent = (significand << shift)[:width], room - shift + 1
        if self.plain_zeros is not None:
            # A register for the plain numbers of its own, so that neither path sees the other's.
            least, one_more = self.plain_zeros, Signal()
            plain, narrow = Signal(), Signal(width - least)
            m.d.comb += one_more.eq(~self.significand[width - 1 - least])
            m.d[count] += [
                plain.eq(self.plain),
                narrow.eq(
                    Mux(one_more, self.significand << 1, self.significand)[: width - least]
                    & self.plain.replicate(width - least)
                ),
            ]
            with m.If(self.plain):
                m.d[count] += shift.eq(least + one_more)
            shifted = Mux(plain, narrow << least, shifted)[:width]
        m.d[move] += [moved.eq(shifted), field.eq(exponent), flags_2.eq(flags)]
        sign, is_inf, is_nan = flags_2

        low = width - 1 - form.fraction_bits
        rest = moved[: low - 1].any()
        up = moved[low - 1] & (rest | moved[low])
        rounded = Signal(form.bits + 1)
        # A carry out of the fraction goes on into the exponent, where it belongs.
        m.d.comb += rounded.eq(Cat(moved[low:-1], Mux(moved[-1], field, 0)) + up)
        m.d[end] += self.result.eq(
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


def round_patterns(
    form: FloatFormat, width: int, sign: Patterns, significand: Patterns, room: Patterns, special: Patterns
) -> Patterns:
    """Return what `Rounder` gives; `special` is a magnitude that replaces the result's, or -1."""
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
