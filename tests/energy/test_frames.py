"""Results as data frames."""

import pytest

from tritforge.energy.accounting import paper_energy
from tritforge.energy.frames import components_frame, figures_frame, sweep_frame, totals_frame
from tritforge.energy.hardware import hardware_energy
from tritforge.energy.published import compare, figure_3
from tritforge.energy.scenario import Scenario
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


def test_a_sweep_has_a_row_for_every_shape_phase_context_and_arithmetic() -> None:
    shapes = [find_shape("LLaMA-7B"), find_shape("microsoft/bitnet-b1.58-2B-4T")]
    frame = sweep_frame(shapes, [128, 512], scenario=Scenario(batch=2, dram="HBM2"))
    assert len(frame) == 2 * 2 * 2 * 3
    assert list(frame["phase"].unique()) == ["prefill", "decode"]
    assert (frame["low_j"] <= frame["energy_j"]).all()
    one = frame[(frame["model"] == "LLaMA-7B") & (frame["context"] == 512) & (frame["arithmetic"] == "int8")]
    prefill, decode = one.to_dict("records")
    scenario = Scenario(batch=2, dram="HBM2")
    expected = hardware_energy(shapes[0], scenario, arithmetic="int8")
    assert prefill["energy_j"] == expected.energy.value
    assert prefill["joules_per_token"] == pytest.approx(expected.energy.value / 1024)
    assert decode["tokens_per_joule"] == pytest.approx(2 / decode["energy_j"])


def test_components_of_the_hardware_accounting_have_their_units() -> None:
    frame = components_frame([hardware_energy(find_shape("LLaMA-7B"), Scenario())])
    assert set(frame["unit"]) == {"operations", "bits", "bit mm"}
    assert frame["share"].sum() == pytest.approx(1)
    units = dict(zip(frame["operation"], frame["unit"], strict=True))
    assert (units["dram.LPDDR4"], units["wire"], units["int9.add"]) == ("bits", "bit mm", "operations")
