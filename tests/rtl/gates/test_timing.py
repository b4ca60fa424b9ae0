"""Static timing against delays worked out by hand from the tiny library's formula."""

import re
from typing import Any

import numpy as np
import pytest
from tiny_liberty import PIN_FF, SETUP_PS, SLEW_SHARE, tiny_liberty

from tritforge.accel.errors import InputError
from tritforge.rtl.gates.liberty import Library, load_library
from tritforge.rtl.gates.netlist import GateNetlist, WireLoad
from tritforge.rtl.gates.timing import Surroundings, Timing, analyse

WIRE = WireLoad(base_fF=0.25, per_sink_fF=0.25)
ONE_SINK = PIN_FF + 0.5
CLOCK_SLEW, INPUT_SLEW = 20.0, 20.0


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Library:
    return load_library([tiny_liberty(tmp_path_factory.mktemp("library"))])


def build(
    library: Library, cells: dict[str, Any], inputs: dict[str, int], outputs: dict[str, int]
) -> GateNetlist:
    """Return a netlist of cells: kind and net of each pin."""
    module = {
        "ports": {
            **{name: {"direction": "input", "bits": [net]} for name, net in inputs.items()},
            **{name: {"direction": "output", "bits": [net]} for name, net in outputs.items()},
        },
        "cells": {
            name: {"type": kind, "connections": {pin: [net] for pin, net in pins.items()}}
            for name, (kind, pins) in cells.items()
        },
        "netnames": {name: {"bits": [net]} for name, net in (inputs | outputs).items()},
    }
    return GateNetlist.from_module(module, name="top", library=library.cells)


def pipeline(library: Library) -> GateNetlist:
    """Return two registers with a NAND and an inverter between them."""
    return build(
        library,
        {
            "first": ("DFFN", {"CLK": 2, "D": 3, "QN": 4}),
            "nand": ("NAND", {"A": 4, "B": 5, "Y": 6}),
            "inv": ("INV", {"A": 6, "Y": 7}),
            "last": ("DFFN", {"CLK": 2, "D": 7, "QN": 8}),
        },
        {"clk": 2, "x": 3, "enable": 5},
        {"y": 8},
    )


def run(netlist: GateNetlist, period: float = 100.0, **around: float) -> Timing:
    return analyse(netlist, period_ps=period, wire_load=WIRE, surroundings=Surroundings(**around))


def delay(intrinsic: float, slope: float, slew: float, load: float = ONE_SINK) -> float:
    return intrinsic + SLEW_SHARE * slew + slope * load


def slew_after(slope: float, slew: float, load: float = ONE_SINK) -> float:
    """Return the transition time behind a cell: the file's tables give 10 ps where they give the intrinsic delay."""
    return delay(10, slope, slew, load)


def test_a_path_from_register_to_register(library: Library) -> None:
    timing = run(pipeline(library))
    # The register rises, the NAND falls (1 ps later than it would rise), the inverter rises.
    at_nand = slew_after(2, CLOCK_SLEW)
    # The slowest transition counts, here that of the other input.
    at_inverter = slew_after(3, max(at_nand, INPUT_SLEW))
    rise = delay(25, 2, CLOCK_SLEW) + delay(9, 3, at_nand) + delay(5, 2, at_inverter)
    # The other edges: the register is 1 ps later, the inverter too.
    other = delay(26, 2, CLOCK_SLEW) + delay(8, 3, at_nand) + delay(6, 2, at_inverter)
    latest = max(rise, other)
    assert timing.slack_ps == pytest.approx(100 - SETUP_PS - latest)
    assert timing.shortest_period_ps == pytest.approx(SETUP_PS + latest)
    assert timing.met
    assert timing.endpoint == "last/D"
    assert [step.instance for step in timing.path] == ["first", "nand", "inv"]
    assert sum(step.delay_ps for step in timing.path) == pytest.approx(latest)
    assert [step.edge for step in timing.path] == ["fall", "rise", "fall"]
    assert timing.overloaded == 0


def test_arc_delays_are_those_of_each_instance(library: Library) -> None:
    delays = run(pipeline(library)).arc_delays
    slew = slew_after(2, CLOCK_SLEW)
    assert delays["NAND"]["A", "Y"][0].tolist() == pytest.approx([delay(8, 3, slew), delay(9, 3, slew)])
    assert delays["NAND"]["B", "Y"][0].tolist() == pytest.approx(
        [delay(8, 3, INPUT_SLEW), delay(9, 3, INPUT_SLEW)]
    )
    assert delays["DFFN"]["CLK", "QN"].shape == (2, 2)


def test_a_clock_that_is_too_fast_is_reported(library: Library) -> None:
    timing = run(pipeline(library), period=40.0)
    assert not timing.met
    assert timing.slack_ps == pytest.approx(40 - timing.shortest_period_ps)


def test_ports_have_the_delay_that_their_surroundings_give(library: Library) -> None:
    netlist = build(library, {"inv": ("INV", {"A": 2, "Y": 3})}, {"x": 2}, {"y": 3})
    timing = run(netlist, input_delay_ps=30, input_slew_ps=50, output_load_fF=4, output_margin_ps=3)
    assert timing.slack_ps == pytest.approx(100 - 3 - 30 - delay(6, 2, 50, 4))
    assert timing.endpoint == "y[0]"
    assert [step.cell for step in timing.path] == ["port", "INV"]


def test_a_net_that_never_changes_is_on_no_path(library: Library) -> None:
    netlist = build(
        library,
        {"held": ("INV", {"A": "1", "Y": 3}), "nand": ("NAND", {"A": 2, "B": 3, "Y": 4})},
        {"x": 2},
        {"y": 4},
    )
    timing = run(netlist)
    (held,) = netlist.groups["INV"].nets["Y"]
    assert np.all(timing.arrivals[held] == -np.inf)
    assert [step.instance for step in timing.path] == ["port", "nand"]
    assert np.all(timing.slews > 0)


def test_a_gate_of_both_senses_takes_the_later_edge(library: Library) -> None:
    netlist = build(
        library,
        {"inv": ("INV", {"A": 2, "Y": 4}), "xor": ("XOR", {"A": 4, "B": 3, "Y": 5})},
        {"x": 2, "z": 3},
        {"y": 5},
    )
    timing = run(netlist)
    late = delay(6, 2, INPUT_SLEW) + delay(13, 3, slew_after(2, INPUT_SLEW), 0)
    assert timing.slack_ps == pytest.approx(100 - late)


def test_loads_beyond_the_librarys_bound_are_counted(library: Library) -> None:
    cells: dict[str, Any] = {f"sink{place}": ("INV", {"A": 3, "Y": 10 + place}) for place in range(40)}
    netlist = build(library, {"inv": ("INV", {"A": 2, "Y": 3}), **cells}, {"x": 2}, {"y": 10})
    assert run(netlist).overloaded == 1


def test_values_out_of_bounds_are_refused(library: Library) -> None:
    with pytest.raises(InputError, match="period_ps is 0; it must be above 0"):
        run(pipeline(library), period=0)
    with pytest.raises(InputError, match=re.escape("clock_slew_ps is -1; it must be 0 or more")):
        Surroundings(clock_slew_ps=-1)
