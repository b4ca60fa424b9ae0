"""Registers behind AXI4-Lite: every access answered once, whatever the order of its channels."""

from typing import Any

import numpy as np
import pytest
from driving import Sink, Source, simulate

from tritforge.accel.axi_lite import AxiLiteRegisters

OKAY, SLVERR = 0, 2
#: Registers that there are, by word.
WORDS = 12


class Registers:
    """Words behind the register bus, which answers in the cycle after a strobe."""

    def __init__(self, bus: Any) -> None:
        self.bus = bus
        self.words = [0x1000 + index for index in range(WORDS)]
        self.reads: list[int] = []
        self.writes: list[tuple[int, int, int]] = []
        self.order: list[str] = []
        self.times: list[int] = []

    async def run(self, ctx: Any) -> None:
        bus, cycle = self.bus, 0
        async for *_, address, read, write, data, strobes in ctx.tick().sample(
            bus.address, bus.read, bus.write, bus.w_data, bus.w_strb
        ):
            cycle += 1
            assert not (read and write)
            # Only the cycle after a strobe counts: garbage in all others.
            ctx.set(bus.known, (read or write) and address < WORDS)
            ctx.set(bus.r_data, self.words[address] if read and address < WORDS else 0xDEAD)
            if read:
                self.reads.append(address)
            if write:
                self.writes.append((address, data, strobes))
                for index in range(4):
                    if strobes >> index & 1 and address < WORDS:
                        mask = 0xFF << 8 * index
                        self.words[address] = self.words[address] & ~mask | data & mask
            if read or write:
                self.order.append("read" if read else "write")
                self.times.append(cycle)


def drive(
    writes: list[tuple[int, int, int]], reads: list[int], pauses: dict[str, float], seed: int = 0
) -> tuple[Registers, list[int], list[tuple[int, int]]]:
    """Send writes (byte address, data, strobes) and reads; return what the registers saw and the responses."""
    dut = AxiLiteRegisters()
    axi, registers = dut.axi, Registers(dut.registers)
    sources = [
        Source(axi.aw, [{"addr": address, "prot": 0} for address, _, _ in writes], pauses.get("aw", 0)),
        Source(axi.w, [{"data": data, "strb": strobes} for _, data, strobes in writes], pauses.get("w", 0)),
        Source(axi.ar, [{"addr": address, "prot": 0} for address in reads], pauses.get("ar", 0)),
    ]
    answers = [Sink(axi.b, len(writes), pauses.get("b", 0)), Sink(axi.r, len(reads), pauses.get("r", 0))]
    simulate(dut, sources, answers, seed=seed, processes=[registers.run])
    return (
        registers,
        [int(item.resp) for item in answers[0].items],
        [(int(item.data), int(item.resp)) for item in answers[1].items],
    )


@pytest.mark.parametrize("seed", range(16))
def test_accesses_come_once_in_order_and_are_answered(seed: int) -> None:
    generator = np.random.default_rng(seed)
    writes = [
        (int(address), int(data), int(strobes))
        for address, data, strobes in zip(
            generator.integers(0, 4096, 40),
            generator.integers(0, 1 << 32, 40),
            generator.integers(0, 16, 40),
            strict=True,
        )
    ]
    writes += [(4 * index, 0xA5A50000 + index, 15) for index in range(WORDS)]
    reads = [int(address) for address in generator.integers(0, 96, 60)]
    pauses = {name: float(generator.choice([0, 0.3, 0.8])) for name in ("aw", "w", "ar", "b", "r")}
    registers, write_answers, read_answers = drive(writes, reads, pauses, seed)
    assert registers.writes == [(address >> 2, data, strobes) for address, data, strobes in writes]
    assert registers.reads == [address >> 2 for address in reads]
    assert write_answers == [OKAY if address < 4 * WORDS else SLVERR for address, _, _ in writes]
    assert [answer for _, answer in read_answers] == [OKAY if a < 4 * WORDS else SLVERR for a in reads]
    assert registers.words == [0xA5A50000 + index for index in range(WORDS)]


def test_a_read_gives_the_word_of_its_address() -> None:
    _, _, answers = drive([], [8, 0, 44, 45, 4092], {})
    assert answers[:4] == [(0x1002, OKAY), (0x1000, OKAY), (0x100B, OKAY), (0x100B, OKAY)]
    assert answers[4][1] == SLVERR


@pytest.mark.parametrize("first", ["aw", "w"])
def test_data_may_come_before_or_after_its_address(first: str) -> None:
    other = {"aw": "w", "w": "aw"}[first]
    registers, answers, _ = drive([(4, 7, 15)] * 5, [], {other: 0.9})
    assert registers.writes == [(1, 7, 15)] * 5
    assert answers == [OKAY] * 5


def test_reads_and_writes_take_turns() -> None:
    registers, _, _ = drive([(0, 1, 15)] * 8, [0] * 8, {})
    assert registers.order.count("read") == registers.order.count("write") == 8
    assert all(one != two for one, two in zip(registers.order[1:], registers.order[2:], strict=False))


def test_the_pace_of_accesses() -> None:
    registers, _, _ = drive([], [4] * 6, {})
    assert np.diff(registers.times).tolist() == [3] * 5
