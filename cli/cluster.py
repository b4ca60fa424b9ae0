"""Pieces of work on the workers of a Dask cluster: found, checked to be the same program, asked, and survived."""

import asyncio
import platform
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError, Executor, Future
from contextlib import contextmanager
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from threading import Lock
from typing import Any, TypeVar

import click

from tritforge.accel.errors import InputError, MissingToolError, WorkerError
from tritforge.accel.program import program_hash

T = TypeVar("T")

#: Seconds to wait for a scheduler's answer.
CONNECT_SECONDS = 10
#: Amaranth is not made for threads, nor is all that runs here: in a worker of several, pieces wait for each other.
_ONE_AT_A_TIME = Lock()


@contextmanager
def cluster_executor(address: str, *, packages: Sequence[str] = ()) -> Iterator[Executor]:
    """Connect to a Dask scheduler and yield an executor whose pieces run on its workers.

    What a worker had when it died runs again elsewhere, up to the scheduler's ``allowed-failures``. At the end, and
    on an error or an interruption, what has not begun is cancelled; what runs on a worker runs to its end there.

    Parameters
    ----------
    address
        Of the scheduler: ``HOST:PORT``, ``tcp://HOST:PORT``, or ``tls://HOST:PORT`` with Dask's own configuration of
        certificates.
    packages
        Python packages on which results depend, besides this one; workers must have this process's versions.

    Raises
    ------
    MissingToolError
        `distributed` is not installed.
    InputError
        Nobody answers at the address, or a worker is not the same program.
    WorkerError
        The scheduler went away, or a piece ended all workers that it was given to.
    """
    if find_spec("distributed") is None:
        raise MissingToolError(
            "Dask is not installed, which --scheduler needs; run: pip install 'tritforge[cluster]'"
        )
    import dask.config
    from distributed import Client, KilledWorker

    _reach(address)
    # Its methods have two types each, for two modes.
    client: Any = Client(address, timeout=CONNECT_SECONDS, set_as_default=False)  # type: ignore[no-untyped-call]
    try:
        _check(client, address, packages)
        executor = _ClusterExecutor(client, identity(tuple(packages)), tuple(packages))
        try:
            # Pieces bring all that they need, such as a library of cells: nothing to warn a user of.
            with dask.config.set({"distributed.admin.large-graph-warning-threshold": "1GiB"}):
                yield executor
        finally:
            executor.shutdown(wait=False, cancel_futures=True)
    except KilledWorker as error:
        raise WorkerError(
            f"a piece of work ended {error.allowed_failures + 1} workers of {address} one after the other, the "
            f"last at {error.last_worker.address}; their logs say why (out of memory?)"
        ) from error
    except CancelledError as error:
        raise WorkerError(
            f"the Dask scheduler at {address} went away; start it and its workers again, then this command"
        ) from error
    finally:
        client.close(timeout=CONNECT_SECONDS)


class _ClusterExecutor(Executor):
    """Submits to a client, each piece with the program that it is for.

    Parameters
    ----------
    client
        Connected.
    program
        `identity` of this process.
    packages
        Those of it.
    """

    def __init__(self, client: Any, program: Mapping[str, str], packages: tuple[str, ...]) -> None:
        self._program, self._packages = dict(program), packages
        # No retries: an error of the piece itself is final. What a worker's death took is run again without them.
        self._executor = client.get_executor(pure=False)

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """Send a piece; what it takes and returns travels by pickle."""
        future: Future[T] = self._executor.submit(run_piece, self._program, self._packages, fn, args, kwargs)
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        self._executor.shutdown(wait=wait and not cancel_futures)


def run_piece(
    program: dict[str, str],
    packages: tuple[str, ...],
    function: Callable[..., T],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> T:
    """Run a piece of work on a worker, which may have come after the others were checked."""
    difference = _difference(program, identity(packages))
    if difference:
        raise InputError(f"the Dask worker on {socket.gethostname()} has {difference}")
    with _ONE_AT_A_TIME:
        return function(*args, **kwargs)


@cache
def identity(packages: tuple[str, ...]) -> Mapping[str, str]:
    """Return what must be the same wherever pieces of a work run: versions, and a hash of this program.

    It is taken once in a process, early; see `tritforge.accel.program`.
    """
    return {
        "python": ".".join(platform.python_version_tuple()[:2]),
        **{package: version(package) for package in ("tritforge", *packages)},
        "sources": program_hash(),
    }


def _difference(mine: Mapping[str, str], theirs: Mapping[str, str | None]) -> str:
    """Say how a worker's program differs from this one; empty where it does not."""
    for name, wanted in mine.items():
        found = theirs.get(name)
        if found != wanted:
            what = "other sources of tritforge" if name == "sources" else f"{name} {found or 'not installed'}"
            here = "" if name == "sources" else f" {wanted}"
            return (
                f"{what}, this command{here or ' its own'}; install the same on all machines and "
                "start the workers again"
            )
    return ""


def _reach(address: str) -> None:
    """Refuse an address at which no scheduler listens, sooner than Dask's client does, and with the reason."""
    from distributed.comm.addressing import parse_host_port, unparse_host_port

    scheme, _, place = address.rpartition("://")
    try:
        host, port = parse_host_port(place)
    except ValueError as error:
        raise InputError(_wanted(address)) from error
    if scheme not in {"", "tcp", "tls"}:
        raise InputError(_wanted(address))
    try:
        socket.create_connection((host, port), CONNECT_SECONDS).close()
    except OSError as error:
        raise InputError(
            f"nobody answers at {unparse_host_port(host, port)} ({error.strerror or error}); start one with: "
            "dask scheduler, or give the address that it prints"
        ) from error
    kind = asyncio.run(_kind(address))
    if kind != "Scheduler":
        raise InputError(
            f"what answers at {address} is {f'a Dask {kind}' if kind else 'no Dask scheduler'}; "
            "give the address that dask scheduler prints"
        )


def _wanted(address: str) -> str:
    return (
        f"scheduler is {address!r}; HOST:PORT, tcp://HOST:PORT or tls://HOST:PORT is needed, "
        "as dask scheduler prints it"
    )


async def _kind(address: str) -> str:
    """Return what a listener calls itself in Dask's protocol; nothing where it does not speak it."""
    from distributed import rpc
    from distributed.security import Security

    security: Any = Security()  # type: ignore[no-untyped-call]
    arguments = security.get_connection_args("client")
    if address.startswith("tls://") and arguments.get("ssl_context") is None:
        raise InputError(
            f"{address} needs certificates; name them in Dask's configuration, distributed.comm.tls"
        )
    async with rpc(address, timeout=CONNECT_SECONDS, connection_args=arguments) as listener:  # type: ignore[no-untyped-call]
        try:
            answer = await asyncio.wait_for(listener.identity(), CONNECT_SECONDS)
        except (OSError, TimeoutError):
            return ""
    return str(answer["type"])


def _check(client: Any, address: str, packages: Sequence[str]) -> None:
    """Refuse workers, and a scheduler, that are not the same program; say what is slow of them."""
    mine = identity(tuple(packages))
    asked = ("tritforge", *packages)
    versions = client.get_versions(packages=asked)
    places = {"scheduler": versions["scheduler"]} | {
        f"worker at {worker}": found for worker, found in versions["workers"].items()
    }
    for place, found in places.items():
        theirs = {"python": ".".join(found["host"]["python"].split(".")[:2])}
        theirs |= {package: found["packages"].get(package) for package in asked}
        difference = _difference({name: mine[name] for name in theirs}, theirs)
        if difference:
            raise InputError(f"the Dask {place} has {difference}")
    for worker, found in client.run(identity, tuple(packages), on_error="return").items():
        # A worker that has just gone answers with an error of the connection, and gets no work.
        difference = _difference(mine, found) if isinstance(found, dict) else ""
        if difference:
            raise InputError(f"the Dask worker at {worker} has {difference}")
    threads = client.nthreads()
    if not threads:
        click.echo(f"tritforge: {address} has no workers yet; waiting for the first", err=True)
    if any(number > 1 for number in threads.values()):
        click.echo(
            f"tritforge: workers of {address} have several threads, of which one at a time is used; "
            "start them with: dask worker --nworkers -1 --nthreads 1",
            err=True,
        )
