"""Dense and sparse jobs in one core, in Amaranth's simulator: order, errors, and work side by side."""

from collections import deque
from typing import Any

import numpy as np
import pytest
from driving import Product, Sink, Source, beats, simulate, words_of

from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.core import Core
from tritforge.accel.job import Error
from tritforge.accel.presets import PRESETS
from tritforge.models.columns import column_bytes, pack_columns
from tritforge.models.image import pack_image
from tritforge.models.operands import order_results, pack_activations

CONFIG = AcceleratorConfig.from_dict(
    {"sparse": True, "column_beats": 2, "weight_port_bits": 16}, base=PRESETS["tiny"]
)


def run(
    jobs: list[tuple[Product, bool]], *, seed: int, pause: float, extra: Any = None
) -> tuple[list[int], list[int]]:
    """Run products, each dense or sparse; return the words and the errors that were seen."""
    dut = Core(CONFIG)
    dense = [product for product, sparse in jobs if not sparse]
    images = deque(pack_columns(CONFIG, product.w) for product, sparse in jobs if sparse)
    errors: list[int] = []

    async def answer(ctx: Any) -> None:
        """Take a request, send its column, and so on."""
        size, step = column_bytes(CONFIG), CONFIG.weight_port_bits // 8
        while True:
            ctx.set(dut.column_requests.ready, 1)
            valid = False
            while not valid:
                *_, valid, request = await ctx.tick().sample(
                    dut.column_requests.valid, dut.column_requests.payload
                )
            ctx.set(dut.column_requests.ready, 0)
            start = int(request.column) * size
            for beat in beats(images[0][start : start + size], 8 * step):
                ctx.set(dut.columns.valid, 1)
                ctx.set(dut.columns.payload, beat)
                ready = False
                while not ready:
                    *_, ready = await ctx.tick().sample(dut.columns.ready)
                ctx.set(dut.columns.valid, 0)
            if request.last:
                images.popleft()

    async def watch(ctx: Any) -> None:
        async for _, _, error in ctx.tick().sample(dut.error):
            errors.append(error)

    acts = b"".join(pack_activations(CONFIG, product.x) for product, _ in jobs)
    weights = b"".join(pack_image(CONFIG, product.w) for product in dense)
    descriptions = [product.job | {"sparse": int(sparse)} for product, sparse in jobs]
    sink = Sink(dut.results, len(jobs), pause, counts=lambda beat: bool(beat.last))
    sources = [
        Source(dut.jobs, [*([extra] if extra else []), *descriptions]),
        Source(dut.activations, beats(acts, CONFIG.act_port_bits), pause),
        Source(dut.weights, beats(weights, CONFIG.weight_port_bits), pause),
    ]
    simulate(dut, sources, [sink], seed=seed, processes=[answer, watch])
    assert not images
    return [word for beat in sink.items for word in words_of(beat)], errors


def expected(jobs: list[tuple[Product, bool]]) -> list[int]:
    """Result words of the jobs, in order."""
    words = np.concatenate([order_results(CONFIG, product.expected) for product, _ in jobs])
    return [int(word) & 0xFFFFFFFF for word in words]


def product(seed: int, m: int, k: int, tokens: int) -> Product:
    generator = np.random.default_rng(seed)
    dense = Product.random(generator, m, k, tokens)
    return Product(x=dense.x * (generator.random(dense.x.shape) < 0.3), w=dense.w)


@pytest.mark.parametrize("pause", [0.0, 0.4])
@pytest.mark.parametrize("order", ["ds", "sd", "dds", "sds", "ssd", "dsdsd"])
def test_results_come_in_the_order_of_the_jobs(order: str, pause: float) -> None:
    """A long job before a short one of the other kind would be overtaken by it."""
    jobs = [
        (product(index, (19, 5)[index % 2], (40, 9)[index % 2], 1 if kind == "s" else 3), kind == "s")
        for index, kind in enumerate(order)
    ]
    words, errors = run(jobs, seed=len(order), pause=pause)
    assert words == expected(jobs)
    assert set(errors) == {0}


def test_more_sums_than_the_queue_holds_wait_for_slow_results() -> None:
    """Thirty entries of one job and thirty of the next, eight places, results that mostly pause."""
    assert CONFIG.result_entries == 8
    jobs = [(product(3, 120, 5, 1), True), (product(4, 120, 5, 1), False), (product(5, 120, 5, 1), True)]
    words, _ = run(jobs, seed=3, pause=0.7)
    assert words == expected(jobs)


def test_a_sparse_job_of_several_tokens_is_refused_and_the_next_one_works() -> None:
    jobs = [(product(9, 6, 12, 1), True)]
    words, errors = run(jobs, seed=9, pause=0.0, extra={"m": 6, "k": 12, "tokens": 2, "sparse": 1})
    assert words == expected(jobs)
    assert Error.ILLEGAL_JOB in errors
    assert errors[-1] == Error.NONE
