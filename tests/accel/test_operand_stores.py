"""The stores of activations and results: what was written comes out, whatever pauses."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from amaranth.sim import Simulator
from driving import Sink, Source, beats, random_bench_config, simulate

from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.descriptor import Response
from tritforge.accel.operand_stores import ActivationStore, ResultStore
from tritforge.accel.store_sizes import StoreSizes
from tritforge.models.operands import pack_activations


def store_config(seed: int) -> AcceleratorConfig:
    """Draw a configuration whose ports the stores can feed."""
    config = random_bench_config(np.random.default_rng(seed), seed)
    container = config.act_container_bits
    return replace(
        config,
        partial_sums=False,
        lanes=4 * (4 if config.datapath == "fused" else 3),
        act_port_bits=4 * container,
        weight_port_bits=max(32, config.weight_port_bits),
        weight_store="bram",
    )


@pytest.mark.parametrize("pause", [0.0, 0.5])
@pytest.mark.parametrize("seed", range(5))
def test_each_load_streams_its_tokens_from_the_start_of_the_store(seed: int, pause: float) -> None:
    """Also while the host writes the words again that are there."""
    config = store_config(seed)
    generator = np.random.default_rng(seed)
    limit = 1 << (config.act_bits - 1)
    tokens, k = (
        int(generator.integers(1, config.tokens_max + 1)),
        int(generator.integers(1, config.k_max + 1)),
    )
    data = pack_activations(config, generator.integers(-limit, limit, (tokens, k)))
    dut = ActivationStore(config)
    words = beats(data, 32)

    class Late(Source):
        async def run(self, ctx: Any, choose: Any) -> None:
            await ctx.tick().repeat(len(words) + 1)
            await super().run(ctx, choose)

    async def fill(ctx: Any) -> None:
        for gap in (0, 3):
            for index, word in enumerate(words):
                ctx.set(dut.address, index)
                ctx.set(dut.data, word)
                ctx.set(dut.write, 1)
                await ctx.tick()
                ctx.set(dut.write, 0)
                for _ in range(gap):
                    await ctx.tick()

    load = {"k": k, "tokens": tokens}
    expected = beats(data, config.act_port_bits)
    sink = Sink(dut.beats, 2 * len(expected), pause)
    simulate(dut, [Late(dut.loads, [load, load])], [sink], seed=seed, processes=[fill])
    assert sink.items == expected * 2


SMALL = AcceleratorConfig(
    lanes=4,
    rows=4,
    tokens_max=2,
    k_max=256,
    m_max=8,
    act_port_bits=32,
    weight_port_bits=32,
    result_port_bits=64,
    weight_store="bram",
    weight_store_bytes=1024,
)
RESULT_BYTES = StoreSizes.of(SMALL).results


def result_beats(words: list[int]) -> list[dict[str, Any]]:
    """Cut a job's words into beats of two, the last of which may hold one."""
    pairs = [words[start : start + 2] for start in range(0, len(words), 2)]
    return [
        {"words": [*pair, 0xBAD][:2], "keep": (1 << len(pair)) - 1, "last": int(index == len(pairs) - 1)}
        for index, pair in enumerate(pairs)
    ]


def store(address: int) -> dict[str, int]:
    return {"m": 1, "tokens": 1, "address": address, "stride": 0, "number": 0}


def run_results(jobs: list[tuple[int, list[int]]], *, pause: float = 0.3) -> tuple[list[int], list[int]]:
    """Store jobs at their addresses; return the whole store and the responses."""
    dut = ResultStore(SMALL, address_bits=12)
    responses: list[int] = []
    content: list[int] = []
    sources = [
        Source(dut.stores, [store(address) for address, _ in jobs], pause),
        Source(dut.results, [beat for _, words in jobs for beat in result_beats(words)], pause),
    ]

    async def watch(ctx: Any) -> None:
        async for *_, stored, error in ctx.tick().sample(dut.stored, dut.store_error):
            if stored:
                responses.append(int(error))

    simulate(dut, sources, [], processes=[watch])

    # Again, to read: a simulation of streams has no place for a host.
    simulator = Simulator(dut)
    simulator.add_clock(1e-8)

    async def bench(ctx: Any) -> None:
        for address, words in jobs:
            ctx.set(dut.stores.payload, store(address))
            ctx.set(dut.stores.valid, 1)
            await ctx.tick().until(dut.stores.ready)
            ctx.set(dut.stores.valid, 0)
            for beat in result_beats(words):
                ctx.set(dut.results.payload, beat)
                ctx.set(dut.results.valid, 1)
                await ctx.tick().until(dut.results.ready)
                ctx.set(dut.results.valid, 0)
        for index in range(RESULT_BYTES // 4):
            ctx.set(dut.address, index)
            await ctx.tick().repeat(ResultStore.READ_CYCLES)
            content.append(ctx.get(dut.data))

    simulator.add_testbench(bench)
    simulator.run()
    return content, responses


def test_results_of_jobs_lie_where_they_were_told_to() -> None:
    first, second = list(range(100, 105)), list(range(200, 204))
    content, responses = run_results([(16, first), (0, second)])
    assert content[4:9] == first
    assert content[:4] == second
    assert content[9:] == [0] * (len(content) - 9)
    assert responses == [Response.OKAY, Response.OKAY]


@pytest.mark.parametrize("address", [RESULT_BYTES - 8, RESULT_BYTES, 4 * RESULT_BYTES - 8])
def test_results_beyond_the_end_are_thrown_away_and_told(address: int) -> None:
    kept, lost = list(range(1, 5)), list(range(11, 17))
    content, responses = run_results([(0, kept), (address, lost), (16, kept)])
    inside = max(0, (RESULT_BYTES - address) // 4)
    assert content[:8] == kept * 2
    assert content[len(content) - inside :] == lost[:inside]
    assert not any(content[8 : len(content) - inside])
    assert responses == [Response.OKAY, Response.DECERR, Response.OKAY]


def test_results_that_end_with_the_store_are_no_error() -> None:
    _, responses = run_results([(RESULT_BYTES - 16, [1, 2, 3, 4])])
    assert responses == [Response.OKAY]


def test_results_that_come_in_an_abort_are_thrown_away() -> None:
    dut = ResultStore(SMALL, address_bits=12)
    simulator = Simulator(dut)
    simulator.add_clock(1e-8)

    async def bench(ctx: Any) -> None:
        ctx.set(dut.stores.payload, store(0))
        ctx.set(dut.stores.valid, 1)
        await ctx.tick()
        ctx.set(dut.stores.valid, 0)
        ctx.set(dut.quiesce, 1)
        await ctx.tick()
        ctx.set(dut.results.payload, result_beats([5, 6])[0])
        ctx.set(dut.results.valid, 1)
        *_, ready, taken = await ctx.tick().sample(dut.results.ready, dut.stored)
        assert ready
        assert not taken
        ctx.set(dut.results.valid, 0)
        ctx.set(dut.quiesce, 0)
        await ctx.tick().repeat(3)
        assert not ctx.get(dut.stored)
        assert not ctx.get(dut.results.ready), "no job is there that results could belong to"
        await ctx.tick().repeat(3)
        assert ctx.get(dut.data) == 0

    simulator.add_testbench(bench)
    simulator.run()
