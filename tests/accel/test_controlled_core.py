"""Jobs over the registers: right words, each error in its own job, refusals that leave no trace, aborts."""

import random
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from control_host import BusHost, Surroundings, image_beats, operand_beats, results_of, run_host
from driving import Product, run_core

from tritforge.accel.codes import I2_ILLEGAL
from tritforge.accel.control_config import ControlConfig
from tritforge.accel.controlled_core import ControlledCore
from tritforge.accel.core import Core
from tritforge.accel.descriptor import Response
from tritforge.accel.errors import InputError
from tritforge.accel.presets import PRESETS
from tritforge.accel.register_map import ID, registers

TINY = PRESETS["tiny"]
MEMORY = ControlConfig(results="memory")
#: Bytes between the images of two jobs.
PITCH = 0x1000


def make(control: ControlConfig = MEMORY, **changes: Any) -> ControlledCore:
    return ControlledCore(replace(TINY, **changes), control)


def products(count: int, seed: int, **limits: int) -> list[Product]:
    generator = np.random.default_rng(seed)
    m, k, tokens = (limits.get(name, high) for name, high in (("m", 20), ("k", 60), ("tokens", 4)))
    return [
        Product.random(
            generator,
            int(generator.integers(1, m + 1)),
            int(generator.integers(1, k + 1)),
            int(generator.integers(1, tokens + 1)),
        )
        for _ in range(count)
    ]


def place(dut: ControlledCore, around: Surroundings, jobs: list[Product]) -> None:
    """Put images into memory and operands into their stream."""
    for index, product in enumerate(jobs):
        around.images[PITCH * index] = image_beats(dut, product)
        around.operands.extend(operand_beats(dut, product))


async def start_when_free(host: BusHost, product: Product, address: int, **others: int) -> None:
    full = host.registers["STATUS"]["full"].mask
    await host.wait_for("STATUS", lambda word: not word & full)
    await host.start(*product.shape, WEIGHTS_LO=address, **others)


async def start_all(host: BusHost, jobs: list[Product]) -> None:
    for index, product in enumerate(jobs):
        await start_when_free(host, product, PITCH * index)


def assert_packets(dut: ControlledCore, around: Surroundings, jobs: list[Product]) -> None:
    assert len(around.packets) == len(jobs)
    for (words, null), product in zip(around.packets, jobs, strict=True):
        assert not null
        np.testing.assert_array_equal(results_of(dut, words, product), product.expected)


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
