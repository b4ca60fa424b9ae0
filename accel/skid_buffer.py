"""A register between two ends of a stream that cuts all of its paths, `ready` included."""

from typing import Any

from amaranth.hdl import Module, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out


class SkidBuffer(wiring.Component):
    """Passes a stream on a cycle later, an item a cycle; every output is a register's.

    A second place takes the item that comes in the cycle in which the far end stops.

    Parameters
    ----------
    shape
        Of the payload.

    Members
    -------
    i : In, stream
    o : Out, stream
    """

    def __init__(self, shape: Any) -> None:
        super().__init__({"i": In(stream.Signature(shape)), "o": Out(stream.Signature(shape))})

    def elaborate(self, platform: object) -> Module:  # noqa: ARG002
        m = Module()
        spare = Signal.like(Value.cast(self.i.payload), reset_less=True)
        room = Signal(init=1)
        incoming, outgoing = Value.cast(self.i.payload), Value.cast(self.o.payload)
        m.d.comb += self.i.ready.eq(room)
        with m.If(self.o.ready | ~self.o.valid):
            m.d.sync += [
                self.o.valid.eq(self.i.valid | ~room),
                room.eq(1),
            ]
            with m.If(room):
                m.d.sync += outgoing.eq(incoming)
            with m.Else():
                m.d.sync += outgoing.eq(spare)
        with m.Elif(self.i.valid & room):
            m.d.sync += room.eq(0)
        with m.If(room):
            m.d.sync += spare.eq(incoming)
        return m
