"""Activations and results in the order in which the hardware takes and gives them."""

import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.errors import InputError
from tritforge.accel.presets import PRESETS
from tritforge.models.operands import order_results, pack_activations, unpack_results
from tritforge.sim.cycles import activation_beats

TINY = PRESETS["tiny"]


def refused(message: str) -> Any:
    """Expect an error of exactly this text."""
    return pytest.raises(InputError, match=f"^{re.escape(message)}$")


configs = st.builds(
    AcceleratorConfig,
    lanes=st.sampled_from([2, 4, 12, 16, 32]),
    rows=st.integers(1, 9),
    k_max=st.just(64),
    act_bits=st.sampled_from([3, 8, 9, 16]),
    act_port_bits=st.just(16),
    result_port_bits=st.just(32),
)


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
    np.testing.assert_array_equal(order_results(config, result), np.concatenate(words))


@pytest.mark.parametrize("count", [0, 13, 15])
def test_a_wrong_number_of_words_is_refused(count: int) -> None:
    with refused(f"{count} result words; M x T = 7 x 2 = 14 are needed"):
        unpack_results(TINY, np.zeros(count, dtype=np.int32), 7, 2)


@pytest.mark.parametrize("value", [128, -129, 1000])
def test_an_activation_that_does_not_fit_is_named(value: int) -> None:
    with refused(f"activation {value} does not fit 8 bits; -128 to 127 is needed"):
        pack_activations(TINY, np.array([[0, value, 1]]))


def test_shapes_out_of_bounds_are_refused() -> None:
    with refused("activations have 3 dimensions; a matrix of 2 is needed"):
        pack_activations(TINY, np.zeros((1, 1, 1), dtype=np.int8))
    for shape, message in (
        ((5, 1), "tokens is 5; this configuration runs 1 to 4"),
        ((0, 1), "tokens is 0; this configuration runs 1 to 4"),
        ((1, 65), "K is 65; this configuration runs 1 to 64"),
    ):
        with refused(message):
            pack_activations(TINY, np.zeros(shape, dtype=np.int8))
