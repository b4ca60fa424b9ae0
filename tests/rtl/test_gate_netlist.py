"""A netlist made fit for simulation: floating pins, marks of scopes, cells without a model."""

import json
from pathlib import Path
from typing import Any

import pytest

from tritforge.accel.errors import InputError, MissingToolError
from tritforge.accel.presets import PRESETS
from tritforge.rtl import tools
from tritforge.rtl.gate_netlist import drive_floating, gate_netlist, netlist_verilog
from tritforge.rtl.tools import yosys_share


def lut(**connections: list[int | str]) -> dict[str, Any]:
    directions = {name: "output" if name == "Z" else "input" for name in connections}
    return {
        "type": "LUT4",
        "hide_name": 0,
        "attributes": {},
        "parameters": {"INIT": f"{0xCAFE:016b}"},
        "port_directions": directions,
        "connections": connections,
    }


def module(**cells: dict[str, Any]) -> dict[str, Any]:
    ports = {"aclk": {"direction": "input", "bits": [2]}, "o": {"direction": "output", "bits": [3]}}
    names = {name: {"hide_name": 0, "bits": port["bits"], "attributes": {}} for name, port in ports.items()}
    return {
        "attributes": {},
        "ports": ports,
        "cells": cells,
        "netnames": names | {"inner": {"hide_name": 0, "bits": [4], "attributes": {}}},
    }


def test_open_inputs_share_a_net_of_their_own_and_open_outputs_get_one_each() -> None:
    top = module(
        one=lut(A=[2], B=["x"], C=["0"], D=["x"], Z=[3]),
        two=lut(A=["x"], B=[4], C=["1"], D=[2], Z=["x"]),
        mark={"type": "$scopeinfo", "connections": {}, "port_directions": {}},
    )
    assert drive_floating(top, clock="aclk") == 3
    one, two, floating = (top["cells"][name]["connections"] for name in ("one", "two", "floating"))
    (net,) = floating["value"]
    assert floating["clock"] == [2]
    assert net not in (2, 3, 4)
    assert one == {"A": [2], "B": [net], "C": ["0"], "D": [net], "Z": [3]}
    assert two["A"] == [net]
    assert two["Z"] not in ([net], ["x"])
    assert set(top["cells"]) == {"one", "two", "floating"}
    assert set(top["netnames"]) == {"aclk", "o"}


def test_a_cell_without_a_model_is_named() -> None:
    top = module(one=lut(A=[2], Z=[3]) | {"type": "MULT18X18D"})
    message = (
        r"^the netlist has cells MULT18X18D; there are simulation models of CCU2C, DP16KD, L6MUX21, LUT4, PFUMX, "
        r"TRELLIS_DPR16X4, TRELLIS_FF alone$"
    )
    with pytest.raises(InputError, match=message):
        drive_floating(top, clock="aclk")


def test_the_verilog_has_the_name_asked_for_and_its_cells_are_counted(tmp_path: Path) -> None:
    netlist = tmp_path / "clean.json"
    netlist.write_text(
        json.dumps({"modules": {"top": module(one=lut(A=[2], B=["x"], C=["0"], D=[2], Z=[3]))}})
    )
    text, cells = netlist_verilog(netlist, name="gates")
    assert cells == {"LUT4": 1}
    assert "module gates(" in text
    assert "INIT(16'hcafe)" in text
    assert text.count("tritforge_floating") == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clean.json", "clean.simulated.log"]


def test_cells_of_another_family_have_no_gate_level(tmp_path: Path) -> None:
    config = type(PRESETS["ecp5"]).from_dict({"target": "xilinx"}, base=PRESETS["ecp5"])
    message = "^target is 'xilinx'; the gate level is that of ECP5: use target ecp5 or datapath tree$"
    with pytest.raises(InputError, match=message):
        gate_netlist(config, folder=tmp_path)


def test_missing_models_are_named_with_what_installs_them(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (yosys_share() / "lattice" / "common_sim.vh").is_file()
    monkeypatch.setattr(tools, "find_spec", lambda name: None)
    message = r"^Yosys' cell models are not installed; run: pip install 'tritforge\[fpga\]'$"
    with pytest.raises(MissingToolError, match=message):
        yosys_share()
