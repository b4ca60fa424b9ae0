"""The countdown: its last step is known in a register, whatever the count and the step."""

from typing import Any

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.sim import Simulator
from hypothesis import given
from hypothesis import strategies as st

from tritforge.accel.countdown import Countdown


class Counter(wiring.Component):  # type: ignore[misc]
    """A countdown with its methods at ports."""

    def __init__(self, high: int, step: int) -> None:
        self.high, self.step = high, step
        super().__init__(
            {"load": In(1), "count": In(range(high + 1)), "wrap": In(1), "advance": In(1), "last": Out(1)}
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        countdown = Countdown("count", self.high, self.step)
        m.d.comb += self.last.eq(countdown.last)
        with m.If(self.wrap):
            countdown.wrap(m)
        with m.If(self.advance):
            countdown.advance(m)
        with m.If(self.load):
            countdown.load(m, self.count)
        keep = Signal()
        m.d.sync += keep.eq(~keep)
        return m


def lasts(high: int, step: int, count: int, steps: int, *, wrap: bool) -> list[bool]:
    """Return `last` before each of some steps from a count on."""
    dut = Counter(high, step)
    seen: list[bool] = []

    async def drive(ctx: Any) -> None:
        ctx.set(dut.count, count)
        ctx.set(dut.load, 1)
        await ctx.tick()
        ctx.set(dut.load, 0)
        ctx.set(dut.wrap if wrap else dut.advance, 1)
        for _ in range(steps):
            seen.append(bool(ctx.get(dut.last)))
            await ctx.tick()

    simulator = Simulator(dut)
    simulator.add_clock(1e-8)
    simulator.add_testbench(drive)
    simulator.run()
    return seen


numbers = st.integers(1, 40).flatmap(
    lambda high: st.tuples(st.just(high), st.integers(1, 50), st.integers(1, high))
)


@given(numbers)
def test_the_last_step_is_the_one_that_leaves_nothing(numbers: tuple[int, int, int]) -> None:
    high, step, count = numbers
    steps = -(-count // step)
    assert lasts(high, step, count, steps, wrap=False) == [False] * (steps - 1) + [True]


@given(numbers)
def test_a_wrap_starts_again_behind_the_last_step(numbers: tuple[int, int, int]) -> None:
    high, step, count = numbers
    once = [False] * (-(-count // step) - 1) + [True]
    assert lasts(high, step, count, 3 * len(once), wrap=True) == 3 * once
