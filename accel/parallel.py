"""Independent pieces of work on an executor, whatever runs them: this process, its pool, or a cluster."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, as_completed
from typing import Any, ParamSpec, TypeVar

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
