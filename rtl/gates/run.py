"""Measures many designs side by side: in processes that have the library and the operands, or wherever pieces run."""

import warnings
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Executor
from contextlib import closing
from pathlib import Path
from typing import Any

from amaranth.hdl import UnusedElaboratable

from tritforge.accel.errors import InputError
from tritforge.accel.parallel import as_done, local_pool
from tritforge.rtl.gates.designs import GateDesign, choose
from tritforge.rtl.gates.liberty import Library, load_library
from tritforge.rtl.gates.measure import Conditions, Measurement, measure_design
from tritforge.rtl.gates.operands import ProductOperands
from tritforge.rtl.gates.remote import Parcel, measure_piece

#: Larger designs begin first, so that no process works alone at the end.
_LARGE = ("fp16-fused", "fp16-rounded", "int8-16", "ternary-64", "fp16", "ternary")


class _Worker:
    """What a process keeps between two designs."""

    library: Library
    operands: Sequence[ProductOperands]
    conditions: Conditions
    folder: Path


def _start(
    files: Sequence[Path],
    cache: Path,
    operands: Sequence[ProductOperands],
    conditions: Conditions,
    folder: Path,
) -> None:
    # Units are asked for their models where nothing is built.
    warnings.simplefilter("ignore", UnusedElaboratable)
    _Worker.library = load_library(files, cache=cache)
    _Worker.operands, _Worker.conditions, _Worker.folder = operands, conditions, folder


def _measure(name: str) -> Measurement:
    # By name, since what builds a design is a function that another process cannot be sent.
    (design,) = choose([name])
    return measure_design(
        design,
        library=_Worker.library,
        operands=_Worker.operands,
        conditions=_Worker.conditions,
        folder=_Worker.folder,
    )


def _measure_here(
    names: Sequence[str], jobs: int, start: tuple[Any, ...]
) -> Generator[Measurement, None, None]:
    """Measure designs in processes, each started with the arguments of `_start`."""
    with local_pool(jobs, _start, start) as pool:
        for _, measurement in as_done(pool, _measure, [(name,) for name in names]):
            yield measurement


def _measure_there(
    names: Sequence[str], parcel: Parcel, folder: Path, executor: Executor
) -> Generator[Measurement, None, None]:
    """Measure designs on an executor."""
    for _, piece in as_done(executor, measure_piece, [(name, parcel) for name in names]):
        yield piece.unpack(folder)


def measure_designs(
    designs: Sequence[GateDesign],
    *,
    liberty: Sequence[Path],
    operands: Sequence[ProductOperands],
    conditions: Conditions,
    folder: Path,
    jobs: int = 1,
    executor: Executor | None = None,
    step: Callable[[str, int], None] = lambda _description, _advance: None,
) -> tuple[Library, list[Measurement]]:
    """Measure designs.

    Parameters
    ----------
    designs
        Of `tritforge.rtl.gates.designs.designs`.
    liberty
        Files of one library.
    operands
        Of a model, for the activity ``real``.
    conditions
        Of the run.
    folder
        Takes the parsed library, and a folder for each design.
    jobs
        Processes.
    executor
        Runs a piece for each design instead. Netlists that are in the folder already are made again.
    step
        Called with what begins and 0, and with what has ended and 1.

    Returns
    -------
    library
        The cells.
    measurements
        In the order of the designs, wherever they were measured.

    Raises
    ------
    InputError
        No process, or a library that cannot be read.
    VerificationError, MissingToolError, SimulationError
        As `measure_design` raises them.
    """
    if jobs < 1:
        raise InputError(f"jobs is {jobs}; one process at least is needed")
    cache = folder / "library"
    library = load_library(liberty, cache=cache, on_parse=lambda name: step(f"parsing {name}", 0))
    order = sorted(
        designs, key=lambda d: next((i for i, p in enumerate(_LARGE) if d.name.startswith(p)), len(_LARGE))
    )
    step(f"measuring {len(order)} designs", 0)
    names = [design.name for design in order]
    if executor is None:
        start = (tuple(liberty), cache, tuple(operands), conditions, folder)
        measured = _measure_here(names, min(jobs, len(order)), start)
    else:
        measured = _measure_there(names, Parcel.pack(liberty, operands, conditions), folder, executor)
    found: dict[str, Measurement] = {}
    # The first failure ends the run; neither designs that have not begun nor those at work are worth the wait.
    with closing(measured):
        for measurement in measured:
            found[measurement.design] = measurement
            step(f"{len(found)} of {len(order)}: {measurement.design}", 0)
            step(measurement.design, 1)
    return library, [found[design.name] for design in designs]
