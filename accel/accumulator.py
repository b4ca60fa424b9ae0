"""Accumulators of one output row, a sum for each token."""

from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.datapath import extend
from tritforge.accel.ecp5 import Adder, Kind, add_chain
from tritforge.accel.job import index_range


class Accumulator(wiring.Component):
    """Adds a token's dot product to the token's sum so far.

    Sums lie in a memory by token, written a cycle after they were added, so that the adder's carry chain does not run
    into the memory's write port. A token that comes again one cycle later finds its sum in the register behind the
    adder, two cycles later on its way to the memory.

    Parameters
    ----------
    config
        Widths.

    Members
    -------
    read_token : In, the token whose dot product comes in the next cycle
    first : In, with `read_token`: it starts from `start`, not from its sum so far
    forward : In, with `read_token`: its sum so far is being added in this cycle
    passing : In, with `read_token`: its sum so far is in `sum`, not yet in the memory
    start : In, with `read_token`: the row's bias, where there is one
    dot, carry : In, the datapath's outputs
    add : In, `dot` belongs to a token
    write_token, write : In, the token whose sum is in `sum`, and that there is one
    sum : Out, the sum, a cycle after `dot`
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self.config = config
        token = index_range(config.tokens_max)
        super().__init__(
            {
                "read_token": In(token),
                "first": In(1),
                "forward": In(1),
                "passing": In(1),
                "start": In(config.bias_bits),
                "dot": In(signed(config.dot_bits)),
                "carry": In(1),
                "add": In(1),
                "write_token": In(token),
                "write": In(1),
                "sum": Out(signed(config.acc_bits)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self.config
        width = config.acc_bits
        # A token goes on from the register where `forward`, else from `stored`; `start` is 0 but for first tiles.
        # None has a reset: together with `first` it would be a gate before the reset of every bit of `stored`.
        register, stored = Signal(width, reset_less=True), Signal(width, reset_less=True)
        start, forward = Signal(config.bias_bits, reset_less=True), Signal(reset_less=True)
        if config.negation == "bias":
            m.d.sync += start.eq(Mux(self.first, self.start, 0))
        if config.tokens_max == 1:
            # The one token's sum stays in the register.
            m.d.sync += forward.eq(~self.first)
        else:
            m.submodules.memory = memory = Memory(shape=width, depth=config.tokens_max, init=[])
            write, read = memory.write_port(), memory.read_port(domain="comb")
            m.d.comb += [
                read.addr.eq(self.read_token),
                write.addr.eq(self.write_token),
                write.data.eq(register),
                write.en.eq(self.write),
            ]
            m.d.sync += [
                forward.eq(self.forward & ~self.first),
                stored.eq(Mux(self.passing, register, read.data)),
            ]
            with m.If(self.first):
                m.d.sync += stored.eq(0)
        total = self._add(m, register, forward, stored, start, cells=platform is not None)
        with m.If(self.add):
            m.d.sync += register.eq(total)
        m.d.comb += self.sum.eq(register.as_signed())
        return m

    def _add(
        self, m: Module, register: Value, forward: Value, stored: Value, start: Value, *, cells: bool
    ) -> Value:
        """Return the new sum."""
        config = self.config
        width = config.acc_bits
        dot = extend(self.dot, width)
        if config.datapath == "fused" and config.target == "ecp5":
            adder = Adder(
                kind=Kind.CHOICE, a=dot, b=register, c=forward.replicate(width), d=stored, carry=self.carry
            )
            return add_chain(m, [adder], name="total", cells=cells)[0]
        if config.negation == "carry":
            return (Cat(1, dot) + Cat(self.carry, Mux(forward, register, stored)))[1:]
        # Both are 0 where the token starts from its bias: the choice of three is one LUT of four inputs.
        return dot + (Mux(forward, register, stored) | start)
