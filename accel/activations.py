"""Activation buffer: takes tokens from a stream and keeps them on chip while a job's weights pass by."""

from math import gcd

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.data import StructLayout
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.countdown import Countdown
from tritforge.accel.job import index_range, job_layout


def loaded_layout(config: AcceleratorConfig) -> StructLayout:
    """Layout of a job whose activations are in the buffer.

    `stride` is the number of buffer words of a token, `words` that of all tokens; `single` says that a row tile has
    but one tile along K. Jobs lie in the buffer one behind the other, the first at address 0.
    """
    return StructLayout(
        {
            "job": job_layout(config),
            "stride": config.k_tiles(config.k_max).bit_length(),
            "words": config.buffer_words.bit_length(),
            "single": 1,
        }
    )


class ActivationBuffer(wiring.Component):
    """A ring of words, each feeding all lanes once, written by beats and read by address.

    The next job's tokens are taken while the present job computes, as far as there is room.

    Parameters
    ----------
    config
        Widths and depth.

    Members
    -------
    jobs : In, stream of jobs, in the order of their tokens
    beats : In, stream of `act_port_bits`: a token's activations, lane 0 in the low bits; every token starts a beat
    loaded : Out, stream of `loaded_layout`: jobs that may start
    address : In, of the word to read
    data : Out, the word addressed two cycles before; the lanes at position p follow p cycles later
    release : In, number of words that a finished job gives back, 0 at other times
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self.config = config
        super().__init__(
            {
                "jobs": In(stream.Signature(job_layout(config))),
                "beats": In(stream.Signature(config.act_port_bits)),
                "loaded": Out(stream.Signature(loaded_layout(config))),
                "address": In(range(config.buffer_words)),
                "data": Out(config.lanes * config.act_container_bits),
                "release": In(config.buffer_words.bit_length()),
            }
        )

    def elaborate(self, platform: object) -> Module:  # noqa: ARG002
        m = Module()
        config = self.config
        job = Signal(job_layout(config))
        busy = Signal()
        pointer = Signal(range(config.buffer_words))
        group = Signal(index_range(config.beats_per_word))
        words = Signal(range(config.buffer_words + 1), reset_less=True)
        stride = Signal(range(config.k_tiles(config.k_max) + 1), reset_less=True)
        # Ends are known in registers, so that a beat's handshake and all that follows from it fit one cycle.
        inputs = Countdown("k", config.k_max, config.acts_per_beat)
        tokens = Countdown("tokens", config.tokens_max, 1)
        first_token, group_end = Signal(reset_less=True), Signal(init=config.beats_per_word == 1)

        word_end, job_end, taken = Signal(), Signal(), Signal()
        token_end = inputs.last
        # A beat is written in the cycle after its handshake, which is before its job's first word can be read.
        beat, place, write = (
            Signal(config.act_port_bits, reset_less=True),
            Signal.like(pointer, name="place"),
            Signal(config.beats_per_word),
        )
        released = self._memory(m, beat, place, write)
        room = self._count_room(m, taken & word_end, released)
        m.d.comb += [
            word_end.eq(token_end | group_end),
            job_end.eq(token_end & tokens.last),
            # With the last beat of a job the next one is taken, whose first beat may follow at once.
            self.jobs.ready.eq(~busy | (taken & job_end)),
            self.beats.ready.eq(busy & room & ~(job_end & self.loaded.valid)),
            taken.eq(self.beats.valid & self.beats.ready),
        ]
        m.d.sync += [
            beat.eq(self.beats.payload),
            place.eq(pointer),
            write.eq(Cat(taken & (group == index) for index in range(config.beats_per_word))),
        ]
        with m.If(taken):
            m.d.sync += group.eq(Mux(word_end, 0, group + 1))
            if config.beats_per_word > 1:
                m.d.sync += group_end.eq(~word_end & (group == config.beats_per_word - 2))
            with m.If(word_end):
                m.d.sync += pointer.eq(pointer + 1)
        with m.If(self.loaded.valid & self.loaded.ready):
            m.d.sync += self.loaded.valid.eq(0)
        with m.If(taken & job_end):
            m.d.sync += [
                self.loaded.valid.eq(1),
                self.loaded.payload.job.eq(job),
                self.loaded.payload.words.eq(words + 1),
                self.loaded.payload.stride.eq(stride + first_token),
                self.loaded.payload.single.eq(job.k <= config.lanes),
            ]
        with m.If(self.jobs.ready):
            m.d.sync += busy.eq(self.jobs.valid)
        # Which way the counters go is known early, whether they go late. Where no job is offered, what is taken here
        # is read by nobody.
        with m.If(~busy | taken):
            with m.If(~busy | job_end):
                m.d.sync += [job.eq(self.jobs.payload), words.eq(0), stride.eq(0), first_token.eq(1)]
                inputs.load(m, self.jobs.payload.k)
                tokens.load(m, self.jobs.payload.tokens)
            with m.Else():
                m.d.sync += [words.eq(words + word_end), stride.eq(stride + (word_end & first_token))]
                inputs.wrap(m)
                with m.If(token_end):
                    m.d.sync += first_token.eq(0)
                    tokens.advance(m)
        return m

    def _count_room(self, m: Module, filled: Value, released: Value) -> Signal:
        """Return whether a word of the ring is free: a register."""
        free = Signal(range(self.config.buffer_words + 1), init=self.config.buffer_words)
        room = Signal(init=1)
        # Whether a word is filled is known late, so the count is a cycle behind. A word is filled only where one is
        # free, so words that come back make room whatever is filled.
        was_filled = Signal()
        m.d.sync += [
            was_filled.eq(filled),
            free.eq(free + released - was_filled),
            room.eq((released != 0) | Mux(filled, free != Mux(was_filled, 2, 1), room)),
        ]
        return room

    def _memory(self, m: Module, payload: Value, place: Value, write_beat: Value) -> Value:
        """Place a bank for each position of the lanes; return `release`, delayed until the last bank was read.

        Parameters
        ----------
        m
            The module that takes them.
        payload, place, write_beat
            A beat, the word that it belongs to, and a bit for each beat of a word that says which one it is.
        """
        config = self.config
        lanes = config.lanes // config.positions
        # The lanes that a beat and a bank share.
        chunk = gcd(lanes, config.acts_per_beat)
        chunk_bits = chunk * config.act_container_bits
        address, release = self.address, self.release
        outputs = []
        for position in range(config.positions):
            # A word is not read in the cycle in which it is written, which frees synthesis from seeing to that case.
            m.submodules[f"memory{position}"] = memory = Memory(
                shape=lanes * config.act_container_bits,
                depth=config.buffer_words,
                init=[],
                attrs={"no_rw_check": 1},
            )
            write, read = memory.write_port(granularity=chunk_bits), memory.read_port(domain="comb")
            chunks = [
                divmod(position * lanes + start, config.acts_per_beat) for start in range(0, lanes, chunk)
            ]
            m.d.comb += [
                write.addr.eq(place),
                write.data.eq(
                    Cat(payload[lane * config.act_container_bits :][:chunk_bits] for _, lane in chunks)
                ),
                write.en.eq(Cat(write_beat[beat] for beat, _ in chunks)),
                read.addr.eq(address),
            ]
            # The second register is the memory's own where it has one; block memories lie far from what they feed.
            read_word, word = (
                Signal(len(read.data), name=f"{name}{position}", reset_less=True) for name in ("read", "word")
            )
            m.d.sync += [read_word.eq(read.data), word.eq(read_word)]
            outputs.append(word)
            if position + 1 < config.positions:
                address = _delayed(m, address, f"address{position + 1}")
                release = _delayed(m, release, f"release{position + 1}")
        m.d.comb += self.data.eq(Cat(outputs))
        return release


def _delayed(m: Module, value: Value, name: str) -> Signal:
    """Return a value of the cycle before."""
    signal = Signal(len(value), name=name)
    m.d.sync += signal.eq(value)
    return signal
