"""A design whose clock is a port and that has no reset: a top for a cell library."""

from amaranth.hdl import ClockDomain, Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In


class Clocked(wiring.Component):
    """A design with its clock as a port and no reset, since nothing in it has a state that must be known.

    Parameters
    ----------
    inner
        The design.

    Members
    -------
    clk : In
    (others) : as the design has them
    """

    def __init__(self, inner: wiring.Component) -> None:
        self.inner = inner
        super().__init__({**dict(inner.signature.members.items()), "clk": In(1)})

    def elaborate(self, platform: object) -> Module:  # noqa: ARG002
        m = Module()
        m.domains.sync = domain = ClockDomain(reset_less=True)
        m.submodules.unit = self.inner
        m.d.comb += domain.clk.eq(self.clk)
        for name, member in self.inner.signature.members.items():
            outside, inside = getattr(self, name), getattr(self.inner, name)
            m.d.comb += inside.eq(outside) if member.flow == In else outside.eq(inside)
        return m
