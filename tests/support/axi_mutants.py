"""AXI tops with one planted bug each: what goes between their blocks is driven once more, and the last one wins."""

from amaranth.hdl import Module, Mux, Signal, Value

from tritforge.accel.axi_reader import AxiReader
from tritforge.accel.axi_top import AxiCore
from tritforge.accel.controlled_core import ControlledCore
from tritforge.accel.descriptor import Response
from tritforge.accel.job_queue import JobQueue


class MutantTop(AxiCore):
    """The AXI top with a connection that a subclass drives otherwise."""

    def elaborate(self, platform: object) -> Module:
        m = super().elaborate(platform)
        self.rewire(m)
        return m

    def rewire(self, m: Module) -> None:
        """Plant the bug."""


def _number_of(m: Module, event: Value, every: int) -> Value:
    """Return a signal that is high at every so many events."""
    count = Signal(range(every))
    with m.If(event):
        m.d.sync += count.eq(Mux(count == every - 1, 0, count + 1))
    return count == every - 1


class DroppedBeat(MutantTop):
    """One weight beat of 64 does not reach the core."""

    def rewire(self, m: Module) -> None:
        beats, weights = m.submodules.reader.beats, m.submodules.controlled.weights
        drop = _number_of(m, beats.valid & beats.ready, 64)
        m.d.comb += [weights.valid.eq(beats.valid & ~drop), beats.ready.eq(weights.ready | drop)]


class RepeatedBeat(MutantTop):
    """One weight beat of 64 reaches the core twice."""

    def rewire(self, m: Module) -> None:
        beats, weights = m.submodules.reader.beats, m.submodules.controlled.weights
        again = _number_of(m, weights.valid & weights.ready, 64)
        m.d.comb += beats.ready.eq(weights.ready & ~again)


class SwallowedError(MutantTop):
    """Nobody is told that memory answered with an error."""

    def rewire(self, m: Module) -> None:
        m.d.comb += m.submodules.controlled.weights.payload.error.eq(Response.OKAY)


class LateError(MutantTop):
    """An error is told with the next beat, which may be the next job's."""

    def rewire(self, m: Module) -> None:
        beats, weights = m.submodules.reader.beats, m.submodules.controlled.weights
        before = Signal.like(weights.payload.error)
        with m.If(beats.valid & beats.ready):
            m.d.sync += before.eq(beats.payload.error)
        m.d.comb += weights.payload.error.eq(before)


class OneError(MutantTop):
    """Every error counts as SLVERR."""

    def rewire(self, m: Module) -> None:
        beats, weights = m.submodules.reader.beats, m.submodules.controlled.weights
        m.d.comb += weights.payload.error.eq(Mux(beats.payload.error[1], Response.SLVERR, Response.OKAY))


class GreedyReader(AxiReader):
    """Takes a burst's place as free when its last beat comes, not when it has left."""

    def _buffer(self, m: Module, left: Value) -> None:
        super()._buffer(m, Signal())
        r = self.axi.r
        m.d.comb += left.eq(r.valid & r.ready & r.payload.last)


class NoReservation(MutantTop):
    """More is asked of memory than there is room for."""

    def make_reader(self) -> AxiReader:
        return GreedyReader(self.config, self.axi)


class LongBurst(MutantTop):
    """Every eighth burst asks for a beat more."""

    def rewire(self, m: Module) -> None:
        ar = m.submodules.reader.axi.ar
        more = _number_of(m, ar.valid & ar.ready, 8)
        m.d.comb += self.m_axi_weights_arlen.eq(ar.payload.len + more)


class RestlessAddress(MutantTop):
    """An address that waits is withdrawn for a cycle in four."""

    def rewire(self, m: Module) -> None:
        valid = m.submodules.reader.axi.ar.valid
        withdrawn = _number_of(m, valid, 4)
        m.d.comb += [
            self.m_axi_weights_arvalid.eq(valid & ~withdrawn),
            m.submodules.reader.axi.ar.ready.eq(self.m_axi_weights_arready & ~withdrawn),
        ]


class DeafReader(MutantTop):
    """The reader is not told of an abort, goes on with what it had begun, and nobody waits for it."""

    def rewire(self, m: Module) -> None:
        m.d.comb += [m.submodules.reader.quiesce.eq(0), m.submodules.controlled.quiet.eq(1)]


class EarlyEnd(MutantTop):
    """A job counts as completed when its first beat leaves."""

    def rewire(self, m: Module) -> None:
        m.d.comb += m.submodules.controlled.stored.eq(self.m_axis_results_tvalid & self.m_axis_results_tready)


class EndlessQueue(JobQueue):
    """Is never full."""

    def elaborate(self, platform: object) -> Module:
        m = super().elaborate(platform)
        m.d.comb += self.full.eq(0)
        return m


class BottomlessCore(ControlledCore):
    """Takes jobs that it has no place for."""

    def make_queue(self) -> JobQueue:
        return EndlessQueue(self.config, self.control)


class QueueOverrun(MutantTop):
    """A start with a full queue is taken."""

    def make_controlled(self) -> ControlledCore:
        return BottomlessCore(self.config, self.axi.control, core=self.core)


class LostStoreError(MutantTop):
    """Nobody is told that memory refused a result."""

    def rewire(self, m: Module) -> None:
        m.d.comb += m.submodules.controlled.store_error.eq(Response.OKAY)


class WrongPlace(MutantTop):
    """Rows of results lie a beat too close."""

    def rewire(self, m: Module) -> None:
        stride = m.submodules.controlled.stores.payload.stride
        m.d.comb += m.submodules.writer.stores.payload.stride.eq(stride - self.config.result_port_bits // 8)


class StuckAbort(MutantTop):
    """In an abort the results wait for a writer that takes nothing more."""

    def rewire(self, m: Module) -> None:
        m.d.comb += m.submodules.controlled.results.ready.eq(m.submodules.writer.results.ready)


class FullStrobes(MutantTop):
    """Beats are written whole, whether all their words are results or not."""

    def rewire(self, m: Module) -> None:
        m.d.comb += self.m_axi_results_wstrb.eq(-1)


#: Bugs of tops that send results as a stream, and of those that write them to memory.
STREAM_MUTANTS: tuple[type[MutantTop], ...] = (
    DroppedBeat,
    RepeatedBeat,
    SwallowedError,
    LateError,
    OneError,
    NoReservation,
    LongBurst,
    RestlessAddress,
    DeafReader,
    EarlyEnd,
    QueueOverrun,
)
MEMORY_MUTANTS: tuple[type[MutantTop], ...] = (LostStoreError, WrongPlace, StuckAbort, FullStrobes)
