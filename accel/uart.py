"""Serial port, 8N1: eight data bits, least significant first, between a low start bit and a high stop bit."""

from fractions import Fraction

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.cdc import FFSynchronizer
from amaranth.lib.wiring import In, Out

from tritforge.accel.errors import InputError

#: Bits of a character: start, data, stop.
CHARACTER_BITS = 10
#: Clock cycles of a bit, at least and at most: fewer leave no middle to sample.
DIVISORS = (4, 1 << 16)
#: Parts of a clock cycle in which a bit's length is counted, so that it is right on average.
_PARTS = 16


def check_divisor(divisor: Fraction | float) -> Fraction:
    """Return the cycles of a bit in sixteenths of a cycle.

    Parameters
    ----------
    divisor
        Clock frequency over baud rate.

    Raises
    ------
    InputError
        Too few or too many cycles.
    """
    low, high = DIVISORS
    if not low <= divisor <= high:
        raise InputError(
            f"divisor is {float(divisor):g} clock cycles a bit; it must lie in {low} to {high}: change the baud rate"
        )
    return Fraction(round(divisor * _PARTS), _PARTS)


class BitClock(wiring.Component):
    """Counts bits: a strobe every `divisor` cycles, the first one after half a bit where that is asked for.

    Parameters
    ----------
    divisor
        Cycles of a bit, rounded to sixteenths; a bit takes whole cycles, and is right on average.

    Members
    -------
    restart : In, starts a bit with the next cycle
    half : In, with `restart`, starts in the middle of one
    tick : Out, high in a bit's last cycle
    """

    def __init__(self, divisor: Fraction | float) -> None:
        self.divisor = check_divisor(divisor)
        super().__init__({"restart": In(1), "half": In(1), "tick": Out(1)})

    def elaborate(self, platform: object) -> Module:  # noqa: ARG002
        m = Module()
        bit = int(self.divisor * _PARTS)
        # An edge was somewhere in the cycle before the one that shows it: half a cycle ago, on average.
        half = (bit - _PARTS) // 2
        # Sixteenths of the bit that are left behind this cycle, less one: the sign says that it is the last.
        left = Signal(range(-_PARTS, bit))
        m.d.comb += self.tick.eq(left < 0)
        with m.If(self.restart):
            m.d.sync += left.eq(Mux(self.half, half - _PARTS - 1, bit - _PARTS - 1))
        with m.Else():
            m.d.sync += left.eq(left + Mux(self.tick, bit - _PARTS, -_PARTS))
        return m


class UartReceiver(wiring.Component):
    """Takes characters from a line; each bit is sampled in its middle.

    A start bit that is over before its middle is taken for a glitch. A character whose stop bit is low is dropped;
    nothing more is taken until the line is high again, so a break is one error however long. The sender's clock
    may be off by 3 %, with a divisor below 5 by 2 %.

    Parameters
    ----------
    divisor
        Clock cycles of a bit, 4 or more.

    Members
    -------
    rx : In, the line, high when idle; may change at any time
    o : Out, stream of characters
    error : Out, high for one cycle: a character was dropped, for its stop bit or because the one before was not taken
    """

    def __init__(self, divisor: Fraction | float) -> None:
        self.divisor = check_divisor(divisor)
        super().__init__({"rx": In(1, init=1), "o": Out(stream.Signature(8)), "error": Out(1)})

    def elaborate(self, platform: object) -> Module:  # noqa: ARG002
        m = Module()
        line = Signal(init=1)
        m.submodules.synchroniser = FFSynchronizer(self.rx, line, init=1)
        m.submodules.clock = clock = BitClock(self.divisor)
        # A one below the data: the place that it has come to says how many there are.
        bits = Signal(9)
        m.d.sync += self.error.eq(0)
        with m.If(self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        with m.FSM():
            with m.State("idle"):
                m.d.comb += [clock.restart.eq(1), clock.half.eq(1)]
                with m.If(~line):
                    m.next = "start"
            with m.State("start"):
                m.d.sync += bits.eq(1 << 8)
                with m.If(clock.tick):
                    m.next = "data"
                with m.If(line):
                    m.next = "idle"
            with m.State("data"), m.If(clock.tick):
                m.d.sync += bits.eq(Cat(bits[1:], line))
                with m.If(bits[1]):
                    m.next = "stop"
            with m.State("stop"), m.If(clock.tick):
                m.d.sync += self.error.eq(~line | (self.o.valid & ~self.o.ready))
                with m.If(line):
                    m.next = "idle"
                    with m.If(~self.o.valid | self.o.ready):
                        m.d.sync += [self.o.valid.eq(1), self.o.payload.eq(bits[1:])]
                with m.Else():
                    m.next = "break"
            with m.State("break"), m.If(line):
                m.next = "idle"
        return m


class UartTransmitter(wiring.Component):
    """Sends characters on a line, one behind the other without a gap.

    Parameters
    ----------
    divisor
        Clock cycles of a bit, 4 or more.

    Members
    -------
    i : In, stream of characters
    tx : Out, the line, high when idle; from a register
    """

    def __init__(self, divisor: Fraction | float) -> None:
        self.divisor = check_divisor(divisor)
        super().__init__({"i": In(stream.Signature(8)), "tx": Out(1, init=1)})

    def elaborate(self, platform: object) -> Module:  # noqa: ARG002
        m = Module()
        m.submodules.clock = clock = BitClock(self.divisor)
        # What follows the bit on the line, a one as the stop bit on top; nothing left means that this is on the line.
        rest = Signal(9)
        busy, end = Signal(), Signal()
        m.d.comb += [
            end.eq(clock.tick & (rest == 0)),
            self.i.ready.eq(~busy | end),
            clock.restart.eq(~busy),
        ]
        with m.If(busy & clock.tick):
            m.d.sync += [self.tx.eq(rest[0] | end), rest.eq(rest >> 1)]
            with m.If(end):
                m.d.sync += busy.eq(0)
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += [busy.eq(1), self.tx.eq(0), rest.eq(Cat(self.i.payload, Const(1, 1)))]
        return m
