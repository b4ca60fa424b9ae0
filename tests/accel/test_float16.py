"""The floating-point units equal NumPy's float16, bit for bit."""

import re
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from pipelines import results_of

from tritforge.accel.errors import InputError
from tritforge.accel.float16 import FP16, FP32, FloatAdder, FloatMultiplier

UNITS = {"product": (FloatMultiplier, np.multiply), "sum": (FloatAdder, np.add)}
#: Zero, the ends of the subnormal and of the normal numbers, numbers about one, infinity, quiet and signalling NaN.
CORNERS = [0, 1, 2, 3, 0x1FF, 0x200, 0x3FE, 0x3FF, 0x400, 0x401, 0x7FF, 0x800, 0x3BFF, 0x3C00, 0x3C01, 0x7800]
CORNERS.extend((0x7BFE, 0x7BFF, 0x7C00, 0x7C01, 0x7DFF, 0x7E00, 0x7FFF))

Words = npt.NDArray[np.uint16]


def corner_pairs() -> tuple[Words, Words]:
    values = np.array(CORNERS + [corner | 0x8000 for corner in CORNERS], dtype=np.uint16)
    first, second = np.meshgrid(values, values)
    return first.ravel().copy(), second.ravel().copy()


def random_pairs(count: int, seed: int) -> tuple[Words, Words]:
    """Numbers of all magnitudes, and pairs that nearly cancel."""
    random = np.random.default_rng(seed)
    first, second = random.integers(0, 1 << 16, (2, count)).astype(np.uint16)
    near = (first ^ 0x8000) + random.integers(-9, 10, count).astype(np.uint16)
    return first, np.where(np.arange(count) % 4 == 3, near, second).astype(np.uint16)


def differences(expected: npt.NDArray[np.float16], found: npt.NDArray[np.int64]) -> list[int]:
    """Places where patterns differ; one NaN is as good as another."""
    result = found.astype(np.uint16).view(np.float16)
    same = expected.view(np.uint16) == result.view(np.uint16)
    return [int(place) for place in np.flatnonzero(~(same | (np.isnan(expected) & np.isnan(result))))]


def golden(name: str, a: Words, b: Words) -> npt.NDArray[np.float16]:
    with np.errstate(all="ignore"):
        result: npt.NDArray[np.float16] = UNITS[name][1](a.view(np.float16), b.view(np.float16))
    return result


@pytest.mark.parametrize("name", UNITS)
def test_the_model_equals_numpy_in_every_corner(name: str) -> None:
    a, b = corner_pairs()
    assert differences(golden(name, a, b), UNITS[name][0]().model(a, b)) == []


@pytest.mark.parametrize("name", UNITS)
def test_the_model_equals_numpy_for_a_million_numbers(name: str) -> None:
    a, b = random_pairs(1_000_000, seed=5)
    assert differences(golden(name, a, b), UNITS[name][0]().model(a, b)) == []


@pytest.mark.parametrize("name", UNITS)
def test_the_model_equals_numpy_for_all_pairs_of_exponents_and_signs(name: str) -> None:
    """Every exponent with every other, both signs of each, eight fractions a pair, the empty and the full one."""
    random = np.random.default_rng(9)
    first, second = np.meshgrid(np.arange(64), np.arange(64))
    shape = (8, first.size)
    a, b = (
        np.broadcast_to(field.ravel() << 10, shape) | random.integers(0, 1024, shape)
        for field in (first, second)
    )
    for row, (left, right) in enumerate(((0, 0), (1023, 1023), (0, 1023))):
        a[row] = a[row] & ~1023 | left
        b[row] = b[row] & ~1023 | right
    words = [x.ravel().astype(np.uint16) for x in (a, b)]
    assert differences(golden(name, *words), UNITS[name][0]().model(*words)) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", UNITS)
def test_the_model_equals_numpy_for_twelve_million_pairs(name: str) -> None:
    unit = UNITS[name][0]()
    for seed in range(100, 112):
        a, b = random_pairs(1_000_000, seed=seed)
        assert differences(golden(name, a, b), unit.model(a, b)) == []


HARDWARE = {
    "product": [
        {},
        {"bypass": True},
        {"bypass": True, "registers": ("multiply", "round")},
        {"registers": ("move",)},
    ],
    "sum": [{}, {"registers": ("align", "round")}, {"registers": ("move",)}],
}


@pytest.mark.parametrize(
    ("name", "options"),
    [(name, options) for name, all_options in HARDWARE.items() for options in all_options],
)
def test_the_hardware_equals_the_model_with_a_new_operation_in_every_cycle(
    name: str, options: dict[str, Any]
) -> None:
    """Corners, then random numbers; the result leaves `latency` cycles after its operands."""
    unit = UNITS[name][0](**options)
    pairs = [corner_pairs(), random_pairs(500 if options else 4000, seed=6)]
    a = np.concatenate([pair[0] for pair in pairs])
    b = np.concatenate([pair[1] for pair in pairs])
    operands = {"a": [int(word) for word in a], "b": [int(word) for word in b]}
    found = results_of(unit, operands, getattr(unit, name), latency=unit.latency)
    assert len(found) == len(a)
    assert np.array_equal(found, unit.model(a, b))


def test_a_product_in_a_wider_format_is_exact() -> None:
    a, b = random_pairs(100_000, seed=7)
    unit = FloatMultiplier(FP16, FP32)
    with np.errstate(all="ignore"):
        expected = a.view(np.float16).astype(np.float32) * b.view(np.float16).astype(np.float32)
    found = unit.model(a, b).astype(np.uint32).view(np.float32)
    assert np.array_equal(expected, found, equal_nan=True)
    assert np.isnan(found).sum() < len(found) / 5


def test_wide_addition_equals_numpy() -> None:
    random = np.random.default_rng(8)
    a, b = random.integers(0, 1 << 32, (2, 200_000)).astype(np.uint32)
    b = np.where(np.arange(len(b)) % 2, (a ^ 0x80000000) + random.integers(-999, 999, len(b)), b).astype(
        np.uint32
    )
    with np.errstate(all="ignore"):
        expected = a.view(np.float32) + b.view(np.float32)
    found = FloatAdder(FP32).model(a, b).astype(np.uint32).view(np.float32)
    assert np.array_equal(expected, found, equal_nan=True)


def test_a_register_that_is_none_is_refused() -> None:
    message = "registers has 'shift'; it may have multiply, count, move, round"
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        FloatMultiplier(registers=("shift",))


def test_a_format_knows_its_patterns() -> None:
    assert (FP16.bits, FP16.bias, FP16.infinity, FP16.nan) == (16, 15, 0x7C00, 0x7E00)
    assert (FP32.bits, FP32.bias, FP32.infinity, FP32.nan) == (32, 127, 0x7F800000, 0x7FC00000)
