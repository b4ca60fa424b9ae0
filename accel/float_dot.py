"""Fused dot product in floating point: exact products and an addend aligned once, added as integers, rounded once.

This is how matrix units are built, rather than as a tree of rounding adders: the terms are shifted to the largest
exponent among them, what leaves a window of bits on the right is cut off, and one normalisation and one rounding
end the whole sum. Fasi, Higham, Mikaitis and Pranesh, Numerical behavior of NVIDIA tensor cores, PeerJ Computer
Science 7:e330, 2021, found the same order of steps in silicon. With one lane, a window as wide as `EXACT_WINDOW` says
and a sticky bit it is the fused multiply-add of IEEE 754.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from tritforge.accel.errors import InputError
from tritforge.accel.float_format import FP16, FP32, FloatFormat, Patterns, fields, unpack
from tritforge.accel.float_rounder import STEPS, Rounder, check_registers, domain, round_patterns

#: Steps of the unit, each of which may end in a register.
DOT_STEPS = ("multiply", "compare", "align", "sum", "magnitude", *STEPS)


def exact_window(form: FloatFormat, result_form: FloatFormat) -> int:
    """Return the window with which one product and the addend are rounded as if all bits had been kept.

    The narrowest product has one bit at the right end of its field; below it there is room for a whole significand
    of the result, a guard bit and the sticky bit.
    """
    return 2 * (form.fraction_bits + 1) + result_form.fraction_bits + 3


@dataclass(frozen=True, kw_only=True)
class _Term:
    """A product or the addend: its bits from the highest possible one down, and its exponent.

    That of a product is the sum of its factors'.
    """

    sign: Value
    exponent: Value
    bits: Value
    is_inf: Value
    is_nan: Value


class FusedDot(wiring.Component):
    """``sum(a * b) + addend`` over the lanes.

    Parameters
    ----------
    lanes
        Products.
    form
        Format of the factors.
    result_form
        Format of addend and result.
    window
        Bits that a term has from the largest term's highest possible bit down; at least the products' bits and the
        addend's. `exact_window` where there is one lane, unless given; otherwise the result's significand and 4 bits.
    registers
        Which of `DOT_STEPS` end in a register; all of them unless given.

    Members
    -------
    a, b : In, `lanes` factors side by side
    addend : In, a cycle after its factors where the step ``multiply`` has a register
    result : Out, `latency` cycles after the factors; a new sum may start in every cycle

    Raises
    ------
    InputError
        No lane, a window that is too narrow, or a step that is none.
    """

    def __init__(
        self,
        lanes: int,
        form: FloatFormat = FP16,
        result_form: FloatFormat = FP32,
        *,
        window: int | None = None,
        registers: Collection[str] = DOT_STEPS,
    ) -> None:
        if lanes < 1:
            raise InputError(f"lanes is {lanes}; 1 or more are needed")
        self.lanes = lanes
        self.form = form
        self.result_form = result_form
        exact = exact_window(form, result_form)
        significand = result_form.fraction_bits + 1
        least = max(2 * (form.fraction_bits + 1), significand)
        self.window = window or (exact if lanes == 1 else max(least, significand + 4))
        if self.window < least:
            raise InputError(f"window is {self.window}; products and addend need at least {least} bits")
        # Two terms may keep what is cut off as one sticky bit; of more than two it would not be their sum's.
        self.sticky = lanes == 1
        self.registers = check_registers(registers, DOT_STEPS)
        self.latency = len(self.registers)
        self.addend_delay = int("multiply" in self.registers)
        super().__init__(
            {
                "a": In(lanes * form.bits),
                "b": In(lanes * form.bits),
                "addend": In(result_form.bits),
                "result": Out(result_form.bits),
            }
        )

    @property
    def _growth(self) -> int:
        # Bits that a sum of the lanes and the addend needs above the window.
        return self.lanes.bit_length()

    @property
    def _exponent_bits(self) -> int:
        return max(self.result_form.exponent_bits, self.form.exponent_bits + 1) + 1

    @property
    def _offsets(self) -> tuple[int, int]:
        """What is added to the exponents of products and addend so that the same exponent has the same weight."""
        ahead = self.result_form.bias - (2 * self.form.bias - 1)
        return max(ahead, 0), max(-ahead, 0)

    @property
    def _room(self) -> int:
        return self._growth - 1 - self._offsets[1]

    def model(self, a: npt.ArrayLike, b: npt.ArrayLike, addend: npt.ArrayLike) -> Patterns:
        """Return sums of patterns as patterns: factors of shape (..., lanes), addends of shape (...)."""
        form, out, window = self.form, self.result_form, self.window
        sign_a, exp_a, sig_a, mag_a = fields(np.asarray(a, dtype=np.int64), form)
        sign_b, exp_b, sig_b, mag_b = fields(np.asarray(b, dtype=np.int64), form)
        sign_c, exp_c, sig_c, mag_c = fields(np.asarray(addend, dtype=np.int64), out)
        product = sig_a * sig_b
        ahead, behind = self._offsets
        sign = np.concatenate([sign_a ^ sign_b, sign_c[..., None]], axis=-1)
        exponent = np.concatenate(
            [np.where(product == 0, 0, exp_a + exp_b + ahead), exp_c[..., None] + behind], axis=-1
        )
        term = np.concatenate(
            [
                product << (window - 2 * (form.fraction_bits + 1)),
                (sig_c << (window - out.fraction_bits - 1))[..., None],
            ],
            axis=-1,
        )
        largest = exponent.max(axis=-1)
        away = np.minimum(largest[..., None] - exponent, window)
        lost = (term & ((np.int64(1) << away) - 1)) != 0
        term = term >> away | (lost if self.sticky else 0)
        total = np.where(sign == 1, -term, term).sum(axis=-1)

        inf = form.infinity
        product_inf = (mag_a == inf) | (mag_b == inf)
        infinite = np.concatenate([product_inf, (mag_c == out.infinity)[..., None]], axis=-1)
        invalid = (np.maximum(mag_a, mag_b) > inf) | (product_inf & (np.minimum(mag_a, mag_b) == 0))
        opposed = (infinite & (sign == 0)).any(axis=-1) & (infinite & (sign == 1)).any(axis=-1)
        nan = invalid.any(axis=-1) | (mag_c > out.infinity) | opposed
        is_inf = infinite.any(axis=-1)
        negative = np.where(
            is_inf, (infinite & (sign == 1)).any(axis=-1), (total < 0) | (sign == 1).all(axis=-1)
        )
        return round_patterns(
            out,
            window + self._growth,
            negative.astype(np.int64),
            np.abs(total),
            largest + self._room,
            np.where(nan, out.nan, np.where(is_inf, out.infinity, -1)),
        )

    def elaborate(self, platform: object) -> Module:  # noqa: ARG002
        m = Module()
        compare, align, add, end = (domain(self.registers, step) for step in DOT_STEPS[1:5])
        window, width = self.window, self.window + self._growth
        terms = [*(self._product(m, lane) for lane in range(self.lanes)), self._addend()]

        # Largest exponent; how far each term is away from it comes behind the register.
        positive = Cat(term.is_inf & ~term.sign for term in terms).any()
        negative = Cat(term.is_inf & term.sign for term in terms).any()
        is_nan = Cat(term.is_nan for term in terms).any() | (positive & negative)
        exponent, exponent_2, exponent_3 = (Signal(self._exponent_bits) for _ in range(3))
        flags, flags_2 = Signal(3), Signal(3)
        # Products are compared by the exponents of their factors, which are narrow, and the addend last; none has one
        # where all of them are zero.
        products = _largest([term.exponent for term in terms[:-1]])
        ahead = (products + self._offsets[0]) & products.any().replicate(self._exponent_bits)
        m.d.comb += exponent.eq(_largest([ahead[: self._exponent_bits], terms[-1].exponent]))
        m.d[compare] += [flags.eq(Cat(negative, positive | negative, is_nan)), exponent_2.eq(exponent)]
        m.d[align] += [flags_2.eq(flags), exponent_3.eq(exponent_2)]

        # A negative term is complemented, and the ones that it lacks are counted.
        parts, signs = [], Signal(len(terms))
        for index, term in enumerate(terms):
            field, distance = (
                Signal(self._exponent_bits, name=f"{name}{index}_2") for name in ("exponent", "distance")
            )
            held, sign = Signal(window, name=f"held{index}"), Signal(name=f"sign{index}_2")
            part = Signal(width + 1, name=f"part{index}")
            offset = self._offsets[0] if index < self.lanes else 0
            m.d[compare] += [field.eq(term.exponent + offset), held.eq(term.bits), sign.eq(term.sign)]
            m.d.comb += distance.eq(exponent_2 - field)
            moved = Cat(self._aligned(held, distance), Const(0, width + 1 - window))
            m.d[align] += [part.eq(moved ^ sign.replicate(width + 1)), signs[index].eq(sign)]
            parts.append(part)

        total, below, magnitude = Signal(width + 1), Signal(), Signal(width)
        exponent_4, flags_3, all_below = Signal(self._exponent_bits), Signal(3), Signal()
        ones = sum((signs[index] for index in range(1, len(terms))), signs[0])
        m.d[add] += [
            total.eq(sum(parts[1:], parts[0]) + ones),
            all_below.eq(signs.all()),
            exponent_4.eq(exponent_3),
            flags_3.eq(flags_2),
        ]
        m.d.comb += [below.eq(total[-1]), magnitude.eq((total[:-1] ^ below.replicate(width)) + below)]
        m.submodules.rounder = rounder = Rounder(
            self.result_form, width, [step for step in STEPS if step in self.registers]
        )
        m.d[end] += [
            rounder.sign.eq(Mux(flags_3[1], flags_3[0], below | all_below)),
            rounder.significand.eq(magnitude),
            rounder.room.eq(exponent_4 + self._room),
            rounder.is_inf.eq(flags_3[1]),
            rounder.is_nan.eq(flags_3[2]),
        ]
        m.d.comb += self.result.eq(rounder.result)
        return m

    def _product(self, m: Module, lane: int) -> "_Term":
        """Return the exact product of a lane; a product of zero has no exponent."""
        form, bits = self.form, self.form.exponent_bits + 1
        x = unpack(self.a.word_select(lane, form.bits), form)
        y = unpack(self.b.word_select(lane, form.bits), form)
        sign, is_inf, is_nan = (Signal(name=f"{name}{lane}") for name in ("sign", "inf", "nan"))
        exponent = Signal(bits, name=f"exponent{lane}")
        product = Signal(2 * (form.fraction_bits + 1), name=f"product{lane}")
        live = ~(x.is_zero | y.is_zero)
        m.d[domain(self.registers, "multiply")] += [
            sign.eq(x.sign ^ y.sign),
            is_inf.eq(x.is_inf | y.is_inf),
            is_nan.eq(x.is_nan | y.is_nan | (x.is_inf & y.is_zero) | (y.is_inf & x.is_zero)),
            exponent.eq((x.exponent + y.exponent)[:bits] & live.replicate(bits)),
            product.eq(x.significand * y.significand),
        ]
        aligned = Cat(Const(0, self.window - len(product)), product)
        return _Term(sign=sign, exponent=exponent, bits=aligned, is_inf=is_inf, is_nan=is_nan)

    def _addend(self) -> "_Term":
        out = self.result_form
        z = unpack(self.addend, out)
        return _Term(
            sign=z.sign,
            exponent=(z.exponent + self._offsets[1])[: self._exponent_bits],
            bits=Cat(Const(0, self.window - out.fraction_bits - 1), z.significand),
            is_inf=z.is_inf,
            is_nan=z.is_nan,
        )

    def _aligned(self, term: Value, distance: Value) -> Value:
        """Return a term moved to the right; one that leaves the window altogether is 0, or its sticky bit."""
        shift = distance[: (self.window - 1).bit_length()]
        far = distance >= self.window
        moved = Mux(far, 0, term >> shift)[: self.window]
        if not self.sticky:
            return moved
        mask = ~(Const(-1, self.window) << shift)[: self.window]
        return moved | Mux(far, term.any(), (term & mask).any())


def _largest(values: Sequence[Value]) -> Value:
    """Return the largest of some unsigned values by a tree of comparisons."""
    values = list(values)
    while len(values) > 1:
        pairs = [
            Mux(values[index] > values[index + 1], values[index], values[index + 1])
            for index in range(0, len(values) - 1, 2)
        ]
        values = pairs + values[2 * len(pairs) :]
    return values[0]
