"""Counters count each its own."""

from typing import Any

from amaranth.sim import Simulator

from tritforge.accel.counters import StallCounters


def run(dut: Any, main: Any) -> None:
    simulator = Simulator(dut)
    simulator.add_clock(1e-8)
    simulator.add_testbench(main)
    simulator.run()


def test_counters_count_each_its_own_and_are_cleared_together() -> None:
    dut = StallCounters()
    pairs = {
        "busy": "cycles",
        "weights": "stall_weights",
        "activations": "stall_activations",
        "output": "stall_output",
    }

    async def main(ctx: Any) -> None:
        for cycles, name in enumerate(pairs, start=3):
            ctx.set(getattr(dut, name), 1)
            await ctx.tick().repeat(cycles)
            ctx.set(getattr(dut, name), 0)
        await ctx.tick()
        assert [ctx.get(getattr(dut, count)) for count in pairs.values()] == [3, 4, 5, 6]
        for name in pairs:
            ctx.set(getattr(dut, name), 1)
        ctx.set(dut.clear, 1)
        await ctx.tick()
        ctx.set(dut.clear, 0)
        assert [ctx.get(getattr(dut, count)) for count in pairs.values()] == [0] * 4
        await ctx.tick().repeat(2)
        assert [ctx.get(getattr(dut, count)) for count in pairs.values()] == [1] * 4

    run(dut, main)
