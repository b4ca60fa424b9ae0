"""Tables of `tritforge energy` in the terminal."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from tritforge.cli.tables import new_table, table_console

if TYPE_CHECKING:
    from tritforge.energy.accounting import EnergyResult
    from tritforge.energy.interval import Interval
    from tritforge.energy.published import Comparison
    from tritforge.energy.report import ModelReport


def _print_table(console: Console, title: str, table: Table) -> None:
    # The title is a line of its own, since a table's title wraps at the width of the table.
    console.print(Text(title, style="bold"), soft_wrap=True)
    console.print(table)


def print_figures(comparisons: "Sequence[Comparison]") -> None:
    """Print Figure 3 of arXiv 2402.17764, published beside computed."""
    console = table_console()
    table = new_table("figure", numbers=("published", "computed", "error"))
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


def print_report(report: "ModelReport") -> None:
    """Print one model under one accounting: its components, ratios, sources, and what was left out."""
    from tritforge.energy.accounting import ratio
    from tritforge.energy.report import describe_source, format_joules, format_rate, format_ratio

    console = table_console()
    result, shape = report.ternary, report.shape
    at = _describe(result)
    if report.accounting == "paper":
        for name, side in (
            (f"{shape.name}, ternary matrices", result),
            ("The same shape in FP16", report.fp16),
        ):
            _print_table(console, f"{name}: {at}, {side.accounting} accounting", _operations_table(side))
    else:
        title = f"{shape.name}: {at}, {report.accounting} accounting, {_describe_options(result)}"
        _print_table(console, title, _groups_table(report))
        _print_table(console, "From the ratio of two operations to that of two systems", _steps_table(report))
    for side in report.results[1:]:
        name = side.arithmetic.upper()
        console.print(
            f"{name}: {format_joules(side.energy)}; {name} over ternary: {format_ratio(ratio(side, result))}",
            highlight=False,
        )
    per = result.per_token
    console.print(
        f"Ternary matrices take {format_joules(per)} a token: {format_rate(1 / per.value)} tokens a joule.\n",
        highlight=False,
    )
    console.print(f"Shape: {describe_source(shape)}", highlight=False, markup=False)
    for note in result.notes:
        console.print(f"Note: {note}", highlight=False, markup=False)
    if report.accounting == "paper":
        for row in report.rows.values():
            console.print(f"Row: {row.citation}", highlight=False, markup=False)
    else:
        console.print("Formula, counts, rows and sources of every part: --explain all, or --explain PART")
    console.print(f"\nThe {report.accounting} accounting leaves out:", highlight=False)
    for line in report.left_out:
        console.print(f"  - {line}", highlight=False)


def _describe(result: "EnergyResult") -> str:
    batch = f", batch {result.batch}" if result.batch > 1 else ""
    what = (
        f"prefill of {result.context} tokens"
        if result.phase == "prefill"
        else f"one token decoded at context {result.context}"
    )
    return f"{what}{batch} at {result.node.replace('nm', ' nm')}"


def _describe_options(result: "EnergyResult") -> str:
    options = result.options
    config = options["config"]
    zeros = [
        f"{name.replace('_', ' ')} {options[name]:.1%}"
        for name in ("zero_weights", "zero_acts")
        if options[name]
    ]
    return ", ".join(
        [
            f"{config['lanes']} lanes x {config['rows']} rows x {config['tokens_max']} tokens",
            f"weights {options['packing']}",
            f"{options['dram']}",
            f"attention {options['attention']}",
            f"KV {options['kv_bits']} bits",
            *zeros,
        ]
    )


def _operations_table(result: "EnergyResult") -> Table:
    from tritforge.energy.report import format_joules

    table = new_table("component", "operation", numbers=("count", "each", "energy", "share"))
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


def _groups_table(report: "ModelReport") -> Table:
    from tritforge.energy.report import format_joules
    from tritforge.energy.steps import GROUPS, group

    others = tuple(result.arithmetic for result in report.results[1:])
    table = new_table("part", numbers=("ternary", "share", *others))
    for name in GROUPS:
        energies = [group(result, name) for result in report.results]
        if any(energy.value for energy in energies):
            share = f"{energies[0].value / report.ternary.energy.value:.1%}"
            table.add_row(name, format_joules(energies[0]), share, *map(_alone, energies[1:]))
    totals = [_alone(result.energy) for result in report.results[1:]]
    table.add_row(Text("total", style="bold"), format_joules(report.ternary.energy), "100.0%", *totals)
    return table


def _alone(energy: "Interval") -> str:
    """Write an energy without its bounds, which stand below the table."""
    from tritforge.energy.report import format_joules

    return format_joules(replace(energy, low=energy.value, high=energy.value)) if energy.value else ""


def _steps_table(report: "ModelReport") -> Table:
    from tritforge.energy.report import format_joules, format_ratio
    from tritforge.energy.steps import ratio_steps

    table = new_table("with", numbers=("ternary", "fp16", "fp16 over ternary"))
    for step in ratio_steps(report):
        table.add_row(
            step.name, format_joules(step.ternary), format_joules(step.fp16), format_ratio(step.ratio)
        )
    return table
