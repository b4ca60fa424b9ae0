"""Code words and codecs against the bytes of the ``gguf`` package."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pytest

from tritforge.accel.codes import TRITS, gguf_byte, trits_of, value_of_gguf_byte, value_of_word, word_of_value
from tritforge.accel.errors import InputError
from tritforge.models.gguf_blocks import BLOCK, BLOCK_BYTES, pack_blocks, unpack_blocks

gguf = pytest.importorskip("gguf", reason="needs the extra 'external'")
quants = pytest.importorskip("gguf.quants", reason="needs the extra 'external'")

pytestmark = pytest.mark.external

TQ1_0 = gguf.GGMLQuantizationType.TQ1_0
#: Bytes of a block's trits; two more bytes are the scale.
TRIT_BYTES = 52


def places() -> Iterator[list[int]]:
    """Places of a block's trits by the byte that holds them, most significant first; the last bytes hold four."""
    for start, width, digits in ((0, 32, 5), (160, 16, 5), (240, 4, 4)):
        for byte in range(width):
            yield [start + byte + width * digit for digit in range(digits)]


PLACES = list(places())


def tq1_0(trits: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """Return the trit bytes of rows of one block."""
    packed: npt.NDArray[np.uint8] = quants.quantize(trits, TQ1_0)
    assert packed.shape == (len(trits), TRIT_BYTES + 2)
    return packed[:, :TRIT_BYTES]


def test_every_word_is_the_byte_that_gguf_gives_its_trits() -> None:
    """Each of the 243 words fills a block of its own, but for the bytes of four trits."""
    words = sorted(TRITS["s8"])
    rows = np.zeros((len(words), BLOCK), dtype=np.float32)
    for row, word in zip(rows, words, strict=True):
        for place in PLACES[:48]:
            row[place] = TRITS["s8"][word]
        row[255] = 1  # a scale of 1 also where all trits are 0
    for packed, word in zip(tq1_0(rows), words, strict=True):
        byte = gguf_byte(value_of_word("s8", word))
        assert packed[:48].tolist() == [byte] * 48
        assert word_of_value("s8", value_of_gguf_byte(byte)) == word


def test_random_blocks_are_read_from_gguf_and_made_as_gguf_makes_them() -> None:
    generator = np.random.default_rng(0)
    trits = generator.integers(-1, 2, (40, BLOCK)).astype(np.float32)
    packed = tq1_0(trits)
    for row, data in zip(trits, packed, strict=True):
        for place, byte in zip(PLACES, data.tolist(), strict=True):
            # The bytes of four trits end with the digit 0.
            expected = (*row[place].astype(int).tolist(), *[-1] * (5 - len(place)))
            word = word_of_value("s8", value_of_gguf_byte(byte))
            assert TRITS["s8"][word] == expected
            assert gguf_byte(value_of_word("s8", word)) == byte


def test_gguf_reads_the_bytes_that_words_are_turned_into() -> None:
    words = np.random.default_rng(1).choice(sorted(TRITS["s8"]), (30, 48))
    blocks = np.zeros((30, TRIT_BYTES + 2), dtype=np.uint8)
    blocks[:, :48] = [[gguf_byte(value_of_word("s8", int(word))) for word in row] for row in words]
    blocks[:, 48:TRIT_BYTES] = gguf_byte(121)
    blocks[:, TRIT_BYTES:] = np.array([1], dtype="<f2").view(np.uint8)
    read = quants.dequantize(blocks, TQ1_0)
    for row, line in zip(words, read, strict=True):
        for word, place in zip(row.tolist(), PLACES[:48], strict=True):
            assert tuple(line[place].astype(int).tolist()) == TRITS["s8"][word]
            assert trits_of(value_of_word("s8", word), 5) == TRITS["s8"][word]


@pytest.mark.parametrize("kind", sorted(BLOCK_BYTES))
def test_the_codecs_make_and_read_the_bytes_of_gguf(kind: str) -> None:
    """Every block a scale of its own, whole blocks of zeros among them."""
    generator = np.random.default_rng(2)
    codes = generator.integers(-1, 2, (30, 3 * BLOCK)).astype(np.int8)
    codes[7, BLOCK : 2 * BLOCK] = 0
    scales = generator.integers(1, 2048, (30, 3)).astype(np.float32) * np.float32(2.0**-10)
    scales[7, 1] = 0  # as gguf has it
    weights = codes * np.repeat(scales, BLOCK, axis=1)
    packed = quants.quantize(weights, gguf.GGMLQuantizationType[kind])
    assert np.array_equal(pack_blocks(kind, codes, scales), packed)
    found, found_scales = unpack_blocks(kind, packed, 3 * BLOCK)
    assert np.array_equal(found, codes)
    read = quants.dequantize(packed, gguf.GGMLQuantizationType[kind])
    assert np.array_equal(found * np.repeat(found_scales, BLOCK, axis=1), read)


@pytest.mark.parametrize("kind", sorted(BLOCK_BYTES))
def test_bytes_that_are_accepted_mean_what_gguf_reads(kind: str) -> None:
    """Random bytes, a block at a time: refused, or the same weights."""
    generator = np.random.default_rng(3)
    data = generator.integers(0, 256, (3000, BLOCK_BYTES[kind]), dtype=np.uint8)
    # Random bytes alone hardly ever make a legal block: 51 of them from those that one block has, one of any value.
    legal = pack_blocks(
        kind, generator.integers(-1, 2, (3000, BLOCK), dtype=np.int8), np.ones((3000, 1), np.float32)
    )
    at = generator.integers(0, BLOCK_BYTES[kind], 3000)
    legal[np.arange(3000), at] = data[np.arange(3000), at]
    accepted = 0
    for block in legal:
        try:
            codes, scales = unpack_blocks(kind, block[None], BLOCK)
        except InputError:
            continue
        accepted += 1
        assert np.array_equal(codes * scales, quants.dequantize(block[None], gguf.GGMLQuantizationType[kind]))
    assert 500 < accepted < 3000
