"""What the sub-commands share."""

import json
import platform
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from tritforge.accel.errors import InputError
from tritforge.accel.files import write_atomically
from tritforge.cli.completers import complete_config

json_option = click.option(
    "--json",
    "json_path",
    type=click.Path(path_type=Path, allow_dash=True),
    metavar="FILE",
    help="Write the result as JSON; - writes it to standard output.",
)

config_option = click.option(
    "--config",
    "config_name",
    default="default",
    show_default=True,
    shell_complete=complete_config,
    help="A preset (tritforge verilog --help lists them) or a TOML file.",
)
settings_option = click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="NAME=VALUE",
    help="Replace a parameter of the configuration, such as lanes=16; repeatable.",
)
cache_option = click.option(
    "--cache",
    type=click.Path(path_type=Path),
    default=Path("build/simulators"),
    show_default=True,
    help="Folder of compiled simulators.",
)
port_option = click.option(
    "--port",
    metavar="PORT",
    help="A board's serial port (/dev/ttyUSB0, COM3, socket://host:7000), or simulation.",
)
baud_option = click.option(
    "--baud",
    type=int,
    metavar="RATE",
    help="Symbols a second of the port.  [default: those of the known boards in turn]",
)


def write_json(path: Path, document: Mapping[str, Any], *, tools: tuple[str, ...] = ()) -> None:
    """Write a result with the versions that made it.

    Parameters
    ----------
    path
        A file, or ``-`` for standard output.
    document
        The result; must hold the key ``ok``.
    tools
        Python packages whose versions belong to the result.
    """
    head = {
        "tritforge": version("tritforge"),
        "tools": {"python": platform.python_version()} | {tool: version(tool) for tool in tools},
    }
    text = json.dumps({**head, **document}, indent=2) + "\n"
    if str(path) == "-":
        sys.stdout.write(text)
    else:
        write_atomically(path, text)


@contextmanager
def progress(total: int) -> Iterator[Callable[[str, int], None]]:
    """Show how far long work is, on standard error: a bar in a terminal, a line for each phase elsewhere.

    Parameters
    ----------
    total
        Number of steps.

    Yields
    ------
    callable
        ``step(description, advance)``: what is done now, and how many steps more are done.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    if not console.is_terminal:

        def say(description: str, advance: int) -> None:
            if not advance:
                click.echo(description, err=True)

        yield say
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("checking the input", total=total)
        yield lambda description, advance: bar.update(task, description=description, advance=advance)


def examples(*lines: str) -> str:
    """Return the end of a command's help: examples, a line each, that are not to be wrapped."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)


def config_was_given() -> bool:
    """Whether the command line names a configuration, or changes one."""
    source = click.get_current_context().get_parameter_source
    return any(source(name) not in {None, ParameterSource.DEFAULT} for name in ("config_name", "settings"))


def parse_settings(settings: tuple[str, ...]) -> dict[str, Any]:
    """Read ``name=value`` pairs; a value is a number, or true or false, where it reads as one.

    Raises
    ------
    InputError
        A pair without ``=``.
    """
    values: dict[str, Any] = {}
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not equals:
            raise InputError(f"setting is {setting!r}; NAME=VALUE is needed")
        words: dict[str, Any] = {"true": True, "false": False}
        values[name] = int(value) if value.lstrip("-").isdigit() else words.get(value, value)
    return values
