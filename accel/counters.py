"""Performance counters: where the cycles of the jobs went."""

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from tritforge.accel.registers import WORD_BITS


class StallCounters(wiring.Component):
    """Counts cycles by what they were spent on, modulo 2**32, each a cycle after it passed.

    Members
    -------
    busy, weights, activations, output : In, what is counted
    cycles, stall_weights, stall_activations, stall_output : Out, how often
    clear : In, set all to zero
    """

    def __init__(self) -> None:
        super().__init__(
            {
                "busy": In(1),
                "weights": In(1),
                "activations": In(1),
                "output": In(1),
                "cycles": Out(WORD_BITS),
                "stall_weights": Out(WORD_BITS),
                "stall_activations": Out(WORD_BITS),
                "stall_output": Out(WORD_BITS),
                "clear": In(1),
            }
        )

    def elaborate(self, platform: object) -> Module:  # noqa: ARG002
        m = Module()
        counted = {
            "cycles": self.busy,
            "stall_weights": self.weights,
            "stall_activations": self.activations,
            "stall_output": self.output,
        }
        for name, happens in counted.items():
            # The conditions come from deep inside of the core, and a count is a long carry chain.
            happened = Signal(name=f"{name}_happened")
            count = getattr(self, name)
            m.d.sync += [happened.eq(happens & ~self.clear), count.eq(count + happened)]
            with m.If(self.clear):
                m.d.sync += count.eq(0)
        return m
