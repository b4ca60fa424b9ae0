"""Energies: single cells and small netlists by hand, and sums that physics demands."""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np
import pytest
from gate_cells import CELLS, A, B, C, join, netlist, random_module

from tritforge.accel.errors import InputError
from tritforge.rtl.gates.netlist import GateNetlist, WireLoad
from tritforge.rtl.gates.power import Energy, OperatingPoint, PowerReport, estimate_power, switching_energy
from tritforge.rtl.gates.simulation import Run, Stimulus, pack, simulate

Cells: TypeAlias = Mapping[str, tuple[str, Mapping[str, int | str]]]

NO_WIRE = WireLoad(base_fF=0, per_sink_fF=0)


def _point(
    design: GateNetlist,
    *,
    wire_load: WireLoad = NO_WIRE,
    slew: float = 10.0,
    voltage: float = 1.0,
    period_ps: float = 1000.0,
) -> OperatingPoint:
    return OperatingPoint(
        voltage=voltage,
        period_ps=period_ps,
        loads=design.loads(wire_load),
        slews=np.full((design.size, 2), slew),
    )


def _run(design: GateNetlist, x: list[list[int]]) -> Run:
    """Simulate 64 equal streams."""
    return simulate(design, Stimulus(ports={"x": pack(np.repeat(np.array(x)[:, :, np.newaxis], 64, axis=2))}))


def _report(
    cells: Cells, x: list[list[int]], *, voltage: float = 1.0, period_ps: float = 1000.0
) -> PowerReport:
    ports = {"x": list(range(3, 3 + len(x[0])))}
    clocked = any(kind == "DFF" for kind, _ in cells.values())
    design = netlist({"clk": [2], **ports} if clocked else ports, {}, cells)
    return estimate_power(
        design, _run(design, x).activity, _point(design, voltage=voltage, period_ps=period_ps)
    )


def _femtojoules(value: float) -> Any:
    return pytest.approx(value * 1e-15, rel=1e-12)


def test_an_inverter_by_hand() -> None:
    """Input 1, 0 from 0: it falls and rises; tables 0.5 + 0.5 and -0.25 + 0.75; nothing loads it."""
    report = _report({"i": ("INV", {"A": 3, "Y": 4})}, [[1], [0]])
    assert report.energy.internal == _femtojoules((0.5 + 1.0) / 2)
    assert report.energy.switching == report.ports.switching == _femtojoules(0.5 * 1.0)
    # States 10 and 20 nW; that of the last cycle counts, with the input at 0, for 1 ns.
    assert report.energy.leakage == _femtojoules(20e-9 * 1e-9 / 1e-15)
    assert report.energy.clock == report.energy.glitch == 0
    assert report.delays == "zero"


def test_a_table_is_read_at_the_transition_time_of_the_input_and_the_load_of_the_output() -> None:
    """A NAND with B at 1 drives an inverter: Y rises with 3 + 10 / 10 + 2 * load, load = 1 fF + wire."""
    cells: Cells = {"g": ("NAND", {"A": 3, "B": "1", "Y": 4}), "i": ("INV", {"A": 4, "Y": 5})}
    design = netlist({"x": [3]}, {}, cells)
    run = _run(design, [[1], [0]])
    wire = WireLoad(base_fF=0.5, per_sink_fF=0.25)
    report = estimate_power(design, run.activity, _point(design, wire_load=wire, slew=20.0))
    assert report.cells["NAND"].internal[0] == _femtojoules((1 + 3 + 20 / 10 + 2 * 1.75) / 2)
    assert report.cells["NAND"].switching[0] == _femtojoules(1.75 / 2)
    assert report.cells["INV"].switching[0] == 0


def test_inputs_that_change_at_once_share_the_transition() -> None:
    """A and B rise: Y falls with 1 fJ for A and 2 fJ for B; they fall: Y rises with 4 and 5."""
    report = _report({"g": ("NAND", {"A": 3, "B": 4, "Y": 5})}, [[1, 1], [0, 0]])
    assert report.energy.internal == _femtojoules(((1 + 2) / 2 + (4 + 5) / 2) / 2)


def test_an_input_without_an_effect_takes_and_gives_back() -> None:
    report = _report({"g": ("NAND", {"A": 3, "B": 4, "Y": 5})}, [[1, 0], [0, 0], [1, 0], [1, 0]])
    assert report.energy.internal == _femtojoules((0.5 - 0.25 + 0.5) / 4)


def test_the_condition_before_the_transition_chooses_the_table() -> None:
    """XOR: A rises with B = 0 (4), B rises with A = 1, so that Y falls (32), A falls with B = 1 (1)."""
    report = _report({"g": ("XOR", {"A": 3, "B": 4, "Y": 5})}, [[1, 0], [1, 1], [0, 1]])
    assert report.energy.internal == _femtojoules((4 + 32 + 1) / 3)


def test_a_transition_without_a_fitting_table_gets_the_mean() -> None:
    """MAJ with conditions that its inputs, all changing at once, do not meet."""
    maj, decides = CELLS["MAJ"], [join("xor", B, C), join("xor", A, C), join("xor", A, B)]
    powers = tuple(replace(arc, when=when) for arc, when in zip(maj.powers, decides, strict=True))
    library = {"MAJ": replace(maj, powers=powers)}
    content = {
        "ports": {"x": {"direction": "input", "bits": [3]}},
        "cells": {"g": {"type": "MAJ", "connections": {"A": [3], "B": [3], "C": [3], "Y": [4]}}},
        "netnames": {},
    }
    design = GateNetlist.from_module(content, name="top", library=library)
    report = estimate_power(design, _run(design, [[1], [0]]).activity, _point(design))
    assert report.energy.internal == _femtojoules(1.0)


def test_both_outputs_of_a_cell_are_charged() -> None:
    """A rises with B = 1: CON falls (2), SN rises (4)."""
    report = _report({"h": ("HALF", {"A": 3, "B": "1", "CON": 4, "SN": 5})}, [[1]])
    assert report.energy.internal == _femtojoules(2 + 4)


def test_a_flip_flop_by_hand() -> None:
    """The data goes 0, 1, 1, 0; QN shows 1, 1, 0, 0.

    CLK rises where QN stays: 3 + 3, and falls with D, QN = 01, 11, 10, 00: 4 + 6 + 4 + 7. QN rises (10) and falls
    (8). D rises and falls while the clock is high: 0.5 - 0.25. Its pins are 1 fF of clock and 2 fF of data.
    """
    report = _report({"r": ("DFF", {"CLK": 2, "D": 3, "QN": 4})}, [[0], [1], [1], [0]])
    assert report.energy.clock == _femtojoules((3 + 3 + 4 + 6 + 4 + 7) / 4 + 2 * 1.0 / 2)
    assert report.energy.internal == _femtojoules((10 + 8 + 0.5 - 0.25) / 4)
    assert report.energy.switching == report.ports.switching == _femtojoules(2 * 2.0 / 2 / 4)
    # In the last cycle D is 0, which no state of the library has: its default, 5 nW.
    assert report.energy.leakage == _femtojoules(5e-18 / 1e-15)


def test_energy_goes_with_the_square_of_the_voltage_and_leakage_with_the_period() -> None:
    cells: Cells = {"i": ("INV", {"A": 3, "Y": 4}), "j": ("INV", {"A": 4, "Y": 5})}
    x = [[1], [0], [1]]
    one, other = _report(cells, x).energy, _report(cells, x, voltage=0.7, period_ps=250.0).energy
    assert other.switching == pytest.approx(0.49 * one.switching, rel=1e-12)
    assert other.internal == one.internal
    assert other.leakage == pytest.approx(one.leakage / 4, rel=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_switching_is_half_of_c_v_squared_of_every_transition(seed: int) -> None:
    """Loads are eighths of a femtofarad and the voltage is half a volt, so that the sum can be taken in integers."""
    design = GateNetlist.from_module(random_module(seed, gates=70, flip_flops=8), name="top", library=CELLS)
    bits = np.random.default_rng(seed).integers(0, 2, (16, 4, 64))
    activity = simulate(design, Stimulus(ports={"x": pack(bits)})).activity
    point = _point(design, wire_load=WireLoad(base_fF=0.5, per_sink_fF=0.25), voltage=0.5)
    transitions = activity.rises + activity.falls
    quanta = sum(int(count) * int(8 * load) for count, load in zip(transitions, point.loads, strict=True))
    expected = quanta / 8 * 0.5**2 / 2 / activity.cycles * 1e-15
    assert switching_energy(activity, point).sum() == pytest.approx(expected, rel=1e-14)
    report = estimate_power(design, activity, point)
    clock_net = point.loads[design.clock] * 0.5**2 * 1e-15
    clock_inside = _internal_of_clock(design, activity)
    assert report.energy.switching + report.energy.clock == pytest.approx(expected + clock_inside, rel=1e-13)
    assert report.energy.clock == pytest.approx(clock_net + clock_inside, rel=1e-13)


def _internal_of_clock(design: GateNetlist, activity: Any) -> float:
    rise = np.array([0, 0.0, 3, 3, 0, 0, 0])
    fall = np.array([0, 6.0, 4, 4, 7, 0, 0])
    counts = activity.groups["DFF"].tables.sum(axis=2)
    return float((counts[:, 0] * rise + counts[:, 1] * fall).sum() / activity.cycles * 1e-15)


def test_parts_add_up_by_any_label() -> None:
    cells: Cells = {
        "array.row0.g": ("NAND", {"A": 3, "B": 4, "Y": 5}),
        "array.row1.g": ("NAND", {"A": 3, "B": 6, "Y": 7}),
        "array.row1.$abc$12$auto$3": ("INV", {"A": 7, "Y": 8}),
        "r": ("DFF", {"CLK": 2, "D": 5, "QN": 6}),
    }
    design = netlist({"clk": [2], "x": [3, 4]}, {}, cells)
    bits = np.random.default_rng(0).integers(0, 2, (20, 2, 64))
    activity = simulate(design, Stimulus(ports={"x": pack(bits)})).activity
    report = estimate_power(design, activity, _point(design, wire_load=WireLoad(base_fF=0, per_sink_fF=1)))
    by_row, by_block = report.by_hierarchy(depth=2), report.by_hierarchy()
    assert list(by_row) == ["array.row0", "array.row1", "ports", "top"]
    assert list(by_block) == ["array", "ports", "top"]
    by_cell = report.by(lambda cell, _: cell)
    assert list(by_cell) == ["DFF", "INV", "NAND", "ports"]
    for parts in (by_row, by_block, by_cell):
        assert sum(part.total for part in parts.values()) == pytest.approx(report.energy.total, rel=1e-12)
    assert by_cell["DFF"].total == by_row["top"].total
    assert by_row["array.row0"].internal == pytest.approx(report.cells["NAND"].internal[0], rel=1e-12)


def _delayed(delays: str, cycles: int) -> tuple[GateNetlist, Any, Any]:
    """Return an inverter's activity, and one in which its output has two transitions more a cycle."""
    design = netlist({"x": [3]}, {}, {"i": ("INV", {"A": 3, "Y": 4}), "j": ("INV", {"A": 4, "Y": 5})})
    activity = _run(design, [[1], [0]]).activity
    group = activity.groups["INV"]
    more = np.where(np.arange(design.size) == design.groups["INV"].nets["Y"][0], activity.cycles, 0)
    tables = group.tables + np.array([activity.cycles, 0])
    return (
        design,
        activity,
        replace(
            activity,
            delays=delays,
            cycles=cycles or activity.cycles,
            rises=activity.rises + more,
            falls=activity.falls + more,
            groups={"INV": replace(group, tables=tables)},
        ),
    )


def test_glitches_are_what_delays_add() -> None:
    design, settled, delayed = _delayed("inertial", 0)
    point = _point(design)
    report, without = (
        estimate_power(design, delayed, point, settled=settled),
        estimate_power(design, settled, point),
    )
    # Two transitions of 1 fF at 1 V, and an inverter's tables for both edges.
    assert report.energy.glitch == _femtojoules(2 * 0.5 + 0.5 + 1.0)
    assert report.energy.total == pytest.approx(without.energy.total + report.energy.glitch, rel=1e-12)
    for part in ("switching", "internal", "clock", "leakage"):
        assert getattr(report.energy, part) == getattr(without.energy, part)
    assert without.energy.glitch == 0
    assert report.delays == "inertial"


@pytest.mark.parametrize("cycles", [0, 64])
def test_glitches_need_the_same_cycles_without_delays(cycles: int) -> None:
    design, settled, delayed = _delayed("transport", cycles)
    message = (
        f"the activity has delays (transport, {delayed.cycles} cycles); give that of the same cycles without delays "
        "to tell glitches apart"
    )
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        estimate_power(design, delayed, _point(design), settled=settled if cycles else None)


def test_sums_of_energies_are_part_by_part() -> None:
    one = Energy(switching=1.0, internal=2.0, clock=4.0, glitch=8.0, leakage=16.0)
    both = one + one
    assert (both.switching, both.internal, both.clock, both.glitch, both.leakage) == (2, 4, 8, 16, 32)
    assert both.total == 62


def test_an_impossible_operating_point_is_refused() -> None:
    loads, slews = np.zeros(3), np.zeros((3, 2))
    with pytest.raises(InputError, match=r"^voltage is 0; it must be above 0$"):
        OperatingPoint(voltage=0, period_ps=1, loads=loads, slews=slews)
    with pytest.raises(InputError, match=r"^period_ps is -1; it must be above 0$"):
        OperatingPoint(voltage=1, period_ps=-1, loads=loads, slews=slews)
    with pytest.raises(InputError, match=re.escape("have shape (2, 2); for 3 nets it must be (3, 2)")):
        OperatingPoint(voltage=1, period_ps=1, loads=loads, slews=slews[:2])
    design = netlist({"x": [3]}, {}, {"i": ("INV", {"A": 3, "Y": 4})})
    point = OperatingPoint(voltage=1, period_ps=1, loads=loads, slews=slews)
    with pytest.raises(InputError, match=r"^there are loads of 3 nets; top has 4$"):
        estimate_power(design, _run(design, [[1]]).activity, point)
