"""Cores with one planted bug each, made from the product's components through their hooks and ports.

A subclass of the core may drive a connection once more: in Amaranth the last assignment wins.
"""

from collections.abc import Sequence
from itertools import pairwise

from amaranth.hdl import Module, Signal, Value

from tritforge.accel.activations import ActivationBuffer
from tritforge.accel.array import TileArray
from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.core import Core
from tritforge.accel.countdown import Countdown
from tritforge.accel.datapath import Datapath, extend
from tritforge.accel.results import ResultQueue
from tritforge.accel.sequencer import Sequencer
from tritforge.accel.tree import DotTree, Term
from tritforge.accel.weights import WeightLoader

# Inside a tree


class LaneSignTree(DotTree):
    """Lane 1 takes -1 for +1 and the other way round."""

    def lane(self, index: int) -> Value:
        if index != 1:
            return super().lane(index)
        act, (nonzero, neg) = self.act(index), self.trit(index)
        return (act ^ (~neg).replicate(len(act))) & nonzero.replicate(len(act))


class LaneMaskTree(DotTree):
    """The last lane does not mask its activation where the weight is 0."""

    def lane(self, index: int) -> Value:
        if index != self.config.lanes - 1:
            return super().lane(index)
        act = self.act(index)
        return act ^ self.trit(index)[1].replicate(len(act))


class AdderBitTree(DotTree):
    """Bit 3 of one adder's sum is inverted."""

    def add(self, terms: Sequence[Term], width: int, level: int, index: int) -> Value:
        total = super().add(terms, width, level, index)
        return (total ^ 0b1000)[:width] if (level, index) == (1, 0) else total


class AdderWidthTree(DotTree):
    """The adders of the last level drop their carry: the sum wraps."""

    def add(self, terms: Sequence[Term], width: int, level: int, index: int) -> Value:
        total = super().add(terms, width, level, index)
        return extend(total[:-1], width) if level == self.config.tree_levels - 1 else total


# Inside the array


class ArrayWithTree(TileArray):
    """An array whose row 1 has another tree."""

    def __init__(self, config: AcceleratorConfig, tree: type[DotTree]) -> None:
        self.tree = tree
        super().__init__(config)

    def make_datapath(self, row: int) -> Datapath:
        return self.tree(self.config) if row == 1 else super().make_datapath(row)


class ArrayWithInput(TileArray):
    """An array whose accumulators never see one of their inputs."""

    def __init__(self, config: AcceleratorConfig, name: str) -> None:
        self.name = name
        super().__init__(config)

    def elaborate(self, platform: object) -> Module:
        m = super().elaborate(platform)
        for row in range(self.config.rows):
            accumulator = m.submodules[f"acc{row}"]
            part = accumulator.start if self.name == "start" else accumulator.control[self.name]
            m.d.comb += part.eq(0)
        return m


# Between the blocks


class MutantCore(Core):
    """A core with one bug, in a block that it makes or in the connections between them."""

    def rewire(self, m: Module) -> None:
        """Drive connections once more after the product has made them."""

    def elaborate(self, platform: object) -> Module:
        m = super().elaborate(platform)
        self.rewire(m)
        return m


class EarlyCountdown(Countdown):
    """Ends a step too soon where there are several."""

    def __init__(self, name: str, high: int, step: int) -> None:
        super().__init__(name, high, step)
        self.last = self.rest < step


class LastTileSequencer(Sequencer):
    """The last tile along K is left out where there are several."""

    def tiles(self) -> Countdown:
        return EarlyCountdown("k", self.config.k_max, self.config.lanes)


class LaneSign(MutantCore):
    """One lane's sign."""

    def make_array(self) -> TileArray:
        return ArrayWithTree(self.config, LaneSignTree)


class LaneMask(MutantCore):
    """A lane that does not mask."""

    def make_array(self) -> TileArray:
        return ArrayWithTree(self.config, LaneMaskTree)


class AdderBit(MutantCore):
    """One bit of one adder."""

    def make_array(self) -> TileArray:
        return ArrayWithTree(self.config, AdderBitTree)


class AdderWidth(MutantCore):
    """A tree one bit too narrow at its end."""

    def make_array(self) -> TileArray:
        return ArrayWithTree(self.config, AdderWidthTree)


class DroppedLastTile(MutantCore):
    """The last tile along K."""

    def make_sequencer(self) -> Sequencer:
        return LastTileSequencer(self.config)


class StaleSum(MutantCore):
    """A row tile's first tile adds to what the accumulator held before."""

    def make_array(self) -> TileArray:
        return ArrayWithInput(self.config, "first")


class LostBias(MutantCore):
    """Sums start from 0 instead of the bias."""

    def make_array(self) -> TileArray:
        return ArrayWithInput(self.config, "start")


class NoForward(MutantCore):
    """At T = 1 a sum that is being added is read from the memory, where it is not yet."""

    def make_array(self) -> TileArray:
        return ArrayWithInput(self.config, "forward")


class NoPassing(MutantCore):
    """At T = 2 a sum that is being written is read from the memory, where it is not yet."""

    def make_array(self) -> TileArray:
        return ArrayWithInput(self.config, "passing")


class WrongToken(MutantCore):
    """All tokens share one accumulator."""

    def rewire(self, m: Module) -> None:
        array: TileArray = m.submodules.array
        m.d.comb += array.issue.token.eq(0)


class SwappedRows(MutantCore):
    """Rows 0 and 1 change places."""

    def rewire(self, m: Module) -> None:
        array: TileArray = m.submodules.array
        queue: ResultQueue = m.submodules.queue
        m.d.comb += [queue.sums[0].eq(array.sums[1]), queue.sums[1].eq(array.sums[0])]


class StuckAddress(MutantCore):
    """The activation buffer always shows its first word."""

    def rewire(self, m: Module) -> None:
        buffer: ActivationBuffer = m.submodules.buffer
        m.d.comb += buffer.address.eq(0)


class LateWord(MutantCore):
    """A token gets the word that was read before its own."""

    def rewire(self, m: Module) -> None:
        buffer: ActivationBuffer = m.submodules.buffer
        late = Signal.like(buffer.data)
        array: TileArray = m.submodules.array
        m.d.sync += late.eq(buffer.data)
        m.d.comb += array.word.eq(late)


class BufferNotReleased(MutantCore):
    """Finished jobs keep their words in the buffer, which fills up."""

    def rewire(self, m: Module) -> None:
        buffer: ActivationBuffer = m.submodules.buffer
        m.d.comb += buffer.release.eq(0)


class TooManyWords(MutantCore):
    """Rows beyond M are sent."""

    def rewire(self, m: Module) -> None:
        queue: ResultQueue = m.submodules.queue
        rows = self.config.rows
        tiles = (m.submodules.port.o2.payload.m + rows - 1) // rows
        m.d.comb += queue.jobs.payload.m.eq(tiles * rows)


class TooFewWords(MutantCore):
    """The last row is not sent."""

    def rewire(self, m: Module) -> None:
        queue: ResultQueue = m.submodules.queue
        m.d.comb += queue.jobs.payload.m.eq(m.submodules.port.o2.payload.m - 1)


class LateTile(MutantCore):
    """A tile becomes active one token late."""

    def rewire(self, m: Module) -> None:
        array: TileArray = m.submodules.array
        loader: WeightLoader = m.submodules.loader
        swaps = [m.submodules.sequencer.swap, *(Signal(name=f"late{cycle}") for cycle in range(3))]
        tile = Signal(self.config.tile_bits)
        m.d.sync += [tile.eq(loader.tile), *(after.eq(before) for before, after in pairwise(swaps))]
        m.d.comb += [array.swap.eq(swaps[-1].replicate(len(array.swap))), array.tile.eq(tile)]


class QueueOverrun(MutantCore):
    """The sequencer always sees room in the result queue."""

    def rewire(self, m: Module) -> None:
        sequencer: Sequencer = m.submodules.sequencer
        m.d.comb += sequencer.popped.eq(sequencer.issue.valid & sequencer.issue.last)


class NarrowAccumulator(MutantCore):
    """Sums lose their top bit on the way to the results."""

    def rewire(self, m: Module) -> None:
        array: TileArray = m.submodules.array
        queue: ResultQueue = m.submodules.queue
        bits = self.config.acc_bits - 1
        m.d.comb += [
            queue.sums[row].eq(array.sums[row].as_unsigned()[:bits].as_signed())
            for row in range(self.config.rows)
        ]


#: Every mutant.
MUTANTS: tuple[type[MutantCore], ...] = (
    LaneSign,
    LaneMask,
    AdderBit,
    AdderWidth,
    DroppedLastTile,
    StaleSum,
    LostBias,
    NoForward,
    NoPassing,
    WrongToken,
    SwappedRows,
    StuckAddress,
    LateWord,
    BufferNotReleased,
    TooManyWords,
    TooFewWords,
    LateTile,
    QueueOverrun,
    NarrowAccumulator,
)
