"""Dot products of one row with the accumulator's addition, all with the same registers: what is compared at gates.

A unit takes the activations and the weights of its lanes and the partial sum that the accumulator's memory holds, and
gives the new partial sum. It has a register for activations, for weights, for the partial sum that enters and for
the one that leaves, and inside what its clock asks for; it is a pipeline without a loop, since the tokens that share
a tile of weights come one after the other and the sums of a token lie in memory between two tiles. That memory is the
same for all units but for its width, and is not part of them.
"""

from collections.abc import Collection, Sequence

import numpy as np
import numpy.typing as npt
from amaranth.hdl import Module, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from tritforge.accel.array import make_datapath
from tritforge.accel.codes import TRIT_BITS
from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.datapath import Datapath, extend, register
from tritforge.accel.errors import InputError
from tritforge.accel.float16 import ADDER_STEPS, MULTIPLIER_STEPS, FloatAdder, FloatMultiplier
from tritforge.accel.float_dot import DOT_STEPS, FusedDot
from tritforge.accel.float_format import FP16, FP32, FloatFormat

Words = npt.NDArray[np.int64]


class DotUnit(wiring.Component):
    """``partial + sum(acts * weights)`` over the lanes, one a cycle.

    Parameters
    ----------
    lanes
        Products a cycle.
    act_bits, weight_bits, sum_bits
        Widths of an activation, a weight and a partial sum.
    inner_latency
        Cycles from the registered operands to the register of the sum.
    partial_delay
        Cycles by which a partial sum enters behind the operands that are added to it.

    Members
    -------
    acts, weights : In, `lanes` operands side by side, lane 0 in the low bits
    partial : In, `partial_delay` cycles later
    sum : Out, `latency` cycles after the operands
    """

    def __init__(
        self,
        *,
        lanes: int,
        act_bits: int,
        weight_bits: int,
        sum_bits: int,
        inner_latency: int,
        partial_delay: int,
    ) -> None:
        if lanes < 1:
            raise InputError(f"lanes is {lanes}; 1 or more are needed")
        self.lanes = lanes
        self.act_bits, self.weight_bits, self.sum_bits = act_bits, weight_bits, sum_bits
        self.latency = 1 + inner_latency
        self.partial_delay = partial_delay
        super().__init__(
            {
                "acts": In(lanes * act_bits),
                "weights": In(lanes * weight_bits),
                "partial": In(sum_bits),
                "sum": Out(sum_bits),
            }
        )

    def model(self, acts: Words, weights: Words, partial: Words) -> Words:
        """Return sums as patterns: operands of shape (..., lanes), integers signed; partial sums of shape (...)."""
        raise NotImplementedError

    def elaborate(self, platform: object) -> Module:  # noqa: ARG002
        m = Module()
        acts, weights, partial = (
            register(m, value, f"{name}_register")
            for name, value in (("acts", self.acts), ("weights", self.weights), ("partial", self.partial))
        )
        m.d.comb += self.sum.eq(self._sum(m, acts, weights, partial))
        return m

    def _sum(self, m: Module, acts: Signal, weights: Signal, partial: Signal) -> Value:
        """Return the register of the sum."""
        raise NotImplementedError

    def _patterns(self, sums: Words) -> Words:
        return sums & ((1 << self.sum_bits) - 1)


class TernaryDot(DotUnit):
    """Trits {nonzero, neg} times integers; with ``negation = "bias"`` the first partial sum is the row's bias.

    Parameters
    ----------
    config
        Lanes, widths and the structure of the datapath; a partial sum has `config.acc_bits`.
    merged
        All lanes in one sum that synthesis makes of compressors, in place of `config.datapath`.
    """

    def __init__(self, config: AcceleratorConfig, *, merged: bool = False) -> None:
        self.config = config
        self.merged = merged
        inside = 1 if merged else config.datapath_latency
        super().__init__(
            lanes=config.lanes,
            act_bits=config.act_bits,
            weight_bits=TRIT_BITS,
            sum_bits=config.acc_bits,
            inner_latency=inside + 1,
            partial_delay=inside,
        )

    def model(self, acts: Words, weights: Words, partial: Words) -> Words:
        """Return sums as patterns; weights are -1, 0 or +1."""
        passed, owed = Datapath.model(acts, weights, self.config.negation)
        return self._patterns(partial + passed + owed)

    def _sum(self, m: Module, acts: Signal, weights: Signal, partial: Signal) -> Value:
        dot = _MergedLanes(self.config) if self.merged else make_datapath(self.config)
        m.submodules.dot = dot
        m.d.comb += [dot.acts.eq(acts), dot.trits.eq(weights)]
        total = partial + extend(dot.sum, self.sum_bits)
        if self.config.negation == "carry":
            total = total + dot.carry
        return register(m, total[: self.sum_bits], "sum_register")


class _MergedLanes(Datapath):
    """All lanes in one sum, whose adders synthesis chooses."""

    def elaborate(self, platform: object) -> Module:  # noqa: ARG002
        m = Module()
        config = self.config
        lanes = [self.masked(index).as_signed() for index in range(config.lanes)]
        total = sum(lanes[1:], lanes[0])
        if config.negation == "carry":
            owed = [self.trit(index)[1] for index in range(config.lanes)]
            total = total + sum(owed[1:-1], owed[0])
            m.d.comb += self.carry.eq(register(m, owed[-1], "owed"))
        m.d.comb += self.sum.eq(register(m, total[: config.dot_bits], "total"))
        return m


class IntegerDot(DotUnit):
    """Integers times integers, summed exactly.

    Parameters
    ----------
    lanes
        Products a cycle.
    act_bits, weight_bits, sum_bits
        Widths; the sum is the caller's to keep within its own.
    merged
        All products in one sum that synthesis makes of compressors, behind a register for each product; otherwise a
        tree of adders.
    levels_per_register
        Levels of adders of a tree between two registers.
    """

    def __init__(
        self,
        lanes: int,
        *,
        act_bits: int = 8,
        weight_bits: int = 8,
        sum_bits: int = 32,
        merged: bool = False,
        levels_per_register: int = 1,
    ) -> None:
        levels = (lanes - 1).bit_length()
        self.merged = merged
        self.levels_per_register = levels_per_register
        inside = 1 + (1 if merged else -(-levels // levels_per_register))
        super().__init__(
            lanes=lanes,
            act_bits=act_bits,
            weight_bits=weight_bits,
            sum_bits=sum_bits,
            inner_latency=inside + 1,
            partial_delay=inside,
        )

    def model(self, acts: Words, weights: Words, partial: Words) -> Words:
        """Return sums as patterns."""
        return self._patterns(partial + (acts * weights).sum(axis=-1))

    def _sum(self, m: Module, acts: Signal, weights: Signal, partial: Signal) -> Value:
        products: list[Value] = []
        for lane in range(self.lanes):
            act = acts.word_select(lane, self.act_bits).as_signed()
            weight = weights.word_select(lane, self.weight_bits).as_signed()
            product = Signal(signed(self.act_bits + self.weight_bits), name=f"product{lane}", reset_less=True)
            m.d.sync += product.eq(act * weight)
            products.append(product)
        if self.merged:
            total = sum(products[1:], products[0])
            dot: Value = register(m, total[: len(products[0]) + (self.lanes - 1).bit_length()], "dot")
        else:
            dot = self._tree(m, products)
        return register(m, (partial + extend(dot, self.sum_bits))[: self.sum_bits], "sum_register")

    def _tree(self, m: Module, values: Sequence[Value]) -> Value:
        values, level = list(values), 0
        while len(values) > 1:
            level += 1
            ends_stage = level % self.levels_per_register == 0 or len(values) == 2
            sums: list[Value] = []
            for index in range(0, len(values), 2):
                pair = values[index : index + 2]
                width = len(pair[0]) + (len(pair) - 1)
                total = sum((extend(value, width) for value in pair[1:]), extend(pair[0], width))[:width]
                sums.append(register(m, total, f"level{level}_{index // 2}") if ends_stage else total)
            values = sums
        return values[0]


class RoundedDot(DotUnit):
    """FP16 products, a tree of adders and an accumulator, each of which rounds.

    Parameters
    ----------
    lanes
        Products a cycle.
    form
        Format of all sums; in FP32 the products are exact.
    multiplier_registers, adder_registers
        Steps of the units that end in a register; the last ones, ``round``, must.

    Raises
    ------
    InputError
        A unit without a register for its result.
    """

    def __init__(
        self,
        lanes: int,
        *,
        form: FloatFormat = FP16,
        multiplier_registers: Collection[str] = MULTIPLIER_STEPS,
        adder_registers: Collection[str] = ADDER_STEPS,
    ) -> None:
        for name, steps in (
            ("multiplier_registers", multiplier_registers),
            ("adder_registers", adder_registers),
        ):
            if "round" not in steps:
                raise InputError(f"{name} has no 'round'; a unit's result needs a register")
        self.form = form
        levels = (lanes - 1).bit_length()
        self.multipliers = [
            FloatMultiplier(FP16, form, registers=multiplier_registers, bypass=True) for _ in range(lanes)
        ]
        self.adders = [
            [FloatAdder(form, registers=adder_registers) for _ in range(-(-lanes // (2 << level)))]
            for level in range(levels)
        ]
        self.accumulator = adder = FloatAdder(form, registers=adder_registers)
        inside = self.multipliers[0].latency + levels * adder.latency
        super().__init__(
            lanes=lanes,
            act_bits=FP16.bits,
            weight_bits=FP16.bits,
            sum_bits=form.bits,
            inner_latency=inside + adder.latency,
            partial_delay=inside,
        )

    def model(self, acts: Words, weights: Words, partial: Words) -> Words:
        """Return sums as patterns, of patterns."""
        adder = self.accumulator
        values = list(np.moveaxis(self.multipliers[0].model(acts, weights), -1, 0))
        while len(values) > 1:
            values = [
                adder.model(values[index], values[index + 1] if index + 1 < len(values) else 0)
                for index in range(0, len(values), 2)
            ]
        return adder.model(partial, values[0])

    def _sum(self, m: Module, acts: Signal, weights: Signal, partial: Signal) -> Value:
        values: list[Value] = []
        for lane, multiplier in enumerate(self.multipliers):
            m.submodules[f"multiplier{lane}"] = multiplier
            m.d.comb += [
                multiplier.a.eq(acts.word_select(lane, FP16.bits)),
                multiplier.b.eq(weights.word_select(lane, FP16.bits)),
            ]
            values.append(multiplier.product)
        for level, adders in enumerate(self.adders):
            for index, adder in enumerate(adders):
                m.submodules[f"adder{level}_{index}"] = adder
                # One that has no neighbour is added to zero, which keeps it in step.
                other: Value | int = values[2 * index + 1] if 2 * index + 1 < len(values) else 0
                m.d.comb += [adder.a.eq(values[2 * index]), adder.b.eq(other)]
            values = [adder.sum for adder in adders]
        m.submodules.accumulator = accumulator = self.accumulator
        m.d.comb += [accumulator.a.eq(partial), accumulator.b.eq(values[0])]
        result: Value = accumulator.sum
        return result


class FusedFloatDot(DotUnit):
    """FP16 products aligned once, added as integers with the partial sum and rounded once.

    Parameters
    ----------
    lanes
        Products a cycle; with one the unit is a fused multiply-add.
    sum_form
        Format of the partial sums.
    registers
        Steps of `FusedDot` that end in a register; ``multiply`` and ``round`` must.

    Raises
    ------
    InputError
        One of these has no register.
    """

    def __init__(
        self, lanes: int, *, sum_form: FloatFormat = FP32, registers: Collection[str] = DOT_STEPS
    ) -> None:
        for step in ("multiply", "round"):
            if step not in registers:
                raise InputError(f"registers has no {step!r}; products and result need one")
        self.dot = FusedDot(lanes, FP16, sum_form, registers=registers)
        super().__init__(
            lanes=lanes,
            act_bits=FP16.bits,
            weight_bits=FP16.bits,
            sum_bits=sum_form.bits,
            inner_latency=self.dot.latency,
            partial_delay=self.dot.addend_delay,
        )

    def model(self, acts: Words, weights: Words, partial: Words) -> Words:
        """Return sums as patterns, of patterns."""
        return self.dot.model(acts, weights, partial)

    def _sum(self, m: Module, acts: Signal, weights: Signal, partial: Signal) -> Value:
        m.submodules.dot = dot = self.dot
        m.d.comb += [dot.a.eq(acts), dot.b.eq(weights), dot.addend.eq(partial)]
        result: Value = dot.result
        return result
