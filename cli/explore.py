"""`tritforge explore`: which accelerator for a model, a memory and a budget."""

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tritforge.accel.errors import InputError, MissingToolError
from tritforge.accel.files import check_writable
from tritforge.cli.common import examples, json_option, progress, settings_option, write_json
from tritforge.cli.completers import complete_config, complete_shape
from tritforge.cli.explore_options import device_options, limit_options, scenario_options
from tritforge.cli.workers import open_executor, worker_options

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tritforge.explore.choice import Choice, Wish
    from tritforge.explore.objectives import Request
    from tritforge.explore.run import Sweep

#: Packages whose versions a table depends on.
PACKAGES = ("numpy", "pandas", "pyarrow")
#: Most choices whose reasons are printed; the summary has those of all.
SHOWN = 4


@click.command(
    "explore",
    epilog=examples(
        "tritforge explore --model bitnet-2b4t --device kv260 --max-power 5 --sweep lanes=64..512 --sweep rows=8,16",
        "tritforge explore --model TriLM_99M --device orangecrab-85f --config ecp5 --sweep tokens_max=1..16",
        "tritforge explore --model austen --bandwidth 20 --clock 500 --sweep packing=i2,s5,s8 --json -",
    ),
)
@click.option(
    "--model",
    "models",
    multiple=True,
    metavar="NAME|PATH",
    shell_complete=complete_shape,
    help="A model shape, as of `tritforge models`; repeatable.  [default: bitnet-2b4t]",
)
@device_options
@click.option(
    "--sweep",
    "sweeps",
    multiple=True,
    metavar="AXIS",
    help="A parameter and its values, lanes=16,32,64..512 (doubling) or rows=8..64:8 (steps); repeatable. With any, "
    "only what is named is swept.  [default: eight axes around lanes, rows and ports]",
)
@click.option(
    "--sweep-file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="TOML with lists models and devices and a table sweep; options come on top of it.",
)
@click.option(
    "--config",
    "config_name",
    shell_complete=complete_config,
    metavar="NAME|FILE",
    help="All that is not swept.  [default: default; k_max, m_max, target, negation follow model and device]",
)
@settings_option
@scenario_options
@limit_options
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Takes table, fronts, plots and recommendation; a sweep that was stopped goes on in it.  "
    "[default: a folder for each request in build/explore]",
)
@click.option("--plots/--no-plots", default=True, help="Draw each model on each device.  [default: plots]")
@worker_options
@json_option
def command(
    output: Path | None,
    plots: bool,
    jobs: int | None,
    scheduler: str | None,
    json_path: Path | None,
    **options: Any,
) -> int:
    """Sweep configurations over models and devices; recommend one for each, and say why.

    Every combination is judged by tokens a second, joules a token, LUTs, bandwidth and power, in prefill and decode.
    Exit status 1: nothing is within the limits.
    """
    if find_spec("pyarrow") is None:
        raise MissingToolError("pyarrow is not installed; run: pip install 'tritforge[explore]'")
    from tritforge.cli.explore_options import request_from_options, wish_from_options
    from tritforge.explore.choice import choose
    from tritforge.explore.output import summary, write_results
    from tritforge.explore.run import sweep
    from tritforge.explore.store import REQUEST_FILE, describe_request, request_key

    wish = wish_from_options(options)
    request = request_from_options(options)
    folder = output or Path("build/explore") / request_key(describe_request(request))[:8]
    if json_path is not None and str(json_path) != "-":
        check_writable(json_path)
    # Processes take a second to start, in which one alone computes a few chunks.
    few = jobs is None and scheduler is None and request.space.chunks <= 2
    with (
        open_executor(1 if few else jobs, scheduler, packages=PACKAGES) as executor,
        progress(request.space.chunks) as step,
    ):
        found = sweep(request, folder, executor, step=step)
        step("choosing", 0)
        choices = list(choose(found.frame, wish))
        drawn = _draw(choices, request, wish) if plots else []
        files = write_results(folder, found, choices, wish, drawn)
    document = summary(found, choices, wish) | {"files": [str(path) for path in files]}
    if json_path:
        if json_path.resolve() in {path.resolve() for path in (*files, folder / REQUEST_FILE)}:
            raise InputError(f"--json is {json_path}, a file of the sweep itself; choose another path")
        write_json(json_path, document, tools=PACKAGES)
    if str(json_path) != "-":
        _print(found, choices, wish, folder)
    if not document["ok"]:
        click.echo("tritforge: nothing is within all limits; summary.md says what is in the way", err=True)
    return 0 if document["ok"] else 1


def _draw(choices: "Sequence[Choice]", request: "Request", wish: "Wish") -> list[tuple[str, bytes, str]]:
    """Return name, content and alternative text of each choice's plot."""
    from tritforge.explore.output import file_stem
    from tritforge.explore.plots import alternative, plot_choice

    devices = {device.name: device for device in request.space.devices}
    found = []
    for choice in choices:
        stem = file_stem(choice.model, choice.device)
        content = plot_choice(choice, devices[choice.device], wish, salt=stem)
        found.append((f"plot_{stem}.svg", content, alternative(choice, wish)))
    return found


def _print(found: "Sweep", choices: "Sequence[Choice]", wish: "Wish", folder: Path) -> None:
    """Print what was found."""
    from tritforge.cli.tables import new_table, table_console
    from tritforge.explore.output import HEADINGS, overview
    from tritforge.explore.reasons import area_error, reasons

    console = table_console(highlight=False)
    request = found.request
    skipped = sum(found.skipped.values())
    console.print(
        f"{len(request.space):,} combinations, {found.table.num_rows:,} accelerators"
        + (f" ({skipped:,} are none; summary.md has the reasons)" if skipped else "")
        + f"; {wish.goal} in {wish.phases[0]}, context {request.scenario.context}, batch {request.scenario.batch}"
    )
    table = new_table(*HEADINGS[:3], numbers=HEADINGS[3:])
    for line in overview(choices, request, wish):
        table.add_row(*line)
    console.print(table)
    for choice in choices[:SHOWN]:
        console.print(f"\n{choice.model} on {choice.device}", style="bold", markup=False)
        for reason in reasons(choice, request, wish):
            console.print(f"  - {reason}", markup=False, soft_wrap=True)
    if len(choices) > SHOWN:
        console.print(f"\nsummary.md has the reasons of all {len(choices)} choices.")
    console.print(
        f"\nJ and W are those of gates at {request.node} and of the memory: an FPGA takes more.\n{area_error()}.\n"
        f"Table, front, configuration and plots: {folder}",
        soft_wrap=True,
    )
