"""A report as one HTML page that needs no network: plots inside, for light and dark screens and for paper."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from html import escape
from importlib.metadata import version
from pathlib import Path
from string import Template

from matplotlib.figure import Figure

from tritforge.energy.plot import draw_energy
from tritforge.energy.plot_hardware import describe, draw_breakdown, draw_contexts, draw_steps
from tritforge.energy.plot_style import inline_svg, style
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
from tritforge.models.shapes import ModelShape

_TEMPLATE = Path(__file__).parent / "data" / "report.html.in"


def _plot(draw: Callable[[], Figure], name: str, alternative: str, caption: str) -> str:
    """Draw twice, for light and for dark ground; the page shows one of them."""
    images = []
    for ground in ("light", "dark"):
        with style(dark=ground == "dark"):
            svg = inline_svg(draw(), salt=f"{name}-{ground}")
        label = escape(alternative, quote=True)
        images.append(
            f'<div class="{ground}">{svg.replace("<svg", f"""<svg aria-label="{label}" """, 1)}</div>'
        )
    return f"<figure>{''.join(images)}<figcaption>{escape(caption)}</figcaption></figure>"


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]], *, text: Sequence[int] = ()) -> str:
    head = "".join(
        f'<th class="text">{escape(heading)}</th>' if place in text else f"<th>{escape(heading)}</th>"
        for place, heading in enumerate(headings)
    )
    body = "".join(
        "<tr>"
        + "".join(
            f'<td class="text">{escape(cell)}</td>' if place in text else f"<td>{escape(cell)}</td>"
            for place, cell in enumerate(row)
        )
        + "</tr>"
        for row in rows
    )
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


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
    return _table(
        ["accounting, phase", "matrices", "energy", "a token", "tokens a joule", "over ternary"], rows
    )


def _sources(reports: Sequence[ModelReport]) -> str:
    keyed = {key: row for report in reports for key, row in report.rows.items()}
    rows = []
    for row in sorted(keyed.values(), key=lambda row: row.key):
        cost = row.cost
        bounds = f"{cost.low:.4g} to {cost.high:.4g}" if cost.low < cost.high else ""
        rows.append([row.key, f"{cost.value:.4g}", bounds, row.unit, row.obtained, row.status, row.source])
    return _table(["row", "value", "bounds", "unit", "obtained", "status", "source"], rows, text=(6,))


def _listed(lines: Sequence[str]) -> str:
    return "<ul>" + "".join(f"<li>{escape(line)}</li>" for line in lines) + "</ul>"


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
        _listed(prefill.ternary.notes) if prefill.ternary.notes else "",
        *_plots(reports, shape, scenario, node, technology),
        "<h2>What is left out</h2>",
        f"<p>Paper accounting:</p>{_listed(paper.left_out)}",
        f"<p>Hardware accounting:</p>{_listed(prefill.left_out)}",
        "<h2>Sources</h2>",
        f"<p>Shape: {escape(describe_source(shape))}</p>",
        _sources(reports),
        "<p>Formulas and counts of every part: <code>tritforge energy --explain all</code>.</p>",
    ]
    page = Template(_TEMPLATE.read_text(encoding="utf-8"))
    return page.substitute(title=escape(title), lead=escape(lead), body="\n".join(body))


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
        _plot(
            lambda: draw_breakdown((prefill, decode)),
            "breakdown",
            f"{describe(prefill)} {describe(decode)}",
            "Hardware accounting, joules a token by part; whiskers span the bounds of the total. "
            "Note the different scales of prefill and decoding.",
        ),
        f"<h2>Where the {steps[0].ratio.value:.1f}x goes</h2>",
        _plot(
            lambda: draw_steps(steps),
            "steps",
            f"Ratio of FP16 to ternary as more is counted: {told}.",
            "From an FP16 multiplication and addition over an INT8 addition to the whole system, prefill. Each step "
            "adds the same parts to both sides, in this order; another order moves the steps, not the end.",
        ),
        "<h2>Energy against context</h2>",
        _plot(
            lambda: draw_contexts(shape, scenario, node=node, technology=technology),
            "context",
            "Joules a token against the context, prefill and decoding.",
            "Hardware accounting; shaded: the bounds of the technology rows.",
        ),
        "<h2>Tokens a joule</h2>",
        _plot(
            lambda: draw_contexts(shape, scenario, inverse=True, node=node, technology=technology),
            "tokens",
            "Tokens a joule against the context, prefill and decoding.",
            "The same the other way up.",
        ),
        "<h2>Energy against model size, as published</h2>",
        _plot(
            lambda: draw_energy(context=512, node=node, extra=shape),
            "size",
            "Energy of a prefill of 512 tokens against model size, paper accounting, published points on the curves.",
            "Paper accounting, the shapes of arXiv 2402.17764, Figure 3; large outlines are published points.",
        ),
    ]
