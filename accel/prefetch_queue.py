"""A queue in memory whose next items wait in registers."""

from typing import Any

from amaranth.hdl import Module, Value
from amaranth.lib import stream, wiring
from amaranth.lib.fifo import FIFOInterface, SyncFIFO, SyncFIFOBuffered
from amaranth.lib.wiring import In, Out

from tritforge.accel.errors import InputError
from tritforge.accel.two_places import TwoPlaces


class PrefetchQueue(wiring.Component):
    """First in, first out, an item a cycle, for items of many bits and a far end that decides late.

    The library's buffered queue enables its output with the far end's `ready`, bit by bit; here `TwoPlaces` is behind
    the memory, and `valid` and `ready` at both ends are registers or close to them. A platform whose attribute
    `lut_ram` is False has no memory that is read without a clock; there the library's queue stands, to the cycle
    the same.

    Parameters
    ----------
    shape
        Of the payload.
    depth
        Items that find room in any case, 2 or more; further ones may.

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

    def elaborate(self, platform: object) -> Module:
        m = Module()
        shape = self.i.payload.shape()
        width = len(Value.cast(self.i.payload))
        # An item that leaves makes room in the memory a cycle later: one place more than items that must find room.
        if getattr(platform, "lut_ram", True):
            m.submodules.places = places = TwoPlaces(shape)
            fifo: FIFOInterface = SyncFIFO(width=width, depth=self.depth - 1)
            item, wanted = places.i, places.i.ready
            wiring.connect(m, places.o, wiring.flipped(self.o))
        else:
            fifo = SyncFIFOBuffered(width=width, depth=self.depth + 1)
            item, wanted = self.o, self.o.ready
        m.submodules.fifo = fifo
        m.d.comb += [
            fifo.w_data.eq(self.i.payload),
            fifo.w_en.eq(self.i.valid),
            self.i.ready.eq(fifo.w_rdy),
            Value.cast(item.payload).eq(fifo.r_data),
            item.valid.eq(fifo.r_rdy),
            fifo.r_en.eq(wanted),
        ]
        return m
