"""The weight loader: tiles and biases assembled from beats, at the stream's pace."""

from typing import Any

import numpy as np
import pytest
from driving import Product, Sink, Source, beats, simulate

from tritforge.accel.codes import I2_CODES
from tritforge.accel.config import PRESETS, AcceleratorConfig
from tritforge.accel.weights import WeightLoader
from tritforge.models.image import pack_image

TINY = PRESETS["tiny"]


def tile_value(config: AcceleratorConfig, block: np.ndarray[Any, Any]) -> int:
    """Trits of one tile side by side, built trit by trit."""
    value = 0
    for row in range(config.rows):
        for lane in range(config.lanes):
            inside = row < block.shape[0] and lane < block.shape[1]
            code = I2_CODES[int(block[row, lane])] if inside else 0
            value |= code << 2 * (row * config.lanes + lane)
    return value


@pytest.mark.parametrize("port", [16, 32, 64, 256])
@pytest.mark.parametrize("pauses", [(0.0, 0.0), (0.5, 0.0), (0.0, 0.5), (0.4, 0.4)], ids=str)
def test_tiles_and_biases_are_those_of_the_matrix(port: int, pauses: tuple[float, float]) -> None:
    config = AcceleratorConfig.from_dict({"weight_port_bits": port, "rows": 3, "lanes": 12}, base=TINY)
    generator = np.random.default_rng(port)
    products = [Product.random(generator, m, k, 1) for m, k in ((3, 12), (1, 1), (7, 25), (6, 64))]
    images = [pack_image(config, product.w) for product in products]
    expected = []
    for product in products:
        for row in range(0, len(product.w), config.rows):
            rows = product.w[row : row + config.rows]
            counts = [int((line == -1).sum()) for line in rows] + [0] * (config.rows - len(rows))
            bias = sum(count << config.bias_bits * index for index, count in enumerate(counts))
            for column in range(0, product.w.shape[1], config.lanes):
                tile = tile_value(config, rows[:, column : column + config.lanes])
                expected.append((tile, bias))

    dut = WeightLoader(config)
    biases: list[int] = []
    errors = 0

    async def watch(ctx: Any) -> None:
        nonlocal errors
        async for *_, valid, ready, bias, illegal in ctx.tick().sample(
            dut.tile.valid, dut.tile.ready, dut.bias, dut.illegal
        ):
            if valid and ready:
                biases.append(bias)
            errors += illegal

    sink = Sink(dut.tile, len(expected), pauses[1])
    sources = [
        Source(dut.jobs, [product.job for product in products]),
        Source(dut.beats, beats(b"".join(images), port), pauses[0]),
    ]
    simulate(dut, sources, [sink], seed=port, processes=[watch])
    assert [int(tile) for tile in sink.items] == [tile for tile, _ in expected]
    assert biases == [bias for _, bias in expected]
    assert errors == 0


def test_a_tile_costs_its_beats_and_no_cycle_more() -> None:
    """A tile is handed over while the next one's first beat is taken."""
    product = Product.random(np.random.default_rng(1), 4, 64, 1)
    dut = WeightLoader(TINY)
    sink = Sink(dut.tile, 8)
    stream = Source(dut.beats, beats(pack_image(TINY, product.w), 32))
    simulate(dut, [Source(dut.jobs, [product.job]), stream], [sink])
    assert np.diff(sink.taken).tolist() == [TINY.tile_beats] * 7
    assert np.diff(stream.taken).tolist() == [1] * (len(stream.items) - 1)


def test_the_stream_waits_for_a_tile_that_is_not_taken() -> None:
    product = Product.random(np.random.default_rng(1), 4, 64, 1)
    dut = WeightLoader(TINY)
    stream = Source(dut.beats, beats(pack_image(TINY, product.w), 32))
    sink = Sink(dut.tile, 8, pause=0.9)
    simulate(dut, [Source(dut.jobs, [product.job]), stream], [sink], seed=3)
    # At most one tile is assembled ahead of the one that was taken.
    for index, cycle in enumerate(sink.taken[:-1]):
        before = sum(1 for taken in stream.taken if taken < cycle)
        assert before <= TINY.bias_beats + (index + 1) * TINY.tile_beats


@pytest.mark.parametrize("position", range(16))
def test_an_illegal_code_is_reported_in_the_cycle_in_which_it_is_taken(position: int) -> None:
    product = Product(x=np.zeros((1, 8), dtype=np.int64), w=np.zeros((4, 8), dtype=np.int8))
    dut = WeightLoader(TINY)
    image = beats(pack_image(TINY, product.w), 32)
    image[2] |= 0b10 << 2 * position
    stream = Source(dut.beats, image)
    cycles: list[int] = []

    async def watch(ctx: Any) -> None:
        cycle = 0
        async for *_, illegal in ctx.tick().sample(dut.illegal):
            cycle += 1
            if illegal:
                cycles.append(cycle)

    simulate(dut, [Source(dut.jobs, [product.job]), stream], [Sink(dut.tile, 1)], processes=[watch])
    assert cycles == [stream.taken[2]]
