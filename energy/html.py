"""A model's energy as one HTML page that needs no network: plots inside, for light and dark screens and for paper."""

from collections.abc import Sequence
from dataclasses import replace
from html import escape
from importlib.metadata import version

from tritforge.energy.plot import draw_energy
from tritforge.energy.plot_hardware import describe, draw_breakdown, draw_contexts, draw_steps
from tritforge.energy.report import (
    ModelReport,
    describe_source,
    report_hardware,
    report_model,
    total_cells,
)
from tritforge.energy.scenario import PHASES, Scenario
from tritforge.energy.steps import ratio_steps
from tritforge.energy.technology import Technology
from tritforge.energy.web_page import listed, plot, render_frame, table
from tritforge.models.shapes import ModelShape


def _totals(reports: Sequence[ModelReport]) -> str:
    rows = [
        [
            f"{report.accounting}, {report.ternary.phase}",
            result.arithmetic,
            *total_cells(result, report.ternary),
        ]
        for report in reports
        for result in report.results
    ]
    return table(
        "Energy",
        ["accounting, phase", "matrices", "energy", "a token", "tokens a joule", "over ternary"],
        rows,
    )


def _sources(reports: Sequence[ModelReport]) -> str:
    keyed = {key: row for report in reports for key, row in report.rows.items()}
    rows = []
    for row in sorted(keyed.values(), key=lambda row: row.key):
        cost = row.cost
        bounds = f"{cost.low:.4g} to {cost.high:.4g}" if cost.low < cost.high else ""
        rows.append([row.key, f"{cost.value:.4g}", bounds, row.unit, row.obtained, row.status, row.source])
    return table(
        "Rows of the technology table",
        ["row", "value", "bounds", "unit", "obtained", "status", "source"],
        rows,
        text=(6,),
    )


def render_page(
    shape: ModelShape,
    scenario: Scenario | None = None,
    *,
    node: str = "7nm",
    technology: Technology | None = None,
) -> str:
    """Write the report of a model as one page.

    Parameters
    ----------
    shape
        The model.
    scenario
        What runs, and on what; both phases are shown whatever its phase.
    node, technology
        Node, and table of rows.

    Returns
    -------
    str
        HTML that loads nothing from elsewhere; the same input gives the same text.

    Raises
    ------
    InputError
        A node, a DRAM or an activation function that is not known.
    """
    scenario = scenario or Scenario()
    paper = report_model(shape, scenario.context, node=node, technology=technology)
    prefill, decode = (
        report_hardware(shape, replace(scenario, phase=phase), node=node, technology=technology)
        for phase in PHASES
    )
    reports = (paper, prefill, decode)
    title = f"Energy of {shape.name}"
    config = scenario.config
    lead = ", ".join(
        [
            f"{node.replace('nm', ' nm')}, context {scenario.context}, batch {scenario.batch}",
            f"array of {config.lanes} lanes x {config.rows} rows x {config.tokens_max} tokens",
            f"weights {scenario.packing}, {scenario.dram}, attention {scenario.attention}",
            f"keys and values of {scenario.key_bits} bits; tritforge {version('tritforge')}",
        ]
    )
    body = [
        _totals(reports),
        listed(prefill.ternary.notes) if prefill.ternary.notes else "",
        *_plots(reports, shape, scenario, node, technology),
        "<h2>What is left out</h2>",
        f"<p>Paper accounting:</p>{listed(paper.left_out)}",
        f"<p>Hardware accounting:</p>{listed(prefill.left_out)}",
        "<h2>Sources</h2>",
        f"<p>Shape: {escape(describe_source(shape))}</p>",
        _sources(reports),
        "<p>Formulas and counts of every part: <code>tritforge energy --explain all</code>.</p>",
    ]
    return render_frame(title, lead, body)


def _plots(
    reports: tuple[ModelReport, ModelReport, ModelReport],
    shape: ModelShape,
    scenario: Scenario,
    node: str,
    technology: Technology | None,
) -> list[str]:
    _, prefill, decode = reports
    steps = ratio_steps(prefill)
    told = "; ".join(f"{step.name} {step.ratio.value:.1f}" for step in steps)

    return [
        "<h2>Where the energy goes</h2>",
        plot(
            lambda: draw_breakdown((prefill, decode)),
            "breakdown",
            f"{describe(prefill)} {describe(decode)}",
            "Hardware accounting, joules a token by part; whiskers span the bounds of the total. "
            "Note the different scales of prefill and decoding.",
        ),
        f"<h2>Where the {steps[0].ratio.value:.1f}x goes</h2>",
        plot(
            lambda: draw_steps(steps),
            "steps",
            f"Ratio of FP16 to ternary as more is counted: {told}.",
            "From an FP16 multiplication and addition over an INT8 addition to the whole system, prefill. Each step "
            "adds the same parts to both sides, in this order; another order moves the steps, not the end.",
        ),
        "<h2>Energy against context</h2>",
        plot(
            lambda: draw_contexts(shape, scenario, node=node, technology=technology),
            "context",
            "Joules a token against the context, prefill and decoding.",
            "Hardware accounting; shaded: the bounds of the technology rows.",
        ),
        "<h2>Tokens a joule</h2>",
        plot(
            lambda: draw_contexts(shape, scenario, inverse=True, node=node, technology=technology),
            "tokens",
            "Tokens a joule against the context, prefill and decoding.",
            "The same the other way up.",
        ),
        "<h2>Energy against model size, as published</h2>",
        plot(
            lambda: draw_energy(context=512, node=node, extra=shape),
            "size",
            "Energy of a prefill of 512 tokens against model size, paper accounting, published points on the curves.",
            "Paper accounting, the shapes of arXiv 2402.17764, Figure 3; large outlines are published points.",
        ),
    ]
