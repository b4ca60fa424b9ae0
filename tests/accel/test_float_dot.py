"""The fused dot product rounds once."""

import re
from fractions import Fraction

import numpy as np
import numpy.typing as npt
import pytest
from pipelines import pack, results_of

from tritforge.accel.errors import InputError
from tritforge.accel.float_dot import DOT_STEPS, FusedDot, exact_window
from tritforge.accel.float_format import FP16, FP32, FloatFormat

NUMPY = {FP16: (np.uint16, np.float16), FP32: (np.uint32, np.float32)}
CORNERS = [0, 1, 0x3FF, 0x400, 0x7FF, 0x3BFF, 0x3C00, 0x3C01, 0x7BFF, 0x7C00, 0x7C01, 0x7E00]
WIDE_CORNERS = [0, 1, 0x7FFFFF, 0x800000, 0x33000000, 0x3F800000, 0x477FE000, 0x7F7FFFFF, 0x7F800000]

Patterns = npt.NDArray[np.int64]


def values(patterns: npt.ArrayLike, form: FloatFormat) -> npt.NDArray[np.float64]:
    word, number = NUMPY[form]
    with np.errstate(invalid="ignore"):  # a signalling NaN becomes a quiet one
        return np.asarray(patterns, dtype=np.int64).astype(word).view(number).astype(np.float64)


def operands(form: FloatFormat, count: int, seed: int) -> tuple[Patterns, Patterns, Patterns]:
    """Factors and addends of all magnitudes; a third of the addends nearly cancel their product."""
    random = np.random.default_rng(seed)
    a, b = random.integers(0, 1 << 16, (2, count))
    word, number = NUMPY[form]
    with np.errstate(all="ignore"):
        near = -values(a, FP16) * values(b, FP16)
        cancel = near.astype(number).view(word).astype(np.int64) + random.integers(-2, 3, count)
    reach = (
        random.integers(0, 1 << form.bits, count)
        if form == FP16
        else (
            random.integers(80, 175, count) << 23
            | random.integers(0, 1 << 23, count)
            | random.integers(0, 2, count) << 31
        )
    )
    wide = random.integers(0, 1 << form.bits, count)
    kind = np.arange(count) % 6
    addend = np.where(kind < 2, cancel, np.where(kind == 5, wide, reach)) & ((1 << form.bits) - 1)
    return a, b, addend


def rounded_once(a: float, b: float, c: float, form: FloatFormat) -> float:
    """``a b + c`` with one rounding, for finite numbers, by exact fractions."""
    exact = Fraction(a) * Fraction(b) + Fraction(c)
    if exact == 0:
        return a * b + c  # the sign of a zero is the same however exactly it is computed
    exponent = max(
        (abs(exact.numerator).bit_length() - exact.denominator.bit_length()),
        2 - (1 << form.exponent_bits - 1),
    )
    if abs(exact) < Fraction(2) ** exponent and exponent > 2 - (1 << form.exponent_bits - 1):
        exponent -= 1
    unit = Fraction(2) ** (exponent - form.fraction_bits)
    result = round(exact / unit) * unit
    bound = Fraction(2) ** (form.bias + 1)
    if abs(result) >= bound:
        return float("inf") if result > 0 else float("-inf")
    return -0.0 if result == 0 and exact < 0 else float(result)


@pytest.mark.parametrize("form", [FP16, FP32], ids=["fp16", "fp32"])
def test_one_lane_is_a_fused_multiply_add(form: FloatFormat) -> None:
    """Against exact fractions: every third addend nearly cancels the product."""
    a, b, c = operands(form, 9_000, seed=1)
    found = values(FusedDot(1, FP16, form).model(a[:, None], b[:, None], c), form)
    x, y, z = values(a, FP16), values(b, FP16), values(c, form)
    with np.errstate(all="ignore"):
        simple = x * y + z
    finite = np.isfinite(simple)
    expected = simple.copy()
    for index in np.flatnonzero(finite):
        expected[index] = rounded_once(x[index], y[index], z[index], form)
    assert np.array_equal(found, expected, equal_nan=True)
    assert np.array_equal(np.signbit(found[finite]), np.signbit(expected[finite]))
    assert finite.sum() > 8_000


def test_the_sum_of_small_integers_is_exact() -> None:
    """Sixteen products whose exponents lie within the window: nothing is cut off."""
    random = np.random.default_rng(2)
    a, b = random.integers(-15, 16, (2, 5000, 16)).astype(np.float16)
    c = random.integers(-5000, 5001, 5000).astype(np.float32)
    found = FusedDot(16).model(a.view(np.uint16), b.view(np.uint16), c.view(np.uint32))
    expected = (a.astype(np.float64) * b).sum(axis=1) + c
    assert np.array_equal(values(found, FP32), expected)


def test_a_sum_loses_at_most_what_leaves_the_window() -> None:
    """Every term loses under one unit of the window, and the result half a unit of its own."""
    random = np.random.default_rng(3)
    unit = FusedDot(16)
    a, b = random.standard_normal((2, 20_000, 16)).astype(np.float16)
    c = random.standard_normal(20_000).astype(np.float32)
    found = values(unit.model(a.view(np.uint16), b.view(np.uint16), c.view(np.uint32)), FP32)
    products = a.astype(np.float64) * b
    exact = products.sum(axis=1) + c
    # A product below 4 x 2**e has the highest possible bit 2 x 2**e for the sum of its factors' exponents e.
    exponents = np.frexp(a)[1] + np.frexp(b)[1] - 1
    top = np.maximum(exponents.max(axis=1), np.frexp(c)[1] - 1)
    cut = 17 * np.exp2(top - unit.window + 1.0)
    assert np.all(np.abs(found - exact) <= cut + np.spacing(np.abs(exact).astype(np.float32)) / 2)
    assert np.abs(found - exact).max() > 0


@pytest.mark.parametrize(
    ("terms", "addend", "result"),
    [
        ([(np.inf, 1), (1, 1)], 0.0, np.inf),
        ([(np.inf, 1), (-np.inf, 1)], 0.0, np.nan),
        ([(np.inf, 0), (1, 1)], 0.0, np.nan),
        ([(1, 1), (1, 1)], -np.inf, -np.inf),
        ([(np.inf, 1), (1, 1)], -np.inf, np.nan),
        ([(1, np.nan), (1, 1)], 0.0, np.nan),
        ([(1, 1), (-1, 1)], 0.0, 0.0),
        ([(0, -1), (-1, 0)], -0.0, -0.0),
        ([(65504, 65504), (65504, 65504)], 3.4028235e38, 3.4028235e38),
    ],
)
def test_numbers_that_are_none_follow_ieee(
    terms: list[tuple[float, float]], addend: float, result: float
) -> None:
    a, b = np.array(terms, dtype=np.float16).T.copy()
    found = values(
        FusedDot(2).model(
            a.view(np.uint16)[None], b.view(np.uint16)[None], np.array([addend], np.float32).view(np.uint32)
        ),
        FP32,
    )
    assert np.array_equal(found, np.array([result], np.float32), equal_nan=True)
    assert np.isnan(result) or np.signbit(found[0]) == np.signbit(result)


@pytest.mark.parametrize(
    ("lanes", "form", "registers"),
    [
        (1, FP32, DOT_STEPS),
        (1, FP16, ("compare", "sum", "round")),
        (3, FP32, ("multiply", "align", "sum", "round")),
        (2, FP16, ("multiply",)),
    ],
)
def test_the_hardware_equals_the_model_whatever_its_registers(
    lanes: int, form: FloatFormat, registers: tuple[str, ...]
) -> None:
    unit = FusedDot(lanes, FP16, form, registers=registers)
    count = 200
    random = np.random.default_rng(lanes)
    a, b, c = operands(form, count * lanes, seed=lanes)
    corner = np.array(WIDE_CORNERS if form == FP32 else CORNERS)
    a[: 40 * lanes], b[: 40 * lanes] = random.choice(CORNERS, (2, 40 * lanes))
    c = c[::lanes].copy()
    c[:40] = random.choice(corner, 40)
    a, b = a.reshape(count, lanes), b.reshape(count, lanes)
    found = results_of(
        unit,
        {
            "a": [pack(words, FP16.bits) for words in a],
            "b": [pack(words, FP16.bits) for words in b],
            "addend": [int(word) for word in c],
        },
        unit.result,
        latency=unit.latency,
        delays={"addend": unit.addend_delay},
    )
    assert np.array_equal(found, unit.model(a, b, c))


def test_windows_and_errors() -> None:
    assert exact_window(FP16, FP32) == FusedDot(1).window == 48
    assert FusedDot(16).window == 28
    for arguments, message in (
        ({"lanes": 0}, "lanes is 0; 1 or more are needed"),
        (
            {"lanes": 2, "window": 20},
            "window is 20; products and addend need at least 24 bits",
        ),
        (
            {"lanes": 2, "registers": ("sums",)},
            "registers has 'sums'; it may have multiply, compare, align, sum, magnitude, count, move, round",
        ),
    ):
        with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
            FusedDot(**arguments)
