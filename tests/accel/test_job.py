"""The job port: bounds checked once, every reader served once."""

import random
from typing import Any

import pytest
from driving import Sink, Source, simulate

from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.job import Error, JobPort, index_range, job_flags, job_layout
from tritforge.accel.presets import PRESETS

TINY = PRESETS["tiny"]
LEGAL = [
    {"m": 1, "k": 1, "tokens": 1},
    {"m": 256, "k": 64, "tokens": 4},
    {"m": 7, "k": 13, "tokens": 3},
]
ILLEGAL = [
    {**LEGAL[2], name: value}
    for name, values in (("m", (0, 257, 511)), ("k", (0, 65, 127)), ("tokens", (0, 5, 7)))
    for value in values
]


def fields(job: Any) -> dict[str, int]:
    return {"m": int(job.m), "k": int(job.k), "tokens": int(job.tokens)}


@pytest.mark.parametrize("pauses", [(0.0, 0.0, 0.0), (0.5, 0.3, 0.8), (0.0, 0.9, 0.1)], ids=str)
def test_every_reader_gets_every_legal_job_once_and_no_other(pauses: tuple[float, float, float]) -> None:
    jobs = [job for illegal in ILLEGAL for job in (illegal, *LEGAL)]
    legal = LEGAL * len(ILLEGAL)
    dut = JobPort(TINY, (1, 3))
    refused: list[int] = []

    async def watch(ctx: Any) -> None:
        async for *_, value in ctx.tick().sample(dut.refused):
            refused.append(value)

    sinks = [Sink(dut.o0, len(legal), pauses[1]), Sink(dut.o1, len(legal), pauses[2])]
    simulate(dut, [Source(dut.jobs, jobs, pauses[0])], sinks, seed=1, processes=[watch])
    for sink in sinks:
        assert [fields(job) for job in sink.items] == legal
    assert sum(refused) == len(ILLEGAL)


@pytest.mark.parametrize("job", LEGAL + ILLEGAL, ids=str)
def test_the_hardware_refuses_what_the_configuration_refuses(job: dict[str, int]) -> None:
    dut = JobPort(TINY, (1,))
    sink = Sink(dut.o0, int(job in LEGAL))
    simulate(dut, [Source(dut.jobs, [job])], [sink])
    try:
        TINY.check_job(**job)
        legal = True
    except ValueError:
        legal = False
    assert bool(sink.items) == legal == (job in LEGAL)


def test_a_job_leaves_a_cycle_after_it_came() -> None:
    dut = JobPort(TINY, (1,))
    source, sink = Source(dut.jobs, LEGAL[:1]), Sink(dut.o0, 1)
    simulate(dut, [source], [sink])
    assert sink.taken[0] - source.taken[0] == 1


@pytest.mark.parametrize(("m_max", "k_max", "tokens_max"), [(255, 63, 3), (256, 64, 4), (1, 1, 1)])
def test_fields_hold_their_bounds(m_max: int, k_max: int, tokens_max: int) -> None:
    config = AcceleratorConfig(m_max=m_max, k_max=k_max, tokens_max=tokens_max)
    layout = job_layout(config)
    for name, bound in (("m", m_max), ("k", k_max), ("tokens", tokens_max)):
        assert 1 << (layout[name].width - 1) <= bound < 1 << layout[name].width


@pytest.mark.parametrize("places", [1, 2, 4])
def test_as_many_jobs_wait_as_a_reader_has_places(places: int) -> None:
    """A reader that takes nothing holds the port up after its places are full; the other is not ahead by more."""
    dut = JobPort(TINY, (1, places))
    jobs = [{**LEGAL[0], "m": number + 1} for number in range(8)]
    source = Source(dut.jobs, jobs)
    fast, slow = Sink(dut.o0, len(jobs)), Sink(dut.o1, len(jobs))
    waited: list[int] = []

    async def hold(ctx: Any) -> None:
        ctx.set(dut.o1.ready, 0)
        await ctx.tick().repeat(40)
        waited.append(len(source.taken))
        await slow.run(ctx, random.Random(0))  # noqa: S311

    simulate(dut, [source], [fast], processes=[hold])
    assert waited == [places]
    assert [int(job.m) for job in fast.items] == [int(job.m) for job in slow.items] == list(range(1, 9))


@pytest.mark.parametrize(
    ("change", "flags"),
    [
        ({}, {}),
        ({"partial_sums": True}, {0: "accumulate"}),
        ({"sparse": True}, {1: "sparse"}),
        ({"partial_sums": True, "sparse": True}, {0: "accumulate", 1: "sparse"}),
    ],
    ids=str,
)
def test_a_job_has_the_flags_of_its_configuration(change: dict[str, bool], flags: dict[int, str]) -> None:
    config = AcceleratorConfig.from_dict(change, base=TINY)
    assert job_flags(config) == flags
    assert [name for name, _ in job_layout(config)] == ["m", "k", "tokens", *flags.values()]


def test_an_index_has_a_bit_at_least() -> None:
    assert [len(index_range(count)) for count in (1, 2, 3)] == [2, 2, 3]


def test_error_codes_are_those_of_the_register_map() -> None:
    assert {error.name: error.value for error in Error} == {"NONE": 0, "ILLEGAL_JOB": 1, "ILLEGAL_TRIT": 2}
