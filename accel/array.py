"""The array: active tile, one dot product a row, exact accumulators."""

from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.data import ArrayLayout
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.sequencer import issue_layout
from tritforge.accel.tree import TRIT_BITS, DotTree


def sums_layout(config: AcceleratorConfig) -> ArrayLayout:
    """Layout of one token's sums of a row tile."""
    return ArrayLayout(signed(config.acc_bits), config.rows)


class TileArray(wiring.Component):
    """`rows` dot products of `lanes` inputs a cycle, summed over the tiles along K.

    Accumulators live in a memory by token. A row's bias is what its first tile adds to; two tokens of the same
    number in successive cycles (T = 1) find the sum in the register it has just left.

    Parameters
    ----------
    config
        Widths.

    Members
    -------
    issue : In, the token that enters in this cycle
    word : In, its activations
    swap : In, `tile` becomes active for this token and those that follow
    tile : In, the assembled tile
    bias : In, biases of the rows, read with a row tile's first tile
    sums : Out, sums of the rows
    sums_valid : Out, high when `sums` are those of the last tile along K

    The latency from `issue` to `sums` is ``config.latency`` cycles; the throughput is one token a cycle.
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self.config = config
        super().__init__(
            {
                "issue": In(issue_layout(config)),
                "word": In(config.lanes * config.act_container_bits),
                "swap": In(1),
                "tile": In(config.tile_bits),
                "bias": In(config.rows * config.bias_bits),
                "sums": Out(sums_layout(config)),
                "sums_valid": Out(1),
            }
        )

    def make_tree(self, row: int) -> DotTree:  # noqa: ARG002
        """Return the dot product of a row."""
        return DotTree(self.config)

    def start(self, first: Value, bias: Value, stored: Value) -> Value:
        """Return what a row's sum goes on from: its bias in the first tile along K, then the sum so far."""
        return Mux(first, bias, stored)

    def operand(self, forward: Value, register: Value, stored: Value) -> Value:
        """Return what a row's dot product is added to."""
        return Mux(forward, register, stored)

    def elaborate(self, platform: object) -> Module:  # noqa: ARG002
        m = Module()
        config = self.config
        levels = config.tree_levels

        acts = Signal(config.lanes * config.act_bits)
        active = Signal(config.tile_bits)
        with m.If(self.issue.valid):
            m.d.sync += acts.eq(
                Cat(
                    self.word.word_select(lane, config.act_container_bits)[: config.act_bits]
                    for lane in range(config.lanes)
                )
            )
        with m.If(self.swap):
            m.d.sync += active.eq(self.tile)

        # stage[i] is the token that is i + 1 cycles behind its issue.
        stage = [Signal(issue_layout(config), name=f"stage{index}") for index in range(levels + 2)]
        m.d.sync += [after.eq(before) for before, after in zip([self.issue, *stage], stage, strict=False)]
        fetch, add, out = stage[levels - 1], stage[levels], stage[levels + 1]

        # A row tile's biases wait here until its first token leaves the tree; as many can wait as the tree is long.
        m.submodules.biases = biases = Memory(
            shape=config.rows * config.bias_bits, depth=1 << (levels + 1).bit_length(), init=[]
        )
        bias_write, bias_read = biases.write_port(), biases.read_port(domain="comb")
        m.d.comb += [
            bias_write.en.eq(self.swap & self.issue.first),
            bias_write.data.eq(self.bias),
        ]
        m.d.sync += [
            bias_write.addr.eq(bias_write.addr + bias_write.en),
            bias_read.addr.eq(bias_read.addr + (fetch.valid & fetch.bias_end)),
        ]

        forward = Signal()
        m.d.sync += forward.eq(~fetch.first & add.valid & (add.token == fetch.token))
        for row in range(config.rows):
            m.submodules[f"dot{row}"] = dot = self.make_tree(row)
            m.submodules[f"acc{row}"] = memory = Memory(
                shape=signed(config.acc_bits), depth=max(2, config.tokens_max), init=[]
            )
            write, read = memory.write_port(), memory.read_port(domain="comb")
            stored, register, total = (
                Signal(signed(config.acc_bits), name=f"{name}{row}")
                for name in ("stored", "register", "total")
            )
            bias = bias_read.data.word_select(row, config.bias_bits)
            m.d.comb += [
                dot.acts.eq(acts),
                dot.trits.eq(active.word_select(row, config.lanes * TRIT_BITS)),
                read.addr.eq(fetch.token),
                total.eq(self.operand(forward, register, stored) + dot.sum),
                write.addr.eq(add.token),
                write.data.eq(total),
                write.en.eq(add.valid),
                self.sums[row].eq(register),
            ]
            m.d.sync += [stored.eq(self.start(fetch.first, bias, read.data)), register.eq(total)]
        m.d.comb += self.sums_valid.eq(out.valid & out.last)
        return m
