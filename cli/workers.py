"""Where independent pieces of work run: in this process, in processes of this machine, or on a Dask cluster."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from typing import Any

import click

from tritforge.accel.errors import InputError
from tritforge.accel.parallel import SerialExecutor, local_pool

scheduler_option = click.option(
    "--scheduler",
    metavar="ADDRESS",
    help="Work on the Dask cluster of this scheduler (HOST:PORT), not on this machine.",
)


def worker_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--jobs`` and ``--scheduler`` to a command, as `open_executor` takes them."""
    jobs = click.option(
        "-j", "--jobs", type=click.IntRange(1), help="Processes side by side.  [default: processors]"
    )
    return jobs(scheduler_option(command))


def check_jobs(jobs: int | None, scheduler: str | None) -> None:
    """Refuse a number of processes beside a scheduler.

    Raises
    ------
    InputError
        Both are given.
    """
    if jobs is not None and scheduler is not None:
        raise InputError(
            f"jobs is {jobs} and scheduler is {scheduler}; a cluster has its own workers, so leave out --jobs"
        )


@contextmanager
def open_executor(
    jobs: int | None = None, scheduler: str | None = None, *, packages: Sequence[str] = ()
) -> Iterator[Executor]:
    """Yield what runs pieces of work; see `tritforge.accel.parallel.as_done`.

    Errors that the pieces raise leave the block as they are. When the block is left early, pieces that have not
    begun are cancelled, and processes of this machine are ended.

    Parameters
    ----------
    jobs
        Processes; with one, pieces run in this process. None takes as many as there are processors.
    scheduler
        Address of a Dask scheduler, or None for this machine.
    packages
        Python packages on which results depend; a cluster's workers must have this process's versions.

    Raises
    ------
    InputError
        Both are given, there is no scheduler at the address, or its workers are not the same program.
    MissingToolError
        A scheduler without Dask.
    WorkerError
        Workers ended before their work did.
    """
    check_jobs(jobs, scheduler)
    if scheduler is not None:
        from tritforge.cli.cluster import cluster_executor

        with cluster_executor(scheduler, packages=packages) as executor:
            yield executor
        return
    jobs = jobs or os.cpu_count() or 1
    if jobs == 1:
        yield SerialExecutor()
        return
    with local_pool(jobs) as executor:
        yield executor


@contextmanager
def scheduler_executor(scheduler: str | None, *, packages: Sequence[str] = ()) -> Iterator[Executor | None]:
    """Yield the executor of a cluster; None without a scheduler, for work that runs tools here by itself.

    Parameters and errors are those of `open_executor`.
    """
    if scheduler is None:
        yield None
        return
    with open_executor(None, scheduler, packages=packages) as executor:
        yield executor
