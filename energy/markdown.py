"""Reports in Markdown: totals, parts, steps, sources and omissions as tables that a page or an issue shows."""

from collections.abc import Mapping, Sequence
from typing import Any

from tritforge.energy.report import ModelReport, describe_source, format_joules, format_ratio, total_cells
from tritforge.energy.steps import GROUPS, group, ratio_steps


def row_of(cells: Sequence[str]) -> str:
    """Return a line of a table."""
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the lines of a table; the first column to the left, the others to the right."""
    return [row_of(headings), "|---" + "|---:" * (len(headings) - 1) + "|", *map(row_of, rows)]


def render_markdown(reports: Sequence[ModelReport], figures: Sequence[Mapping[str, Any]] = ()) -> str:
    """Write reports, and published figures beside computed ones, as Markdown.

    Parameters
    ----------
    reports
        Of one model, an accounting each.
    figures
        Comparisons as dictionaries, as the JSON output has them.
    """
    lines: list[str] = []
    if figures:
        lines += ["## Published figures", ""]
        rows = [
            [
                str(f["row"]),
                f"{f['published']:g} {f['unit']}",
                f"{f['computed']:.6g}",
                f"{f['relative_error']:+.4%}",
                f["verdict"],
            ]
            for f in figures
        ]
        lines += [*table(["figure", "published", "computed", "error", "verdict"], rows), ""]
    for report in reports:
        lines += _report(report)
    return "\n".join(lines).rstrip() + "\n"


def _report(report: ModelReport) -> list[str]:
    ternary = report.ternary
    what = f"{ternary.phase}, context {ternary.context}, batch {ternary.batch}, {ternary.node}"
    lines = [f"## {report.shape.name}: {report.accounting} accounting", "", what, ""]
    rows = [[result.arithmetic, *total_cells(result, ternary)] for result in report.results]
    lines += [*table(["matrices", "energy", "a token", "tokens a joule", "over ternary"], rows), ""]
    names = [name for name in GROUPS if any(group(result, name).value for result in report.results)]
    rows = [[name, *(format_joules(group(result, name)) for result in report.results)] for name in names]
    lines += [*table(["part", *(result.arithmetic for result in report.results)], rows), ""]
    if report.accounting != "paper":
        rows = [
            [step.name, format_joules(step.ternary), format_joules(step.fp16), format_ratio(step.ratio)]
            for step in ratio_steps(report)
        ]
        lines += [*table(["with", "ternary", "fp16", "fp16 over ternary"], rows), ""]
    lines += [f"Shape: {describe_source(report.shape)}", ""]
    lines += [f"- Note: {note}" for note in ternary.notes]
    lines += [f"- Left out: {line}" for line in report.left_out]
    lines += ["", "Rows:", "", *(f"- {row.citation}" for row in report.rows.values()), ""]
    return lines
