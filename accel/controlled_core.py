"""A core behind registers: what AXI top and link top have in common."""

from typing import Any

from amaranth.hdl import Cat, DomainRenamer, Module, Mux, ResetInserter, ResetSignal, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from tritforge.accel.abort import AbortControl, ResultGate
from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.control_config import ControlConfig
from tritforge.accel.core import Core
from tritforge.accel.counters import StallCounters
from tritforge.accel.descriptor import (
    RESPONSE_BITS,
    Response,
    fetch_layout,
    load_layout,
    store_layout,
    weight_beat_layout,
)
from tritforge.accel.errors import InputError
from tritforge.accel.job import job_flags
from tritforge.accel.job_check import JobCheck
from tritforge.accel.job_queue import JobQueue
from tritforge.accel.job_status import JobStatus, WeightCauses
from tritforge.accel.partial_sums import beat_layout
from tritforge.accel.register_bus import RegisterBus
from tritforge.accel.register_file import RegisterFile
from tritforge.accel.register_map import registers
from tritforge.accel.two_places import TwoPlaces


class ControlledCore(wiring.Component):
    """`Core` with registers, a queue of jobs, interrupts, counters and an abort.

    Weights come from whatever takes `fetches`, in their order; a job's fetch is offered as soon as the job is
    started, so that the weights of the next job are there when this one drains.

    Parameters
    ----------
    config
        The core.
    control
        Registers and queue.
    core
        The core to control, made with ``observed=True``; by default the one that `config` describes.
    core_domain
        Clock domain of the core, whose clock is that of `sync`. This block drives its reset, from a register, since
        thousands of registers wait for it. By default the core is in `sync`, with an abort as a second reset.

    Members
    -------
    registers : In, `RegisterBus`; the map is `tritforge.accel.register_map.registers`
    fetches : Out, stream of `fetch_layout`: the image of each job
    weights : In, stream of `weight_beat_layout`: the beats of those images; one with an error has zeros as data
    activations : In, stream of beats, as for `Core`
    loads : Out, with a store of activations, stream of `load_layout`: the activations of each job
    partials : In, with `partial_sums`, stream of beats, as for `Core`
    results : Out, stream of `beat_layout`, as for `Core`; a job that is aborted ends with a beat that keeps no word
    stores : Out, stream of `store_layout`: the place of each job's results
    stored : In, high for a cycle: all results of the oldest job have left; of no account during `quiesce`
    store_error : In, the `Response` to them, with `stored`
    quiesce : Out, an abort: start nothing, forget all that is not begun; `fetches`, `stores` and `loads` may fall
    quiet : In, nothing is outstanding and no pulse of `stored` is to come
    busy : Out, a job or an abort is under way
    irq : Out, interrupt, high as long as its cause

    Raises
    ------
    InputError
        A sparse configuration, or a core that was not made for this.
    """

    def __init__(
        self,
        config: AcceleratorConfig,
        control: ControlConfig,
        *,
        core: Core | None = None,
        core_domain: str | None = None,
    ) -> None:
        if config.sparse:
            raise InputError(
                "sparse is true; a controlled core runs dense jobs: use the stream core for columns"
            )
        self.config = config
        self.control = control
        self.core_domain = core_domain
        self.core = Core(config, observed=True) if core is None else core
        if not self.core.observed or self.core.config != config:
            raise InputError(
                "the core to control is another one; make it of the same config, with observed=True"
            )
        self.map = registers(config, control)
        address_bits = control.address_bits
        members: dict[str, Any] = {
            "registers": In(RegisterBus()),
            "fetches": Out(stream.Signature(fetch_layout(config, address_bits))),
            "weights": In(stream.Signature(weight_beat_layout(config))),
            "activations": In(stream.Signature(config.act_port_bits)),
            "results": Out(stream.Signature(beat_layout(config))),
            "stores": Out(stream.Signature(store_layout(config, address_bits))),
            "stored": In(1),
            "store_error": In(RESPONSE_BITS),
            "quiesce": Out(1),
            "quiet": In(1),
            "busy": Out(1),
            "irq": Out(1),
        }
        if config.partial_sums:
            members["partials"] = In(stream.Signature(config.result_port_bits))
        if control.activation_store_bytes:
            members["loads"] = Out(stream.Signature(load_layout(config)))
        super().__init__(members)

    def make_queue(self) -> JobQueue:
        """Return the queue of jobs."""
        return JobQueue(self.config, self.control)

    def elaborate(self, platform: object) -> Module:  # noqa: ARG002
        m = Module()
        m.submodules.file = file = RegisterFile(self.map)
        m.submodules.check = check = JobCheck(self.config, self.control)
        m.submodules.queue = queue = self.make_queue()
        m.submodules.abort = abort = AbortControl()
        m.submodules.causes = causes = WeightCauses(self.control)
        m.submodules.status = status = JobStatus()
        wiring.connect(m, wiring.flipped(self.registers), file.bus)
        self._connect_parameters(m, file, check, queue)
        self._connect_core(m, file, queue, abort, causes)

        # A start is decided in the cycle after its write, in which the parameters are still those of the write. All
        # that speaks against it was found in the cycle before: no write was before that one.
        start, fits = file.control.start, Signal()
        full, aborting = Signal(), Signal()
        m.d.sync += [
            full.eq(queue.full),
            aborting.eq(abort.aborting),
            fits.eq(~(queue.full | abort.aborting | check.found.any())),
        ]
        refused = Signal.like(file.errors_set)
        m.d.comb += [
            refused.illegal_job.eq(start & check.illegal),
            refused.misaligned.eq(start & check.misaligned),
            refused.address_range.eq(start & check.out_of_range),
            refused.queue_full.eq(start & full),
            refused.start_in_abort.eq(start & (aborting | abort.request)),
            queue.start.eq(start & fits & ~abort.request),
        ]

        # The end of jobs: in the order of their starts, when their results have left.
        m.d.comb += [
            status.ended.eq((self.stored & ~abort.aborting) | abort.retire),
            status.aborted.eq(abort.aborting),
            status.causes.eq(causes.causes),
            status.store_error.eq(Mux(abort.aborting, Response.OKAY, self.store_error)),
            status.number.eq(queue.number),
            status.in_flight.eq(queue.in_flight),
            status.index.eq(file.job_status_index),
            file.job_status.eq(status.status),
            causes.number.eq(status.oldest),
            causes.clear.eq(status.ended),
            queue.completed.eq(status.completed),
            abort.request.eq(file.control.abort),
            abort.quiet.eq(self.quiet),
            abort.left.eq(queue.in_flight > status.completed),
            abort.done.eq(queue.in_flight == 0),
        ]
        self._connect_live(m, file, queue, abort, status, refused)
        return m

    def _connect_parameters(self, m: Module, file: RegisterFile, check: JobCheck, queue: JobQueue) -> None:
        """Take the job registers as the parameters of a job, and check them."""
        config, results = self.config, self.control.results
        parameters = queue.parameters
        m.d.comb += [
            parameters.job.m.eq(file.job_m.m),
            parameters.job.k.eq(file.job_k.k),
            parameters.job.tokens.eq(file.job_tokens.tokens),
            *(parameters.job[flag].eq(file.job_flags[flag]) for flag in job_flags(config).values()),
            parameters.weights.eq(_address(file, "weights")),
            parameters.results.eq(_address(file, "results") if results != "stream" else 0),
            parameters.stride.eq(file.result_stride.stride if results == "memory" else 0),
            check.parameters.eq(parameters),
            check.job_beyond.eq(
                Cat(
                    getattr(file, f"{name}_beyond") for name in ("job_m", "job_k", "job_tokens", "job_flags")
                ).any()
            ),
            check.address_beyond.eq(
                Cat(
                    getattr(file, f"{side}_{part}_beyond")
                    for side in ("weights", *(["results"] if results != "stream" else []))
                    for part in ("lo", "hi")
                ).any()
            ),
        ]
        wiring.connect(m, queue.fetches, wiring.flipped(self.fetches))
        wiring.connect(m, queue.stores, wiring.flipped(self.stores))
        if self.control.activation_store_bytes:
            wiring.connect(m, queue.loads, wiring.flipped(self.loads))

    def _connect_core(
        self, m: Module, file: RegisterFile, queue: JobQueue, abort: AbortControl, causes: WeightCauses
    ) -> None:
        """Place the core between its streams; while an abort is under way beats that come in are thrown away."""
        core, aborting, stale = self.core, abort.aborting, Signal()
        if self.core_domain is None:
            m.submodules.core = ResetInserter(abort.holding)(core)
        else:
            m.submodules.core = DomainRenamer(self.core_domain)(core)
            m.d.comb += ResetSignal(self.core_domain).eq(abort.holding)
        m.submodules.gate = gate = ResultGate(self.config)
        m.submodules.counters = counters = StallCounters()
        wiring.connect(m, queue.jobs, core.jobs)
        wiring.connect(m, core.results, gate.i)
        wiring.connect(m, gate.o, wiring.flipped(self.results))
        operands = ["activations", *(["partials"] if self.config.partial_sums else [])]
        # Whether the core takes a beat is found out late in its cycle: what brings them is told a cycle later.
        beats = {}
        for name in ("weights", *operands):
            outer = getattr(self, name)
            m.submodules[name] = places = ResetInserter(aborting)(TwoPlaces(outer.payload.shape()))
            wiring.connect(m, wiring.flipped(outer), places.i)
            beats[name] = places.o
        for name in operands:
            wiring.connect(m, beats[name], getattr(core, name))
            with m.If(aborting):
                m.d.comb += getattr(self, name).ready.eq(1)
        weights = beats["weights"]
        m.d.comb += [
            core.weights.payload.eq(weights.payload.data),
            core.weights.valid.eq(weights.valid),
            weights.ready.eq(core.weights.ready),
            # The core's reset comes a cycle late, so what it says in that cycle is of no account.
            stale.eq(aborting | abort.holding),
            causes.begun.eq(core.begun & ~stale),
            causes.taken.eq(weights.valid & weights.ready & ~stale),
            causes.error.eq(weights.payload.error),
            causes.illegal.eq(core.illegal & ~stale),
            causes.restart.eq(stale),
            causes.next.eq(queue.number),
            queue.clear.eq(aborting),
            gate.aborting.eq(stale),
            abort.offered.eq(Cat(getattr(self, name).valid for name in operands).any()),
            abort.sent.eq(gate.sent),
            self.quiesce.eq(aborting),
            counters.busy.eq(self.busy),
            counters.weights.eq(core.weights.ready & ~core.weights.valid & ~aborting),
            counters.activations.eq(core.activations.ready & ~core.activations.valid & ~aborting),
            counters.output.eq(self.results.valid & ~self.results.ready),
            counters.clear.eq(file.control.clear_counters),
            file.cycles.count.eq(counters.cycles),
            file.stall_weights.count.eq(counters.stall_weights),
            file.stall_activations.count.eq(counters.stall_activations),
            file.stall_output.count.eq(counters.stall_output),
        ]

    def _connect_live(
        self,
        m: Module,
        file: RegisterFile,
        queue: JobQueue,
        abort: AbortControl,
        status: JobStatus,
        refused: Any,
    ) -> None:
        """Drive what the host reads of jobs and interrupts."""
        was_busy = Signal()
        # Counts of 32 bits, each a cycle after its event, with the number of bits that the registers have.
        for event, register in (
            (queue.start, file.started),
            (status.completed, file.completed),
            (status.completed & status.word.any(), file.failed),
        ):
            count = Signal.like(register.count)
            m.d.sync += count.eq(count + event)
            m.d.comb += register.count.eq(count)
        m.d.sync += [
            was_busy.eq(self.busy),
            self.irq.eq((file.irq_status.as_value() & file.irq_enable.as_value()).any()),
        ]
        m.d.comb += [
            self.busy.eq((queue.in_flight != 0) | abort.aborting),
            file.errors_set.eq(refused.as_value() | status.word),
            file.irq_status_set.done.eq(status.completed),
            file.irq_status_set.failed.eq(status.word.any()),
            file.irq_status_set.refused.eq(file.control.start & ~queue.start),
            file.irq_status_set.idle.eq(was_busy & ~self.busy),
            file.status.busy.eq(self.busy),
            file.status.full.eq(queue.full),
            file.status.aborting.eq(abort.aborting),
            file.status.error.eq(file.errors.as_value().any()),
            file.status.interrupt.eq(self.irq),
            file.status.waiting.eq(queue.waiting),
            file.status.in_flight.eq(queue.in_flight),
        ]


def _address(file: RegisterFile, side: str) -> Value:
    """Return a byte address from its two registers."""
    parts = [getattr(file, f"{side}_lo").low]
    if file.registers[f"{side}_hi".upper()].fields:
        parts.append(getattr(file, f"{side}_hi").high)
    return Cat(parts)
