"""Bytes of ternary weights in GGUF files, against a literal implementation of the layouts."""

import re

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tritforge.accel.errors import InputError
from tritforge.models.gguf_blocks import (
    BLOCK,
    BLOCK_BYTES,
    I2S_BLOCK,
    i2s_bytes,
    pack_blocks,
    pack_i2s,
    unpack_blocks,
    unpack_i2s,
)

KINDS = sorted(BLOCK_BYTES)
LAYOUTS = sorted(I2S_BLOCK)
#: Base-3 values by the byte that stands for them, as a ceiling.
LEGAL = {-(-value * 256 // 243): value for value in range(243)}
BYTES = {value: byte for byte, value in LEGAL.items()}


def trits(m: int, k: int, seed: int = 0) -> npt.NDArray[np.int8]:
    return np.random.default_rng(seed).integers(-1, 2, (m, k), dtype=np.int8)


def slow_block(kind: str, codes: list[int]) -> list[int]:
    """Bytes of one block without its scale, weight by weight."""
    if kind == "TQ2_0":
        data = [0] * 64
        for index, code in enumerate(codes):
            group, place = divmod(index, 128)
            data[32 * group + place % 32] |= code + 1 << 2 * (place // 32)
        return data
    data = []
    for start, width, digits in ((0, 32, 5), (160, 16, 5), (240, 4, 4)):
        for byte in range(width):
            value = 0
            for digit in range(5):
                trit = codes[start + width * digit + byte] if digit < digits else -1
                value = 3 * value + trit + 1
            data.append(BYTES[value])
    return data


def slow_i2s(layout: str, codes: list[int]) -> list[int]:
    """Bytes of a matrix without its scale, as bitnet.cpp's quantize_i2_s loops over them."""
    block, width = (128, 32) if layout == "x86" else (64, 16)
    data = [0] * (len(codes) // 4)
    for i in range(len(codes) // block):
        for j in range(block):
            data[i * width + j % width] |= codes[i * block + j] + 1 << 6 - 2 * (j // width)
    return data


def tq1_0_block(byte: int, at: int) -> npt.NDArray[np.uint8]:
    """A TQ1_0 block of zeros but for one byte, with the scale 1."""
    block = pack_blocks("TQ1_0", np.zeros((1, BLOCK), dtype=np.int8), np.ones((1, 1), dtype=np.float32))
    block[0, at] = byte
    block[0, -2:] = np.array([1], dtype="<f2").view(np.uint8)
    return block


@pytest.mark.parametrize("kind", KINDS)
def test_blocks_have_the_bytes_of_a_loop_over_their_weights(kind: str) -> None:
    codes = trits(3, 512)
    scales = np.array([[1, 2], [0.5, 4], [3, 0.25]], dtype=np.float32)
    data = pack_blocks(kind, codes, scales).reshape(6, -1)
    assert data[:, :-2].tolist() == [slow_block(kind, row) for row in codes.reshape(6, -1).tolist()]
    assert data[:, -2:].copy().view("<f2").ravel().tolist() == scales.ravel().tolist()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_i2s_has_the_bytes_of_bitnet_cpps_loop(layout: str) -> None:
    codes = trits(5, 256)
    data = pack_i2s(layout, codes, np.float32(0.3))
    assert data[:-32].tolist() == slow_i2s(layout, codes.ravel().tolist())
    assert data[-32:-28].view("<f4").tolist() == [np.float32(0.3)]
    assert not data[-28:].any()
    assert len(data) == i2s_bytes(5, 256) == 5 * 64 + 32


def test_the_layouts_of_i2s_differ() -> None:
    codes = trits(2, 128)
    other, _ = unpack_i2s("arm", pack_i2s("x86", codes, np.float32(1)), 2, 128)
    assert (other != codes).any()


@given(st.sampled_from(KINDS), st.integers(1, 5), st.integers(1, 3), st.integers(0, 2**32 - 1))
@settings(deadline=None)
def test_blocks_come_back(kind: str, m: int, blocks: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    codes = trits(m, BLOCK * blocks, seed)
    scales = generator.integers(1, 2048, (m, blocks)).astype(np.float32) * np.float32(2.0**-14)
    found, found_scales = unpack_blocks(kind, pack_blocks(kind, codes, scales), BLOCK * blocks)
    assert np.array_equal(found, codes)
    assert np.array_equal(found_scales, scales)


@given(st.sampled_from(LAYOUTS), st.integers(1, 5), st.integers(1, 3), st.integers(0, 2**32 - 1))
@settings(deadline=None)
def test_i2s_comes_back(layout: str, m: int, blocks: int, seed: int) -> None:
    k = I2S_BLOCK[layout] * blocks
    codes = trits(m, k, seed)
    scale = np.float32(1 + seed)
    found, found_scale = unpack_i2s(layout, pack_i2s(layout, codes, scale), m, k)
    assert np.array_equal(found, codes)
    assert found_scale == scale


@pytest.mark.parametrize("kind", KINDS)
def test_more_blocks_than_are_worked_on_at_once_come_back(kind: str) -> None:
    codes = trits(300, 8 * BLOCK)
    scales = np.ones((300, 8), dtype=np.float32)
    assert np.array_equal(unpack_blocks(kind, pack_blocks(kind, codes, scales), 8 * BLOCK)[0], codes)


@pytest.mark.parametrize("kind", KINDS)
def test_the_scale_of_a_block_of_zeros_is_kept_and_may_be_0(kind: str) -> None:
    codes = trits(2, 2 * BLOCK)
    codes[1] = 0
    scales = np.array([[1, 2], [0, 3]], dtype=np.float32)
    _, found = unpack_blocks(kind, pack_blocks(kind, codes, scales), 2 * BLOCK)
    assert found.tolist() == scales.tolist()


def test_every_byte_of_tq1_0_is_five_trits_or_an_error() -> None:
    refused = 0
    for byte in range(256):
        if byte in LEGAL:
            codes, _ = unpack_blocks("TQ1_0", tq1_0_block(byte, 33), BLOCK)
            digits = [LEGAL[byte] // 3 ** (4 - digit) % 3 - 1 for digit in range(5)]
            assert codes[0, 161:240:16].tolist() == digits
            assert np.count_nonzero(codes) == np.count_nonzero(digits)
        else:
            refused += 1
            message = (
                f"row 0, column 161: the byte {byte} (byte 33 of its block) is not the byte of 5 base-3 digits: "
                "the file is damaged or not TQ1_0"
            )
            with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
                unpack_blocks("TQ1_0", tq1_0_block(byte, 33), BLOCK)
    assert refused == 13


def test_the_last_bytes_of_a_tq1_0_block_have_four_trits() -> None:
    accepted = 0
    for byte in range(256):
        if LEGAL.get(byte, 1) % 3 == 0:
            codes, _ = unpack_blocks("TQ1_0", tq1_0_block(byte, 51), BLOCK)
            assert codes[0, 243::4].tolist() == [
                LEGAL[byte] // 3 ** (4 - digit) % 3 - 1 for digit in range(4)
            ]
            accepted += 1
        else:
            with pytest.raises(
                InputError, match=r"^row 0, column 243: .* is not the byte of 4 base-3 digits"
            ):
                unpack_blocks("TQ1_0", tq1_0_block(byte, 51), BLOCK)
    assert accepted == 81


def test_an_illegal_byte_is_found_where_it_is() -> None:
    codes = trits(700, 4 * BLOCK)
    data = pack_blocks("TQ1_0", codes, np.ones((700, 4), dtype=np.float32))
    illegal = next(byte for byte in range(256) if byte not in LEGAL)
    data[650, 2 * 54 + 7] = illegal
    with pytest.raises(InputError, match=f"^row 650, column 519: the byte {illegal} "):
        unpack_blocks("TQ1_0", data, 4 * BLOCK)


@pytest.mark.parametrize("number", range(4))
def test_a_code_of_3_is_found_where_it_is(number: int) -> None:
    codes = trits(1100, 2 * BLOCK)  # more blocks than are unpacked at a time
    data = pack_blocks("TQ2_0", codes, np.ones((1100, 2), dtype=np.float32))
    data[1090, 66 + 32 + 5] |= 3 << 2 * number
    with pytest.raises(InputError, match=f"^row 1090, column {256 + 128 + 32 * number + 5}: the code is 3 "):
        unpack_blocks("TQ2_0", data, 2 * BLOCK)
    for layout, width in (("x86", 32), ("arm", 16)):
        packed = pack_i2s(layout, codes, np.float32(1))
        at = 1090 * 128 + width + 5
        packed[at] |= 3 << 6 - 2 * number
        message = (
            f"row 1090, column {4 * width + width * number + 5}: the code is 3 (in the byte "
            f"{packed[at]}); 0, 1 and 2 stand for -1, 0 and +1: the file is damaged or in another layout"
        )
        with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
            unpack_i2s(layout, packed, 1100, 2 * BLOCK)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("scale", "text"), [(np.nan, "nan"), (np.inf, "inf"), (-1, "-1.0")])
def test_a_scale_that_is_none_is_refused(kind: str, scale: float, text: str) -> None:
    data = pack_blocks(kind, trits(3, 2 * BLOCK), np.ones((3, 2), dtype=np.float32))
    data[2, -2:] = np.array([scale], dtype="<f2").view(np.uint8)
    message = f"row 2, block 1: the scale is {text}; a finite number from 0 up is needed"
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        unpack_blocks(kind, data, 2 * BLOCK)


def test_a_scale_of_i2s_that_is_none_is_refused() -> None:
    data = pack_i2s("x86", trits(1, 128), np.float32(1))
    data[-32:-28] = np.array([-np.inf], dtype="<f4").view(np.uint8)
    with pytest.raises(InputError, match=r"^row 0, block 0: the scale is -inf; "):
        unpack_i2s("x86", data, 1, 128)


def test_codes_under_a_scale_of_0_are_refused() -> None:
    codes = np.zeros((2, 2 * BLOCK), dtype=np.int8)
    codes[1, 300] = 1
    message = "row 1, block 1: the scale is 0 and codes are not, which makes zeros of them"
    data = pack_blocks("TQ2_0", codes, np.ones((2, 2), dtype=np.float32))
    data[1, -2:] = 0
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        unpack_blocks("TQ2_0", data, 2 * BLOCK)
    with pytest.raises(InputError, match=r"^row 0, block 0: the scale is 0 and codes are not"):
        unpack_i2s("arm", pack_i2s("arm", codes, np.float32(0)), 2, 2 * BLOCK)
    assert unpack_i2s("arm", pack_i2s("arm", 0 * codes, np.float32(0)), 2, 2 * BLOCK)[1] == 0


@pytest.mark.parametrize("scale", [0.1, 1e6, np.nan, np.inf, 1e-9])
def test_a_scale_that_float16_does_not_have_is_not_packed(scale: float) -> None:
    value = np.float32(scale)
    message = f"the scale {value!r} is not a number that float16 has, as TQ1_0 needs"
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        pack_blocks("TQ1_0", trits(1, BLOCK), np.array([[value]]))


@pytest.mark.parametrize("scale", [-1.0, 0.0])
def test_a_scale_that_is_not_positive_is_not_packed(scale: float) -> None:
    with pytest.raises(InputError, match=r"^row 0, block 0: the scale is -?[01]"):
        pack_blocks("TQ1_0", trits(1, BLOCK), np.array([[scale]], dtype=np.float32))


def test_rows_of_part_of_a_block_are_refused() -> None:
    with pytest.raises(
        InputError, match=r"^300 weights in a row are not a multiple of 256, which TQ2_0 needs; "
    ):
        pack_blocks("TQ2_0", trits(1, 300), np.ones((1, 1), dtype=np.float32))
    with pytest.raises(
        InputError, match=r"^192 weights in a row are not a multiple of 128, which i2_s in the x86 "
    ):
        pack_i2s("x86", trits(1, 192), np.float32(1))
    message = "a row of 256 weights has 53 bytes; TQ1_0 takes 54 for each 256, none left over"
    with pytest.raises(InputError, match=f"^{message}$"):
        unpack_blocks("TQ1_0", np.zeros((1, 53), dtype=np.uint8), 256)
    message = (
        "1 x 192 weights have 80 bytes; i2_s in the x86 layout takes 32 for each 128, none left over, "
        "and 32 for the scale"
    )
    with pytest.raises(InputError, match=f"^{message}$"):
        unpack_i2s("x86", np.zeros(80, dtype=np.uint8), 1, 192)
