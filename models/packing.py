"""Packed words of whole tiles, vectorised: trits of a tile in stream order to the bytes of its beats, and back.

Four trits lie in a byte on the way (the code of ``i2``), so that most steps move a quarter of the data, and words are
looked up several trits at a time.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from tritforge.accel.beats import striped_words, tile_words
from tritforge.accel.codes import CODES, I2_CODES, TRITS, WORDS
from tritforge.accel.config import AcceleratorConfig

Bytes = npt.NDArray[np.uint8]
Trits = npt.NDArray[np.int8]

#: Stands for a trit of an illegal word.
ILLEGAL = 2
TRITS_PER_BYTE = 4

# Four bytes to two bits each, side by side in the highest byte of the product: no two terms overlap above bit 17.
_CODE_BITS = np.uint32(0x03030303)
_GATHER = np.uint32(1 << 24 | 1 << 18 | 1 << 12 | 1 << 6)


def _pack_table(packing: str, words: int) -> npt.NDArray[np.uint8]:
    """Words by the ``i2`` bits of their trits, one row for each pattern; illegal patterns are not asked for."""
    count = WORDS[packing][0]
    table = np.zeros((4 ** (count * words), words), dtype=np.uint8)
    single = np.zeros(4**count, dtype=np.uint8)
    for trits, word in CODES[packing].items():
        single[sum(I2_CODES[trit] << 2 * index for index, trit in enumerate(trits))] = word
    pattern = np.arange(len(table))
    for index in range(words):
        table[:, index] = single[pattern >> 2 * count * index & (4**count - 1)]
    return table


def _unpack_table(packing: str, words: int) -> npt.NDArray[np.int8]:
    """Trits by words side by side, one row for each pattern; `ILLEGAL` for those of an illegal word."""
    count, bits = WORDS[packing]
    single = np.full((1 << bits, count), ILLEGAL, dtype=np.int8)
    for word, trits in TRITS[packing].items():
        single[word] = trits
    pattern = np.arange(1 << bits * words)
    return np.concatenate(
        [single[pattern >> bits * index & ((1 << bits) - 1)] for index in range(words)], axis=1
    )


# Two s5 words are six trits, twelve bits; an s8 word is five trits, ten bits.
_S5_PAIRS = _pack_table("s5", 2).view("<u2").ravel()
_S8_WORDS = _pack_table("s8", 1).ravel()
# The bits of an s5 word, a byte each.
_S5_BITS = np.array(
    [sum((word >> bit & 1) << 8 * bit for bit in range(5)) for word in range(32)], dtype="<u8"
)
_I2_TRITS = _unpack_table("i2", 4).view("<u4").ravel()
# Six trits by two s5 words, a byte each.
_S5_TRITS = np.concatenate(
    [np.tile(_unpack_table("s5", 1), (256, 1)), np.repeat(_unpack_table("s5", 1), 256, axis=0)], axis=1
)
# The bits of a number below 16, a byte each: at most four bits of a beat are too few for a word.
_STRIPES = np.array(
    [sum((number >> bit & 1) << 8 * bit for bit in range(4)) for number in range(16)], dtype="<u4"
)
_S8_TRITS = _unpack_table("s8", 1)


def to_bytes(trits: Trits) -> Bytes:
    """Pack four trits in a byte, two bits each, the first trit lowest.

    Parameters
    ----------
    trits : ndarray of int8, shape (..., n), n a multiple of 4
        -1, 0, +1; not checked.
    """
    # The low two bits of a trit in two's complement are its code.
    words = np.ascontiguousarray(trits).view("<u4") & _CODE_BITS
    words *= _GATHER
    words >>= np.uint32(24)
    return words.astype(np.uint8)


def _padded(array: Bytes, length: int) -> Bytes:
    """Return the array with its last axis cut or filled up with zeros to a length."""
    if array.shape[-1] == length:
        return array
    result = np.zeros((*array.shape[:-1], length), dtype=np.uint8)
    kept = min(length, array.shape[-1])
    result[..., :kept] = array[..., :kept]
    return result


def _groups(codes: Bytes, size: int, dtype: str) -> npt.NDArray[np.unsignedinteger[Any]]:
    """Return each `size` bytes as one wider integer, shape (tiles, groups); a tile's last group is filled with 0."""
    tiles, length = codes.shape
    width = np.dtype(dtype).itemsize
    whole, rest = divmod(length, size)
    # Integers that overlap, of bytes followed by as many as the last one reads beyond them; masks cut off the rest.
    data = np.zeros(tiles * length + size + width, dtype=np.uint8)
    data[: tiles * length] = codes.ravel()
    overlapping = np.ndarray((tiles, whole + (rest > 0)), dtype, data, strides=(length, size))
    masks = np.full(overlapping.shape[1], (1 << 8 * size) - 1, dtype=dtype)
    if rest:
        masks[-1] = (1 << 8 * rest) - 1
    groups: npt.NDArray[np.unsignedinteger[Any]] = overlapping & masks
    return groups


def _s8_words(codes: Bytes) -> Bytes:
    """Return the words of trits in ``i2`` bytes: twenty trits are five bytes and four words."""
    bits = _groups(codes, 5, "<u8")
    # Four fields of ten bits move to sixteen each.
    for shift, low in ((12, 0xFFFFF), (6, 0x3FF000003FF)):
        kept = bits & np.uint64(low)
        bits = kept | (bits ^ kept) << np.uint64(shift)
    return _S8_WORDS.take(bits.view("<u2")).reshape(len(codes), -1)


def _s5_words(codes: Bytes) -> Bytes:
    """Return the words, a byte each, of trits in ``i2`` bytes: twelve trits are three bytes and four words."""
    bits = _groups(codes, 3, "<u4")
    kept = bits & np.uint32(0xFFF)
    bits = kept | (bits ^ kept) << np.uint32(4)
    return _S5_PAIRS.take(bits.view("<u2")).view(np.uint8).reshape(len(codes), -1)


def _s5_length(config: AcceleratorConfig) -> int:
    """Return how many words the beats of a tile have room for, the stripes of its last block included."""
    blocks = -(-config.tile_beats // config.block_beats)
    return config.tile_beats * config.words_per_beat + blocks * striped_words(config)


def _s5_runs(config: AcceleratorConfig, words: Bytes) -> Iterator[tuple[slice, Bytes, Bytes]]:
    """Yield a tile's whole blocks, and the shorter one that may follow, as views of words, shape (tiles, words).

    These are the numbers of their beats; the words that lie whole in them, shape (tiles, blocks, beats, words); and
    those in their stripes, shape (tiles, blocks, words).
    """
    blocks, rest = divmod(config.tile_beats, config.block_beats)
    beat = start = 0
    for count, length in ((blocks, config.block_beats), (1, rest)):
        if count and length:
            whole = length * config.words_per_beat
            size = count * (whole + striped_words(config))
            run = words[:, start : start + size].reshape(len(words), count, -1)
            yield (
                slice(beat, beat + count * length),
                run[..., :whole].reshape(len(words), count, length, config.words_per_beat),
                run[..., whole:],
            )
            beat, start = beat + count * length, start + size


def _s5_beats(config: AcceleratorConfig, words: Bytes) -> Bytes:
    """Return the beats, shape (tiles, beats, bytes), of words of a byte each."""
    stripes, per_beat, port = striped_words(config), config.words_per_beat, config.weight_port_bits
    tiles, count = len(words), config.tile_beats
    words = _padded(words, _s5_length(config))

    # Eight words become 40 bits: every second field moves down to its neighbour, and fields double, three times.
    fields = np.zeros((tiles, count, -(-per_beat // 8) * 8), dtype=np.uint8)
    beat = f"V{per_beat}"  # the words of a beat as one element, so that a copy is no loop over a few bytes
    for run, whole, _ in _s5_runs(config, words):
        fields[:, run, :per_beat].view(beat)[...] = whole.view(beat).reshape(tiles, -1, 1)
    bits = fields.view("<u8")
    for shift, low in ((3, 0x001F001F001F001F), (6, 0x000003FF000003FF), (12, 0xFFFFF)):
        kept = bits & np.uint64(low)
        bits ^= kept
        bits >>= np.uint64(shift)
        bits |= kept

    beats = np.zeros((tiles, count, -(-port // 64)), dtype="<u8")
    for group in range(bits.shape[-1]):
        at, shift = divmod(40 * group, 64)
        beats[..., at] |= bits[..., group] << np.uint64(shift)
        if shift > 24 and at + 1 < beats.shape[-1]:
            beats[..., at + 1] |= bits[..., group] >> np.uint64(64 - shift)

    # Bit j of word i is remaining bit i of beat j; the remaining bits are the highest of the beat.
    for run, whole, striped in _s5_runs(config, words):
        rest = np.zeros(whole.shape[:2], dtype="<u8")
        for stripe in range(stripes):
            rest |= _S5_BITS.take(striped[..., stripe]) << np.uint64(stripe)
        by_beat = rest.view(np.uint8).reshape(*whole.shape[:2], 8)[..., : whole.shape[2]].astype("<u8")
        beats[:, run, -1] |= by_beat.reshape(tiles, -1) << np.uint64((port - stripes) % 64)
    return beats.view(np.uint8)[..., : port // 8]


def pack_tiles(config: AcceleratorConfig, codes: Bytes) -> Bytes:
    """Pack tiles.

    Parameters
    ----------
    config
        Tile, port and packing.
    codes : ndarray of uint8, shape (tiles, ceil(rows x lanes / 4))
        Trits of each tile in stream order, as `to_bytes` gives them.

    Returns
    -------
    ndarray of uint8, shape (tiles, tile_beats x bytes of a beat)
    """
    size = config.tile_beats * config.weight_port_bits // 8
    if config.packing == "i2":
        return _padded(codes, size)
    if config.packing == "s8":
        return _padded(_s8_words(codes), size)
    return _s5_beats(config, _s5_words(codes)).reshape(len(codes), size)


def _words_of_s5_beats(config: AcceleratorConfig, beats: Bytes) -> Bytes:
    """Return the words of tiles, a byte each: the inverse of `_s5_beats`."""
    stripes, per_beat, size = striped_words(config), config.words_per_beat, config.weight_port_bits // 8
    tiles, count = len(beats), config.tile_beats
    # The beats, and what the last integer reads beyond them.
    data = np.zeros(beats.size + 8, dtype=np.uint8)
    data[:-8] = beats.ravel()

    # Eight words of 40 bits become a byte each: every second field moves up, and fields halve, three times.
    shape, strides = (tiles, count, -(-per_beat // 8)), (count * size, size, 5)
    bits = np.ndarray(shape, "<u8", data, strides=strides) & np.uint64((1 << 40) - 1)
    for shift, low in ((12, 0xFFFFF), (6, 0x000003FF000003FF), (3, 0x001F001F001F001F)):
        kept = bits & np.uint64(low)
        bits ^= kept
        bits <<= np.uint64(shift)
        bits |= kept
    fields = bits.view(np.uint8)

    # Remaining bit i of beat j is bit j of word i; the remaining bits are the highest of the beat.
    last = data[size - 1 : -8 : size].reshape(tiles, count) >> np.uint8(8 - stripes)
    words = np.empty((tiles, _s5_length(config)), dtype=np.uint8)
    beat = f"V{per_beat}"
    for run, whole, striped in _s5_runs(config, words):
        whole.view(beat)[...] = fields[:, run, :per_beat].view(beat).reshape(*whole.shape[:3], 1)
        if stripes:
            by_beat = _STRIPES.take(last[:, run]).reshape(whole.shape[:3])
            extra = np.zeros((*whole.shape[:2], 1), dtype="<u4")
            for index in range(whole.shape[2]):
                extra[..., 0] |= by_beat[..., index] << np.uint32(index)
            striped[...] = extra.view(np.uint8)[..., :stripes]
    return words


def unpack_tiles(config: AcceleratorConfig, beats: Bytes) -> Trits:
    """Unpack tiles: the inverse of `pack_tiles`.

    Parameters
    ----------
    config
        Tile, port and packing.
    beats : ndarray of uint8, shape (tiles, tile_beats x bytes of a beat)

    Returns
    -------
    ndarray of int8, shape (tiles, n)
        Trits in stream order, those of the padding behind the tile's ``rows x lanes`` included, with `ILLEGAL` in
        place of each trit of an illegal word.
    """
    if config.packing == "i2":
        return _I2_TRITS.take(beats, mode="clip").view(np.int8).reshape(len(beats), -1)
    if config.packing == "s8":
        return _S8_TRITS.take(beats, axis=0, mode="clip").reshape(len(beats), -1)
    words = _words_of_s5_beats(config, beats)
    if not words[:, tile_words(config) :].any():
        words = words[:, : tile_words(config)]
    # Two words a look-up; one that makes the number even is 0, three trits of 0.
    pairs = np.ascontiguousarray(_padded(words, words.shape[1] + words.shape[1] % 2)).view("<u2")
    return _S5_TRITS.take(pairs, axis=0, mode="clip").reshape(len(beats), -1)
