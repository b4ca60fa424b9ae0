"""The AXI write master keeps to the protocol and to its streams: proved for every memory; see `test_axi`."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal, Value
from axi_formal import BOUNDARY, OKAY, SLVERR, TINY, Lengths, aligned, legal, planted
from formal import FormalBench
from stream_bench import StreamBench, Watch, assert_holds, assert_proved, assert_refuted, bits, taken

from tritforge.accel.axi_config import AxiConfig
from tritforge.accel.axi_writer import AxiWriter


class WriterBench(StreamBench):
    """`AxiWriter`, with any jobs, any words, and a memory that answers bursts that it has whole."""

    def __init__(self, burst: int, outstanding: int) -> None:
        super().__init__()
        # Two words to a beat, so every second tile begins in the middle of one.
        self.config = replace(TINY, rows=3)
        self.axi = AxiConfig(burst_beats=burst, outstanding=outstanding, write_master=True)
        self.beat_bytes = self.config.result_port_bits // 8

    def make(self) -> AxiWriter:
        return AxiWriter(self.config, self.axi)

    def start(self, m: Module, *, aborts: bool) -> AxiWriter:
        m.submodules.writer = writer = self.make()
        self.offer(m, writer.stores, "stores")
        job = writer.stores.payload
        self.assume(m, legal(self.config, job))
        port = self.config.result_port_bits
        self.assume(m, aligned(job.address, port) & aligned(job.stride, port))
        self.offer(m, writer.results, "results")
        if aborts:
            quiesce = self.free(1, "quiesce")
            m.d.comb += writer.quiesce.eq(quiesce)
            self.assume(m, ~self.past(m, quiesce & ~writer.quiet) | quiesce)

        # Bursts of which memory has the address, of which it has all data, and which it has not answered.
        axi = writer.axi
        places = range(self.axi.outstanding + 2)
        self.addressed, self.whole = Signal(places), Signal(places)
        answers = self.free(1, "b_valid") & (self.addressed != 0) & (self.whole != 0)
        m.d.comb += [axi.b.valid.eq(answers), axi.b.payload.resp.eq(self.free(2, "b_resp"))]
        m.d.sync += [
            self.addressed.eq(self.addressed + taken(axi.aw) - answers),
            self.whole.eq(self.whole + (taken(axi.w) & axi.w.payload.last) - answers),
        ]
        # A burst whose address is offered, until its last beat is taken.
        aw = axi.aw
        self.new = aw.valid & ~self.past(m, aw.valid & ~aw.ready)
        self.beat = Signal(range(self.axi.burst_beats + 1))
        with m.If(taken(axi.w)):
            m.d.sync += self.beat.eq(Mux(axi.w.payload.last, 0, self.beat + 1))
        return writer


class WriterRequests(WriterBench):
    """Bursts are what AXI allows, and no more are under way than may be; aborts included."""

    def properties(self, m: Module) -> None:
        writer = self.start(m, aborts=True)
        aw, w = writer.axi.aw, writer.axi.w
        self.accept(m, aw, "aw")
        self.accept(m, w, "w")
        self.check(m, writer.axi.b.ready)
        in_page = aw.payload.addr[:12] + aw.payload.len * self.beat_bytes
        self.check(m, ~aw.valid | (in_page < BOUNDARY))
        self.check(m, ~aw.valid | (aw.payload.len < self.axi.burst_beats))
        self.check(m, ~aw.valid | ((aw.payload.burst == 1) & (aw.payload.size == 3) & (aw.payload.id == 0)))
        self.check(m, ~taken(aw) | (self.addressed < self.axi.outstanding))
        self.cover(m, taken(aw) & (aw.payload.len != 0))


class WriterOrder(WriterBench):
    """Data follow their address, and when it is quiet nothing is under way; aborts included."""

    def properties(self, m: Module) -> None:
        writer = self.start(m, aborts=True)
        aw, w = writer.axi.aw, writer.axi.w
        m.d.comb += [aw.ready.eq(self.free(1, "aw_ready")), w.ready.eq(self.free(1, "w_ready"))]
        ends = taken(w) & w.payload.last
        places = self.axi.outstanding
        lengths = Lengths(self, m, push=self.new, length=aw.payload.len, pop=ends, places=places)
        self.check(m, ~w.valid | (lengths.count != 0))
        self.check(m, ~writer.quiet | ((self.addressed == 0) & ~aw.valid & ~w.valid & (lengths.count == 0)))
        self.cover(m, ends & (lengths.front != 0) & (self.addressed == self.axi.outstanding))
        self.cover(m, self.past(m, writer.quiesce & ~writer.quiet) & writer.quiesce & writer.quiet)


class WriterWords(WriterBench):
    """A word is written once, at its place, in a burst of as many beats as announced; its job's end is told then.

    Parameters
    ----------
    seen
        Bits of a word and of its address over those of a beat that are compared, the lowest ones.
    """

    def __init__(self, burst: int, outstanding: int, seen: int) -> None:
        super().__init__(burst, outstanding)
        self.seen = seen

    def properties(self, m: Module) -> None:
        writer = self.start(m, aborts=False)
        job, total, words_in = self._job(m, writer)
        size = self.config.results_per_beat
        assert size == 2
        aw, w = writer.axi.aw, writer.axi.w
        m.d.comb += [aw.ready.eq(self.free(1, "aw_ready")), w.ready.eq(self.free(1, "w_ready"))]

        # Words enter when their beat is first offered and leave with the beat that memory takes.
        results = writer.results
        fresh = results.valid & ~self.past(m, results.valid & ~results.ready)
        entering = Mux(fresh, Mux(total - words_in < size, total - words_in, size), 0)
        keep = Cat(w.payload.strb[0], w.payload.strb[4])
        leaving = Mux(taken(w), keep[0] + keep[1], 0)
        m.d.sync += words_in.eq(Mux(taken(writer.stores), 0, words_in + entering))
        place = self.free(1, "place")
        watch = Watch(self, m, entering=entering, leaving=leaving, place=place, capacity=20, name="word")
        self.check(m, ~w.valid | (w.payload.strb == Cat(bit.replicate(4) for bit in keep)))
        self.check(m, ~taken(writer.stores) | (words_in == total))

        # The place of a word in Y: its index in the order (row tile, token, row).
        index = words_in + place
        noted, where, ends = Signal(self.seen), Signal(self.seen + 3), Signal()
        with m.If(watch.enters):
            m.d.sync += [
                noted.eq(bits(results.payload.words).word_select(place, 32)),
                where.eq(job.address + self._offset(job, index)),
                ends.eq(index == total - 1),
            ]

        lengths = Lengths(
            self, m, push=self.new, length=aw.payload.len, pop=taken(w) & w.payload.last, places=3
        )
        starts = [Signal(self.seen + 3, name=f"start{index}") for index in range(3)]
        with m.If(taken(w) & w.payload.last):
            m.d.sync += [starts[0].eq(starts[1]), starts[1].eq(starts[2])]
        with m.If(self.new):
            for entry, start in enumerate(starts):
                with m.If(lengths.count - (taken(w) & w.payload.last) == entry):
                    m.d.sync += start.eq(aw.payload.addr)
        self.check(m, ~w.valid | (w.payload.last == (self.beat == lengths.front)))
        # Of a beat whose first word is not written the second is the first one that leaves.
        lane = Mux(keep[0], watch.place_out[0], 1)
        self.check(m, ~watch.leaves | (w.payload.data.word_select(lane, 32)[: self.seen] == noted))
        found = (starts[0] + self.beat * self.beat_bytes + (lane << 2))[: self.seen + 3]
        self.check(m, ~watch.leaves | (found == where))
        self._told(m, writer, watch, final=w.payload.last & (watch.place_out == leaving - 1), ends=ends)
        self.cover(m, watch.leaves & ends & (self.beat == 1))

    def _job(self, m: Module, writer: AxiWriter) -> tuple[Any, Value, Signal]:
        """Return the job at hand, its words, and a register for those that came; beats come for its words alone."""
        config = self.config
        job = Signal(writer.stores.payload.shape())
        with m.If(taken(writer.stores)):
            m.d.sync += job.eq(writer.stores.payload)
        total = Signal(range(config.m_max * config.tokens_max + 1))
        m.d.comb += total.eq(Mux(job.tokens == 2, job.m << 1, job.m))
        words_in = Signal(total.shape())
        held = self.past(m, writer.results.valid & ~writer.results.ready)
        self.assume(m, ~writer.results.valid | held | (words_in < total))
        return job, total, words_in

    def _offset(self, job: Any, index: Value) -> Value:
        """Return the bytes from a job's address to a word of it, by a table of all words of all shapes."""
        config = self.config
        rows, tokens = [], []
        for m_all in range(config.m_max + 1):
            for tokens_all in (1, 2):
                places = [
                    (row, token)
                    for tile in range(0, m_all, config.rows)
                    for token in range(tokens_all)
                    for row in range(tile, min(tile + config.rows, m_all))
                ]
                places += [(0, 0)] * (16 - len(places))
                rows.append(Array([Const(row, 3) for row, _ in places])[index[:4]])
                tokens.append(Array([Const(token, 1) for _, token in places])[index[:4]])
        shape = Cat(job.tokens == 2, job.m)
        return (Array(rows)[shape] << 2) + Mux(Array(tokens)[shape], job.stride, 0)

    def _told(self, m: Module, writer: AxiWriter, watch: Watch, *, final: Value, ends: Value) -> None:
        """`stored` comes in the cycle after the answer to the burst that ends a job, and at no other time."""
        b = writer.axi.b
        waits, before, last = Signal(), Signal(range(8)), Signal()
        # Whole bursts that are answered before this one.
        with m.If(watch.leaves):
            m.d.sync += [waits.eq(1), before.eq(self.whole - taken(b)), last.eq(final)]
        with m.If(waits & taken(b)):
            m.d.sync += before.eq(before - 1)
            with m.If(before == 0):
                m.d.sync += waits.eq(0)
        answered = self.past(m, waits & taken(b) & (before == 0) & last)
        self.check(m, ~answered | (writer.stored == ends))
        self.check(m, ~writer.stored | self.past(m, taken(b)))
        self.check(m, ~(answered & ends & (self.past(m, b.payload.resp) >= SLVERR)) | writer.store_error[1])
        bad = Signal()
        with m.If(taken(b) & (b.payload.resp >= SLVERR)):
            m.d.sync += bad.eq(1)
        self.check(m, ~writer.stored | bad | (writer.store_error == OKAY))
        self.cover(m, answered & ends & (self.past(m, b.payload.resp) >= SLVERR))


def test_what_the_writer_asks_for(tmp_path: Path) -> None:
    assert_proved(WriterRequests, tmp_path, 2, 2, depth=14)


def test_the_order_of_the_writers_channels(tmp_path: Path) -> None:
    assert_proved(WriterOrder, tmp_path, 2, 2, depth=22)


def test_the_words_of_the_writer(tmp_path: Path) -> None:
    """Two buffers behind each other leave too many states for a proof of all cycles."""
    assert_holds(WriterWords, tmp_path, 2, 2, 1, depth=11)


@pytest.mark.slow
@pytest.mark.parametrize(("seen", "depth"), [(1, 14), (8, 12)])
def test_the_words_of_the_writer_for_longer(seen: int, depth: int, tmp_path: Path) -> None:
    assert_holds(WriterWords, tmp_path, 2, 2, seen, depth=depth)


# Planted faults.


class EndlessWrites(AxiWriter):
    """Writes are asked for however many are under way."""

    def _ask(self, m: Module, bursts: Any, asked: Value, room: Value) -> Value:
        return super()._ask(m, bursts, asked, Const(1))


class EagerData(AxiWriter):
    """Data may come two bursts before their address."""

    def _send(self, m: Module, beats: Any, asked: Value) -> None:
        super()._send(m, beats, Const(1))


class RestlessData(AxiWriter):
    """Data change while they are stalled."""

    def elaborate(self, platform: object) -> Module:
        m = super().elaborate(platform)
        w = self.axi.w
        with m.If(w.valid & ~w.ready):
            m.d.sync += w.payload.data.eq(0)
        return m


class FullStrobes(AxiWriter):
    """Whole beats are written where part of one belongs to the tile."""

    def elaborate(self, platform: object) -> Module:
        m = super().elaborate(platform)
        m.d.sync += self.axi.w.payload.strb.eq(-1)
        return m


class EarlyStored(AxiWriter):
    """Every answer tells that the job is stored."""

    def elaborate(self, platform: object) -> Module:
        m = super().elaborate(platform)
        m.d.sync += self.stored.eq(self.axi.b.valid)
        return m


FAULTS: dict[type[Any], tuple[type[FormalBench], tuple[int, ...]]] = {
    EndlessWrites: (WriterRequests, (2, 2)),
    RestlessData: (WriterRequests, (2, 2)),
    EagerData: (WriterOrder, (2, 2)),
    FullStrobes: (WriterWords, (2, 2, 1)),
    EarlyStored: (WriterWords, (2, 2, 1)),
}


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_a_faulty_adapter_is_refuted(fault: type[Any], tmp_path: Path) -> None:
    bench, arguments = FAULTS[fault]
    assert_refuted(planted(bench, fault), tmp_path, *arguments, depth=18)
