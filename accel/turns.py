"""Turns: dense and sparse jobs work side by side, and give their sums away in the order of the jobs."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from tritforge.accel.activations import loaded_layout
from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.job import job_layout


class Turns(wiring.Component):
    """Hands each job to the activation buffer or to the sparse unit, and keeps their sums in order.

    A job's activations may come when those of the job before are all in. A sparse job's sums may leave when the
    last of every dense job before it is on its way into the result queue; a dense job that comes behind a sparse one
    may load its activations meanwhile, but starts when the sparse one's sums are gone.

    Parameters
    ----------
    config
        Widths and latency.

    Members
    -------
    jobs : In, stream of jobs
    dense, sparse : Out, streams of jobs: to the activation buffer and to the sparse unit
    scanning : In, the sparse unit waits for activations
    loaded, start : In and Out, stream of dense jobs from the activation buffer to the sequencer
    issued : In, a token enters the array
    released : In, the sequencer issued a job's last token
    turn : Out, the sparse job's sums may leave
    finished : In, the sparse job's last place in the result queue is taken
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self.config = config
        super().__init__(
            {
                "jobs": In(stream.Signature(job_layout(config))),
                "dense": Out(stream.Signature(job_layout(config))),
                "sparse": Out(stream.Signature(job_layout(config))),
                "scanning": In(1),
                "loaded": In(stream.Signature(loaded_layout(config))),
                "start": Out(stream.Signature(loaded_layout(config))),
                "issued": In(1),
                "released": In(1),
                "turn": Out(1),
                "finished": In(1),
            }
        )

    def elaborate(self, platform: object) -> Module:  # noqa: ARG002
        m = Module()
        is_sparse = self.jobs.payload.sparse
        dense_taken, sparse_taken, started = Signal(), Signal(), Signal()
        m.d.comb += [
            self.dense.payload.eq(self.jobs.payload),
            self.sparse.payload.eq(self.jobs.payload),
            self.dense.valid.eq(self.jobs.valid & ~is_sparse & ~self.scanning),
            # The buffer takes a job only when the activations of the one before are in.
            self.sparse.valid.eq(self.jobs.valid & is_sparse & self.dense.ready),
            dense_taken.eq(self.dense.valid & self.dense.ready),
            sparse_taken.eq(self.sparse.valid & self.sparse.ready),
            self.jobs.ready.eq(dense_taken | sparse_taken),
            started.eq(self.start.valid & self.start.ready),
        ]

        # Dense jobs between buffer and sequencer; when a sparse job comes, those are ahead of it.
        waiting, ahead = Signal(range(4)), Signal(range(4))
        pending = Signal()
        m.d.comb += [
            self.start.payload.eq(self.loaded.payload),
            self.start.valid.eq(self.loaded.valid & (~pending | (ahead != 0))),
            self.loaded.ready.eq(self.start.ready & (~pending | (ahead != 0))),
        ]
        m.d.sync += waiting.eq(waiting + dense_taken - started)
        with m.If(pending & started):
            m.d.sync += ahead.eq(ahead - 1)
        with m.If(self.finished):
            m.d.sync += pending.eq(0)
        with m.If(sparse_taken):
            m.d.sync += [pending.eq(1), ahead.eq(waiting - started)]

        # Entries are pushed `latency` cycles behind their token; a turn comes two cycles before the first push.
        running = Signal()
        drain = Signal(range(self.config.latency - 1))
        m.d.sync += drain.eq(Mux(self.issued, self.config.latency - 2, Mux(drain == 0, 0, drain - 1)))
        with m.If(self.released):
            m.d.sync += running.eq(0)
        with m.If(started):
            m.d.sync += running.eq(1)
        m.d.comb += self.turn.eq(pending & (ahead == 0) & ~running & (drain == 0))
        return m
