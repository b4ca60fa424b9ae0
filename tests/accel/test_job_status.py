"""Causes of several jobs under way stay apart, and the words of the last sixteen jobs are theirs."""

import random
from collections import deque
from typing import Any

import pytest
from amaranth.sim import Simulator

from tritforge.accel.control_config import ControlConfig
from tritforge.accel.descriptor import Response
from tritforge.accel.job_status import BEAT_CAUSES, ILLEGAL_LATENCY, JobStatus, WeightCauses
from tritforge.accel.register_map import (
    ABORTED,
    DONE,
    ILLEGAL_TRIT,
    STORE_DECERR,
    STORE_SLVERR,
    WEIGHT_DECERR,
    WEIGHT_SLVERR,
)


def run(dut: Any, main: Any) -> None:
    simulator = Simulator(dut)
    simulator.add_clock(1e-8)
    simulator.add_testbench(main)
    simulator.run()


@pytest.mark.parametrize("in_flight", [2, 4, 16])
def test_causes_are_of_the_job_whose_beat_brought_them(in_flight: int) -> None:
    """Jobs begin with the last beat of the one before, an illegal word shows while the next one's beats come."""
    dut, choose = WeightCauses(ControlConfig(in_flight=in_flight, queue_depth=2)), random.Random(in_flight)  # noqa: S311
    print(f"seed {in_flight}")
    responses = (Response.OKAY, Response.OKAY, Response.EXOKAY, Response.SLVERR, Response.DECERR)
    expected: deque[set[int]] = deque()
    checked = 0

    async def main(ctx: Any) -> None:
        nonlocal checked
        illegal: deque[int] = deque([0] * ILLEGAL_LATENCY)
        number, oldest, settled = -1, 0, 0
        for _ in range(600):
            taken = number >= 0 and choose.random() < 0.8
            begins = len(expected) < in_flight and choose.random() < 0.3
            error, wrong = choose.choice(responses), taken and choose.random() < 0.15
            ctx.set(dut.taken, taken)
            ctx.set(dut.error, error)
            ctx.set(dut.begun, begins)
            illegal.append(wrong)
            ctx.set(dut.illegal, illegal.popleft())
            # A job ends a while after its last beat, as the pipeline sees to.
            ended = len(expected) > 1 and choose.random() < 0.2 and settled >= ILLEGAL_LATENCY + 1
            ctx.set(dut.number, oldest % 16)
            ctx.set(dut.clear, ended)
            if ended:
                causes = {bit for index, bit in enumerate(BEAT_CAUSES) if ctx.get(dut.causes) >> index & 1}
                assert causes == expected.popleft(), oldest
                oldest, checked = oldest + 1, checked + 1
            if taken:
                causes = {Response.SLVERR: {WEIGHT_SLVERR}, Response.DECERR: {WEIGHT_DECERR}}.get(
                    error, set()
                )
                expected[-1].update(causes | ({ILLEGAL_TRIT} if wrong else set()))
            settled = 0 if begins else settled + 1 if number >= 0 else 0
            if begins:
                number += 1
                expected.append(set())
            await ctx.tick()

    run(dut, main)
    assert checked > 30


def test_a_restart_forgets_all_and_goes_on_with_the_number_that_it_is_given() -> None:
    dut = WeightCauses(ControlConfig())

    async def main(ctx: Any) -> None:
        ctx.set(dut.begun, 1)
        await ctx.tick()
        ctx.set(dut.begun, 0)
        ctx.set(dut.taken, 1)
        ctx.set(dut.error, Response.DECERR)
        await ctx.tick()
        ctx.set(dut.taken, 0)
        ctx.set(dut.restart, 1)
        ctx.set(dut.next, 9)
        await ctx.tick().repeat(2)
        ctx.set(dut.restart, 0)
        await ctx.tick().repeat(ILLEGAL_LATENCY + 1)
        for number in range(16):
            ctx.set(dut.number, number)
            assert ctx.get(dut.causes) == 0
        ctx.set(dut.begun, 1)
        await ctx.tick()
        ctx.set(dut.begun, 0)
        ctx.set(dut.taken, 1)
        await ctx.tick()
        ctx.set(dut.taken, 0)
        await ctx.tick().repeat(ILLEGAL_LATENCY + 1)
        for number in range(16):
            ctx.set(dut.number, number)
            assert bool(ctx.get(dut.causes)) == (number == 9)

    run(dut, main)


@pytest.mark.parametrize(
    ("inputs", "bits"),
    [
        ({}, 0),
        ({"causes": 0b111}, 1 << ILLEGAL_TRIT | 1 << WEIGHT_SLVERR | 1 << WEIGHT_DECERR),
        ({"causes": 0b100}, 1 << WEIGHT_DECERR),
        ({"store_error": Response.SLVERR}, 1 << STORE_SLVERR),
        ({"store_error": Response.DECERR}, 1 << STORE_DECERR),
        ({"store_error": Response.EXOKAY}, 0),
        ({"aborted": 1}, 1 << ABORTED),
    ],
    ids=str,
)
def test_a_completed_job_s_word_has_its_causes(inputs: dict[str, int], bits: int) -> None:
    dut = JobStatus()

    async def main(ctx: Any) -> None:
        ctx.set(dut.number, 1)
        ctx.set(dut.in_flight, 1)
        for name, value in inputs.items():
            ctx.set(getattr(dut, name), value)
        await ctx.tick()
        assert (ctx.get(dut.completed), ctx.get(dut.word)) == (0, 0)
        ctx.set(dut.ended, 1)
        await ctx.tick()
        ctx.set(dut.ended, 0)
        assert (ctx.get(dut.completed), ctx.get(dut.word)) == (1, bits)
        await ctx.tick()
        ctx.set(dut.in_flight, 0)
        assert (ctx.get(dut.completed), ctx.get(dut.word)) == (0, 0)
        await ctx.tick()
        assert ctx.get(dut.status) == 1 << DONE | bits

    run(dut, main)


def test_words_follow_the_jobs_round_and_round() -> None:
    """150 jobs with as many causes, several under way: each slot shows its latest job once that is completed."""
    dut, choose = JobStatus(), random.Random(1)  # noqa: S311
    last: dict[int, int | None] = dict.fromkeys(range(16))
    shown_words = 0

    async def main(ctx: Any) -> None:
        nonlocal shown_words
        started = ended = 0
        flight, done = 0, (0, 0)
        while ended < 150:
            starts = flight < 16 and choose.random() < 0.4
            ends = started > ended and choose.random() < 0.3
            causes = choose.randrange(8)
            completed = ctx.get(dut.completed)
            ctx.set(dut.ended, ends)
            ctx.set(dut.causes, causes)
            index = choose.randrange(16)
            ctx.set(dut.index, index)
            shown = last[index]
            await ctx.tick()
            assert ctx.get(dut.status) == (0 if shown is None else 1 << DONE | shown), (started, ended, index)
            shown_words += shown is not None
            if completed:
                flight -= 1
                last[done[0]] = done[1]
            if ends:
                word = sum(1 << bit for place, bit in enumerate(BEAT_CAUSES) if causes >> place & 1)
                done = (ended % 16, word)
                ended += 1
            if starts:
                last[started % 16] = None
                started, flight = started + 1, flight + 1
            ctx.set(dut.number, started % 16)
            ctx.set(dut.in_flight, flight)

    run(dut, main)
    assert shown_words > 50
