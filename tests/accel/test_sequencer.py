"""The sequencer alone: the order of its tokens, and what it waits for."""

from itertools import pairwise
from typing import Any

import pytest
from amaranth.sim import Simulator

from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.presets import PRESETS
from tritforge.accel.sequencer import Sequencer

TINY = PRESETS["tiny"]
CONFIG = AcceleratorConfig.from_dict({"m_max": 12, "tokens_max": 3}, base=TINY)


def issues(
    config: AcceleratorConfig,
    jobs: list[tuple[int, int, int]],
    *,
    tile_every: int = 1,
    pop_every: int = 1,
    cycles: int = 400,
) -> list[dict[str, int]]:
    """Run jobs with a tile offered and a result taken every so many cycles; return what was issued.

    The word shown is the one addressed in the cycle of the issue.
    """
    dut = Sequencer(config)
    seen: list[dict[str, int]] = []
    released: list[int] = []

    async def drive(ctx: Any) -> None:
        waiting = list(jobs)
        held = 0
        tile_age = 0
        for cycle in range(cycles):
            ctx.set(dut.loaded.valid, bool(waiting))
            if waiting:
                m, k, tokens = waiting[0]
                stride = config.k_tiles(k)
                job = {"m": m, "k": k, "tokens": tokens}
                ctx.set(
                    dut.loaded.payload,
                    {"job": job, "stride": stride, "words": stride * tokens, "single": stride == 1},
                )
            ctx.set(dut.tile_valid, tile_age >= tile_every - 1)
            pop = held > 0 and cycle % pop_every == 0
            ctx.set(dut.popped, pop)
            if ctx.get(dut.issue.valid):
                issue = ctx.get(dut.issue)
                seen.append(
                    {name: int(getattr(issue, name)) for name in ("first", "last", "bias_end", "token")}
                    | {"swap": ctx.get(dut.swap), "word": ctx.get(dut.address), "cycle": cycle}
                )
                held += int(issue.last)
            held -= pop
            tile_age = 0 if ctx.get(dut.swap) else tile_age + 1
            if ctx.get(dut.release):
                released.append(ctx.get(dut.release))
            if waiting and ctx.get(dut.loaded.ready):
                waiting.pop(0)
            assert held <= config.result_entries, "an entry was issued without room for it"
            await ctx.tick()

    simulator = Simulator(dut)
    simulator.add_clock(1e-8)
    simulator.add_testbench(drive)
    simulator.run()
    assert released == [config.k_tiles(k) * tokens for _, k, tokens in jobs]
    return seen


def expected(config: AcceleratorConfig, jobs: list[tuple[int, int, int]]) -> list[dict[str, int]]:
    """Row tiles, in them tiles along K, in them tokens; jobs lie in the buffer one behind the other."""
    result = []
    base = 0
    for m, k, tokens in jobs:
        tiles = config.k_tiles(k)
        result += [
            {
                "first": int(tile == 0),
                "last": int(tile == tiles - 1),
                "bias_end": int(tile == 0 and token == tokens - 1),
                "token": token,
                "swap": int(token == 0),
                "word": (base + token * tiles + tile) % config.buffer_words,
            }
            for _ in range(config.row_tiles(m))
            for tile in range(tiles)
            for token in range(tokens)
        ]
        base += tiles * tokens
    return result


JOBS = [(12, 64, 3), (1, 1, 1), (5, 9, 2), (12, 24, 3), (4, 8, 1), (9, 17, 3)]


@pytest.mark.parametrize("tile_every", [1, 2, 7])
@pytest.mark.parametrize("pop_every", [1, 3, 11])
def test_tokens_come_in_order_with_their_words(tile_every: int, pop_every: int) -> None:
    seen = issues(CONFIG, JOBS, tile_every=tile_every, pop_every=pop_every, cycles=900)
    for issue in seen:
        del issue["cycle"]
    assert seen == expected(CONFIG, JOBS)


def test_a_token_is_issued_every_cycle_across_tiles_and_jobs() -> None:
    jobs = [(12, 64, 3), (4, 8, 1), (12, 64, 3)]
    cycles = [issue["cycle"] for issue in issues(CONFIG, jobs)]
    assert cycles == list(range(cycles[0], cycles[0] + len(cycles)))


def test_a_tile_that_is_late_delays_its_first_token_alone() -> None:
    seen = issues(CONFIG, [(4, 24, 3)], tile_every=5)
    gaps = [after["cycle"] - before["cycle"] for before, after in pairwise(seen)]
    assert gaps == [1, 1, 3, 1, 1, 3, 1, 1]


def test_without_results_taken_only_as_many_tokens_end_as_there_are_places() -> None:
    dut_entries = CONFIG.result_entries
    with pytest.raises(AssertionError):
        issues(CONFIG, [(12, 8, 3)] * 2, pop_every=10_000)
    seen = issues(CONFIG, [(12, 8, 3)], pop_every=60, cycles=600)
    early = [issue for issue in seen if issue["cycle"] < 59]
    assert len(early) == dut_entries
