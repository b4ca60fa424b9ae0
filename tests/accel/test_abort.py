"""An abort waits for each far end, then ends the jobs one a cycle; result packets stay whole."""

import random
from typing import Any

import pytest
from amaranth.sim import Simulator

from tritforge.accel.abort import SETTLE_CYCLES, AbortControl, ResultGate
from tritforge.accel.presets import PRESETS


def run(dut: Any, main: Any) -> None:
    simulator = Simulator(dut)
    simulator.add_clock(1e-8)
    simulator.add_testbench(main)
    simulator.run()


def test_nothing_happens_without_a_request() -> None:
    dut = AbortControl()

    async def main(ctx: Any) -> None:
        for name in ("quiet", "sent", "left", "done"):
            ctx.set(getattr(dut, name), 1)
        for _ in range(3 * SETTLE_CYCLES):
            await ctx.tick()
            assert (ctx.get(dut.aborting), ctx.get(dut.retire)) == (0, 0)

    run(dut, main)


@pytest.mark.parametrize("jobs", [0, 1, 5])
def test_jobs_are_ended_one_a_cycle_when_all_is_at_rest(jobs: int) -> None:
    dut = AbortControl()

    async def main(ctx: Any) -> None:
        for name in ("request", "quiet", "sent"):
            ctx.set(getattr(dut, name), 1)
        await ctx.tick()
        ctx.set(dut.request, 0)
        left, cycles, retired = jobs, 0, 0
        ctx.set(dut.left, left > 0)
        ctx.set(dut.done, left == 0)
        while ctx.get(dut.aborting):
            cycles += 1
            assert cycles < 100
            if ctx.get(dut.retire):
                assert cycles > SETTLE_CYCLES
                left, retired = left - 1, retired + 1
            await ctx.tick()
            ctx.set(dut.left, left > 0)
            ctx.set(dut.done, left == 0)
        assert retired == jobs
        assert cycles == SETTLE_CYCLES + 1 + jobs

    run(dut, main)


@pytest.mark.parametrize("name", ["quiet", "sent", "offered"])
def test_each_far_end_keeps_it_waiting(name: str) -> None:
    dut = AbortControl()

    async def main(ctx: Any) -> None:
        ctx.set(dut.request, 1)
        for other in ("quiet", "sent", "done"):
            ctx.set(getattr(dut, other), 1)
        ctx.set(getattr(dut, name), name == "offered")
        await ctx.tick()
        ctx.set(dut.request, 0)
        for _ in range(4 * SETTLE_CYCLES):
            await ctx.tick()
            assert ctx.get(dut.aborting)
        ctx.set(getattr(dut, name), name != "offered")
        await ctx.tick().repeat(SETTLE_CYCLES + 3)
        assert not ctx.get(dut.aborting)

    run(dut, main)


def test_a_beat_now_and_then_starts_the_wait_for_the_source_anew() -> None:
    dut = AbortControl()

    async def main(ctx: Any) -> None:
        for name in ("request", "quiet", "sent", "done"):
            ctx.set(getattr(dut, name), 1)
        await ctx.tick()
        ctx.set(dut.request, 0)
        for _ in range(5):
            await ctx.tick().repeat(SETTLE_CYCLES - 1)
            ctx.set(dut.offered, 1)
            await ctx.tick()
            ctx.set(dut.offered, 0)
            assert ctx.get(dut.aborting)

    run(dut, main)


@pytest.mark.parametrize("seed", range(3))
def test_packets_that_an_abort_cuts_off_are_ended_by_a_null_beat(seed: int) -> None:
    print(f"seed {seed}")
    dut, choose = ResultGate(PRESETS["tiny"]), random.Random(seed)  # noqa: S311
    sent: list[tuple[int, int]] = []
    came: list[tuple[int, int, int]] = []
    aborts = nulls = 0

    async def main(ctx: Any) -> None:
        nonlocal aborts, nulls
        offered, aborting = None, False
        for cycle in range(1500):
            if aborting and ctx.get(dut.sent):
                aborting, aborts = False, aborts + 1
            elif not aborting and choose.random() < 0.02:
                # The core is reset: what it offers is gone.
                aborting, offered = True, None
            if offered is None and choose.random() < 0.6:
                offered = (cycle, int(choose.random() < 0.2))
            ctx.set(dut.aborting, aborting)
            ctx.set(dut.i.valid, offered is not None)
            if offered is not None:
                beat = {"words": [offered[0], 0], "keep": 1, "last": offered[1]}
                ctx.set(dut.i.payload, beat)
            ctx.set(dut.o.ready, choose.random() < 0.6)
            *_, taken, valid, ready, payload = await ctx.tick().sample(
                dut.i.ready, dut.o.valid, dut.o.ready, dut.o.payload
            )
            if aborting:
                offered = None  # thrown away, whatever `ready` said
            elif offered is not None and taken:
                sent.append(offered)
                offered = None
            if valid and ready:
                came.append((payload.words[0], payload.last, payload.keep))

    run(dut, main)
    nulls = sum(keep == 0 for *_, keep in came)
    kept = [(word, last) for word, last, keep in came if keep]
    assert kept == sent[: len(kept)]
    assert len(sent) - len(kept) <= 2
    assert all(last for _, last, keep in came if not keep)
    # A null beat never comes between packets.
    assert all(not came[index - 1][1] for index in range(1, len(came)) if not came[index][2])
    assert nulls > 3
    assert aborts > nulls
