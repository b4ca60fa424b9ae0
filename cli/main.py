"""Entry point of the `tritforge` command; each sub-command lives in a module of its own name.

A sub-command's module is imported when the command runs or asks for its own help, so that
``tritforge --help`` starts as fast as Python does.
"""

import os
import sys
from collections.abc import Sequence
from errno import EDQUOT, ENOSPC, EPIPE
from importlib import import_module
from importlib.metadata import version
from io import TextIOWrapper

import click

from tritforge.accel.errors import (
    BoardError,
    InputError,
    MissingToolError,
    SimulationError,
    VerificationError,
)

#: Sub-commands and their line in ``tritforge --help``, in the order of a user's day.
COMMANDS = {
    "demo": "Run the whole job: Verilog, co-simulation, energy, a plot and a summary.",
    "cosim": "Run a layer's matrices on the generated hardware and compare every word.",
    "generate": "Write text with a model, every ternary product on an accelerator.",
    "verilog": "Generate the accelerator's Verilog.",
    "gates": "Ternary, INT8 and FP16 arithmetic at the gates of a cell library, and what each consumes.",
    "fpga": "A bitstream for a board, routed and timed, and what it takes and does.",
    "board": "Identify a board behind a serial port and check it, every word.",
    "reproduce": "Every published figure that a model can produce, beside the computed one.",
    "energy": "Energy of models at 7 nm, beside the published figures.",
    "bench": "Cells, clock and speed of the generated hardware beside others, in the same tools.",
    "model": "What a checkpoint is made of; conversion between its formats and the accelerator's image.",
    "models": "Shapes of models with their sources; one model's parameters, memory and speed.",
}


class _Lazy(click.Group):
    """A group whose commands are imported by name when they are needed."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        command = import_module(f"tritforge.cli.{cmd_name}").command
        assert isinstance(command, click.Command)  # noqa: S101
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(version("tritforge"), prog_name="tritforge")
def cli() -> None:
    """Generate, verify and weigh MAC-free accelerators for ternary language models.

    Exit status: 0 done and equal, 1 a comparison failed, 2 bad input, 3 a missing tool, 130 interrupted.
    """


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and leave with its exit status."""
    for stream in (sys.stdout, sys.stderr):
        # A terminal that has no sign for a letter or a unit gets its number.
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        status = cli.main(arguments, prog_name="tritforge", standalone_mode=False)
        sys.stdout.flush()
    except click.exceptions.Exit as leave:
        status = leave.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        status = error.exit_code
    except click.ClickException as error:
        context = getattr(error, "ctx", None)
        command = context.command_path if context is not None else "tritforge"
        # A missing choice is explained in several lines.
        message = " ".join(error.format_message().split())
        click.echo(f"tritforge: {message} See {command} --help.", err=True)
        status = error.exit_code
    except InputError as error:
        click.echo(f"tritforge: {error}", err=True)
        status = 2
    except OSError as error:
        # Commands name what is wrong with their own files; this is a disk without room, or a path that has no answer.
        where = f": {error.filename}" if error.filename else ""
        cure = "make room" if error.errno in {ENOSPC, EDQUOT} else "choose another path"
        if error.errno != EPIPE:
            click.echo(f"tritforge: {error.strerror or error}{where}; {cure}", err=True)
        _leave_unwritten()
        status = 2
    except MissingToolError as error:
        click.echo(f"tritforge: {error}", err=True)
        status = 3
    except (BoardError, SimulationError, VerificationError) as error:
        click.echo(f"tritforge: {error}", err=True)
        status = 1
    except (click.Abort, KeyboardInterrupt):
        click.echo("tritforge: interrupted", err=True)
        status = 130
    sys.exit(status if isinstance(status, int) else 0)


def _leave_unwritten() -> None:
    """Let go of output that cannot be written, which Python would try again to write when it ends."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
