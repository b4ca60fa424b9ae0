"""The weight image and the activation stream, byte by byte."""

import re
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tritforge.accel.codes import I2_CODES
from tritforge.accel.config import PRESETS, AcceleratorConfig
from tritforge.accel.errors import InputError
from tritforge.models.image import pack_activations, pack_image, unpack_results
from tritforge.sim.cycles import activation_beats, weight_beats

TINY = PRESETS["tiny"]
TRITS = {code: trit for trit, code in I2_CODES.items()}


def refused(message: str) -> Any:
    """Expect an error of exactly this text."""
    return pytest.raises(InputError, match=f"^{re.escape(message)}$")


def unpack_image(config: AcceleratorConfig, data: bytes, m: int, k: int) -> npt.NDArray[np.int8]:
    """Read an image as the hardware does, a beat and a trit at a time; check its biases and its padding."""
    size = config.weight_port_bits // 8
    assert len(data) % size == 0
    beats = iter([int.from_bytes(data[i : i + size], "little") for i in range(0, len(data), size)])

    def take(count: int) -> int:
        return sum(next(beats) << config.weight_port_bits * index for index in range(count))

    matrix = np.zeros((config.row_tiles(m) * config.rows, config.k_tiles(k) * config.lanes), dtype=np.int8)
    for low in range(0, len(matrix), config.rows):
        bias = take(config.bias_beats)
        for left in range(0, matrix.shape[1], config.lanes):
            tile = take(config.tile_beats)
            for row in range(config.rows):
                for lane in range(config.lanes):
                    matrix[low + row, left + lane] = TRITS[tile & 3]
                    tile >>= 2
            assert tile == 0
        for row in range(config.rows):
            assert bias & 0xFFFF == (matrix[low + row] == -1).sum()
            bias >>= 16
        assert bias == 0
    assert next(beats, None) is None
    assert not matrix[m:].any()
    assert not matrix[:, k:].any()
    return matrix[:m, :k]


configs = st.builds(
    AcceleratorConfig,
    lanes=st.sampled_from([2, 4, 12, 16]),
    rows=st.integers(1, 5),
    k_max=st.just(64),
    m_max=st.just(64),
    act_bits=st.sampled_from([3, 8, 9, 16]),
    act_port_bits=st.just(16),
    weight_port_bits=st.sampled_from([16, 32, 128]),
    result_port_bits=st.just(32),
).filter(lambda config: config.lanes % config.acts_per_beat == 0)


@given(configs, st.integers(1, 20), st.integers(1, 40), st.integers(0, 1 << 32))
def test_an_image_read_beat_by_beat_is_the_matrix(
    config: AcceleratorConfig, m: int, k: int, seed: int
) -> None:
    codes = np.random.default_rng(seed).integers(-1, 2, (m, k)).astype(np.int8)
    image = pack_image(config, codes)
    assert len(image) * 8 == weight_beats(config, m, k) * config.weight_port_bits
    np.testing.assert_array_equal(unpack_image(config, image, m, k), codes)


def test_an_image_is_worked_out_by_hand() -> None:
    """Two rows of two lanes on a port of 16 bits: two biases, then a beat for each of two tiles."""
    config = AcceleratorConfig(
        lanes=2, rows=2, k_max=4, m_max=2, weight_port_bits=16, act_port_bits=8, result_port_bits=32
    )
    image = pack_image(config, np.array([[1, -1, -1], [0, 1, 0]], dtype=np.int8))
    # Lane by lane within a row, lowest bits first: +1 is 01, -1 is 11; the fourth lane is beyond the matrix.
    first, second = 0b01_00_11_01, 0b00_00_00_11
    assert image == bytes([2, 0, 0, 0, first, 0, second, 0])


def test_the_longest_row_of_minus_ones_fits_its_bias_word() -> None:
    config = AcceleratorConfig(k_max=32768, lanes=1024, rows=1, weight_port_bits=16)
    image = pack_image(config, np.full((1, 32768), -1, dtype=np.int8))
    assert int.from_bytes(image[:2], "little") == 32768


@given(configs, st.integers(1, 16), st.integers(1, 40), st.integers(0, 1 << 32))
def test_activations_are_read_back_token_by_token(
    config: AcceleratorConfig, tokens: int, k: int, seed: int
) -> None:
    limit = 1 << (config.act_bits - 1)
    codes = np.random.default_rng(seed).integers(-limit, limit, (tokens, k))
    codes[0, 0], codes[-1, -1] = -limit, limit - 1
    if tokens * k == 1:
        codes[0, 0] = -limit
    data = pack_activations(config, codes)
    assert len(data) * 8 == activation_beats(config, k, tokens) * config.act_port_bits
    size = config.act_container_bits // 8
    stride = len(data) // tokens
    for token in range(tokens):
        line = data[token * stride : (token + 1) * stride]
        values = [int.from_bytes(line[i : i + size], "little", signed=True) for i in range(0, stride, size)]
        assert values[:k] == codes[token].tolist()
        assert not any(values[k:])


def test_lane_0_is_in_the_low_byte_and_a_token_starts_a_beat() -> None:
    data = pack_activations(TINY, np.array([[1, -1, 127, -128, 5], [2, 0, 0, 0, 0]]))
    assert data == bytes([1, 0xFF, 0x7F, 0x80, 5, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0])


@given(configs, st.integers(1, 30), st.integers(1, 16))
def test_results_are_put_in_place(config: AcceleratorConfig, m: int, tokens: int) -> None:
    """Words in the order (row tile, token, row)."""
    y = np.arange(tokens * m, dtype=np.int32).reshape(tokens, m) - 50
    words = [y[t, low : low + config.rows] for low in range(0, m, config.rows) for t in range(tokens)]
    result = unpack_results(config, np.concatenate(words), m, tokens)
    assert result.dtype == np.int32
    np.testing.assert_array_equal(result, y)


@pytest.mark.parametrize("count", [0, 13, 15])
def test_a_wrong_number_of_words_is_refused(count: int) -> None:
    with refused(f"{count} result words; M x T = 7 x 2 = 14 are needed"):
        unpack_results(TINY, np.zeros(count, dtype=np.int32), 7, 2)


@pytest.mark.parametrize("value", [2, -2, 127, -128])
def test_a_weight_that_is_not_ternary_is_named_with_its_place(value: int) -> None:
    codes = np.zeros((5, 6), dtype=np.int8)
    codes[3, 4] = value
    codes[4, 0] = value
    with refused(f"weight {value} at row 3, column 4 is not ternary; -1, 0 or +1 is needed"):
        pack_image(TINY, codes)


@pytest.mark.parametrize("value", [128, -129, 1000])
def test_an_activation_that_does_not_fit_is_named(value: int) -> None:
    with refused(f"activation {value} does not fit 8 bits; -128 to 127 is needed"):
        pack_activations(TINY, np.array([[0, value, 1]]))


def test_shapes_out_of_bounds_are_refused() -> None:
    with refused("weights have 1 dimensions; a matrix of 2 is needed"):
        pack_image(TINY, np.zeros(3, dtype=np.int8))
    with refused("activations have 3 dimensions; a matrix of 2 is needed"):
        pack_activations(TINY, np.zeros((1, 1, 1), dtype=np.int8))
    for shape, message in (
        ((257, 1), "M is 257; this configuration runs 1 to 256"),
        ((0, 1), "M is 0; this configuration runs 1 to 256"),
        ((1, 65), "K is 65; this configuration runs 1 to 64"),
        ((1, 0), "K is 0; this configuration runs 1 to 64"),
    ):
        with refused(message):
            pack_image(TINY, np.zeros(shape, dtype=np.int8))
    for shape, message in (
        ((5, 1), "tokens is 5; this configuration runs 1 to 4"),
        ((0, 1), "tokens is 0; this configuration runs 1 to 4"),
        ((1, 65), "K is 65; this configuration runs 1 to 64"),
    ):
        with refused(message):
            pack_activations(TINY, np.zeros(shape, dtype=np.int8))
