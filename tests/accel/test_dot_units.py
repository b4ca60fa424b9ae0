"""Dot products that are compared at gates compute what their models say, at the cycle that they state."""

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from pipelines import pack, results_of

from tritforge.accel.codes import I2_CODES
from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.dot_units import DotUnit, FusedFloatDot, IntegerDot, RoundedDot, TernaryDot
from tritforge.accel.errors import InputError
from tritforge.accel.float_format import FP16, FP32
from tritforge.accel.lone_unit import LoneUnit

SMALL = AcceleratorConfig(lanes=4, act_port_bits=32, k_max=64)
CARRY = AcceleratorConfig(lanes=6, act_port_bits=16, k_max=64, negation="carry", levels_per_register=3)
UNITS: dict[str, Callable[[], DotUnit]] = {
    "ternary": lambda: TernaryDot(SMALL),
    "ternary-carry": lambda: TernaryDot(CARRY),
    "ternary-merged": lambda: TernaryDot(SMALL, merged=True),
    "ternary-merged-carry": lambda: TernaryDot(CARRY, merged=True),
    "int8": lambda: IntegerDot(5),
    "int8-two-levels": lambda: IntegerDot(8, levels_per_register=2),
    "int8-merged": lambda: IntegerDot(4, merged=True),
    "fp16": lambda: RoundedDot(2, adder_registers=("align", "round")),
    "fp32": lambda: RoundedDot(1, form=FP32, multiplier_registers=("multiply", "round")),
    "fused": lambda: FusedFloatDot(3, registers=("multiply", "align", "round")),
    "fma": lambda: FusedFloatDot(1, sum_form=FP16),
}

Words = npt.NDArray[np.int64]


def operands(unit: DotUnit, count: int) -> tuple[Words, Words, Words]:
    """Random operands, the extremes of every lane first; numbers of all magnitudes in floating point."""
    random = np.random.default_rng(unit.lanes)
    shape = (count, unit.lanes)
    if isinstance(unit, (RoundedDot, FusedFloatDot)):
        acts, weights = random.integers(0, 1 << 16, (2, *shape))
        return acts, weights, random.integers(0, 1 << unit.sum_bits, count)
    top = 1 if isinstance(unit, TernaryDot) else 127
    acts = random.integers(-128, 128, shape)
    weights = random.integers(-top - (top > 1), top + 1, shape)
    partial = random.integers(-500, 501, count)
    acts[:2] = -128
    weights[0], weights[1] = -top - (top > 1), top
    return acts, weights, partial


@pytest.mark.parametrize("name", UNITS)
def test_a_sum_leaves_at_its_time_with_a_new_one_in_every_cycle(name: str) -> None:
    unit = UNITS[name]()
    count = 60
    acts, weights, partial = operands(unit, count)
    codes = np.vectorize(I2_CODES.__getitem__)(weights) if isinstance(unit, TernaryDot) else weights
    found = results_of(
        unit,
        {
            "acts": [pack(words, unit.act_bits) for words in acts],
            "weights": [pack(words, unit.weight_bits) for words in codes],
            "partial": [int(word) & ((1 << unit.sum_bits) - 1) for word in partial],
        },
        unit.sum,
        latency=unit.latency,
        delays={"partial": unit.partial_delay},
    )
    assert np.array_equal(found, unit.model(acts, weights, partial))


def test_integer_models_are_the_exact_sum() -> None:
    for name in ("ternary", "ternary-carry", "ternary-merged", "int8"):
        unit = UNITS[name]()
        acts, weights, partial = operands(unit, 50)
        negative = (weights < 0).sum(axis=-1)
        bias = negative if isinstance(unit, TernaryDot) and unit.config.negation == "bias" else 0
        exact = partial + (acts * weights).sum(axis=-1) - bias
        assert np.array_equal(unit.model(acts, weights, partial), exact & ((1 << unit.sum_bits) - 1))


def test_rounded_sums_are_numpys() -> None:
    unit = RoundedDot(4)
    random = np.random.default_rng(4)
    acts, weights = random.standard_normal((2, 500, 4)).astype(np.float16)
    partial = random.standard_normal(500).astype(np.float16)
    products = acts * weights
    expected = partial + ((products[:, 0] + products[:, 1]) + (products[:, 2] + products[:, 3]))
    found = unit.model(acts.view(np.uint16), weights.view(np.uint16), partial.view(np.uint16))
    assert np.array_equal(found, expected.view(np.uint16))


@pytest.mark.parametrize(
    ("unit", "draw"),
    [
        (LoneUnit("add", bits=8), 128),
        (LoneUnit("mul", bits=8), 128),
        (LoneUnit("add", form=FP16, registers=("align", "round")), 0),
        (LoneUnit("mul", form=FP16), 0),
    ],
)
def test_a_unit_alone_keeps_its_time(unit: LoneUnit, draw: int) -> None:
    random = np.random.default_rng(1)
    count = 80
    a, b = random.integers(-draw, draw or 1 << 16, (2, count))
    a[0], b[0] = (-draw, -draw) if draw else (0x3FF, 0x7BFF)
    mask = (1 << unit.operand_bits) - 1
    words = {"a": [int(word) & mask for word in a], "b": [int(word) & mask for word in b]}
    found = results_of(unit, words, unit.result, latency=unit.latency)
    assert np.array_equal(found, unit.model(a, b))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: IntegerDot(0), "lanes is 0; 1 or more are needed"),
        (lambda: LoneUnit("sub", bits=8), "operation is 'sub'; it must be one of add, mul"),
        (lambda: LoneUnit("add"), "bits is 0 and form None; give one of the two"),
        (
            lambda: LoneUnit("add", form=FP16, registers=("align",)),
            "registers has no 'round'; the result needs a register",
        ),
        (
            lambda: RoundedDot(2, adder_registers=("align",)),
            "adder_registers has no 'round'; a unit's result needs a register",
        ),
        (
            lambda: FusedFloatDot(2, registers=("round",)),
            "registers has no 'multiply'; products and result need one",
        ),
    ],
)
def test_a_wrong_parameter_is_refused(build: Callable[[], Any], message: str) -> None:
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        build()
