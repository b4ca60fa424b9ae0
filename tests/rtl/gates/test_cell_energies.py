"""Internal energies of ASAP7's cells: what physics says of them, and so of how `power` reads the tables."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from asap7 import asap7_files
from numpy.typing import NDArray

from tritforge.rtl.gates.activity import PowerTable, power_tables
from tritforge.rtl.gates.cells import LibertyCell, Table2D
from tritforge.rtl.gates.liberty import Library, load_library
from tritforge.rtl.gates.netlist import GateNetlist, WireLoad
from tritforge.rtl.gates.power import OperatingPoint, estimate_power
from tritforge.rtl.gates.simulation import Stimulus, pack, simulate


@pytest.fixture(scope="module")
def library() -> Library:
    return load_library(asap7_files("SIMPLE", "INVBUF", "SEQ"))


def _events(library: Library) -> Iterator[tuple[LibertyCell, PowerTable]]:
    for cell in library.cells.values():
        for table in power_tables(cell):
            yield cell, table


def _cycle(table: PowerTable) -> NDArray[np.float64]:
    """Return the energy of both edges, summed over the supplies, at every point of the tables."""
    tables: list[Table2D] = [
        edge for arc in table.supplies for edge in (arc.rise, arc.fall) if edge is not None
    ]
    largest = max(tables, key=lambda edge: edge.values.size)
    slew, load = largest.slew[:, np.newaxis], largest.load
    energy: NDArray[np.float64] = np.sum([edge.at(slew, load) for edge in tables], axis=0)
    return energy


@pytest.mark.slow
def test_no_event_of_the_complex_gates_gives_energy_back_over_both_edges() -> None:
    library = load_library(asap7_files("AO", "OA"))
    lowest = [(float(_cycle(table).min()), cell.name, table.pin) for cell, table in _events(library)]
    assert len(lowest) > 10_000
    assert min(lowest)[0] > -1e-9, min(lowest)


def test_an_event_may_have_negative_energy_and_both_edges_of_it_have_not(library: Library) -> None:
    negative = events = 0
    for cell, table in _events(library):
        edges = [edge for arc in table.supplies for edge in (arc.rise, arc.fall) if edge is not None]
        negative += sum(int(np.any(edge.values < 0)) for edge in edges)
        events += 1
        assert _cycle(table).min() > -1e-9, (cell.name, table.pin, table.related, table.when)
    # So many that the check would see a wrong sign or a supply that is left out.
    assert negative > events / 5


def test_two_supplies_share_half_of_what_an_input_moves(library: Library) -> None:
    """Without a change at the output, what flows to both supplies is at most the charge of the pin.

    Tables that each held charge times voltage would come to twice that bound.
    """
    ratios = []
    for cell, table in _events(library):
        if cell.is_sequential or table.related is not None:
            continue
        assert {arc.supply for arc in table.supplies} == {"VDD", "VSS"}
        bound = cell.inputs[table.pin].capacitance_fF * library.voltage**2 / 2
        for edges in zip(*((arc.rise, arc.fall) for arc in table.supplies), strict=True):
            values = [float(edge.at(20.0, 0.0)) for edge in edges if edge is not None]
            if np.prod(values) < 0:
                ratios.append(sum(map(abs, values)) / bound)
    assert len(ratios) > 500
    assert 0.9 > max(ratios) > float(np.median(ratios)) > 0.5


def test_outputs_that_change_together_share_the_energy(library: Library) -> None:
    """A half adder whose both outputs change takes more than for one by what its NAND stage takes, and a NAND does.

    Were the tables of each output the whole, the difference would be a tenth of that.
    """
    half, nand = (
        next(cell for name, cell in library.cells.items() if name.startswith(start))
        for start in ("HAxp5", "NAND2xp5")
    )
    cycles = {
        (table.pin, None if table.when is None else table.when.truth(["B"])): float(_cycle(table)[2, 2])
        for table in power_tables(half)
        if table.related == "A"
    }
    both, alone = cycles["CON", None] + cycles["SN", 0b10], cycles["SN", 0b01]
    stage = next(float(_cycle(table)[2, 2]) for table in power_tables(nand) if table.related == "A")
    assert both - alone > stage > 5 * (both / 2 - alone)


def _all_gates(library: Library) -> GateNetlist:
    """Return one instance of every gate; they share the ports, as many as the largest has inputs."""
    ports = list(range(2, 7))
    cells: dict[str, Any] = {}
    for cell in library.cells.values():
        if not cell.is_sequential and cell.inputs:
            pins = dict(zip(cell.inputs, ports, strict=False))
            pins |= {pin: 10 + len(cells) * 2 + index for index, pin in enumerate(cell.outputs)}
            cells[cell.name] = {"type": cell.name, "connections": {pin: [net] for pin, net in pins.items()}}
    content = {"ports": {"x": {"direction": "input", "bits": ports}}, "cells": cells, "netnames": {}}
    return GateNetlist.from_module(content, name="top", library=library.cells)


@pytest.mark.parametrize(("slew", "load"), [(5.0, 0.4), (20.0, 2.0), (160.0, 20.0)])
def test_a_walk_that_comes_back_takes_energy_in_every_gate(
    library: Library, slew: float, load: float
) -> None:
    """One input changes at a time, in 64 walks through all states of five inputs and back to the start."""
    design = _all_gates(library)
    random = np.random.default_rng(0)
    walk = np.arange(33) % 32
    gray = (walk ^ walk >> 1)[:, np.newaxis]
    walks = [(gray >> random.permutation(5) & 1) ^ random.integers(0, 2, 5) for _ in range(64)]
    stimulus = Stimulus(ports={"x": pack(np.stack(walks, axis=2))}, warm_up=1)
    activity = simulate(design, stimulus).activity
    point = OperatingPoint(
        voltage=library.voltage,
        period_ps=1000.0,
        loads=np.full(design.size, load),
        slews=np.full((design.size, 2), slew),
    )
    report = estimate_power(design, activity, point)
    assert len(report.cells) > 80
    for name, energy in report.cells.items():
        assert energy.internal.min() > 0, name
        most = len(library.cells[name].outputs) * load * library.voltage**2 / 2 * 1e-15
        assert 0 < energy.switching.min() <= most * (1 + 1e-9), name
        nanowatts = [leakage for _, leakage in library.cells[name].leakages]
        assert min(nanowatts) <= energy.leakage.min() * 1e18 <= max(nanowatts) * (1 + 1e-9), name


def test_a_flip_flop_takes_energy_from_its_clock_in_every_cycle(library: Library) -> None:
    """Its data stays 0, or changes in every cycle; nothing loads it."""
    name = next(name for name in library.cells if name.startswith("DFFHQNx1"))
    ports = {"clk": {"direction": "input", "bits": [2]}, "x": {"direction": "input", "bits": [3]}}
    flip_flop = {"type": name, "connections": {"CLK": [2], "D": [3], "QN": [4]}}
    content = {"ports": ports, "cells": {"r": flip_flop}, "netnames": {}}
    design = GateNetlist.from_module(content, name="top", library=library.cells)
    point = OperatingPoint(
        voltage=library.voltage,
        period_ps=1000.0,
        loads=design.loads(WireLoad(base_fF=0, per_sink_fF=0)),
        slews=np.full((design.size, 2), 20.0),
    )
    energies = []
    for changes in (0, 1):
        bits = np.repeat((np.arange(12) % 2 * changes)[:, np.newaxis, np.newaxis], 64, axis=2)
        activity = simulate(design, Stimulus(ports={"x": pack(bits)}, warm_up=4)).activity
        energies.append(estimate_power(design, activity, point).energy)
    still, moving = energies
    assert still.internal == still.switching == 0
    assert moving.clock + moving.internal > still.clock > 1e-15
