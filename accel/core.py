"""The core: jobs, activations and weights in, results out, over AXI4-Stream ports."""

from amaranth.hdl import Cat, ClockDomain, Module, Mux, Shape, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from tritforge.accel.activations import ActivationBuffer
from tritforge.accel.array import TileArray
from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.datapath import copy
from tritforge.accel.job import READER_PLACES, Error, JobPort, job_flags, job_layout
from tritforge.accel.partial_sums import beat_layout
from tritforge.accel.results import ResultQueue
from tritforge.accel.sequencer import Sequencer
from tritforge.accel.sparse import REQUEST_BITS, SparseUnit, request_layout
from tritforge.accel.turns import Turns
from tritforge.accel.weights import WeightLoader


class Core(wiring.Component):
    """Matrix products of INT8 activations with ternary weights: ``Y[T, M] = X[T, K] @ W[M, K].T``, exact.

    Parameters
    ----------
    config
        What to build.
    observed
        Whether to say which job a weight beat and an illegal code belong to; for dense jobs.

    Members
    -------
    jobs : In, stream of jobs
    activations : In, stream of beats: T tokens of K activations each, every token starts a beat
    weights : In, stream of beats: the packed weight image (`tritforge.models.image`)
    partials : In, with `partial_sums`, stream of result beats: what the sums of jobs that accumulate are added to
    column_requests : Out, with `sparse`, stream of `tritforge.accel.sparse.request_layout`
    columns : In, with `sparse`, stream of beats: the columns asked for (`tritforge.models.columns`)
    results : Out, stream of `beat_layout`: M x T words in the order (row tile, token, row)
    busy : Out, a job was taken whose results are not all gone
    error : Out, cause (`Error`) of the last refused job or illegal code; the next job taken clears it
    begun : Out, with `observed`, high for the cycle in which the weight loader takes a job: the weight beats from the
        next cycle on are that job's
    illegal : Out, with `observed`, high for a cycle, three cycles after a weight beat with an illegal code was taken
    """

    def __init__(self, config: AcceleratorConfig, *, observed: bool = False) -> None:
        self.config = config
        self.observed = observed
        events = {"begun": Out(1), "illegal": Out(1)} if observed else {}
        partials = {"partials": In(stream.Signature(config.result_port_bits))} if config.partial_sums else {}
        columns = {
            "column_requests": Out(stream.Signature(request_layout())),
            "columns": In(stream.Signature(config.weight_port_bits)),
        }
        super().__init__(
            {
                "jobs": In(stream.Signature(job_layout(config))),
                "activations": In(stream.Signature(config.act_port_bits)),
                "weights": In(stream.Signature(config.weight_port_bits)),
                "results": Out(stream.Signature(beat_layout(config))),
                "busy": Out(1),
                "error": Out(Shape.cast(Error).width),
            }
            | partials
            | (columns if config.sparse else {})
            | events
        )

    def make_buffer(self) -> ActivationBuffer:
        """Return the activation buffer."""
        return ActivationBuffer(self.config)

    def make_loader(self) -> WeightLoader:
        """Return the weight loader."""
        return WeightLoader(self.config)

    def make_sequencer(self) -> Sequencer:
        """Return the sequencer."""
        return Sequencer(self.config)

    def make_array(self) -> TileArray:
        """Return the array."""
        return TileArray(self.config)

    def make_queue(self) -> ResultQueue:
        """Return the result queue."""
        return ResultQueue(self.config)

    def make_sparse(self) -> SparseUnit:
        """Return the unit that runs sparse jobs."""
        return SparseUnit(self.config)

    def elaborate(self, platform: object) -> Module:  # noqa: ARG002
        m = Module()
        m.submodules.port = port = JobPort(self.config)
        m.submodules.buffer = buffer = self.make_buffer()
        m.submodules.loader = loader = self.make_loader()
        m.submodules.sequencer = sequencer = self.make_sequencer()
        m.submodules.array = array = self.make_array()
        m.submodules.queue = queue = self.make_queue()

        # A token enters the array two cycles after its issue, with its word and, where one starts, its tile.
        issued, issue, swap = Signal.like(array.issue), Signal.like(array.issue), Signal()
        m.d.sync += [issued.eq(sequencer.issue), issue.eq(issued), swap.eq(sequencer.swap)]

        wiring.connect(m, wiring.flipped(self.jobs), port.jobs)
        wiring.connect(m, wiring.flipped(self.weights), loader.beats)
        wiring.connect(m, wiring.flipped(self.results), queue.o)
        if self.config.partial_sums:
            wiring.connect(m, wiring.flipped(self.partials), queue.partials)
        wiring.connect(m, port.o2, queue.jobs)
        m.d.comb += [
            sequencer.tile_valid.eq(loader.tile_valid),
            sequencer.popped.eq(queue.popped),
            loader.swap.eq(sequencer.swap),
            buffer.address.eq(sequencer.address),
            buffer.release.eq(sequencer.release),
            array.issue.eq(issue),
            array.word.eq(buffer.data),
            array.swap.eq(Cat(copy(m, swap, group, "swap") for group in range(len(array.swap)))),
            array.tile.eq(loader.tile),
            queue.sums.eq(array.sums),
            queue.push.eq(array.sums_valid),
        ]
        if self.config.negation == "bias":
            m.d.comb += array.bias.eq(loader.bias)
        illegal = loader.illegal
        if self.config.sparse:
            m.submodules.sparse = sparse = self.make_sparse()
            illegal |= sparse.illegal
            self._add_sparse(m, port, buffer, loader, sequencer, queue, sparse)
        else:
            wiring.connect(m, wiring.flipped(self.activations), buffer.beats)
            wiring.connect(m, port.o0, buffer.jobs)
            wiring.connect(m, port.o1, loader.jobs)
            wiring.connect(m, buffer.loaded, sequencer.loaded)
        if self.observed:
            m.d.comb += [self.begun.eq(loader.jobs.valid & loader.jobs.ready), self.illegal.eq(illegal)]

        # A job is in the queue or waits for it until its last words leave; three more may be on their way out.
        jobs_inside = Signal(range(READER_PLACES[-1] + 5))
        taken = Signal()
        m.d.comb += [
            taken.eq(self.jobs.valid & self.jobs.ready),
            # A job that is refused counts in the cycle after it was taken.
            self.busy.eq(jobs_inside != port.refused),
        ]
        m.d.sync += jobs_inside.eq(jobs_inside + taken - port.refused - queue.finished)
        with m.If(port.checked):
            m.d.sync += self.error.eq(Mux(port.refused, Error.ILLEGAL_JOB, Error.NONE))
        with m.If(illegal):
            m.d.sync += self.error.eq(Error.ILLEGAL_TRIT)
        return m

    def _add_sparse(
        self,
        m: Module,
        port: JobPort,
        buffer: ActivationBuffer,
        loader: WeightLoader,
        sequencer: Sequencer,
        queue: ResultQueue,
        sparse: SparseUnit,
    ) -> None:
        """Place the sparse unit beside buffer, loader and array."""
        m.submodules.turns = turns = Turns(self.config)
        wiring.connect(m, port.o0, turns.jobs)
        wiring.connect(m, turns.dense, buffer.jobs)
        wiring.connect(m, turns.sparse, sparse.jobs)
        wiring.connect(m, buffer.loaded, turns.loaded)
        wiring.connect(m, turns.start, sequencer.loaded)
        wiring.connect(m, sparse.requests, wiring.flipped(self.column_requests))
        wiring.connect(m, wiring.flipped(self.columns), sparse.columns)
        weights = port.o1
        m.d.comb += [
            # A sparse job has no weights in the dense image.
            loader.jobs.payload.eq(weights.payload),
            loader.jobs.valid.eq(weights.valid & ~weights.payload.sparse),
            weights.ready.eq(loader.jobs.ready | weights.payload.sparse),
            # Only one of the two waits for activations.
            buffer.beats.payload.eq(self.activations.payload),
            buffer.beats.valid.eq(self.activations.valid),
            sparse.activations.payload.eq(self.activations.payload),
            sparse.activations.valid.eq(self.activations.valid),
            self.activations.ready.eq(buffer.beats.ready | sparse.activations.ready),
            turns.scanning.eq(sparse.scanning),
            turns.issued.eq(sequencer.issue.valid),
            turns.released.eq(sequencer.release != 0),
            turns.finished.eq(sparse.finished),
            sparse.turn.eq(turns.turn),
            sparse.room.eq(sequencer.room),
            sequencer.reserve.eq(sparse.reserve),
        ]
        with m.If(sparse.push):
            m.d.comb += [queue.sums.eq(sparse.sums), queue.push.eq(1)]


class StreamCore(wiring.Component):
    """`Core` with the port names that FPGA tools group into AXI4-Stream interfaces.

    Clock ``aclk``, reset ``aresetn`` (synchronous, low). The job port carries M, K and T side by side in whole
    bytes each, and where the configuration has flags (`tritforge.accel.job.job_flags`) a byte of them; see
    `job_fields`.
    """

    def __init__(self, core: Core) -> None:
        self.core = core
        config = core.config
        self.config = config
        self.flags = job_flags(config)
        #: Fields of ``s_axis_job_tdata``, lowest first, and their widths.
        self.job_fields = (("m", 32), ("k", 16), ("tokens", 16), *([("flags", 8)] if self.flags else []))
        partials = {
            "s_axis_partials_tvalid": In(1),
            "s_axis_partials_tready": Out(1),
            "s_axis_partials_tdata": In(config.result_port_bits),
        }
        columns = {
            "m_axis_column_requests_tvalid": Out(1),
            "m_axis_column_requests_tready": In(1),
            "m_axis_column_requests_tdata": Out(REQUEST_BITS),
            "m_axis_column_requests_tlast": Out(1),
            "s_axis_columns_tvalid": In(1),
            "s_axis_columns_tready": Out(1),
            "s_axis_columns_tdata": In(config.weight_port_bits),
        }
        super().__init__(
            {
                "aclk": In(1),
                "aresetn": In(1),
                "s_axis_job_tvalid": In(1),
                "s_axis_job_tready": Out(1),
                "s_axis_job_tdata": In(sum(width for _, width in self.job_fields)),
                "s_axis_activations_tvalid": In(1),
                "s_axis_activations_tready": Out(1),
                "s_axis_activations_tdata": In(config.act_port_bits),
                "s_axis_weights_tvalid": In(1),
                "s_axis_weights_tready": Out(1),
                "s_axis_weights_tdata": In(config.weight_port_bits),
                **(partials if config.partial_sums else {}),
                **(columns if config.sparse else {}),
                "m_axis_results_tvalid": Out(1),
                "m_axis_results_tready": In(1),
                "m_axis_results_tdata": Out(config.result_port_bits),
                "m_axis_results_tkeep": Out(config.result_port_bits // 8),
                "m_axis_results_tlast": Out(1),
                "busy": Out(1),
                "error": Out(Shape.cast(Error).width),
            }
        )

    def elaborate(self, platform: object) -> Module:  # noqa: ARG002
        m = Module()
        m.domains.sync = sync = ClockDomain(local=True)
        m.submodules.core = core = self.core
        config = self.config
        sync.clk = self.aclk
        m.d.comb += sync.rst.eq(~self.aresetn)

        fields = {}
        start = 0
        for name, width in self.job_fields:
            fields[name] = self.s_axis_job_tdata[start : start + width]
            start += width
        job = core.jobs.payload
        # A field wider than the core's own must not lose bits: what does not fit is out of bounds, so send 0.
        excess = {name: fields[name][len(job[name]) :] for name in ("m", "k", "tokens")}
        if self.flags:
            flags = fields["flags"]
            m.d.comb += [job[name].eq(flags[bit]) for bit, name in self.flags.items()]
            # A job with a flag that the core does not have is illegal too.
            unknown = Cat(flags[bit] for bit in range(len(flags)) if bit not in self.flags)
            excess["m"] = Cat(excess["m"], unknown)
        for name, rest in excess.items():
            inner = job[name]
            m.d.comb += inner.eq(Mux(rest == 0, fields[name][: len(inner)], 0))
        if config.partial_sums:
            m.d.comb += [
                core.partials.valid.eq(self.s_axis_partials_tvalid),
                core.partials.payload.eq(self.s_axis_partials_tdata),
                self.s_axis_partials_tready.eq(core.partials.ready),
            ]
        if config.sparse:
            m.d.comb += [
                self.m_axis_column_requests_tvalid.eq(core.column_requests.valid),
                self.m_axis_column_requests_tdata.eq(core.column_requests.payload.column),
                self.m_axis_column_requests_tlast.eq(core.column_requests.payload.last),
                core.column_requests.ready.eq(self.m_axis_column_requests_tready),
                core.columns.valid.eq(self.s_axis_columns_tvalid),
                core.columns.payload.eq(self.s_axis_columns_tdata),
                self.s_axis_columns_tready.eq(core.columns.ready),
            ]
        m.d.comb += [
            core.jobs.valid.eq(self.s_axis_job_tvalid),
            self.s_axis_job_tready.eq(core.jobs.ready),
            core.activations.valid.eq(self.s_axis_activations_tvalid),
            core.activations.payload.eq(self.s_axis_activations_tdata),
            self.s_axis_activations_tready.eq(core.activations.ready),
            core.weights.valid.eq(self.s_axis_weights_tvalid),
            core.weights.payload.eq(self.s_axis_weights_tdata),
            self.s_axis_weights_tready.eq(core.weights.ready),
            core.results.ready.eq(self.m_axis_results_tready),
            self.m_axis_results_tvalid.eq(core.results.valid),
            self.m_axis_results_tdata.eq(Cat(*core.results.payload.words)),
            self.m_axis_results_tkeep.eq(Cat(bit.replicate(4) for bit in core.results.payload.keep)),
            self.m_axis_results_tlast.eq(core.results.payload.last),
            self.busy.eq(core.busy),
            self.error.eq(core.error),
        ]
        return m
