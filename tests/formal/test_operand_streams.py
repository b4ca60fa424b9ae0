"""Activation buffer and weight loader keep every beat where its reader expects it: proved; see `test_streams`."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from amaranth.hdl import Cat, Const, Module, Mux, Signal
from formal import FormalBench
from stream_bench import TINY, StreamBench, Watch, assert_holds, assert_proved, assert_refuted, bits, taken

from tritforge.accel.activations import ActivationBuffer
from tritforge.accel.codes import BIAS_WORD_BITS, I2_ILLEGAL
from tritforge.accel.job import job_layout
from tritforge.accel.weights import WeightLoader


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
        self.check(m, ~watch.leaves | (out.single == (stride == 1)))
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


@pytest.mark.parametrize("negation", ["bias", "carry"])
def test_the_weight_loader(negation: str, tmp_path: Path) -> None:
    assert_proved(LoaderBench, tmp_path, negation, depth=14)


def test_the_activation_buffer(tmp_path: Path) -> None:
    """Its memory leaves too many states for a proof of all cycles."""
    assert_holds(BufferBench, tmp_path, depth=12)


@pytest.mark.slow
def test_the_activation_buffer_for_longer(tmp_path: Path) -> None:
    assert_holds(BufferBench, tmp_path, depth=15)


# Planted faults: each drives a port of the component once more, and the last assignment wins.


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


@pytest.mark.parametrize(
    ("bench", "arguments"),
    [
        (OverwritingLoader, ("bias",)),
        (ForgetfulBuffer, ()),
    ],
)
def test_a_faulty_block_is_refuted(
    bench: type[FormalBench], arguments: tuple[Any, ...], tmp_path: Path
) -> None:
    assert_refuted(bench, tmp_path, *arguments, depth=12)
