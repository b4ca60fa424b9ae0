"""`tritforge verilog`: the accelerator's Verilog and what comes beside it."""

from dataclasses import fields
from pathlib import Path
from typing import Any

import click

from tritforge.accel.axi_config import AxiConfig
from tritforge.accel.errors import InputError
from tritforge.accel.presets import PRESETS, load_config
from tritforge.cli.common import (
    examples,
    json_option,
    parse_settings,
    settings_option,
    write_json,
)
from tritforge.cli.completers import complete_config


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


def write_axi_top(config: Any, axi: Any, output: Path, *, name: str) -> tuple[Any, list[Path]]:
    """Generate an AXI top and write it with all that comes beside it; return the top and the files."""
    from tritforge.accel.files import write_atomically
    from tritforge.rtl.register_header import write_header
    from tritforge.rtl.register_page import render_page
    from tritforge.rtl.verilog import generate, write

    top = generate(config, name=name, axi=axi)
    files = write(top, output)
    page = output.with_name("registers.md")
    write_atomically(page, render_page())
    return top, [*files, *write_header(output.parent, config, axi.control), page]


def read_axi_settings(top: str, settings: tuple[str, ...]) -> AxiConfig | None:
    """Return the AXI side that the options describe, None for the core.

    Raises
    ------
    InputError
        A parameter of the AXI side without it, an unknown one, or one out of bounds.
    """
    if top == "axi":
        return AxiConfig.from_dict(parse_settings(settings))
    if settings:
        raise InputError(f"--axi-set {settings[0]} has no effect on the core with its streams; add --top axi")
    return None


@click.command(
    name="verilog",
    epilog=examples(
        "tritforge verilog --config default -o core.v",
        "tritforge verilog --config tiny --set lanes=16 --name small_core -o small.v",
        "tritforge verilog --top axi -o build/axi.v",
    ),
)
@click.option(
    "--config",
    "config_name",
    default="default",
    show_default=True,
    shell_complete=complete_config,
    help=f"A preset ({', '.join(PRESETS)}) or a TOML file.",
)
@settings_option
@click.option(
    "--top",
    type=click.Choice(["core", "axi"]),
    default="core",
    show_default=True,
    help="The core with its streams, or the AXI top around it: registers, job queue, bus masters.",
)
@click.option(
    "--axi-set",
    "axi_settings",
    multiple=True,
    metavar="NAME=VALUE",
    help=f"Replace a parameter of the AXI side ({', '.join(field.name for field in fields(AxiConfig))}).",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    default=Path("build/core.v"),
    show_default=True,
    help="The Verilog file; what belongs to it is written beside it.",
)
@click.option(
    "--name", default="tritforge_core", show_default=True, help="Top module, and prefix of all other modules."
)
@click.option(
    "--seed", type=int, default=0, show_default=True, help="Seed of the data of the core's test bench."
)
@json_option
def command(
    config_name: str,
    settings: tuple[str, ...],
    top: str,
    axi_settings: tuple[str, ...],
    output: Path,
    name: str,
    seed: int,
    json_path: Path | None,
) -> int:
    """Generate the accelerator's Verilog.

    Beside the Verilog come a JSON side-car (configuration, ports, widths, latency, tool versions, hash) and an
    instantiation template; with the core a self-checking test bench, with the AXI top the C header of its registers,
    an example in C and the registers' documentation. The files are the same byte for byte on every run.
    """
    config = load_config(config_name, parse_settings(settings))
    axi = read_axi_settings(top, axi_settings)

    from rich.console import Console

    with Console(stderr=True).status("generating Verilog"):
        if axi is None:
            generated, files = write_core(config, output, name=name, seed=seed)
        else:
            generated, files = write_axi_top(config, axi, output, name=name)
    if json_path is not None:
        write_json(json_path, {**generated.sidecar(), "files": [str(file) for file in files]})
    if str(json_path) != "-":
        for file in files:
            click.echo(file)
    return 0
