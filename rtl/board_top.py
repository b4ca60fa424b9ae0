"""The top of a board: the PLL, a reset that lasts until it locks, and the pins of the link."""

from typing import Any

from amaranth.hdl import ClockDomain, Elaboratable, Module, Signal
from amaranth.lib import io
from amaranth.lib.cdc import ResetSynchronizer

from tritforge.accel.link_top import LinkTop
from tritforge.rtl.board_clock import Ice40Pll, Pll


class BoardTop(Elaboratable):
    """A link behind a board's serial port.

    The first two LEDs show a request at work and a job under way.

    Parameters
    ----------
    link
        The accelerator and its serial lines, in the domain `sync` but for the core, which is in `core`.
    pll
        Makes the clock of `sync` from the board's.
    """

    def __init__(self, link: LinkTop, pll: Pll) -> None:
        self.link = link
        self.pll = pll

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        clock, locked = Signal(), Signal()
        m.domains.sync = sync = ClockDomain()
        m.domains.core = core = ClockDomain()
        sync.clk = core.clk = clock
        m.submodules.link = self.link
        pin = platform.request(platform.default_clk, dir="-")
        if isinstance(self.pll, Ice40Pll):
            # Its own pin feeds this PLL, without a buffer between.
            reference = pin.io
        else:
            m.submodules.clock_pin = buffer = io.Buffer("i", pin)
            reference = buffer.i
        m.submodules.pll = self.pll.instance(reference, clock, locked)
        # Two registers more between the lock, at the PLL, and all that is reset, which may be anywhere.
        m.domains.locked = at_pll = ClockDomain()
        m.domains.free = free = ClockDomain(reset_less=True)
        at_pll.clk = free.clk = clock
        m.submodules.reset = ResetSynchronizer(~locked, domain="locked")
        halfway = Signal(init=1)
        sync.rst = Signal(name="rst", init=1)
        m.d.free += [halfway.eq(at_pll.rst), sync.rst.eq(halfway)]
        uart = platform.request("uart", 0, dir="-")
        m.submodules.rx_pin = rx = io.Buffer("i", uart.rx)
        m.submodules.tx_pin = tx = io.Buffer("o", uart.tx)
        m.d.comb += [self.link.rx.eq(rx.i), tx.o.eq(self.link.tx)]
        for number, state in enumerate((self.link.active, self.link.busy)):
            m.submodules[f"led_{number}"] = led = io.Buffer("o", platform.request("led", number, dir="-"))
            m.d.comb += led.o.eq(state)
        return m
