"""Decoders of the packed trits: combinational, one word each, with a flag for words that are none.

Measured on ECP5 with ``synth_ecp5 -nowidelut`` (Yosys), in LUT4: ``s5`` 7, and 2 for the flag; ``s8`` 24, and as many
with the flag within the mapper's noise. Without that option Yosys builds wide functions from LUT4 and multiplexers:
less delay, and 8 and 54 LUT4, 10 and 62 with the flag. ``i2`` has no logic but its flag.

The trits of an illegal word are not forced to 0: that would be free for ``s5``, 3 LUT4 a word for ``s8`` and 2 a trit
for ``i2``, whose decoder has none otherwise. The flag is what counts.
"""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from tritforge.accel.codes import I2_CODES, I2_ILLEGAL, TRIT_BITS, WORDS

_MINUS = Const(I2_CODES[-1], TRIT_BITS)


class WordDecoder(wiring.Component):
    """Turns one packed word into the lane codes of its trits; no latency.

    Parameters
    ----------
    packing
        ``i2``, ``s5`` or ``s8``; `tritforge.accel.codes` tells how their words are read.

    Members
    -------
    word : In
    trits : Out, lane codes side by side, the first trit lowest; of no meaning where `illegal` is high
    illegal : Out, the word is none of the packing's
    """

    def __init__(self, packing: str) -> None:
        self.packing = packing
        trits, bits = WORDS[packing]
        super().__init__({"word": In(bits), "trits": Out(TRIT_BITS * trits), "illegal": Out(1)})

    def elaborate(self, platform: object) -> Module:  # noqa: ARG002
        m = Module()
        decode = {"i2": self._i2, "s5": self._s5, "s8": self._s8}[self.packing]
        trits, illegal = decode(m)
        m.d.comb += [self.trits.eq(Cat(*trits)), self.illegal.eq(illegal)]
        return m

    def _i2(self, m: Module) -> tuple[list[Value], Value]:  # noqa: ARG002
        return [self.word], self.word == I2_ILLEGAL

    def _s5(self, m: Module) -> tuple[list[Value], Value]:
        return self._triple(m)

    def _s8(self, m: Module) -> tuple[list[Value], Value]:
        # A word that s5 leaves illegal says that a pair is (-1, -1), the triple's last two or the word's.
        (first, second, third), special = self._triple(m)
        a, v, u = self.word[0:2], self.word[5:7], self.word[7]
        both, pair_escape = Signal(), Signal()
        m.d.comb += [
            both.eq((a == I2_ILLEGAL) & (self.word[2:4] == I2_ILLEGAL)),
            pair_escape.eq(v == I2_ILLEGAL),
        ]
        pair = [Mux(pair_escape, _MINUS, Cat(u, 0)), Mux(pair_escape, Cat(u, 0), v)]
        trits = [
            Mux(both, v, Mux(special, a, first)),
            Mux(both, _MINUS, Mux(special, pair[0], second)),
            Mux(both, _MINUS, Mux(special, pair[1], third)),
            Mux(special, _MINUS, pair[0]),
            Mux(special, _MINUS, pair[1]),
        ]
        return trits, both & (self.word[4] | u | pair_escape)

    def _triple(self, m: Module) -> tuple[list[Value], Value]:
        """Return the three trits of the word's low five bits, and whether these are illegal in ``s5``."""
        a, b, c = self.word[0:2], self.word[2:4], self.word[4]
        low, high, special = Signal(), Signal(), Signal()
        m.d.comb += [low.eq(a == I2_ILLEGAL), high.eq(b == I2_ILLEGAL), special.eq(high & (c | low))]
        trits = [
            Mux(low, Cat(c, 0), Mux(high, _MINUS, a)),
            Mux(high & ~low, a, b),
            Mux(low | high, _MINUS, Cat(c, 0)),
        ]
        return trits, special
