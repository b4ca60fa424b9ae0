"""What the benchmarks share: where their files lie, and the checkout whose pages they keep."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from tritforge.accel.errors import InputError


def folder_option(default: str) -> Callable[[Any], Any]:
    """Return the option ``--folder`` of what a benchmark's tools leave."""
    return click.option(
        "--folder",
        type=click.Path(path_type=Path),
        default=Path(default),
        show_default=True,
        help="Sources, netlists and logs; results that are there already are taken.",
    )


def docs_option(what: str) -> Callable[[Any], Any]:
    """Return the option ``--docs`` of a checkout that keeps the figures; its help says what becomes of it."""
    return click.option(
        "--docs", type=click.Path(path_type=Path, exists=True, file_okay=False), metavar="CHECKOUT", help=what
    )


def page_of(docs: Path, page: Path) -> Path:
    """Return a page of a checkout.

    Raises
    ------
    InputError
        It is not there.
    """
    found = docs / page
    if not found.is_file():
        raise InputError(f"there is no {found}; give the folder of a checkout")
    return found
