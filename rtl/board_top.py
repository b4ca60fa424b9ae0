"""The top of a board: the PLL, a reset that lasts until it locks, and the pins of the link."""

from typing import Any

from amaranth.hdl import ClockDomain, ClockSignal, Elaboratable, Module, Signal
from amaranth.lib import io, wiring
from amaranth.lib.cdc import ResetSynchronizer

from tritforge.rtl.board_clock import Ice40Pll, Pll


class BoardTop(Elaboratable):
    """A link behind a board's serial port.

    The first two LEDs show the traffic: bytes from the host, and bytes to it.

    Parameters
    ----------
    link
        Component with the members ``rx`` (In) and ``tx`` (Out), in the domain `sync`.
    pll
        Makes the clock of `sync` from the board's.
    """

    def __init__(self, link: wiring.Component, pll: Pll) -> None:
        self.link = link
        self.pll = pll

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.domains.sync = ClockDomain()
        m.submodules.link = self.link
        clock, locked = Signal(), Signal()
        pin = platform.request(platform.default_clk, dir="-")
        if isinstance(self.pll, Ice40Pll):
            # Its own pin feeds this PLL, without a buffer between.
            reference = pin.io
        else:
            m.submodules.clock_pin = buffer = io.Buffer("i", pin)
            reference = buffer.i
        m.submodules.pll = self.pll.instance(reference, clock, locked)
        m.submodules.reset = ResetSynchronizer(~locked)
        uart = platform.request("uart", 0)
        m.d.comb += [
            ClockSignal().eq(clock),
            self.link.rx.eq(uart.rx.i),
            uart.tx.o.eq(self.link.tx),
        ]
        for number, line in enumerate((uart.rx.i, self.link.tx)):
            m.d.comb += platform.request("led", number).o.eq(~line)
        return m
