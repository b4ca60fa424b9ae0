"""`tritforge reproduce`: every published figure that a model can produce, beside the computed one."""

from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.text import Text

from tritforge.cli.common import examples, json_option, write_json
from tritforge.cli.tables import new_table, table_console

if TYPE_CHECKING:
    from tritforge.energy.reproduce import Reproduction

_STYLES = {"fails": "bold red", "fit": "yellow"}


@click.command(
    "reproduce",
    epilog=examples(
        "tritforge reproduce",
        "tritforge reproduce --paper b1.58 --format md",
        "tritforge reproduce --json figures.json",
    ),
)
@click.option(
    "--paper", metavar="NAME", help="This paper alone: b1.58, bitnet-v1, 2b4t, spectra, or an arXiv number."
)
@click.option(
    "--format",
    "layout",
    type=click.Choice(["table", "md", "csv"]),
    default="table",
    show_default=True,
    help="Layout on standard output.",
)
@json_option
def command(paper: str | None, layout: str, json_path: Path | None) -> int:
    """Set every published figure that a model can produce beside the computed one.

    Verdicts: exact, rounding, fit (with constants fitted to the publication), fails. A few figures are known to
    fail and are printed so; exit status 1 means that a verdict is not the one on record, or that fewer than 63
    energy figures are met.
    """
    from tritforge.energy.reproduce import reproduce, to_csv, to_markdown

    result = reproduce(paper)
    if str(json_path) != "-":
        if layout == "table":
            _print(result)
        else:
            click.echo(to_markdown(result) if layout == "md" else to_csv(result), nl=False)
    if json_path:
        write_json(json_path, result.to_dict())
    return 0 if result.ok else 1


def _print(result: "Reproduction") -> None:
    from tritforge.energy.published_inputs import published_inputs
    from tritforge.energy.reproduce import format_values, summary

    console = table_console(highlight=False)
    for paper in result.papers:
        console.print(Text(f"{paper.title} ({paper.key})", style="bold"), soft_wrap=True)
        table = new_table("figure", "row", numbers=("published", "computed", "error"))
        for column in table.columns:
            column.no_wrap = True
        table.add_column("verdict")
        for name, group in groupby(result.of(paper), key=lambda entry: entry.figure.figure):
            entries = list(group)
            for number, entry in enumerate(entries):
                table.add_row(
                    "" if number else name,
                    Text(entry.figure.row),
                    *format_values(entry),
                    Text(entry.verdict, style=_STYLES.get(entry.verdict, "")),
                    end_section=number == len(entries) - 1,
                )
        console.print(table)
        for line in result.reservations(paper):
            console.print(line, markup=False, soft_wrap=True)
        console.print()
    for line in summary(result):
        console.print(line, markup=False, soft_wrap=True)
    if result.verdicts["fit"]:
        console.print("\nFitted or assumed:")
        for taken in published_inputs().values():
            if taken.obtained in {"fitted", "assumed"}:
                console.print(f"  - {taken.citation}", markup=False, soft_wrap=True)
