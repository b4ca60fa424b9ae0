"""How many weight beats a job has: a walk over its tiles, so that no multiplier is needed."""

from amaranth.hdl import Module, Mux, Shape, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.data import StructLayout
from amaranth.lib.wiring import In, Out

from tritforge.accel.config import AcceleratorConfig


def matrix_layout(config: AcceleratorConfig) -> StructLayout:
    """Layout of the shape of a weight matrix ``W[M, K]``."""
    return StructLayout({"m": config.m_max.bit_length(), "k": config.k_max.bit_length()})


def step_layout(config: AcceleratorConfig) -> StructLayout:
    """Layout of a step: so many more beats, and whether they are the job's last."""
    row_tile = config.bias_beats + config.k_tiles(config.k_max) * config.tile_beats
    return StructLayout({"beats": range(row_tile + 1), "last": 1})


class BeatWalk(wiring.Component):
    """Says step by step how many weight beats a job has.

    The first row tile comes tile by tile, its biases with its first tile; meanwhile its beats are added up, so the
    other row tiles, which have as many, are one step each.

    Parameters
    ----------
    config
        Tile, port and packing.

    Members
    -------
    jobs : In, stream of `matrix_layout`; M and K are within the configuration's bounds
    o : Out, stream of `step_layout`, of one beat or more each

    A job's first step comes one cycle after it was taken, the others one a cycle, and the next job is taken with the
    last one. So what follows the walk learns of beats at least as fast as a port can take them, and soon much faster.
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self.config = config
        super().__init__(
            {
                "jobs": In(stream.Signature(matrix_layout(config))),
                "o": Out(stream.Signature(step_layout(config))),
            }
        )

    def elaborate(self, platform: object) -> Module:  # noqa: ARG002
        m = Module()
        config, job, step = self.config, self.jobs.payload, self.o.payload
        busy, first, whole = Signal(), Signal(), Signal()
        m_left, k_left = Signal(Shape.cast(job.m.shape()).width), Signal(Shape.cast(job.k.shape()).width)
        # Beats of a row tile, once all its tiles were counted.
        row_tile = Signal(step.beats.shape())
        # As in the weight loader, registers look ahead, since comparing the counters takes most of a cycle.
        k_end, m_end, taken = Signal(), Signal(), Signal()
        m.d.comb += [
            self.o.valid.eq(busy),
            step.beats.eq(Mux(whole, row_tile, config.tile_beats + Mux(first, config.bias_beats, 0))),
            step.last.eq(k_end & m_end),
            taken.eq(self.o.valid & self.o.ready),
            self.jobs.ready.eq(~busy | (taken & step.last)),
        ]
        with m.If(taken):
            m.d.sync += [busy.eq(~step.last), first.eq(0)]
            with m.If(~whole):
                m.d.sync += [row_tile.eq(row_tile + step.beats), k_left.eq(k_left - config.lanes)]
            with m.If(~k_end):
                m.d.sync += k_end.eq(k_left <= 2 * config.lanes)
            with m.Else():
                m.d.sync += [
                    whole.eq(1),
                    m_left.eq(m_left - config.rows),
                    m_end.eq(m_left <= 2 * config.rows),
                ]
        with m.If(self.jobs.valid & self.jobs.ready):
            m.d.sync += [
                busy.eq(1),
                first.eq(1),
                whole.eq(0),
                row_tile.eq(0),
                m_left.eq(job.m),
                k_left.eq(job.k),
                m_end.eq(job.m <= config.rows),
                k_end.eq(job.k <= config.lanes),
            ]
        return m
