"""Jobs over the registers: right words in the closest order, counts, interrupts and what is told of each job."""

from typing import Any

import numpy as np
import pytest
from control_host import BusHost, Surroundings, image_beats, operand_beats, results_of, run_host
from controlled import MEMORY, PITCH, assert_packets, make, place, products, start_all, start_when_free
from driving import Product, run_core

from tritforge.accel.control_config import ControlConfig
from tritforge.accel.descriptor import Response
from tritforge.accel.register_map import ID, registers


@pytest.mark.parametrize(
    ("control", "pause"),
    [
        (MEMORY, 0.3),
        (ControlConfig(), 0.0),
        (ControlConfig(queue_depth=1, in_flight=2), 0.0),
        (ControlConfig(queue_depth=16), 0.3),
    ],
    ids=["memory", "stream", "shallow", "deep"],
)
def test_jobs_follow_each_other_with_right_words_and_counts(control: ControlConfig, pause: float) -> None:
    dut, jobs, around = make(control), products(18, seed=3, m=9, k=20), Surroundings(pause=pause)
    place(dut, around, jobs)

    async def host(host: BusHost) -> None:
        await start_all(host, jobs)
        await host.wait_idle()
        assert await host.read("STARTED") == len(jobs)
        assert await host.read("COMPLETED") == len(jobs)
        assert await host.read("FAILED") == 0
        assert await host.read("ERRORS") == 0
        # 18 jobs have gone through 16 words, so each is of a completed job.
        for index in range(16):
            assert await host.fields("JOB_STATUS", index) == dict.fromkeys(
                dut.map["JOB_STATUS"].decode(0), 0
            ) | {"done": 1}

    run_host(dut, host, around, seed=1)
    assert_packets(dut, around, jobs)
    numbers = [index % 16 for index in range(len(jobs))]
    assert around.fetched == [
        (*product.shape[:2], PITCH * index, numbers[index]) for index, product in enumerate(jobs)
    ]
    assert [store["number"] for store in around.stored] == numbers


def test_queued_jobs_follow_each_other_as_closely_as_the_core_allows() -> None:
    """The registers cost some cycles before the first job and after the last, and none between them."""
    dut, around = make(), Surroundings()
    generator = np.random.default_rng(2)
    jobs = [Product.random(generator, 12, 40, 4) for _ in range(4)]
    place(dut, around, jobs)
    alone = run_core(dut.config, jobs).cycles
    cycles = 0

    async def host(host: BusHost) -> None:
        nonlocal cycles
        await start_all(host, jobs)
        await host.wait_idle()
        cycles = await host.read("CYCLES")

    run_host(dut, host, around)
    assert_packets(dut, around, jobs)
    assert alone < cycles <= alone + 10


def test_a_store_is_told_where_results_go() -> None:
    dut, jobs, around = make(), products(1, seed=5), Surroundings()
    place(dut, around, jobs)

    async def host(host: BusHost) -> None:
        await start_when_free(host, jobs[0], 0, RESULTS_LO=0x89ABCDE8, RESULT_STRIDE=0x110)
        await host.wait_idle()

    run_host(dut, host, around)
    m, _, tokens = jobs[0].shape
    assert around.stored == [{"m": m, "tokens": tokens, "address": 0x89ABCDE8, "stride": 0x110, "number": 0}]


def test_addresses_of_64_bits_reach_the_fetch() -> None:
    dut, jobs, around = make(ControlConfig(address_bits=64)), products(1, seed=5), Surroundings()
    around.images[0xFEDC_BA98_0000_1000] = image_beats(dut, jobs[0])
    around.operands.extend(operand_beats(dut, jobs[0]))

    async def host(host: BusHost) -> None:
        await host.start(*jobs[0].shape, WEIGHTS_LO=0x1000, WEIGHTS_HI=0xFEDC_BA98)
        await host.wait_idle()

    run_host(dut, host, around)
    assert_packets(dut, around, jobs)


def test_words_of_jobs_under_way_read_as_zero_until_their_end() -> None:
    dut, jobs, around = make(), products(20, seed=2, m=4, k=8), Surroundings()
    place(dut, around, jobs[:17])

    async def host(host: BusHost) -> None:
        await start_all(host, jobs[:16])
        await host.wait_idle()
        # The operands of job 17 are missing: it and those behind it stay under way.
        for index in range(16, 20):
            around.images[PITCH * index] = image_beats(dut, jobs[index])
            await start_when_free(host, jobs[index], PITCH * index)
        await host.wait_for("COMPLETED", lambda count: count == 17)
        words = [await host.read("JOB_STATUS", index) for index in range(16)]
        assert words == [1 << 31] + [0] * 3 + [1 << 31] * 12
        around.operands.extend(beat for product in jobs[17:] for beat in operand_beats(dut, product))
        await host.wait_idle()
        assert [await host.read("JOB_STATUS", index) for index in range(16)] == [1 << 31] * 16

    run_host(dut, host, around)
    assert_packets(dut, around, jobs)


def test_interrupts_come_with_their_causes_and_go_when_they_are_cleared() -> None:
    dut, jobs, around = make(), products(2, seed=4), Surroundings()
    place(dut, around, jobs)
    around.images[PITCH][0] = (0, Response.SLVERR)

    async def host(host: BusHost) -> None:
        def line() -> int:
            return int(host.ctx.get(dut.irq))

        status = dut.map["IRQ_STATUS"]
        await start_when_free(host, jobs[0], 0)
        await host.wait_idle()
        assert status.set_names(await host.read("IRQ_STATUS")) == ["done", "idle"]
        assert not line()
        await host.write("IRQ_ENABLE", status.encode(failed=1, refused=1))
        await host.ctx.tick().repeat(2)
        assert not line()
        await start_when_free(host, jobs[1], PITCH)
        await host.wait_idle()
        assert line()
        assert (await host.fields("STATUS"))["interrupt"] == 1
        assert status.set_names(await host.read("IRQ_STATUS")) == ["done", "failed", "idle"]
        await host.write("IRQ_STATUS", status.encode(failed=1))
        await host.ctx.tick().repeat(2)
        assert not line()
        assert status.set_names(await host.read("IRQ_STATUS")) == ["done", "idle"]
        await host.start(0, 0, 0)
        await host.ctx.tick().repeat(2)
        assert line()

    run_host(dut, host, around)


def test_counters_are_exact() -> None:
    """Cycles of waiting, counted at the core and the way out, against the registers, and then cleared."""
    dut, jobs = make(), products(6, seed=9, m=40, k=30)
    around = Surroundings(pause=0.6)
    place(dut, around, jobs)
    seen = dict.fromkeys(("CYCLES", "STALL_ACTIVATIONS", "STALL_OUTPUT", "STALL_WEIGHTS"), 0)

    async def count(ctx: Any) -> None:
        core = dut.core
        while True:
            *_, busy, act_ready, act_valid, out_valid, out_ready, w_ready, w_valid = await ctx.tick().sample(
                dut.busy,
                core.activations.ready,
                core.activations.valid,
                dut.results.valid,
                dut.results.ready,
                core.weights.ready,
                core.weights.valid,
            )
            seen["CYCLES"] += busy
            seen["STALL_ACTIVATIONS"] += act_ready & ~act_valid & 1
            seen["STALL_OUTPUT"] += out_valid & ~out_ready & 1
            seen["STALL_WEIGHTS"] += w_ready & ~w_valid & 1

    async def host(host: BusHost) -> None:
        await start_all(host, jobs)
        await host.wait_idle()
        await host.ctx.tick().repeat(3)
        assert min(seen.values()) > 0
        for name, expected in seen.items():
            assert await host.read(name) == expected, name
        await host.control("clear_counters")
        for name in seen:
            assert await host.read(name) == 0, name
        assert await host.read("COMPLETED") == len(jobs)

    run_host(dut, host, around, processes=(count,))


def test_partial_sums_enter_by_their_flag() -> None:
    dut, jobs = make(partial_sums=True), products(3, seed=13)
    around = Surroundings(pause=0.2)
    place(dut, around, jobs)
    for product in jobs[1:]:
        beats = -(-product.expected.size // dut.config.results_per_beat)
        around.partials.extend(5 | 5 << 32 for _ in range(beats))

    async def host(host: BusHost) -> None:
        await start_when_free(host, jobs[0], 0, JOB_FLAGS=0)
        await start_when_free(host, jobs[1], PITCH, JOB_FLAGS=1)
        await start_when_free(host, jobs[2], 2 * PITCH)
        await host.wait_idle()
        assert await host.read("ERRORS") == 0

    run_host(dut, host, around)
    for index, ((words, _), product) in enumerate(zip(around.packets, jobs, strict=True)):
        got = results_of(dut, words, product)
        np.testing.assert_array_equal(got, product.expected + (5 if index else 0))


def test_loads_name_the_activations_of_each_job() -> None:
    control = ControlConfig(results="store", activation_store_bytes=4096, result_store_bytes=4096)
    dut, jobs, around = make(control), products(5, seed=17), Surroundings(pause=0.3)
    place(dut, around, jobs)
    loads: list[tuple[int, int]] = []

    async def take(ctx: Any) -> None:
        ctx.set(dut.loads.ready, 1)
        while True:
            *_, valid, load = await ctx.tick().sample(dut.loads.valid, dut.loads.payload)
            if valid:
                loads.append((load.k, load.tokens))

    async def host(host: BusHost) -> None:
        await start_all(host, jobs)
        await host.wait_idle()

    run_host(dut, host, around, processes=(take,))
    assert loads == [product.shape[1:] for product in jobs]


def test_the_read_back_is_that_of_the_map() -> None:
    dut = make(partial_sums=True, packing="s5")
    around = Surroundings()

    async def host(host: BusHost) -> None:
        assert await host.read("ID") == ID
        for name, register in registers(dut.config, dut.control).items():
            if register.constant is not None:
                assert await host.read(name) == register.constant

    run_host(dut, host, around)
