"""Netlists in arrays."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gate_cells import CELLS, DFF, module, netlist, pin, random_module

from tritforge.accel.errors import InputError
from tritforge.rtl.gates.netlist import ONE, ZERO, GateNetlist, WireLoad

#: Two gates in a row behind a flip-flop, which feeds itself through them.
CHAIN: dict[str, Any] = {
    "inputs": {"clk": [2], "x": [3, 4]},
    "outputs": {"y": [6]},
    "cells": {
        "u.late": ("NAND", {"A": 5, "B": 3, "Y": 6}),
        "u.early": ("XOR", {"A": 4, "B": 7, "Y": 5}),
        "r": ("DFF", {"CLK": 2, "D": 6, "QN": 7}),
    },
}


def test_instances_of_a_cell_are_arrays() -> None:
    design = netlist(**CHAIN)
    (x0, x1), (y,) = design.inputs["x"], design.outputs["y"]
    nand, xor, register = design.groups["NAND"], design.groups["XOR"], design.groups["DFF"]
    assert nand.names == ("u.late",)
    assert nand.nets["B"] == [x0]
    assert nand.nets["Y"] == [y]
    assert xor.nets["A"] == [x1]
    assert xor.nets["B"] == register.nets["QN"]
    assert xor.level == [0]
    assert nand.level == [1]
    assert design.clock == design.inputs["clk"][0]
    assert design.cells == {"DFF": 1, "NAND": 1, "XOR": 1}
    assert design.area_um2 == 3
    assert [group.cell.name for group, _ in design.schedule] == ["XOR", "NAND"]
    assert design.flip_flops == (register,)


def test_a_load_is_the_pins_that_read_a_net_and_its_wire() -> None:
    design = netlist(**CHAIN)
    loads = design.loads(WireLoad(base_fF=0.5, per_sink_fF=0.25))
    (register,), (nand,), (clock,) = (
        design.groups["DFF"].nets["QN"],
        design.groups["NAND"].nets["Y"],
        design.inputs["clk"],
    )
    assert loads[register] == 0.75 + 2
    assert loads[nand] == 0.75 + 2
    assert loads[clock] == 0.75 + 1
    assert loads[design.inputs["x"]].tolist() == [0.75 + 2, 0.75 + 2]
    assert design.fan_out.tolist().count(1) == 6


def test_a_net_that_no_pin_reads_has_no_load_and_a_name() -> None:
    design = netlist({"x": [2]}, {"y": [3]}, {"h": ("HALF", {"A": 2, "B": 2, "SN": 3})})
    (net,) = design.groups["HALF"].nets["CON"]
    assert design.net_names[net] == "h.CON"
    assert design.loads(WireLoad(base_fF=1, per_sink_fF=1))[net] == 0
    assert design.loads(WireLoad(base_fF=1, per_sink_fF=1))[design.inputs["x"]] == 1 + 2 + 4
    assert design.clock is None


def test_constants_and_undefined_bits_are_the_first_two_nets() -> None:
    design = netlist(
        {"x": [2]},
        {"y": [3, 4]},
        {"m": ("MAJ", {"A": 2, "B": "1", "C": "x", "Y": 3}), "t": ("TIE", {"Y": 4})},
    )
    assert design.groups["MAJ"].nets["B"] == [ONE]
    assert design.groups["MAJ"].nets["C"] == [ZERO]
    assert design.groups["TIE"].level == [0]


@pytest.mark.parametrize("seed", range(3))
def test_every_instance_is_behind_what_it_reads(seed: int) -> None:
    design = GateNetlist.from_module(random_module(seed, gates=80, flip_flops=5), name="top", library=CELLS)
    ready = {ZERO, ONE, *(int(net) for nets in design.inputs.values() for net in nets)}
    ready |= {int(net) for group in design.flip_flops for net in group.nets["QN"]}
    done = 0
    for group, places in design.schedule:
        for key in group.cell.inputs:
            assert set(group.nets[key][places].tolist()) <= ready
        for key in group.cell.outputs:
            ready |= set(group.nets[key][places].tolist())
        done += places.size
    assert done == 80


def test_a_file_gives_what_the_module_gives(tmp_path: Path) -> None:
    content = random_module(7, gates=30, flip_flops=3)
    path = tmp_path / "netlist.json"
    path.write_text(json.dumps({"modules": {"top": content}}))
    read = GateNetlist.read(path, top="top", library=CELLS)
    direct = GateNetlist.from_module(content, name="top", library=CELLS)
    assert read.net_names == direct.net_names
    assert all(
        np.array_equal(read.groups[kind].nets[key], nets)
        for kind in read.groups
        for key, nets in direct.groups[kind].nets.items()
    )
    with pytest.raises(
        InputError, match=re.escape(f"{path} has no module 'core', only top; choose one of them")
    ):
        GateNetlist.read(path, top="core", library=CELLS)
    path.write_text("[]")
    with pytest.raises(InputError, match=re.escape(f"{path} is not a netlist of Yosys (")):
        GateNetlist.read(path, top="top", library=CELLS)


def test_a_negative_wire_load_is_refused() -> None:
    message = "per_sink_fF of the wire load is -0.1; it must be 0 or more"
    with pytest.raises(InputError, match=re.escape(message)):
        WireLoad(base_fF=0, per_sink_fF=-0.1)


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "an unknown cell": (
        {"g": ("ROM", {"Y": 5})},
        "top has 1 cells ROM, which the library lacks; map the whole design to the library, or add its file",
    ),
    "an open input": (
        {"g": ("NAND", {"A": 3, "Y": 5})},
        "pin B of g (NAND) is open; connect every input",
    ),
    "a loop": (
        {"g": ("NAND", {"A": 3, "B": 6, "Y": 5}), "h": ("INV", {"A": 5, "Y": 6})},
        "depends on itself; remove the loop",
    ),
    "an undriven net": (
        {"g": ("INV", {"A": 9, "Y": 5})},
        "net 9 of top, which g reads, has no driver; connect it",
    ),
    "two drivers": (
        {"g": ("INV", {"A": 3, "Y": 5}), "h": ("INV", {"A": 4, "Y": 5})},
        "net 5 of top has several drivers; one must drive it",
    ),
    "a driven port": (
        {"g": ("INV", {"A": 3, "Y": 4})},
        "net x[1] of top has several drivers; one must drive it",
    ),
    "two clocks": (
        {"r": ("DFF", {"CLK": 2, "D": 3, "QN": 5}), "s": ("DFF", {"CLK": 3, "D": 3, "QN": 6})},
        "top has 2 clocks (clk, x[0]); one net must clock all flip-flops",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_design_that_cannot_be_simulated_is_refused(name: str) -> None:
    cells, message = WRONG[name]
    with pytest.raises(InputError, match=re.escape(message)):
        netlist({"clk": [2], "x": [3, 4]}, {}, cells)


@pytest.mark.parametrize("change", [{"rising": False}, {"clear": pin("D")}, {"preset": pin("D")}, None])
def test_what_stores_at_another_edge_or_without_one_is_refused(change: dict[str, Any] | None) -> None:
    assert DFF.flip_flop is not None
    flip_flop = None if change is None else replace(DFF.flip_flop, **change)
    message = "top has cells DFF, which store but are no flip-flops with a rising clock alone; map registers to those"
    content = module({"clk": [2], "x": [3]}, {}, {"r": ("DFF", {"CLK": 2, "D": 3, "QN": 4})})
    with pytest.raises(InputError, match=re.escape(message)):
        GateNetlist.from_module(content, name="top", library={"DFF": replace(DFF, flip_flop=flip_flop)})
