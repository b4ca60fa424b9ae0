"""The AXI adapters keep to the protocol and to their streams: proved for every memory and every host.

Memory and host are free: they pause, answer and hold back at will, within what AXI allows them. So a proof holds for
wait states of any kind. Rules of AMBA AXI, IHI 0022H: valid stays and what it offers does not change (A3.2.1), valid
does not wait for ready (A3.3.1: where it does, a bench with ready low forever finds no burst), bursts inside 4 KiB
(A3.4.1), write data in the order of their addresses, as many beats as announced and WLAST with the last of them,
one answer a burst.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import wiring
from formal import FormalBench, prove, prove_bounded
from stream_bench import StreamBench, Watch, assert_holds, assert_proved, bits, taken

from tritforge.accel.axi_config import AxiConfig
from tritforge.accel.axi_lite import AxiLiteRegisters
from tritforge.accel.axi_reader import AxiReader
from tritforge.accel.axi_writer import AxiWriter
from tritforge.accel.beat_walk import BeatWalk
from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.presets import PRESETS
from tritforge.models.image import image_bytes

TINY = replace(
    PRESETS["tiny"],
    lanes=8,
    rows=2,
    tokens_max=2,
    k_max=16,
    m_max=5,
    weight_port_bits=32,
    result_port_bits=64,
)
OKAY, SLVERR = 0, 2
BOUNDARY = 4096


def image_beats(config: AcceleratorConfig, m: Value, k: Value) -> Value:
    """Return the beats of the image of a matrix as hardware: a table of the packer's own numbers."""
    table = [
        [
            image_bytes(config, rows, inputs) * 8 // config.weight_port_bits if rows and inputs else 0
            for inputs in range(config.k_max + 1)
        ]
        for rows in range(config.m_max + 1)
    ]
    longest = table[-1][-1]
    return Array([Array([Const(beats, range(longest + 1)) for beats in row])[k] for row in table])[m]


def legal(config: AcceleratorConfig, job: Any) -> Value:
    """Whether a job's shape is within bounds, as the registers see to."""
    inside = (job.m != 0) & (job.m <= config.m_max)
    for name, high in (("k", config.k_max), ("tokens", config.tokens_max)):
        if name in job.shape().members:
            inside &= (job[name] != 0) & (job[name] <= high)
    return inside


def aligned(address: Value, port_bits: int) -> Value:
    """Whether a byte address is that of a beat; a remainder would be a divider to the solver."""
    return address[: (port_bits // 8).bit_length() - 1] == 0


class LiteBench(StreamBench):
    """`AxiLiteRegisters`: each write and each read is one strobe and one answer, in order."""

    def make(self) -> AxiLiteRegisters:
        return AxiLiteRegisters()

    def properties(self, m: Module) -> None:
        m.submodules.dut = dut = self.make()
        axi, bus = dut.axi, dut.registers
        offered = {name: self.offer(m, getattr(axi, name), name) for name in ("aw", "w", "ar")}
        self.accept(m, axi.b, "b")
        self.accept(m, axi.r, "r")
        known, data = self.free(1, "known"), self.free(32, "data")
        m.d.comb += [bus.known.eq(known), bus.r_data.eq(data)]
        self.check(m, ~(bus.read & bus.write))
        # What was taken reaches the registers as it was sent.
        strobes = {"aw": bus.write, "w": bus.write, "ar": bus.read}
        seen = {"aw": bus.address, "w": Cat(bus.w_data, bus.w_strb), "ar": bus.address}
        for name, strobe in strobes.items():
            value = offered[name][2:12] if name != "w" else offered[name]
            self._follow(m, name, taken(getattr(axi, name)), value, strobe, seen[name], capacity=1)
        # An answer is what the registers said in the cycle after the strobe.
        resp = Mux(known, OKAY, SLVERR)
        for name, strobe in (("b", bus.write), ("r", bus.read)):
            channel = getattr(axi, name)
            said = Cat(resp, data) if name == "r" else resp
            found = Cat(channel.payload.resp, channel.payload.data) if name == "r" else channel.payload.resp
            late = self.past(m, strobe)
            self._follow(m, name, late, said, taken(channel), found, capacity=1)
        # An access that nothing holds up is not held up for long.
        free = bus.write | axi.b.valid
        waiting = Signal(range(8))
        ready = (~axi.aw.ready) & (~axi.w.ready)
        m.d.sync += waiting.eq(Mux(ready & ~free, waiting + 1, 0))
        self.check(m, waiting < 4)
        self.cover(m, taken(axi.b) & (axi.b.payload.resp == SLVERR))
        self.cover(m, taken(axi.r) & self.past(m, taken(axi.b)))

    def _follow(
        self, m: Module, name: str, enters: Value, value: Value, leaves: Value, found: Value, *, capacity: int
    ) -> None:
        watch = Watch(
            self, m, entering=enters, leaving=leaves, place=Const(0), capacity=capacity, name=f"{name}_item"
        )
        noted = Signal(len(value), name=f"{name}_noted")
        with m.If(watch.enters):
            m.d.sync += noted.eq(value)
        self.check(m, ~watch.leaves | (found == noted))


class WalkBench(StreamBench):
    """`BeatWalk`: the steps of a job add up to its image."""

    def __init__(self, negation: str) -> None:
        super().__init__()
        self.config = replace(TINY, negation=negation)

    def make(self) -> BeatWalk:
        return BeatWalk(self.config)

    def properties(self, m: Module) -> None:
        m.submodules.walk = walk = self.make()
        self.offer(m, walk.jobs, "jobs")
        self.accept(m, walk.o, "o")
        job, step = walk.jobs.payload, walk.o.payload
        self.assume(m, legal(self.config, job))
        beats = image_beats(self.config, job.m, job.k)
        left = Signal(len(beats))
        self.check(m, ~walk.o.valid | ((step.beats != 0) & (step.beats <= left)))
        self.check(m, ~walk.o.valid | (step.last == (step.beats == left)))
        # Beats that are left have a step.
        self.check(m, walk.o.valid == (left != 0))
        with m.If(taken(walk.o)):
            m.d.sync += left.eq(left - step.beats)
        with m.If(taken(walk.jobs)):
            m.d.sync += left.eq(beats)
            self.check(m, (left == 0) | (taken(walk.o) & step.last))
        self.cover(m, taken(walk.o) & step.last & taken(walk.jobs))


class Lengths:
    """The beats of the bursts that a memory was asked for, oldest first."""

    def __init__(
        self, bench: FormalBench, m: Module, *, push: Value, length: Value, pop: Value, places: int
    ) -> None:
        self.count = Signal(range(places + 2), name="bursts_under_way")
        entries = [Signal(8, name=f"length{index}") for index in range(places)]
        self.front = entries[0]
        bench.check(m, ~push | (self.count < places) | pop)
        m.d.sync += self.count.eq(self.count + push - pop)
        with m.If(pop):
            m.d.sync += [entries[index].eq(entries[index + 1]) for index in range(places - 1)]
        with m.If(push):
            for index, entry in enumerate(entries):
                with m.If(self.count - pop == index):
                    m.d.sync += entry.eq(length)


class ReaderBench(StreamBench):
    """`AxiReader`, in parts: `what` names what is proved.

    Parameters
    ----------
    burst, outstanding
        Longest burst, and bursts under way.
    port
        Width of a beat.
    """

    def __init__(self, burst: int, outstanding: int, port: int = 32) -> None:
        super().__init__()
        self.config = replace(TINY, weight_port_bits=port)
        self.axi = AxiConfig(burst_beats=burst, outstanding=outstanding)

    def make(self) -> AxiReader:
        return AxiReader(self.config, self.axi)

    def start(self, m: Module, *, aborts: bool) -> AxiReader:
        """Add the reader with any jobs, aborted at any time."""
        m.submodules.reader = reader = self.make()
        self.offer(m, reader.jobs, "jobs")
        job = reader.jobs.payload
        self.assume(m, legal(self.config, job) & aligned(job.address, self.config.weight_port_bits))
        if aborts:
            quiesce = self.free(1, "quiesce")
            m.d.comb += reader.quiesce.eq(quiesce)
            # Whoever asks for quiet waits for it.
            self.assume(m, ~self.past(m, quiesce & ~reader.quiet) | quiesce)
        return reader

    def remember(self, m: Module, reader: AxiReader) -> Lengths:
        """Let memory answer what it was asked for, beat by beat, when it likes; the bounds on what it is asked."""
        ar, r = reader.axi.ar, reader.axi.r
        index = Signal(range(self.axi.burst_beats + 1))
        places, pop = self.axi.outstanding, taken(r) & r.payload.last
        lengths = Lengths(self, m, push=taken(ar), length=ar.payload.len, pop=pop, places=places)
        m.d.comb += [
            r.valid.eq(self.free(1, "r_valid") & (lengths.count != 0)),
            bits(r.payload).eq(self.free(len(bits(r.payload)), "r_payload")),
        ]
        self.assume(m, r.payload.last == (index == lengths.front))
        with m.If(taken(r)):
            m.d.sync += index.eq(Mux(r.payload.last, 0, index + 1))
        return lengths


class ReaderRequests(ReaderBench):
    """Bursts are what AXI allows, and those of a job are its image, whatever memory does."""

    def properties(self, m: Module) -> None:
        reader = self.start(m, aborts=True)
        ar, r, job = reader.axi.ar, reader.axi.r, reader.jobs.payload
        m.d.comb += [
            reader.beats.ready.eq(self.free(1, "beats_ready")),
            r.valid.eq(self.free(1, "r_valid")),
            bits(r.payload).eq(self.free(len(bits(r.payload)), "r_payload")),
        ]
        self.accept(m, ar, "ar")
        beat_bytes = self.config.weight_port_bits // 8
        in_page = ar.payload.addr[:12] + ar.payload.len * beat_bytes
        self.check(m, ~ar.valid | (in_page < BOUNDARY))
        self.check(m, ~ar.valid | (ar.payload.len < self.axi.burst_beats))
        size = beat_bytes.bit_length() - 1
        self.check(
            m, ~ar.valid | ((ar.payload.burst == 1) & (ar.payload.size == size) & (ar.payload.id == 0))
        )
        # Room was there before it was asked for.
        self.check(m, r.ready)

        # Each burst starts where the last one ended. It counts in the first cycle in which it is offered; all of its
        # job may have been asked for by then.
        beats = image_beats(self.config, job.m, job.k)
        new = ar.valid & ~self.past(m, ar.valid & ~ar.ready)
        address, left, after = Signal(self.axi.address_bits), Signal(len(beats)), Signal(len(beats))
        length = ar.payload.len + 1
        m.d.comb += after.eq(Mux(new, left - length, left))
        self.check(m, ~new | ((ar.payload.addr == address) & (length <= left)))
        self.check(m, ~taken(reader.jobs) | (after == 0))
        m.d.sync += left.eq(after)
        with m.If(new):
            m.d.sync += address.eq(address + (length << (beat_bytes.bit_length() - 1)))
        with m.If(taken(reader.jobs)):
            m.d.sync += [left.eq(beats), address.eq(job.address)]
        with m.If(reader.quiesce):
            m.d.sync += left.eq(0)
        # With nothing under way, what is left is asked for as soon as a burst can be walked to.
        idle = Signal(range(self.axi.burst_beats + 8))
        m.d.sync += idle.eq(Mux(reader.quiet & ~reader.quiesce & ~ar.valid & (left != 0), idle + 1, 0))
        self.check(m, idle < self.axi.burst_beats + 6)
        self.cover(m, taken(reader.jobs) & new & (ar.payload.len != 0))


class ReaderBeats(ReaderBench):
    """No more reads are under way than there are places, and what comes leaves once, in order, errors as zeros.

    Parameters
    ----------
    seen
        Bits of a beat's data that are compared, the lowest ones; all are treated alike.
    """

    def __init__(self, burst: int, outstanding: int, seen: int) -> None:
        super().__init__(burst, outstanding)
        self.seen = seen

    def properties(self, m: Module) -> None:
        reader = self.start(m, aborts=False)
        self.remember(m, reader)
        r, beats = reader.axi.r, reader.beats
        m.d.comb += reader.axi.ar.ready.eq(self.free(1, "ar_ready"))
        found = Cat(beats.payload.data[: self.seen], beats.payload.error)
        self.accept(m, beats, "beats", found)
        watch = Watch(
            self,
            m,
            entering=taken(r),
            leaving=taken(beats),
            place=Const(0),
            capacity=self.axi.outstanding * self.axi.burst_beats + 1,
            name="beat",
        )
        noted, error = Signal(len(found)), r.payload.resp
        with m.If(watch.enters):
            m.d.sync += noted.eq(Cat(Mux(error >= SLVERR, 0, r.payload.data[: self.seen]), error))
        self.check(m, ~watch.leaves | (found == noted))
        self.cover(m, watch.leaves & (noted[-2:] == SLVERR) & self.past(m, taken(beats)))


class ReaderAborts(ReaderBench):
    """When it is quiet nothing is under way, and no beat from before an abort comes after it."""

    def properties(self, m: Module) -> None:
        reader = self.start(m, aborts=True)
        lengths = self.remember(m, reader)
        ar, r, beats = reader.axi.ar, reader.axi.r, reader.beats
        m.d.comb += [
            ar.ready.eq(self.free(1, "ar_ready")),
            beats.ready.eq(self.free(1, "beats_ready")),
        ]
        self.check(m, ~reader.quiet | ((lengths.count == 0) & ~ar.valid))
        done, aborted = reader.quiesce & reader.quiet, Signal()
        with m.If(done):
            m.d.sync += aborted.eq(1)
        self.assume(m, r.payload.data[0] == aborted)
        error = beats.payload.error >= SLVERR
        self.check(m, ~beats.valid | error | (beats.payload.data[0] == aborted))
        self.check(m, ~self.past(m, done) | ~beats.valid)
        self.cover(m, taken(beats) & aborted)


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


def test_axi4_lite(tmp_path: Path) -> None:
    assert_proved(LiteBench, tmp_path, depth=10)


@pytest.mark.parametrize("negation", ["bias", "carry"])
def test_the_beat_walk(negation: str, tmp_path: Path) -> None:
    assert_proved(WalkBench, tmp_path, negation, depth=10)


def test_what_the_reader_asks_for(tmp_path: Path) -> None:
    assert_proved(ReaderRequests, tmp_path, 2, 2, depth=12)


def test_what_the_reader_asks_for_in_blocks_of_4_kib(tmp_path: Path) -> None:
    assert_holds(ReaderRequests, tmp_path, 64, 2, 512, depth=9)


def test_the_reader_when_it_is_stopped(tmp_path: Path) -> None:
    assert_proved(ReaderAborts, tmp_path, 2, 2, depth=20)


def test_the_beats_of_the_reader(tmp_path: Path) -> None:
    """One bit of data and the response, for all cycles: the others' memory leaves too many states."""
    assert_proved(ReaderBeats, tmp_path, 2, 2, 1, depth=14)


def test_whole_beats_of_the_reader(tmp_path: Path) -> None:
    assert_holds(ReaderBeats, tmp_path, 2, 2, 32, depth=13)


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


# Planted faults, each in a component that a bench makes.


def planted(bench: type[FormalBench], component: type[Any]) -> type[FormalBench]:
    """Return the bench with another component."""

    class Planted(bench):  # type: ignore[misc,valid-type]
        def make(self) -> Any:
            return component(*((self.config, self.axi) if hasattr(self, "axi") else ()))

    return Planted


class LateBlocks(AxiReader):
    """Blocks end one beat late."""

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.inner = inner = AxiReader(self.config, self.parameters)
        beat = self.config.weight_port_bits // 8
        for name in ("jobs", "beats"):
            port, part = getattr(self, name), getattr(inner, name)
            wiring.connect(m, wiring.flipped(port), part)
        wiring.connect(m, wiring.flipped(self.axi.ar), inner.axi.ar)
        wiring.connect(m, wiring.flipped(self.axi.r), inner.axi.r)
        m.d.comb += [
            inner.quiesce.eq(self.quiesce),
            self.quiet.eq(inner.quiet),
            inner.jobs.payload.address.eq(self.jobs.payload.address - beat),
            self.axi.ar.payload.addr.eq(inner.axi.ar.payload.addr + beat),
        ]
        return m


class LongBlocks(AxiReader):
    """Blocks are twice as long as they should be."""

    @property
    def block_beats(self) -> int:
        return 2 * super().block_beats


class Unreserved(AxiReader):
    """Reads are asked for without a place."""

    def _ask(self, m: Module, asked: Value, free: Value) -> None:
        super()._ask(m, asked, Const(1))


class EarlyPlaces(AxiReader):
    """A burst gives its place back when it came, not when it left."""

    def _buffer(self, m: Module, left: Value) -> None:
        super()._buffer(m, left)
        m.d.comb += left.eq(self.axi.r.valid & self.axi.r.payload.last)


class RestlessAddress(AxiReader):
    """The address moves on while it is stalled."""

    def elaborate(self, platform: object) -> Module:
        m = super().elaborate(platform)
        ar = self.axi.ar
        with m.If(ar.valid & ~ar.ready):
            m.d.sync += ar.payload.addr.eq(ar.payload.addr + 4)
        return m


class EarlyQuiet(AxiReader):
    """Quiet is told when nothing more is asked for."""

    def elaborate(self, platform: object) -> Module:
        m = super().elaborate(platform)
        m.d.comb += self.quiet.eq(~self.axi.ar.valid)
        return m


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


class KindLite(AxiLiteRegisters):
    """Unknown addresses are answered with OKAY."""

    def elaborate(self, platform: object) -> Module:
        m = super().elaborate(platform)
        m.d.sync += self.axi.b.payload.resp.eq(OKAY)
        return m


class RestlessLite(AxiLiteRegisters):
    """A word that was read follows the register while it is stalled."""

    def elaborate(self, platform: object) -> Module:
        m = super().elaborate(platform)
        m.d.sync += self.axi.r.payload.data.eq(self.registers.r_data)
        return m


FAULTS: dict[type[Any], tuple[type[FormalBench], tuple[int, ...]]] = {
    LateBlocks: (ReaderRequests, (2, 2)),
    LongBlocks: (ReaderRequests, (64, 2, 512)),
    RestlessAddress: (ReaderRequests, (2, 2)),
    Unreserved: (ReaderBeats, (2, 2, 1)),
    EarlyPlaces: (ReaderBeats, (2, 2, 1)),
    EarlyQuiet: (ReaderAborts, (2, 2)),
    EndlessWrites: (WriterRequests, (2, 2)),
    RestlessData: (WriterRequests, (2, 2)),
    EagerData: (WriterOrder, (2, 2)),
    FullStrobes: (WriterWords, (2, 2, 1)),
    EarlyStored: (WriterWords, (2, 2, 1)),
    KindLite: (LiteBench, ()),
    RestlessLite: (LiteBench, ()),
}


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_a_faulty_adapter_is_refuted(fault: type[Any], tmp_path: Path) -> None:
    bench, arguments = FAULTS[fault]
    outcome = prove_bounded(planted(bench, fault)(*arguments), 18, tmp_path)
    assert not outcome.proved
    assert "Assert failed in top" in outcome.log


def test_a_reservation_that_is_missing_is_found_without_a_bound(tmp_path: Path) -> None:
    assert not prove(planted(ReaderBeats, Unreserved)(2, 2, 1), tmp_path).proved  # type: ignore[call-arg]
