"""Operands in every arithmetic are those of one product."""

import re

import numpy as np
import pytest

from tritforge.accel.errors import InputError
from tritforge.models.ternary import quantise_weights
from tritforge.rtl.gates.operands import ProductOperands, dequantised, latent_weights, random_operands


def test_drawn_weights_round_to_their_codes_and_are_normal() -> None:
    """With the share of zeros that normal weights have, the drawn ones are normal numbers of that mean magnitude."""
    random = np.random.default_rng(1)
    whole = random.standard_normal((200, 500)).astype(np.float32)
    codes = quantise_weights(whole).codes
    drawn = latent_weights(codes, 0.05, np.random.default_rng(2))
    assert np.abs(drawn).mean() == pytest.approx(0.05, rel=0.01)
    assert drawn.std() == pytest.approx(0.05 / (2 / np.pi) ** 0.5, rel=0.01)
    assert (drawn**4).mean() / (drawn**2).mean() ** 2 == pytest.approx(3, rel=0.03)
    rounded = np.clip(np.rint(drawn / 0.05), -1, 1)
    assert np.array_equal(rounded, codes)


def test_drawn_weights_keep_codes_of_any_share_of_zeros() -> None:
    codes = np.random.default_rng(3).choice([-1, 0, 1], (50, 60), p=[0.2, 0.6, 0.2]).astype(np.int8)
    drawn = latent_weights(codes, 2.0, np.random.default_rng(4))
    assert np.array_equal(np.clip(np.rint(drawn / 2.0), -1, 1), codes)
    assert np.unique(np.sign(drawn[codes == 0])).tolist() == [-1, 1]


def test_int8_weights_use_the_whole_range() -> None:
    operands = random_operands(5, tokens=2, inputs=30, outputs=10)
    codes = operands.int8_weights
    assert np.abs(codes).max() == 127
    scale = np.abs(operands.weights).max() / 127
    assert np.abs(codes * scale - operands.weights).max() <= scale / 2 * 1.001


def test_dequantised_weights_have_three_values() -> None:
    operands = dequantised(random_operands(6, tokens=2, inputs=30, outputs=10))
    assert np.array_equal(np.sign(operands.weights), operands.trits)
    assert np.unique(np.abs(operands.weights)).size == 2


def test_random_operands_depend_on_their_seed_and_reach_their_bounds() -> None:
    first, again, other = random_operands(7), random_operands(7), random_operands(8)
    assert np.array_equal(first.weights, again.weights)
    assert not np.array_equal(first.weights, other.weights)
    assert (first.codes.min(), first.codes.max()) == (-127, 127)
    assert np.unique(first.trits).tolist() == [-1, 0, 1]


def test_operands_that_do_not_belong_together_are_refused() -> None:
    good = random_operands(9, tokens=2, inputs=4, outputs=3)
    message = (
        "odd: codes have shape (2, 4), activations (2, 4), trits (3, 4), weights (3, 5); "
        "(T, K) twice and (M, K) twice are needed"
    )
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        ProductOperands(
            name="odd",
            codes=good.codes,
            activations=good.activations,
            trits=good.trits,
            weights=np.zeros((3, 5), np.float32),
        )
    with pytest.raises(InputError, match=r"^seed is -1; zero or more is needed$"):
        random_operands(-1)
