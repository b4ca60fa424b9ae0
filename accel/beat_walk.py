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
    return StructLayout({"beats": range(config.bias_beats + config.tile_beats + 1), "last": 1})


class BeatWalk(wiring.Component):
    """Says tile by tile how many weight beats a job has; a row tile's biases count with its first tile.

    Parameters
    ----------
    config
        Tile, port and packing.

    Members
    -------
    jobs : In, stream of `matrix_layout`; M and K are within the configuration's bounds
    o : Out, stream of `step_layout`, one step for each tile of the job

    A job's first step comes one cycle after it was taken, the others one a cycle, and the next job is taken with the
    last one. A step has one beat or more, so what follows the walk learns of beats as fast as a port can take them.
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
        config, job = self.config, self.jobs.payload
        busy, first = Signal(), Signal()
        m_left, k_left = Signal(Shape.cast(job.m.shape()).width), Signal(Shape.cast(job.k.shape()).width)
        k_all = Signal(k_left.shape())
        # As in the weight loader, registers look a tile ahead, since comparing the counters takes most of a cycle.
        k_end, m_end, one_tile, taken = Signal(), Signal(), Signal(), Signal()
        m.d.comb += [
            self.o.valid.eq(busy),
            self.o.payload.beats.eq(config.tile_beats + Mux(first, config.bias_beats, 0)),
            self.o.payload.last.eq(k_end & m_end),
            taken.eq(self.o.valid & self.o.ready),
            self.jobs.ready.eq(~busy | (taken & self.o.payload.last)),
        ]
        with m.If(taken):
            m.d.sync += [
                busy.eq(~self.o.payload.last),
                first.eq(k_end),
                k_left.eq(Mux(k_end, k_all, k_left - config.lanes)),
                k_end.eq(Mux(k_end, one_tile, k_left <= 2 * config.lanes)),
            ]
            with m.If(k_end):
                m.d.sync += [m_left.eq(m_left - config.rows), m_end.eq(m_left <= 2 * config.rows)]
        with m.If(self.jobs.valid & self.jobs.ready):
            m.d.sync += [
                busy.eq(1),
                first.eq(1),
                m_left.eq(job.m),
                k_left.eq(job.k),
                k_all.eq(job.k),
                m_end.eq(job.m <= config.rows),
                k_end.eq(job.k <= config.lanes),
                one_tile.eq(job.k <= config.lanes),
            ]
        return m
