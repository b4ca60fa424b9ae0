"""Absmean quantisation and the matrices it makes."""

import math
import re
from fractions import Fraction

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tritforge.accel.errors import InputError
from tritforge.models.ternary import TernaryMatrix, quantise_weights, weight_scale

WEIGHTS = hnp.arrays(
    np.float32,
    hnp.array_shapes(min_dims=2, max_dims=2, max_side=12),
    elements=st.floats(-4, 4, width=32),
)


@given(WEIGHTS)
def test_the_scale_is_the_reciprocal_of_the_exact_mean_rounded_once(weights: npt.NDArray[np.float32]) -> None:
    exact = math.fsum(abs(float(w)) for w in weights.ravel()) / weights.size
    mean = np.float32(max(exact, 1e-5))
    neighbours = {
        np.float32(1) / m
        for m in (mean, np.nextafter(mean, np.float32(0)), np.nextafter(mean, np.float32(9)))
    }
    assert weight_scale(weights) in neighbours


@given(WEIGHTS)
def test_codes_are_the_nearest_trits_of_the_float32_products(weights: npt.NDArray[np.float32]) -> None:
    matrix = quantise_weights(weights)
    for weight, code in zip(weights.ravel(), matrix.codes.ravel(), strict=True):
        product = Fraction(float(np.float32(weight * matrix.scale)))
        assert code == max(-1, min(1, round(product)))  # Fraction rounds half to even too


def test_halves_round_to_the_even_code() -> None:
    weights = np.array([[0.5, -0.5, 1.5, -1.5]], dtype=np.float32)  # mean 1, scale 1
    assert quantise_weights(weights).codes.tolist() == [[0, 0, 1, -1]]


def test_the_mean_is_taken_in_float64() -> None:
    """A float32 sum of these loses every small weight beside the large one."""
    weights = np.full((1, 1 << 20), 2.0**-24, dtype=np.float32)
    weights[0, 0] = 1.0
    exact = (1.0 + ((1 << 20) - 1) * 2.0**-24) / (1 << 20)
    assert weight_scale(weights) == np.float32(1) / max(np.float32(exact), np.float32(1e-5))
    assert weight_scale(weights * np.float32(64)) == np.float32(1) / np.float32(64 * exact)


def test_an_all_zero_matrix_has_zero_codes_and_the_largest_scale() -> None:
    matrix = quantise_weights(np.zeros((2, 3), dtype=np.float32))
    assert not matrix.codes.any()
    assert matrix.scale == np.float32(1) / np.float32(1e-5)


def test_shares_and_shape() -> None:
    matrix = TernaryMatrix(codes=np.array([[-1, 0, 0, 1, 1]], dtype=np.int8), scale=np.float32(2))
    assert (matrix.m, matrix.k) == (1, 5)
    assert matrix.shares == (0.2, 0.4, 0.4)


def test_codes_cannot_be_changed_through_the_matrix_or_its_source() -> None:
    source = np.zeros((1, 2), dtype=np.int8)
    matrix = TernaryMatrix(codes=source, scale=np.float32(1))
    source[0, 0] = 1
    assert not matrix.codes.any()
    with pytest.raises(ValueError, match="read-only"):
        matrix.codes[0, 0] = 1


@pytest.mark.parametrize(
    ("codes", "scale", "message"),
    [
        (
            np.array([[0, 2]], np.int8),
            np.float32(1),
            "the code at row 0, column 1 is 2; -1, 0 or 1 is needed",
        ),
        (
            np.array([[0], [-128]], np.int8),
            np.float32(1),
            "the code at row 1, column 0 is -128; -1, 0 or 1 is needed",
        ),
        (
            np.zeros((1, 2)),
            np.float32(1),
            "codes are float64 of shape (1, 2); int8 of two axes is needed, neither of them empty",
        ),
        (
            np.zeros((0, 2), np.int8),
            np.float32(1),
            "codes are int8 of shape (0, 2); int8 of two axes is needed, neither of them empty",
        ),
        (
            np.zeros((1, 2), np.int8),
            np.float32(0),
            "the scale is np.float32(0.0); a positive, finite float32 is needed",
        ),
        (
            np.zeros((1, 2), np.int8),
            np.float32(np.nan),
            "the scale is np.float32(nan); a positive, finite float32 is needed",
        ),
        (np.zeros((1, 2), np.int8), 1.0, "the scale is 1.0; a positive, finite float32 is needed"),
    ],
)
def test_a_matrix_names_what_is_wrong_with_it(
    codes: npt.NDArray[np.int8], scale: np.float32, message: str
) -> None:
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        TernaryMatrix(codes=codes, scale=scale)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (
            np.zeros((2, 2)),
            "weights are float64 of shape (2, 2); float32 of two axes is needed, neither of them empty",
        ),
        (
            np.array([[np.inf]], np.float32),
            "the mean of the weights' magnitudes is inf; finite weights are needed",
        ),
        (
            np.array([[np.nan]], np.float32),
            "the mean of the weights' magnitudes is nan; finite weights are needed",
        ),
    ],
)
def test_weights_that_cannot_be_quantised_are_refused(weights: npt.NDArray[np.float32], message: str) -> None:
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        quantise_weights(weights)
