"""Verilator under cocotb: builds the bench around a core once, and runs it."""

import fcntl
import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread
from types import TracebackType
from typing import Any, Self

from cocotb_tools.check_results import get_results

from tritforge.accel.errors import InputError, SimulationError
from tritforge.accel.files import write_atomically
from tritforge.rtl.tools import verilator_environment
from tritforge.rtl.verilog import GeneratedCore
from tritforge.sim.runner import LIBRARY, MAKE_OPTIONS, NOT_STARTED, BenchRunner, log_end
from tritforge.sim.scratch import Scratch
from tritforge.sim.streams import COLUMN_PLACES

BENCH = Path(__file__).with_name("bench.sv")
DRIVER = "tritforge.sim.bench_driver"
#: Environment variable through which the simulator's process finds what to do.
TASK_VARIABLE = "TRITFORGE_TASK"
#: The core's name in the bench.
CORE_NAME = "tritforge_core"


@dataclass(frozen=True, kw_only=True)
class Bench:
    """What a simulator is compiled from; the top module is `bench`, and `aclk` is its clock.

    Attributes
    ----------
    text
        Generated Verilog.
    files
        Further sources.
    parameters, defines
        Of the top module, and of all sources.
    """

    text: str
    files: tuple[Path, ...]
    parameters: Mapping[str, int] = field(default_factory=dict)
    defines: Mapping[str, int] = field(default_factory=dict)


def stream_bench(core: GeneratedCore) -> Bench:
    """Return the bench around a core, named `CORE_NAME`, whose streams come from files."""
    config = core.config
    return Bench(
        text=core.text,
        files=(*core.cell_models, BENCH),
        parameters={
            "ACT_BITS": config.act_port_bits,
            "WEIGHT_BITS": config.weight_port_bits,
            "RESULT_BITS": config.result_port_bits,
            "COLUMN_BEATS": config.column_phases,
            "COLUMN_PLACES": COLUMN_PLACES,
            "JOB_BITS": sum(port["width"] for port in core.ports if port["name"] == "s_axis_job_tdata"),
        },
        defines={
            name: 1
            for name, present in (("PARTIALS", config.partial_sums), ("COLUMNS", config.sparse))
            if present
        },
    )


def build(core: GeneratedCore, cache: Path, *, trace: bool = False) -> Path:
    """Compile the bench with a core, or find it compiled; see `compile_bench`."""
    return compile_bench(stream_bench(core), cache, trace=trace)


def compile_bench(
    bench: Bench, cache: Path, *, trace: bool = False, make_options: Sequence[str] = MAKE_OPTIONS
) -> Path:
    """Compile a bench, or find it compiled.

    Parameters
    ----------
    bench
        The sources.
    cache
        Folder that holds the compiled benches, each under the hash of all it was made from.
    trace
        Whether the simulator can write waveforms.
    make_options
        Variables of Verilator's makefile; `tritforge.sim.runner.QUICK_COMPILE` where little is simulated.

    Returns
    -------
    Path
        The build's folder.

    Raises
    ------
    InputError
        The cache cannot be written.
    MissingToolError
        Verilator, the compiler, make or perl is missing.
    SimulationError
        The compiler failed.
    """
    environment = verilator_environment()
    versions = "".join((*(version(package) for package in ("verilator", "cocotb")), *make_options))
    sources = "".join((bench.text, *(path.read_text() for path in bench.files)))
    options = f"{sorted(bench.parameters.items())}{sorted(bench.defines.items())}{trace}"
    key = sha256((sources + versions + options).encode()).hexdigest()[:20]
    folder = cache.absolute() / key
    with locked(cache.absolute() / f"{key}.lock"):
        if not (folder / "complete").exists():
            _compile(bench, folder, environment, trace=trace, make_options=make_options)
    return folder


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a lock for a block, so that processes that want the same build make it once."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a")
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}; choose another cache folder") from error
    with file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _compile(
    bench: Bench,
    folder: Path,
    environment: Mapping[str, str],
    *,
    trace: bool,
    make_options: Sequence[str],
) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    write_atomically(folder / "core.v", bench.text)
    log = folder / "build.log"
    key = sha256(
        f"{environment} {[version(package) for package in ('verilator', 'cocotb')]}".encode()
    ).hexdigest()
    library = folder.parent / f"library-{key[:12]}{'-trace' if trace else ''}"
    if library.exists():
        shutil.copytree(library, folder, dirs_exist_ok=True, copy_function=shutil.copyfile)
    try:
        BenchRunner(environment, make_options=make_options).build(
            sources=[folder / "core.v", *bench.files],
            hdl_toplevel="bench",
            parameters=bench.parameters,
            defines=bench.defines,
            build_dir=folder,
            build_args=["-O3", "--x-assign", "unique", "--x-initial", "unique"],
            waves=trace,
            timescale=("1ns", "1ns"),
            log_file=log,
            always=True,
        )
    except (RuntimeError, SystemExit) as error:
        reason = log_end(log)
        if not log.exists() or not log.stat().st_size:
            reason += f": see whether there is room left for {folder}"
        raise SimulationError(f"the simulator did not compile; {reason}") from error
    _keep_library(folder, library)
    write_atomically(folder / "complete", "")


def _keep_library(folder: Path, library: Path) -> None:
    """Keep the objects of Verilator's own sources, which are the same for all benches."""
    if library.exists():
        return
    with TemporaryDirectory(dir=library.parent) as scratch:
        fresh = Path(scratch) / "library"
        fresh.mkdir()
        for path in folder.glob(LIBRARY):
            shutil.copyfile(path, fresh / path.name)
        # Another process may have been faster.
        with suppress(OSError):
            fresh.rename(library)


class Simulation:
    """A simulator's process at work; a context manager, at whose end the process has ended and its files are gone.

    Parameters
    ----------
    folder
        Of `build`.
    entry
        ``module:function``; it is called with the hardware (`tritforge.sim.bench_driver.RtlProduct`) and
        `task`, and returns a dictionary fit for JSON. A coroutine function runs in the simulator's own thread.
    task
        What the function is to do, fit for JSON.
    config
        The core's configuration, by parameter.
    trace
        Where to write a waveform; needs a build with `trace`.
    inherited
        Open files that the process keeps.

    Attributes
    ----------
    files
        Folder in which process and bench find and leave their files.
    """

    def __init__(
        self,
        folder: Path,
        entry: str,
        task: Mapping[str, Any],
        *,
        config: Mapping[str, Any],
        trace: Path | None = None,
        inherited: Sequence[int] = (),
    ) -> None:
        self._scratch = Scratch()
        self.files = self._scratch.path
        self._entry, self._folder = entry, folder
        self.progress.touch()
        document = {"entry": entry, "task": task, "config": config, "folder": str(self.files)}
        (self.files / "task.json").write_text(json.dumps(document))
        environment = {
            **verilator_environment(),
            TASK_VARIABLE: str(self.files / "task.json"),
            "COCOTB_ANSI_OUTPUT": "0",
        }
        self._bench = BenchRunner(environment, inherited)
        # The runner waits for the process that it starts.
        self._thread = Thread(target=self._simulate, args=(folder, trace), daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    @property
    def progress(self) -> Path:
        """File of what the function reports, a line of JSON each."""
        return self.files / "progress.jsonl"

    @property
    def words_written(self) -> int:
        """Result words that the bench has written so far in the jobs at hand."""
        try:
            return (self.files / "results.bin").stat().st_size // 4
        except FileNotFoundError:
            return 0

    def wait_started(self) -> None:
        """Wait until the process has started, or cannot."""
        self._bench.started.wait()

    def wait(self, seconds: float | None = None) -> bool:
        """Wait for the process's end, for some time at most; return whether it has ended."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def stop(self) -> None:
        """End the process at once."""
        self._bench.stop()

    def close(self) -> None:
        """End the process if it has not ended, and remove its files."""
        self._bench.stop()
        self._thread.join()
        self._scratch.cleanup()

    def answer(self) -> dict[str, Any]:
        """Wait for the process's end and return what the function returned.

        Raises
        ------
        SimulationError
            The function raised, or the simulator ended early.
        """
        self.wait()
        results, answer = self.files / "results.xml", self.files / "answer.json"
        # The runner reports success when a test failed or was not found, so count.
        if not results.exists() or get_results(results) != (1, 0) or not answer.exists():
            raise self.failure()
        result = json.loads(answer.read_text())
        if not isinstance(result, dict):
            raise InputError(f"{self._entry} returned {type(result).__name__}; a dictionary is needed")
        return result

    def failure(self) -> SimulationError:
        """Return the error that says how a simulation ended that should not have."""
        log = self.files / "simulation.log"
        written = log.read_text(errors="replace") if log.exists() else ""
        # A program that cannot start, or ends without a word, was damaged after it was compiled.
        cure = f"\nif the compiled simulator is damaged, remove {self._folder}: it is compiled again"
        damaged = not written or written.startswith(NOT_STARTED)
        return SimulationError(f"the simulation failed; {log_end(log)}{cure if damaged else ''}")

    def _simulate(self, folder: Path, trace: Path | None) -> None:
        try:
            self._bench.test(
                test_module=DRIVER,
                hdl_toplevel="bench",
                hdl_toplevel_lang="verilog",
                build_dir=folder,
                test_dir=self.files,
                results_xml=str(self.files / "results.xml"),
                plusargs=[f"+dir={self.files}"],
                test_args=["--trace-file", str(trace.absolute())] if trace else [],
                waves=trace is not None,
                log_file=self.files / "simulation.log",
            )
        except (RuntimeError, SystemExit):
            pass  # what is in the files says more
        finally:
            self._bench.started.set()


def run(
    folder: Path,
    entry: str,
    task: Mapping[str, Any],
    *,
    config: Mapping[str, Any],
    trace: Path | None = None,
    on_progress: Callable[[dict[str, Any]], None] | None = None,
) -> dict[str, Any]:
    """Run a function in the simulator's process, beside the core.

    Parameters
    ----------
    folder, entry, task, config, trace
        As of `Simulation`.
    on_progress
        Called, in this process, with every dictionary that the function reports.

    Returns
    -------
    dict
        What the function returned.

    Raises
    ------
    SimulationError
        The function raised, or the simulator ended early.
    """
    with Simulation(folder, entry, task, config=config, trace=trace) as simulation:
        seen = 0
        while not simulation.wait(0.1):
            seen = _report(simulation.progress, seen, on_progress)
        _report(simulation.progress, seen, on_progress)
        return simulation.answer()


def _report(progress: Path, seen: int, on_progress: Callable[[dict[str, Any]], None] | None) -> int:
    lines = progress.read_text().split("\n")[:-1]
    if on_progress is not None:
        for line in lines[seen:]:
            on_progress(json.loads(line))
    return len(lines)
