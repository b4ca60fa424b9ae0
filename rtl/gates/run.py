"""Measures many designs side by side, each process with the library and the operands of its own."""

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

from amaranth.hdl import UnusedElaboratable

from tritforge.accel.errors import InputError
from tritforge.accel.parallel import as_done, local_pool
from tritforge.rtl.gates.designs import GateDesign, choose
from tritforge.rtl.gates.liberty import Library, load_library
from tritforge.rtl.gates.measure import Conditions, Measurement, measure_design
from tritforge.rtl.gates.operands import ProductOperands

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


def measure_designs(
    designs: Sequence[GateDesign],
    *,
    liberty: Sequence[Path],
    operands: Sequence[ProductOperands],
    conditions: Conditions,
    folder: Path,
    jobs: int = 1,
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
    step
        Called with what begins and 0, and with what has ended and 1.

    Returns
    -------
    library
        The cells.
    measurements
        In the order of the designs, whatever the number of processes.

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
    found: dict[str, Measurement] = {}
    # The first failure ends the run; neither designs that have not begun nor those at work are worth the wait.
    with local_pool(
        min(jobs, len(order)), _start, (tuple(liberty), cache, tuple(operands), conditions, folder)
    ) as pool:
        for _, measurement in as_done(pool, _measure, [(design.name,) for design in order]):
            found[measurement.design] = measurement
            step(f"{len(found)} of {len(order)}: {measurement.design}", 0)
            step(measurement.design, 1)
    return library, [found[design.name] for design in designs]
