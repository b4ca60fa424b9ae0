"""The code tables, over every word and every value."""

from collections.abc import Callable
from itertools import product

import pytest

from tritforge.accel.codes import (
    BITS_PER_TRIT,
    CODES,
    I2_CODES,
    I2_ILLEGAL,
    TRITS,
    WORDS,
    gguf_byte,
    trits_of,
    value_of,
    value_of_gguf_byte,
    value_of_word,
    word_of_value,
)
from tritforge.models.base3 import unpack

PACKINGS = tuple(WORDS)


@pytest.mark.parametrize(("count", "values"), [(1, 3), (3, 27), (5, 243)])
def test_values_number_the_trits_from_the_least_significant(count: int, values: int) -> None:
    assert [value_of(trits_of(value, count)) for value in range(values)] == list(range(values))
    assert {trits_of(value, count) for value in range(values)} == set(product((-1, 0, 1), repeat=count))


def test_values_are_worked_out_by_hand() -> None:
    assert value_of((-1, -1, -1)) == 0
    assert value_of((0, 1, -1)) == 1 + 2 * 3 + 0 * 9
    assert value_of((1, 1, 1, 1, 1)) == 242
    assert trits_of(5, 3) == (1, 0, -1)


def test_the_value_of_five_trits_is_the_byte_of_a_checkpoint() -> None:
    import numpy as np

    for value in range(243):
        (trits,) = unpack(np.array([[value]], dtype=np.uint8), 5).tolist()
        assert value_of(trits) == value


@pytest.mark.parametrize("packing", PACKINGS)
def test_words_and_values_are_a_bijection(packing: str) -> None:
    """All 3, 27 and 243 values: each has a word of its own, and the word leads back to it."""
    count, bits = WORDS[packing]
    words = [word_of_value(packing, value) for value in range(3**count)]
    assert [value_of_word(packing, word) for word in words] == list(range(3**count))
    assert len(set(words)) == 3**count
    assert all(0 <= word < 1 << bits for word in words)
    assert set(words) == set(TRITS[packing])
    assert {"i2": 3, "s5": 27, "s8": 243}[packing] == len(words)


@pytest.mark.parametrize("packing", PACKINGS)
def test_the_word_0_is_zeros(packing: str) -> None:
    """So what a tile does not fill, and memory that was cleared, is legal and adds nothing."""
    assert set(TRITS[packing][0]) == {0}


@pytest.mark.parametrize("packing", PACKINGS)
def test_an_illegal_word_has_no_value(packing: str) -> None:
    count, bits = WORDS[packing]
    illegal = set(range(1 << bits)) - set(CODES[packing].values())
    assert len(illegal) == (1 << bits) - 3**count
    for word in illegal:
        with pytest.raises(KeyError):
            value_of_word(packing, word)


SLOTS = {code: trit for trit, code in I2_CODES.items()}


def read_s5(word: int) -> tuple[int, ...] | None:
    """Trits of a word as the layout's description reads it from the word's side."""
    a, b, c = word & 3, word >> 2 & 3, word >> 4
    if b == I2_ILLEGAL:
        return (-1, SLOTS[a], -1) if a != I2_ILLEGAL and c == 0 else None
    return (c, SLOTS[b], -1) if a == I2_ILLEGAL else (SLOTS[a], SLOTS[b], c)


def read_s8(word: int) -> tuple[int, ...] | None:
    a, c, v, u = word & 3, word >> 4 & 1, word >> 5 & 3, word >> 7
    pair = (-1, u) if v == I2_ILLEGAL else (u, SLOTS[v])
    triple = read_s5(word & 31)
    if triple is not None:
        return triple + pair
    if a != I2_ILLEGAL:
        return (SLOTS[a], *pair, -1, -1)
    return (SLOTS[v], -1, -1, -1, -1) if c == u == 0 and v != I2_ILLEGAL else None


@pytest.mark.parametrize(("packing", "read"), [("s5", read_s5), ("s8", read_s8)])
def test_words_read_as_they_are_described(
    packing: str, read: Callable[[int], tuple[int, ...] | None]
) -> None:
    for word in range(1 << WORDS[packing][1]):
        assert read(word) == TRITS[packing].get(word), f"{word:0{WORDS[packing][1]}b}"


def test_bits_of_a_trit() -> None:
    assert BITS_PER_TRIT == {"i2": 2.0, "s5": 5 / 3, "s8": 1.6}


def test_gguf_bytes_are_a_bijection_to_the_words() -> None:
    """Through the base-3 value; the first trit is the most significant there."""
    bytes_ = [gguf_byte(value_of_word("s8", word)) for word in TRITS["s8"]]
    assert len(set(bytes_)) == 243
    assert [word_of_value("s8", value_of_gguf_byte(byte)) for byte in bytes_] == list(TRITS["s8"])
    assert gguf_byte(value_of((0, 0, 0, 0, 0))) == -(-121 * 256 // 243)
    assert gguf_byte(value_of((1, -1, -1, -1, -1))) == -(-162 * 256 // 243)
    for word, trits in TRITS["s8"].items():
        # As GGUF reads them: the byte times 3, modulo 256, brings the next digit over 256.
        byte = gguf_byte(value_of_word("s8", word))
        read = []
        for _ in trits:
            byte *= 3
            read.append((byte >> 8) - 1)
            byte &= 255
        assert tuple(read) == trits
