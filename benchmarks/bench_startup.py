"""How long `--help` and `--version` of every command take, beside a Python that does nothing.

Run as ``python benchmarks/bench_startup.py``. Each command is started as often as ``--rounds`` says, in turns with
bare Python (``python -c pass``), as a process of its own; a figure is the least processor time, user and system, of
its turns, which other work on the machine disturbs less than the clock on the wall. Exit status 1 when one takes more
than ten times what bare Python takes. ``--docs CHECKOUT`` keeps the figures for `docs/cli.md`.
"""

import argparse
import json
import os
import platform
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from tritforge.accel.files import write_atomically
from tritforge.cli.main import cli

#: Times bare Python's start that a command may take to explain itself.
BOUND = 10
RECORD = Path("benchmarks") / "startup.json"
_START = "import sys; from tritforge.cli.main import main; main()"
BARE = "python -c pass"


def paths(command: click.Command, words: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the words of a command and of all below it."""
    yield words
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None
            yield from paths(found, (*words, name))


def commands() -> dict[str, list[str]]:
    """Return what is started, by what is typed: bare Python first."""
    started = {BARE: [sys.executable, "-c", "pass"]}
    start = [sys.executable, "-c", _START]
    started["tritforge --version"] = [*start, "--version"]
    for words in paths(cli):
        started[" ".join(("tritforge", *words, "--help"))] = [*start, *words, "--help"]
    return started


def processor_seconds(command: Sequence[str]) -> float:
    """Run a command and return the processor time of its process.

    Raises
    ------
    SystemExit
        It failed.
    """
    silent = [(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]
    process = os.posix_spawn(command[0], command, os.environ, file_actions=silent)
    _, status, usage = os.wait4(process, 0)
    if status:
        raise SystemExit(f"{' '.join(command)} failed")
    return usage.ru_utime + usage.ru_stime


def measure(rounds: int) -> dict[str, float]:
    """Return the least processor seconds of each command."""
    started = commands()
    found = dict.fromkeys(started, float("inf"))
    for _ in range(rounds):
        for name, command in started.items():
            found[name] = min(found[name], processor_seconds(command))
    return found


def ratios(seconds: Mapping[str, float]) -> dict[str, float]:
    """Return how many times bare Python's start each command takes."""
    return {name: time / seconds[BARE] for name, time in seconds.items() if name != BARE}


def main() -> int:
    """Print the table; return the exit status."""
    parser = argparse.ArgumentParser(description="Start of every command beside bare Python.")
    parser.add_argument("--rounds", type=int, default=15, help="turns (default 15)")
    parser.add_argument("--docs", type=Path, metavar="CHECKOUT", help="keep the figures")
    options = parser.parse_args()
    if options.rounds < 1:
        parser.error(f"--rounds is {options.rounds}; 1 or more is needed")
    seconds = measure(options.rounds)
    table = Table(title="processor time of a start", title_justify="left")
    table.add_column("command", no_wrap=True)
    for heading in ("ms", "times bare Python"):
        table.add_column(heading, justify="right")
    times = ratios(seconds)
    for name, time in seconds.items():
        table.add_row(name, f"{1e3 * time:.0f}", f"{times[name]:.1f}" if name in times else "")
    Console().print(table)
    if options.docs:
        record = {
            "python": platform.python_version(),
            "rounds": options.rounds,
            "seconds": {name: round(time, 4) for name, time in seconds.items()},
        }
        write_atomically(options.docs / RECORD, json.dumps(record, indent=2) + "\n")
    late = [name for name, times_bare in times.items() if times_bare > BOUND]
    if late:
        print(f"not met: {', '.join(late)} take over {BOUND} times the start of bare Python", file=sys.stderr)
    return 1 if late else 0


if __name__ == "__main__":
    sys.exit(main())
