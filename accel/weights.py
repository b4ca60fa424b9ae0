"""Weight loader: assembles the next tile of ternary weights while the array works on the present one."""

from amaranth.hdl import Cat, Module, Mux, Shape, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from tritforge.accel.codes import BIAS_WORD_BITS, I2_ILLEGAL
from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.job import index_range, job_layout


class WeightLoader(wiring.Component):
    """Shift register of one tile, filled from the weight stream.

    Each row tile starts with the biases of its rows (the count of -1 weights, 16 bits each), then come its tiles
    along K; both start a beat. A tile is handed over and the first beat of the next one taken in the same
    cycle, so a tile costs as many cycles as it has beats, or as many as the array needs, whichever is more.

    Parameters
    ----------
    config
        Widths.

    Members
    -------
    jobs : In, stream of jobs, in the order of their weights
    beats : In, stream of `weight_port_bits`
    tile : Out, stream of tiles: trits side by side, lane by lane within a row
    bias : Out, biases of the rows side by side, valid with the first tile of each row tile
    illegal : Out, high for the cycle in which a beat with an illegal trit code was taken
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self.config = config
        super().__init__(
            {
                "jobs": In(stream.Signature(job_layout(config))),
                "beats": In(stream.Signature(config.weight_port_bits)),
                "tile": Out(stream.Signature(config.tile_bits)),
                "bias": Out(config.rows * config.bias_bits),
                "illegal": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:  # noqa: ARG002
        m = Module()
        config = self.config
        port = config.weight_port_bits
        job = Signal(job_layout(config))
        busy, full = Signal(), Signal()
        m_left = Signal(Shape.cast(job.m.shape()).width)
        k_left = Signal(Shape.cast(job.k.shape()).width)
        in_bias = Signal()
        beat = Signal(index_range(max(config.tile_beats, config.bias_beats)))
        trits = Signal(config.tile_beats * port)
        biases = Signal(config.bias_beats * port)

        taken, bias_end, tile_end, k_end, job_end = Signal(), Signal(), Signal(), Signal(), Signal()
        m.d.comb += [
            self.tile.valid.eq(full),
            self.tile.payload.eq(trits[: config.tile_bits]),
            self.jobs.ready.eq(~busy),
            self.beats.ready.eq(busy & (~full | self.tile.ready)),
            taken.eq(self.beats.valid & self.beats.ready),
            bias_end.eq(in_bias & (beat == config.bias_beats - 1)),
            tile_end.eq(~in_bias & (beat == config.tile_beats - 1)),
            k_end.eq(k_left <= config.lanes),
            job_end.eq(k_end & (m_left <= config.rows)),
            self.bias.eq(
                Cat(biases.word_select(row, BIAS_WORD_BITS)[: config.bias_bits] for row in range(config.rows))
            ),
        ]
        codes = [self.beats.payload.word_select(index, 2) for index in range(port // 2)]
        m.d.comb += self.illegal.eq(taken & ~in_bias & Cat(code == I2_ILLEGAL for code in codes).any())

        with m.If(self.jobs.valid & self.jobs.ready):
            m.d.sync += [
                busy.eq(1),
                in_bias.eq(1),
                job.eq(self.jobs.payload),
                m_left.eq(self.jobs.payload.m),
                k_left.eq(self.jobs.payload.k),
            ]
        with m.If(self.tile.valid & self.tile.ready):
            m.d.sync += full.eq(0)
        with m.If(taken):
            m.d.sync += beat.eq(Mux(bias_end | tile_end, 0, beat + 1))
            with m.If(in_bias):
                m.d.sync += [biases.eq(Cat(biases, self.beats.payload) >> port), in_bias.eq(~bias_end)]
            with m.Else():
                m.d.sync += trits.eq(Cat(trits, self.beats.payload) >> port)
        with m.If(taken & tile_end):
            m.d.sync += [
                full.eq(1),
                k_left.eq(Mux(k_end, job.k, k_left - config.lanes)),
                in_bias.eq(k_end),
                busy.eq(~job_end),
            ]
            with m.If(k_end):
                m.d.sync += m_left.eq(m_left - config.rows)
        return m
