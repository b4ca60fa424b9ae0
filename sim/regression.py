"""Co-simulation of a task with many seeds, or of its matrices, as pieces of work that run anywhere.

The operands travel to the pieces; the simulator is compiled, once for each machine, where they run.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.errors import InputError, SimulationError
from tritforge.accel.files import user_cache
from tritforge.accel.parallel import as_done
from tritforge.sim.comparison import Comparison, MatrixResult
from tritforge.sim.cosim import CosimTask, Source, document
from tritforge.sim.operands import Operands, portable
from tritforge.sim.rtl_accelerator import compile_core


@dataclass(frozen=True, kw_only=True)
class PieceResult:
    """What a piece found.

    Attributes
    ----------
    results
        Of its products, in their order; not all where words were missing.
    whole
        Whether all its products were run.
    verilog_sha256
        Of what was simulated.
    seconds
        In which products ran.
    """

    results: tuple[MatrixResult, ...]
    whole: bool
    verilog_sha256: str
    seconds: float


def run_products(
    what: str, config: AcceleratorConfig, todo: tuple[Operands, ...], cache: Path | None, gate_level: bool
) -> PieceResult:
    """Run products on a simulator of this process and compare them.

    Parameters
    ----------
    what
        Name of the piece, for an error of its simulator.
    config
        The accelerator.
    todo
        The products.
    cache
        Folder of compiled simulators; None takes that of the user here.
    gate_level
        Whether to simulate the core's netlist for ECP5.

    Raises
    ------
    SimulationError
        The simulator did not compile, or ended early.
    """
    compiled = compile_core(config, cache or user_cache("simulators"), gate_level=gate_level)
    comparison = Comparison(compiled, todo)
    try:
        results = tuple(comparison.run())
    except SimulationError as error:
        raise SimulationError(f"{what}: {error}") from error
    return PieceResult(
        results=results,
        whole=len(results) == len(todo),
        verilog_sha256=compiled.verilog_sha256,
        seconds=comparison.seconds,
    )


def cosimulate_seeds(
    task: CosimTask,
    config: AcceleratorConfig,
    seeds: Sequence[int],
    *,
    executor: Executor,
    cache: Path | None,
    gate_level: bool = False,
    on_done: Callable[[dict[str, Any]], None] = lambda _run: None,
) -> list[dict[str, Any]]:
    """Run a task with each of several seeds; a seed is a piece of work.

    All seeds are run, whatever the first ones find. A result follows from task, configuration and seed alone,
    wherever it was made.

    Parameters
    ----------
    task
        What to run; its own seed does not count.
    config
        The accelerator.
    seeds
        Place in the text, tokens or operands, one after the other.
    executor
        Runs the pieces.
    cache
        Folder of compiled simulators where they run; None takes that of the user there.
    gate_level
        Whether to simulate the core's netlist for ECP5.
    on_done
        Called with the result of each seed, in the order in which they end.

    Returns
    -------
    list of dict
        For each seed what `tritforge.sim.cosim.cosimulate` returns, in the order of the seeds.

    Raises
    ------
    InputError
        The task does not fit the model or the accelerator, or there is no seed.
    SimulationError
        A simulator did not compile, or ended early.
    """
    if not seeds:
        raise InputError("there are no seeds to run; one at least is needed")
    source = Source.open(task)
    source.check(task, config)
    tasks = [replace(task, seed=seed) for seed in seeds]
    pieces = ((f"seed {one.seed}", source.operands(one)) for one in tasks)
    found: dict[int, dict[str, Any]] = {}
    for place, piece in _run(pieces, config, executor, cache, gate_level=gate_level):
        found[place] = _document(tasks[place], source, config, [piece], gate_level=gate_level)
        on_done(found[place])
    return [found[place] for place in range(len(tasks))]


def cosimulate_matrices(
    task: CosimTask,
    config: AcceleratorConfig,
    *,
    executor: Executor,
    cache: Path | None,
    gate_level: bool = False,
    on_done: Callable[[int, int], None] = lambda _done, _all: None,
) -> dict[str, Any]:
    """Run a task; a matrix is a piece of work.

    Parameters and errors are those of `cosimulate_seeds`; `on_done` is called with the matrices that are done and
    all of them. Returns what `tritforge.sim.cosim.cosimulate` returns.
    """
    source = Source.open(task)
    source.check(task, config)
    todo = source.operands(task)
    found: dict[int, PieceResult] = {}
    pieces = ((operands.name, [operands]) for operands in todo)
    for place, piece in _run(pieces, config, executor, cache, gate_level=gate_level):
        found[place] = piece
        on_done(len(found), len(todo))
    ordered = [found[place] for place in range(len(todo))]
    return _document(task, source, config, ordered, gate_level=gate_level)


def _run(
    pieces: Iterable[tuple[str, Sequence[Operands]]],
    config: AcceleratorConfig,
    executor: Executor,
    cache: Path | None,
    *,
    gate_level: bool,
) -> Iterator[tuple[int, PieceResult]]:
    """Run named pieces and yield what each found, with its place."""
    arguments = (
        (what, config, tuple(portable(one) for one in todo), cache, gate_level) for what, todo in pieces
    )
    shas: set[str] = set()
    for place, piece in as_done(executor, run_products, arguments):
        shas.add(piece.verilog_sha256)
        if len(shas) > 1:
            raise InputError(
                f"workers generated different Verilog ({', '.join(sorted(sha[:12] for sha in shas))}); "
                "install the same versions on all machines"
            )
        yield place, piece


def _document(
    task: CosimTask,
    source: Source,
    config: AcceleratorConfig,
    pieces: Sequence[PieceResult],
    *,
    gate_level: bool,
) -> dict[str, Any]:
    """Put pieces together."""
    return document(
        task,
        source,
        config,
        [result for piece in pieces for result in piece.results],
        gate_level=gate_level,
        verilog_sha256=pieces[0].verilog_sha256,
        seconds=sum(piece.seconds for piece in pieces),
        whole=all(piece.whole for piece in pieces),
    )
