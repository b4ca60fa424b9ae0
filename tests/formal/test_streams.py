"""Stream blocks never drop, duplicate or reorder, and keep what they offer until it is taken: proved, not sampled.

The environment marks one item of all that ever enter, whenever it likes, and notes its contents and how many items
are inside before it. The item must then leave as exactly that one. Since any item may be the marked one, none gets
lost, comes twice or out of order, over streams of any length.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from formal import FormalBench, prove
from stream_bench import TINY, StreamBench, Watch, assert_holds, assert_proved, assert_refuted, bits, taken

from tritforge.accel.codes import RESULT_WORD_BITS
from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.job import JobPort, job_layout
from tritforge.accel.results import ResultQueue, WordPacker

#: As few bits and words as the queue can have.
NARROW = replace(TINY, k_max=1, m_max=3, result_port_bits=RESULT_WORD_BITS)


class JobPortBench(StreamBench):
    """`JobPort`: every reader gets the legal jobs, each once and in order; the others are refused."""

    capacity = 8

    def make(self) -> JobPort:
        return JobPort(TINY)

    def properties(self, m: Module) -> None:
        m.submodules.port = port = self.make()
        offered = self.offer(m, port.jobs, "jobs")
        job = port.jobs.payload
        legal = Signal()
        bounds = ((job.m, TINY.m_max), (job.k, TINY.k_max), (job.tokens, TINY.tokens_max))
        m.d.comb += legal.eq(Cat((value != 0) & (value <= high) for value, high in bounds).all())
        enters = taken(port.jobs) & legal
        self.check(m, port.checked == self.past(m, taken(port.jobs)))
        self.check(m, port.refused == self.past(m, taken(port.jobs) & ~legal))
        index = 0
        while hasattr(port, f"o{index}"):
            output = getattr(port, f"o{index}")
            self.accept(m, output, f"o{index}")
            watch = Watch(
                self,
                m,
                entering=enters,
                leaving=taken(output),
                place=Const(0),
                capacity=self.capacity,
                name=f"o{index}",
            )
            noted = Signal(offered.shape(), name=f"noted{index}")
            with m.If(watch.enters):
                m.d.sync += noted.eq(offered)
            self.check(m, ~watch.leaves | (bits(output.payload) == noted))
            self.cover(m, watch.leaves & self.past(m, watch.marked, 2))
            index += 1
        assert index >= 3


class BeatChecks(StreamBench):
    """Result beats that leave, against words that entered."""

    def check_beats(
        self,
        m: Module,
        output: Any,
        *,
        entering: Value,
        words: Value,
        ends_job: Value,
        capacity: int,
        place: Signal,
    ) -> Watch:
        """Watch a word; `entering` words of `words` enter, the last of them ending a job with `ends_job`."""
        beat = output.payload
        size = len(beat.keep)
        sent = [bits(beat.words[index]) for index in range(size)]
        # Words that are not kept are of no account.
        self.accept(
            m,
            output,
            "o",
            Cat(beat.keep, beat.last, *(Mux(beat.keep[index], word, 0) for index, word in enumerate(sent))),
        )
        kept = Signal(range(size + 1))
        m.d.comb += kept.eq(sum((beat.keep[index] for index in range(1, size)), beat.keep[0]))
        leaving = Mux(taken(output), kept, 0)
        watch = Watch(
            self, m, entering=entering, leaving=leaving, place=place, capacity=capacity, name="word"
        )
        word, last = Signal(RESULT_WORD_BITS), Signal()
        with m.If(watch.enters):
            m.d.sync += [
                word.eq(words.word_select(place, RESULT_WORD_BITS)),
                last.eq(ends_job & (place == entering - 1)),
            ]
        # The words of a beat are its first ones, and all of them but at the end of a job.
        self.check(m, ~output.valid | ((beat.keep & (beat.keep + 1)[:size]) == 0))
        self.check(m, ~output.valid | (beat.keep[0] & (beat.last | beat.keep.all())))
        out = watch.place_out
        found = Value.cast(beat.words).word_select(out[: max(1, (size - 1).bit_length())], RESULT_WORD_BITS)
        self.check(m, ~watch.leaves | (found == word))
        self.check(m, ~watch.leaves | (last == (beat.last & (out == kept - 1))))
        self.cover(m, watch.leaves & last & (out == size - 1))
        return watch


class PackerBench(BeatChecks):
    """`WordPacker`: words, and where jobs end."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.config = replace(TINY, result_port_bits=RESULT_WORD_BITS * size)

    def make(self) -> WordPacker:
        return WordPacker(self.config)

    def properties(self, m: Module) -> None:
        size = self.config.results_per_beat
        m.submodules.packer = packer = self.make()
        self.offer(m, packer.i, "i")
        chunk, enters = packer.i.payload, taken(packer.i)
        self.assume(m, (chunk.count != 0) & (chunk.count <= size))
        watch = self.check_beats(
            m,
            packer.o,
            entering=Mux(enters, chunk.count, 0),
            words=bits(chunk.words),
            ends_job=chunk.last,
            capacity=3 * size,
            place=self.free(range(max(2, size)), "place"),
        )
        # What is inside and complete leaves: a ready output has the rest of a job within two cycles.
        ended = Signal()
        with m.If(enters):
            m.d.sync += ended.eq(chunk.last)
        stuck = ended & ~enters & (watch.inside != 0) & packer.o.ready & ~packer.o.valid
        self.check(m, ~(stuck & self.past(m, stuck)))


class QueueBench(BeatChecks):
    """`ResultQueue`: sums of jobs that follow each other, with the sequencer's promise of room."""

    def __init__(self, config: AcceleratorConfig) -> None:
        super().__init__()
        self.config = config

    def make(self) -> ResultQueue:
        return ResultQueue(self.config)

    def properties(self, m: Module) -> None:
        config = self.config
        m.submodules.queue = queue = self.make()
        # One job is pushed; the queue may not have taken it yet, and works on those before it.
        job, active, waiting = Signal(job_layout(config)), Signal(), Signal()
        m_left, token = Signal(range(config.m_max + 1)), Signal(range(config.tokens_max + 1))
        chosen = Signal(job_layout(config))
        m.d.comb += bits(chosen).eq(self.free(len(bits(chosen)), "chosen"))
        self.assume(m, (chosen.m != 0) & (chosen.m <= config.m_max))
        self.assume(m, (chosen.tokens != 0) & (chosen.tokens <= config.tokens_max))
        rows, ends, push = Signal(range(config.rows + 1)), Signal(), Signal()
        credit = Signal(range(config.result_entries + 1), init=config.result_entries)
        m.d.comb += [
            queue.jobs.valid.eq(waiting),
            bits(queue.jobs.payload).eq(bits(job)),
            rows.eq(Mux(m_left < config.rows, m_left, config.rows)),
            push.eq(active & (credit != 0) & self.free(1, "push")),
            ends.eq((m_left <= config.rows) & (token == job.tokens - 1)),
            queue.push.eq(push),
            bits(queue.sums).eq(self.free(len(bits(queue.sums)), "sums")),
        ]
        m.d.sync += credit.eq(credit + queue.popped - push)
        self.check(m, (credit != config.result_entries) | ~queue.popped | push)
        with m.If(taken(queue.jobs)):
            m.d.sync += waiting.eq(0)
        with m.If(push):
            m.d.sync += token.eq(Mux(token == job.tokens - 1, 0, token + 1))
            with m.If(token == job.tokens - 1):
                m.d.sync += m_left.eq(m_left - config.rows)
            with m.If(ends):
                m.d.sync += active.eq(0)
        with m.If(~active & ~waiting & self.free(1, "next")):
            m.d.sync += [active.eq(1), waiting.eq(1), job.eq(chosen), m_left.eq(chosen.m), token.eq(0)]
        self.check_beats(
            m,
            queue.o,
            entering=Mux(push, rows, 0),
            words=Cat(
                Cat(s, s[-1].replicate(RESULT_WORD_BITS - len(s))) for s in (bits(x) for x in queue.sums)
            ),
            ends_job=ends,
            capacity=config.result_entries * config.rows + 3 * config.results_per_beat,
            place=self.free(range(max(2, config.rows)), "place"),
        )
        self.check(m, queue.finished == (taken(queue.o) & queue.o.payload.last))


def test_the_job_port(tmp_path: Path) -> None:
    assert_proved(JobPortBench, tmp_path, depth=8)


# Of four words a beat, the proof takes a minute and a half.
@pytest.mark.parametrize("size", [1, 2, pytest.param(4, marks=pytest.mark.slow)])
def test_the_word_packer(size: int, tmp_path: Path) -> None:
    assert_proved(PackerBench, tmp_path, size, depth=8)


def test_the_result_queue(tmp_path: Path) -> None:
    """Its memory leaves too many states for a proof of all cycles."""
    assert_holds(QueueBench, tmp_path, NARROW, depth=11)


@pytest.mark.slow
@pytest.mark.parametrize(("config", "depth"), [(NARROW, 13), (TINY, 11)])
def test_the_result_queue_for_longer(config: AcceleratorConfig, depth: int, tmp_path: Path) -> None:
    assert_holds(QueueBench, tmp_path, config, depth=depth)


# Planted faults: each drives a port of the component once more, and the last assignment wins.


class OverwritingPacker(PackerBench):
    """Chunks are taken although there is no room."""

    def make(self) -> WordPacker:
        class Packer(WordPacker):
            def elaborate(self, platform: object) -> Module:
                m = super().elaborate(platform)
                m.d.comb += self.i.ready.eq(1)
                return m

        return Packer(self.config)


class ForgetfulPort(JobPortBench):
    """A reader's job loses its number of tokens."""

    def make(self) -> JobPort:
        class Port(JobPort):
            def elaborate(self, platform: object) -> Module:
                m = super().elaborate(platform)
                late = Signal.like(self.jobs.payload.tokens)
                m.d.sync += late.eq(self.jobs.payload.tokens)
                m.d.comb += self.o2.payload.tokens.eq(late)
                return m

        return Port(TINY)


class EarlyQueue(QueueBench):
    """A job's end is marked with every beat."""

    def make(self) -> ResultQueue:
        class Queue(ResultQueue):
            def elaborate(self, platform: object) -> Module:
                m = super().elaborate(platform)
                m.d.comb += self.o.payload.last.eq(1)
                return m

        return Queue(self.config)


@pytest.mark.parametrize(
    ("bench", "arguments"),
    [
        (OverwritingPacker, (2,)),
        (ForgetfulPort, ()),
        (EarlyQueue, (NARROW,)),
    ],
)
def test_a_faulty_block_is_refuted(
    bench: type[FormalBench], arguments: tuple[Any, ...], tmp_path: Path
) -> None:
    assert_refuted(bench, tmp_path, *arguments, depth=12)


def test_a_fault_is_found_without_a_bound(tmp_path: Path) -> None:
    assert not prove(OverwritingPacker(2), tmp_path).proved
