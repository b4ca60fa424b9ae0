"""Results: a queue of sums, turned into a stream of 32-bit words without gaps."""

from functools import reduce
from operator import or_

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.data import ArrayLayout, StructLayout
from amaranth.lib.wiring import In, Out

from tritforge.accel.array import sums_layout
from tritforge.accel.codes import RESULT_WORD_BITS
from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.countdown import Countdown
from tritforge.accel.job import index_range, job_layout
from tritforge.accel.partial_sums import PartialSums, beat_layout, packed_layout
from tritforge.accel.prefetch_queue import PrefetchQueue
from tritforge.accel.two_places import TwoPlaces


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
        # What is left of a job's last chunk follows it; in the next cycle.
        flush, flush_next = Signal(), Signal()
        # The held words, then the chunk's.
        joined = Signal(ArrayLayout(RESULT_WORD_BITS, 2 * size - 1 if size > 1 else 1))
        total = Signal(range(2 * size))
        with m.Switch(held):
            for count in range(size):
                # The last case stands for all that cannot be, or lint tools miss them.
                with m.Case(count) if count < size - 1 else m.Default():
                    m.d.comb += Cat(*joined).eq(Cat(*(kept[i] for i in range(count)), *chunk.words))
        # Whether a beat is taken is found out late in a cycle, and all that brings sums waits for it: it is told a
        # cycle later, by a register.
        m.submodules.places = places = TwoPlaces(packed_layout(self.config))
        wiring.connect(m, places.o, wiring.flipped(self.o))
        beat, room, ready = places.i.payload, places.i.ready, Signal(init=1)
        m.d.sync += [flush.eq(flush_next), ready.eq(~(places.filled | flush_next))]
        m.d.comb += [
            total.eq(held + chunk.count),
            self.i.ready.eq(ready),
            flush_next.eq(flush & ~room),
            places.i.valid.eq(flush | (self.i.valid & ((total >= size) | chunk.last))),
            beat.last.eq(flush | (total <= size) & chunk.last),
        ]
        # The held words are the first in any case.
        words = Mux(flush, held, total)
        m.d.comb += [
            Cat(*beat.words).eq(Cat(*joined)),
            beat.keep.eq(Mux(words >= size, -1, (1 << words) - 1)),
        ]
        if self.config.partial_sums:
            accumulate = Signal()
            m.d.comb += beat.accumulate.eq(Mux(flush, accumulate, chunk.accumulate))
            with m.If(self.i.valid & self.i.ready):
                m.d.sync += accumulate.eq(chunk.accumulate)
        with m.If(room & flush):
            m.d.sync += held.eq(0)
        with m.Elif(self.i.valid & self.i.ready):
            with m.If((total >= size) | chunk.last):
                m.d.comb += flush_next.eq(chunk.last & (total > size))
                m.d.sync += [
                    held.eq(Mux(total >= size, total - size, 0)),
                    Cat(*kept).eq(Cat(*joined)[size * RESULT_WORD_BITS :]),
                ]
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
        m.submodules.entries = entries = PrefetchQueue(
            config.rows * config.acc_bits, depth=config.result_entries
        )
        m.submodules.packer = packer = WordPacker(config)
        if config.partial_sums:
            m.submodules.adder = adder = self.make_adder()
            wiring.connect(m, packer.o, adder.i)
            wiring.connect(m, wiring.flipped(self.partials), adder.partials)
            wiring.connect(m, wiring.flipped(self.o), adder.o)
        else:
            wiring.connect(m, wiring.flipped(self.o), packer.o)

        busy, job_end, sent = Signal(), Signal(), Signal()
        # An entry leaves in parts of up to a beat.
        parts = Countdown("rows", config.rows, size)
        row_end = parts.last
        self._walk(m, parts, busy=busy, sent=sent, job_end=job_end)
        # A bit for each part, since a choice by bits is a level shorter than one by a number.
        part = Signal(-(-config.rows // size), init=1)
        words = [
            entries.o.payload.word_select(row, config.acc_bits).as_signed() for row in range(config.rows)
        ]
        chunk = packer.i.payload
        m.d.comb += [
            entries.i.payload.eq(Cat(*self.sums)),
            entries.i.valid.eq(self.push),
            packer.i.valid.eq(busy & entries.o.valid),
            # What is left of a last part is a number below 0, the lower the fewer: its low bits are the rows less 1.
            chunk.count.eq(Mux(row_end, parts.rest[: size.bit_length() - 1] + 1, size)),
            chunk.last.eq(job_end),
            sent.eq(packer.i.valid & packer.i.ready),
            self.popped.eq(sent & row_end),
            entries.o.ready.eq(self.popped),
            # The next job is taken with the last words of the one before, so that none of their cycles is lost.
            self.jobs.ready.eq(~busy | (self.popped & job_end)),
            self.finished.eq(self.o.valid & self.o.ready & self.o.payload.last),
        ]
        for index in range(size):
            choice = [Mux(bit, word, 0) for bit, word in zip(part, words[index::size], strict=False)]
            m.d.comb += chunk.words[index].eq(reduce(or_, choice, Const(0)))
        with m.If(sent):
            m.d.sync += part.eq(Mux(row_end, 1, part << 1))
        with m.If(self.jobs.ready):
            m.d.sync += busy.eq(self.jobs.valid)
        if config.partial_sums:
            accumulate = Signal()
            m.d.comb += chunk.accumulate.eq(accumulate)
            with m.If(self.jobs.ready):
                m.d.sync += accumulate.eq(self.jobs.payload.accumulate)
        return m

    def _walk(self, m: Module, parts: Countdown, *, busy: Value, sent: Value, job_end: Value) -> None:
        """Count parts, tokens and row tiles; ends are known in registers, since much hangs on them.

        Parameters
        ----------
        m
            The module.
        parts
            The parts of an entry.
        busy, sent
            There is a job; the part at hand leaves.
        job_end
            Is driven: the part at hand is the job's last.
        """
        config, job = self.config, self.jobs.payload
        tokens = Countdown("tokens", config.tokens_max, 1)
        row_tiles = Countdown("m", config.m_max, config.rows)
        # Whether the next row tile is the last: its rows are counted from its first entry on.
        last_next = Signal()
        # What `parts` starts from in the last row tile, once that is the next.
        rest = Signal.like(parts.rest, name="rows_of_last")
        size, all_rows = config.results_per_beat, config.rows - config.results_per_beat - 1
        m.d.comb += job_end.eq(parts.last & tokens.last & row_tiles.last)
        # Which way the counters go is known early, whether they go late. Where no job is offered, what is taken here
        # is read by nobody.
        with m.If(~busy | sent):
            with m.If(~busy | job_end):
                tokens.load(m, job.tokens)
                row_tiles.load(m, job.m)
                parts.start(m, Mux(job.m <= config.rows, job.m - (size + 1), all_rows))
                m.d.sync += [
                    last_next.eq(job.m <= 2 * config.rows),
                    rest.eq(job.m - (config.rows + size + 1)),
                ]
            with m.Elif(parts.last):
                tokens.wrap(m)
                with m.If(~tokens.last):
                    parts.wrap(m)
                with m.Else():
                    row_tiles.advance(m)
                    m.d.sync += [last_next.eq(row_tiles.rest < 2 * config.rows), rest.eq(rest - config.rows)]
                    # The next row tile: rows in full, or those that are left.
                    parts.start(m, Mux(last_next, rest, all_rows))
            with m.Else():
                parts.wrap(m)
