"""Registers move into the block memories that they follow, and others stay."""

from copy import deepcopy
from typing import Any

import pytest

from tritforge.rtl.block_ram import output_ports, register_outputs

CLOCK = 2


def register(source: int, target: int, **changes: Any) -> dict[str, Any]:
    """Return a register from one net to another, without enable and reset."""
    return {
        "type": "TRELLIS_FF",
        "parameters": {"CEMUX": "1 ", "CLKMUX": "CLK", "LSRMUX": "LSR", "REGSET": "RESET"}
        | {name: value for name, value in changes.items() if name.isupper() and len(name) > 3},
        "port_directions": {"CLK": "input", "DI": "input", "LSR": "input", "CE": "input", "Q": "output"},
        "connections": {"CLK": [CLOCK], "DI": [source], "LSR": ["0"], "Q": [target]}
        | {name: value for name, value in changes.items() if isinstance(value, list)},
    }


def memory(width: int = 18) -> dict[str, Any]:
    """Return a memory of two ports, whose outputs are nets 10 and 11 of port A, 20 and 21 of port B."""
    ports = {"DOA0": [10], "DOA1": [11], "DOB0": [20], "DOB1": [21]}
    inputs = {"CLKA": [CLOCK], "CLKB": [CLOCK], "OCEA": ["0"], "OCEB": ["1"]}
    return {
        "type": "DP16KD",
        "parameters": {f"DATA_WIDTH_{side}": f"{width:032b}" for side in "AB"}
        | {f"REGMODE_{side}": "NOREG" for side in "AB"}
        | {f"CLK{side}MUX": f"CLK{side}" for side in "AB"},
        "port_directions": dict.fromkeys(ports, "output") | dict.fromkeys(inputs, "input"),
        "connections": ports | inputs,
    }


def module(**cells: dict[str, Any]) -> dict[str, Any]:
    """Return a module whose output ``q`` is every register's."""
    nets = [bit for cell in cells.values() for bit in cell["connections"].get("Q", [])]
    ports = {"clk": {"direction": "input", "bits": [CLOCK]}, "q": {"direction": "output", "bits": nets}}
    return {"cells": cells, "ports": ports}


def test_the_registers_of_a_read_port_move_and_the_other_port_stays() -> None:
    before = module(ram=memory(), one=register(20, 30), two=register(21, 31))
    after = deepcopy(before)
    assert register_outputs(after) == 2
    assert list(after["cells"]) == ["ram"]
    ram = after["cells"]["ram"]
    assert (ram["connections"]["DOB0"], ram["connections"]["DOB1"]) == ([30], [31])
    assert (ram["parameters"]["REGMODE_A"], ram["parameters"]["REGMODE_B"]) == ("NOREG", "OUTREG")
    assert ram["connections"]["DOA0"] == [10]
    assert register_outputs(after) == 0


def test_both_ports_of_one_wide_port_move_together_or_not_at_all() -> None:
    """The outputs of A are the upper half of the word that B reads."""
    half = module(
        ram=memory(36), one=register(20, 30), two=register(21, 31), three=register(10, 32, CE=[9], CEMUX="CE")
    )
    assert list(output_ports(half["cells"]["ram"])) == ["AB"]
    assert register_outputs(half) == 0
    whole = module(ram=memory(36), one=register(20, 30), two=register(21, 31), three=register(10, 32))
    assert register_outputs(whole) == 3
    ram = whole["cells"]["ram"]
    assert [ram["parameters"][f"REGMODE_{side}"] for side in "AB"] == ["OUTREG", "OUTREG"]
    assert [ram["connections"][f"OCE{side}"] for side in "AB"] == [["1"], ["1"]]


@pytest.mark.parametrize(
    "change",
    [
        {"CLK": [5]},
        {"CLKMUX": "INV"},
        {"CE": [9], "CEMUX": "CE"},
        {"LSR": [9]},
        {"REGSET": "SET"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_register_that_does_more_than_follow_keeps_its_port(change: dict[str, Any]) -> None:
    netlist = module(ram=memory(), one=register(20, 30), two=register(21, 31, **change))
    before = deepcopy(netlist)
    assert register_outputs(netlist) == 0
    assert netlist == before


def test_an_output_that_something_else_reads_as_well_keeps_its_port() -> None:
    netlist = module(ram=memory(), one=register(20, 30), two=register(20, 31))
    assert register_outputs(netlist) == 0
    netlist = module(ram=memory(), one=register(20, 30))
    netlist["ports"]["q"]["bits"].append(20)
    assert register_outputs(netlist) == 0


def test_a_clock_that_the_memory_inverts_is_another_clock() -> None:
    netlist = module(ram=memory(), one=register(20, 30))
    netlist["cells"]["ram"]["parameters"]["CLKBMUX"] = "INV"
    assert register_outputs(netlist) == 0
