"""Checks that the configurations share; what each of them refuses is in its own tests."""

import re
from dataclasses import dataclass

import pytest

from tritforge.accel.errors import InputError
from tritforge.accel.parameters import (
    check_choice,
    check_flag,
    check_names,
    check_ranges,
    is_power_of_two,
    is_whole,
)


@dataclass
class Sample:
    """Two numbers."""

    lanes: object = 4
    depth: object = 2


def test_true_and_false_are_no_numbers_and_numbers_no_flags() -> None:
    assert [is_whole(value) for value in (0, -3, True, False, 2.0, "2", None)] == [True] * 2 + [False] * 5
    check_flag("sparse", value=False)
    with pytest.raises(InputError, match=r"^sparse is 0; true or false is needed$"):
        check_flag("sparse", 0)


def test_powers_of_two_are_told_from_other_numbers() -> None:
    assert [value for value in range(1, 1030) if is_power_of_two(value)] == [1 << bit for bit in range(11)]


@pytest.mark.parametrize("value", [1, 5, True, 3.0, "4", None])
def test_a_range_takes_its_bounds_and_nothing_beyond(value: object) -> None:
    ranges = {"lanes": (2, 4), "depth": (2, 2)}
    check_ranges(Sample(lanes=2), ranges)
    check_ranges(Sample(lanes=4), ranges)
    line = f"lanes is {value!r}; a whole number in 2 to 4 is needed"
    with pytest.raises(InputError, match=f"^{re.escape(line)}$"):
        check_ranges(Sample(lanes=value), ranges)


def test_other_choices_and_names_are_refused_with_those_that_are_known() -> None:
    check_choice("results", "store", ("stream", "store"))
    with pytest.raises(InputError, match=r"^results is 'file'; it must be one of stream, store$"):
        check_choice("results", "file", ("stream", "store"))
    check_names(Sample, {"depth": 1})
    with pytest.raises(InputError, match=r"^unknown bus parameter 'width'; the parameters are lanes, depth$"):
        check_names(Sample, {"depth": 1, "width": 2}, what="bus parameter")
