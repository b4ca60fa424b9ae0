"""Activation buffer: takes tokens from a stream and keeps them on chip while a job's weights pass by."""

from math import gcd

from amaranth.hdl import Cat, Module, Mux, Shape, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.data import StructLayout
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.job import index_range, job_layout


def loaded_layout(config: AcceleratorConfig) -> StructLayout:
    """Layout of a job whose activations are in the buffer.

    `stride` is the number of buffer words of a token, `words` that of all tokens. Jobs lie in the buffer one
    behind the other, the first at address 0.
    """
    return StructLayout(
        {
            "job": job_layout(config),
            "stride": config.k_tiles(config.k_max).bit_length(),
            "words": config.buffer_words.bit_length(),
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
    address, enable : In, read port
    data : Out, the word read in the cycle before, held while `enable` is low; the lanes at position p follow p cycles
        later
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
                "enable": In(1),
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
        free = Signal(range(config.buffer_words + 1), init=config.buffer_words)
        group = Signal(index_range(config.beats_per_word))
        k_left = Signal(Shape.cast(job.k.shape()).width)
        tokens_left = Signal(Shape.cast(job.tokens.shape()).width)
        words = Signal(range(config.buffer_words + 1))
        stride = Signal(range(config.k_tiles(config.k_max) + 1))

        token_end, word_end, job_end, taken = Signal(), Signal(), Signal(), Signal()
        m.d.comb += [
            token_end.eq(k_left <= config.acts_per_beat),
            word_end.eq(token_end | (group == config.beats_per_word - 1)),
            job_end.eq(token_end & (tokens_left == 1)),
            # With the last beat of a job the next one is taken, whose first beat may follow at once.
            self.jobs.ready.eq(~busy | (taken & job_end)),
            self.beats.ready.eq(busy & (free != 0) & ~(job_end & self.loaded.valid)),
            taken.eq(self.beats.valid & self.beats.ready),
        ]
        released = self._memory(m, pointer, group, taken)
        m.d.sync += free.eq(free + released - (taken & word_end))
        with m.If(taken):
            m.d.sync += [
                group.eq(Mux(word_end, 0, group + 1)),
                k_left.eq(Mux(token_end, job.k, k_left - config.acts_per_beat)),
            ]
        with m.If(taken & word_end):
            m.d.sync += [pointer.eq(pointer + 1), words.eq(words + 1)]
            with m.If(tokens_left == job.tokens):
                m.d.sync += stride.eq(stride + 1)
        with m.If(taken & token_end):
            m.d.sync += tokens_left.eq(tokens_left - 1)

        with m.If(self.loaded.valid & self.loaded.ready):
            m.d.sync += self.loaded.valid.eq(0)
        with m.If(taken & job_end):
            m.d.sync += [
                busy.eq(0),
                self.loaded.valid.eq(1),
                self.loaded.payload.job.eq(job),
                self.loaded.payload.words.eq(words + 1),
                self.loaded.payload.stride.eq(stride + (tokens_left == job.tokens)),
            ]
        with m.If(self.jobs.valid & self.jobs.ready):
            m.d.sync += [
                busy.eq(1),
                job.eq(self.jobs.payload),
                k_left.eq(self.jobs.payload.k),
                tokens_left.eq(self.jobs.payload.tokens),
                words.eq(0),
                stride.eq(0),
            ]
        return m

    def _memory(self, m: Module, pointer: Value, group: Value, taken: Value) -> Value:
        """Place a bank for each position of the lanes; return `release`, delayed until the last bank was read."""
        config = self.config
        lanes = config.lanes // config.positions
        # The lanes that a beat and a bank share.
        chunk = gcd(lanes, config.acts_per_beat)
        chunk_bits = chunk * config.act_container_bits
        address, enable, release = self.address, self.enable, self.release
        outputs = []
        for position in range(config.positions):
            m.submodules[f"memory{position}"] = memory = Memory(
                shape=lanes * config.act_container_bits, depth=config.buffer_words, init=[]
            )
            write, read = memory.write_port(granularity=chunk_bits), memory.read_port()
            chunks = [
                divmod(position * lanes + start, config.acts_per_beat) for start in range(0, lanes, chunk)
            ]
            m.d.comb += [
                write.addr.eq(pointer),
                write.data.eq(
                    Cat(
                        self.beats.payload[lane * config.act_container_bits :][:chunk_bits]
                        for _, lane in chunks
                    )
                ),
                write.en.eq(Cat(taken & (group == beat) for beat, _ in chunks)),
                read.addr.eq(address),
                read.en.eq(enable),
            ]
            outputs.append(read.data)
            if position + 1 < config.positions:
                address = _delayed(m, address, f"address{position + 1}")
                enable = _delayed(m, enable, f"enable{position + 1}")
                release = _delayed(m, release, f"release{position + 1}")
        m.d.comb += self.data.eq(Cat(outputs))
        return release


def _delayed(m: Module, value: Value, name: str) -> Signal:
    """Return a value of the cycle before."""
    signal = Signal(len(value), name=name)
    m.d.sync += signal.eq(value)
    return signal
