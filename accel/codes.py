"""Code tables of the trits; no dependency, so that packers, models and hardware share them.

A lane reads a trit as two bits ``{neg, nonzero}``: 0 is ``00``, +1 is ``01``, -1 is ``11``. The fourth pattern,
``10``, is no trit. Where it stands in a word, the denser packings use it as an escape:

``i2``, a trit in two bits
    The two bits as they are; ``10`` is illegal.
``s5``, three trits in five bits ``{c, B, A}``
    A and B are trits and c is a third one that is 0 or +1: the trits are (A, B, c). With the escape in A they are
    (c, B, -1). With the escape in B, A no escape and c = 0, they are (-1, A, -1). 27 of the 32 words are used.
``s8``, five trits in eight bits ``{u, V, c, B, A}``
    An ``s5`` word below a pair: V is a trit and u a second one that is 0 or +1: the pair is (u, V); with the escape
    in V it is (-1, u). What a pair cannot say is (-1, -1), and that is said by words that ``s5`` leaves illegal:
    with the escape in B, A no escape and c = 1 the five trits are (A, pair, -1, -1), and with escapes in A and B,
    c = 0, u = 0 and V a trit they are (V, -1, -1, -1, -1). 243 of the 256 words are used.

In every packing the word 0 holds zeros alone, and the first trit of a word is the one that comes first in the stream.

The value of n trits is the plain base-3 number ``sum of (trit + 1) * 3**i``, the first trit least significant. Each
packing is a bijection between its legal words and the values 0 to ``3**n - 1``; through the value it can be compared
with other codes of the same trits.
"""

from collections.abc import Callable, Sequence
from itertools import product

#: Bits of one trit as a lane reads it.
TRIT_BITS = 2
#: Two bits a trit, ``{neg, nonzero}``: what a lane needs without a decoder. ``0b10`` is illegal.
I2_CODES = {0: 0b00, 1: 0b01, -1: 0b11}
I2_ILLEGAL = 0b10
#: Packings: trits a word and bits a word.
WORDS = {"i2": (1, 2), "s5": (3, 5), "s8": (5, 8)}
#: Bits of one trit by packing.
BITS_PER_TRIT = {packing: bits / trits for packing, (trits, bits) in WORDS.items()}
#: Width of a row bias in the weight stream.
BIAS_WORD_BITS = 16
#: Width of a result word.
RESULT_WORD_BITS = 32

Trits = tuple[int, ...]


def value_of(trits: Sequence[int]) -> int:
    """Return the base-3 value of trits, the first one least significant."""
    return sum((trit + 1) * 3**index for index, trit in enumerate(trits))


def trits_of(value: int, count: int) -> Trits:
    """Return the trits of a base-3 value below ``3**count``: the inverse of `value_of`."""
    return tuple(value // 3**index % 3 - 1 for index in range(count))


def _s5_word(trits: Trits) -> int:
    first, second, third = trits
    if third >= 0:
        return third << 4 | I2_CODES[second] << 2 | I2_CODES[first]
    if first >= 0:
        return first << 4 | I2_CODES[second] << 2 | I2_ILLEGAL
    return I2_ILLEGAL << 2 | I2_CODES[second]


def _pair_bits(trits: Trits) -> int:
    """Return ``{u, V}`` of two trits that are not both -1."""
    first, second = trits
    return first << 2 | I2_CODES[second] if first >= 0 else second << 2 | I2_ILLEGAL


def _s8_word(trits: Trits) -> int:
    first, middle, pair = trits[0], trits[1:3], trits[3:]
    if pair != (-1, -1):
        return _pair_bits(pair) << 5 | _s5_word(trits[:3])
    if middle != (-1, -1):
        return _pair_bits(middle) << 5 | 1 << 4 | I2_ILLEGAL << 2 | I2_CODES[first]
    return I2_CODES[first] << 5 | I2_ILLEGAL << 2 | I2_ILLEGAL


def _table(word: Callable[[Trits], int], count: int) -> dict[Trits, int]:
    return {trits: word(trits) for trits in product((-1, 0, 1), repeat=count)}


#: Word by trits, the first trit first, for each packing: every legal word once.
CODES: dict[str, dict[Trits, int]] = {
    "i2": _table(lambda trits: I2_CODES[trits[0]], 1),
    "s5": _table(_s5_word, 3),
    "s8": _table(_s8_word, 5),
}
#: Trits by legal word, for each packing.
TRITS: dict[str, dict[int, Trits]] = {
    packing: {word: trits for trits, word in table.items()} for packing, table in CODES.items()
}


def word_of_value(packing: str, value: int) -> int:
    """Return the word of a base-3 value."""
    return CODES[packing][trits_of(value, WORDS[packing][0])]


def value_of_word(packing: str, word: int) -> int:
    """Return the base-3 value of a legal word; an illegal one is a `KeyError`."""
    return value_of(TRITS[packing][word])


def gguf_byte(value: int) -> int:
    """Return the byte that GGUF's TQ1_0 has for the base-3 value of five trits.

    There the first trit is the most significant, and the byte is ``ceil(v * 256 / 243)``, so that multiplying by 3
    brings one trit after the other over 256.
    """
    return -(-value_of(trits_of(value, 5)[::-1]) * 256 // 243)


def value_of_gguf_byte(byte: int) -> int:
    """Return the base-3 value of five trits that a TQ1_0 byte holds: the inverse of `gguf_byte`."""
    return value_of(trits_of(byte * 243 // 256, 5)[::-1])
