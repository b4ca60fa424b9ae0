"""AXI4 write master for results: Y[T, M] by stride, a burst begun only when all its beats are there."""

from amaranth.hdl import Cat, Module, Mux, ResetInserter, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.fifo import SyncFIFO, SyncFIFOBuffered
from amaranth.lib.wiring import In, Out

from tritforge.accel.axi import RESPONSE_BITS, drive_address, write_bus
from tritforge.accel.axi_config import AxiConfig
from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.descriptor import Response, store_layout
from tritforge.accel.partial_sums import beat_layout
from tritforge.accel.word_placer import WordPlacer

#: Bytes of a result word: one bit of a placed beat's `keep` stands for as many strobes.
_WORD_BYTES = 4


class AxiWriter(wiring.Component):
    """Writes the results of jobs to memory and tells when they are there.

    A tile's rows of a token are a burst (`tritforge.accel.word_placer`). Bursts are collected whole before they are
    asked for, so the bus never waits for the core, and a core that stops leaves no burst unfinished.

    Parameters
    ----------
    config
        Rows of a tile, and the port, which is the bus's data.
    axi
        Address width, longest burst, and number of bursts under way.

    Members
    -------
    stores : In, stream of `store_layout`: jobs in the order of their results; address and stride are multiples of a
        beat's bytes
    results : In, stream of `beat_layout`
    stored : Out, high for the cycle in which all writes of the oldest job have been answered
    store_error : Out, with `stored`: the worst `Response` of the job's writes
    quiesce : In, take nothing more: whole bursts are still written, what is there of others is thrown away, and
        `stored` stays low
    quiet : Out, no write is under way and no whole burst waits
    axi : Out, `AxiWrite`

    One word passes a cycle; a burst costs no cycle of its own. BREADY is always high.
    """

    def __init__(self, config: AcceleratorConfig, axi: AxiConfig) -> None:
        axi.check(config)
        self.config = config
        self.parameters = axi
        super().__init__(
            {
                "stores": In(stream.Signature(store_layout(config, axi.address_bits))),
                "results": In(stream.Signature(beat_layout(config))),
                "stored": Out(1),
                "store_error": Out(RESPONSE_BITS),
                "quiesce": In(1),
                "quiet": Out(1),
                "axi": Out(write_bus(config, axi.address_bits)),
            }
        )

    def elaborate(self, platform: object) -> Module:  # noqa: ARG002
        m = Module()
        m.submodules.placer = placer = WordPlacer(self.config, self.parameters)
        wiring.connect(m, wiring.flipped(self.stores), placer.jobs)
        wiring.connect(m, wiring.flipped(self.results), placer.results)
        placed, most = placer.o.payload, self.parameters.outstanding
        # A burst's beats, with room for the next one's, and where it goes.
        beats = SyncFIFOBuffered(
            width=len(Cat(placed.words, placed.keep, placed.last)), depth=2 * placer.longest_burst + 1
        )
        m.submodules.beats = ResetInserter(self.quiesce & self.quiet)(beats)
        m.submodules.bursts = bursts = SyncFIFO(
            width=len(Cat(placed.start, placed.length, placed.ends)), depth=max(2, most)
        )
        put, asked, answered = Signal(), Signal(), Signal()
        under_way = Signal(range(most + 1))
        m.d.sync += under_way.eq(under_way + asked - answered)
        m.d.comb += [
            placer.clear.eq(self.quiesce),
            placer.o.ready.eq(beats.w_rdy & bursts.w_rdy),
            put.eq(placer.o.valid & placer.o.ready),
            beats.w_en.eq(put),
            beats.w_data.eq(Cat(placed.words, placed.keep, placed.last)),
            bursts.w_en.eq(put & placed.last),
            bursts.w_data.eq(Cat(placed.ends, placed.length, placed.start)),
            self.quiet.eq(~bursts.r_rdy & (under_way == 0)),
        ]
        ends = self._ask(m, bursts, asked, under_way != most)
        self._send(m, beats, asked)
        self._answer(m, answered, asked, ends)
        return m

    def _ask(self, m: Module, bursts: SyncFIFO, asked: Value, room: Value) -> Value:
        """Ask for the bursts that wait, and return whether that at hand ends its job."""
        aw, data_bits = self.axi.aw, self.config.result_port_bits
        ends, length, start = bursts.r_data[0], bursts.r_data[1:9], bursts.r_data[9:]
        m.d.comb += [asked.eq(bursts.r_rdy & room & (~aw.valid | aw.ready)), bursts.r_en.eq(asked)]
        drive_address(m, aw.payload, data_bits)
        with m.If(aw.ready):
            m.d.sync += aw.valid.eq(0)
        with m.If(asked):
            m.d.sync += [
                aw.valid.eq(1),
                aw.payload.addr.eq(start << (data_bits // 8).bit_length() - 1),
                aw.payload.len.eq(length),
            ]
        return ends

    def _send(self, m: Module, beats: SyncFIFOBuffered, asked: Value) -> None:
        """Send the beats of the bursts that were asked for; W does not wait for AWREADY."""
        w, words = self.axi.w, self.config.results_per_beat
        # Bursts that were asked for and whose last beat still lies in the buffer.
        unsent = Signal(range(self.parameters.outstanding + 1))
        keep, last = beats.r_data[-words - 1 : -1], beats.r_data[-1]
        moved = Signal()
        m.d.comb += [moved.eq(beats.r_rdy & (unsent != 0) & (~w.valid | w.ready)), beats.r_en.eq(moved)]
        m.d.sync += unsent.eq(unsent + asked - (moved & last))
        with m.If(w.ready):
            m.d.sync += w.valid.eq(0)
        with m.If(moved):
            m.d.sync += [
                w.valid.eq(1),
                w.payload.data.eq(beats.r_data),
                w.payload.strb.eq(Cat(bit.replicate(_WORD_BYTES) for bit in keep)),
                w.payload.last.eq(last),
            ]

    def _answer(self, m: Module, answered: Value, asked: Value, ends: Value) -> None:
        """Collect the answers of each job's bursts; they come in order, since all have one identifier."""
        b, worst, now = self.axi.b, Signal(RESPONSE_BITS), Signal(RESPONSE_BITS)
        m.submodules.under_way = jobs = SyncFIFO(width=1, depth=max(2, self.parameters.outstanding))
        failed = b.payload.resp >= Response.SLVERR
        m.d.comb += [
            b.ready.eq(1),
            answered.eq(b.valid),
            jobs.w_en.eq(asked),
            jobs.w_data.eq(ends),
            jobs.r_en.eq(answered),
            # OKAY and EXOKAY are as good as each other.
            now.eq(Mux(failed & (b.payload.resp > worst), b.payload.resp, worst)),
        ]
        m.d.sync += self.stored.eq(answered & jobs.r_data & ~self.quiesce)
        with m.If(answered):
            m.d.sync += [worst.eq(Mux(jobs.r_data, Response.OKAY, now)), self.store_error.eq(now)]
        with m.If(self.quiesce & self.quiet):
            m.d.sync += worst.eq(Response.OKAY)
