"""The array: active tile, one datapath a row, exact accumulators."""

from itertools import pairwise

from amaranth.hdl import Cat, Module, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.data import ArrayLayout, View
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from tritforge.accel.accumulator import Accumulator, control_layout
from tritforge.accel.beats import waiting_cycles
from tritforge.accel.codes import TRIT_BITS
from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.datapath import COPIES, Datapath, copies, copy
from tritforge.accel.fused_ecp5 import Ecp5FusedDot
from tritforge.accel.fused_xilinx import XilinxFusedDot
from tritforge.accel.sequencer import issue_layout
from tritforge.accel.tree import DotTree


def swap_groups(config: AcceleratorConfig) -> int:
    """Return the number of groups of chains that have registers of their own for the start of a tile.

    The rows' lanes of one activation are placed side by side, so neighbouring chains share a group, not rows.
    """
    return min(config.lanes // config.positions, copies(config))


def datapath_class(config: AcceleratorConfig) -> type[Datapath]:
    """Return the kind of datapath that a configuration asks for."""
    if config.datapath == "fused":
        return XilinxFusedDot if config.target == "xilinx" else Ecp5FusedDot
    return DotTree


def make_datapath(config: AcceleratorConfig) -> Datapath:
    """Return the dot product of a row that a configuration asks for."""
    return datapath_class(config)(config)


def sums_layout(config: AcceleratorConfig) -> ArrayLayout:
    """Layout of one token's sums of a row tile."""
    return ArrayLayout(signed(config.acc_bits), config.rows)


class TileArray(wiring.Component):
    """`rows` dot products of `lanes` inputs a cycle, summed over the tiles along K.

    Parameters
    ----------
    config
        Widths.

    Members
    -------
    issue : In, the token that enters in this cycle
    word : In, its activations; those of the lanes at position p come p cycles later
    swap : In, `tile` becomes active for this token and those that follow; a bit for each group of chains, all alike
    tile : In, the assembled tile, in the order (position, row, chain); of the next tile, beat b comes b cycles
        after the swap at the earliest
    bias : In, biases of the rows, read with a row tile's first tile; not there with ``negation = "carry"``
    sums : Out, sums of the rows
    sums_valid : Out, high when `sums` are those of the last tile along K

    The latency from `issue` to `sums` is ``config.array_latency`` cycles; the throughput is one token a cycle.
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self.config = config
        super().__init__(
            {
                "issue": In(issue_layout(config)),
                "word": In(config.lanes * config.act_container_bits),
                "swap": In(swap_groups(config)),
                "tile": In(config.tile_bits),
                "sums": Out(sums_layout(config)),
                "sums_valid": Out(1),
            }
            | ({"bias": In(config.rows * config.bias_bits)} if config.negation == "bias" else {})
        )

    def make_datapath(self, row: int) -> Datapath:  # noqa: ARG002
        """Return the dot product of a row."""
        return make_datapath(self.config)

    def make_accumulator(self, row: int) -> Accumulator:  # noqa: ARG002
        """Return the accumulators of a row."""
        return Accumulator(self.config)

    def elaborate(self, platform: object) -> Module:  # noqa: ARG002
        m = Module()
        config = self.config
        steps = config.datapath_latency

        # stage[i] is the token that was issued i cycles ago.
        stage = [
            self.issue,
            *(Signal(issue_layout(config), name=f"stage{index}") for index in range(1, steps + 3)),
        ]
        m.d.sync += [after.eq(before) for before, after in pairwise(stage)]
        early, fetch, add, out = stage[steps - 1 :]
        m.d.comb += self.sums_valid.eq(out.valid & out.last)
        controls = [
            self._control(m, group, early, fetch, add) for group in range(min(config.rows, copies(config)))
        ]

        # Taken in every cycle: what comes while no token enters is not added to any sum.
        acts = Signal(config.lanes * config.act_bits, reset_less=True)
        m.d.sync += acts.eq(
            Cat(
                self.word.word_select(lane, config.act_container_bits)[: config.act_bits]
                for lane in range(config.lanes)
            )
        )
        trits = self._weights(m)
        biases = self._biases(m, fetch) if config.negation == "bias" else None

        for row in range(config.rows):
            m.submodules[f"dot{row}"] = dot = self.make_datapath(row)
            m.submodules[f"acc{row}"] = accumulator = self.make_accumulator(row)
            m.d.comb += [
                dot.acts.eq(acts),
                dot.trits.eq(Cat(position[row] for position in trits)),
                accumulator.control.eq(controls[row % len(controls)]),
                accumulator.dot.eq(dot.sum),
                accumulator.carry.eq(dot.carry),
                self.sums[row].eq(accumulator.sum),
            ]
            if biases is not None:
                m.d.comb += accumulator.start.eq(biases.word_select(row, config.bias_bits))
        return m

    def _control(self, m: Module, group: int, early: View, fetch: View, add: View) -> View:
        """Return what a group of accumulators is told, in registers of the group's own."""
        control = Signal(control_layout(self.config))
        values = {
            "read_token": early.token,
            "first": early.first,
            # A token that comes again too soon for the memory; found out a cycle before it is fetched.
            "forward": fetch.valid & (fetch.token == early.token),
            "passing": add.valid & (add.token == early.token),
            "add": fetch.valid,
            "write_token": add.token,
            "write": add.valid,
        }
        for name, value in values.items():
            here = copy(m, value, group, name)
            # Where copies are inverted, the memory's words lie in the opposite order, which needs no inverters.
            opposite = name.endswith("_token") and group >= COPIES // 2
            m.d.comb += control[name].eq(~here if opposite else here)
        return control

    def _weights(self, m: Module) -> list[list[Value]]:
        """Return the active trits by position and row."""
        config = self.config
        bits = config.tile_bits // config.positions
        chains = config.lanes // config.positions
        swaps: list[Value] = list(self.swap)
        trits: list[list[Value]] = []
        for position in range(config.positions):
            assembled: Value = self.tile[position * bits : (position + 1) * bits]
            for step in range(waiting_cycles(config, position)):
                waiting = Signal(bits, name=f"waiting{position}_{step}", reset_less=True)
                m.d.sync += waiting.eq(assembled)
                assembled = waiting
            active = Signal(bits, name=f"active{position}", reset_less=True)
            for index in range(bits // TRIT_BITS):
                with m.If(swaps[index % chains * len(swaps) // chains]):
                    m.d.sync += active.word_select(index, TRIT_BITS).eq(
                        assembled.word_select(index, TRIT_BITS)
                    )
            trits.append([active.word_select(row, chains * TRIT_BITS) for row in range(config.rows)])
            if position + 1 < config.positions:
                swaps = [copy(m, swap, group, f"swap{position + 1}") for group, swap in enumerate(swaps)]
        return trits

    def _biases(self, m: Module, fetch: Signal) -> Value:
        """Return the biases of the fetched token's row tile.

        A row tile's biases wait until its first token leaves the datapath; as many can wait as that is long.
        """
        config = self.config
        m.submodules.biases = biases = Memory(
            shape=config.rows * config.bias_bits,
            depth=1 << (config.datapath_latency + 1).bit_length(),
            init=[],
        )
        write, read = biases.write_port(), biases.read_port(domain="comb")
        m.d.comb += [write.en.eq(self.swap[0] & self.issue.first), write.data.eq(self.bias)]
        m.d.sync += [
            write.addr.eq(write.addr + write.en),
            read.addr.eq(read.addr + (fetch.valid & fetch.bias_end)),
        ]
        return read.data
