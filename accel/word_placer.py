"""Where result words go in memory: each to its lane of its beat, and the beats to bursts."""

from amaranth.hdl import Cat, Const, Module, Mux, Shape, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.data import ArrayLayout, StructLayout
from amaranth.lib.wiring import In, Out

from tritforge.accel.axi import LENGTH_BITS, block_beats
from tritforge.accel.axi_config import AxiConfig
from tritforge.accel.codes import RESULT_WORD_BITS
from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.descriptor import store_layout
from tritforge.accel.job import index_range
from tritforge.accel.partial_sums import beat_layout


def placed_layout(config: AcceleratorConfig, axi: AxiConfig) -> StructLayout:
    """Layout of a beat at its place.

    `words`, and which of them are to be written, `keep`; `last` ends a burst. With it come the burst's first address,
    `start`, in beats, its number of beats less one, `length`, and whether it ends its job, `ends`.
    """
    words = config.results_per_beat
    return StructLayout(
        {
            "words": ArrayLayout(RESULT_WORD_BITS, words),
            "keep": words,
            "last": 1,
            "start": axi.address_bits - (words * RESULT_WORD_BITS // 8).bit_length() + 1,
            "length": LENGTH_BITS,
            "ends": 1,
        }
    )


class WordPlacer(wiring.Component):
    """Takes the words of jobs in the order (row tile, token, row) and puts each where ``Y[token, row]`` lies.

    The rows of a tile of one token lie side by side: they are one burst, or more where it would leave a block of
    memory (`tritforge.accel.axi.block_beats`). The first and the last beat of a burst may be partial.

    Parameters
    ----------
    config
        Rows of a tile, and the port.
    axi
        Address width and longest burst.

    Members
    -------
    jobs : In, stream of `store_layout`, address and stride multiples of a beat's bytes
    results : In, stream of `beat_layout`
    o : Out, stream of `placed_layout`
    clear : In, forget the job and the words at hand; nothing is taken or given away meanwhile

    A word passes in every cycle, but for 2 at the start of a job, so the array waits for it where
    ``K < rows x lanes``.
    """

    def __init__(self, config: AcceleratorConfig, axi: AxiConfig) -> None:
        self.config = config
        self.parameters = axi
        super().__init__(
            {
                "jobs": In(stream.Signature(store_layout(config, axi.address_bits))),
                "results": In(stream.Signature(beat_layout(config))),
                "o": Out(stream.Signature(placed_layout(config, axi))),
                "clear": In(1),
            }
        )

    @property
    def block_beats(self) -> int:
        """Beats of a block of memory, and of the longest burst that there can be."""
        return block_beats(self.parameters.burst_beats, self.config.result_port_bits)

    @property
    def longest_burst(self) -> int:
        """Beats of the longest burst that there is: a tile's rows from the last lane of a beat on."""
        words = self.config.results_per_beat
        return min(self.block_beats, (self.config.rows + 2 * words - 2) // words)

    def elaborate(self, platform: object) -> Module:  # noqa: ARG002
        m = Module()
        words = self.config.results_per_beat
        lane_bits, block_bits = (words - 1).bit_length(), self.block_beats.bit_length() - 1
        # The word's address, whether it is the last of a tile's rows of a token, and of the job.
        at = Signal(self.parameters.address_bits - 2)
        row_end, job_end, active, taken = Signal(), Signal(), Signal(), Signal()
        self._walk(m, taken, active, at, row_end, job_end)

        index = Signal(index_range(words))
        lane, low, upper = at[:lane_bits], at[lane_bits:][:block_bits], at[lane_bits + block_bits :]
        held, held_keep = Signal(ArrayLayout(RESULT_WORD_BITS, words)), Signal(words)
        first, begun, beat_end, valid = Signal(block_bits), Signal(), Signal(), Signal()
        word, out, start = Signal(RESULT_WORD_BITS), self.o.payload, Mux(begun, first, low)
        m.d.comb += [
            word.eq(self.results.payload.words[index] if words > 1 else self.results.payload.words[0]),
            beat_end.eq(row_end | (lane == words - 1)),
            out.keep.eq(held_keep | (Const(1) << lane)),
            # A burst stays in its block, so its first address differs from its last in the lowest bits alone.
            out.start.eq(Cat(start, upper)),
            out.length.eq(low - start),
            out.last.eq(row_end | (low == self.block_beats - 1)),
            out.ends.eq(job_end),
            valid.eq(active & self.results.valid & ~self.clear),
            self.o.valid.eq(valid & beat_end),
            taken.eq(valid & (self.o.ready | ~beat_end)),
            self.results.ready.eq(taken & ((index == words - 1) | job_end)),
        ]
        m.d.comb += [out.words[i].eq(Mux(lane == i, word, held[i])) for i in range(words)]
        with m.If(taken):
            m.d.sync += [
                index.eq(Mux(self.results.ready, 0, index + 1)),
                held_keep.eq(Mux(beat_end, 0, out.keep)),
                held.eq(out.words),
                first.eq(start),
                begun.eq(~(beat_end & out.last)),
            ]
        with m.If(self.clear):
            m.d.sync += [index.eq(0), held_keep.eq(0), begun.eq(0)]
        return m

    def _walk(
        self, m: Module, taken: Value, active: Signal, at: Signal, row_end: Signal, job_end: Signal
    ) -> None:
        """Go through the words of a job; every end is told by a register that is zero or one bit."""
        rows, job = self.config.rows, self.jobs.payload
        # A job begins with a cycle in which its first tile is made the present one, as others are by the last word.
        busy, opening = Signal(), Signal()
        row, rows_here, rows_tile = (Signal(index_range(rows)) for _ in range(3))
        token, tokens = (Signal(Shape.cast(job.tokens.shape()).width) for _ in range(2))
        m_left, last_tile = Signal(Shape.cast(job.m.shape()).width), Signal()
        next_token, next_tile, stride = (Signal(at.shape()) for _ in range(3))
        token_end, change = Signal(), Signal()
        m.d.comb += [
            active.eq(busy & ~opening),
            row_end.eq(row == 0),
            token_end.eq(row_end & (token == 0)),
            job_end.eq(token_end & last_tile),
            change.eq(opening | (taken & token_end)),
            rows_tile.eq(Mux(m_left < rows, m_left, rows) - 1),
            self.jobs.ready.eq(~busy & ~self.clear),
        ]
        with m.If(taken):
            m.d.sync += [at.eq(at + 1), row.eq(row - 1)]
            with m.If(row_end):
                m.d.sync += [at.eq(next_token), row.eq(rows_here), token.eq(token - 1)]
            with m.If(job_end):
                m.d.sync += busy.eq(0)
        with m.If(change):
            m.d.sync += [
                opening.eq(0),
                at.eq(next_tile),
                next_tile.eq(next_tile + rows),
                row.eq(rows_tile),
                rows_here.eq(rows_tile),
                token.eq(tokens),
                m_left.eq(m_left - rows),
                last_tile.eq(m_left <= rows),
            ]
        with m.If(change | (taken & row_end)):
            m.d.sync += next_token.eq(Mux(change, next_tile, next_token) + stride)
        with m.If(self.jobs.valid & self.jobs.ready):
            m.d.sync += [
                busy.eq(1),
                opening.eq(1),
                m_left.eq(job.m),
                tokens.eq(job.tokens - 1),
                stride.eq(job.stride[2:]),
                next_tile.eq(job.address[2:]),
            ]
        with m.If(self.clear):
            m.d.sync += [busy.eq(0), opening.eq(0)]
