"""Floating-point multiplier and adder, rounded to nearest even, subnormal numbers included.

What a ternary lane is compared with. The formats are parameters; `FP16` is IEEE 754 binary16.
"""

from collections.abc import Collection

import numpy as np
import numpy.typing as npt
from amaranth.hdl import Cat, Const, Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from tritforge.accel.float_format import FP16, FP32, FloatFormat, Patterns, fields, unpack
from tritforge.accel.float_rounder import STEPS, Rounder, check_registers, domain, round_patterns

__all__ = ["ADDER_STEPS", "FP16", "FP32", "MULTIPLIER_STEPS", "FloatAdder", "FloatFormat", "FloatMultiplier"]

#: Steps of the units, each of which may end in a register.
MULTIPLIER_STEPS = ("multiply", *STEPS)
ADDER_STEPS = ("order", "align", "add", *STEPS)


class FloatMultiplier(wiring.Component):
    """Product of two numbers, rounded to nearest even.

    Parameters
    ----------
    form
        Format of the operands.
    result_form
        Format of the product, of at least the operands' precision; theirs by default.
    registers
        Which of `MULTIPLIER_STEPS` end in a register; all of them unless given.
    bypass
        Whether a product of normal numbers that is certainly normal takes a multiplexer past the counter of zeros and
        the shifter, which stand still then: more gates, less energy.

    Members
    -------
    a, b : In, the operands
    product : Out, `latency` cycles later; a new product may start in every cycle
    """

    latency = len(MULTIPLIER_STEPS)

    def __init__(
        self,
        form: FloatFormat = FP16,
        result_form: FloatFormat | None = None,
        *,
        registers: Collection[str] = MULTIPLIER_STEPS,
        bypass: bool = False,
    ) -> None:
        self.form = form
        self.result_form = result_form or form
        self.registers = check_registers(registers, MULTIPLIER_STEPS)
        self.bypass = bypass
        self.latency = len(self.registers)
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
        sign_a, exp_a, sig_a, mag_a = fields(np.asarray(a, dtype=np.int64), form)
        sign_b, exp_b, sig_b, mag_b = fields(np.asarray(b, dtype=np.int64), form)
        inf, invalid = form.infinity, np.maximum(mag_a, mag_b) > form.infinity
        invalid = invalid | ((mag_a == inf) & (mag_b == 0)) | ((mag_b == inf) & (mag_a == 0))
        special = np.where((mag_a == inf) | (mag_b == inf), out.infinity, -1)
        return round_patterns(
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
        a, b = unpack(self.a, form), unpack(self.b, form)
        m.submodules.rounder = rounder = Rounder(
            self.result_form,
            self._headroom + 2 * (form.fraction_bits + 1),
            [step for step in STEPS if step in self.registers],
            plain_zeros=self._headroom if self.bypass else None,
        )
        room = Signal.like(rounder.room)
        m.d.comb += room.eq(a.exponent + b.exponent + Const(self._offset, signed(len(room))))
        m.d[domain(self.registers, "multiply")] += [
            rounder.sign.eq(a.sign ^ b.sign),
            rounder.significand.eq(a.significand * b.significand),
            rounder.room.eq(room),
            rounder.is_inf.eq(a.is_inf | b.is_inf),
            rounder.is_nan.eq(a.is_nan | b.is_nan | (a.is_inf & b.is_zero) | (b.is_inf & a.is_zero)),
            rounder.plain.eq(a.is_normal & b.is_normal & (room > self._headroom)),
        ]
        m.d.comb += self.product.eq(rounder.result)
        return m


class FloatAdder(wiring.Component):
    """Sum of two numbers, rounded to nearest even.

    Parameters
    ----------
    form
        Format of operands and sum.
    registers
        Which of `ADDER_STEPS` end in a register; all of them unless given.

    Members
    -------
    a, b : In, the operands
    sum : Out, `latency` cycles later; a new sum may start in every cycle
    """

    latency = len(ADDER_STEPS)

    def __init__(self, form: FloatFormat = FP16, *, registers: Collection[str] = ADDER_STEPS) -> None:
        self.form = form
        self.registers = check_registers(registers, ADDER_STEPS)
        self.latency = len(self.registers)
        super().__init__({"a": In(form.bits), "b": In(form.bits), "sum": Out(form.bits)})

    def model(self, a: npt.ArrayLike, b: npt.ArrayLike) -> Patterns:
        """Return the sums of patterns as patterns."""
        form = self.form
        left, right = np.broadcast_arrays(np.asarray(a, dtype=np.int64), np.asarray(b, dtype=np.int64))
        mask = (1 << (form.bits - 1)) - 1
        swap = (right & mask) > (left & mask)
        sign, exp, sig, mag = fields(np.where(swap, right, left), form)
        sign_s, exp_s, sig_s, mag_s = fields(np.where(swap, left, right), form)
        away = np.minimum(exp - exp_s, form.fraction_bits + 4)
        lost = (sig_s << 3 & ((1 << away) - 1)) != 0
        aligned = sig_s << 3 >> away | lost
        total = np.where(sign == sign_s, (sig << 3) + aligned, (sig << 3) - aligned)
        inf = form.infinity
        invalid = (mag > inf) | ((mag == inf) & (mag_s == inf) & (sign != sign_s))
        sign = np.where(total == 0, sign & sign_s, sign)
        special = np.where(invalid, form.nan, np.where(mag == inf, inf, -1))
        return round_patterns(form, form.fraction_bits + 5, sign, total, exp, special)

    def elaborate(self, platform: object) -> Module:  # noqa: ARG002
        m = Module()
        form = self.form
        width = form.fraction_bits + 5  # a carry, the significand, guard, round and sticky bits
        order, align, end = (domain(self.registers, step) for step in ADDER_STEPS[:3])

        # The operand of larger magnitude comes first.
        swap = self.b[:-1] > self.a[:-1]
        first = unpack(Mux(swap, self.b, self.a), form)
        second = unpack(Mux(swap, self.a, self.b), form)
        sign, subtract, zero_sign = Signal(), Signal(), Signal()
        is_inf, is_nan = Signal(), Signal()
        exponent, distance = Signal(form.exponent_bits), Signal(form.exponent_bits)
        large, small = Signal(width - 1), Signal(width - 1)
        m.d[order] += [
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
        m.d[align] += [
            *(
                after.eq(before)
                for after, before in zip(behind, (sign, subtract, zero_sign, is_inf), strict=True)
            ),
            is_nan_2.eq(is_nan),
            exponent_2.eq(exponent),
            large_2.eq(large),
            small_2.eq(aligned | lost),
        ]

        m.submodules.rounder = rounder = Rounder(
            form, width, [step for step in STEPS if step in self.registers]
        )
        sign_2, subtract_2, zero_sign_2, is_inf_2 = behind
        total, zero = Signal(width), Signal()
        m.d.comb += total.eq(large_2 + (Cat(small_2, Const(0, 1)) ^ subtract_2.replicate(width)) + subtract_2)
        m.d.comb += zero.eq(subtract_2 & (large_2 == small_2))
        m.d[end] += [
            rounder.sign.eq(Mux(zero, zero_sign_2, sign_2)),
            rounder.significand.eq(total),
            rounder.room.eq(exponent_2),
            rounder.is_inf.eq(is_inf_2),
            rounder.is_nan.eq(is_nan_2),
        ]
        m.d.comb += self.sum.eq(rounder.result)
        return m
