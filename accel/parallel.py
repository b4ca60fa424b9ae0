"""Independent pieces of work on an executor, whatever runs them: this process, its pool, or a cluster."""

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any, NoReturn, ParamSpec, TypeVar

from tritforge.accel.errors import WorkerError

#: Seconds that a process has to end a piece of work and the tools that it runs.
_UNWIND_SECONDS = 5.0

P = ParamSpec("P")
T = TypeVar("T")


class SerialExecutor(Executor):
    """Runs each piece in this process when it is submitted."""

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Run a piece to its end and return its result or its error as a future."""
        future: Future[T] = Future()
        future.set_running_or_notify_cancel()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


@contextmanager
def local_pool(
    jobs: int, initializer: Callable[..., None] | None = None, initargs: tuple[Any, ...] = ()
) -> Iterator[Executor]:
    """Yield a pool of processes of this machine that end with the block, however it ends.

    Parameters
    ----------
    jobs
        Processes.
    initializer, initargs
        Called in each before its first piece of work.

    Raises
    ------
    WorkerError
        A process ended before its work did.
    """
    others = set(multiprocessing.active_children())
    pool = _Pool(
        jobs,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_prepare,
        initargs=(initializer, initargs),
    )
    try:
        yield pool
        pool.shutdown(cancel_futures=True)
    except BrokenProcessPool as error:
        raise WorkerError(
            "a worker process ended in the middle of its work, killed or out of memory; "
            "run the command again, with fewer --jobs where memory is short"
        ) from error
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        mine = set(multiprocessing.active_children()) - others
        for process in mine:
            process.terminate()
        for process in mine:
            process.join(_UNWIND_SECONDS)
            process.kill()


class _Pool(ProcessPoolExecutor):
    """Processes that, told to leave, end the piece at hand and begin no other."""

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        return super().submit(_run, fn, args, kwargs)


class _Process:
    """State of a process of a pool."""

    #: Exit status of one that was told to leave.
    leaving: int | None = None


def _run(function: Callable[..., T], args: tuple[Any, ...], kwargs: dict[str, Any]) -> T:
    try:
        if _Process.leaving is None:
            return function(*args, **kwargs)
        raise SystemExit(_Process.leaving)
    finally:
        # The pool takes an exception of any kind for a result, and would begin the next piece.
        if _Process.leaving is not None:
            os._exit(_Process.leaving)


def _prepare(initializer: Callable[..., None] | None, initargs: tuple[Any, ...]) -> None:
    """Let an interruption, or this process's end, unwind a piece of work, so that the tools that it runs end too."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _leave)
    if initializer is not None:
        initializer(*initargs)


def _leave(number: int, _frame: object) -> NoReturn:
    # A terminal interrupts this process, and so does the one that began it: once is enough.
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, signal.SIG_IGN)
    _Process.leaving = 128 + number
    raise SystemExit(_Process.leaving)


def as_done(
    executor: Executor, function: Callable[..., T], arguments: Iterable[tuple[Any, ...]]
) -> Iterator[tuple[int, T]]:
    """Run a function once for each tuple of arguments, and yield results as they come.

    Arguments may be made one by one: what is done is yielded before the next are asked for. The first error ends the
    work; pieces that have not begun are cancelled then, and when the caller leaves the loop.

    Parameters
    ----------
    executor
        Runs the function. For processes it must be a module's own, and what it takes and returns fit for pickle.
    function
        Must give the same result when it is run again, as it is after a worker's death.
    arguments
        Of each call.

    Yields
    ------
    tuple of int and result
        The place of the arguments, and what the function returned.
    """
    places: dict[Future[T], int] = {}
    try:
        for place, given in enumerate(arguments):
            future = executor.submit(function, *given)
            places[future] = place
            for done in [one for one in places if one.done()]:
                result = done.result()
                yield places.pop(done), result
        for done in as_completed(list(places)):
            result = done.result()
            yield places.pop(done), result
    finally:
        for future in places:
            future.cancel()
