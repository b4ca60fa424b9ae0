"""Soft abort: brings everything to rest between two jobs without breaking a handshake."""

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.partial_sums import beat_layout
from tritforge.accel.skid_buffer import SkidBuffer

#: Cycles without a beat after which a source of operands counts as stopped.
SETTLE_CYCLES = 16


class AbortControl(wiring.Component):
    """Waits until nothing is under way any more, then ends the jobs one by one.

    Members
    -------
    request : In, abort
    quiet : In, the memory side has nothing outstanding
    offered : In, a source of operands offers a beat, which is thrown away
    sent : In, what was begun of the results has left
    left : In, there are jobs that have not ended
    done : In, all jobs are completed
    aborting : Out, from the cycle after the request until everything is at rest
    holding : Out, reset for the core, a register: it follows `aborting` a cycle later and ends no later; high in
        the cycle after a reset of this block, too
    retire : Out, end the oldest job in this cycle
    """

    def __init__(self) -> None:
        super().__init__(
            {
                "request": In(1),
                "quiet": In(1),
                "offered": In(1),
                "sent": In(1),
                "left": In(1),
                "done": In(1),
                "aborting": Out(1),
                "holding": Out(1, init=1),
                "retire": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:  # noqa: ARG002
        m = Module()
        settling = Signal(range(SETTLE_CYCLES))
        retiring = Signal()
        m.d.comb += self.retire.eq(retiring & self.left)
        m.d.sync += self.holding.eq(self.aborting & ~retiring)
        with m.If(self.offered | ~self.aborting):
            m.d.sync += settling.eq(SETTLE_CYCLES - 1)
        with m.Elif(settling != 0):
            m.d.sync += settling.eq(settling - 1)
        with m.If(~self.aborting):
            m.d.sync += self.aborting.eq(self.request)
        with m.Elif(~retiring):
            m.d.sync += retiring.eq((settling == 0) & ~self.offered & self.quiet & self.sent)
        with m.Elif(self.done):
            m.d.sync += [self.aborting.eq(0), retiring.eq(0)]
        return m


class ResultGate(wiring.Component):
    """The way out of the results, which ends a packet that an abort cuts off with a beat that holds no word.

    Parameters
    ----------
    config
        Widths.

    Members
    -------
    i : In, stream of `beat_layout`
    o : Out, stream of `beat_layout`; what it offers stays until it is taken, abort or not
    aborting : In, `i` is of no account any more: what it offers is thrown away
    sent : Out, no packet is begun and not ended
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self.config = config
        port = stream.Signature(beat_layout(config))
        super().__init__({"i": In(port), "o": Out(port), "aborting": In(1), "sent": Out(1)})

    def elaborate(self, platform: object) -> Module:  # noqa: ARG002
        m = Module()
        m.submodules.buffer = buffer = SkidBuffer(beat_layout(self.config))
        wiring.connect(m, buffer.o, wiring.flipped(self.o))
        inside = Signal()
        taken = buffer.i.valid & buffer.i.ready
        m.d.comb += [
            buffer.i.valid.eq(Mux(self.aborting, inside, self.i.valid)),
            Value.cast(buffer.i.payload).eq(self.i.payload),
            # What is offered during an abort is thrown away.
            self.i.ready.eq(buffer.i.ready),
            self.sent.eq(~inside & ~self.o.valid),
        ]
        with m.If(self.aborting):
            m.d.comb += [
                buffer.i.payload.keep.eq(0),
                buffer.i.payload.last.eq(1),
            ]
        with m.If(taken):
            m.d.sync += inside.eq(~buffer.i.payload.last)
        return m
