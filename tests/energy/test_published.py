"""Published figures: Figure 3 is met, and verdicts follow the rules."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tritforge.accel.errors import InputError
from tritforge.energy.published import (
    VERDICTS,
    PublishedFigure,
    compare,
    compute,
    figure_3,
    judge,
    published_figures,
    read_figures,
)
from tritforge.energy.quantities import QUANTITIES
from tritforge.energy.technology import COLUMNS, read_technology

CURVE = [figure for figure in figure_3() if figure.reading == "curve"]
LABELS = [figure for figure in figure_3() if figure.reading == "truncated"]


def figure(**change: Any) -> PublishedFigure:
    """Make a figure, a label unless changed."""
    return replace(LABELS[1], **change)


def test_figure_3_has_ten_points_and_six_labels() -> None:
    assert (len(CURVE), len(LABELS)) == (10, 6)
    assert [label.published for label in LABELS] == ["71.4", "18.6", "21.7", "29.1", "32.9", "41.2"]
    assert set(published_figures()) >= set(figure_3())


@pytest.mark.parametrize("point", CURVE, ids=lambda point: point.row)
def test_a_point_of_the_curves_is_met_within_a_hundredth_of_a_percent(point: PublishedFigure) -> None:
    assert compute(point) == pytest.approx(point.value, rel=1e-4)


@pytest.mark.parametrize("label", LABELS, ids=lambda label: label.row)
def test_a_label_is_the_computed_value_cut_after_one_decimal(label: PublishedFigure) -> None:
    assert int(compute(label) * 10) == int(label.published.replace(".", ""))


def test_no_figure_fails() -> None:
    comparisons = compare(figure_3())
    assert len(comparisons) == 16
    assert {comparison.verdict for comparison in comparisons} <= {"exact", "rounding"}
    assert all(abs(c.relative_error) < 1e-4 for c in comparisons if c.figure.reading == "curve")


@pytest.mark.parametrize(
    ("computed", "verdict"),
    [
        (18.6, "exact"),
        (18.6999, "exact"),
        (18.7, "rounding"),
        (18.5999, "rounding"),
        (18.5, "rounding"),
        (18.71, "fails"),
        (18.49, "fails"),
        (-18.6, "fails"),
    ],
)
def test_a_label_is_judged_by_cutting(computed: float, verdict: str) -> None:
    assert judge(figure(published="18.6"), computed) == verdict


@pytest.mark.parametrize(
    ("computed", "verdict"),
    [
        (0.3220220, "exact"),
        (0.3220224, "exact"),
        (0.322029, "rounding"),
        (0.32206, "fails"),
        (0.32198, "fails"),
    ],
)
def test_a_point_is_judged_by_rounding_and_by_a_tolerance(computed: float, verdict: str) -> None:
    assert judge(figure(published="0.322022", reading="curve"), computed) == verdict


@pytest.mark.parametrize(
    ("computed", "verdict"),
    [
        (0.0350001, "exact"),
        (0.0449, "exact"),
        (0.0349, "fails"),
        (0.0451, "rounding"),
        (0.0499, "rounding"),
        (0.05, "fails"),
    ],
)
def test_a_printed_number_is_rounded_or_cut_but_not_raised(computed: float, verdict: str) -> None:
    assert judge(figure(published="0.04", reading="rounded"), computed) == verdict


@pytest.mark.parametrize(
    ("computed", "basis", "verdict"),
    [
        (0.99, "formula", "exact"),
        (0.99, "fit", "fit"),
        (1.0, "formula", "fails"),
        (1.158, "formula", "fails"),
        (1.158, "fit", "fails"),
    ],
)
def test_a_claim_holds_below_its_bound(computed: float, basis: str, verdict: str) -> None:
    assert judge(figure(published="1", reading="bound", basis=basis), computed) == verdict


@pytest.mark.parametrize(
    ("computed", "verdict"), [(106.9, "fit"), (93.1, "fit"), (107.1, "fails"), (92.9, "fails")]
)
def test_a_fit_is_met_within_seven_percent(computed: float, verdict: str) -> None:
    assert judge(figure(published="100", basis="fit"), computed) == verdict


def test_a_fitted_constant_is_said_so() -> None:
    assert judge(figure(published="18.6", basis="fit"), 18.6) == "fit"
    assert judge(figure(published="18.6", basis="fit"), 20.0) == "fails"
    assert list(VERDICTS) == ["exact", "rounding", "fit", "fails"]


def test_a_comparison_has_the_keys_that_scripts_rely_on() -> None:
    document = compare([LABELS[0]])[0].to_dict()
    assert document == {
        "paper": "arXiv:2402.17764",
        "figure": "Figure 3",
        "row": "operation ratio",
        "unit": "x",
        "published": 71.4,
        "computed": pytest.approx(0.5 / 0.007),
        "relative_error": pytest.approx(0.5 / 0.007 / 71.4 - 1),
        "verdict": "exact",
        "source": LABELS[0].source,
    }


def test_another_table_makes_the_comparison_fail(tmp_path: Path) -> None:
    rows = (
        f"7nm,{operation},{cost},{cost},{cost},pJ/op,a paper,published,verified,"
        # INT32 additions, as exact sums would need, turn 71.4 into 16.7.
        for operation, cost in (("int8.add", 0.03), ("fp16.add", 0.16), ("fp16.mul", 0.34))
    )
    path = tmp_path / "table.csv"
    path.write_text("\n".join([",".join(COLUMNS), *rows]) + "\n")
    comparisons = compare(figure_3(), read_technology(path))
    failing = {c.figure.quantity for c in comparisons if c.verdict == "fails"}
    assert failing == {"operation_ratio", "energy_ratio", "ternary_energy"}
    assert int(comparisons[0].computed * 10) == 166


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"reading": "guess"}, "reading is 'guess'; it must be one of truncated, rounded, curve, bound"),
        ({"basis": "luck"}, "basis is 'luck'; it must be one of formula, fit"),
        (
            {"expected": "good"},
            "expected is 'good'; it must be one of exact, rounding, fit, fails",
        ),
        (
            {"quantity": "beauty"},
            f"quantity is 'beauty'; it must be one of {', '.join(QUANTITIES)}",
        ),
        ({"published": "many"}, "published is 'many'; a number is needed"),
        ({"published": "0.0"}, "published is 0.0; a number above 0 is needed"),
    ],
)
def test_a_wrong_figure_is_rejected(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as caught:
        figure(**change)
    assert str(caught.value) == f"arXiv:2402.17764 Figure 3 energy ratio 1.3B: {message}"


def test_a_figure_without_a_source_is_rejected() -> None:
    with pytest.raises(InputError) as caught:
        figure(source="")
    assert str(caught.value) == (
        "arXiv:2402.17764 Figure 3 energy ratio 1.3B has no source; name the document that it is from"
    )


def write_figures(path: Path, *rows: str) -> Path:
    header = ",".join(PublishedFigure.__dataclass_fields__)
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


ROW = "a,b,c,x,1.0,truncated,energy_ratio,LLaMA-7B,,512,7nm,formula,exact,a paper,verified,"


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (ROW, "f.csv figure 2: a b c is there twice; keep one"),
        (ROW.replace(",512,", ",many,"), "f.csv figure 2: context is 'many'; a whole number is needed"),
        (
            ROW.replace("formula", "luck"),
            "f.csv figure 2: a b c: basis is 'luck'; it must be one of formula, fit",
        ),
        (
            "a,b,c",
            (
                "f.csv figure 2 must have the fields paper, figure, row, unit, published, reading, quantity, shape, "
                "against, context, node, basis, expected, source, status, note"
            ),
        ),
    ],
)
def test_a_wrong_file_of_figures_is_rejected(tmp_path: Path, row: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        read_figures(write_figures(tmp_path / "f.csv", ROW, row))
    assert str(caught.value) == message


def test_a_missing_file_of_figures_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        read_figures(tmp_path / "f.csv")
    assert str(caught.value) == (
        f"cannot read {tmp_path / 'f.csv'}: No such file or directory; give a file of figures"
    )
