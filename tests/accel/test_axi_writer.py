"""The AXI write master: every word of Y[T, M] once at its place, and nothing else touched."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from axi_memory import WriteMemory
from driving import Source, simulate
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tritforge.accel.axi_config import AxiConfig
from tritforge.accel.axi_writer import AxiWriter
from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.errors import InputError
from tritforge.accel.presets import PRESETS

SLVERR, DECERR = 2, 3


def changed(**values: Any) -> AcceleratorConfig:
    return AcceleratorConfig.from_dict({"tokens_max": 16, **values}, base=PRESETS["tiny"])


@dataclass(frozen=True)
class Job:
    m: int
    tokens: int
    address: int
    stride: int

    def store(self, index: int) -> dict[str, int]:
        shape = {"m": self.m, "tokens": self.tokens}
        return {**shape, "address": self.address, "stride": self.stride, "number": index % 16}

    def word(self, token: int, row: int) -> int:
        return (self.address * 31 + token * 65537 + row * 257 + 1) * 2654435761 % (1 << 32)

    def beats(self, config: AcceleratorConfig) -> list[dict[str, Any]]:
        """The core's beats: words in the order (row tile, token, row)."""
        words = [
            self.word(token, row)
            for tile in range(0, self.m, config.rows)
            for token in range(self.tokens)
            for row in range(tile, min(tile + config.rows, self.m))
        ]
        size = config.results_per_beat
        parts = [words[start : start + size] for start in range(0, len(words), size)]
        return [
            {
                "words": [*part, *[0xDEAD] * (size - len(part))],
                "keep": (1 << len(part)) - 1,
                "last": part is parts[-1],
            }
            for part in parts
        ]

    def memory(self) -> dict[int, int]:
        """Bytes of Y by their address."""
        return {
            (self.address + token * self.stride + 4 * row + index): self.word(token, row) >> 8 * index & 0xFF
            for token in range(self.tokens)
            for row in range(self.m)
            for index in range(4)
        }


@dataclass(frozen=True)
class Stored:
    """High for the pulse that says that a job is stored, as a stream, with its response."""

    valid: Any
    payload: Any
    ready: Any


def write(
    config: AcceleratorConfig,
    axi: AxiConfig,
    jobs: list[Job],
    *,
    pauses: tuple[float, float, float] = (0, 0, 0),
    seed: int = 0,
    **memory_values: Any,
) -> tuple[WriteMemory, list[int], Source]:
    """Write the results of jobs, and compare all of memory; return the responses told with `stored` too."""
    dut = AxiWriter(config, axi)
    memory = WriteMemory(
        dut.axi,
        outstanding=axi.outstanding,
        pause=pauses[1],
        seed=seed,
        longest=axi.burst_beats,
        **memory_values,
    )
    responses: list[int] = []

    async def watch(ctx: Any) -> None:
        async for *_, stored, response in ctx.tick().sample(dut.stored, dut.store_error):
            if stored:
                # All that belongs to the job is in memory by now.
                assert set(jobs[len(responses)].memory()) <= set(memory.written)
                responses.append(response)

    stores = Source(dut.stores, [job.store(index) for index, job in enumerate(jobs)], pauses[0])
    results = Source(dut.results, [beat for job in jobs for beat in job.beats(config)], pauses[2])
    simulate(dut, [stores, results], [], seed=seed, limit=50_000, drain=800, processes=[memory.run, watch])
    assert len(responses) == len(jobs)
    expected: dict[int, int] = {}
    for job in jobs:
        assert not expected.keys() & job.memory().keys()
        expected |= job.memory()
    assert memory.written == expected
    assert set(memory.times.values()) == {1}
    assert memory.answered == len(memory.bursts)
    return memory, responses, results


pause = st.sampled_from([0.0, 0.0, 0.3, 0.7])


@given(
    port=st.sampled_from([32, 64, 128, 512]),
    rows=st.sampled_from([1, 3, 4, 7, 16]),
    burst=st.sampled_from([2, 4, 16, 64, 256]),
    outstanding=st.integers(1, 6),
    shapes=st.lists(
        st.tuples(st.integers(1, 20), st.integers(1, 4), st.integers(-3, 3), st.integers(0, 2)),
        min_size=1,
        max_size=3,
    ),
    pauses=st.tuples(pause, pause, pause),
    lazy=st.booleans(),
    latency=st.sampled_from([0, 1, 25]),
)
@example(  # rows that are no multiple of a beat, around a boundary
    port=128,
    rows=7,
    burst=256,
    outstanding=3,
    shapes=[(20, 4, -2, 0), (20, 4, -1, 1)],
    pauses=(0.0, 0.0, 0.0),
    lazy=False,
    latency=0,
)
@settings(max_examples=40, deadline=None)
def test_every_word_is_written_once_and_nothing_else(
    port: int,
    rows: int,
    burst: int,
    outstanding: int,
    shapes: list[tuple[int, int, int, int]],
    pauses: tuple[float, float, float],
    lazy: bool,
    latency: int,
) -> None:
    config = changed(result_port_bits=port, rows=rows)
    axi = AxiConfig(burst_beats=burst, outstanding=outstanding, write_master=True)
    size = port // 8
    jobs = [
        Job(m, tokens, 0x10000 * (index + 1) + place * size, (-(-4 * m // size) + gap) * size)
        for index, (m, tokens, place, gap) in enumerate(shapes)
    ]
    write(config, axi, jobs, pauses=pauses, seed=port + rows, lazy=lazy, latency=latency)


def test_a_tiles_rows_of_a_token_are_one_burst() -> None:
    """Rows of 12 bytes on a port of 8: the second tile starts in the middle of a beat."""
    axi = AxiConfig(write_master=True)
    memory, _, _ = write(changed(rows=3), axi, [Job(5, 2, 0x100, 0x40)])
    assert [(burst.address, burst.beats) for burst in memory.bursts] == [
        (0x100, 2),
        (0x140, 2),
        (0x108, 2),
        (0x148, 2),
    ]


def test_a_burst_ends_with_its_block() -> None:
    axi = AxiConfig(burst_beats=256, write_master=True)
    memory, _, _ = write(changed(rows=16), axi, [Job(16, 2, 0xFF0, 0x1000)])
    assert [(burst.address, burst.beats) for burst in memory.bursts] == [
        (0xFF0, 2),
        (0x1000, 6),
        (0x1FF0, 2),
        (0x2000, 6),
    ]


@pytest.mark.parametrize("port", [32, 64, 256])
def test_a_word_a_cycle(port: int) -> None:
    """A beat of the core's is taken as soon as its words went, whatever the places."""
    config = changed(rows=4, result_port_bits=port)
    job = Job(20, 16, 0x1000, 96)
    axi = AxiConfig(outstanding=16, write_master=True)
    _, _, source = write(config, axi, [job], latency=10)
    assert np.diff(source.taken).tolist() == [config.results_per_beat] * (len(source.taken) - 1)


def test_writes_are_under_way_side_by_side() -> None:
    axi = AxiConfig(outstanding=4, write_master=True)
    memory, _, _ = write(changed(), axi, [Job(4, 16, 0, 16)], latency=60)
    assert memory.most == 4


def test_the_worst_answer_of_a_job_is_told_and_of_no_other() -> None:
    wrong = {0x1000: SLVERR, 0x1010: DECERR, 0x1020: SLVERR, 0x2000: 1, 0x3010: SLVERR}
    jobs = [Job(4, 4, 0x1000 * (index + 1), 16) for index in range(4)]
    axi = AxiConfig(write_master=True)
    _, responses, _ = write(changed(), axi, jobs, response=lambda address: wrong.get(address, 0))
    assert responses == [DECERR, 0, SLVERR, 0]


@pytest.mark.parametrize("seed", range(12))
def test_quiescence_ends_begun_bursts_and_the_next_job_is_right(seed: int) -> None:
    generator = np.random.default_rng(seed)
    config = changed(rows=7)
    axi = AxiConfig(burst_beats=4, outstanding=2, write_master=True)
    dut = AxiWriter(config, axi)
    memory = WriteMemory(dut.axi, longest=4, outstanding=2, pause=0.4, latency=9, seed=seed)
    dropped, next_job = Job(20, 4, 0x1000, 0x80), Job(9, 3, 0x4000, 0x40)
    told: list[int] = []
    finished: list[bool] = []

    async def feed(ctx: Any, job: Job, count: int) -> None:
        ctx.set(dut.stores.payload, job.store(0))
        ctx.set(dut.stores.valid, 1)
        await ctx.tick().until(dut.stores.ready)
        ctx.set(dut.stores.valid, 0)
        for beat in job.beats(config)[:count]:
            ctx.set(dut.results.payload, beat)
            ctx.set(dut.results.valid, 1)
            await ctx.tick().until(dut.results.ready)
            ctx.set(dut.results.valid, 0)

    async def control(ctx: Any) -> None:
        for _ in range(3):
            await feed(ctx, dropped, int(generator.integers(0, 40)))
            await ctx.tick().repeat(int(generator.integers(1, 9)))
            ctx.set(dut.results.valid, int(generator.integers(2)))
            ctx.set(dut.quiesce, 1)
            await ctx.tick().until(dut.quiet)
            ctx.set(dut.quiesce, 0)
            ctx.set(dut.results.valid, 0)
            assert memory.answered == len(memory.bursts)
        await feed(ctx, next_job, 99)
        finished.append(True)

    async def watch(ctx: Any) -> None:
        async for *_, stored, response in ctx.tick().sample(dut.stored, dut.store_error):
            if stored:
                told.append(response)

    simulate(dut, [], [], drain=2500, seed=seed, processes=[memory.run, control, watch])
    assert finished
    assert told == [0]
    # What was written of the dropped job is of its words.
    there = dropped.memory() | next_job.memory()
    assert all(there[address] == byte for address, byte in memory.written.items())
    assert set(next_job.memory()) <= set(memory.written)


def test_a_port_that_is_no_axi_width_is_refused() -> None:
    with pytest.raises(InputError, match=r"result_port_bits is 1024; the AXI masters take 32 to 512 bits"):
        AxiWriter(changed(result_port_bits=1024), AxiConfig(write_master=True))
