"""Sparse jobs: products of one token that read the columns of its non-zero activations only."""

from amaranth.hdl import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.data import StructLayout
from amaranth.lib.wiring import In, Out

from tritforge.accel.columns import ColumnLanes
from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.job import index_range, job_layout
from tritforge.accel.nonzero import NonzeroList

#: Width of a column's number in a request.
REQUEST_BITS = 32


def request_layout() -> StructLayout:
    """Layout of a request for a column: its number in the column image, and whether it is the job's last."""
    return StructLayout({"column": REQUEST_BITS, "last": 1})


class SparseUnit(wiring.Component):
    """Runs sparse jobs beside the array.

    The activations that are not zero are listed as they come. For each row block, the list is walked twice: once
    ahead, asking for the columns, and once as their beats come in. As many requests may be under way as the memory
    takes, which hides its latency. A job always asks for one column of each block at least.

    Parameters
    ----------
    config
        Widths.

    Members
    -------
    jobs : In, stream of sparse jobs
    activations : In, stream of `act_port_bits`
    requests : Out, stream of `request_layout`: column k of row block b is number ``b * K + k``
    columns : In, stream of `weight_port_bits`: `column_phases` beats for each request, in their order
    turn : In, the sums of the job at hand may leave; held until `finished`
    room : In, the result queue has a place that is not yet spoken for
    reserve : Out, a place in the queue is taken, whose entry is pushed in the next cycle
    sums, push : Out, an entry of the queue
    scanning : Out, the activations of the job at hand are not all in
    finished : Out, high for the cycle in which the job's last place is taken
    illegal : Out, high for the cycle in which a column's beat with an illegal word was taken
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self.config = config
        super().__init__(
            {
                "jobs": In(stream.Signature(job_layout(config))),
                "activations": In(stream.Signature(config.act_port_bits)),
                "requests": Out(stream.Signature(request_layout())),
                "columns": In(stream.Signature(config.weight_port_bits)),
                "turn": In(1),
                "room": In(1),
                "reserve": Out(1),
                "sums": Out(config.rows * config.acc_bits),
                "push": Out(1),
                "scanning": Out(1),
                "finished": Out(1),
                "illegal": Out(1),
            }
        )

    def make_list(self) -> NonzeroList:
        """Return the list of non-zero activations."""
        return NonzeroList(self.config)

    def make_lanes(self) -> ColumnLanes:
        """Return the lanes."""
        return ColumnLanes(self.config)

    def elaborate(self, platform: object) -> Module:  # noqa: ARG002
        m = Module()
        config = self.config
        m.submodules.list = pairs = self.make_list()
        m.submodules.lanes = lanes = self.make_lanes()
        wiring.connect(m, wiring.flipped(self.activations), pairs.beats)
        wiring.connect(m, wiring.flipped(self.columns), lanes.beats)
        wiring.connect(m, pairs.values, lanes.values)

        # The job stays until its sums are gone; by then both walks are at their ends.
        start = Signal()
        job = self.jobs.payload
        m.d.comb += [
            self.jobs.ready.eq(~lanes.busy),
            start.eq(self.jobs.valid & self.jobs.ready),
            pairs.start.eq(start),
            pairs.k.eq(job.k),
            pairs.m.eq(job.m),
            lanes.start.eq(start),
            lanes.m.eq(job.m),
            lanes.turn.eq(self.turn),
            lanes.room.eq(self.room),
            self.reserve.eq(lanes.reserve),
            self.sums.eq(lanes.sums),
            self.push.eq(lanes.push),
            self.finished.eq(lanes.finished),
            self.illegal.eq(lanes.illegal),
            self.scanning.eq(pairs.scanning),
        ]

        # A register behind the index memory, which is slow, before the block's first column is added.
        k, base = Signal(config.k_max.bit_length()), Signal(REQUEST_BITS)
        index, end = Signal(index_range(config.k_max)), Signal()
        asked = Signal()
        m.d.comb += [
            pairs.indices.ready.eq(~self.requests.valid | self.requests.ready),
            asked.eq(self.requests.valid & self.requests.ready),
            self.requests.payload.column.eq(base + index),
        ]
        with m.If(pairs.indices.ready):
            m.d.sync += [
                self.requests.valid.eq(pairs.indices.valid),
                self.requests.payload.last.eq(pairs.indices.payload.last),
                index.eq(pairs.indices.payload.index),
                end.eq(pairs.indices.payload.end),
            ]
        with m.If(asked & end):
            m.d.sync += base.eq(base + k)
        with m.If(start):
            m.d.sync += [k.eq(job.k), base.eq(0)]
        return m
