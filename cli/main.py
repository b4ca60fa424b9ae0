"""Entry point of the `tritforge` command; each sub-command lives in a module of its own name.

A sub-command's module is imported when the command runs or asks for its own help, so that
``tritforge --help`` starts as fast as Python does.
"""

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from io import TextIOWrapper

import click

from tritforge.cli.common import examples
from tritforge.cli.ending import ENDINGS, explain
from tritforge.cli.signals import PIPE_CLOSED, signals_raised
from tritforge.cli.version import version_option

#: Through which a shell asks what could be typed next; the name that the scripts of `tritforge completion` set.
COMPLETE_VARIABLE = "_TRITFORGE_COMPLETE"
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
    "report": "One page about a model on an accelerator: diagram, area, cycles, energy, what was checked.",
    "explore": "Which accelerator for a model, a memory and a budget: a sweep, its front, a recommendation.",
    "bench": "Cells, clock and speed of the generated hardware beside others, in the same tools.",
    "model": "What a checkpoint is made of; conversion between its formats and the accelerator's image.",
    "models": "Shapes of models with their sources; one model's parameters, memory and speed.",
    "completion": "Print the script with which a shell completes commands, options and names.",
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


@click.group(
    cls=_Lazy,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=examples(
        "tritforge demo --output build/demo",
        "tritforge verilog --config tiny -o build/core.v",
        "tritforge cosim --model austen --layer 0 --tokens 16",
        "tritforge energy --model bitnet-b1.58-2B-4T",
    ),
)
@version_option
def cli() -> None:
    """Generate, verify and weigh accelerators without multipliers for ternary language models.

    Exit status: 0 done and equal, 1 a comparison or a check failed, 2 bad input, 3 a missing tool, 130 interrupted,
    141 the reader of the output left, 143 terminated. Errors are one line on standard error.
    """


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and leave with its exit status."""
    for stream in (sys.stdout, sys.stderr):
        # A terminal that has no sign for a letter or a unit gets its number.
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    status: object
    try:
        with signals_raised():
            status = _run(sys.argv[1:] if arguments is None else arguments)
            sys.stdout.flush()
    except ENDINGS as error:
        status = explain(error)
    except SystemExit as leave:
        if not isinstance(leave.__context__, BrokenPipeError):
            raise
        # Rich leaves so when nobody reads the output any more.
        status = PIPE_CLOSED
    sys.exit(int(status) if isinstance(status, int) else 0)


def _run(arguments: Sequence[str]) -> object:
    """Run a command, or answer a shell that completes one; return what the command returns, its exit status.

    Click's own `main` would do so too, but turns a reader that leaves into a status like that of a failed check.
    """
    if instruction := os.environ.get(COMPLETE_VARIABLE):
        from click.shell_completion import shell_complete

        return shell_complete(cli, {}, "tritforge", COMPLETE_VARIABLE, instruction)
    with cli.make_context("tritforge", list(arguments)) as context:
        return cli.invoke(context)
