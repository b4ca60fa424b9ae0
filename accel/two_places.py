"""Two places between two ends of a stream, for items of many bits and a far end that decides late."""

from typing import Any

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out


class TwoPlaces(wiring.Component):
    """Passes a stream on a cycle later, an item a cycle; `valid` and `ready` are registers.

    As in `tritforge.accel.skid_buffer.SkidBuffer` no path goes through. But there each bit of an item waits for the
    far end's `ready`; here it goes to one of two places, whichever is free, and only a bit that says which place is
    next to leave waits. The price is that an item leaves through a multiplexer.

    Parameters
    ----------
    shape
        Of the payload.

    Members
    -------
    i : In, stream
    o : Out, stream
    filled : Out, both places will be taken in the next cycle
    """

    def __init__(self, shape: Any) -> None:
        port = stream.Signature(shape)
        super().__init__({"i": In(port), "o": Out(port), "filled": Out(1)})

    def elaborate(self, platform: object) -> Module:  # noqa: ARG002
        m = Module()
        incoming = Value.cast(self.i.payload)
        places = [Signal.like(incoming, name=f"place{index}", reset_less=True) for index in range(2)]
        free, oldest = Signal(), Signal()
        # Whether there is an item, and whether there are two.
        some, both = Signal(), Signal()
        arrives, leaves = Signal(), Signal()
        m.d.comb += [
            self.i.ready.eq(~both),
            self.o.valid.eq(some),
            Value.cast(self.o.payload).eq(Mux(oldest, places[1], places[0])),
            arrives.eq(self.i.valid & ~both),
            leaves.eq(self.o.ready & some),
            self.filled.eq(~leaves & (both | (some & arrives))),
        ]
        # Nobody looks at the place that is free.
        with m.If(~both & ~free):
            m.d.sync += places[0].eq(incoming)
        with m.If(~both & free):
            m.d.sync += places[1].eq(incoming)
        with m.If(arrives):
            m.d.sync += free.eq(~free)
        with m.If(leaves):
            m.d.sync += oldest.eq(~oldest)
        m.d.sync += [
            some.eq(both | arrives | (some & ~leaves)),
            both.eq(self.filled),
        ]
        return m
