"""What the sub-commands share."""

import json
import platform
import sys
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click

from tritforge.accel.errors import InputError
from tritforge.accel.files import write_atomically

json_option = click.option(
    "--json",
    "json_path",
    type=click.Path(path_type=Path, allow_dash=True),
    metavar="FILE",
    help="Write the result as JSON; - writes it to standard output.",
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


def parse_settings(settings: tuple[str, ...]) -> dict[str, Any]:
    """Read ``name=value`` pairs; a value is a number where it reads as one.

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
        values[name] = int(value) if value.lstrip("-").isdigit() else value
    return values
