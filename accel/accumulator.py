"""Accumulators of one output row, a sum for each token."""

from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.data import StructLayout
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.datapath import extend
from tritforge.accel.ecp5 import Adder, Kind, add_chain
from tritforge.accel.job import index_range


def control_layout(config: AcceleratorConfig) -> StructLayout:
    """Layout of what the accumulators are told about the tokens that pass.

    ``read_token`` is the token whose dot product comes in the next cycle. Where ``first`` is high it starts from the
    bias; where ``forward`` is, its sum so far is being added in this cycle; where ``passing`` is, that sum has
    been added but is not yet in the memory. ``add`` says that a token's dot product is here, ``write`` and
    ``write_token`` that `sum` is a token's.
    """
    token = index_range(config.tokens_max)
    return StructLayout(
        {
            "read_token": token,
            "first": 1,
            "forward": 1,
            "passing": 1,
            "add": 1,
            "write_token": token,
            "write": 1,
        }
    )


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
    control : In, which tokens are read, added and written
    start : In, the row's bias for the token read, where there is one
    dot, carry : In, the datapath's outputs
    sum : Out, the sum, a cycle after `dot`
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self.config = config
        super().__init__(
            {
                "control": In(control_layout(config)),
                "start": In(config.bias_bits),
                "dot": In(signed(config.dot_bits)),
                "carry": In(1),
                "sum": Out(signed(config.acc_bits)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self.config
        control, width = self.control, config.acc_bits
        # A token goes on from the register where `forward`, else from `stored`; `start` is 0 but for first tiles.
        # None has a reset: together with `first` it would be a gate before the reset of every bit of `stored`.
        register, stored = Signal(width, reset_less=True), Signal(width, reset_less=True)
        start, forward = Signal(config.bias_bits, reset_less=True), Signal(reset_less=True)
        if config.negation == "bias":
            m.d.sync += start.eq(Mux(control.first, self.start, 0))
        if config.tokens_max == 1:
            # The one token's sum stays in the register.
            m.d.sync += forward.eq(~control.first)
        else:
            m.submodules.memory = memory = Memory(shape=width, depth=1 << len(control.read_token), init=[])
            write, read = memory.write_port(), memory.read_port(domain="comb")
            m.d.comb += [
                read.addr.eq(control.read_token),
                write.addr.eq(control.write_token),
                write.data.eq(register),
                write.en.eq(control.write),
            ]
            m.d.sync += [
                forward.eq(control.forward & ~control.first),
                stored.eq(Mux(control.passing, register, read.data)),
            ]
            with m.If(control.first):
                m.d.sync += stored.eq(0)
        total = self._add(m, register, forward, stored, start, cells=platform is not None)
        with m.If(control.add):
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
