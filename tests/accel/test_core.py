"""The whole core in Amaranth's simulator: every word, every shape, pauses, errors."""

from typing import Any

import numpy as np
import pytest
from amaranth.sim import Simulator
from driving import (
    IDEAL,
    RAGGED,
    Pauses,
    Product,
    Sink,
    Source,
    assert_equal,
    beats,
    random_config,
    random_shape,
    run_core,
    simulate,
    words_of,
)

from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.core import Core, StreamCore
from tritforge.accel.job import Error
from tritforge.accel.presets import PRESETS
from tritforge.models.image import pack_image
from tritforge.models.operands import pack_activations

TINY = PRESETS["tiny"]


@pytest.mark.parametrize("seed", range(12))
def test_random_jobs_on_random_configurations_are_exact(seed: int) -> None:
    """Three jobs back to back, once at full pace and once with pauses on every stream."""
    generator = np.random.default_rng(seed)
    config = random_config(generator)
    products = [
        Product.random(generator, *random_shape(generator, config), config.act_bits) for _ in range(3)
    ]
    for pauses in (IDEAL, RAGGED):
        run = run_core(config, products, pauses=pauses, seed=seed)
        assert_equal(run, products)
        assert run.full_beats


@pytest.mark.parametrize("stream", ["jobs", "activations", "weights", "results"])
def test_a_stream_that_mostly_pauses_changes_no_result(stream: str) -> None:
    generator = np.random.default_rng(21)
    products = [Product.random(generator, *shape) for shape in ((9, 20, 4), (4, 8, 1), (17, 13, 3))]
    run = run_core(TINY, products, pauses=Pauses(**{stream: 0.9}), seed=21)
    assert_equal(run, products)


@pytest.mark.parametrize("act", [-128, 127, 0])
@pytest.mark.parametrize("trit", [-1, 0, 1])
def test_extremes_of_activations_and_weights_are_exact(act: int, trit: int) -> None:
    """K at its bound, so the accumulators reach the ends of their interval."""
    product = Product(x=np.full((2, TINY.k_max), act), w=np.full((5, TINY.k_max), trit, dtype=np.int8))
    run = run_core(TINY, [product])
    assert_equal(run, [product])
    assert int(run.results[0][0, 0]) == act * trit * TINY.k_max


@pytest.mark.parametrize(
    ("m", "k", "tokens"),
    [(4, 8, 1), (4, 8, 4), (1, 1, 1), (5, 9, 1), (4, 9, 4), (3, 64, 1), (5, 8, 4), (33, 64, 4)],
    ids=str,
)
def test_tails_of_rows_and_inputs_are_exact(m: int, k: int, tokens: int) -> None:
    products = [Product.random(np.random.default_rng(m + k), m, k, tokens)] * 2
    assert_equal(run_core(TINY, products), products)


def test_activations_beyond_a_tail_do_not_count() -> None:
    """What an earlier job left in the buffer, and what pads a beat, meets zero weights."""
    full = Product(x=np.full((4, 64), 127), w=np.ones((4, 64), dtype=np.int8))
    short = Product(x=np.full((4, 9), -128), w=-np.ones((4, 9), dtype=np.int8))
    config = TINY
    dut = Core(config)
    activations = beats(pack_activations(config, full.x), 32) + beats(pack_activations(config, short.x), 32)
    # The last beat of a token carries one activation; fill the rest with ones.
    activations = [
        beat | 0x7F7F7F00 if i >= 64 and i % 3 == 0 else beat for i, beat in enumerate(activations)
    ]
    weights = beats(pack_image(config, full.w), 32) + beats(pack_image(config, short.w), 32)
    sink = Sink(dut.results, 2, counts=lambda beat: bool(beat.last))
    sources = [
        Source(dut.jobs, [full.job, short.job]),
        Source(dut.activations, activations),
        Source(dut.weights, weights),
    ]
    simulate(dut, sources, [sink])
    words = np.array([word for beat in sink.items for word in words_of(beat)], dtype=np.uint32).view(np.int32)
    assert words.tolist() == [127 * 64] * 16 + [128 * 9] * 16


def test_many_small_jobs_wrap_every_ring() -> None:
    generator = np.random.default_rng(8)
    products = [Product.random(generator, *random_shape(generator, TINY)) for _ in range(25)]
    run = run_core(TINY, products, pauses=Pauses(activations=0.1, results=0.2), seed=8)
    assert_equal(run, products)


def test_a_following_job_overlaps_the_one_before() -> None:
    """Activations and weights of the second job come in while the first computes."""
    product = Product.random(np.random.default_rng(1), 16, 64, 4)
    one = run_core(TINY, [product]).cycles
    two = run_core(TINY, [product, product]).cycles
    issued = TINY.row_tiles(16) * TINY.k_tiles(64) * 4
    assert issued <= two - one < one


@pytest.mark.parametrize(
    "job",
    [
        {"m": 0, "k": 8, "tokens": 1},
        {"m": 257, "k": 8, "tokens": 1},
        {"m": 4, "k": 0, "tokens": 1},
        {"m": 4, "k": 65, "tokens": 1},
        {"m": 4, "k": 8, "tokens": 0},
        {"m": 4, "k": 8, "tokens": 5},
    ],
    ids=str,
)
def test_an_illegal_job_is_reported_and_the_next_one_works(job: dict[str, int]) -> None:
    dut = Core(TINY)
    product = Product.random(np.random.default_rng(3), 5, 9, 2)
    errors: list[int] = []

    async def watch(ctx: Any) -> None:
        async for _, _, error in ctx.tick().sample(dut.error):
            errors.append(error)

    sink = Sink(dut.results, 1, counts=lambda beat: bool(beat.last))
    sources = [
        Source(dut.jobs, [job, product.job]),
        Source(dut.activations, beats(pack_activations(TINY, product.x), 32)),
        Source(dut.weights, beats(pack_image(TINY, product.w), 32)),
    ]
    simulate(dut, sources, [sink], processes=[watch])
    words = np.array([word for beat in sink.items for word in words_of(beat)], dtype=np.uint32).view(np.int32)
    expected = np.concatenate([product.expected[:, :4].ravel(), product.expected[:, 4:].ravel()])
    assert words.tolist() == expected.tolist()
    assert errors[0] == Error.NONE
    assert Error.ILLEGAL_JOB in errors
    assert errors[-1] == Error.NONE


def test_an_illegal_trit_code_is_reported_until_the_next_job() -> None:
    dut = Core(TINY)
    product = Product.random(np.random.default_rng(4), 4, 8, 1)
    good = beats(pack_image(TINY, product.w), 32)
    bad = [*good[:-1], good[-1] & ~0b11 | 0b10]
    state: dict[str, int] = {}

    async def jobs(ctx: Any) -> None:
        for name in ("first", "second"):
            ctx.set(dut.jobs.payload, product.job)
            ctx.set(dut.jobs.valid, 1)
            await ctx.tick().until(dut.jobs.ready)
            ctx.set(dut.jobs.valid, 0)
            await ctx.tick()
            state[f"{name} taken"] = ctx.get(dut.error)
            await ctx.tick().until(~dut.busy)
            state[f"{name} done"] = ctx.get(dut.error)

    sink = Sink(dut.results, 2, counts=lambda beat: bool(beat.last))
    activations = beats(pack_activations(TINY, product.x), 32)
    sources = [Source(dut.activations, activations * 2), Source(dut.weights, bad + good)]
    simulate(dut, sources, [sink], processes=[jobs])
    assert state == {
        "first taken": Error.NONE,
        "first done": Error.ILLEGAL_TRIT,
        "second taken": Error.NONE,
        "second done": Error.NONE,
    }
    second = [word for beat in sink.items[2:] for word in words_of(beat)]
    assert np.array(second, dtype=np.uint32).view(np.int32).tolist() == product.expected.ravel().tolist()


def test_a_bias_that_reads_as_an_illegal_code_is_none() -> None:
    """Biases share the stream with the trits but carry no codes: two -1 in a row give bias 0b10."""
    dut = Core(TINY)
    w = np.zeros((4, 8), dtype=np.int8)
    w[:, :2] = -1
    product = Product(x=np.arange(8)[None], w=w)
    errors: list[int] = []

    async def watch(ctx: Any) -> None:
        async for _, _, error in ctx.tick().sample(dut.error):
            errors.append(error)

    assert_equal(run_core(TINY, [product], core=dut, processes=[watch]), [product])
    assert set(errors) == {Error.NONE}


def test_busy_lasts_from_the_job_to_its_last_beat() -> None:
    dut = Core(TINY)
    product = Product.random(np.random.default_rng(5), 7, 13, 3)
    busy: list[int] = []

    async def watch(ctx: Any) -> None:
        async for _, _, value in ctx.tick().sample(dut.busy):
            busy.append(value)

    run = run_core(TINY, [product], core=dut, processes=[watch])
    assert_equal(run, [product])
    assert sum(busy) == run.cycles - 1
    assert busy[-1] == 0


def test_more_than_sixteen_bits_of_bias_are_not_needed() -> None:
    """A row of -1 over the longest K that a configuration allows still fits its bias word."""
    config = AcceleratorConfig(
        lanes=1024, rows=1, tokens_max=1, k_max=32768, m_max=1, weight_port_bits=4096, act_port_bits=4096
    )
    product = Product(x=np.full((1, 32768), -128), w=np.full((1, 32768), -1, dtype=np.int8))
    assert config.bias_bits == 16
    image = pack_image(config, product.w)
    assert int.from_bytes(image[:2], "little") == 32768


@pytest.mark.parametrize(
    ("change", "flags"), [({"partial_sums": True}, 0b10), ({"partial_sums": True}, 0x80)]
)
def test_a_flag_that_the_core_does_not_have_makes_a_job_illegal(change: dict[str, bool], flags: int) -> None:
    """The AXI job port refuses it; with the flags that there are, and without, the same job is taken."""
    dut = StreamCore(Core(AcceleratorConfig.from_dict(change, base=TINY)))
    errors: dict[int, int] = {}

    async def drive(ctx: Any) -> None:
        async def tick() -> None:
            for level in (1, 0):
                ctx.set(dut.aclk, level)
                await ctx.delay(1e-8)

        for value in (0, 1, flags):
            ctx.set(dut.aresetn, 0)
            await tick()
            ctx.set(dut.aresetn, 1)
            ctx.set(dut.s_axis_job_tdata, value << 64 | 1 << 48 | 8 << 32 | 4)
            ctx.set(dut.s_axis_job_tvalid, 1)
            await tick()
            ctx.set(dut.s_axis_job_tvalid, 0)
            await tick()
            errors[value] = ctx.get(dut.error)
            assert ctx.get(dut.busy) == (value != flags)

    simulator = Simulator(dut)
    simulator.add_testbench(drive)
    simulator.run()
    assert errors == {0: Error.NONE, 1: Error.NONE, flags: Error.ILLEGAL_JOB}
