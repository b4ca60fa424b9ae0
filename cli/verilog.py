"""`tritforge verilog`: the accelerator's Verilog and what comes beside it."""

from pathlib import Path
from typing import Any

import click

from tritforge.accel.presets import PRESETS, load_config
from tritforge.cli.common import (
    examples,
    parse_settings,
    settings_option,
)


def make_stimulus(config: Any, seed: int) -> Any:
    """Return a job with ragged edges and its golden words, a `tritforge.rtl.testbench.Stimulus`."""
    import numpy as np

    from tritforge.models.image import pack_image
    from tritforge.models.operands import order_results, pack_activations
    from tritforge.rtl.testbench import Stimulus
    from tritforge.sim.golden import ternary_matmul

    rng = np.random.default_rng(seed)
    m = min(config.rows + 1, config.m_max)
    k = min(config.lanes + 1, config.k_max)
    tokens = min(2, config.tokens_max)
    limit = 1 << (config.act_bits - 1)
    weights = rng.integers(-1, 2, (m, k)).astype(np.int8)
    activations = rng.integers(-limit, limit, (tokens, k))
    activations[0, 0] = -limit
    sums = (
        activations @ weights.T.astype(np.int64)
        if config.act_bits > 8
        else ternary_matmul(activations.astype(np.int8), weights)
    )
    return Stimulus(
        m=m,
        k=k,
        tokens=tokens,
        weights=pack_image(config, weights),
        activations=pack_activations(config, activations),
        expected=tuple(int(word) for word in order_results(config, sums)),
        seed=seed,
    )


def write_core(config: Any, output: Path, *, name: str, seed: int) -> tuple[Any, list[Path]]:
    """Generate a core and write it with all that comes beside it; return the core and the files."""
    from tritforge.accel.files import write_atomically
    from tritforge.rtl.testbench import render
    from tritforge.rtl.verilog import generate, write

    core = generate(config, name=name)
    files = write(core, output)
    bench = output.with_name(f"{output.stem}_tb.v")
    write_atomically(bench, render(core, make_stimulus(config, seed), stem=output.stem))
    return core, [*files, bench]


@click.command(
    name="verilog",
    epilog=examples(
        "tritforge verilog -o build/core.v",
        "tritforge verilog --config tiny --set lanes=16 --name small_core -o small.v",
    ),
)
@click.option(
    "--config",
    "config_name",
    default="default",
    show_default=True,
    help=f"A preset ({', '.join(PRESETS)}) or a TOML file.",
)
@settings_option
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    default=Path("build/core.v"),
    show_default=True,
    help="The Verilog file; side-car, template and test bench are written beside it.",
)
@click.option(
    "--name", default="tritforge_core", show_default=True, help="Top module, and prefix of all other modules."
)
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of the test bench's data.")
def command(config_name: str, settings: tuple[str, ...], output: Path, name: str, seed: int) -> int:
    """Generate the accelerator's Verilog.

    Beside the Verilog come a JSON side-car (configuration, ports, widths, latency, tool versions, hash), an
    instantiation template and a self-checking test bench. The files are the same byte for byte on every run.
    """
    config = load_config(config_name, parse_settings(settings))

    from rich.console import Console

    with Console(stderr=True).status("generating Verilog"):
        _, files = write_core(config, output, name=name, seed=seed)
    for file in files:
        click.echo(file)
    return 0
