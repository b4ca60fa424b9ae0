"""Signatures of the AXI buses, and the port names under which FPGA tools know them.

A channel is a stream whose payload holds its signals, so ``ar.payload.addr`` is ARADDR and ``ar.valid`` ARVALID.
Signals as in AMBA AXI and ACE Protocol Specification, IHI 0022H: sections A2 (AXI4) and B1 (AXI4-Lite).
"""

import enum

from amaranth.hdl import Module, Shape, Value
from amaranth.lib import stream, wiring
from amaranth.lib.data import StructLayout
from amaranth.lib.wiring import In, Member, Out

from tritforge.accel.config import AcceleratorConfig

#: Identifiers are there because interconnects ask for them; the masters use one, so all is answered in order.
ID_BITS = 1
LENGTH_BITS = 8
RESPONSE_BITS = 2
#: No burst crosses a multiple of this many bytes.
BOUNDARY_BYTES = 4096


class Burst(enum.IntEnum):
    """Values of ARBURST and AWBURST."""

    FIXED = 0
    INCR = 1
    WRAP = 2


#: ARCACHE and AWCACHE of the masters: normal memory, not cacheable, bufferable, as most interconnects advise.
CACHE = 0b0011


def address_layout(address_bits: int) -> StructLayout:
    """Layout of the read or the write address channel of AXI4."""
    return StructLayout(
        {
            "id": ID_BITS,
            "addr": address_bits,
            "len": LENGTH_BITS,
            "size": 3,
            "burst": 2,
            "lock": 1,
            "cache": 4,
            "prot": 3,
            "qos": 4,
        }
    )


class AxiRead(wiring.Signature):
    """The read channels of AXI4, seen from the master.

    Parameters
    ----------
    address_bits
        Width of a byte address.
    data_bits
        Width of a beat: a power of two, 32 to 512 for our masters.
    """

    def __init__(self, *, address_bits: int, data_bits: int) -> None:
        self.address_bits, self.data_bits = address_bits, data_bits
        data = {"id": ID_BITS, "data": data_bits, "resp": RESPONSE_BITS, "last": 1}
        super().__init__(
            {
                "ar": Out(stream.Signature(address_layout(address_bits))),
                "r": In(stream.Signature(StructLayout(data))),
            }
        )


class AxiWrite(wiring.Signature):
    """The write channels of AXI4, seen from the master; parameters as of `AxiRead`."""

    def __init__(self, *, address_bits: int, data_bits: int) -> None:
        self.address_bits, self.data_bits = address_bits, data_bits
        super().__init__(
            {
                "aw": Out(stream.Signature(address_layout(address_bits))),
                "w": Out(
                    stream.Signature(StructLayout({"data": data_bits, "strb": data_bits // 8, "last": 1}))
                ),
                "b": In(stream.Signature(StructLayout({"id": ID_BITS, "resp": RESPONSE_BITS}))),
            }
        )


class AxiLite(wiring.Signature):
    """AXI4-Lite with words of 32 bits, seen from the master.

    Parameters
    ----------
    address_bits
        Width of a byte address within the slave.
    """

    def __init__(self, *, address_bits: int) -> None:
        self.address_bits = address_bits
        address = stream.Signature(StructLayout({"addr": address_bits, "prot": 3}))
        super().__init__(
            {
                "aw": Out(address),
                "w": Out(stream.Signature(StructLayout({"data": 32, "strb": 4}))),
                "b": In(stream.Signature(StructLayout({"resp": RESPONSE_BITS}))),
                "ar": Out(address),
                "r": In(stream.Signature(StructLayout({"data": 32, "resp": RESPONSE_BITS}))),
            }
        )


def block_beats(burst_beats: int, data_bits: int) -> int:
    """Return the beats of a block, a power of two: a burst ends where a block of memory does.

    Blocks are as long as a burst may be but divide `BOUNDARY_BYTES`, so no burst that stays in its block crosses a
    boundary, and the length of a burst follows from the low bits of its address without a comparison.
    """
    return min(burst_beats, BOUNDARY_BYTES * 8 // data_bits)


def drive_address(m: Module, payload: Value, data_bits: int) -> None:
    """Drive the signals of an address channel that never change: INCR bursts of whole beats, one identifier."""
    m.d.comb += [
        payload.size.eq((data_bits // 8).bit_length() - 1),
        payload.burst.eq(Burst.INCR),
        payload.cache.eq(CACHE),
    ]


def port_members(prefix: str, signature: wiring.Signature) -> dict[str, Member]:
    """Return the members of a component that has a bus as flat ports, such as ``m_axi_weights_araddr``.

    Parameters
    ----------
    prefix
        Of the names: ``m_axi_weights``.
    signature
        Of the bus, as the component sees it: that of a slave is flipped.
    """
    members: dict[str, Member] = {}
    for channel, member in signature.members.items():
        there, back = (Out, In) if member.flow is Out else (In, Out)
        name = f"{prefix}_{channel}"
        members |= {f"{name}valid": there(1), f"{name}ready": back(1)}
        layout = member.signature.members["payload"].shape
        members |= {f"{name}{field}": there(Shape.cast(part.shape).width) for field, part in layout}
    return members


def connect_ports(m: Module, component: wiring.Component, prefix: str, bus: wiring.PureInterface) -> None:
    """Connect the flat ports of `port_members` to the bus of a block inside the component."""
    for channel, member in bus.signature.members.items():
        inner, name = getattr(bus, channel), f"{prefix}_{channel}"
        there = [(getattr(component, f"{name}valid"), inner.valid)]
        there += [
            (getattr(component, f"{name}{field}"), Value.cast(inner.payload[field]))
            for field, _ in inner.payload.shape()
        ]
        back = [(inner.ready, getattr(component, f"{name}ready"))]
        if member.flow is Out:
            m.d.comb += [port.eq(signal) for port, signal in [*there, *back]]
        else:
            m.d.comb += [signal.eq(port) for port, signal in [*there, *back]]


def read_bus(config: AcceleratorConfig, address_bits: int) -> AxiRead:
    """Return the bus of an accelerator's weights."""
    return AxiRead(address_bits=address_bits, data_bits=config.weight_port_bits)


def write_bus(config: AcceleratorConfig, address_bits: int) -> AxiWrite:
    """Return the bus of an accelerator's results."""
    return AxiWrite(address_bits=address_bits, data_bits=config.result_port_bits)
