"""Weights in block memory: the host writes the image of a matrix, each job reads it from where it starts."""

from amaranth.hdl import Module, Mux, ResetInserter, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.data import StructLayout
from amaranth.lib.wiring import In, Out

from tritforge.accel.beat_memory import BeatMemory, beat_place
from tritforge.accel.beat_walk import BeatWalk
from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.descriptor import Response, fetch_layout, weight_beat_layout
from tritforge.accel.skid_buffer import SkidBuffer
from tritforge.accel.store_sizes import WORD_BYTES


class WeightStore(wiring.Component):
    """Block memory of `weight_store_bytes` in front of the core's weight port.

    The host may write at any time: a word takes one cycle, in which no beat is read. Images of jobs that follow each
    other come without a pause. Beats beyond the end of the store are zeros, with the error `Response.DECERR`.

    Parameters
    ----------
    config
        Size, port and packing.
    address_bits
        Width of an image's address, which is a multiple of a beat's bytes.

    Members
    -------
    address, data, write : In, a word of the host's and its place
    fetches : In, stream of `fetch_layout`
    beats : Out, stream of `weight_beat_layout`: the images of the fetches, in order
    quiesce : In, forgets all fetches and takes none; what is in the memory stays
    """

    def __init__(self, config: AcceleratorConfig, *, address_bits: int) -> None:
        self.config = config
        super().__init__(
            {
                "address": In(range(config.weight_store_bytes // WORD_BYTES)),
                "data": In(8 * WORD_BYTES),
                "write": In(1),
                "fetches": In(stream.Signature(fetch_layout(config, address_bits))),
                "beats": Out(stream.Signature(weight_beat_layout(config))),
                "quiesce": In(1),
            }
        )

    def elaborate(self, platform: object) -> Module:  # noqa: ARG002
        m = Module()
        config = self.config
        beat_bytes = config.weight_port_bits // 8
        depth = config.weight_store_bytes // beat_bytes
        m.submodules.memory = memory = BeatMemory(width=config.weight_port_bits, depth=depth)
        m.submodules.walk = walk = ResetInserter(self.quiesce)(BeatWalk(config))
        fetch = self.fetches.payload
        m.d.comb += [
            memory.address.eq(self.address),
            memory.data.eq(self.data),
            memory.write.eq(self.write),
            memory.clear.eq(self.quiesce),
            walk.jobs.payload.m.eq(fetch.m),
            walk.jobs.payload.k.eq(fetch.k),
            walk.jobs.valid.eq(self.fetches.valid & ~self.quiesce),
            self.fetches.ready.eq(walk.jobs.ready & ~self.quiesce),
            self.beats.valid.eq(memory.o.valid),
            self.beats.payload.data.eq(memory.o.payload.data),
            self.beats.payload.error.eq(Mux(memory.o.payload.beyond, Response.DECERR, Response.OKAY)),
            memory.o.ready.eq(self.beats.ready),
        ]

        # The walk takes a job when the last step of the one before leaves it, so there is one start to remember.
        start, first = Signal(depth.bit_length()), Signal(init=1)
        with m.If(self.fetches.valid & self.fetches.ready):
            m.d.sync += start.eq(beat_place(fetch.address, beat_bytes=beat_bytes, depth=depth))
        # That a step is used up is found out late in its cycle, so the walk is told a cycle later.
        piece_layout = StructLayout({"beats": walk.o.payload.beats.shape(), "first": 1, "start": len(start)})
        m.submodules.pieces = pieces = ResetInserter(self.quiesce)(SkidBuffer(piece_layout))
        m.d.comb += [
            pieces.i.payload.beats.eq(walk.o.payload.beats),
            pieces.i.payload.first.eq(first),
            pieces.i.payload.start.eq(start),
            pieces.i.valid.eq(walk.o.valid),
            walk.o.ready.eq(pieces.i.ready),
        ]
        with m.If(walk.o.valid & walk.o.ready):
            m.d.sync += first.eq(walk.o.payload.last)

        # The piece at hand: beats that are left and whether it is one. The top bit of the address is beyond the end,
        # where it stays.
        piece = pieces.o.payload
        left = Signal.like(piece.beats)
        active, final = Signal(), Signal()
        address = Signal.like(start)
        issued, taken = Signal(), Signal()
        m.d.comb += [
            memory.reads.valid.eq(active),
            memory.reads.payload.address.eq(address),
            memory.reads.payload.beyond.eq(address[-1]),
            issued.eq(memory.reads.valid & memory.reads.ready),
            pieces.o.ready.eq(~active | (issued & final)),
            taken.eq(pieces.o.valid & pieces.o.ready),
        ]
        with m.If(issued):
            m.d.sync += [left.eq(left - 1), final.eq(left == 2), active.eq(~final)]
        with m.If(taken):
            m.d.sync += [left.eq(piece.beats), final.eq(piece.beats == 1), active.eq(1)]
        # Which way the address goes is known early, whether it goes late.
        with m.If(~active | issued):
            with m.If((~active | final) & pieces.o.valid & piece.first):
                m.d.sync += address.eq(piece.start)
            with m.Elif(active & ~address[-1]):
                m.d.sync += address.eq(address + 1)
        with m.If(self.quiesce):
            m.d.sync += [active.eq(0), first.eq(1)]
        return m
