"""Datapath `fused` for AMD/Xilinx: two lanes per LUT and bit, joined by adders of three operands."""

from collections.abc import Sequence
from dataclasses import dataclass

from amaranth.hdl import Cat, Const, Module, Signal, Value

from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.datapath import Datapath
from tritforge.accel.xilinx import Lane, SharedLuts, add, add_lanes, bits_of


@dataclass(frozen=True, kw_only=True, eq=False)
class PartialSum:
    """A register of the datapath: the sum of some lanes, made positive.

    A lane counts from ``-2**(act_bits-1)`` on, so that no adder extends a sign.

    Attributes
    ----------
    operands
        The sums of the level before that it adds. None: it adds lanes; one: it waits for the others.
    lanes
        The lanes below it. The +1 of the last one is owed.
    low, high
        The register's interval, exact; `low` is not 0 where an offset came in below.
    offset
        A constant that whoever adds this sum adds with it; it costs wires only.
    """

    operands: tuple["PartialSum", ...]
    lanes: tuple[int, ...]
    low: int
    high: int
    offset: int = 0

    @property
    def width(self) -> int:
        """Bits of the register."""
        return self.high.bit_length()


def _grouped(sums: Sequence[PartialSum]) -> list[tuple[PartialSum, ...]]:
    """Choose what a level adds: threes, and one pair where the number of sums is even, for the last to be a three.

    The narrowest go first. The levels are as few as threes alone could do with, ``ceil(log3(n))``.
    """
    rest = sorted(sums, key=lambda node: node.high + node.offset)
    groups = []
    if len(rest) % 2 == 0:
        groups.append(tuple(rest[:2]))
        rest = rest[2:]
    waiting = len(rest) - len(rest) % 3
    groups += [tuple(rest[start : start + 3]) for start in range(0, waiting, 3)]
    return groups + [(node,) for node in rest[waiting:]]


def _joined(group: tuple[PartialSum, ...]) -> PartialSum:
    if len(group) == 1:
        (only,) = group
        return PartialSum(operands=group, lanes=only.lanes, low=only.low, high=only.high, offset=only.offset)
    ordered = tuple(sorted(group, key=lambda node: node.lanes[-1]))
    return PartialSum(
        operands=ordered,
        lanes=tuple(lane for node in ordered for lane in node.lanes),
        low=sum(node.low + node.offset for node in ordered),
        # Every +1 that the adder takes makes an interval longer.
        high=sum(node.high + node.offset for node in ordered) + len(ordered) - 1,
    )


def partial_sums(config: AcceleratorConfig) -> list[list[PartialSum]]:
    """Return the registers of the datapath, level by level.

    All offsets together make the last sum ``2**(dot_bits-1)`` too large, so that inverting its highest bit gives the
    sum. Lanes that are missing from a power of two are made up for by the offset of the last pair.
    """
    span, lanes = 1 << config.act_bits, config.lanes
    missing = (1 << config.dot_bits - 1) - lanes * span // 2
    level = []
    for first in range(0, lanes, 2):
        pair = tuple(range(first, min(first + 2, lanes)))
        offset = missing if pair[-1] == lanes - 1 else 0
        level.append(PartialSum(operands=(), lanes=pair, low=0, high=len(pair) * span - 1, offset=offset))
    levels = [level]
    while len(level) > 1:
        level = [_joined(group) for group in _grouped(level)]
        levels.append(level)
    return levels


@dataclass(frozen=True, kw_only=True)
class Stage:
    """Registers of a partial sum: its bits, and the +1 that it lacks."""

    bits: Signal
    owed: Signal


class XilinxFusedDot(Datapath):
    """Pairs of lanes, a LUT a bit, joined by adders of three operands.

    The pairs of n lanes of b bits cost ``n * b / 2`` LUTs, and half a LUT each for the sign. An adder of three
    operands costs about a LUT for each bit of its sum. An adder of k sums takes k - 1 of the +1s that they owe.

    Parameters
    ----------
    config
        Lanes and widths.
    cells
        Whether to instantiate the cells for no platform, too.
    """

    def __init__(self, config: AcceleratorConfig, *, cells: bool = False) -> None:
        super().__init__(config)
        self.cells = cells
        self.levels = partial_sums(config)
        self.stages: dict[PartialSum, Stage] = {}
        for depth, level in enumerate(self.levels):
            for index, node in enumerate(level):
                # What the registers hold at first is the sum of lanes that are all 0.
                zero = 0 if self._is_last(node) else node.low + (len(node.lanes) << config.act_bits - 1)
                name = f"level{depth}_{index}"
                bits, owed = Signal(node.width, init=zero, name=name), Signal(name=f"{name}_owed")
                self.stages[node] = Stage(bits=bits, owed=owed)

    @classmethod
    def stage_bits(cls, config: AcceleratorConfig) -> list[int]:
        return [config.act_bits, *(max(node.width for node in level) for level in partial_sums(config))]

    def lane(self, index: int) -> Lane:
        """Return what a lane adds."""
        nonzero, neg = self.trit(index)
        return Lane(act=self.act(index), nonzero=nonzero, neg=neg)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        signs = SharedLuts() if self.cells or platform is not None else None
        for node, stage in self.stages.items():
            if node.operands:
                bits, owed = self._join(m, node, cells=signs is not None), self.stages[node.operands[-1]].owed
            else:
                bits, owed = self._pair(m, node, signs), self.lane(node.lanes[-1]).neg
            m.d.sync += [stage.bits.eq(bits), stage.owed.eq(owed)]
        if signs is not None:
            signs.place(m)
        last = self.stages[self.levels[-1][0]]
        m.d.comb += [self.sum.eq(last.bits.as_signed()), self.carry.eq(last.owed)]
        return m

    def _is_last(self, node: PartialSum) -> bool:
        return node is self.levels[-1][0]

    def _stored(self, node: PartialSum, total: Value) -> Value:
        """Return what a register takes: the last one's highest bit is the sign instead."""
        bits = total[: node.width]
        return Cat(bits[:-1], ~bits[-1]) if self._is_last(node) else bits

    def _pair(self, m: Module, node: PartialSum, signs: SharedLuts | None) -> Value:
        """Return the sum of two lanes, in cells where there are LUTs for signs, or the lane that is left over."""
        lanes = [self.lane(index) for index in node.lanes]
        if signs is not None and len(lanes) == 2:
            return add_lanes(m, signs, *lanes, invert_top=not self._is_last(node))
        values = [lane.passed().as_signed() + (1 << self.config.act_bits - 1) for lane in lanes]
        return self._stored(node, sum([*values, *(lane.neg for lane in lanes[:-1])], Const(0)))

    def _join(self, m: Module, node: PartialSum, *, cells: bool) -> Value:
        """Return the sum of registers of the level before, with their offsets."""
        stages = [self.stages[operand] for operand in node.operands]
        if len(stages) == 1:
            return stages[0].bits
        carries = [stage.owed for stage in stages[:-1]]
        added = list(zip(stages, node.operands, strict=True))
        if cells:
            operands = [bits_of(stage.bits, operand.offset) for stage, operand in added]
            return add(m, operands, carries, node.width, invert_top=self._is_last(node))
        values = [stage.bits + operand.offset for stage, operand in added]
        return self._stored(node, sum([*values, *carries], Const(0)))
