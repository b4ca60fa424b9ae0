"""The result path: words joined into beats, the job's end marked, sums in order."""

import random

import numpy as np
import pytest
from driving import Sink, Source, simulate, words_of

from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.results import ResultQueue, WordPacker


def configured(words: int, rows: int = 4) -> AcceleratorConfig:
    return AcceleratorConfig(
        lanes=8, rows=rows, tokens_max=4, k_max=64, m_max=64, act_port_bits=8, result_port_bits=32 * words
    )


def chunks_of(counts: list[int], size: int) -> list[dict[str, object]]:
    """One job's chunks, words numbered from 1; what a chunk does not use is filled with rubbish."""
    chunks = []
    word = 1
    for index, count in enumerate(counts):
        words = [word + i if i < count else 0xBAD00BAD for i in range(size)]
        chunks.append({"words": words, "count": count, "last": index == len(counts) - 1})
        word += count
    return chunks


@pytest.mark.parametrize("size", [1, 2, 4, 8])
@pytest.mark.parametrize("pauses", [(0.0, 0.0), (0.4, 0.0), (0.0, 0.6), (0.4, 0.6)], ids=str)
def test_chunks_become_full_beats_and_a_rest(size: int, pauses: tuple[float, float]) -> None:
    choose = random.Random(size)  # noqa: S311
    jobs = [[choose.randint(1, size) for _ in range(choose.randint(1, 6))] for _ in range(30)]
    dut = WordPacker(configured(size))
    sink = Sink(dut.o, len(jobs), pauses[1], counts=lambda beat: bool(beat.last))
    source = Source(dut.i, [chunk for counts in jobs for chunk in chunks_of(counts, size)], pauses[0])
    simulate(dut, [source], [sink], seed=size)

    packets: list[list[list[int]]] = [[]]
    for beat in sink.items:
        packets[-1].append(words_of(beat))
        if beat.last:
            packets.append([])
    assert packets.pop() == []
    for counts, packet in zip(jobs, packets, strict=True):
        total = sum(counts)
        assert [word for beat in packet for word in beat] == list(range(1, total + 1))
        assert [len(beat) for beat in packet[:-1]] == [size] * (-(-total // size) - 1)


def test_a_chunk_passes_in_a_cycle() -> None:
    """Full chunks stream without a gap and leave one cycle after they came."""
    dut = WordPacker(configured(2))
    source = Source(dut.i, chunks_of([2] * 10, 2))
    sink = Sink(dut.o, 10)
    simulate(dut, [source], [sink])
    assert source.taken == list(range(1, 11))
    assert sink.taken == list(range(2, 12))


def test_a_rest_that_does_not_fit_costs_one_cycle() -> None:
    dut = WordPacker(configured(2))
    source = Source(dut.i, chunks_of([1, 2], 2) + chunks_of([2], 2))
    sink = Sink(dut.o, 3)
    simulate(dut, [source], [sink])
    assert [words_of(beat) for beat in sink.items] == [[1, 2], [3], [1, 2]]
    assert [int(beat.last) for beat in sink.items] == [0, 1, 1]
    assert source.taken == [1, 2, 4]


def sums_of(
    generator: np.random.Generator, config: AcceleratorConfig, m: int, tokens: int
) -> list[np.ndarray[tuple[int, ...], np.dtype[np.int64]]]:
    """Entries of a job in the order (row tile, token), the accumulators' extremes among them."""
    limit = 1 << (config.acc_bits - 1)
    entries = [generator.integers(-limit, limit, config.rows) for _ in range(config.row_tiles(m) * tokens)]
    entries[0][0], entries[-1][0] = -limit, limit - 1
    return entries


@pytest.mark.parametrize("rows", [1, 3, 4, 7])
@pytest.mark.parametrize("words", [1, 2, 8])
@pytest.mark.parametrize("pause", [0.0, 0.5])
def test_the_queue_sends_the_rows_of_the_job_alone_in_order(rows: int, words: int, pause: float) -> None:
    """Entries are pushed only while there is room, as the sequencer does it."""
    config = configured(words, rows)
    generator = np.random.default_rng(10 * rows + words)
    shapes = [(1, 1), (rows, 4), (rows + 1, 2), (3 * rows, 3), (2 * rows - 1, 1), (5 * rows + 1, 4)]
    jobs = [(m, tokens, sums_of(generator, config, m, tokens)) for m, tokens in shapes]
    dut = ResultQueue(config)
    popped = 0
    finished = 0

    async def push(ctx: object) -> None:
        room = config.result_entries
        nonlocal popped, finished
        waiting = [entry for *_, entries in jobs for entry in entries]
        while True:
            give = bool(waiting) and room > 0
            ctx.set(dut.push, give)  # type: ignore[attr-defined]
            if give:
                ctx.set(dut.sums, [int(value) for value in waiting.pop(0)])  # type: ignore[attr-defined]
            *_, gone, end = await ctx.tick().sample(dut.popped, dut.finished)  # type: ignore[attr-defined]
            room += gone - give
            popped += gone
            finished += end

    source = Source(dut.jobs, [{"m": m, "k": 8, "tokens": tokens} for m, tokens, _ in jobs])
    sink = Sink(dut.o, len(jobs), pause, counts=lambda beat: bool(beat.last))
    simulate(dut, [source], [sink], seed=rows, processes=[push])

    got = [word for beat in sink.items for word in words_of(beat)]
    expected = [
        int(value) & 0xFFFFFFFF
        for m, tokens, entries in jobs
        for index, entry in enumerate(entries)
        for value in entry[: min(rows, m - index // tokens * rows)]
    ]
    assert got == expected
    assert popped == sum(len(entries) for *_, entries in jobs)
    assert finished == len(jobs)
