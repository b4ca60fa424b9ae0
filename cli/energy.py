"""`tritforge energy`: energy of models, counted as published or as hardware does it."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tritforge.accel.errors import InputError
from tritforge.cli.common import examples, json_option, write_json
from tritforge.cli.energy_options import (
    SHIPPED,
    hardware_options,
    named_options,
    node_options,
    scenario_from_options,
    shape_parameters,
    technology_from_options,
)
from tritforge.cli.shape_options import shape_from_options, shape_options

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tritforge.energy.report import ModelReport
    from tritforge.energy.scenario import Scenario

FORMATS = ("table", "md", "csv", "json", "html")


@click.command(
    "energy",
    epilog=examples(
        "tritforge energy",
        "tritforge energy --model bitnet-b1.58-2B-4T --accounting hardware --phase decode --context 4096",
        "tritforge energy --model austen --accounting hardware --explain matrices",
        "tritforge energy --hidden-size 4096 --layers 32 --heads 32 --intermediate-size 14336 --json -",
    ),
)
@shape_options
@click.option(
    "--accounting",
    type=click.Choice(["paper", "hardware", "measured", "all"]),
    help="paper: what the published figures count; hardware: all that the accelerator and its surroundings do; "
    "measured: the same at energies measured at gates; all: paper and hardware.  "
    "[default: paper, or hardware where an option needs it]",
)
@click.option(
    "--context",
    type=click.IntRange(min=1),
    default=512,
    show_default=True,
    help="Tokens of the prefill, or that a decoded token sees, itself included. "
    "The published figures are always compared at theirs.",
)
@hardware_options
@node_options
@click.option(
    "--explain",
    "cell",
    metavar="CELL",
    help="Print formulas, counts, rows and sources of a part (linears; matrices of the hardware accounting), an "
    "operation of it (matrices/int9.add), or all.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(FORMATS),
    default="table",
    show_default=True,
    help="Form of the output; html is one page with its plots inside.",
)
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), metavar="FILE", help="Write the output to a file."
)
@click.option(
    "--csv", "csv_path", type=click.Path(path_type=Path), metavar="FILE", help="Write the components."
)
@click.option(
    "--plot",
    "plot_path",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Plot energy against model size, paper accounting, to a PNG or SVG file.",
)
@json_option
def command(
    accounting: str | None,
    context: int,
    cell: str | None,
    form: str,
    output: Path | None,
    csv_path: Path | None,
    plot_path: Path | None,
    json_path: Path | None,
    **options: Any,
) -> int:
    """Energy of models, with the source of every constant.

    Without a model: Figure 3 of arXiv 2402.17764 beside its published values, and the shipped model.
    """
    from tritforge.energy.published import compare, figure_3
    from tritforge.energy.report import report_hardware, report_measured, report_model

    if plot_path:
        from tritforge.energy.plot import check_suffix

        check_suffix(plot_path)
    if output and form == "table":
        raise InputError("--output needs a form that is no table; give --format md, csv, json or html")
    chosen = shape_parameters(options)
    shape = shape_from_options(default=SHIPPED, **chosen)
    alone = any(value is not None for value in chosen.values())
    technology, node = technology_from_options(options)
    kinds = _accountings(accounting, options)
    reports: list[ModelReport] = []
    if "paper" in kinds:
        reports.append(report_model(shape, context, node=node, technology=technology))
    scenario = scenario_from_options(options, context=context, model=options["model"] or SHIPPED)
    if "hardware" in kinds:
        reports.append(report_hardware(shape, scenario, node=node, technology=technology))
    if "measured" in kinds:
        reports.append(report_measured(shape, scenario, technology=technology))
    comparisons = () if alone else compare(figure_3())
    ok = all(comparison.verdict != "fails" for comparison in comparisons)
    document = {
        "ok": ok,
        **reports[0].to_dict(),
        "figures": [comparison.to_dict() for comparison in comparisons],
        "reports": [report.to_dict() for report in reports],
    }

    _files(reports, document, csv_path, plot_path, json_path)
    if cell:
        _explain(reports, cell)
    elif form == "json":
        write_json(output or Path("-"), document)
    elif form != "table":
        _write(output, _text(form, reports, document, scenario))
    elif str(json_path) != "-":
        from tritforge.cli.energy_tables import print_figures, print_report

        if comparisons:
            print_figures(comparisons)
        for report in reports:
            print_report(report)
    return 0 if ok else 1


def _accountings(accounting: str | None, options: dict[str, Any]) -> tuple[str, ...]:
    """Return the accountings to report."""
    given = named_options(options)
    if accounting == "paper" and given:
        raise InputError(f"--accounting paper has no {given[0]}; leave it out, or take hardware")
    own = [name for name in ("zero_weights", "zero_acts") if options[name] is not None]
    if accounting == "measured" and (own or options["node"] != "7nm"):
        wrong = own[0].replace("_", "-") if own else "node"
        raise InputError(f"--accounting measured has no --{wrong}; leave it out, or take hardware")
    if accounting == "all":
        return ("paper", "hardware")
    if accounting is None:
        return ("hardware",) if given else ("paper",)
    return (accounting,)


def _files(
    reports: "Sequence[ModelReport]",
    document: dict[str, Any],
    csv_path: Path | None,
    plot_path: Path | None,
    json_path: Path | None,
) -> None:
    """Write what has an option of its own."""
    if csv_path:
        from tritforge.accel.files import write_atomically

        write_atomically(csv_path, _csv(reports))
    if plot_path:
        from tritforge.energy.plot import plot_energy

        plot_energy(plot_path, context=document["context"], extra=reports[0].shape)
    if json_path:
        write_json(json_path, document)


def _text(form: str, reports: "Sequence[ModelReport]", document: dict[str, Any], scenario: "Scenario") -> str:
    """Return the output in a form that is no table."""
    if form == "csv":
        return _csv(reports)
    if form == "md":
        from tritforge.energy.markdown import render_markdown

        return render_markdown(reports, document["figures"])
    from tritforge.energy.html import render_page

    report = reports[0]
    return render_page(report.shape, scenario, node=report.ternary.node, technology=report.technology)


def _write(output: Path | None, text: str) -> None:
    if output is None or str(output) == "-":
        click.echo(text, nl=False)
    else:
        from tritforge.accel.files import write_atomically

        write_atomically(output, text)


def _csv(reports: "Sequence[ModelReport]") -> str:
    from tritforge.energy.frames import components_frame

    return components_frame(result for report in reports for result in report.results).to_csv(index=False)


def _explain(reports: "Sequence[ModelReport]", cell: str) -> None:
    from tritforge.energy.explain import cells, explain

    results = [result for report in reports for result in report.results]
    found = [result for result in results if cell == "all" or cell in cells(result)]
    if not found:
        # Says what there is.
        explain(results[0], cell)
    for number, result in enumerate(found):
        click.echo(("\n" if number else "") + "\n".join(explain(result, cell)))
