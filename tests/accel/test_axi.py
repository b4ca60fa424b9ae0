"""The buses' signatures and the names of their ports."""

import pytest
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.sim import Simulator

from tritforge.accel.axi import AxiLite, AxiRead, AxiWrite, block_beats, connect_ports, port_members


def flows(signature: wiring.Signature) -> dict[str, tuple[bool, int]]:
    """Whether each port is an output, and its width."""
    members = port_members("x", signature)
    return {name.removeprefix("x_"): (member.flow is Out, member.shape) for name, member in members.items()}


def test_the_ports_of_a_read_master() -> None:
    assert flows(AxiRead(address_bits=40, data_bits=128)) == {
        "arvalid": (True, 1),
        "arready": (False, 1),
        "arid": (True, 1),
        "araddr": (True, 40),
        "arlen": (True, 8),
        "arsize": (True, 3),
        "arburst": (True, 2),
        "arlock": (True, 1),
        "arcache": (True, 4),
        "arprot": (True, 3),
        "arqos": (True, 4),
        "rvalid": (False, 1),
        "rready": (True, 1),
        "rid": (False, 1),
        "rdata": (False, 128),
        "rresp": (False, 2),
        "rlast": (False, 1),
    }


def test_the_data_and_answers_of_a_write_master() -> None:
    ports = flows(AxiWrite(address_bits=32, data_bits=64))
    assert {name: port for name, port in ports.items() if not name.startswith("aw")} == {
        "wvalid": (True, 1),
        "wready": (False, 1),
        "wdata": (True, 64),
        "wstrb": (True, 8),
        "wlast": (True, 1),
        "bvalid": (False, 1),
        "bready": (True, 1),
        "bid": (False, 1),
        "bresp": (False, 2),
    }


def test_a_slave_sees_the_other_side() -> None:
    signature = AxiLite(address_bits=12)
    master, slave = flows(signature), flows(signature.flip())
    assert len(master) == 19
    assert slave == {name: (not out, width) for name, (out, width) in master.items()}
    assert slave["awaddr"] == (False, 12)


class Wires(wiring.Component):  # type: ignore[misc]
    """Flat ports on both sides of a bus."""

    def __init__(self) -> None:
        signature = AxiLite(address_bits=12)
        super().__init__(port_members("m", signature) | port_members("s", signature.flip()))

    def elaborate(self, platform: object) -> Module:
        m = Module()
        bus = AxiLite(address_bits=12).create()
        connect_ports(m, self, "m", bus)
        connect_ports(m, self, "s", wiring.flipped(bus))
        return m


def test_flat_ports_carry_every_signal() -> None:
    dut = Wires()
    members = port_members("m", AxiLite(address_bits=12))
    simulator = Simulator(dut)

    async def bench(ctx: object) -> None:
        seen = 0
        for index, (name, member) in enumerate(members.items()):
            other = f"s_{name.removeprefix('m_')}"
            source, target = (name, other) if member.flow is In else (other, name)
            value = (index * 0x9E3779B1 | 1) % (1 << member.shape)
            ctx.set(getattr(dut, source), value)  # type: ignore[attr-defined]
            assert ctx.get(getattr(dut, target)) == value  # type: ignore[attr-defined]
            seen += 1
        assert seen == 19

    simulator.add_testbench(bench)
    simulator.run()


@pytest.mark.parametrize(
    ("burst_beats", "data_bits", "beats"), [(64, 128, 64), (256, 128, 256), (256, 256, 128), (1, 512, 1)]
)
def test_a_block_divides_4_kib(burst_beats: int, data_bits: int, beats: int) -> None:
    assert block_beats(burst_beats, data_bits) == beats
    assert 4096 % (beats * data_bits // 8) == 0
