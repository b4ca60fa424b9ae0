"""How far long work is, with the time that is left."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click


@contextmanager
def share_done() -> Iterator[Callable[[str, int, int], None]]:
    """Show the share that is done, on standard error: a bar in a terminal, a line for each phase elsewhere.

    Yields
    ------
    callable
        ``report(phase, done, total)``: what is done now, how much of it is done and how much there is.
    """
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    if not console.is_terminal:
        said: list[str] = []

        def say(phase: str, done: int, total: int) -> None:  # noqa: ARG001  (a line has no share)
            if phase not in said:
                said.append(phase)
                click.echo(phase, err=True)

        yield say
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        tasks: dict[str, object] = {}

        def show(phase: str, done: int, total: int) -> None:
            if phase not in tasks:
                for other in bar.tasks:
                    bar.update(other.id, visible=False)
                tasks[phase] = bar.add_task(phase, total=total)
            bar.update(tasks[phase], completed=done, total=total)  # type: ignore[arg-type]

        yield show
