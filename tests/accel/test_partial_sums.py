"""Partial sums: words added one by one, exact and in step with their beats."""

import random

import numpy as np
import pytest
from driving import Sink, Source, simulate, words_of

from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.partial_sums import PartialSums, packed_layout


def configured(words: int) -> AcceleratorConfig:
    return AcceleratorConfig(result_port_bits=32 * words, partial_sums=True)


@pytest.mark.parametrize("size", [1, 2, 4])
@pytest.mark.parametrize(
    "pauses", [(0.0, 0.0, 0.0), (0.4, 0.0, 0.5), (0.0, 0.7, 0.0), (0.4, 0.4, 0.4)], ids=str
)
def test_each_beat_of_a_job_that_accumulates_meets_one_of_partial_sums(
    size: int, pauses: tuple[float, float, float]
) -> None:
    choose = random.Random(size)  # noqa: S311
    generator = np.random.default_rng(size)
    given, partials, expected = [], [], []
    for _ in range(40):
        accumulate = choose.randrange(2)
        count = choose.randint(1, 5)
        for number in range(count):
            words = generator.integers(0, 1 << 32, size)
            last = int(number == count - 1)
            kept = choose.randint(1, size) if last else size
            given.append(
                {"words": words.tolist(), "keep": (1 << kept) - 1, "last": last, "accumulate": accumulate}
            )
            total = words
            if accumulate:
                more = generator.integers(0, 1 << 32, size)
                partials.append(sum(int(word) << 32 * index for index, word in enumerate(more)))
                total = words + more
            expected.append(((total & 0xFFFFFFFF)[:kept].tolist(), last))
    dut = PartialSums(configured(size))
    sink = Sink(dut.o, len(expected), pauses[2])
    sources = [Source(dut.i, given, pauses[0]), Source(dut.partials, partials, pauses[1])]
    simulate(dut, sources, [sink], seed=size)
    assert [(words_of(beat), int(beat.last)) for beat in sink.items] == expected


def test_a_beat_a_cycle_passes_and_leaves_a_cycle_later() -> None:
    dut = PartialSums(configured(2))
    beats = [{"words": [1, 2], "keep": 3, "last": 0, "accumulate": index % 2} for index in range(10)]
    source, sink = Source(dut.i, beats), Sink(dut.o, 10)
    simulate(dut, [source, Source(dut.partials, [0] * 5)], [sink])
    assert source.taken == list(range(1, 11))
    assert sink.taken == list(range(2, 12))


def test_sums_reach_the_ends_of_their_interval() -> None:
    """The largest and the least words meet their complement, and wrap nowhere on the way."""
    dut = PartialSums(configured(2))
    low, high = 1 << 31, (1 << 31) - 1
    beat = {"words": [low, high], "keep": 3, "last": 1, "accumulate": 1}
    sink = Sink(dut.o, 1)
    simulate(dut, [Source(dut.i, [beat]), Source(dut.partials, [low << 32 | high])], [sink])
    assert words_of(sink.items[0]) == [0xFFFFFFFF, 0xFFFFFFFF]


def test_only_a_configuration_with_partial_sums_carries_the_flag() -> None:
    assert "accumulate" in dict(packed_layout(configured(2)))
    assert "accumulate" not in dict(packed_layout(AcceleratorConfig()))
