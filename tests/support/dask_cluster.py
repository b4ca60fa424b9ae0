"""A Dask cluster of two worker processes on this machine, and what kills one of them at work."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread
from typing import Any

import dask.config
from distributed import LocalCluster

#: Workers that a piece may end before it is given up; Dask itself takes three, and each costs seconds to replace.
ALLOWED_FAILURES = 1


@contextmanager
def two_workers() -> Iterator[Any]:
    """Start a scheduler, on a port that is free, and two workers, as ``dask worker`` does; yield the cluster."""
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": ALLOWED_FAILURES}),
        LocalCluster(  # type: ignore[no-untyped-call]
            n_workers=2,
            processes=True,
            threads_per_worker=1,
            dashboard_address="127.0.0.1:0",
            silence_logs=50,
        ) as cluster,
    ):
        yield cluster


@contextmanager
def one_killed(cluster: Any, *, after: int = 1) -> Iterator[list[str]]:
    """Kill, during the block, a worker that is at work once some pieces are done; yield the pieces that it had.

    Parameters
    ----------
    cluster
        Of `two_workers`.
    after
        Pieces that are to be done before.
    """
    lost: list[str] = []
    over = Event()
    thread = Thread(target=_kill, args=(cluster, after, lost, over), daemon=True)
    thread.start()
    try:
        yield lost
    finally:
        over.set()
        thread.join()


def _kill(cluster: Any, after: int, lost: list[str], over: Event) -> None:
    start = _done(cluster)
    while not over.is_set():
        for nanny in cluster.workers.values():
            # The scheduler's own view of what each worker is at.
            state = cluster.scheduler.workers.get(nanny.worker_address)
            pieces = (
                [str(task.key) for task in list(state.processing) if "run_piece" in str(task.key)]
                if state
                else []
            )
            if pieces and _done(cluster) - start >= after:
                lost += pieces
                os.kill(nanny.pid, signal.SIGKILL)
                return
        time.sleep(0.01)


def _done(cluster: Any) -> int:
    """Return how many pieces have ended on the cluster so far."""
    counts = cluster.scheduler.task_prefixes
    return sum(prefix.state_counts["memory"] for name, prefix in list(counts.items()) if name == "run_piece")
