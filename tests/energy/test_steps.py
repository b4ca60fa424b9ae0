"""From the ratio of two operations to the ratio of two systems."""

from itertools import pairwise

import pytest

from tritforge.energy.accounting import ratio
from tritforge.energy.frames import groups_frame, steps_frame
from tritforge.energy.report import ModelReport, report_hardware
from tritforge.energy.scenario import Scenario
from tritforge.energy.steps import GROUPS, group, ratio_steps
from tritforge.models.shapes import all_shapes, find_shape


def report(phase: str = "prefill", name: str = "microsoft/bitnet-b1.58-2B-4T") -> ModelReport:
    return report_hardware(find_shape(name), Scenario(phase=phase))


@pytest.mark.parametrize("phase", ["prefill", "decode"])
def test_steps_lead_from_the_published_ratio_to_that_of_the_results(phase: str) -> None:
    made = report(phase)
    steps = ratio_steps(made)
    assert steps[0].ratio.value == pytest.approx(71.4286, abs=1e-4)
    assert [step.name for step in steps][1:4] == ["adders at their widths", "accumulators", "scaling"]
    last = steps[-1]
    for end in ("low", "value", "high"):
        assert getattr(last.ratio, end) == pytest.approx(getattr(ratio(made.fp16, made.ternary), end))
        assert getattr(last.ternary, end) == pytest.approx(getattr(made.ternary.energy, end))
        assert getattr(last.fp16, end) == pytest.approx(getattr(made.fp16.energy, end))


def test_each_step_adds_to_both_sides() -> None:
    steps = ratio_steps(report())[1:]
    for before, after in pairwise(steps):
        assert after.ternary.value > before.ternary.value, after.name
        assert after.fp16.value >= before.fp16.value, after.name


def test_a_step_that_a_model_has_not_is_left_out() -> None:
    names = [step.name for step in ratio_steps(report(name="bitnet-b1.58-figure3-3B"))]
    assert "LM head" not in names
    assert "DRAM: LM head" not in names


@pytest.mark.parametrize("name", ["microsoft/bitnet-b1.58-2B-4T", "ridger/MMfreeLM-1.3B", "LLaMA-7B"])
def test_every_component_is_in_one_group(name: str) -> None:
    listed = [component for components in GROUPS.values() for component in components]
    assert len(listed) == len(set(listed))
    for result in report(name=name).results:
        assert set(result.parts) <= set(listed)
        total = sum(group(result, each).value for each in GROUPS)
        assert total == pytest.approx(result.energy.value, rel=1e-12)


def test_all_shapes_have_steps() -> None:
    for shape in all_shapes().values():
        steps = ratio_steps(report_hardware(shape))
        assert 1 < steps[-1].ratio.value < steps[0].ratio.value


def test_frames_hold_groups_and_steps() -> None:
    made = report()
    groups = groups_frame(made.results)
    assert list(groups["group"].unique()) == list(GROUPS)
    assert groups.groupby("arithmetic")["share"].sum().tolist() == pytest.approx([1, 1, 1])
    steps = steps_frame(ratio_steps(made))
    assert list(steps.columns) == ["name", "ternary_j", "fp16_j", "ratio", "low", "high"]
    assert (steps["low"] <= steps["ratio"]).all()
