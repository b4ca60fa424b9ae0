"""Fronts, limits, and the choice with its reasons, on tables that are made by hand."""

import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sweep_points import device, small_request

from tritforge.accel.errors import InputError
from tritforge.explore.choice import Barrier, Choice, Wish, choose
from tritforge.explore.objectives import Request, evaluate_chunk
from tritforge.explore.pareto import OBJECTIVES, front, on_front
from tritforge.explore.reasons import number, quantity, reasons


@given(
    hnp.arrays(
        np.float64, st.tuples(st.integers(1, 30), st.integers(1, 4)), elements=st.integers(0, 4).map(float)
    )
)
def test_the_front_is_what_no_other_row_dominates(values: np.ndarray) -> None:
    wanted = [not any((other <= row).all() and (other < row).any() for other in values) for row in values]
    assert front(values).tolist() == wanted


def test_an_empty_table_has_no_front_and_a_missing_objective_is_named() -> None:
    assert front(np.zeros((0, 3))).tolist() == []
    with pytest.raises(
        InputError, match=r"^the table has no column 'decode_tokens_per_second'; it has luts$"
    ):
        on_front(pd.DataFrame({"luts": [1]}), OBJECTIVES["decode"])


#: Tokens a second, joules a token and LUTs of points by number.
POINTS = {
    0: (10.0, 1.0, 500),
    1: (20.0, 2.0, 800),
    2: (19.9, 1.5, 900),
    3: (19.9, 1.5, 700),
    4: (40.0, 9.0, 2000),
    5: (10.0, 1.5, 600),
}


def table(**columns: object) -> pd.DataFrame:
    """Return a table of `POINTS` in which prefill is four times decode."""
    speed, joules, luts = (np.array(values) for values in zip(*POINTS.values(), strict=True))
    found = {
        "point": list(POINTS),
        "model": "m",
        "device": "d",
        "luts": luts,
        "block_ram_bytes": 1,
        "memory_bytes": 1,
        **{f"fits_{name}": True for name in ("luts", "block_ram", "memory")},
    }
    for phase, factor in (("decode", 1), ("prefill", 4)):
        found |= {
            f"{phase}_tokens_per_second": factor * speed,
            f"{phase}_joules_per_token": joules,
            f"{phase}_watts": factor * speed * joules,
        }
    return pd.DataFrame(found | columns)


def choice(wish: Wish, rows: pd.DataFrame | None = None) -> Choice:
    (found,) = choose(table() if rows is None else rows, wish)
    return found


@pytest.mark.parametrize(
    ("wish", "point", "runner_up"),
    [
        (Wish(phase="decode"), 4, 3),
        # Within 1 % of the fastest that is left; then the least energy, then the least area.
        (Wish(phase="decode", max_luts=1000), 3, 1),
        (Wish(phase="decode", goal="energy"), 0, 3),
        (Wish(phase="decode", goal="energy", min_tokens=15), 3, 1),
        (Wish(phase="decode", goal="area"), 0, 3),
        (Wish(phase="decode", max_watts=29.9), 3, 0),
        (Wish(phase="both", max_watts=50), 0, None),
        (Wish(phase="prefill", min_tokens=41), 4, 3),
    ],
)
def test_the_choice_is_the_best_within_the_limits(wish: Wish, point: int, runner_up: int | None) -> None:
    found = choice(wish)
    assert (found.point, found.runner_up) == (point, runner_up)
    assert found.front[point]
    assert not (found.front & ~found.within).any()


def test_limits_that_cost_something_are_named_with_what_they_cost() -> None:
    rows = table(fits_luts=[True, True, True, True, False, True])
    assert choice(Wish(phase="decode"), rows).barriers == (Barrier(name="luts", point=4),)
    both = choice(Wish(phase="decode", max_luts=600), rows)
    assert both.point == 0
    assert both.barriers == (Barrier(name="max_luts", point=3),)
    none = choice(Wish(phase="decode", min_tokens=100), rows)
    assert (none.point, none.runner_up) == (None, None)
    assert not none.front.any()
    assert none.barriers == (Barrier(name="luts", point=None), Barrier(name="min_tokens", point=3))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"phase": "train"}, "phase is 'train'; it must be one of decode, prefill, both"),
        ({"goal": "beauty"}, "goal is 'beauty'; it must be one of speed, energy, area"),
        ({"max_watts": 0.0}, "max_watts is 0.0; a number above 0 is needed"),
        ({"min_tokens": -1.0}, "min_tokens is -1.0; a number above 0 is needed"),
        ({"min_tokens": float("inf")}, "min_tokens is inf; a number above 0 is needed"),
        ({"max_luts": float("nan")}, "max_luts is nan; a number above 0 is needed"),
    ],
)
def test_a_wish_that_makes_no_sense_is_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        Wish(**values)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def small() -> tuple[Request, pd.DataFrame]:
    request = small_request(lanes=(8, 16, 32), rows=(2, 4), tokens_max=(1, 4))
    one = device(luts=3000, bandwidth_gbs=0.01)
    request = replace(request, space=replace(request.space, devices=(one,)))
    return request, evaluate_chunk(request, 0)[0]


def told(small: tuple[Request, pd.DataFrame], wish: Wish) -> str:
    request, rows = small
    return "\n".join(reasons(choice(wish, rows), request, wish))


def test_reasons_have_the_figures_of_the_table(small: tuple[Request, pd.DataFrame]) -> None:
    wish = Wish()
    found = choice(wish, small[1])
    assert found.point is not None
    row, text = found.row(found.point), told(small, wish)
    assert f"Decode: {number(row['decode_tokens_per_second'])} tokens/s" in text
    assert f"Area: {row['luts']:,} LUTs of 3,000" in text
    assert "Decode waits for the memory: the array could take " in text
    assert "DDR4 gives 10 MB/s." in text
    assert "Runner-up, with " in text
    assert "\nClock: 100 MHz; a test.\nNote: hidden_act is unknown; silu is counted." in text


def test_reasons_name_limits_and_the_ends_of_axes(small: tuple[Request, pd.DataFrame]) -> None:
    request, rows = small
    quick = replace(request.space.devices[0], bandwidth_gbs=1e3, luts=None)
    request = replace(request, space=replace(request.space, devices=(quick,)))
    rows = evaluate_chunk(request, 0)[0]
    limit = int(rows["luts"].min())
    text = told((request, rows), Wish(phase="prefill", max_luts=limit))
    assert "What stands in the way of more is the limit on LUTs: without it, " in text
    assert (
        "weight_port_bits is 128 throughout, and more of it might speed up prefill: widen the sweep." in text
    )


@pytest.mark.parametrize(
    ("wish", "text"),
    [
        (
            Wish(max_luts=1),
            r"In the way is the limit on LUTs: the smallest takes [\d,]+ LUTs of 1; configurations that",
        ),
        (
            Wish(max_watts=1e-9),
            r"In the way is the limit on power: the least is .*W, more than 1 nW; conf",
        ),
        (
            Wish(min_tokens=1e9),
            r"tokens a second: the most are [\d,]+, 1,000,000,000 are asked for; conf",
        ),
    ],
)
def test_why_there_is_no_choice_is_said(small: tuple[Request, pd.DataFrame], wish: Wish, text: str) -> None:
    found = told(small, wish)
    assert found.startswith("No configuration of 12 is within all limits.")
    assert found.endswith("Note: hidden_act is unknown; silu is counted.")
    assert re.search(text, found)


@pytest.mark.parametrize("name", ["memory", "block_ram"])
def test_a_device_that_is_too_small_is_the_reason(small: tuple[Request, pd.DataFrame], name: str) -> None:
    request, rows = small
    text = told((request, rows.assign(**{f"fits_{name}": False})), Wish())
    wanted = {
        "memory": "the memory's size: batch 1 at context 6 takes ",
        "block_ram": "the device's block RAM: the smallest takes ",
    }
    assert f"In the way is {wanted[name]}" in text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0 J"),
        (0.0393, "39.3 mJ"),
        (999.6, "1 kJ"),
        (1000, "1 kJ"),
        (1.11e9, "1.11 GJ"),
        (2e-15, "0.002 pJ"),
    ],
)
def test_quantities_have_a_prefix(value: float, text: str) -> None:
    assert quantity(value, "J") == text
