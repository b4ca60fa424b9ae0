"""Plots of the hardware accounting: what they draw, read back from the figures."""

import re
from dataclasses import replace

import pytest
from matplotlib.colors import to_rgb

from tritforge.energy.plot_hardware import (
    CONTEXTS,
    contexts_of,
    describe,
    draw_breakdown,
    draw_contexts,
    draw_steps,
)
from tritforge.energy.plot_style import GROUP_LOOKS, LOOKS, inline_svg, style
from tritforge.energy.report import ModelReport, format_joules, report_hardware
from tritforge.energy.scenario import Scenario
from tritforge.energy.steps import GROUPS, ratio_steps
from tritforge.models.shapes import find_shape

BITNET = find_shape("microsoft/bitnet-b1.58-2B-4T")


@pytest.fixture(scope="module")
def reports() -> tuple[ModelReport, ModelReport]:
    prefill, decode = (report_hardware(BITNET, Scenario(phase=phase)) for phase in ("prefill", "decode"))
    return prefill, decode


def test_bars_are_as_high_as_the_energy_of_a_token(reports: tuple[ModelReport, ModelReport]) -> None:
    figure = draw_breakdown(reports)
    for axes, report in zip(figure.axes, reports, strict=True):
        tops = [0.0] * len(report.results)
        for bar in axes.patches:
            place = round(bar.get_x() + bar.get_width() / 2)  # type: ignore[attr-defined]
            tops[place] = max(tops[place], bar.get_y() + bar.get_height())  # type: ignore[attr-defined]
        assert tops == pytest.approx([result.per_token.value for result in report.results])


def test_steps_are_labelled_with_their_ratios(reports: tuple[ModelReport, ModelReport]) -> None:
    steps = ratio_steps(reports[0])
    (axes,) = draw_steps(steps).axes
    labels = [f"{step.ratio.value:.1f}×" for step in steps]
    assert [text.get_text() for text in axes.texts] == [*labels, labels[-1]]
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names[0] == "one operation"
    assert names[1:-1] == [f"+ {step.name}" for step in steps[1:]]
    assert names[-1] == "whole system"


@pytest.mark.parametrize("inverse", [False, True])
def test_contexts_are_drawn_for_every_arithmetic_in_both_phases(inverse: bool) -> None:
    figure = draw_contexts(BITNET, Scenario(), inverse=inverse)
    for axes in figure.axes:
        assert [line.get_label() for line in axes.lines] == [
            LOOKS[kind].label for kind in ("ternary", "fp16", "int8")
        ]
        ternary, fp16, _ = (list(map(float, line.get_ydata())) for line in axes.lines)  # type: ignore[arg-type]
        assert len(ternary) == len(contexts_of(BITNET)) == 8
        assert all((a > b) == inverse for a, b in zip(ternary, fp16, strict=True))


def test_a_sweep_ends_with_the_positions_of_the_model() -> None:
    assert contexts_of(BITNET)[-1] == BITNET.max_position_embeddings == 4096
    assert contexts_of(find_shape("bitnet-b1.58-figure3-3B")) == CONTEXTS
    assert contexts_of(replace(BITNET, max_position_embeddings=8)) == CONTEXTS[:1]


def test_looks_differ_in_more_than_the_hue() -> None:
    assert set(GROUP_LOOKS) == set(GROUPS)
    assert len(set(GROUP_LOOKS.values())) == len(GROUPS)
    assert (
        len({look.marker for look in LOOKS.values()}) == len({look.linestyle for look in LOOKS.values()}) == 3
    )
    grey = {
        kind: sum(w * c for w, c in zip((0.299, 0.587, 0.114), to_rgb(look.color), strict=True))
        for kind, look in LOOKS.items()
    }
    assert abs(grey["ternary"] - grey["fp16"]) > 0.05


def test_a_plot_is_a_part_of_a_page_and_the_same_every_time(reports: tuple[ModelReport, ModelReport]) -> None:
    with style(page=True):
        first, second = (inline_svg(draw_steps(ratio_steps(reports[0])), salt="a") for _ in range(2))
    assert first == second
    assert first.startswith("<svg")
    assert 'role="img"' in first
    assert "viewBox" in first.partition(">")[0]
    assert ' width="' not in first.partition(">")[0]
    assert (
        {"var(--ink)", "var(--ground)", "var(--grid)"}
        >= set(re.findall(r"var\([^)]*\)", first))
        >= {"var(--ink)"}
    )
    assert "#0a0b0" not in first
    assert "<metadata" not in first


def test_a_report_is_said_in_a_sentence(reports: tuple[ModelReport, ModelReport]) -> None:
    ternary, fp16, int8 = (format_joules(result.per_token) for result in reports[1].results)
    expected = f"Energy of a token in decode: ternary {ternary}, FP16 {fp16}, INT8 {int8}."
    assert describe(reports[1]) == expected
