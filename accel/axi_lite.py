"""AXI4-Lite slave: accesses of the host, one at a time, as strobes of the register bus."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from tritforge.accel.axi import AxiLite
from tritforge.accel.descriptor import Response
from tritforge.accel.register_bus import ADDRESS_BITS, RegisterBus

#: Bits of a byte address: a page of registers.
BYTE_ADDRESS_BITS = ADDRESS_BITS + 2


class AxiLiteRegisters(wiring.Component):
    """Takes one write and one read at a time from AXI4-Lite and gives them to the registers in turn.

    An address and data of a write may come in any order. An access to an address without a register is answered with
    SLVERR. The lowest two bits of an address are of no account.

    Members
    -------
    axi : In, `AxiLite`
    registers : Out, `RegisterBus`

    Ready and valid are registers. A read or a write that nothing holds up is answered 3 cycles after its address was
    taken, and the next one may come meanwhile: an access in 3 cycles.
    """

    def __init__(self) -> None:
        super().__init__(
            {"axi": In(AxiLite(address_bits=BYTE_ADDRESS_BITS)), "registers": Out(RegisterBus())}
        )

    def elaborate(self, platform: object) -> Module:  # noqa: ARG002
        m = Module()
        axi, bus = self.axi, self.registers
        # What was taken and waits for its strobe, by channel.
        waits, held = {}, {}
        for name in ("aw", "w", "ar"):
            channel = getattr(axi, name)
            waits[name] = wait = Signal(name=f"{name}_waits")
            held[name] = payload = Signal(channel.payload.shape(), name=f"{name}_held")
            m.d.comb += channel.ready.eq(~wait)
            with m.If(channel.valid & channel.ready):
                m.d.sync += [wait.eq(1), payload.eq(channel.payload)]

        # The cycle after a strobe, in which the registers answer, and who comes first if both could.
        writing, reading, write_first = Signal(), Signal(), Signal()
        may_write, may_read, idle = Signal(), Signal(), Signal()
        m.d.comb += [
            idle.eq(~writing & ~reading),
            may_write.eq(idle & waits["aw"] & waits["w"] & ~axi.b.valid),
            may_read.eq(idle & waits["ar"] & ~axi.r.valid),
            bus.write.eq(may_write & (write_first | ~may_read)),
            bus.read.eq(may_read & ~bus.write),
            bus.address.eq(Mux(bus.write, held["aw"].addr[2:], held["ar"].addr[2:])),
            bus.w_data.eq(held["w"].data),
            bus.w_strb.eq(held["w"].strb),
        ]
        m.d.sync += [writing.eq(bus.write), reading.eq(bus.read)]
        with m.If(bus.write):
            m.d.sync += [waits["aw"].eq(0), waits["w"].eq(0), write_first.eq(0)]
        with m.If(bus.read):
            m.d.sync += [waits["ar"].eq(0), write_first.eq(1)]

        response = Mux(bus.known, Response.OKAY, Response.SLVERR)
        for channel, answered in ((axi.b, writing), (axi.r, reading)):
            with m.If(channel.ready):
                m.d.sync += channel.valid.eq(0)
            with m.If(answered):
                m.d.sync += [channel.valid.eq(1), channel.payload.resp.eq(response)]
        with m.If(reading):
            m.d.sync += axi.r.payload.data.eq(bus.r_data)
        return m
