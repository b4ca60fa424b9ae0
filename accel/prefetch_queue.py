"""A queue in memory whose next items wait in registers."""

from typing import Any

from amaranth.hdl import Module, Value
from amaranth.lib import stream, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out

from tritforge.accel.errors import InputError
from tritforge.accel.two_places import TwoPlaces


class PrefetchQueue(wiring.Component):
    """First in, first out, an item a cycle, for items of many bits and a far end that decides late.

    The library's buffered queue enables its output with the far end's `ready`, bit by bit; here `TwoPlaces` is behind
    the memory, and `valid` and `ready` at both ends are registers or close to them.

    Parameters
    ----------
    shape
        Of the payload.
    depth
        Items that find room in any case, 2 or more; one more may.

    Members
    -------
    i : In, stream
    o : Out, stream; an item is offered two cycles after it was taken

    Raises
    ------
    InputError
        A queue that is too short.
    """

    def __init__(self, shape: Any, *, depth: int) -> None:
        if depth < 2:
            raise InputError(f"depth is {depth}; a prefetch queue holds 2 items or more")
        self.depth = depth
        super().__init__({"i": In(stream.Signature(shape)), "o": Out(stream.Signature(shape))})

    def elaborate(self, platform: object) -> Module:  # noqa: ARG002
        m = Module()
        m.submodules.places = places = TwoPlaces(self.i.payload.shape())
        width = len(Value.cast(self.i.payload))
        # An item that leaves makes room in the memory a cycle later, so one place of the two does not count.
        m.submodules.fifo = fifo = SyncFIFO(width=width, depth=self.depth - 1)
        m.d.comb += [
            fifo.w_data.eq(self.i.payload),
            fifo.w_en.eq(self.i.valid),
            self.i.ready.eq(fifo.w_rdy),
            Value.cast(places.i.payload).eq(fifo.r_data),
            places.i.valid.eq(fifo.r_rdy),
            fifo.r_en.eq(places.i.ready),
        ]
        wiring.connect(m, places.o, wiring.flipped(self.o))
        return m
