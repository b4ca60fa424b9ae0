"""BitLinear by the arithmetic contract."""

import re
import tracemalloc
from fractions import Fraction
from unittest import mock

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tritforge.accel.errors import InputError
from tritforge.models.base3 import pack
from tritforge.models.row_packing import Base3Rows, QuarterRows, RowSource
from tritforge.models.ternary import TernaryMatrix
from tritforge.sim import golden
from tritforge.sim.golden import (
    FLOAT32_EXACT_K,
    LARGEST_K,
    bit_linear,
    dequantise,
    quantise_activations,
    ternary_matmul,
)

ACTIVATIONS = hnp.arrays(
    np.float32,
    hnp.array_shapes(min_dims=2, max_dims=3, max_side=9),
    elements=st.floats(width=32, allow_nan=False, allow_infinity=False),
)


def single(value: Fraction) -> Fraction:
    """Round an exact value to float32, half to even."""
    return Fraction(float(np.float32(float(value)))) if value else value


@given(ACTIVATIONS)
def test_codes_stay_within_127_and_the_peak_reaches_it(x: npt.NDArray[np.float32]) -> None:
    codes, s_x = quantise_activations(x)
    assert codes.dtype == np.int8
    assert s_x.dtype == np.float32
    assert codes.shape == x.shape
    assert s_x.shape == (*x.shape[:-1], 1)
    peaks = np.abs(codes.astype(int)).max(axis=-1)
    assert peaks.max() <= 127
    large = np.abs(x).max(axis=-1)
    assert (peaks[(large >= 1e-5) & (large < 1e37)] == 127).all()


@given(st.floats(2**-16, 2**99, width=32), st.floats(-1, 1, width=32))
def test_each_step_rounds_once_in_the_order_of_the_contract(peak: float, share: float) -> None:
    """The same in exact fractions: reciprocal, times 127, times x, nearest even integer."""
    x = np.array([[peak, np.float32(peak) * np.float32(share)]], dtype=np.float32)
    codes, s_x = quantise_activations(x)
    scale = single(single(1 / Fraction(float(x[0, 0]))) * 127)
    assert Fraction(float(s_x[0, 0])) == scale
    assert codes[0].tolist() == [round(single(Fraction(float(v)) * scale)) for v in x[0]]


def test_the_scale_is_the_reciprocal_times_127_and_not_127_over_the_peak() -> None:
    peaks = np.linspace(0.5, 4, 4001, dtype=np.float32)[:, None]
    s_x = quantise_activations(peaks)[1]
    assert np.array_equal(s_x, (np.float32(1) / peaks) * np.float32(127))
    assert (s_x != np.float32(127) / peaks).sum() > 100


def test_halves_round_to_the_even_code() -> None:
    x = np.array([[127, 0.5, 1.5, 2.5, -0.5, -1.5]], dtype=np.float32)
    codes, s_x = quantise_activations(x)
    assert s_x[0, 0] == 1
    assert codes.tolist() == [[127, 0, 2, 2, 0, -2]]


def test_a_token_of_zeros_has_zero_codes() -> None:
    codes, s_x = quantise_activations(np.zeros((1, 4), dtype=np.float32))
    assert not codes.any()
    assert s_x[0, 0] == (np.float32(1) / np.float32(1e-5)) * np.float32(127)


@given(
    st.integers(1, 7),
    st.integers(1, 300),
    st.integers(1, 9),
    st.integers(0, 2**32 - 1),
    st.sampled_from(["random", "lowest", "plus", "minus", "opposed"]),
)
def test_the_product_is_that_of_integers(tokens: int, k: int, m: int, seed: int, pattern: str) -> None:
    random = np.random.default_rng(seed)
    x = random.integers(-128, 128, (tokens, k), dtype=np.int8)
    w = random.integers(-1, 2, (m, k), dtype=np.int8)
    if pattern != "random":
        x[:] = -128
    if pattern == "plus":
        w[:] = 1
    if pattern == "minus":
        w[:] = -1
    if pattern == "opposed":
        x = np.where(w[0] > 0, 127, -128).astype(np.int8)[None].repeat(tokens, axis=0)
    found = ternary_matmul(x, w)
    assert found.dtype == np.int32
    assert np.array_equal(found, x.astype(np.int64) @ w.T.astype(np.int64))


def sources(w: npt.NDArray[np.int8]) -> dict[str, npt.NDArray[np.int8] | RowSource]:
    """The same weights in every form; rows that fill the quarters hold code 0."""
    whole = np.zeros((-len(w) % 4 + len(w), w.shape[1]), dtype=np.int8)
    whole[: len(w)] = w
    fields = (whole + 1).astype(np.uint8).reshape(4, -1, w.shape[1])
    quarters = fields[0] | fields[1] << 2 | fields[2] << 4 | fields[3] << 6
    return {
        "codes": w,
        "strided codes": np.repeat(w, 2, axis=1)[:, ::2],
        "base 3": Base3Rows(pack(w), w.shape[1]),
        "quarters": QuarterRows(quarters, len(w)),
    }


@given(
    st.sampled_from([0, 1, 2, 5, 31, 32, 33, 65]),
    st.integers(1, 40),
    st.integers(1, 40),
    st.integers(0, 2**32 - 1),
    st.integers(1, 300),
    st.integers(1, 70),
)
def test_weights_in_any_form_and_blocks_of_any_size_give_the_product(
    tokens: int, k: int, m: int, seed: int, block: int, together: int
) -> None:
    """Blocks of one row up to all, tokens in one part or several, the last of each shorter."""
    random = np.random.default_rng(seed)
    x = random.integers(-128, 128, (tokens, k), dtype=np.int8)
    w = random.integers(-1, 2, (m, k), dtype=np.int8)
    expected = x.astype(np.int64) @ w.T.astype(np.int64)
    with mock.patch.multiple(golden, _SMALL_BLOCK=block, _LARGE_BLOCK=block, _TOKENS=together):
        for name, source in sources(w).items():
            found = ternary_matmul(x, source)
            assert found.dtype == np.int32, name
            assert np.array_equal(found, expected), name


def test_the_blocks_of_large_matrices_give_the_product() -> None:
    """At the size of blocks that is used: several of them, for few tokens and for many."""
    random = np.random.default_rng(1)
    w = random.integers(-1, 2, (1603, 1999), dtype=np.int8)
    for tokens in (1, 3, 32, 515):
        x = random.integers(-128, 128, (tokens, 1999), dtype=np.int8)
        expected = x.astype(np.int32) @ w.T.astype(np.int32)
        for name, source in sources(w).items():
            assert np.array_equal(ternary_matmul(x, source), expected), (name, tokens)


@pytest.mark.parametrize("form", ["codes", "base 3", "quarters"])
@pytest.mark.parametrize("tokens", [1, 40, 1100])
def test_the_memory_of_a_product_depends_neither_on_rows_nor_on_further_tokens(
    form: str, tokens: int
) -> None:
    """Under 20 MiB beside the result; the weights in float32 would take 41."""
    random = np.random.default_rng(2)
    w = random.integers(-1, 2, (4200, 2560), dtype=np.int8)
    x = random.integers(-128, 128, (tokens, 2560), dtype=np.int8)
    source = sources(w)[form]
    tracemalloc.start()
    result = ternary_matmul(x, source)
    peak = tracemalloc.get_traced_memory()[1] - result.nbytes
    tracemalloc.stop()
    assert peak < 20 * 2**20
    if tokens == 1:
        assert peak < 2**20


def test_a_damaged_matrix_gives_no_product() -> None:
    packed = pack(np.zeros((600, 2000), dtype=np.int8))
    packed[599, 7] = 243
    message = (
        "row 599, byte 7 is 243; five base-3 digits reach 242: the file is damaged or not in this packing"
    )
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        ternary_matmul(np.ones((1, 2000), dtype=np.int8), Base3Rows(packed, 2000))


@pytest.mark.parametrize("k", [FLOAT32_EXACT_K - 1, FLOAT32_EXACT_K, FLOAT32_EXACT_K + 1])
@pytest.mark.parametrize("sign", [-1, 1])
def test_sums_at_the_edge_of_float32_are_exact(k: int, sign: int) -> None:
    """All -128: the sum's magnitude crosses 2**24, and one odd code makes it need every bit."""
    x = np.full((1, k), -128, dtype=np.int8)
    x[0, k // 2] = 127
    w = np.full((1, k), sign, dtype=np.int8)
    for source in (w, Base3Rows(pack(w), k)):
        assert ternary_matmul(x, source)[0, 0] == sign * (-128 * (k - 1) + 127)


def test_float32_alone_would_be_wrong_beyond_the_bound() -> None:
    """The reason for float64: an odd sum over 2**24 is no float32."""
    k = FLOAT32_EXACT_K + 9
    x = np.full((1, k), -128, dtype=np.int8)
    x[0, 0] = 127
    w = np.ones((1, k), dtype=np.int8)
    exact = -128 * (k - 1) + 127
    assert int(np.float32(exact)) != exact
    assert ternary_matmul(x, w)[0, 0] == exact


def test_a_row_longer_than_int32_holds_is_refused() -> None:
    codes = np.broadcast_to(np.int8(1), (1, LARGEST_K + 1))  # takes no memory
    message = f"K is {LARGEST_K + 1}; sums fit 32 bits up to K = {LARGEST_K}"
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        ternary_matmul(np.broadcast_to(np.int8(1), (1, LARGEST_K + 1)), codes)


@pytest.mark.parametrize(
    ("codes", "said"),
    [
        (np.zeros((2, 4), np.int8), "int8 of shape (2, 4)"),
        (np.zeros((2, 3), np.int16), "int16 of shape (2, 3)"),
        (np.zeros(3, np.int8), "int8 of shape (3,)"),
    ],
)
def test_activation_codes_that_do_not_fit_are_refused(codes: npt.NDArray[np.int8], said: str) -> None:
    weights = np.ones((5, 3), dtype=np.int8)
    message = f"activation codes are {said}; int8 of shape (tokens, 3) is needed"
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        ternary_matmul(codes, weights)


@given(st.integers(-(2**24), 2**24), st.floats(2**-9, 2**17, width=32), st.floats(2**-9, 2**24, width=32))
def test_dequantisation_is_one_division_by_the_product_of_the_scales(
    total: int, s_w: float, s_x: float
) -> None:
    found = dequantise(
        np.array([[total]], dtype=np.int32), np.float32(s_w), np.array([[s_x]], dtype=np.float32)
    )
    product = np.float32(np.float32(s_w) * np.float32(s_x))
    assert found.dtype == np.float32
    assert found[0, 0] == np.float32(total) / product


def test_a_layer_in_numbers() -> None:
    """Worked by hand: scale 1 for the token, 2 for the weights."""
    matrix = TernaryMatrix(codes=np.array([[1, -1, 0], [1, 1, 1]], dtype=np.int8), scale=np.float32(2))
    y = bit_linear(np.array([[127, 2.4, -3.6]], dtype=np.float32), matrix)
    assert y.tolist() == [[(127 - 2) / 2, (127 + 2 - 4) / 2]]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_an_activation_that_is_not_finite_is_named_with_its_token(value: float) -> None:
    x = np.zeros((3, 2), dtype=np.float32)
    x[1, 1] = value
    with pytest.raises(InputError, match=rf"^token 1 holds {abs(value)}; finite activations are needed$"):
        quantise_activations(x)


def test_activations_of_another_type_are_refused() -> None:
    with pytest.raises(InputError, match=r"^activations are float64; float32 is needed$"):
        quantise_activations(np.zeros((1, 2)))  # type: ignore[arg-type]
