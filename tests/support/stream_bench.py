"""Benches of components with streams: free items at the inputs, one of them watched until it leaves."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from amaranth.hdl import Module, Signal, Value
from formal import FormalBench, prove, prove_bounded, reach

from tritforge.accel.presets import PRESETS

#: As small as a configuration of the blocks with streams is.
TINY = replace(
    PRESETS["tiny"],
    lanes=2,
    rows=2,
    tokens_max=2,
    k_max=2,
    m_max=4,
    act_bits=2,
    act_port_bits=8,
    weight_port_bits=16,
)


def taken(stream: Any) -> Value:
    """Return whether an item is handed over."""
    return stream.valid & stream.ready


def bits(value: Any) -> Value:
    """Return a payload as bits."""
    return Value.cast(value)


class StreamBench(FormalBench):
    """What streams must keep to, whatever the component."""

    def offer(self, m: Module, stream: Any, name: str) -> Value:
        """Offer free items to an input; they stay until they are taken."""
        valid, payload = (
            self.free(1, f"{name}_valid"),
            self.free(bits(stream.payload).shape(), f"{name}_payload"),
        )
        m.d.comb += [stream.valid.eq(valid), bits(stream.payload).eq(payload)]
        held = self.past(m, stream.valid & ~stream.ready)
        self.assume(m, ~held | (valid & (payload == self.past(m, payload))))
        return payload

    def accept(self, m: Module, stream: Any, name: str, used: Value | None = None) -> None:
        """Take items from an output at any time; they must stay until they are taken."""
        m.d.comb += stream.ready.eq(self.free(1, f"{name}_ready"))
        held = self.past(m, stream.valid & ~stream.ready)
        payload = bits(stream.payload) if used is None else used
        self.check(m, ~held | (stream.valid & (payload == self.past(m, payload))))


class Watch:
    """One marked item of a stream of items, several of which may enter or leave in a cycle.

    Parameters
    ----------
    bench, m
        Where it lies.
    entering, leaving
        Number of items in this cycle.
    mark
        Place of the marked item among those that enter, and when to mark.
    capacity
        Number of items that may be inside.
    """

    def __init__(
        self,
        bench: FormalBench,
        m: Module,
        *,
        entering: Value,
        leaving: Value,
        place: Value,
        capacity: int,
        name: str,
    ) -> None:
        inside = Signal(range(capacity + 1), name=f"{name}_inside")
        ahead = Signal(range(capacity + 1), name=f"{name}_ahead")
        self.inside = inside
        self.marked, self.gone = Signal(name=f"{name}_marked"), Signal(name=f"{name}_gone")
        #: High in the cycle in which the item enters, and in that in which it leaves.
        self.enters, self.leaves = Signal(name=f"{name}_enters"), Signal(name=f"{name}_leaves")
        self.place_out = ahead
        now = bench.free(1, f"{name}_mark")
        waiting = self.marked & ~self.gone
        m.d.comb += [
            self.enters.eq(now & ~self.marked & (place < entering)),
            self.leaves.eq(waiting & (ahead < leaving)),
        ]
        m.d.sync += inside.eq(inside + entering - leaving)
        bench.check(m, leaving <= inside)
        bench.check(m, inside + entering - leaving <= capacity)
        with m.If(self.enters):
            m.d.sync += [self.marked.eq(1), ahead.eq(inside + place - leaving)]
        with m.If(self.leaves):
            m.d.sync += self.gone.eq(1)
        with m.Elif(waiting):
            m.d.sync += ahead.eq(ahead - leaving)


def assert_proved(bench: type[FormalBench], folder: Path, *arguments: Any, depth: int) -> None:
    """Prove the assertions for all cycles, and show that what they are about happens within `depth` cycles."""
    outcome = prove(bench(*arguments), folder)
    print(f"{bench.__name__}{arguments}: proved for all cycles in {outcome.seconds:.1f} s")
    assert outcome.proved, outcome.log
    reached = reach(bench(*arguments), depth, folder)
    assert reached.proved, reached.log


def assert_holds(bench: type[FormalBench], folder: Path, *arguments: Any, depth: int) -> None:
    """Prove the assertions for all streams of up to `depth` cycles, in which what they are about happens."""
    outcome = prove_bounded(bench(*arguments), depth, folder)
    print(f"{bench.__name__}{arguments}: proved for {depth} cycles in {outcome.seconds:.1f} s")
    assert outcome.proved, outcome.log
    reached = reach(bench(*arguments), depth, folder)
    assert reached.proved, reached.log


def assert_refuted(bench: type[FormalBench], folder: Path, *arguments: Any, depth: int) -> None:
    """Let a bench find the fault of its component within `depth` cycles."""
    outcome = prove_bounded(bench(*arguments), depth, folder)
    assert not outcome.proved
    assert "Assert failed in top" in outcome.log
