"""The weight store: the images that were written come out, whatever pauses."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from amaranth.hdl import Module
from amaranth.lib import wiring
from driving import Sink, Source, beats, random_bench_config, simulate

from tritforge.accel.beat_memory import BeatMemory
from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.descriptor import Response
from tritforge.accel.weight_store import WeightStore
from tritforge.models.image import pack_image

BYTES = 1024
ADDRESS_BITS = 11


def store_config(seed: int) -> AcceleratorConfig:
    """Draw a configuration whose ports the stores can feed."""
    config = random_bench_config(np.random.default_rng(seed), seed)
    return replace(
        config,
        partial_sums=False,
        weight_port_bits=max(32, config.weight_port_bits),
        weight_store="bram",
        weight_store_bytes=BYTES,
    )


@dataclass
class Writer:
    """Fills a store word by word and then says so."""

    store: Any
    data: bytes
    gap: int = 0

    async def write(self, ctx: Any) -> None:
        for index in range(len(self.data) // 4):
            ctx.set(self.store.address, index)
            ctx.set(self.store.data, int.from_bytes(self.data[4 * index : 4 * index + 4], "little"))
            ctx.set(self.store.write, 1)
            await ctx.tick()
            ctx.set(self.store.write, 0)
            for _ in range(self.gap):
                await ctx.tick()


def fetch(matrix: npt.NDArray[np.int8], address: int, number: int = 0) -> dict[str, int]:
    m, k = matrix.shape
    return {"m": m, "k": k, "address": address, "number": number}


class Held(wiring.Component):  # type: ignore[misc]
    """A store whose fetches wait until they may go."""

    def __init__(self, store: WeightStore) -> None:
        self.store = store
        members = dict(store.signature.members)
        super().__init__({"go": wiring.In(1), **members})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.store = store = self.store
        for name in ("address", "data", "write", "quiesce"):
            m.d.comb += getattr(store, name).eq(getattr(self, name))
        wiring.connect(m, wiring.flipped(self.beats), store.beats)
        m.d.comb += [
            store.fetches.payload.eq(self.fetches.payload),
            store.fetches.valid.eq(self.fetches.valid & self.go),
            self.fetches.ready.eq(store.fetches.ready & self.go),
        ]
        return m


def read_back(
    config: AcceleratorConfig,
    matrices: list[npt.NDArray[np.int8]],
    *,
    pause: float,
    seed: int,
    rewrite: bool = False,
) -> tuple[list[tuple[int, int]], list[int], list[int]]:
    """Fetch images that lie one behind the other; return beats and errors, their cycles, and the beats expected."""
    images = [pack_image(config, matrix) for matrix in matrices]
    starts = np.cumsum([0, *(len(image) for image in images)])
    data = b"".join(images)
    assert len(data) <= BYTES
    dut = Held(WeightStore(config, address_bits=ADDRESS_BITS))
    source = Source(
        dut.fetches, [fetch(matrix, int(start)) for matrix, start in zip(matrices, starts[:-1], strict=True)]
    )
    expected = beats(data, config.weight_port_bits)
    sink = Sink(dut.beats, len(expected), pause)

    async def fill(ctx: Any) -> None:
        await Writer(dut, data).write(ctx)
        ctx.set(dut.go, 1)
        if rewrite:
            # The same words again while they are read: the host goes first, and nothing is lost.
            await Writer(dut, data, gap=2).write(ctx)

    simulate(dut, [source], [sink], seed=seed, processes=[fill], limit=6000)
    return [(int(beat.data), int(beat.error)) for beat in sink.items], sink.taken, expected


@pytest.mark.parametrize("rewrite", [False, True])
@pytest.mark.parametrize("seed", range(6))
def test_beats_are_those_of_the_packed_image(seed: int, rewrite: bool) -> None:
    config = store_config(seed)
    generator = np.random.default_rng(seed)
    matrices = [
        generator.integers(-1, 2, (generator.integers(1, 3), generator.integers(1, 30))).astype(np.int8)
        for _ in range(3)
    ]
    got, _, expected = read_back(config, matrices, pause=0.4, seed=seed, rewrite=rewrite)
    assert got == [(beat, Response.OKAY) for beat in expected]


@pytest.mark.parametrize("seed", range(6))
def test_a_beat_comes_each_cycle_through_the_ends_of_jobs(seed: int) -> None:
    config = store_config(seed)
    generator = np.random.default_rng(seed)
    matrices = [generator.integers(-1, 2, (2, 10 * k)).astype(np.int8) for k in (1, 2, 1)]
    _, taken, expected = read_back(config, matrices, pause=0.0, seed=seed)
    assert taken[-1] - taken[0] + 1 == len(expected)


SMALL = AcceleratorConfig(
    lanes=4,
    rows=2,
    tokens_max=1,
    k_max=64,
    m_max=64,
    weight_port_bits=32,
    act_port_bits=32,
    negation="carry",
    weight_store="bram",
    weight_store_bytes=BYTES,
)


@pytest.mark.parametrize("start", [BYTES - 8, BYTES, 2 * BYTES - 4])
def test_beats_beyond_the_end_are_zeros_with_an_error_and_the_next_image_is_right(start: int) -> None:
    dut = WeightStore(SMALL, address_bits=ADDRESS_BITS)
    wide, one = np.ones((2, 16), dtype=np.int8), np.ones((2, 4), dtype=np.int8)
    sink = Sink(dut.beats, 5)

    async def fill(ctx: Any) -> None:
        await Writer(dut, bytes(range(1, 5)) * (BYTES // 4)).write(ctx)

    class Late(Source):
        async def run(self, ctx: Any, choose: Any) -> None:
            await ctx.tick().repeat(BYTES // 4 + 1)
            await super().run(ctx, choose)

    simulate(dut, [Late(dut.fetches, [fetch(wide, start), fetch(one, 0)])], [sink], processes=[fill])
    word = int.from_bytes(bytes(range(1, 5)), "little")
    inside = max(0, (BYTES - start) // 4)
    assert [(int(beat.data), int(beat.error)) for beat in sink.items] == [
        *[(word, Response.OKAY)] * inside,
        *[(0, Response.DECERR)] * (4 - inside),
        (word, Response.OKAY),
    ]


def test_an_abort_forgets_fetches_and_keeps_the_memory() -> None:
    """Beats that were on their way do not come before those of the next fetch."""
    dut = Held(WeightStore(SMALL, address_bits=ADDRESS_BITS))
    matrices = [np.ones((2, 64), dtype=np.int8), -np.ones((2, 8), dtype=np.int8)]
    images = [pack_image(SMALL, matrix) for matrix in matrices]
    source = Source(dut.fetches, [fetch(matrices[0], 0), fetch(matrices[1], len(images[0]))])
    expected = beats(images[1], SMALL.weight_port_bits)
    sink = Sink(dut.beats, len(expected), counts=lambda beat: int(beat.data) in expected)

    async def script(ctx: Any) -> None:
        await Writer(dut, b"".join(images)).write(ctx)
        ctx.set(dut.go, 1)
        await ctx.tick()
        ctx.set(dut.go, 0)
        await ctx.tick().repeat(BeatMemory.LATENCY + 5)
        ctx.set(dut.quiesce, 1)
        await ctx.tick().repeat(2)
        ctx.set(dut.quiesce, 0)
        ctx.set(dut.go, 1)

    simulate(dut, [source], [sink], processes=[script])
    got = [int(beat.data) for beat in sink.items]
    assert got[-len(expected) :] == expected
    assert 0 < len(got) - len(expected) < len(images[0]) // 4
