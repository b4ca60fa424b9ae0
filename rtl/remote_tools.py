"""Tools as pieces of work: what one reads travels to where it runs, and what it writes comes back."""

import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from tritforge.accel.errors import SimulationError
from tritforge.accel.files import write_atomically
from tritforge.accel.parallel import SerialExecutor
from tritforge.rtl.synthesis import ToolRunner, find_tool, run_tool

#: Threads that wait for pieces, hence most tools of one run at the same time.
WAITING = 256

Made = tuple[dict[str, bytes], str]


class RemoteTools:
    """Runs tools on an executor; called as `tritforge.rtl.synthesis.run_tool` is, and leaves the same files.

    Parameters
    ----------
    executor
        Runs the pieces, where the same tools are installed.
    """

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self._futures: list[Future[Made]] = []

    def __call__(
        self,
        command: list[str],
        *,
        log: Path,
        inputs: Sequence[str],
        watch: Callable[[str], None] | None = None,  # noqa: ARG002  (the log comes back with the rest)
    ) -> None:
        """Run a tool somewhere, and write what it made into the folder of its log.

        Parameters
        ----------
        command
            The tool and its arguments, files by their names.
        log
            Takes what it prints.
        inputs
            Names of the files that it reads, in the folder of the log.
        watch
            Not called.

        Raises
        ------
        SimulationError
            The tool failed; the message holds the log's last lines.
        """
        name, folder = Path(command[0]).name, log.parent
        given = {name: zlib.compress((folder / name).read_bytes()) for name in inputs}
        future = self._executor.submit(run_piece, name, tuple(command[1:]), given, log.name)
        self._futures.append(future)
        made, failure = future.result()
        for file, data in made.items():
            write_atomically(folder / file, zlib.decompress(data))
        if failure:
            raise SimulationError(f"{name} failed, see {log}: {failure}")

    def cancel(self) -> None:
        """Give up what has not ended; who waits for it gets a CancelledError."""
        for future in self._futures:
            future.cancel()


@contextmanager
def waiting(executor: Executor | None) -> Iterator[tuple[Executor, ToolRunner | None]]:
    """Yield what runs functions that call tools, and what runs these tools.

    An error in the block, or an interruption, gives up what has not ended.

    Parameters
    ----------
    executor
        Runs the tools; the functions then run in threads, which wait for them. None runs functions one after the
        other in this process, and their tools here.
    """
    if executor is None:
        yield SerialExecutor(), None
        return
    remote = RemoteTools(executor)
    with ThreadPoolExecutor(WAITING) as threads:
        try:
            yield threads, remote
        except BaseException:
            threads.shutdown(wait=False, cancel_futures=True)
            remote.cancel()
            raise


def run_piece(tool: str, arguments: tuple[str, ...], inputs: dict[str, bytes], log: str) -> Made:
    """Run a tool in a folder of its own.

    Parameters
    ----------
    tool
        Its name.
    arguments
        Its arguments.
    inputs
        Files that it reads, compressed by zlib.
    log
        Name of the file that takes what it prints.

    Returns
    -------
    tuple
        The files that it made, compressed, and the end of its log where it failed.
    """
    with TemporaryDirectory(prefix="tritforge-") as scratch:
        folder, failure = Path(scratch), ""
        for name, data in inputs.items():
            (folder / name).write_bytes(zlib.decompress(data))
        try:
            run_tool([find_tool(tool, "'tritforge[fpga]'"), *arguments], log=folder / log)
        except SimulationError as error:
            failure = str(error).partition(f"{folder / log}: ")[2] or str(error)
        made = {
            path.name: zlib.compress(path.read_bytes())
            for path in sorted(folder.iterdir())
            if path.is_file() and path.name not in inputs
        }
    return made, failure
