"""Reports on one model: both arithmetics, and how energies are written."""

import pytest

from tritforge.energy.interval import Interval
from tritforge.energy.report import describe_source, format_joules, report_model
from tritforge.models.shapes import find_shape


def exactly(value: float) -> Interval:
    return Interval(value=value, low=value, high=value)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (16.6635604, "16.66 J"),
        (1.0, "1.000 J"),
        (0.0173022, "17.30 mJ"),
        (0.404299, "404.3 mJ"),
        (2.7e-5, "27.00 µJ"),
        (5.4e-9, "5.400 nJ"),
        (7e-15, "0.007 pJ"),
        (12345.0, "12345 J"),
        (0.0, "0.000 pJ"),
    ],
)
def test_energies_have_four_digits_and_a_prefix(value: float, text: str) -> None:
    assert format_joules(exactly(value)) == text


def test_bounds_are_written_where_they_differ() -> None:
    assert format_joules(Interval(value=0.41e-3, low=0.33e-3, high=0.58e-3)) == "410.0 µJ (330.0 to 580.0)"


def test_a_report_holds_both_arithmetics_and_their_ratio() -> None:
    document = report_model(find_shape("bitnet-b1.58-figure3-13B"), 512).to_dict()
    assert (document["arithmetic"], document["baseline"]["arithmetic"]) == ("ternary", "fp16")
    assert document["ratio"]["value"] == pytest.approx(
        document["baseline"]["energy_j"] / document["energy_j"]
    )
    assert document["ratio"]["value"] == pytest.approx(32.982, abs=5e-4)
    assert document["left_out"]


def test_sources_say_how_far_they_go() -> None:
    text = describe_source(find_shape("bitnet-b1.58-paper-3B"))
    assert text.endswith("(read in its primary source; recalled: vocab_size)")
    assert describe_source(find_shape("LLaMA-7B")) == (
        "widely published configuration (recalled, not read in a source)"
    )
