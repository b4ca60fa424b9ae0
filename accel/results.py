"""Results: a queue of sums, turned into a stream of 32-bit words without gaps."""

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.data import ArrayLayout, StructLayout
from amaranth.lib.fifo import SyncFIFOBuffered
from amaranth.lib.wiring import In, Out

from tritforge.accel.array import sums_layout
from tritforge.accel.codes import RESULT_WORD_BITS
from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.countdown import Countdown
from tritforge.accel.job import index_range, job_layout
from tritforge.accel.partial_sums import PartialSums, beat_layout, packed_layout


def chunk_layout(config: AcceleratorConfig) -> StructLayout:
    """Layout of up to a beat of result words: the first `count` are used, `last` ends the job.

    `accumulate`, in configurations with partial sums, is the job's flag.
    """
    words = config.results_per_beat
    return StructLayout(
        {"words": ArrayLayout(RESULT_WORD_BITS, words), "count": range(words + 1), "last": 1}
        | ({"accumulate": 1} if config.partial_sums else {})
    )


class WordPacker(wiring.Component):
    """Joins chunks of 1 to `results_per_beat` words into full beats; only a job's last beat may be partial.

    Members
    -------
    i : In, stream of `chunk_layout`
    o : Out, stream of `packed_layout`

    The latency is one cycle, the throughput one chunk a cycle, but for one more cycle where a job's last chunk
    does not fit into the beat at hand.
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self.config = config
        super().__init__(
            {
                "i": In(stream.Signature(chunk_layout(config))),
                "o": Out(stream.Signature(packed_layout(config))),
            }
        )

    def elaborate(self, platform: object) -> Module:  # noqa: ARG002
        m = Module()
        size = self.config.results_per_beat
        chunk = self.i.payload
        held = Signal(index_range(size))
        kept = Signal(ArrayLayout(RESULT_WORD_BITS, max(1, size - 1)))
        flush, room = Signal(), Signal()
        # The held words, then the chunk's.
        joined = Signal(ArrayLayout(RESULT_WORD_BITS, 2 * size - 1 if size > 1 else 1))
        total = Signal(range(2 * size))
        with m.Switch(held):
            for count in range(size):
                # The last case stands for all that cannot be, or lint tools miss them.
                with m.Case(count) if count < size - 1 else m.Default():
                    m.d.comb += Cat(*joined).eq(Cat(*(kept[i] for i in range(count)), *chunk.words))
        m.d.comb += [
            total.eq(held + chunk.count),
            room.eq(~self.o.valid | self.o.ready),
            self.i.ready.eq(room & ~flush),
        ]
        with m.If(self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        with m.If(room & flush):
            m.d.sync += [
                self.o.valid.eq(1),
                Cat(*self.o.payload.words).eq(Cat(*kept)),
                self.o.payload.keep.eq((1 << held) - 1),
                self.o.payload.last.eq(1),
                flush.eq(0),
                held.eq(0),
            ]
        with m.Elif(self.i.valid & self.i.ready):
            with m.If((total >= size) | chunk.last):
                m.d.sync += [
                    self.o.valid.eq(1),
                    Cat(*self.o.payload.words).eq(Cat(*joined)),
                    self.o.payload.keep.eq(Mux(total >= size, -1, (1 << total) - 1)),
                    self.o.payload.last.eq(chunk.last & (total <= size)),
                    flush.eq(chunk.last & (total > size)),
                    held.eq(Mux(total >= size, total - size, 0)),
                    Cat(*kept).eq(Cat(*joined)[size * RESULT_WORD_BITS :]),
                ]
                if self.config.partial_sums:
                    m.d.sync += self.o.payload.accumulate.eq(chunk.accumulate)
            with m.Else():
                m.d.sync += [held.eq(total), Cat(*kept).eq(Cat(*joined))]
        return m


class ResultQueue(wiring.Component):
    """Takes a token's sums at once and sends them word by word, in the order (row tile, token, row).

    Rows beyond M are left out, so a job sends exactly M x T words.

    Parameters
    ----------
    config
        Widths and depth.

    Members
    -------
    jobs : In, stream of jobs, in the order of their sums
    sums, push : In, an entry; there must be room, which the sequencer sees to
    popped : Out, high for the cycle in which an entry was given away
    partials : In, with `partial_sums`, stream of beats of words: what the sums of jobs that accumulate are added to
    o : Out, stream of `beat_layout`
    finished : Out, high for the cycle in which a job's last beat was taken
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self.config = config
        partials = {"partials": In(stream.Signature(config.result_port_bits))} if config.partial_sums else {}
        super().__init__(
            {
                "jobs": In(stream.Signature(job_layout(config))),
                "sums": In(sums_layout(config)),
                "push": In(1),
                "popped": Out(1),
                "o": Out(stream.Signature(beat_layout(config))),
                "finished": Out(1),
            }
            | partials
        )

    def make_adder(self) -> PartialSums:
        """Return the adder of partial sums."""
        return PartialSums(self.config)

    def elaborate(self, platform: object) -> Module:  # noqa: ARG002
        m = Module()
        config = self.config
        size = config.results_per_beat
        m.submodules.fifo = fifo = SyncFIFOBuffered(
            width=config.rows * config.acc_bits, depth=config.result_entries
        )
        m.submodules.packer = packer = WordPacker(config)
        if config.partial_sums:
            m.submodules.adder = adder = self.make_adder()
            wiring.connect(m, packer.o, adder.i)
            wiring.connect(m, wiring.flipped(self.partials), adder.partials)
            wiring.connect(m, wiring.flipped(self.o), adder.o)
        else:
            wiring.connect(m, wiring.flipped(self.o), packer.o)

        busy = Signal()
        token_end, job_end, sent = Signal(), Signal(), Signal()
        # An entry leaves in parts of up to a beat. Ends are known in registers, since much hangs on them.
        parts = Countdown("rows", config.rows, size)
        tokens = Countdown("tokens", config.tokens_max, 1)
        row_tiles = Countdown("m", config.m_max, config.rows)
        row_end = parts.last
        # Whether the next row tile is the last: its rows are counted from its first entry on.
        last_next = Signal()
        # The number of parts is rounded up for a mux without holes.
        part = Signal(max(1, (-(-config.rows // size) - 1).bit_length()))
        words = [
            fifo.r_data.word_select(row, config.acc_bits).as_signed() if row < config.rows else Const(0, 1)
            for row in range(size << len(part))
        ]
        chunk = packer.i.payload
        m.d.comb += [
            fifo.w_data.eq(Cat(*self.sums)),
            fifo.w_en.eq(self.push),
            token_end.eq(tokens.last),
            job_end.eq(row_end & token_end & row_tiles.last),
            packer.i.valid.eq(busy & fifo.r_rdy),
            # What is left of a last part is a number below 0, the lower the fewer: its low bits are the rows less 1.
            chunk.count.eq(Mux(row_end, parts.rest[: size.bit_length() - 1] + 1, size)),
            chunk.last.eq(job_end),
            sent.eq(packer.i.valid & packer.i.ready),
            self.popped.eq(sent & row_end),
            fifo.r_en.eq(self.popped),
            # The next job is taken with the last words of the one before, so that none of their cycles is lost.
            self.jobs.ready.eq(~busy | (self.popped & job_end)),
            self.finished.eq(self.o.valid & self.o.ready & self.o.payload.last),
        ]
        m.d.comb += [chunk.words[index].eq(Array(words[index::size])[part]) for index in range(size)]
        with m.If(sent):
            m.d.sync += part.eq(Mux(row_end, 0, part + 1))
            parts.wrap(m)
        with m.If(self.popped):
            tokens.wrap(m)
            with m.If(token_end):
                row_tiles.advance(m)
                m.d.sync += last_next.eq(row_tiles.rest < 2 * config.rows)
                # The next row tile: rows in full, or those that are left.
                with m.If(last_next):
                    parts.start(m, row_tiles.rest - size)
                with m.Else():
                    parts.load(m, Const(config.rows))
        job = self.jobs.payload
        # Where no job is offered, what is taken here is read by nobody.
        with m.If(self.jobs.ready):
            m.d.sync += busy.eq(self.jobs.valid)
            tokens.load(m, job.tokens)
            row_tiles.load(m, job.m)
            parts.load(m, Mux(job.m <= config.rows, job.m, config.rows))
            m.d.sync += last_next.eq(job.m <= 2 * config.rows)
        if config.partial_sums:
            accumulate = Signal()
            m.d.comb += chunk.accumulate.eq(accumulate)
            with m.If(self.jobs.ready):
                m.d.sync += accumulate.eq(job.accumulate)
        return m
