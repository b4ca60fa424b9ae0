"""The serial port: any divisor, clocks that differ, glitches, breaks."""

import random
from fractions import Fraction
from typing import Any

import pytest
from amaranth.sim import Simulator
from driving import Source, WatchdogError

from tritforge.accel.errors import InputError
from tritforge.accel.uart import CHARACTER_BITS, UartReceiver, UartTransmitter

DIVISORS = [4, 5, 7.5, 8, 8.33, 13, 104.1667]


def seeded(*seed: object) -> random.Random:
    return random.Random(repr(seed))  # noqa: S311


class Wave:
    """A line's level over time, in cycles of the receiver's clock."""

    def __init__(self) -> None:
        self.edges: list[tuple[float, int]] = []
        self.end = 0.0

    def hold(self, level: int, cycles: float) -> None:
        self.edges.append((self.end, level))
        self.end += cycles

    def character(self, value: int, bit: float, stop: int = 1) -> None:
        for level in (0, *(value >> index & 1 for index in range(8)), stop):
            self.hold(level, bit)

    def levels(self) -> list[int]:
        """Levels at the ends of whole cycles."""
        levels, level, edges = [], 1, list(self.edges)
        for cycle in range(int(self.end) + 1):
            while edges and edges[0][0] <= cycle:
                level = edges.pop(0)[1]
            levels.append(level)
        return levels


def receive(divisor: float, wave: Wave, *, stall: bool = False) -> tuple[list[int], int]:
    """Return the characters that a receiver makes of a wave and the number of its errors."""
    dut = UartReceiver(divisor)
    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    characters: list[int] = []
    errors = 0

    async def bench(ctx: Any) -> None:
        nonlocal errors
        ctx.set(dut.o.ready, not stall)
        for level in [1] * 4 + wave.levels() + [1] * int(12 * divisor):
            ctx.set(dut.rx, level)
            *_, valid, payload, error = await ctx.tick().sample(dut.o.valid, dut.o.payload, dut.error)
            if valid and not stall:
                characters.append(payload)
            errors += error
        if stall:
            ctx.set(dut.o.ready, 1)
            *_, valid, payload = await ctx.tick().sample(dut.o.valid, dut.o.payload)
            assert valid
            characters.append(payload)

    simulator.add_testbench(bench)
    simulator.run()
    return characters, errors


@pytest.mark.parametrize("offset", [0.0, 0.3, 0.9])
@pytest.mark.parametrize("error", [-0.03, 0.0, 0.03])
@pytest.mark.parametrize("divisor", DIVISORS)
def test_characters_come_whole_from_a_clock_that_is_off(divisor: float, error: float, offset: float) -> None:
    """Back to back, with edges anywhere within the receiver's cycles."""
    if divisor < 5:
        error *= 2 / 3
    choose = seeded(divisor, error, offset)
    sent = [0x55, 0x00, 0xFF, 0x80, 0x01, *choose.randbytes(8)]
    wave = Wave()
    wave.hold(1, offset + 2)
    for value in sent:
        wave.character(value, divisor * (1 + error))
    assert receive(divisor, wave) == (sent, 0)


@pytest.mark.parametrize("divisor", [4, 16])
def test_a_clock_that_is_far_off_is_noticed(divisor: float) -> None:
    wave = Wave()
    for _ in range(20):
        wave.character(0x00, divisor * 1.3)
    _, errors = receive(divisor, wave)
    assert errors > 0


@pytest.mark.parametrize("width", [0.2, 1.0, 3.0])
def test_a_glitch_starts_no_character(width: float) -> None:
    wave = Wave()
    for _ in range(5):
        wave.hold(0, width)
        wave.hold(1, 9.7)
    wave.character(0xA5, 8)
    assert receive(8, wave) == ([0xA5], 0)


@pytest.mark.parametrize("characters", [1, 2.5, 30])
def test_a_break_is_one_error_and_the_next_character_is_right(characters: float) -> None:
    wave = Wave()
    wave.character(0x12, 8)
    wave.hold(0, characters * CHARACTER_BITS * 8)
    wave.hold(1, 20)
    wave.character(0x34, 8)
    assert receive(8, wave) == ([0x12, 0x34], 1)


def test_a_character_without_its_stop_bit_is_dropped() -> None:
    wave = Wave()
    for value, stop in ((0x21, 1), (0x43, 0), (0x65, 1)):
        wave.character(value, 10, stop)
        wave.hold(1, 10)
    assert receive(10, wave) == ([0x21, 0x65], 1)


def test_a_character_that_nobody_takes_stays_and_the_next_one_is_an_error() -> None:
    wave = Wave()
    for value in (0x21, 0x43, 0x65):
        wave.character(value, 6)
    assert receive(6, wave, stall=True) == ([0x21], 2)


def transmit(divisor: float, values: list[int], pause: float = 0.0) -> tuple[list[int], list[int]]:
    """Return the line's levels by cycles, and the cycles in which the characters were taken."""
    dut = UartTransmitter(divisor)
    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    source = Source(dut.i, values, pause)
    levels: list[int] = []

    async def watch(ctx: Any) -> None:
        limit = int((len(values) + 2) * CHARACTER_BITS * divisor * (1 + 5 * pause)) + 100
        for _ in range(limit):
            *_, level = await ctx.tick().sample(dut.tx)
            levels.append(level)
        if len(source.taken) < len(values):
            raise WatchdogError(
                f"{len(source.taken)} of {len(values)} characters were taken in {limit} cycles"
            )

    async def drive(ctx: Any) -> None:
        await source.run(ctx, seeded("pauses"))

    simulator.add_testbench(drive, background=True)
    simulator.add_testbench(watch)
    simulator.run()
    return levels, source.taken


@pytest.mark.parametrize("divisor", DIVISORS)
def test_characters_leave_without_gaps_at_the_right_pace(divisor: float) -> None:
    values = [0x55, 0x00, 0xFF, *seeded(7).randbytes(9)]
    levels, _ = transmit(divisor, values)
    start = levels.index(0)
    exact = Fraction(round(divisor * 16), 16)
    expected = [level for value in values for level in (0, *(value >> bit & 1 for bit in range(8)), 1)]
    for index, level in enumerate(expected):
        begin, end = start + exact * index, start + exact * (index + 1)
        assert set(levels[int(begin) + 1 : int(end)]) == {level}, f"bit {index}"
    assert all(levels[start + int(exact * len(expected)) + 1 :])


@pytest.mark.parametrize("pause", [0.0, 0.97])
@pytest.mark.parametrize("divisor", DIVISORS)
def test_the_receiver_understands_the_transmitter(divisor: float, pause: float) -> None:
    values = list(seeded(divisor).randbytes(12))
    levels, _ = transmit(divisor, values, pause)
    wave = Wave()
    for level in levels:
        wave.hold(level, 1)
    assert receive(divisor, wave) == (values, 0)


@pytest.mark.parametrize("divisor", [3.9, 70000])
@pytest.mark.parametrize("end", [UartReceiver, UartTransmitter])
def test_a_divisor_out_of_bounds_is_refused(end: type, divisor: float) -> None:
    with pytest.raises(InputError) as caught:
        end(divisor)
    assert str(caught.value) == (
        f"divisor is {divisor:g} clock cycles a bit; it must lie in 4 to 65536: change the baud rate"
    )
