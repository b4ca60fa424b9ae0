"""`tritforge cosim --seeds` and `--scheduler`: many seeds, or one layer's matrices, as pieces of work."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from tritforge.accel.errors import InputError
from tritforge.cli.common import progress
from tritforge.cli.workers import open_executor

#: Most seeds of one run.
SEEDS_MAX = 100_000
#: Most digits of a seed.
SEED_DIGITS = 18


def parse_seeds(text: str) -> tuple[int, ...]:
    """Read numbers and ranges, separated by commas: ``0-99`` or ``1,5,7-9``.

    Raises
    ------
    InputError
        Anything else, or more than `SEEDS_MAX`.
    """
    found: set[int] = set()
    for part in text.split(","):
        first, dash, last = (word.strip() for word in part.partition("-"))
        ends = (first, last) if dash else (first, first)
        read = [int(end) for end in ends if end.isdecimal() and len(end) <= SEED_DIGITS]
        if len(read) < 2 or read[1] < read[0]:
            raise InputError(
                f"seeds is {text!r}; numbers of at most {SEED_DIGITS} digits and ranges, such as 0-99 or 1,5,7-9, "
                "are needed"
            )
        seeds = range(read[0], read[1] + 1)
        if len(seeds) <= SEEDS_MAX:
            found.update(seeds)
        if max(len(seeds), len(found)) > SEEDS_MAX:
            raise InputError(f"seeds is {text!r}; {SEEDS_MAX:,} at most fit into one run")
    return tuple(sorted(found))


def run_seeds(
    task: Any,
    config: Any,
    seeds: Sequence[int],
    *,
    jobs: int | None,
    scheduler: str | None,
    cache: Path | None,
    gate_level: bool,
    tools: Sequence[str],
) -> dict[str, Any]:
    """Run a `tritforge.sim.cosim.CosimTask` with each seed, and sum up.

    Returns
    -------
    dict
        What the runs have in common, ``seeds, words_compared, cycles, failed`` (seeds), ``runs`` (of each seed) and
        ``ok``.
    """
    from tritforge.sim.regression import cosimulate_seeds

    if jobs is not None:
        jobs = min(jobs, len(seeds))
    with progress(len(seeds)) as step, open_executor(jobs, scheduler, packages=tools) as executor:
        step(f"simulating {len(seeds):,} seed{'s' * (len(seeds) > 1)}", 0)

        def done(run: dict[str, Any]) -> None:
            if not run["ok"]:
                step(f"seed {run['seed']} failed", 0)
            step(f"seed {run['seed']}", 1)

        runs = cosimulate_seeds(
            task, config, seeds, executor=executor, cache=cache, gate_level=gate_level, on_done=done
        )
    common = ("model", "operands", "zero_share", "layer", "tokens", "config", "gate_level", "verilog_sha256")
    own = ("seed", "matrices", "first_mismatch", "simulation_seconds", "timed_out", "ok")
    matrices = [matrix for run in runs for matrix in run["matrices"]]
    return {
        **{name: runs[0][name] for name in common},
        "seeds": list(seeds),
        "words_compared": sum(matrix["words_compared"] for matrix in matrices),
        "cycles": sum(matrix["cycles"] for matrix in matrices),
        "failed": [run["seed"] for run in runs if not run["ok"]],
        "runs": [{name: run[name] for name in own} for run in runs],
        "ok": all(run["ok"] for run in runs),
    }


def run_matrices(
    task: Any, config: Any, *, scheduler: str, cache: Path | None, gate_level: bool, tools: Sequence[str]
) -> dict[str, Any]:
    """Run a task's matrices on a cluster; returns what `tritforge.sim.cosim.cosimulate` returns."""
    from tritforge.cli.progress import share_done
    from tritforge.sim.regression import cosimulate_matrices

    with share_done() as report, open_executor(None, scheduler, packages=tools) as executor:
        report("simulating", 0, 1)
        return cosimulate_matrices(
            task,
            config,
            executor=executor,
            cache=cache,
            gate_level=gate_level,
            on_done=lambda done, count: report("simulating", done, count),
        )


def seed_table(runs: Sequence[dict[str, Any]]) -> Any:
    """Return a table of the seeds' figures for the terminal."""
    from tritforge.cli.tables import new_table

    table = new_table(
        "seed", "verdict", numbers=("words", "differ", "cycles", "predicted"), title="seeds on the RTL"
    )
    for run in runs:
        sums = {
            name: sum(matrix[name] for matrix in run["matrices"])
            for name in ("words_compared", "mismatches", "cycles", "predicted_cycles")
        }
        table.add_row(
            str(run["seed"]), "equal" if run["ok"] else "FAILED", *(f"{value:,}" for value in sums.values())
        )
    return table


def repeat_command(seed: int) -> str:
    """Return the command that runs one seed of the command at hand alone."""
    context = click.get_current_context()
    words = context.command_path.split()
    for parameter in context.command.params:
        name = str(parameter.name)
        given = context.get_parameter_source(name) is ParameterSource.COMMANDLINE
        if not given or name in {"seeds", "jobs", "scheduler", "json_path"}:
            continue
        value = context.params[name]
        if value is True:
            words.append(parameter.opts[0])
            continue
        for one in value if isinstance(value, tuple) else (value,):
            words += [parameter.opts[0], str(one)]
    return shlex.join([*words, "--seed", str(seed)])
