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
from formal import FormalBench, prove, prove_bounded
from stream_bench import StreamBench, Watch, assert_holds, assert_proved, bits, taken

from tritforge.accel.activations import ActivationBuffer
from tritforge.accel.codes import BIAS_WORD_BITS, I2_ILLEGAL, RESULT_WORD_BITS
from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.job import JobPort, job_layout
from tritforge.accel.presets import PRESETS
from tritforge.accel.results import ResultQueue, WordPacker
from tritforge.accel.weights import WeightLoader

TINY = replace(
    PRESETS["tiny"],
    lanes=2,
    rows=2,
    tokens_max=2,
    k_max=2,
    m_max=4,
    act_bits=2,
    act_port_bits=8,
    weight_port_bits=16,
)

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


class BufferBench(StreamBench):
    """`ActivationBuffer`: a beat is where its job's reader expects it, until the reader gives it back."""

    config = replace(TINY, lanes=2, k_max=4, tokens_max=2)

    def make(self) -> ActivationBuffer:
        return ActivationBuffer(self.config)

    def properties(self, m: Module) -> None:  # noqa: PLR0915
        config = self.config
        m.submodules.buffer = buffer = self.make()
        self.offer(m, buffer.jobs, "jobs")
        beat = self.offer(m, buffer.beats, "beats")
        self.accept(m, buffer.loaded, "loaded")
        job = buffer.jobs.payload
        for value, high in ((job.m, config.m_max), (job.k, config.k_max), (job.tokens, config.tokens_max)):
            self.assume(m, (value != 0) & (value <= high))

        # Where the beats of the job at hand belong.
        here = Signal(job_layout(config))
        loading, address, group = Signal(), Signal(range(config.buffer_words)), Signal(range(2))
        k_done, tokens_done = Signal(range(config.k_max + 1)), Signal(range(config.tokens_max + 1))
        enters, token_ends, job_ends = taken(buffer.beats), Signal(), Signal()
        assert (config.acts_per_beat, config.beats_per_word) == (1, 2)
        m.d.comb += [
            token_ends.eq(k_done == here.k - 1),
            job_ends.eq(token_ends & (tokens_done == here.tokens - 1)),
        ]
        self.check(m, ~enters | loading)
        with m.If(enters):
            m.d.sync += [k_done.eq(Mux(token_ends, 0, k_done + 1)), group.eq(~token_ends & ~group)]
            with m.If(token_ends | group[0]):
                m.d.sync += address.eq(address + 1)
            with m.If(token_ends):
                m.d.sync += tokens_done.eq(tokens_done + 1)
            with m.If(job_ends):
                m.d.sync += loading.eq(0)
        with m.If(taken(buffer.jobs)):
            m.d.sync += [loading.eq(1), here.eq(job), k_done.eq(0), group.eq(0), tokens_done.eq(0)]

        # Jobs come out loaded, in order, with what the reader needs to know of their place.
        watch = Watch(
            self,
            m,
            entering=taken(buffer.jobs),
            leaving=taken(buffer.loaded),
            place=Const(0),
            capacity=4,
            name="job",
        )
        noted = Signal(job_layout(config))
        with m.If(watch.enters):
            m.d.sync += noted.eq(job)
        out = buffer.loaded.payload
        stride = (noted.k + 1) >> 1
        self.check(m, ~watch.leaves | (bits(out.job) == bits(noted)))
        self.check(m, ~watch.leaves | (out.stride == stride))
        self.check(m, ~watch.leaves | (out.words == Mux(noted.tokens == 2, stride << 1, stride)))

        # The reader: one job at a time, whose words it gives back with its end.
        reading, words, release = Signal(), Signal(len(out.words)), Signal()
        numbers = {name: Signal(3, name=name) for name in ("loading_number", "reading_number")}
        m.d.comb += release.eq(reading & self.free(1, "release"))
        m.d.comb += buffer.release.eq(Mux(release, words, 0))
        self.assume(m, ~buffer.loaded.ready | ~reading | release)
        with m.If(release):
            m.d.sync += [reading.eq(0), numbers["reading_number"].eq(numbers["reading_number"] + 1)]
        with m.If(taken(buffer.loaded)):
            m.d.sync += [reading.eq(1), words.eq(out.words)]
        with m.If(enters & job_ends):
            m.d.sync += numbers["loading_number"].eq(numbers["loading_number"] + 1)

        # One beat, and what is read from its place while its job is the reader's.
        marked, value, place, part, number = (
            Signal(width, name=name)
            for name, width in (
                ("marked", 1),
                ("value", len(beat)),
                ("place", len(address)),
                ("part", 1),
                ("number", 3),
            )
        )
        with m.If(self.free(1, "mark") & ~marked & enters):
            m.d.sync += [marked.eq(1), value.eq(beat), place.eq(address), part.eq(group)]
            m.d.sync += number.eq(numbers["loading_number"])
        m.d.comb += buffer.address.eq(self.free(len(buffer.address), "address"))
        live = marked & reading & (numbers["reading_number"] == number)
        known = self.past(m, live & (buffer.address == place), 2)
        # The number of a job comes around after eight, when the marked one is long gone.
        over = Signal()
        with m.If(marked & release & (numbers["reading_number"] == number)):
            m.d.sync += over.eq(1)
        self.check(m, ~known | over | (buffer.data.word_select(part, len(beat)) == value))
        self.cover(m, known & ~over & (place == 2) & part[0])


class LoaderBench(StreamBench):
    """`WeightLoader`: a beat's words come to their place of their tile, a bias to its row."""

    def __init__(self, negation: str) -> None:
        super().__init__()
        self.config = replace(TINY, lanes=4, rows=4, k_max=8, m_max=8, act_port_bits=16, negation=negation)

    def make(self) -> WeightLoader:
        return WeightLoader(self.config)

    def properties(self, m: Module) -> None:  # noqa: PLR0915
        config = self.config
        m.submodules.loader = loader = self.make()
        self.offer(m, loader.jobs, "jobs")
        beat = self.offer(m, loader.beats, "beats")
        swap = loader.tile_valid & self.free(1, "swap")
        m.d.comb += loader.swap.eq(swap)
        job = loader.jobs.payload
        for value, high in ((job.m, config.m_max), (job.k, config.k_max), (job.tokens, config.tokens_max)):
            self.assume(m, (value != 0) & (value <= high))
        assert config.tile_beats == 2

        # What the next beat is: of the tile that `number` counts, or one of the biases that come before it.
        busy, in_bias, index = Signal(), Signal(), Signal(range(8))
        m_left, k_left, k_all = Signal(range(16)), Signal(range(16)), Signal(range(16))
        enters, k_ends = taken(loader.beats), Signal()
        number, handed = Signal(3), Signal(3)
        m.d.comb += k_ends.eq(k_left <= config.lanes)
        self.check(m, ~enters | busy)
        with m.If(enters):
            m.d.sync += index.eq(index + 1)
            with m.If(in_bias & (index == config.bias_beats - 1)):
                m.d.sync += [in_bias.eq(0), index.eq(0)]
            with m.If(~in_bias & (index == config.tile_beats - 1)):
                m.d.sync += [index.eq(0), number.eq(number + 1)]
                m.d.sync += [k_left.eq(Mux(k_ends, k_all, k_left - config.lanes))]
                with m.If(k_ends):
                    m.d.sync += [in_bias.eq(int(config.bias_beats > 0)), m_left.eq(m_left - config.rows)]
                    with m.If(m_left <= config.rows):
                        m.d.sync += busy.eq(0)
        with m.If(taken(loader.jobs)):
            m.d.sync += [busy.eq(1), in_bias.eq(int(config.bias_beats > 0)), index.eq(0)]
            m.d.sync += [m_left.eq(job.m), k_left.eq(job.k), k_all.eq(job.k)]
        with m.If(swap):
            m.d.sync += handed.eq(handed + 1)
        # No tile comes that was not sent, and at most one is complete and one begun.
        self.check(m, ~loader.tile_valid | (handed != number))
        self.check(m, (number - handed)[:3] <= 1)

        marked, value, part, of, bias = (
            Signal(width, name=name)
            for name, width in (("marked", 1), ("value", len(beat)), ("part", 3), ("of", 3), ("bias", 1))
        )
        gone = Signal()
        with m.If(self.free(1, "mark") & ~marked & enters):
            m.d.sync += [marked.eq(1), value.eq(beat), part.eq(index), of.eq(number), bias.eq(in_bias)]
        arrives = marked & ~gone & swap & (handed == of)
        with m.If(arrives):
            m.d.sync += gone.eq(1)
        port = config.weight_port_bits
        # It can be read two cycles after the tile was taken.
        shown = self.past(m, arrives, 2)
        self.check(m, ~shown | bias | (loader.tile.word_select(part[0], port) == value))
        self.cover(m, shown & ~bias & part[0])
        if config.bias_beats:
            assert port == BIAS_WORD_BITS
            row = loader.bias.word_select(part[:2], config.bias_bits)
            self.check(m, ~shown | ~bias | (row == value[: config.bias_bits]))
            self.cover(m, shown & bias & (part == 3))
        # An illegal word is told of, once.
        wrong = Cat(beat.word_select(i, 2) == I2_ILLEGAL for i in range(port // 2)).any()
        self.check(m, loader.illegal == self.past(m, enters & ~in_bias & wrong, 3))


def test_the_job_port(tmp_path: Path) -> None:
    assert_proved(JobPortBench, tmp_path, depth=8)


@pytest.mark.parametrize("size", [1, 2, 4])
def test_the_word_packer(size: int, tmp_path: Path) -> None:
    assert_proved(PackerBench, tmp_path, size, depth=8)


@pytest.mark.parametrize("negation", ["bias", "carry"])
def test_the_weight_loader(negation: str, tmp_path: Path) -> None:
    assert_proved(LoaderBench, tmp_path, negation, depth=14)


def test_the_activation_buffer(tmp_path: Path) -> None:
    """Its memory leaves too many states for a proof of all cycles."""
    assert_holds(BufferBench, tmp_path, depth=12)


def test_the_result_queue(tmp_path: Path) -> None:
    """As for the activation buffer."""
    assert_holds(QueueBench, tmp_path, NARROW, depth=11)


@pytest.mark.slow
def test_the_activation_buffer_for_longer(tmp_path: Path) -> None:
    assert_holds(BufferBench, tmp_path, depth=15)


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


class OverwritingLoader(LoaderBench):
    """Beats are taken while a tile waits."""

    def make(self) -> WeightLoader:
        class Loader(WeightLoader):
            def elaborate(self, platform: object) -> Module:
                m = super().elaborate(platform)
                with m.If(self.tile_valid):
                    m.d.comb += self.beats.ready.eq(1)
                return m

        return Loader(self.config)


class ForgetfulBuffer(BufferBench):
    """A word is lost that is read while a beat comes in."""

    def make(self) -> ActivationBuffer:
        class Buffer(ActivationBuffer):
            def elaborate(self, platform: object) -> Module:
                m = super().elaborate(platform)
                with m.If(self.beats.valid & self.beats.ready):
                    m.d.comb += self.data.eq(0)
                return m

        return Buffer(self.config)


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
        (OverwritingLoader, ("bias",)),
        (ForgetfulBuffer, ()),
        (EarlyQueue, (NARROW,)),
    ],
)
def test_a_faulty_block_is_refuted(
    bench: type[FormalBench], arguments: tuple[Any, ...], tmp_path: Path
) -> None:
    outcome = prove_bounded(bench(*arguments), 12, tmp_path)
    assert not outcome.proved
    assert "Assert failed in top" in outcome.log


def test_a_fault_is_found_without_a_bound(tmp_path: Path) -> None:
    assert not prove(OverwritingPacker(2), tmp_path).proved
