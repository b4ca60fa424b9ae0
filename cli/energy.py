"""`tritforge energy`: energy of models at 7 nm, beside the published figures."""

from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tritforge.cli.common import json_option, write_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tritforge.energy.accounting import EnergyResult
    from tritforge.energy.published import Comparison
    from tritforge.energy.report import ModelReport

#: The model that is reported when none is named.
SHIPPED = "austen"


@click.command("energy")
@click.option(
    "--model",
    metavar="NAME",
    help="Report this model alone: a model shape, a shipped model, or the path of a checkpoint.",
)
@click.option(
    "--context",
    type=click.IntRange(min=1),
    default=512,
    show_default=True,
    help="Tokens of the prefill. The published figures are always compared at theirs.",
)
@click.option(
    "--csv", "csv_path", type=click.Path(path_type=Path), metavar="FILE", help="Write the components."
)
@click.option(
    "--plot",
    "plot_path",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Plot energy to a PNG or SVG file.",
)
@json_option
def command(
    model: str | None, context: int, csv_path: Path | None, plot_path: Path | None, json_path: Path | None
) -> int:
    """Energy of models at 7 nm, counted as the published figures count it.

    Without --model: Figure 3 of arXiv 2402.17764 beside its published values, and the shipped model.
    """
    from tritforge.energy.published import compare, figure_3
    from tritforge.energy.report import report_model
    from tritforge.models.shapes import resolve_shape

    if plot_path:
        from tritforge.energy.plot import check_suffix

        check_suffix(plot_path)
    shape = resolve_shape(model or SHIPPED)
    report = report_model(shape, context)
    comparisons = () if model else compare(figure_3())
    ok = all(comparison.verdict != "fails" for comparison in comparisons)

    if str(json_path) != "-":
        # Wide enough for the tables when the output is no terminal.
        console = Console() if Console().is_terminal else Console(width=110)
        if comparisons:
            _print_figures(console, comparisons)
        _print_model(console, report)
    if csv_path:
        from tritforge.accel.files import write_atomically
        from tritforge.energy.frames import components_frame

        write_atomically(csv_path, components_frame([report.ternary, report.fp16]).to_csv(index=False))
    if plot_path:
        from tritforge.energy.plot import plot_energy

        plot_energy(plot_path, context=context, extra=shape)
    if json_path:
        figures = [comparison.to_dict() for comparison in comparisons]
        write_json(json_path, {"ok": ok, **report.to_dict(), "figures": figures})
    return 0 if ok else 1


def _print_table(console: Console, title: str, table: Table) -> None:
    # The title is a line of its own, since a table's title wraps at the width of the table.
    console.print(Text(title, style="bold"), soft_wrap=True)
    console.print(table)


def _print_figures(console: Console, comparisons: "Sequence[Comparison]") -> None:
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("figure")
    for heading in ("published", "computed", "error"):
        table.add_column(heading, justify="right")
    table.add_column("verdict")
    for comparison in comparisons:
        figure = comparison.figure
        cut = " (cut)" if figure.reading == "truncated" else ""
        table.add_row(
            figure.row,
            f"{figure.published} {figure.unit}{cut}",
            f"{comparison.computed:.{_decimals(figure.published) + 2}f} {figure.unit}",
            f"{comparison.relative_error:+.4%}",
            Text(comparison.verdict, style="bold red" if comparison.verdict == "fails" else ""),
            end_section=figure.quantity.endswith("_ratio"),
        )
    title = "Figure 3 of arXiv 2402.17764: prefill of 512 tokens at 7 nm, paper accounting"
    _print_table(console, title, table)
    met = sum(comparison.verdict != "fails" for comparison in comparisons)
    console.print(
        f"{met} of {len(comparisons)} met. Published labels are cut after their last digit, not rounded;\n"
        "points of the curves are met within 0.01 %. The error of a label includes what was cut.\n"
    )


def _decimals(number: str) -> int:
    return len(number.partition(".")[2])


def _print_model(console: Console, report: "ModelReport") -> None:
    from tritforge.energy.accounting import LEFT_OUT
    from tritforge.energy.report import describe_source, format_joules

    result, shape = report.ternary, report.shape
    for name, side in ((f"{shape.name}, ternary matrices", result), ("The same shape in FP16", report.fp16)):
        at = f"{side.phase} of {side.context} tokens at {side.node.replace('nm', ' nm')}"
        _print_table(console, f"{name}: {at}, {side.accounting} accounting", _component_table(side))
    saving = report.saving
    bounds = f" ({saving.low:.1f} to {saving.high:.1f})" if saving.low < saving.high else ""
    console.print(
        f"FP16 over ternary: {saving.value:.2f} x{bounds}. "
        f"Per token: {format_joules(result.energy.times(1 / result.context))} with ternary matrices.\n",
        highlight=False,
    )
    console.print(f"Shape: {describe_source(shape)}", highlight=False, markup=False)
    rows = {entry.row.key: entry.row for side in (report.ternary, report.fp16) for entry in side.components}
    for row in rows.values():
        console.print(f"Row: {row.citation}", highlight=False, markup=False)
    console.print("\nThe paper accounting leaves out:", highlight=False)
    for line in LEFT_OUT:
        console.print(f"  - {line}", highlight=False)


def _component_table(result: "EnergyResult") -> Table:
    from tritforge.energy.report import format_joules

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("component")
    table.add_column("operation")
    for heading in ("count", "each", "energy", "share"):
        table.add_column(heading, justify="right", no_wrap=True)
    total = result.energy
    for entry in result.components:
        table.add_row(
            entry.component,
            entry.row.operation,
            f"{entry.count:,}",
            f"{entry.row.cost.value:g} {entry.row.unit.removesuffix('/op')}",
            format_joules(entry.energy),
            f"{entry.energy.value / total.value:.1%}",
        )
    table.add_row(Text("total", style="bold"), "", "", "", format_joules(total), "100.0%")
    return table
