"""Aborts over the registers: at any time, and nothing is left behind."""

import random

import numpy as np
import pytest
from control_host import BusHost, Surroundings, image_beats, operand_beats, results_of, run_host
from controlled import PITCH, assert_packets, make, place, products, start_all, start_when_free
from driving import Product


@pytest.mark.parametrize("seed", range(6))
def test_an_abort_at_any_time_leaves_nothing_behind(seed: int) -> None:
    choose = random.Random(seed)  # noqa: S311
    dut = make(partial_sums=seed % 3 == 2)
    jobs, after = products(8, seed=40 + seed, k=30), products(3, seed=60 + seed, k=20)
    around = Surroundings(pause=choose.choice([0.0, 0.3, 0.6]))
    place(dut, around, jobs)
    before = 0

    async def host(host: BusHost) -> None:
        nonlocal before
        aborting = dut.map["STATUS"]["aborting"].mask
        for index, product in enumerate(jobs[: choose.randrange(9)]):
            await start_when_free(host, product, PITCH * index)
        await host.ctx.tick().repeat(choose.randrange(1, 120))
        # The host stops its source before it aborts; a beat that is offered stays offered.
        around.operands.clear()
        completed = await host.read("COMPLETED")
        await host.control("abort")
        await host.start(*jobs[0].shape, WEIGHTS_LO=0)
        assert "start_in_abort" in dut.map["ERRORS"].set_names(await host.read("ERRORS"))
        await host.wait_for("STATUS", lambda word: not word & aborting)
        started = await host.read("STARTED")
        assert await host.read("COMPLETED") == started
        assert (await host.fields("STATUS"))["busy"] == 0
        words = [await host.fields("JOB_STATUS", index) for index in range(started)]
        assert all(word["done"] for word in words)
        ended = [index for index, word in enumerate(words) if not word["aborted"]]
        assert ended == list(range(len(ended)))
        assert completed <= len(ended) <= started
        assert await host.read("FAILED") == started - len(ended)
        await host.write("ERRORS", 0xFFFFFFFF)
        before = len(around.packets)
        for index, product in enumerate(after):
            around.images[PITCH * index] = image_beats(dut, product)
            around.operands.extend(operand_beats(dut, product))
        await start_all(host, after)
        await host.wait_idle()
        assert await host.read("ERRORS") == 0
        assert await host.read("COMPLETED") == await host.read("STARTED") == started + len(after)

    run_host(dut, host, around, seed=seed)
    # What left before the abort is right; at most the last packet was cut off, and what came of it is right too.
    for (words, null), product in zip(around.packets[:before], jobs, strict=False):
        if null:
            assert len(words) <= product.expected.size
        else:
            np.testing.assert_array_equal(results_of(dut, words, product), product.expected)
    assert not any(null for _, null in around.packets[: max(0, before - 1)])
    around.packets = around.packets[before:]
    assert_packets(dut, around, after)


def test_an_abort_at_rest_ends_by_itself() -> None:
    dut, jobs, around = make(), products(1, seed=8), Surroundings()
    place(dut, around, jobs)
    around.operands.clear()

    async def host(host: BusHost) -> None:
        await host.write("SCRATCH", 0xC0FFEE)
        await host.control("abort")
        await host.wait_idle()
        assert dut.map["IRQ_STATUS"].set_names(await host.read("IRQ_STATUS")) == ["idle"]
        assert await host.read("SCRATCH") == 0xC0FFEE
        around.operands.extend(operand_beats(dut, jobs[0]))
        await host.start(*jobs[0].shape)
        await host.wait_idle()

    run_host(dut, host, around)
    assert_packets(dut, around, jobs)


def test_a_start_and_an_abort_in_one_write_abort() -> None:
    dut, around = make(), Surroundings()

    async def host(host: BusHost) -> None:
        await host.write("JOB_M", 1)
        await host.write("JOB_K", 1)
        await host.write("JOB_TOKENS", 1)
        await host.write("CONTROL", dut.map["CONTROL"].encode(start=1, abort=1))
        await host.wait_idle()
        assert dut.map["ERRORS"].set_names(await host.read("ERRORS")) == ["start_in_abort"]
        assert await host.read("STARTED") == 0

    run_host(dut, host, around)


def test_an_abort_waits_for_the_far_ends() -> None:
    """Beats of operands that go on, a memory that is not quiet, a result that nobody takes: each keeps it waiting."""
    dut, jobs = make(), [Product.random(np.random.default_rng(1), 20, 8, 2)]
    around = Surroundings(result_pause=1.0)
    place(dut, around, jobs)

    async def host(host: BusHost) -> None:
        await start_all(host, jobs)
        for _ in range(400):
            await host.ctx.tick()
        assert host.ctx.get(dut.results.valid)
        around.operands.extend([0] * 300)
        await host.control("abort")
        await host.ctx.tick().repeat(200)
        assert len(around.operands) < 300
        assert (await host.fields("STATUS"))["aborting"] == 1
        while around.operands:
            await host.ctx.tick()
        await host.ctx.tick().repeat(100)
        assert (await host.fields("STATUS"))["aborting"] == 1
        around.result_pause = 0.0
        await host.wait_idle()

    run_host(dut, host, around)
    assert len(around.packets) == 1
    assert around.packets[0][1]
