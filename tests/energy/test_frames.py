"""Results as data frames."""

import pytest

from tritforge.energy.accounting import paper_energy
from tritforge.energy.frames import components_frame, figures_frame, totals_frame
from tritforge.energy.published import compare, figure_3
from tritforge.models.shapes import find_shape

RESULTS = [
    paper_energy(find_shape(f"bitnet-b1.58-figure3-{size}"), 512, arithmetic=arithmetic)
    for size in ("1.3B", "70B")
    for arithmetic in ("ternary", "fp16")
]


def test_components_add_up_to_the_totals() -> None:
    parts, totals = components_frame(RESULTS), totals_frame(RESULTS)
    sums = parts.groupby(["model", "arithmetic"], sort=False)["energy_j"].sum()
    assert len(parts) == 2 * (4 + 4)
    assert len(totals) == 4
    assert sums.to_list() == pytest.approx(totals["energy_j"].to_list())
    assert totals["energy_j"].to_list() == [result.energy.value for result in RESULTS]


def test_shares_add_up_to_one() -> None:
    shares = components_frame(RESULTS).groupby(["model", "arithmetic"])["share"].sum()
    assert list(shares) == pytest.approx([1.0] * 4)


def test_counts_stay_whole_numbers() -> None:
    frame = components_frame(RESULTS)
    assert frame["count"].dtype == "int64"
    assert frame["count"].sum() == sum(entry.count for result in RESULTS for entry in result.components)


def test_figures_have_one_row_each_and_their_verdict() -> None:
    frame = figures_frame(compare(figure_3()))
    assert len(frame) == 16
    assert set(frame["verdict"]) <= {"exact", "rounding"}
    assert list(frame.columns) == [
        "paper",
        "figure",
        "row",
        "unit",
        "published",
        "computed",
        "relative_error",
        "verdict",
        "source",
    ]
