"""The queue of jobs: what was started and is not completed, and what each reader of a job is still to be told."""

from typing import Any

from amaranth.hdl import Module, ResetInserter, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.fifo import SyncFIFOBuffered
from amaranth.lib.wiring import In, Out

from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.control_config import ControlConfig
from tritforge.accel.descriptor import NUMBER_BITS, fetch_layout, load_layout, store_layout
from tritforge.accel.job import job_layout
from tritforge.accel.job_check import parameters_layout


class JobQueue(wiring.Component):
    """Hands each job on to the core, to what fetches its weights, to what stores its results.

    Each of them has a queue of its own: weights are asked for as soon as the job is started, whether the core has
    taken it or not, and a reader that is slow does not keep the others waiting.

    Parameters
    ----------
    config, control
        Widths and depths.

    Members
    -------
    start : In, take the job in this cycle; not while `full`
    parameters : In, `tritforge.accel.job_check.parameters_layout`
    full : Out, there is no room for a job
    number : Out, the number that the next job gets
    jobs : Out, stream of jobs, to the core
    fetches : Out, stream of `fetch_layout`
    stores : Out, stream of `store_layout`
    loads : Out, with a store of activations, stream of `load_layout`
    completed : In, high for a cycle: a job is completed
    waiting, in_flight : Out, jobs that the core has not taken, and those that are not completed
    clear : In, forget what waits; it counts neither as taken nor as completed
    """

    def __init__(self, config: AcceleratorConfig, control: ControlConfig) -> None:
        self.config = config
        self.control = control
        loads = (
            {"loads": Out(stream.Signature(load_layout(config)))} if control.activation_store_bytes else {}
        )
        super().__init__(
            {
                "start": In(1),
                "parameters": In(parameters_layout(config, control)),
                "full": Out(1),
                "number": Out(NUMBER_BITS),
                "jobs": Out(stream.Signature(job_layout(config))),
                "fetches": Out(stream.Signature(fetch_layout(config, control.address_bits))),
                "stores": Out(stream.Signature(store_layout(config, control.address_bits))),
                "completed": In(1),
                "waiting": Out(range(control.queue_depth + 1)),
                "in_flight": Out(range(control.in_flight + 1)),
                "clear": In(1),
            }
            | loads
        )

    def make_queue(self, width: int, depth: int) -> SyncFIFOBuffered:
        """Return a queue; one of its places is in the register at its end, which a job reaches a cycle later."""
        return SyncFIFOBuffered(width=width, depth=depth + 1)

    def elaborate(self, platform: object) -> Module:  # noqa: ARG002
        m = Module()
        control, parameters, job = self.control, self.parameters, self.parameters.job
        number = {"number": self.number}
        self._add_queue(m, "jobs", control.queue_depth, job)
        self._add_queue(
            m, "fetches", control.in_flight, {"m": job.m, "k": job.k, "address": parameters.weights} | number
        )
        stored = {"m": job.m, "tokens": job.tokens, "address": parameters.results}
        self._add_queue(m, "stores", control.in_flight, stored | {"stride": parameters.stride} | number)
        if control.activation_store_bytes:
            self._add_queue(m, "loads", control.in_flight, {"k": job.k, "tokens": job.tokens})

        taken = self.jobs.valid & self.jobs.ready
        m.d.comb += self.full.eq(
            (self.waiting == control.queue_depth) | (self.in_flight == control.in_flight)
        )
        m.d.sync += [
            self.waiting.eq(self.waiting + self.start - taken),
            self.in_flight.eq(self.in_flight + self.start - self.completed),
            self.number.eq(self.number + self.start),
        ]
        with m.If(self.clear):
            m.d.sync += self.waiting.eq(0)
        return m

    def _add_queue(self, m: Module, name: str, depth: int, fields: Any) -> None:
        """Place the queue of one reader; `fields` are the job's values by name, or all of the payload."""
        output = getattr(self, name)
        width = len(Value.cast(output.payload))
        entry = Signal.like(output.payload, name=f"{name}_entry")
        if isinstance(fields, dict):
            m.d.comb += [entry[field].eq(value) for field, value in fields.items()]
        else:
            m.d.comb += entry.eq(fields)
        fifo = self.make_queue(width, depth)
        m.submodules[name] = ResetInserter(self.clear)(fifo)
        m.d.comb += [
            fifo.w_data.eq(Value.cast(entry)),
            fifo.w_en.eq(self.start),
            output.valid.eq(fifo.r_rdy),
            Value.cast(output.payload).eq(fifo.r_data),
            fifo.r_en.eq(output.ready),
        ]
