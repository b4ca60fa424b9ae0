"""Intervals: order, scaling and sums."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tritforge.accel.errors import InputError
from tritforge.energy.interval import Interval

bounds = st.lists(st.floats(0, 1e6), min_size=3, max_size=3).map(sorted)
intervals = bounds.map(lambda b: Interval(low=b[0], value=b[1], high=b[2]))


@pytest.mark.parametrize(("value", "low", "high"), [(1.0, 2.0, 3.0), (3.0, 1.0, 2.0), (0.0, -1.0, 1.0)])
def test_bounds_out_of_order_are_rejected(value: float, low: float, high: float) -> None:
    with pytest.raises(InputError) as caught:
        Interval(value=value, low=low, high=high)
    assert str(caught.value) == (
        f"value {value}, low {low}, high {high} are out of order; 0 <= low <= value <= high is needed"
    )


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_bounds_that_are_not_finite_are_rejected(value: float) -> None:
    with pytest.raises(InputError) as caught:
        Interval(value=1.0, low=0.0, high=value)
    assert str(caught.value) == f"value 1.0, low 0.0 and high {value} must be finite numbers"


@given(st.lists(intervals, max_size=5))
def test_a_total_adds_values_and_bounds(parts: list[Interval]) -> None:
    total = Interval.total(parts)
    assert total.value == pytest.approx(sum(part.value for part in parts))
    assert total.low == pytest.approx(sum(part.low for part in parts))
    assert total.high == pytest.approx(sum(part.high for part in parts))


@given(intervals, st.integers(0, 10**15))
def test_scaling_scales_all_three(interval: Interval, factor: int) -> None:
    scaled = interval.times(factor)
    assert (scaled.low, scaled.value, scaled.high) == (
        interval.low * factor,
        interval.value * factor,
        interval.high * factor,
    )
