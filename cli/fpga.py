"""`tritforge fpga`: a bitstream for a board, or a core routed out of context, and what it takes and does."""

import sys
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tritforge.accel.presets import PRESETS, load_config
from tritforge.cli import fpga_xilinx
from tritforge.cli.common import examples, json_option, parse_settings, progress, settings_option, write_json
from tritforge.cli.completers import complete_config, complete_shape
from tritforge.cli.workers import scheduler_executor, scheduler_option

if TYPE_CHECKING:
    from tritforge.accel.config import AcceleratorConfig
    from tritforge.rtl.boards import Memory
    from tritforge.rtl.fpga_report import ModelBytes
    from tritforge.rtl.route_progress import Step

#: Boards and parts, named here so that ``--help`` loads none of the tools; a test holds them to those of `rtl`.
BOARDS = ("ulx3s", "icebreaker")
PARTS = ("ecp5-25k", "ecp5-45k", "ecp5-85k")
#: Models whose bound is told: the shipped one, and shapes of the published ones.
MODELS = ("austen", "1bitLLM/bitnet_b1_58-large", "microsoft/bitnet-b1.58-2B-4T", "1bitLLM/bitnet_b1_58-3B")
#: Clock of a core alone, MHz.
CORE_MHZ = "150"


def _megahertz(_context: click.Context, option: click.Parameter, value: str | None) -> Fraction | None:
    """Read a frequency, exactly as it is written."""
    if value is None:
        return None
    try:
        frequency = Fraction(value)
    except (ValueError, ZeroDivisionError) as error:
        raise click.BadParameter(f"{value!r} is no number; MHz are needed", param=option) from error
    if frequency <= 0:
        raise click.BadParameter(f"{value} is not above 0; MHz are needed", param=option)
    return frequency


@click.command(
    "fpga",
    epilog=examples(
        "tritforge fpga --board ulx3s",
        "tritforge fpga --board ulx3s --set lanes=32 --freq 100 --seeds 8 -o build/small",
        "tritforge fpga --target ecp5-85k --config ecp5 --freq 200",
        "tritforge fpga --board ulx3s --seeds 16 --scheduler 10.0.0.1:8786",
        "tritforge fpga --target xc7z020 --set datapath=fused --set target=xilinx --set negation=carry -o build/zynq",
    ),
)
@click.option(
    "--board", "board_name", type=click.Choice(BOARDS), help="The board: link top, pins, bitstream."
)
@click.option(
    "--target",
    type=click.Choice((*PARTS, *fpga_xilinx.PARTS)),
    help="A part: the stream core alone, out of context; of AMD/Xilinx an estimate and a project for Vivado.",
)
@click.option(
    "--config",
    "config_name",
    shell_complete=complete_config,
    help=f"A preset ({', '.join(PRESETS)}) or a TOML file.  "
    "[default: the board's preset; ecp5 for an ECP5, default for others]",
)
@settings_option
@click.option(
    "--freq", callback=_megahertz, metavar="MHZ", help="Clock of the accelerator.  [default: the board's]"
)
@click.option("--baud", type=click.IntRange(1), help="Rate of the serial port.  [default: the board's]")
@click.option("--seed", type=int, default=1, show_default=True, help="Seed of the first placement.")
@click.option(
    "--seeds",
    type=click.IntRange(1, 99),
    default=4,
    show_default=True,
    help="Placements to try until timing closes, one seed after the other; on a cluster side by side.",
)
@scheduler_option
@click.option("--allow-slow", is_flag=True, help="Write the bitstream though timing fails.")
@click.option(
    "--model",
    "models",
    multiple=True,
    metavar="NAME",
    shell_complete=complete_shape,
    help="Tell this model's tokens/s; may repeat.",
)
@click.option(
    "--bandwidth", type=click.FloatRange(0, min_open=True), metavar="GB/S", help="Of a memory to reckon with."
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of the bitstream, the report and every tool's log.  [default: build/fpga/NAME]",
)
@json_option
def command(
    board_name: str | None,
    target: str | None,
    config_name: str | None,
    settings: tuple[str, ...],
    freq: Fraction | None,
    baud: int | None,
    seed: int,
    seeds: int,
    scheduler: str | None,
    allow_slow: bool,
    models: tuple[str, ...],
    bandwidth: float | None,
    output: Path | None,
    json_path: Path | None,
) -> int:
    """Make a bitstream for a board, or place and route a core alone.

    Synthesis, clean-up, placing, routing and packing run with tools from pip; results that are there from the same
    sources, tools and options are taken. Exit status 1: timing fails, and there is no bitstream.
    """
    from tritforge.accel.errors import InputError, VerificationError

    if (board_name is None) == (target is None):
        raise InputError("give --board NAME for a bitstream or --target PART for the core alone, one of them")
    if baud is not None and board_name is None:
        raise InputError(f"--baud {baud} is of a board's serial port; give --board, or leave it out")

    if target in fpga_xilinx.PARTS:
        return fpga_xilinx.run(
            target,
            load_config(config_name or "default", parse_settings(settings)),
            clock_mhz=freq or fpga_xilinx.CLOCK_MHZ,
            folder=output or Path("build/fpga") / target,
            json_path=json_path,
            unused=_given("seed", "seeds", "scheduler", "allow_slow", "models", "bandwidth"),
        )

    from tritforge.accel.files import check_writable, write_atomically
    from tritforge.rtl import fpga
    from tritforge.rtl.boards import find_board
    from tritforge.rtl.fpga_designs import board_design, core_design
    from tritforge.rtl.fpga_page import render
    from tritforge.rtl.fpga_report import figures, timing_advice, token_rates
    from tritforge.rtl.parts import PARTS as ALL_PARTS

    board = find_board(board_name) if board_name else None
    part = board.part if board else ALL_PARTS[str(target)]
    preset = config_name or (board.preset if board else "ecp5")
    config = load_config(preset, parse_settings(settings))
    folder = output or Path("build/fpga") / (board_name or str(target))
    check_writable(folder / "report.md")
    memories = _memories(board.memory if board else None, bandwidth)
    shapes = _model_bytes(config, models or MODELS)
    fpga.check_tools(part)
    wanted = range(seed, seed + seeds)
    with progress(1 + fpga.steps(wanted)) as show:
        step = _sparing(show)
        step("generating the design", 0)
        if board:
            design = board_design(board, config, clock_mhz=freq, baud=baud)
        else:
            design = core_design(part, config, clock_mhz=freq or Fraction(CORE_MHZ))
        step("generating the design", 1)
        with scheduler_executor(scheduler, packages=fpga.packages(part)) as executor:
            build = fpga.build(
                design, folder=folder, seeds=wanted, allow_slow=allow_slow, executor=executor, step=step
            )
    rates = token_rates(build, shapes, memories=memories)
    page = render(build, rates, memories=memories)
    write_atomically(folder / "report.md", page)
    document = figures(build, rates)
    write_json(folder / "report.json", document, tools=fpga.packages(part))
    if json_path:
        write_json(json_path, document, tools=fpga.packages(part))
    if str(json_path) != "-":
        click.echo(page, nl=False)
        click.echo(f"\nReport, netlist and logs: {folder}")
        if board and build.bitstream:
            click.echo(f"Load it with: {board.load.format(bitstream=build.bitstream)}")
    if not build.closes:
        cure = "" if build.bitstream or not board else "; --allow-slow writes the bitstream all the same"
        raise VerificationError(timing_advice(build) + cure)
    return 0


def _given(*parameters: str) -> dict[str, bool]:
    """Return whether each parameter of the command was given, by its option."""
    context = click.get_current_context()
    options = {parameter.name: parameter.opts[0] for parameter in context.command.params}
    return {
        options[name]: context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE
        for name in parameters
    }


def _sparing(step: "Step") -> "Step":
    """Return steps that leave out how far routing is where that would be a line each, and not a bar that changes."""
    from tritforge.rtl.route_progress import ARCS_LEFT

    terminal = sys.stderr.isatty()

    def spare(description: str, advance: int) -> None:
        if terminal or not description.endswith(ARCS_LEFT):
            step(description, advance)

    return spare


def _memories(on_board: "Memory | None", bandwidth: float | None) -> "list[Memory]":
    """Return the memories that bounds are told for: the board's, or one of a bandwidth that the user names."""
    from tritforge.rtl.boards import Memory

    if bandwidth is None:
        return [on_board] if on_board else []
    return [
        Memory(
            name=f"memory of {bandwidth:g} GB/s",
            size_bytes=1 << 40,
            bytes_per_second=bandwidth * 1e9,
            source="given by --bandwidth",
        )
    ]


def _model_bytes(config: "AcceleratorConfig", names: Sequence[str]) -> "list[ModelBytes]":
    """Return the bytes of weight images that a token of each model reads."""
    from tritforge.models.image import image_bytes
    from tritforge.models.shapes import resolve_shape
    from tritforge.rtl.fpga_report import ModelBytes

    found: list[Any] = []
    for name in names:
        shape = resolve_shape(name)
        layer = sum(image_bytes(config, one.outputs, one.inputs) * one.active for one in shape.linears)
        found.append(ModelBytes(name=name, bytes_per_token=shape.num_hidden_layers * layer))
    return found
