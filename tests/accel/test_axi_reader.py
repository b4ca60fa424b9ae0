"""The AXI read master: every beat of every image, once and in order, in bursts that the protocol allows."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from axi_memory import ReadMemory
from driving import Sink, Source, simulate
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tritforge.accel.axi_config import AxiConfig
from tritforge.accel.axi_reader import AxiReader
from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.errors import InputError
from tritforge.accel.presets import PRESETS
from tritforge.models.image import image_bytes

SLVERR, DECERR = 2, 3


def changed(**values: Any) -> AcceleratorConfig:
    return AcceleratorConfig.from_dict(values, base=PRESETS["tiny"])


@dataclass(frozen=True)
class Job:
    m: int
    k: int
    address: int

    def fetch(self, index: int) -> dict[str, int]:
        return {"m": self.m, "k": self.k, "address": self.address, "number": index % 16}


def beat_at(address: int, bits: int) -> int:
    """Contents of memory: a hash of the address."""
    return (address * 0x9E3779B97F4A7C15 + 0x1234567) * 0xD1342543DE82EF95 % (1 << 521) % (1 << bits)


def addresses(config: AcceleratorConfig, axi: AxiConfig, jobs: list[Job]) -> list[int]:
    """Byte addresses of the beats of jobs."""
    size = config.weight_port_bits // 8
    return [
        (job.address + offset) % (1 << axi.address_bits)
        for job in jobs
        for offset in range(0, image_bytes(config, job.m, job.k), size)
    ]


def fetch(
    config: AcceleratorConfig,
    axi: AxiConfig,
    jobs: list[Job],
    *,
    pauses: tuple[float, float, float] = (0, 0, 0),
    latency: int = 0,
    wrong: dict[int, int] | None = None,
    seed: int = 0,
) -> tuple[ReadMemory, Sink, AxiReader]:
    """Fetch images with pauses of jobs, memory and beats; compare all beats."""
    wrong = wrong or {}
    dut = AxiReader(config, axi)
    bits = config.weight_port_bits
    expected = addresses(config, axi, jobs)
    memory = ReadMemory(
        dut.axi,
        lambda address: beat_at(address, bits),
        longest=dut.block_beats,
        outstanding=axi.outstanding,
        pause=pauses[1],
        latency=latency,
        response=lambda address: wrong.get(address, 0),
        seed=seed,
    )
    source = Source(dut.jobs, [job.fetch(index) for index, job in enumerate(jobs)], pauses[0])
    sink = Sink(dut.beats, len(expected), pauses[2])
    simulate(dut, [source], [sink], seed=seed, limit=100_000, processes=[memory.run])
    for beat, address in zip(sink.items, expected, strict=True):
        error = wrong.get(address, 0)
        assert (int(beat.error), int(beat.data)) == (error, 0 if error else beat_at(address, bits))
    assert memory.sent == len(expected) == sum(burst.beats for burst in memory.bursts)
    return memory, sink, dut


pause = st.sampled_from([0.0, 0.0, 0.3, 0.8])


@given(
    port=st.sampled_from([32, 64, 128, 512]),
    burst=st.sampled_from([2, 4, 16, 64, 256]),
    outstanding=st.integers(1, 6),
    places=st.lists(
        st.tuples(st.integers(1, 20), st.integers(1, 64), st.integers(-40, 8), st.sampled_from([12, 31, 32])),
        min_size=1,
        max_size=4,
    ),
    pauses=st.tuples(pause, pause, pause),
    latency=st.sampled_from([0, 1, 30]),
    negation=st.sampled_from(["bias", "carry"]),
)
@example(  # all around the end of the address space
    port=32,
    burst=16,
    outstanding=4,
    places=[(9, 30, -17, 32)],
    pauses=(0.0, 0.0, 0.0),
    latency=0,
    negation="bias",
)
@settings(max_examples=30, deadline=None)
def test_every_beat_comes_once_and_in_order(
    port: int,
    burst: int,
    outstanding: int,
    places: list[tuple[int, int, int, int]],
    pauses: tuple[float, float, float],
    latency: int,
    negation: str,
) -> None:
    config = changed(weight_port_bits=port, negation=negation)
    axi = AxiConfig(burst_beats=burst, outstanding=outstanding)
    size = port // 8
    jobs = [Job(m, k, (place * size + (1 << bit)) % (1 << 32)) for m, k, place, bit in places]
    fetch(config, axi, jobs, pauses=pauses, latency=latency, seed=port + burst)


def test_a_burst_ends_with_its_block_or_its_image() -> None:
    """Blocks are of 16 beats of 4 bytes; the second image starts in the last beat of 4 KiB."""
    axi = AxiConfig(burst_beats=16)
    memory, _, _ = fetch(changed(), axi, [Job(9, 30, 0x1008), Job(4, 8, 0x1FFC)])
    bursts = [(burst.address, burst.beats) for burst in memory.bursts]
    assert bursts == [(0x1008, 14), (0x1040, 16), (0x1FFC, 1), (0x2000, 3)]


def test_a_wide_bus_keeps_to_shorter_bursts() -> None:
    """256 beats of 64 bytes would be 16 KiB."""
    config = changed(weight_port_bits=512, lanes=64, rows=16, k_max=1024)
    memory, _, dut = fetch(config, AxiConfig(burst_beats=256), [Job(64, 512, 0x40)])
    assert dut.block_beats == 64
    assert image_bytes(config, 64, 512) == 132 * 64
    assert [burst.beats for burst in memory.bursts] == [63, 64, 5]


#: Small images of tiles of two beats, and images longer than the buffer of tiles of one.
UNBROKEN = {
    "two": (changed(), [Job(16, 64, 0x1000), Job(33, 40, 0x8008), Job(2, 64, 0x4000), Job(12, 33, 0x10)]),
    "one": (
        changed(negation="carry", weight_port_bits=64),
        [Job(160, 64, 0x1000), Job(170, 60, 0x8008), Job(256, 64, 0x4000), Job(200, 33, 0x10)],
    ),
}


@pytest.mark.parametrize("case", UNBROKEN)
@pytest.mark.parametrize(("burst", "outstanding", "latency"), [(2, 16, 0), (64, 2, 0), (64, 3, 40)])
def test_a_beat_a_cycle_for_as_long_as_memory_sends_one(
    case: str, burst: int, outstanding: int, latency: int
) -> None:
    """After the first beat there is no cycle without one, from job to job."""
    config, jobs = UNBROKEN[case]
    axi = AxiConfig(burst_beats=burst, outstanding=outstanding)
    _, sink, _ = fetch(config, axi, jobs, latency=latency)
    assert np.diff(sink.taken).tolist() == [1] * (len(sink.taken) - 1)


def test_the_next_image_is_asked_for_while_beats_of_the_present_one_come() -> None:
    axi = AxiConfig(burst_beats=16, outstanding=4)
    memory, sink, _ = fetch(changed(), axi, [Job(8, 24, 0x0), Job(8, 24, 0x1000)], latency=20)
    assert [burst.address for burst in memory.bursts] == [0x0, 0x1000]
    assert memory.asked[1] < sink.taken[0]


def test_all_reads_that_may_be_under_way_are() -> None:
    axi = AxiConfig(burst_beats=4, outstanding=5)
    memory, _, _ = fetch(changed(), axi, [Job(32, 64, 0)], latency=100)
    assert memory.most == 5


@pytest.mark.parametrize("response", [SLVERR, DECERR])
def test_a_failing_beat_is_zero_and_says_so(response: int) -> None:
    fetch(
        changed(),
        AxiConfig(burst_beats=4),
        [Job(8, 24, 0), Job(8, 24, 0x100)],
        wrong={8: response, 0x104: response},
    )


def test_an_exclusive_response_is_no_error() -> None:
    dut_bits = 32
    dut = AxiReader(changed(), AxiConfig())
    memory = ReadMemory(dut.axi, lambda address: beat_at(address, dut_bits), response=lambda _: 1)
    sink = Sink(dut.beats, 4)
    simulate(dut, [Source(dut.jobs, [Job(1, 1, 0).fetch(0)])], [sink], processes=[memory.run])
    assert [int(beat.data) for beat in sink.items] == [beat_at(address, 32) for address in (0, 4, 8, 12)]


@pytest.mark.parametrize("seed", range(12))
def test_quiescence_drops_everything_and_keeps_to_the_protocol(seed: int) -> None:
    """Stopped at any time, the reader finishes what memory owes it, and the next job is as any other."""
    generator = np.random.default_rng(seed)
    config, axi = changed(), AxiConfig(burst_beats=4, outstanding=3)
    dut = AxiReader(config, axi)
    memory = ReadMemory(
        dut.axi,
        lambda address: beat_at(address, 32),
        longest=4,
        outstanding=3,
        pause=0.3,
        latency=9,
        seed=seed,
    )
    expected = addresses(config, axi, [Job(8, 24, 0x9000)])
    times = generator.integers(1, 60, 3)
    got: list[int] = []

    async def control(ctx: Any) -> None:
        for time in times:
            ctx.set(dut.jobs.payload, Job(32, 64, 0x2000).fetch(0))
            ctx.set(dut.jobs.valid, 1)
            ctx.set(dut.beats.ready, int(generator.integers(2)))
            await ctx.tick().until(dut.jobs.ready)
            ctx.set(dut.jobs.valid, 0)
            await ctx.tick().repeat(int(time))
            ctx.set(dut.quiesce, 1)
            await ctx.tick().until(dut.quiet)
            ctx.set(dut.quiesce, 0)
            assert memory.sent == sum(burst.beats for burst in memory.bursts)
        ctx.set(dut.jobs.payload, Job(8, 24, 0x9000).fetch(1))
        ctx.set(dut.jobs.valid, 1)
        ctx.set(dut.beats.ready, 1)
        while len(got) < len(expected):
            *_, job_taken, valid, beat = await ctx.tick().sample(
                dut.jobs.ready, dut.beats.valid, dut.beats.payload
            )
            if job_taken:
                ctx.set(dut.jobs.valid, 0)
            if valid:
                got.append(int(beat.data))
        done.append(True)

    done: list[bool] = []

    async def wait(ctx: Any) -> None:
        await ctx.tick().repeat(2000)

    simulate(dut, [], [], drain=1500, seed=seed, processes=[memory.run, control])
    assert done
    assert got == [beat_at(address, 32) for address in expected]


def test_a_core_without_a_dense_stream_of_an_axi_width_is_refused() -> None:
    with pytest.raises(InputError, match=r"weight_port_bits is 16; the AXI masters take 32 to 512 bits"):
        AxiReader(changed(weight_port_bits=16), AxiConfig())
