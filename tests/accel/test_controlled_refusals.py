"""Errors over the registers: each in its own job, and refusals that leave no trace."""

import random
from dataclasses import replace

import numpy as np
import pytest
from control_host import BusHost, Surroundings, image_beats, operand_beats, results_of, run_host
from controlled import MEMORY, PITCH, TINY, assert_packets, make, place, products, start_all
from driving import Product

from tritforge.accel.codes import I2_ILLEGAL
from tritforge.accel.control_config import ControlConfig
from tritforge.accel.controlled_core import ControlledCore
from tritforge.accel.core import Core
from tritforge.accel.descriptor import Response
from tritforge.accel.errors import InputError

#: Registers that make a job wrong, and what ERRORS then says.
REFUSALS: list[tuple[dict[str, int], list[str]]] = [
    ({"JOB_M": 0}, ["illegal_job"]),
    ({"JOB_M": TINY.m_max + 1}, ["illegal_job"]),
    ({"JOB_M": 1 << 31 | 3}, ["illegal_job"]),
    ({"JOB_K": 0}, ["illegal_job"]),
    ({"JOB_K": TINY.k_max + 1}, ["illegal_job"]),
    ({"JOB_K": 0x1000}, ["illegal_job"]),
    ({"JOB_TOKENS": 0}, ["illegal_job"]),
    ({"JOB_TOKENS": TINY.tokens_max + 1}, ["illegal_job"]),
    ({"JOB_TOKENS": 0x10001}, ["illegal_job"]),
    ({"JOB_FLAGS": 1}, ["illegal_job"]),
    ({"JOB_FLAGS": 0x80}, ["illegal_job"]),
    ({"WEIGHTS_LO": 2}, ["misaligned"]),
    ({"RESULTS_LO": 4}, ["misaligned"]),
    ({"RESULT_STRIDE": 4}, ["misaligned"]),
    ({"WEIGHTS_HI": 1}, ["address_range"]),
    ({"RESULTS_HI": 1 << 31}, ["address_range"]),
    (
        {"JOB_K": 0, "WEIGHTS_LO": 1, "RESULTS_HI": 2},
        ["illegal_job", "misaligned", "address_range"],
    ),
]


def test_a_refused_start_says_why_and_leaves_no_trace() -> None:
    """Wrong job after wrong job, and after each a right one."""
    dut, jobs, around = make(), products(len(REFUSALS), seed=7, m=4, k=8), Surroundings()
    place(dut, around, jobs)

    async def host(host: BusHost) -> None:
        errors, interrupts = dut.map["ERRORS"], dut.map["IRQ_STATUS"]
        for index, (values, causes) in enumerate(REFUSALS):
            await host.start(3, 5, 2, **{"WEIGHTS_LO": 0} | values)
            assert errors.set_names(await host.read("ERRORS")) == causes
            assert interrupts.set_names(await host.read("IRQ_STATUS")) == ["refused"]
            assert await host.fields("STATUS") == dict.fromkeys(dut.map["STATUS"].decode(0), 0) | {"error": 1}
            assert await host.read("STARTED") == index
            for name in values:
                await host.write(name, 0)
            await host.write("ERRORS", 0xFFFFFFFF)
            await host.start(*jobs[index].shape, WEIGHTS_LO=PITCH * index)
            await host.wait_idle()
            assert await host.read("ERRORS") == 0
            assert await host.read("COMPLETED") == index + 1
            await host.write("IRQ_STATUS", 0xFFFFFFFF)

    run_host(dut, host, around)
    assert_packets(dut, around, jobs)


def test_the_largest_job_is_taken() -> None:
    generator = np.random.default_rng(1)
    jobs = [Product.random(generator, 17, 7, 3)]
    dut = ControlledCore(replace(TINY, m_max=17, k_max=7, tokens_max=3), MEMORY)
    around = Surroundings()
    place(dut, around, jobs)

    async def host(host: BusHost) -> None:
        await host.start(17, 7, 3)
        await host.wait_idle()
        assert await host.read("ERRORS") == 0

    run_host(dut, host, around)
    assert_packets(dut, around, jobs)


def test_a_full_queue_refuses_a_start_and_keeps_what_it_holds() -> None:
    """Nothing leaves without operands: the core takes some jobs ahead, two more wait, the next one is refused."""
    dut, jobs, around = make(ControlConfig(queue_depth=2)), products(8, seed=11), Surroundings()
    for index, product in enumerate(jobs):
        around.images[PITCH * index] = image_beats(dut, product)

    async def host(host: BusHost) -> None:
        taken: list[Product] = []
        for index, product in enumerate(jobs):
            status = await host.fields("STATUS")
            await host.start(*product.shape, WEIGHTS_LO=PITCH * index)
            errors = dut.map["ERRORS"].set_names(await host.read("ERRORS"))
            await host.ctx.tick().repeat(10)
            if status["full"]:
                assert errors == ["queue_full"]
                assert status["waiting"] == 2
                break
            assert errors == []
            taken.append(product)
        assert 2 <= len(taken) < len(jobs)
        assert await host.read("STARTED") == len(taken)
        for product in taken:
            around.operands.extend(operand_beats(dut, product))
        await host.wait_idle()
        assert await host.read("COMPLETED") == len(taken)
        jobs[:] = taken

    run_host(dut, host, around)
    assert_packets(dut, around, jobs)


@pytest.mark.parametrize("seed", range(3))
def test_each_error_is_found_in_its_own_job_with_several_under_way(seed: int) -> None:
    choose = random.Random(seed)  # noqa: S311
    dut, jobs = make(), products(12, seed=20 + seed, k=24)
    around = Surroundings(pause=0.25)
    place(dut, around, jobs)
    expected: list[set[str]] = []
    exact: list[bool] = []
    for index in range(len(jobs)):
        image, causes, right = around.images[PITCH * index], set(), True
        for response in (Response.SLVERR, Response.DECERR):
            if choose.random() < 0.3:
                # The first and the last beat are those that could be taken for another job's.
                image[choose.choice([0, -1, choose.randrange(len(image))])] = (0, response)
        causes |= {"weight_slverr" for _, error in image if error == Response.SLVERR}
        causes |= {"weight_decerr" for _, error in image if error == Response.DECERR}
        if choose.random() < 0.3 and image[-1][1] == 0:
            image[-1] = (int("10" * 16, 2), 0)
            causes.add("illegal_trit")
        right = not causes
        store = choose.choice([0, 0, Response.SLVERR, Response.DECERR])
        around.store_errors.append(int(store))
        if store:
            causes.add("store_slverr" if store == Response.SLVERR else "store_decerr")
        expected.append(causes)
        exact.append(right)
    assert I2_ILLEGAL == 0b10
    assert any(expected)
    assert not all(exact)

    async def host(host: BusHost) -> None:
        await start_all(host, jobs)
        await host.wait_idle()
        for index, causes in enumerate(expected):
            word = await host.fields("JOB_STATUS", index)
            assert word.pop("done") == 1
            assert {name for name, value in word.items() if value} == causes, index
        assert await host.read("FAILED") == sum(bool(causes) for causes in expected)
        assert set(dut.map["ERRORS"].set_names(await host.read("ERRORS"))) == set().union(*expected)

    run_host(dut, host, around, seed=seed)
    assert len(around.packets) == len(jobs)
    for (words, _), product, right in zip(around.packets, jobs, exact, strict=True):
        m, _, tokens = product.shape
        assert len(words) == m * tokens
        if right:
            np.testing.assert_array_equal(results_of(dut, words, product), product.expected)


def test_other_cores_are_refused() -> None:
    with pytest.raises(InputError) as error:
        ControlledCore(replace(TINY, sparse=True), MEMORY)
    assert str(error.value) == (
        "sparse is true; a controlled core runs dense jobs: use the stream core for columns"
    )
    for core in (Core(TINY), Core(replace(TINY, lanes=16), observed=True)):
        with pytest.raises(InputError) as error:
            ControlledCore(TINY, MEMORY, core=core)
        assert str(error.value) == (
            "the core to control is another one; make it of the same config, with observed=True"
        )
