"""Ternary weights as GGUF files hold them: TQ1_0, TQ2_0 and i2_s, vectorised.

TQ1_0 and TQ2_0 are llama.cpp's: blocks of 256 weights along a row, a float16 scale behind the codes of each. i2_s is
bitnet.cpp's: two bits a weight through the whole matrix, one float32 scale behind them. Digits are trit + 1 in all.

====== ========================================================= =====================================================
type   bytes of a block                                          which weight of the block it is
====== ========================================================= =====================================================
TQ1_0  54: 32, 16 and 4 bytes of base-3 digits, the scale        digit n of byte j of w: w n + j, highest digit first
TQ2_0  66: twice 32 bytes of two bits a weight, the scale        bits 2n of byte j of 32: 32 n + j
i2_s   32 for 128 weights (x86), 16 for 64 (ARM)                 bits 6 - 2n of byte j of w: w n + j
====== ========================================================= =====================================================

A byte of TQ1_0 is ``ceil(v * 256 / 243)`` of its base-3 value v, so that the digits come out at the top: the value is
a fraction v / 243 and times 3 carries the next digit over the point, in eight bits. What is left after the fifth
digit is below 243 for the 243 bytes that are the byte of a value, and not below it for the 13 others. The last four
bytes of a block have four digits and a fifth of 0; what is left after the fourth is below 81.

Sources: ``quantize_row_tq1_0_ref`` and ``quantize_row_tq2_0_ref`` of llama.cpp; ``quantize_i2_s`` of bitnet.cpp
(src/ggml-bitnet-mad.cpp), whose layout follows the processor that it is built for, and ``ggml_nbytes`` of its
llama.cpp for the 32 bytes that hold the scale.
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from tritforge.accel.errors import InputError

Bytes = npt.NDArray[np.uint8]
Trits = npt.NDArray[np.int8]
Floats = npt.NDArray[np.float32]

#: Weights of a block of TQ1_0 and TQ2_0, and its bytes with the scale.
BLOCK = 256
BLOCK_BYTES = {"TQ1_0": 54, "TQ2_0": 66}
#: Weights of a block of i2_s, by the processor that the program which wrote the file was built for.
I2S_BLOCK = {"x86": 128, "arm": 64}
#: Bytes behind the codes of i2_s; the first four are the scale.
I2S_TAIL = 32

#: Groups of bytes of a TQ1_0 block: bytes, and digits in each.
_TQ1_0_GROUPS = ((32, 5), (16, 5), (4, 4))
# The two bounds of a byte's leading digit: 1 / 3 and 2 / 3 of 256.
_THIRD, _TWO_THIRDS = np.uint8(86), np.uint8(171)
_VALUES = 243
_TQ1_0_BYTES = ((np.arange(_VALUES) * 256 + _VALUES - 1) // _VALUES).astype(np.uint8)
_TWO_BITS = np.uint8(3)
_LOW_BITS = np.uint8(0x55)
# Blocks at a time, so that what is worked on stays in a processor's cache.
_STEP = 2048


def unpack_blocks(kind: str, data: Bytes, k: int) -> tuple[Trits, Floats]:
    """Unpack rows of TQ1_0 or TQ2_0.

    Parameters
    ----------
    kind
        ``TQ1_0`` or ``TQ2_0``.
    data : ndarray of uint8, shape (M, K / 256 x bytes of a block)
    k
        Weights in a row, a multiple of 256.

    Returns
    -------
    codes : ndarray of int8, shape (M, K)
    scales : ndarray of float32, shape (M, K / 256)
        Of each block; 0 where all its codes are 0.

    Raises
    ------
    InputError
        Rows of another length, a byte that no weights have, or a scale that is negative, not finite, or 0 for codes
        that are not.
    """
    size = BLOCK_BYTES[kind]
    if k % BLOCK or data.shape[1] != k // BLOCK * size:
        raise InputError(
            f"a row of {k} weights has {data.shape[1]} bytes; {kind} takes {size} for each {BLOCK}, none left over"
        )
    blocks = data.reshape(-1, size)
    scales = blocks[:, -2:].copy().view("<f2").astype(np.float32).reshape(len(data), -1)
    codes = np.empty((len(blocks), BLOCK), dtype=np.int8)
    for part in _parts(len(blocks)):
        if kind == "TQ1_0":
            _unpack_tq1_0(blocks[part], codes[part], k, part.start)
        else:
            _unpack_pairs(blocks[part, :64], codes[part], width=32, first=0, k=k, start=part.start)
    codes = codes.reshape(len(data), k)
    _check_scales(scales, codes)
    return codes, scales


def pack_blocks(kind: str, codes: Trits, scales: Floats) -> Bytes:
    """Pack rows of TQ1_0 or TQ2_0: the inverse of `unpack_blocks`.

    Parameters
    ----------
    kind
        ``TQ1_0`` or ``TQ2_0``.
    codes : ndarray of int8, shape (M, K), K a multiple of 256
        -1, 0 or +1; not checked.
    scales : ndarray of float32, shape (M, K / 256)
        Of each block, stored as they are; llama.cpp stores 0 for a block of zeros.

    Raises
    ------
    InputError
        K is not a multiple of 256; a scale is negative, no number that float16 has, or 0 for codes that are not.
    """
    m, k = codes.shape
    if k % BLOCK:
        raise InputError(
            f"{k} weights in a row are not a multiple of {BLOCK}, which {kind} needs; choose another type"
        )
    with np.errstate(over="ignore"):  # becomes infinite, which the comparison finds
        halves = scales.astype("<f2")
    wrong = np.argwhere((halves.astype(np.float32) != scales) | ~np.isfinite(halves))
    if wrong.size:
        value = scales[tuple(wrong[0])]
        raise InputError(f"the scale {value!r} is not a number that float16 has, as {kind} needs")
    _check_scales(scales, codes)
    trits = codes.reshape(-1, BLOCK)
    blocks = np.empty((len(trits), BLOCK_BYTES[kind]), dtype=np.uint8)
    for part in _parts(len(trits)):
        if kind == "TQ1_0":
            _pack_tq1_0(trits[part], blocks[part])
        else:
            _pack_pairs(trits[part], blocks[part, :64], width=32, first=0)
    blocks[:, -2:] = np.ascontiguousarray(halves).view(np.uint8).reshape(-1, 2)
    return blocks.reshape(m, -1)


def i2s_bytes(m: int, k: int) -> int:
    """Bytes of a matrix in i2_s, the scale and what fills up behind it included."""
    return m * k // 4 + I2S_TAIL


def unpack_i2s(layout: str, data: Bytes, m: int, k: int) -> tuple[Trits, np.float32]:
    """Unpack a matrix in i2_s.

    Parameters
    ----------
    layout
        ``x86`` or ``arm``: which processor the program that wrote the file was built for. The bytes do not tell.
    data : ndarray of uint8, shape (M x K / 4 + 32,)
    m, k
        Outputs and inputs; their product a multiple of the layout's block.

    Returns
    -------
    codes : ndarray of int8, shape (M, K)
    scale : float32
        0 where all codes are 0, as bitnet.cpp writes it.

    Raises
    ------
    InputError
        Another length, a code of 3, or a scale that is negative, not finite, or 0 for codes that are not.
    """
    size = I2S_BLOCK[layout]
    if m * k % size or data.shape != (i2s_bytes(m, k),):
        raise InputError(
            f"{m} x {k} weights have {data.size} bytes; i2_s in the {layout} layout takes {size // 4} for each "
            f"{size}, none left over, and {I2S_TAIL} for the scale"
        )
    packed = data[:-I2S_TAIL].reshape(-1, size // 4)
    codes = np.empty((len(packed), size), dtype=np.int8)
    for part in _parts(len(packed)):
        _unpack_pairs(packed[part], codes[part], width=size // 4, first=6, k=k, start=part.start)
    codes = codes.reshape(m, k)
    scale = data[-I2S_TAIL:][:4].copy().view("<f4").astype(np.float32)
    _check_scales(scale.reshape(1, 1), codes)
    return codes, np.float32(scale[0])


def pack_i2s(layout: str, codes: Trits, scale: np.float32) -> Bytes:
    """Pack a matrix in i2_s: the inverse of `unpack_i2s`.

    Raises
    ------
    InputError
        K is not a multiple of the layout's block: bitnet.cpp's kernels read a row in whole blocks.
    """
    size = I2S_BLOCK[layout]
    if codes.shape[1] % size:
        raise InputError(
            f"{codes.shape[1]} weights in a row are not a multiple of {size}, which i2_s in the {layout} layout "
            "needs; choose another type"
        )
    data = np.zeros(i2s_bytes(*codes.shape), dtype=np.uint8)
    packed = data[:-I2S_TAIL].reshape(-1, size // 4)
    trits = codes.reshape(-1, size)
    for part in _parts(len(trits)):
        _pack_pairs(trits[part], packed[part], width=size // 4, first=6)
    data[-I2S_TAIL:][:4] = np.array([scale], dtype="<f4").view(np.uint8)
    return data


def _parts(blocks: int) -> Iterator[slice]:
    for start in range(0, blocks, _STEP):
        yield slice(start, min(start + _STEP, blocks))


def _unpack_tq1_0(blocks: Bytes, codes: Trits, k: int, start: int) -> None:
    """Unpack TQ1_0 blocks into their codes; `start` is the number of the first block, for what is said of a fault."""
    at = place = 0
    for width, digits in _TQ1_0_GROUPS:
        left = blocks[:, at : at + width].copy()
        for digit in range(digits):
            target = codes[:, place + digit * width : place + (digit + 1) * width]
            np.subtract((left >= _TWO_THIRDS).view(np.int8), (left < _THIRD).view(np.int8), out=target)
            left *= np.uint8(3)
        bad = left >= 3**digits
        if bad.any():
            block, byte = map(int, np.argwhere(bad)[0])
            row, column = divmod((start + block) * BLOCK + place + byte, k)
            raise InputError(
                f"row {row}, column {column}: the byte {blocks[block, at + byte]} (byte {at + byte} of its block) is "
                f"not the byte of {digits} base-3 digits: the file is damaged or not TQ1_0"
            )
        at += width
        place += width * digits


def _pack_tq1_0(trits: Trits, blocks: Bytes) -> None:
    at = place = 0
    for width, digits in _TQ1_0_GROUPS:
        value = np.zeros((len(trits), width), dtype=np.uint8)
        for digit in range(digits):
            value *= np.uint8(3)
            value += trits[:, place + digit * width : place + (digit + 1) * width].view(np.uint8)
        # Each digit is one more than its trit: 1 + 3 + 9 + 27 (+ 81) more in all; a fifth digit of 0 takes its place.
        value += np.uint8(121 if digits == 5 else 40)
        if digits == 4:
            value *= np.uint8(3)
        blocks[:, at : at + width] = _TQ1_0_BYTES.take(value)
        at += width
        place += width * digits


def _unpack_pairs(packed: Bytes, codes: Trits, *, width: int, first: int, k: int, start: int) -> None:
    """Unpack bytes of four codes of two bits, `width` apart, the first at bit `first` (0 or 6) of a byte."""
    groups = packed.reshape(-1, width)
    bad = groups & groups >> np.uint8(1) & _LOW_BITS
    if bad.any():
        group, byte = map(int, np.argwhere(bad)[0])
        number = next(n for n in range(4) if int(groups[group, byte]) >> abs(first - 2 * n) & 3 == 3)
        before = start * codes.shape[1] + group * 4 * width
        row, column = divmod(before + number * width + byte, k)
        raise InputError(
            f"row {row}, column {column}: the code is 3 (in the byte {groups[group, byte]}); 0, 1 and 2 stand for "
            "-1, 0 and +1: the file is damaged or in another layout"
        )
    places = codes.reshape(-1, 4, width)
    for number in range(4):
        shifted = groups >> np.uint8(abs(first - 2 * number))
        shifted &= _TWO_BITS
        np.subtract(shifted.view(np.int8), np.int8(1), out=places[:, number])


def _pack_pairs(trits: Trits, packed: Bytes, *, width: int, first: int) -> None:
    """Pack codes of two bits: the inverse of `_unpack_pairs`."""
    places = trits.reshape(-1, 4, width).view(np.uint8)
    groups = np.zeros((len(places), width), dtype=np.uint8)
    for number in range(4):
        groups |= places[:, number] + np.uint8(1) << np.uint8(abs(first - 2 * number))
    packed[...] = groups.reshape(packed.shape)


def _check_scales(scales: Floats, codes: Trits) -> None:
    """Check scales of blocks of equal width, shape (M, blocks of a row) or (1, 1), and that zeros have only zeros."""
    wrong = np.argwhere(~((scales >= 0) & (scales < np.inf)))
    if wrong.size:
        row, block = map(int, wrong[0])
        raise InputError(
            f"row {row}, block {block}: the scale is {scales[row, block]}; a finite number from 0 up is needed"
        )
    zeros = np.argwhere(scales == 0)
    if zeros.size:
        blocks = codes.reshape(*scales.shape, -1)
        faulty = zeros[blocks[zeros[:, 0], zeros[:, 1]].any(axis=-1)]
        if faulty.size:
            row, block = map(int, faulty[0])
            raise InputError(
                f"row {row}, block {block}: the scale is 0 and codes are not, which makes zeros of them"
            )
