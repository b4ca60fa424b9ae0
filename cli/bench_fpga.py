"""`tritforge bench fpga`: what the presets take of an FPGA, and the table of it that the repository keeps."""

from pathlib import Path

import click

from tritforge.cli.bench_options import docs_option, folder_option, page_of
from tritforge.cli.common import examples, json_option, progress, write_json
from tritforge.cli.workers import scheduler_executor, scheduler_option


@click.command(
    "fpga",
    epilog=examples(
        "tritforge bench fpga --design tiny --seeds 1",
        "tritforge bench fpga --design ecp5 --seeds 0 --docs .",
        "tritforge bench fpga --docs .",
        "tritforge bench fpga --seeds 5 --scheduler 10.0.0.1:8786",
    ),
)
@click.option(
    "--design", "names", multiple=True, metavar="NAME", help="Only this; may repeat.  [default: all]"
)
@click.option(
    "--seeds",
    type=click.IntRange(0, 99),
    default=3,
    show_default=True,
    help="Placements of each; the median counts. 0 counts cells alone.",
)
@scheduler_option
@folder_option("build/fpga-history")
@docs_option("Keep the figures in the table of a checkout and make its page anew.")
@json_option
def command(
    names: tuple[str, ...],
    seeds: int,
    scheduler: str | None,
    folder: Path,
    docs: Path | None,
    json_path: Path | None,
) -> int:
    """Count and route the presets' cores and the boards' designs.

    Cores are placed alone on an LFE5U-85F, boards with their pins and clocks. The table in the repository is
    benchmarks/fpga.json; the test suite holds the presets' counts to it.
    """
    from tritforge.cli.tables import new_table, table_console
    from tritforge.rtl import fpga_history as history

    entries = [history.find_entry(name) for name in names or history.ENTRIES]
    kept: str | None = None
    if docs:
        page = page_of(docs, history.PAGE)
        table = docs / history.HISTORY
        kept = table.read_text() if table.is_file() else None
    tools = history.packages(entries, seeds)
    with (
        progress(history.steps(entries, seeds)) as step,
        scheduler_executor(scheduler, packages=tools) as executor,
    ):
        rows = history.measure(entries, folder=folder, seeds=seeds, executor=executor, step=step)
    if docs:
        from tritforge.accel.files import write_atomically

        text = history.add_rows(kept, rows)
        write_atomically(page, history.fill_page(page.read_text(), text))
        write_atomically(table, text)
    if json_path:
        write_json(json_path, {"ok": True, "designs": rows}, tools=history.TOOLS)
    if str(json_path) != "-":
        console = table_console(highlight=False)
        shown = new_table(*history.HEADINGS[:2], numbers=history.HEADINGS[2:])
        for line in history.table_rows({row["name"]: [row] for row in rows}):
            shown.add_row(*line)
        console.print(shown)
    return 0
