"""Jobs: one matrix product each, checked once and handed to the blocks that work on it."""

import enum
from collections.abc import Sequence

from amaranth.hdl import Cat, Const, Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.data import StructLayout
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out

from tritforge.accel.config import AcceleratorConfig

#: Jobs that can wait for each reader in the core: activation buffer, weight loader, result queue. The queue is a
#: pipeline's length behind the others, which go on with the next jobs meanwhile.
READER_PLACES = (1, 1, 4)


class Error(enum.IntEnum):
    """Causes that the core's `error` output names."""

    NONE = 0
    ILLEGAL_JOB = 1
    ILLEGAL_TRIT = 2


def job_layout(config: AcceleratorConfig) -> StructLayout:
    """Layout of a job: output rows M, inputs K, tokens T, and the flags that the configuration has.

    `accumulate` adds the sums to partial sums; `sparse` reads the columns of non-zero activations alone.
    """
    return StructLayout(
        {
            "m": config.m_max.bit_length(),
            "k": config.k_max.bit_length(),
            "tokens": config.tokens_max.bit_length(),
        }
        | dict.fromkeys(job_flags(config).values(), 1)
    )


def job_flags(config: AcceleratorConfig) -> dict[int, str]:
    """Return the flags of a job that a configuration has, by their bit in the job port's byte of flags."""
    flags = {0: ("accumulate", config.partial_sums), 1: ("sparse", config.sparse)}
    return {bit: name for bit, (name, present) in flags.items() if present}


def index_range(count: int) -> range:
    """Shape of an index into `count` things, one bit at least: Verilog has no vectors of no bits."""
    return range(max(2, count))


class JobPort(wiring.Component):
    """Takes jobs, refuses those out of bounds, and hands each legal one to all its readers.

    Parameters
    ----------
    config
        The bounds.
    places
        For each block that works on a job, the number of jobs that can wait for it.

    Members
    -------
    jobs : In, stream of jobs; taken when every reader has a place
    o0, o1, ... : Out, stream of jobs, one for each reader
    refused : Out, high for the cycle in which an illegal job was taken and dropped

    A job leaves one cycle after it was taken.
    """

    def __init__(self, config: AcceleratorConfig, places: Sequence[int] = READER_PLACES) -> None:
        self.config = config
        self.places = tuple(places)
        port = stream.Signature(job_layout(config))
        super().__init__(
            {"jobs": In(port), "refused": Out(1)} | {f"o{index}": Out(port) for index in range(len(places))}
        )

    def elaborate(self, platform: object) -> Module:  # noqa: ARG002
        m = Module()
        config, job = self.config, self.jobs.payload
        legal, taken = Signal(), Signal()
        full = []
        for index, places in enumerate(self.places):
            output = getattr(self, f"o{index}")
            if places == 1:
                full.append(output.valid)
                with m.If(output.valid & output.ready):
                    m.d.sync += output.valid.eq(0)
                with m.If(taken & legal):
                    m.d.sync += [output.valid.eq(1), output.payload.eq(job)]
            else:
                m.submodules[f"waiting{index}"] = fifo = SyncFIFO(
                    width=job.as_value().shape().width, depth=places
                )
                full.append(~fifo.w_rdy)
                m.d.comb += [
                    fifo.w_data.eq(job.as_value()),
                    fifo.w_en.eq(taken & legal),
                    output.valid.eq(fifo.r_rdy),
                    output.payload.eq(fifo.r_data),
                    fifo.r_en.eq(output.ready),
                ]
        m.d.comb += [
            legal.eq(
                (job.m != 0)
                & (job.m <= config.m_max)
                & (job.k != 0)
                & (job.k <= config.k_max)
                & (job.tokens != 0)
                & (job.tokens <= config.tokens_max)
                & ((job.tokens == 1) | ~(job.sparse if config.sparse else Const(0, 1)))
            ),
            self.jobs.ready.eq(~Cat(full).any()),
            taken.eq(self.jobs.valid & self.jobs.ready),
            self.refused.eq(taken & ~legal),
        ]
        return m
