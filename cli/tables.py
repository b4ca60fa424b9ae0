"""Tables in the terminal: one look for all commands."""

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

#: Wide enough for the tables when the output is no terminal.
_WIDTH = 110


def table_console(*, highlight: bool = True) -> Console:
    """Return a console on standard output that is wide enough for tables."""
    console = Console(highlight=highlight)
    return console if console.is_terminal else Console(width=_WIDTH, highlight=highlight)


def new_table(*text: str, numbers: tuple[str, ...] = (), title: str | None = None) -> Table:
    """Return a table without rows.

    Parameters
    ----------
    *text
        Headings of columns of text, to the left.
    numbers
        Headings of the columns of numbers behind them, to the right, which do not wrap.
    title
        Stands above the table, to the left.
    """
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    for heading in text:
        table.add_column(heading)
    for heading in numbers:
        table.add_column(heading, justify="right", no_wrap=True)
    return table
