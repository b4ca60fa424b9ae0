"""Jobs: one matrix product each, checked once and handed to the blocks that work on it."""

import enum
from collections.abc import Sequence

from amaranth.hdl import Cat, Module, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.data import StructLayout, View
from amaranth.lib.wiring import In, Out

from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.prefetch_queue import PrefetchQueue

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
    jobs : In, stream of jobs; taken when every reader has a place, where more than one can wait from the cycle after
        that in which it was freed
    o0, o1, ... : Out, stream of jobs, one for each reader
    checked : Out, high in the cycle after a job was taken
    refused : Out, high in that cycle if the job was illegal, and dropped

    A job is offered one cycle after it was taken, and two cycles later than that where more than one can wait.
    """

    def __init__(self, config: AcceleratorConfig, places: Sequence[int] = READER_PLACES) -> None:
        self.config = config
        self.places = tuple(places)
        port = stream.Signature(job_layout(config))
        super().__init__(
            {"jobs": In(port), "checked": Out(1), "refused": Out(1)}
            | {f"o{index}": Out(port) for index in range(len(places))}
        )

    def elaborate(self, platform: object) -> Module:  # noqa: ARG002
        m = Module()
        # A job is taken first and judged behind registers, one a field: comparisons are long, and much waits for it.
        job = Signal.like(self.jobs.payload)
        conditions = self._conditions(self.jobs.payload)
        met = Signal(len(conditions))
        legal, taken = Signal(), Signal()
        full = []
        for index, places in enumerate(self.places):
            output = getattr(self, f"o{index}")
            if places == 1:
                offered = Signal(name=f"offered{index}")
                full.append(offered)
                m.d.comb += [output.valid.eq(offered & legal), output.payload.eq(job)]
                with m.If(taken):
                    m.d.sync += offered.eq(1)
                with m.Elif(output.ready | ~legal):
                    m.d.sync += offered.eq(0)
            else:
                # `waiting` counts the places that are spoken for, a cycle late: a reader takes its job late in one.
                queue = PrefetchQueue(job.shape(), depth=places)
                m.submodules[f"waiting{index}"] = queue
                wiring.connect(m, queue.o, wiring.flipped(output))
                waiting, left = Signal(range(places + 1), name=f"count{index}"), Signal(name=f"left{index}")
                full.append(waiting == places)
                m.d.comb += [queue.i.payload.eq(job), queue.i.valid.eq(self.checked & legal)]
                m.d.sync += [
                    left.eq(output.valid & output.ready),
                    waiting.eq(waiting + taken - self.refused - left),
                ]
        m.d.comb += [
            self.jobs.ready.eq(~Cat(full).any()),
            taken.eq(self.jobs.valid & self.jobs.ready),
            legal.eq(met.all()),
            self.refused.eq(self.checked & ~legal),
        ]
        m.d.sync += self.checked.eq(taken)
        with m.If(taken):
            m.d.sync += [job.eq(self.jobs.payload), met.eq(Cat(conditions))]
        return m

    def _conditions(self, job: View) -> list[Value]:
        """Return what a legal job meets."""
        config = self.config
        bounds = {"m": config.m_max, "k": config.k_max, "tokens": config.tokens_max}
        conditions: list[Value] = []
        for name, high in bounds.items():
            conditions.append((job[name] != 0) & (job[name] <= high))
        if config.sparse:
            conditions.append((job.tokens == 1) | ~job.sparse)
        return conditions
