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
from axi_formal import BOUNDARY, OKAY, SLVERR, TINY, Lengths, aligned, legal, planted
from formal import FormalBench, prove
from stream_bench import StreamBench, Watch, assert_holds, assert_proved, assert_refuted, bits, taken

from tritforge.accel.axi_config import AxiConfig
from tritforge.accel.axi_lite import AxiLiteRegisters
from tritforge.accel.axi_reader import AxiReader
from tritforge.accel.beat_walk import BeatWalk
from tritforge.accel.config import AcceleratorConfig
from tritforge.models.image import image_bytes


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


# Planted faults, each in a component that a bench makes.


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
    KindLite: (LiteBench, ()),
    RestlessLite: (LiteBench, ()),
}


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_a_faulty_adapter_is_refuted(fault: type[Any], tmp_path: Path) -> None:
    bench, arguments = FAULTS[fault]
    assert_refuted(planted(bench, fault), tmp_path, *arguments, depth=18)


def test_a_reservation_that_is_missing_is_found_without_a_bound(tmp_path: Path) -> None:
    assert not prove(planted(ReaderBeats, Unreserved)(2, 2, 1), tmp_path).proved  # type: ignore[call-arg]
