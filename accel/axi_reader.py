"""AXI4 read master for weight images: long bursts, several under way, and room for every beat that was asked for."""

from amaranth.hdl import Cat, Module, Mux, ResetInserter, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.fifo import SyncFIFOBuffered
from amaranth.lib.wiring import In, Out

from tritforge.accel.axi import block_beats, drive_address, read_bus
from tritforge.accel.axi_config import AxiConfig
from tritforge.accel.beat_walk import BeatWalk
from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.descriptor import Response, fetch_layout, weight_beat_layout


class AxiReader(wiring.Component):
    """Fetches the weight images of jobs in their order and gives out their beats.

    Memory is seen as blocks of as many beats as a burst may have (`tritforge.accel.axi.block_beats`). A burst goes
    from where the last one ended to the end of its block or of the image, whichever comes first. So all bursts of an
    image are full ones but the first and the last, and none crosses 4 KiB.

    The buffer has a place of one full burst for each burst that may be under way. A burst is asked for when a place
    is free, and gives it back when its last beat leaves the buffer: RREADY is always high.

    Parameters
    ----------
    config
        Tile, packing, and the port, which is the bus's data.
    axi
        Address width, longest burst, and number of bursts under way.

    Members
    -------
    jobs : In, stream of `fetch_layout`; shapes within bounds, addresses multiples of a beat's bytes
    beats : Out, stream of `weight_beat_layout`: the beats of the jobs' images one behind the other. A beat that
        memory answers with an error has its response in `error`, and zeros for data
    quiesce : In, drop everything: no burst starts, and what memory still sends is thrown away
    quiet : Out, nothing is under way and the buffer is empty
    axi : Out, `AxiRead`

    The first burst is asked for 4 cycles after its job was taken. Bursts and jobs follow each other without waiting
    for data, and a beat a cycle passes for as long as memory sends one; only images of less than 5 beats cost more
    cycles than they have beats: 5. A beat leaves 3 cycles after it came. Addresses wrap around at the end of the
    address space.
    """

    def __init__(self, config: AcceleratorConfig, axi: AxiConfig) -> None:
        axi.check(config)
        self.config = config
        self.parameters = axi
        super().__init__(
            {
                "jobs": In(stream.Signature(fetch_layout(config, axi.address_bits))),
                "beats": Out(stream.Signature(weight_beat_layout(config))),
                "quiesce": In(1),
                "quiet": Out(1),
                "axi": Out(read_bus(config, axi.address_bits)),
            }
        )

    @property
    def block_beats(self) -> int:
        """Beats of a block of memory, and of the longest burst."""
        return block_beats(self.parameters.burst_beats, self.config.weight_port_bits)

    def elaborate(self, platform: object) -> Module:  # noqa: ARG002
        m = Module()
        # High for the cycle in which a burst is asked for, and in which one's last beat leaves the buffer.
        asked, left = Signal(), Signal()
        places = self.parameters.outstanding
        free = Signal(range(places + 1), init=places)
        m.d.sync += free.eq(free + left - asked)
        m.d.comb += self.quiet.eq(free == places)
        self._ask(m, asked, free != 0)
        self._buffer(m, left)
        return m

    def _ask(self, m: Module, asked: Value, free: Value) -> None:
        """Cut images into bursts: the upper part of the address counts blocks, the lower is where a burst starts."""
        block = self.block_beats
        low = block.bit_length() - 1
        m.submodules.walk = walk = ResetInserter(self.quiesce)(BeatWalk(self.config))
        # Beats are counted from the start of the block that the next burst lies in: whole blocks, those that the last
        # step added, which come to them a cycle later, and the beats of the last block.
        step_bits = len(Value.cast(walk.o.payload.beats))
        blocks_max = 1 + 2 * ((1 << step_bits) // block + 1)
        blocks, added, rest = Signal(range(blocks_max + 1)), Signal(range(blocks_max + 1)), Signal(low)
        busy, ended = Signal(), Signal()
        beat_bytes = self.config.weight_port_bits // 8
        address = self.jobs.payload.address[beat_bytes.bit_length() - 1 :]
        start, upper = Signal(low), Signal(len(address) - low)
        last, ar = Signal(), self.axi.ar

        m.d.comb += [
            self.jobs.ready.eq(~busy & ~self.quiesce),
            walk.jobs.valid.eq(self.jobs.valid & self.jobs.ready),
            walk.jobs.payload.m.eq(self.jobs.payload.m),
            walk.jobs.payload.k.eq(self.jobs.payload.k),
            # Far enough ahead that steps of one beat never hold up the bursts.
            walk.o.ready.eq(blocks < 2),
            last.eq(ended & (added == 0) & (Mux(rest == 0, blocks == 1, blocks == 0))),
            asked.eq(busy & ((blocks != 0) | last) & free & (~ar.valid | ar.ready) & ~self.quiesce),
        ]
        drive_address(m, ar.payload, self.config.weight_port_bits)

        m.d.sync += added.eq(0)
        with m.If(walk.o.valid & walk.o.ready):
            m.d.sync += [Cat(rest, added).eq(rest + walk.o.payload.beats), ended.eq(walk.o.payload.last)]
        m.d.sync += blocks.eq(blocks + added - (asked & (blocks != 0)))
        with m.If(ar.ready):
            m.d.sync += ar.valid.eq(0)
        with m.If(asked):
            m.d.sync += [
                ar.valid.eq(1),
                ar.payload.addr.eq(Cat(start, upper) << (beat_bytes.bit_length() - 1)),
                ar.payload.len.eq(Mux(blocks != 0, block - 1, rest - 1) - start),
                start.eq(0),
                upper.eq(upper + 1),
                busy.eq(~last),
            ]
        with m.If(self.jobs.valid & self.jobs.ready):
            m.d.sync += [
                busy.eq(1),
                ended.eq(0),
                blocks.eq(0),
                Cat(start, upper).eq(address),
                rest.eq(address),
            ]
        with m.If(self.quiesce):
            m.d.sync += [busy.eq(0), added.eq(0)]

    def _buffer(self, m: Module, left: Value) -> None:
        """Keep the beats that came; a register stands behind the memory, whose output is late in its cycle."""
        r, error = self.axi.r, Signal()
        kept = Cat(r.payload.resp, r.payload.last, Mux(error, 0, r.payload.data))
        # One more than there are places for: that one lies in the buffer's own output.
        depth = self.parameters.outstanding * self.block_beats + 1
        m.submodules.fifo = fifo = SyncFIFOBuffered(width=len(kept), depth=depth)
        beats, room, moved, ends = self.beats, Signal(), Signal(), Signal()
        m.d.comb += [
            error.eq(r.payload.resp >= Response.SLVERR),
            r.ready.eq(1),
            fifo.w_en.eq(r.valid),
            fifo.w_data.eq(kept),
            room.eq(~beats.valid | beats.ready | self.quiesce),
            fifo.r_en.eq(room),
            left.eq(moved & ends),
        ]
        m.d.sync += moved.eq(room & fifo.r_rdy)
        with m.If(room):
            m.d.sync += [
                beats.valid.eq(fifo.r_rdy & ~self.quiesce),
                ends.eq(fifo.r_data[2]),
                beats.payload.error.eq(fifo.r_data[:2]),
                beats.payload.data.eq(fifo.r_data[3:]),
            ]
