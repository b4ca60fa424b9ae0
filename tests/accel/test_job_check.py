"""A job is judged by its bounds, whatever its other parameters are."""

from typing import Any

import pytest
from amaranth.sim import Simulator
from hypothesis import given, settings
from hypothesis import strategies as st

from tritforge.accel.control_config import ControlConfig
from tritforge.accel.job_check import JobCheck
from tritforge.accel.presets import PRESETS

TINY = PRESETS["tiny"]


def run(dut: Any, main: Any) -> None:
    simulator = Simulator(dut)
    simulator.add_clock(1e-8)
    simulator.add_testbench(main)
    simulator.run()


NEAR = {
    "m": st.sampled_from([0, 1, 2, TINY.m_max - 1, TINY.m_max, TINY.m_max + 1, 511]),
    "k": st.sampled_from([0, 1, TINY.k_max, TINY.k_max + 1, 127]),
    "tokens": st.sampled_from([0, 1, TINY.tokens_max, TINY.tokens_max + 1, 7]),
    "weights": st.integers(0, 17),
    "results": st.integers(0, 17),
    "stride": st.integers(0, 17),
    "job_beyond": st.booleans(),
    "address_beyond": st.booleans(),
}


@pytest.mark.parametrize("results", ["stream", "store", "memory"])
@settings(max_examples=20, deadline=None)
@given(jobs=st.lists(st.fixed_dictionaries(NEAR), min_size=20, max_size=20))
def test_a_job_s_verdict_is_that_of_its_bounds(results: str, jobs: list[dict[str, int]]) -> None:
    dut = JobCheck(TINY, ControlConfig(results=results))

    async def main(ctx: Any) -> None:
        for job in jobs:
            for name in ("m", "k", "tokens"):
                ctx.set(dut.parameters.job[name], job[name])
            for name in ("weights", "results", "stride"):
                ctx.set(dut.parameters[name], job[name])
            ctx.set(dut.job_beyond, job["job_beyond"])
            ctx.set(dut.address_beyond, job["address_beyond"])
            await ctx.tick().repeat(2)
            bounds = {"m": TINY.m_max, "k": TINY.k_max, "tokens": TINY.tokens_max}
            illegal = job["job_beyond"] or any(not 1 <= job[name] <= high for name, high in bounds.items())
            # Weight beats of 4 bytes, result beats of 8.
            odd = job["weights"] % 4 != 0
            odd |= results != "stream" and job["results"] % 8 != 0
            odd |= results == "memory" and job["stride"] % 8 != 0
            verdict = (ctx.get(dut.illegal), ctx.get(dut.misaligned), ctx.get(dut.out_of_range))
            assert verdict == (illegal, odd, job["address_beyond"]), job

    run(dut, main)


def test_nothing_is_legal_before_it_was_compared() -> None:
    dut = JobCheck(TINY, ControlConfig())

    async def main(ctx: Any) -> None:
        for name in ("m", "k", "tokens"):
            ctx.set(dut.parameters.job[name], 1)
        assert ctx.get(dut.found) == 0b111
        await ctx.tick()
        assert ctx.get(dut.found) == 0
        assert (ctx.get(dut.illegal), ctx.get(dut.misaligned), ctx.get(dut.out_of_range)) == (1, 1, 1)
        await ctx.tick()
        assert (ctx.get(dut.illegal), ctx.get(dut.misaligned), ctx.get(dut.out_of_range)) == (0, 0, 0)

    run(dut, main)
