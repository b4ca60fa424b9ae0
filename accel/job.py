"""Jobs: one matrix product each, checked once and handed to the blocks that work on it."""

import enum

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.data import StructLayout
from amaranth.lib.wiring import In, Out

from tritforge.accel.config import AcceleratorConfig


class Error(enum.IntEnum):
    """Causes that the core's `error` output names."""

    NONE = 0
    ILLEGAL_JOB = 1
    ILLEGAL_TRIT = 2


def job_layout(config: AcceleratorConfig) -> StructLayout:
    """Layout of a job: output rows M, inputs K, tokens T."""
    return StructLayout(
        {
            "m": config.m_max.bit_length(),
            "k": config.k_max.bit_length(),
            "tokens": config.tokens_max.bit_length(),
        }
    )


def index_range(count: int) -> range:
    """Shape of an index into `count` things, one bit at least: Verilog has no vectors of no bits."""
    return range(max(2, count))


class JobPort(wiring.Component):
    """Takes jobs, refuses those out of bounds, and hands each legal one to all its readers at once.

    Parameters
    ----------
    config
        The bounds.
    readers
        Number of blocks that work on a job.

    Members
    -------
    jobs : In, stream of jobs
    o0, o1, ... : Out, stream of jobs, one for each reader
    refused : Out, high for the cycle in which an illegal job was taken and dropped

    A job leaves one cycle after it was taken; each reader has a place for one job that waits.
    """

    def __init__(self, config: AcceleratorConfig, readers: int) -> None:
        self.config = config
        self.readers = readers
        port = stream.Signature(job_layout(config))
        super().__init__(
            {"jobs": In(port), "refused": Out(1)} | {f"o{index}": Out(port) for index in range(readers)}
        )

    def elaborate(self, platform: object) -> Module:  # noqa: ARG002
        m = Module()
        config, job = self.config, self.jobs.payload
        outputs = [getattr(self, f"o{index}") for index in range(self.readers)]
        legal = Signal()
        m.d.comb += [
            legal.eq(
                (job.m != 0)
                & (job.m <= config.m_max)
                & (job.k != 0)
                & (job.k <= config.k_max)
                & (job.tokens != 0)
                & (job.tokens <= config.tokens_max)
            ),
            # All places must be free, so that no reader gets ahead of another by a job.
            self.jobs.ready.eq(~Cat(output.valid for output in outputs).any()),
            self.refused.eq(self.jobs.valid & self.jobs.ready & ~legal),
        ]
        for output in outputs:
            with m.If(output.valid & output.ready):
                m.d.sync += output.valid.eq(0)
            with m.If(self.jobs.valid & self.jobs.ready & legal):
                m.d.sync += [output.valid.eq(1), output.payload.eq(job)]
        return m
