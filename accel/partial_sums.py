"""Partial sums: results of a job added to words that it is given, for K over the activation buffer."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.data import ArrayLayout, StructLayout
from amaranth.lib.wiring import In, Out

from tritforge.accel.codes import RESULT_WORD_BITS
from tritforge.accel.config import AcceleratorConfig


def beat_layout(config: AcceleratorConfig) -> StructLayout:
    """Layout of a result beat: words, which of them are used, and the job's end."""
    words = config.results_per_beat
    return StructLayout({"words": ArrayLayout(RESULT_WORD_BITS, words), "keep": words, "last": 1})


def packed_layout(config: AcceleratorConfig) -> StructLayout:
    """Layout of a result beat inside the core: with partial sums it says whether they are added."""
    layout = beat_layout(config)
    return StructLayout(
        {name: field.shape for name, field in layout} | ({"accumulate": 1} if config.partial_sums else {})
    )


class PartialSums(wiring.Component):
    """Adds a beat of partial sums, word by word, to each beat of a job that accumulates; others pass.

    Words are 32 bits in two's complement, so the sum of all slices of K is exact where it fits them: up to K = 2**24
    with activations of 8 bits.

    Parameters
    ----------
    config
        Widths.

    Members
    -------
    i : In, stream of `packed_layout`
    partials : In, stream of beats, one for each beat of a job that accumulates; words that the beat does not keep
        are of no account
    o : Out, stream of `beat_layout`

    The latency is one cycle, the throughput one beat a cycle.
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self.config = config
        super().__init__(
            {
                "i": In(stream.Signature(packed_layout(config))),
                "partials": In(stream.Signature(config.result_port_bits)),
                "o": Out(stream.Signature(beat_layout(config))),
            }
        )

    def elaborate(self, platform: object) -> Module:  # noqa: ARG002
        m = Module()
        beat = self.i.payload
        room = Signal()
        m.d.comb += [
            room.eq(~self.o.valid | self.o.ready),
            self.i.ready.eq(room & (self.partials.valid | ~beat.accumulate)),
            self.partials.ready.eq(room & self.i.valid & beat.accumulate),
        ]
        with m.If(self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += [
                self.o.valid.eq(1),
                self.o.payload.keep.eq(beat.keep),
                self.o.payload.last.eq(beat.last),
            ]
            for index in range(self.config.results_per_beat):
                partial = self.partials.payload.word_select(index, RESULT_WORD_BITS)
                m.d.sync += self.o.payload.words[index].eq(
                    beat.words[index] + Mux(beat.accumulate, partial, 0)
                )
        return m
