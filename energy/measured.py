"""The ``measured`` accounting: what the ``hardware`` accounting counts, at energies measured at gates.

The rows of the node `NODE` come from netlists in the ASAP7 cell library, driven with a model's own operands
(``tritforge gates``, docs/gates.md). A matrix is counted in whole products, ``ternary.mac``, ``int8.mac`` and
``fp16.mac``: a product with its part of the tree, of the accumulator's addition and of the registers around them; and
in activations, ``.act``, each held in a register that all rows of the array share. What surrounds the matrices is
counted as before, at the measured energies of FP16 and integer units. The cell library has neither memories nor long
wires: those keep the published rows of `MEMORY_NODE`, which the components of a result name.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from functools import partial
from typing import Any

from tritforge.energy import hardware
from tritforge.energy.accounting import EnergyResult, paper_energy, ratio
from tritforge.energy.baselines import ARITHMETICS
from tritforge.energy.published import figure_3
from tritforge.energy.scenario import Scenario
from tritforge.energy.technology import Technology, TechnologyRow, default_technology, row_from_record
from tritforge.models.shapes import ModelShape, find_shape

#: Node of the rows that are measured.
NODE = "asap7-measured"
#: Node of the rows that are not.
MEMORY_NODE = "7nm"

#: What the ``measured`` accounting leaves out, for whoever reads its totals.
LEFT_OUT = (
    "clock tree, clock gating, layout: wires are a capacitance for each pin that reads a net",
    "corners: typical transistors, 0.7 V, 25 degrees; leakage counts while a lane works, and not while it waits",
    "zero weights and activations: the measured operands have a model's own share, and no option changes it",
    "control, DRAM refresh, stalls: as in the hardware accounting",
    "sampling of the next token, and text to and from tokens; rotary tables and the scales of the matrices",
)


def measured_row(technology: Technology, operation: str) -> TechnologyRow:
    """Return the row of an operation: measured, or the published one of a memory or a wire.

    Raises
    ------
    InputError
        The table lacks it.
    """
    published = operation == "wire" or operation.startswith(("sram.", "dram."))
    return technology.row(MEMORY_NODE if published else NODE, operation)


def measured_energy(
    shape: ModelShape,
    scenario: Scenario | None = None,
    *,
    arithmetic: str = "ternary",
    technology: Technology | None = None,
) -> EnergyResult:
    """Energy of a model on the accelerator, or on a baseline of the same dataflow, at measured energies.

    Parameters
    ----------
    shape
        Shape of the model.
    scenario
        What runs, and on what; a prefill of 512 tokens on the default configuration unless given. Its shares of zeros
        do not count.
    arithmetic
        ``ternary``, or the baselines ``fp16`` and ``int8``.
    technology
        Table of rows; the one of the package unless given.

    Returns
    -------
    EnergyResult
        Of the whole prefill, or of one decoding step for every sequence of the batch.

    Raises
    ------
    InputError
        An arithmetic, a DRAM or an activation function that is not known, or a table without the measured rows.
    """
    scenario = scenario or Scenario()
    table = default_technology() if technology is None else technology
    return hardware.hardware_result(
        shape,
        scenario,
        arithmetic,
        hardware.count_hardware(shape, scenario, arithmetic, at_gates=True),
        accounting="measured",
        node=NODE,
        row_of=partial(measured_row, table),
    )


def technology_with(rows: Iterable[Mapping[str, str]], base: Technology | None = None) -> Technology:
    """Return a table with rows of a run of ``tritforge gates`` in the place of its own.

    Parameters
    ----------
    rows
        With the columns of a technology table, as text.
    base
        The table; that of the package unless given.

    Raises
    ------
    InputError
        A row that is wrong.
    """
    table = default_technology() if base is None else base
    found = {(row.node, row.operation): row for row in table if row.node != NODE}
    found |= {(row.node, row.operation): row for row in map(row_from_record, rows)}
    return Technology(found, name="the table of measured rows")


def figure_3_energies(technology: Technology | None = None) -> list[dict[str, Any]]:
    """Return the energies of the five sizes of arXiv 2402.17764, Figure 3, under all accountings.

    A prefill of 512 tokens; ``paper`` and ``hardware`` at 7 nm, ``measured`` at its own node.

    Returns
    -------
    list of dict
        By size and accounting: ``model``, ``accounting``, joules with bounds as ``ternary_j``, ``fp16_j`` and, but
        for ``paper``, ``int8_j``; ``ratio`` of FP16 to ternary with bounds, and ``published_ratio`` where one is.
    """
    labels = {f.shape: f.value for f in figure_3() if f.quantity == "energy_ratio"}
    rows = []
    for name, label in labels.items():
        shape = find_shape(name)
        for accounting in ("paper", "hardware", "measured"):
            results = {
                arithmetic: _energy(accounting, shape, arithmetic, technology)
                for arithmetic in ARITHMETICS
                if accounting != "paper" or arithmetic != "int8"
            }
            row: dict[str, Any] = {"model": name, "accounting": accounting}
            row |= {f"{arithmetic}_j": asdict(result.energy) for arithmetic, result in results.items()}
            row["ratio"] = asdict(ratio(results["fp16"], results["ternary"]))
            row["published_ratio"] = label if accounting == "paper" else None
            rows.append(row)
    return rows


def _energy(
    accounting: str, shape: ModelShape, arithmetic: str, technology: Technology | None
) -> EnergyResult:
    if accounting == "paper":
        return paper_energy(shape, 512, arithmetic=arithmetic, technology=technology)
    if accounting == "hardware":
        return hardware.hardware_energy(shape, arithmetic=arithmetic, technology=technology)
    return measured_energy(shape, arithmetic=arithmetic, technology=technology)
