"""The activation buffer: tokens taken from beats, kept in a ring, given back."""

from collections import deque
from typing import Any

import numpy as np
import pytest
from driving import Product, Source, beats, simulate

from tritforge.accel.activations import ActivationBuffer
from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.presets import PRESETS
from tritforge.models.operands import pack_activations

TINY = PRESETS["tiny"]


class Reader:
    """Takes loaded jobs, reads their words by address and gives them back, as the sequencer does."""

    def __init__(self, dut: ActivationBuffer, *, hold: int = 0) -> None:
        self.dut = dut
        self.hold = hold
        self.jobs: list[tuple[int, int]] = []
        self.tokens: list[list[list[int]]] = []
        self.cycle = 0
        self.loaded_at: list[int] = []

    async def tick(self, ctx: Any, count: int = 1) -> None:
        for _ in range(count):
            await ctx.tick()
            self.cycle += 1

    async def run(self, ctx: Any) -> None:
        dut, config = self.dut, self.dut.config
        base = 0
        while True:
            while not ctx.get(dut.loaded.valid):
                await self.tick(ctx)
            loaded = ctx.get(dut.loaded.payload)
            self.loaded_at.append(self.cycle)
            ctx.set(dut.loaded.ready, 1)
            await self.tick(ctx)
            ctx.set(dut.loaded.ready, 0)
            await self.tick(ctx, self.hold)
            stride, words = int(loaded.stride), int(loaded.words)
            self.jobs.append((stride, words))
            tokens = []
            for token in range(int(loaded.job.tokens)):
                values: list[int] = []
                for word in range(stride):
                    address = (base + token * stride + word) % config.buffer_words
                    ctx.set(dut.address, address)
                    await self.tick(ctx, 2)
                    data = ctx.get(dut.data)
                    container = config.act_container_bits
                    for lane in range(config.lanes):
                        value = data >> container * lane & ((1 << container) - 1)
                        values.append(value - (value >> (container - 1) << container))
                tokens.append(values[: int(loaded.job.k)])
            self.tokens.append(tokens)
            base = (base + words) % config.buffer_words
            ctx.set(dut.release, words)
            await self.tick(ctx)
            ctx.set(dut.release, 0)


def run_buffer(
    config: AcceleratorConfig, products: list[Product], *, hold: int = 0, pause: float = 0.0, seed: int = 0
) -> tuple[Reader, Source]:
    dut = ActivationBuffer(config)
    reader = Reader(dut, hold=hold)
    data = b"".join(pack_activations(config, product.x) for product in products)
    stream = Source(dut.beats, beats(data, config.act_port_bits), pause)
    jobs = Source(dut.jobs, [product.job for product in products])
    # The last job's words are read after its last beat came.
    drain = hold + 2 * config.buffer_words + 20
    simulate(dut, [jobs, stream], [], seed=seed, drain=drain, processes=[reader.run])
    return reader, stream


@pytest.mark.parametrize("lanes", [4, 8, 12, 16])
@pytest.mark.parametrize("pause", [0.0, 0.5])
def test_tokens_are_kept_and_the_ring_wraps(lanes: int, pause: float) -> None:
    """Ragged tails, one token and many, far more words in all than the buffer holds."""
    config = AcceleratorConfig.from_dict({"lanes": lanes}, base=TINY)
    generator = np.random.default_rng(lanes)
    shapes = deque([(64, 4), (1, 1), (lanes, 3), (lanes + 1, 4), (63, 2), (5, 4)] * 3)
    shapes.rotate(lanes)
    products = [Product.random(generator, 1, k, tokens) for k, tokens in shapes]
    reader, _ = run_buffer(config, products, pause=pause, seed=lanes)
    total = 0
    for product, (stride, words), tokens in zip(products, reader.jobs, reader.tokens, strict=True):
        _, k, count = product.shape
        assert (stride, words) == (config.k_tiles(k), count * config.k_tiles(k))
        assert tokens == product.x.tolist()
        total += words
    assert total > 2 * config.buffer_words


@pytest.mark.parametrize(("act_bits", "port"), [(2, 8), (8, 8), (8, 64), (9, 16), (16, 32)])
def test_wide_and_narrow_ports_fill_words_alike(act_bits: int, port: int) -> None:
    config = AcceleratorConfig.from_dict({"act_bits": act_bits, "act_port_bits": port}, base=TINY)
    products = [Product.random(np.random.default_rng(port), 1, k, 3, act_bits) for k in (8, 3, 17)]
    reader, _ = run_buffer(config, products)
    assert reader.tokens == [product.x.tolist() for product in products]


def test_the_next_job_is_taken_while_the_present_one_is_held() -> None:
    """Both fit: the second is loaded before the first is given back."""
    products = [Product.random(np.random.default_rng(s), 1, 32, 4) for s in (1, 2)]
    _, stream = run_buffer(TINY, products, hold=200)
    assert stream.taken[-1] < 100
    assert TINY.buffer_words == 2 * 4 * 4


def test_a_full_buffer_takes_no_beat_until_words_come_back() -> None:
    products = [Product.random(np.random.default_rng(s), 1, 64, 4) for s in (1, 2)]
    reader, stream = run_buffer(TINY, products, hold=200)
    first = TINY.buffer_words * TINY.beats_per_word
    assert stream.taken[first - 1] < 100
    assert stream.taken[first] > 200
    assert reader.tokens == [product.x.tolist() for product in products]


def test_a_beat_is_taken_every_cycle() -> None:
    _, stream = run_buffer(TINY, [Product.random(np.random.default_rng(1), 1, 61, 4)])
    assert np.diff(stream.taken).tolist() == [1] * (len(stream.items) - 1)
