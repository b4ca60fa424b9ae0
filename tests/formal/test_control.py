"""Proved of the control side: every job reaches each of its readers once and in order, and no handshake is broken."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from amaranth.hdl import Const, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.fifo import SyncFIFOBuffered
from formal import prove_bounded
from stream_bench import StreamBench, Watch, assert_holds, assert_proved, bits, taken

from tritforge.accel.abort import ResultGate
from tritforge.accel.control_config import ControlConfig
from tritforge.accel.job_queue import JobQueue
from tritforge.accel.prefetch_queue import PrefetchQueue
from tritforge.accel.presets import PRESETS
from tritforge.accel.skid_buffer import SkidBuffer
from tritforge.accel.two_places import TwoPlaces

TINY = replace(
    PRESETS["tiny"], lanes=2, rows=2, tokens_max=2, k_max=2, m_max=4, act_port_bits=8, result_port_bits=32
)
CONTROL = ControlConfig(address_bits=8, queue_depth=1, in_flight=2, activation_store_bytes=1)


class SkidBench(StreamBench):
    """`SkidBuffer`: what comes in goes out, once and in order, and there is room for two."""

    capacity = 2

    def make(self) -> wiring.Component:
        return SkidBuffer(2)

    def properties(self, m: Module) -> None:
        m.submodules.skid = skid = self.make()
        item = self.offer(m, skid.i, "i")
        self.accept(m, skid.o, "o")
        watch = Watch(
            self,
            m,
            entering=taken(skid.i),
            leaving=taken(skid.o),
            place=Const(0),
            capacity=self.capacity,
            name="item",
        )
        kept = Signal.like(bits(item))
        with m.If(watch.enters):
            m.d.sync += kept.eq(item)
        self.check(m, ~watch.leaves | (bits(skid.o.payload) == kept))
        self.cover(m, watch.leaves & (watch.inside == 2))


class TwoPlacesBench(SkidBench):
    """`TwoPlaces`: the same."""

    def make(self) -> TwoPlaces:
        return TwoPlaces(2)


class PrefetchBench(SkidBench):
    """`PrefetchQueue`: the same, and while fewer items than its depth are inside there is room."""

    capacity = 4

    def make(self) -> PrefetchQueue:
        return PrefetchQueue(2, depth=3)

    def properties(self, m: Module) -> None:
        super().properties(m)
        queue = m.submodules.skid
        inside = Signal(3)
        m.d.sync += inside.eq(inside + taken(queue.i) - taken(queue.o))
        self.check(m, queue.i.ready | (inside >= 3))


class BlockRamPrefetchBench(PrefetchBench):
    """The same where LUTs are no memories."""

    capacity = 5

    def make(self) -> PrefetchQueue:
        class Queue(PrefetchQueue):
            def elaborate(self, platform: object) -> Module:
                return super().elaborate(SimpleNamespace(lut_ram=False))

        return Queue(2, depth=3)


class JobQueueBench(StreamBench):
    """`JobQueue`: a job that is started while there is room comes to each reader, whole, once and in order.

    A job is completed only after each of its readers has taken it.
    """

    def __init__(self, reader: str, fields: tuple[str, ...]) -> None:
        super().__init__()
        self.reader, self.fields = reader, fields

    def make(self) -> JobQueue:
        return JobQueue(TINY, CONTROL)

    def properties(self, m: Module) -> None:
        m.submodules.queue = queue = self.make()
        start, completed = self.free(1, "start"), self.free(1, "completed")
        parameters = self.free(bits(queue.parameters).shape(), "parameters")
        m.d.comb += [
            queue.start.eq(start & ~queue.full),
            queue.completed.eq(completed),
            bits(queue.parameters).eq(parameters),
        ]
        number = Signal(4)
        m.d.sync += number.eq(number + queue.start)
        self.check(m, queue.number == number)
        for name in ("jobs", "fetches", "stores", "loads"):
            output = getattr(queue, name)
            watch = Watch(
                self,
                m,
                entering=queue.start,
                leaving=taken(output),
                place=Const(0),
                capacity=CONTROL.in_flight,
                name=name,
            )
            self.assume(m, ~completed | (queue.in_flight > watch.inside))
            if name == "jobs":
                self.check(m, queue.waiting == watch.inside)
                self.check(m, watch.inside <= CONTROL.queue_depth)
            if name != self.reader:
                m.d.comb += output.ready.eq(self.free(1, f"{name}_ready"))
                continue
            payload = output.payload
            self.accept(m, output, name, used=Value.cast(payload[self.fields[0]]))
            expected = self._expected(queue)
            for field in self.fields:
                kept = Signal(len(Value.cast(payload[field])), name=f"kept_{field}")
                with m.If(watch.enters):
                    m.d.sync += kept.eq(expected[field])
                self.check(m, ~watch.leaves | (Value.cast(payload[field]) == kept))
            self.cover(m, watch.leaves & (watch.inside == (1 if name == "jobs" else 2)))

    def _expected(self, queue: JobQueue) -> dict[str, Any]:
        parameters, job = queue.parameters, queue.parameters.job
        address = parameters.results if self.reader == "stores" else parameters.weights
        return {
            "m": job.m,
            "k": job.k,
            "tokens": job.tokens,
            "address": address,
            "stride": parameters.stride,
            "number": queue.number,
        }


class GateBench(StreamBench):
    """`ResultGate`: no beat changes before it is taken, a packet ends before `sent`, a null beat needs an abort."""

    def make(self) -> ResultGate:
        return ResultGate(TINY)

    def properties(self, m: Module) -> None:
        m.submodules.gate = gate = self.make()
        aborting = self.free(1, "aborting")
        m.d.comb += gate.aborting.eq(aborting)
        # The core is reset in an abort, so what it offers may go.
        valid, beat = self.free(1, "i_valid"), self.free(bits(gate.i.payload).shape(), "i_payload")
        m.d.comb += [gate.i.valid.eq(valid), bits(gate.i.payload).eq(beat)]
        self.assume(m, (gate.i.payload.keep != 0) | ~valid)
        # An abort lasts until the packet is ended.
        was = self.past(m, aborting & ~gate.sent)
        self.assume(m, ~was | aborting)
        self.accept(m, gate.o, "o")
        inside, aborted = Signal(), Signal()
        leaves = taken(gate.o)
        m.d.sync += aborted.eq(aborted | aborting)
        with m.If(leaves):
            m.d.sync += inside.eq(~gate.o.payload.last)
        self.check(m, ~gate.sent | (~inside & ~gate.o.valid))
        null = gate.o.valid & (gate.o.payload.keep == 0)
        self.check(m, ~null | (aborted & gate.o.payload.last))
        # As many beats with words leave as came in: none is lost, not even in an abort.
        balance = Signal(3)
        m.d.sync += balance.eq(
            balance + (taken(gate.i) & ~aborting) - Mux(leaves & (gate.o.payload.keep != 0), 1, 0)
        )
        self.check(m, ~gate.sent | (balance == 0))
        self.check(m, balance <= 2)
        self.cover(m, leaves & null)


@pytest.mark.parametrize("bench", [SkidBench, TwoPlacesBench, PrefetchBench, BlockRamPrefetchBench])
def test_buffers(bench: type[SkidBench], tmp_path: Path) -> None:
    assert_proved(bench, tmp_path, depth=8)


@pytest.mark.parametrize("reader", ["jobs", "fetches", "stores", "loads"])
def test_the_job_queue(reader: str, tmp_path: Path) -> None:
    first = {"jobs": "m", "loads": "k"}.get(reader, "number")
    assert_proved(JobQueueBench, tmp_path, reader, (first,), depth=10)


@pytest.mark.parametrize(
    ("reader", "fields"),
    [
        ("jobs", ("m", "k", "tokens")),
        ("fetches", ("m", "k", "address", "number")),
        ("stores", ("m", "tokens", "address", "stride", "number")),
        ("loads", ("k", "tokens")),
    ],
)
def test_a_job_arrives_whole(reader: str, fields: tuple[str, ...], tmp_path: Path) -> None:
    assert_holds(JobQueueBench, tmp_path, reader, fields, depth=10)


def test_the_result_gate(tmp_path: Path) -> None:
    assert_proved(GateBench, tmp_path, depth=10)


class LeakySkid(SkidBench):
    """The item that comes in the cycle in which the far end stops is lost."""

    def make(self) -> SkidBuffer:
        class Skid(SkidBuffer):
            def elaborate(self, platform: object) -> Module:
                m = super().elaborate(platform)
                m.d.comb += self.i.ready.eq(1)
                return m

        return Skid(2)


class HastyPlaces(TwoPlacesBench):
    """An item comes in although both places are taken."""

    def make(self) -> TwoPlaces:
        class Places(TwoPlaces):
            def elaborate(self, platform: object) -> Module:
                m = super().elaborate(platform)
                m.d.comb += self.i.ready.eq(1)
                return m

        return Places(2)


class TightQueue(PrefetchBench):
    """A queue of one place less than it says."""

    def make(self) -> PrefetchQueue:
        queue = PrefetchQueue(2, depth=3)
        queue.depth = 2
        return queue


class ShallowQueue(JobQueueBench):
    """The queues have one place each, although more jobs can be under way."""

    def make(self) -> JobQueue:
        class Queue(JobQueue):
            def make_queue(self, width: int, depth: int) -> SyncFIFOBuffered:
                return super().make_queue(width, 0)

        return Queue(TINY, CONTROL)


class HastyGate(GateBench):
    """An abort throws away the beat that is offered."""

    def make(self) -> ResultGate:
        class Gate(ResultGate):
            def elaborate(self, platform: object) -> Module:
                m = super().elaborate(platform)
                with m.If(self.aborting):
                    m.d.comb += self.o.valid.eq(0)
                return m

        return Gate(TINY)


@pytest.mark.parametrize(
    ("bench", "arguments"),
    [
        (LeakySkid, ()),
        (HastyPlaces, ()),
        (TightQueue, ()),
        (ShallowQueue, ("fetches", ("number",))),
        (HastyGate, ()),
    ],
)
def test_a_faulty_block_is_refuted(
    bench: type[StreamBench], arguments: tuple[Any, ...], tmp_path: Path
) -> None:
    outcome = prove_bounded(bench(*arguments), 12, tmp_path)
    assert not outcome.proved
    assert "Assert failed in top" in outcome.log
