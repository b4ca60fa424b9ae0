"""The weight loader: tiles and biases unpacked from beats, at the stream's pace."""

from collections.abc import Iterator
from itertools import product as combinations
from typing import Any

import numpy as np
import pytest
from driving import Product, Sink, Source, beats, simulate
from reference_image import image_beats, tile_trits

from tritforge.accel.beats import beat_words, striped_words, waiting_cycles
from tritforge.accel.codes import I2_CODES, TRITS, WORDS
from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.presets import PRESETS
from tritforge.accel.weights import WeightLoader
from tritforge.models.image import pack_image

TINY = PRESETS["tiny"]
PACKINGS = tuple(WORDS)


def changed(**values: Any) -> AcceleratorConfig:
    return AcceleratorConfig.from_dict(values, base=TINY)


def skewed(**values: Any) -> AcceleratorConfig:
    """A configuration whose tile has several positions."""
    return changed(**{**values, "datapath": "fused", "target": "ecp5", "negation": "carry"})


def tile_value(config: AcceleratorConfig, block: np.ndarray[Any, Any]) -> int:
    """Lane codes of one tile side by side, built trit by trit."""
    return sum(I2_CODES[trit] << 2 * index for index, trit in enumerate(tile_trits(config, block)))


def expected_tiles(config: AcceleratorConfig, product: Product) -> Iterator[tuple[int, int]]:
    """Tiles of a product in their order, each with the biases of its rows."""
    for row in range(0, len(product.w), config.rows):
        rows = product.w[row : row + config.rows]
        counts = [int((line == -1).sum()) for line in rows] + [0] * (config.rows - len(rows))
        bias = sum(count << config.bias_bits * index for index, count in enumerate(counts))
        for column in range(0, product.w.shape[1], config.lanes):
            yield tile_value(config, rows[:, column : column + config.lanes]), bias


class Array(Sink):
    """Takes tiles and reads each two cycles after it took it, as the array does.

    `biases` are those beside `items`.
    """

    def __init__(self, dut: WeightLoader, count: int, pause: float = 0.0) -> None:
        super().__init__(None, count, pause)
        self.dut = dut
        self.biases: list[int] = []

    async def run(self, ctx: Any, choose: Any) -> None:
        dut, cycle, swap, swapped = self.dut, 0, False, False
        wanted = choose.random() >= self.pause
        while True:
            valid = ctx.get(dut.tile_valid)
            ctx.set(dut.swap, valid and wanted)
            if swapped:
                self.items.append(ctx.get(dut.tile))
                self.seen += 1
                if dut.config.negation == "bias":
                    self.biases.append(ctx.get(dut.bias))
            swap, swapped = bool(valid and wanted), swap
            await ctx.tick()
            cycle += 1
            if swap:
                self.taken.append(cycle)
                assert not ctx.get(dut.tile_valid) or dut.config.tile_beats == 1
            if swap or not wanted:
                wanted = choose.random() >= self.pause


def check_tiles(config: AcceleratorConfig, products: list[Product], pauses: tuple[float, float]) -> Source:
    """Run a loader and compare all tiles and biases; return the source of the beats."""
    expected = [pair for product in products for pair in expected_tiles(config, product)]
    dut = WeightLoader(config)
    errors = 0

    async def watch(ctx: Any) -> None:
        nonlocal errors
        async for *_, illegal in ctx.tick().sample(dut.illegal):
            errors += illegal

    images = b"".join(pack_image(config, product.w) for product in products)
    sink = Array(dut, len(expected), pauses[1])
    source = Source(dut.beats, beats(images, config.weight_port_bits), pauses[0])
    jobs = Source(dut.jobs, [product.job for product in products])
    simulate(dut, [jobs, source], [sink], seed=config.weight_port_bits, processes=[watch])
    assert sink.items == [tile for tile, _ in expected]
    if config.negation == "bias":
        assert sink.biases == [bias for _, bias in expected]
    assert errors == 0
    return source


@pytest.mark.parametrize("packing", PACKINGS)
@pytest.mark.parametrize("port", [16, 64])
@pytest.mark.parametrize("pauses", [(0.0, 0.0), (0.5, 0.0), (0.0, 0.5), (0.4, 0.4)], ids=str)
def test_tiles_and_biases_are_those_of_the_matrix(
    packing: str, port: int, pauses: tuple[float, float]
) -> None:
    config = changed(weight_port_bits=port, rows=3, lanes=12, packing=packing)
    generator = np.random.default_rng(port)
    products = [Product.random(generator, m, k, 1) for m, k in ((3, 12), (1, 1), (7, 25), (6, 64))]
    check_tiles(config, products, pauses)


@pytest.mark.parametrize("seed", range(24))
def test_random_shapes_packings_and_pauses(seed: int) -> None:
    generator = np.random.default_rng(seed)
    lanes = int(generator.choice([4, 8, 12, 20, 32]))
    values: dict[str, Any] = {
        "lanes": lanes,
        "rows": int(generator.integers(1, 14)),
        "k_max": 128,
        "weight_port_bits": int(generator.choice([16, 32, 64, 128, 256, 512])),
        "packing": PACKINGS[seed % 3],
        "negation": str(generator.choice(["bias", "carry"])),
    }
    config = skewed(**values, chain_length=4) if seed % 2 else changed(**values)
    shapes = [(int(generator.integers(1, 30)), int(generator.integers(1, 3 * lanes))) for _ in range(3)]
    pauses = (float(generator.choice([0, 0.3])), float(generator.choice([0, 0.3])))
    print(config, shapes, pauses)
    check_tiles(config, [Product.random(generator, m, k, 1) for m, k in shapes], pauses)


#: Tiles of whole blocks, of a short last block, of a last block that is full but not of words, of part of a beat.
S5_SHAPES = {
    "stripes of every block": (64, 3, 16),
    "a short last block": (32, 5, 16),
    "a last block with some striped words": (4, 23, 32),
    "part of a beat": (4, 1, 512),
    "ports of 64": (64, 8, 64),
    "ports of 128": (128, 4, 128),
    "ports of 256": (192, 7, 256),
    "ports of 512": (256, 16, 512),
}


@pytest.mark.parametrize("shape", S5_SHAPES)
@pytest.mark.parametrize("negation", ["bias", "carry"])
def test_striped_words_are_put_together(shape: str, negation: str) -> None:
    lanes, rows, port = S5_SHAPES[shape]
    config = changed(
        lanes=lanes, rows=rows, k_max=1024, weight_port_bits=port, packing="s5", negation=negation
    )
    generator = np.random.default_rng(1)
    products = [Product.random(generator, m, k, 1) for m, k in ((rows, lanes), (rows + 1, 2 * lanes - 1))]
    check_tiles(config, products, (0.2, 0.3))


def test_the_shapes_of_the_last_test_are_what_they_are_called() -> None:
    def striped(shape: str) -> list[int]:
        lanes, rows, port = S5_SHAPES[shape]
        config = changed(lanes=lanes, rows=rows, weight_port_bits=port, packing="s5")
        return [len(beat_words(config, beat).striped) for beat in range(config.tile_beats)]

    assert striped("stripes of every block") == [0, 0, 0, 0, 1] * 4
    assert striped("a short last block") == [0, 0, 0, 0, 1] * 3 + [0] * 2
    assert striped("a last block with some striped words") == [0, 0, 0, 0, 1]
    assert striped("part of a beat") == [0]
    assert any(sum(striped(shape)) % 4 for shape in S5_SHAPES)


@pytest.mark.parametrize("packing", PACKINGS)
@pytest.mark.parametrize("pauses", [(0.0, 0.0), (0.3, 0.3)], ids=str)
def test_the_trits_of_a_skewed_tile_come_by_position(packing: str, pauses: tuple[float, float]) -> None:
    config = skewed(lanes=16, rows=3, chain_length=4, packing=packing)
    generator = np.random.default_rng(2)
    check_tiles(config, [Product.random(generator, m, k, 1) for m, k in ((3, 16), (5, 40))], pauses)


@pytest.mark.parametrize("packing", PACKINGS)
@pytest.mark.parametrize("negation", ["bias", "carry"])
def test_a_tile_costs_its_beats_and_no_cycle_more(packing: str, negation: str) -> None:
    """A tile is handed over while the next one's first beat is taken."""
    config = changed(packing=packing, negation=negation)
    product = Product.random(np.random.default_rng(1), 4, 64, 1)
    dut = WeightLoader(config)
    sink = Array(dut, 8)
    stream = Source(dut.beats, beats(pack_image(config, product.w), 32))
    simulate(dut, [Source(dut.jobs, [product.job]), stream], [sink])
    assert config.tile_beats == {"i2": 2, "s5": 2, "s8": 2}[packing]
    assert np.diff(sink.taken).tolist() == [config.tile_beats] * 7
    assert np.diff(stream.taken).tolist() == [1] * (len(stream.items) - 1)


SKEWED = [
    skewed(lanes=16, rows=rows, chain_length=chain, weight_port_bits=port, packing=packing)
    for packing, port, (rows, chain) in combinations(
        PACKINGS, (16, 32, 128), ((3, 4), (8, 4), (8, 8), (16, 16))
    )
]


@pytest.mark.parametrize(
    "config", SKEWED, ids=lambda c: f"{c.packing}-{c.weight_port_bits}-{c.rows}x{c.positions}"
)
@pytest.mark.parametrize("pause", [0.0, 0.4])
def test_trits_stay_until_their_position_was_taken(config: AcceleratorConfig, pause: float) -> None:
    """Position p, read as many cycles after the hand-over as it does not wait, is that of the tile handed over."""
    product = Product.random(np.random.default_rng(3), 2 * config.rows, 64, 1)
    expected = [tile for tile, _ in expected_tiles(config, product)]
    bits = config.tile_bits // config.positions
    dut = WeightLoader(config)
    seen = [0] * len(expected)
    array = Array(dut, len(expected), pause)

    async def read(ctx: Any) -> None:
        cycle = 0
        async for *_, tile in ctx.tick().sample(dut.tile):
            cycle += 1
            for index, start in enumerate(array.taken):
                for position in range(config.positions):
                    if cycle - start == 2 + position - waiting_cycles(config, position):
                        seen[index] |= tile & ((1 << bits) - 1 << bits * position)

    stream = Source(dut.beats, beats(pack_image(config, product.w), config.weight_port_bits))
    jobs = Source(dut.jobs, [product.job])
    simulate(dut, [jobs, stream], [array], processes=[read])
    assert seen == expected
    if not pause:
        assert np.diff(array.taken).tolist() == [config.tile_beats] * (len(expected) - 1)


def test_trits_wait_only_where_a_beat_brings_more_than_a_position() -> None:
    default = {"datapath": "fused", "target": "ecp5", "negation": "carry"}
    waits = {
        (packing, port): [
            waiting_cycles(
                AcceleratorConfig.from_dict({**default, "packing": packing, "weight_port_bits": port}),
                position,
            )
            for position in range(8)
        ]
        for packing in PACKINGS
        for port in (64, 128, 512)
    }
    assert {key for key, waiting in waits.items() if not any(waiting)} == {
        ("i2", 64),
        ("i2", 128),
        ("s5", 64),
        ("s8", 64),
    }
    assert waits["i2", 512] == [0, 1, 2, 3, 3, 4, 5, 6]


@pytest.mark.parametrize("packing", PACKINGS)
def test_the_stream_waits_for_a_tile_that_is_not_taken(packing: str) -> None:
    config = changed(packing=packing)
    product = Product.random(np.random.default_rng(1), 4, 64, 1)
    dut = WeightLoader(config)
    stream = Source(dut.beats, beats(pack_image(config, product.w), 32))
    sink = Array(dut, 8, pause=0.9)
    simulate(dut, [Source(dut.jobs, [product.job]), stream], [sink], seed=3)
    # At most one tile is assembled ahead of the one that was taken.
    for index, cycle in enumerate(sink.taken[:-1]):
        before = sum(1 for taken in stream.taken if taken < cycle)
        assert before <= config.bias_beats + (index + 1) * config.tile_beats


def illegal_cycles(config: AcceleratorConfig, image: list[int]) -> tuple[Source, list[int]]:
    """Run one tile of zeros; return the source of its beats and the cycles with an error."""
    dut = WeightLoader(config)
    stream = Source(dut.beats, image)
    cycles: list[int] = []

    async def watch(ctx: Any) -> None:
        cycle = 0
        async for *_, illegal in ctx.tick().sample(dut.illegal):
            cycle += 1
            if illegal:
                cycles.append(cycle)

    job = {"m": config.rows, "k": config.lanes, "tokens": 1}
    simulate(dut, [Source(dut.jobs, [job]), stream], [Array(dut, 1)], processes=[watch])
    return stream, cycles


def zeros(config: AcceleratorConfig) -> list[int]:
    return image_beats(config, np.zeros((config.rows, config.lanes), dtype=np.int8))


ILLEGAL_WORDS = {
    packing: sorted(set(range(1 << bits)) - set(TRITS[packing])) for packing, (_, bits) in WORDS.items()
}


@pytest.mark.parametrize("packing", PACKINGS)
@pytest.mark.parametrize("beat", [0, 1])
def test_an_illegal_word_is_reported_three_cycles_after_it_is_taken(packing: str, beat: int) -> None:
    """Every whole word of a beat, every illegal word in turn."""
    config = changed(packing=packing, lanes=16, rows=8)
    bits = WORDS[packing][1]
    for position in range(config.words_per_beat):
        image = zeros(config)
        word = ILLEGAL_WORDS[packing][position % len(ILLEGAL_WORDS[packing])]
        image[config.bias_beats + beat] |= word << bits * position
        stream, cycles = illegal_cycles(config, image)
        assert cycles == [stream.taken[config.bias_beats + beat] + 3], position


@pytest.mark.parametrize("block", [0, 1])
@pytest.mark.parametrize("word", ILLEGAL_WORDS["s5"])
def test_an_illegal_striped_word_is_reported_with_its_last_bit(block: int, word: int) -> None:
    config = changed(packing="s5", lanes=64, rows=6, weight_port_bits=64)
    assert [len(beat_words(config, beat).striped) for beat in (4, 9)] == [4, 4]
    for stripe in range(striped_words(config)):
        image = zeros(config)
        start = config.bias_beats + 5 * block
        for bit in range(5):
            image[start + bit] |= (word >> bit & 1) << 60 + stripe
        stream, cycles = illegal_cycles(config, image)
        assert cycles == [stream.taken[start + 4] + 3]


def test_bits_that_are_no_word_are_not_judged() -> None:
    """Biases, and what remains of the beats of a short block."""
    config = changed(packing="s5", lanes=32, rows=8, weight_port_bits=64)
    assert config.tile_beats == 7
    image = zeros(config)
    for beat in range(config.bias_beats):
        image[beat] = (1 << 64) - 1
    for beat in (5, 6):
        image[config.bias_beats + beat] |= 0xF << 60
    _, cycles = illegal_cycles(config, image)
    assert cycles == []
