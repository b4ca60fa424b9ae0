"""Adders of a library and the phases of what inverts."""

from collections import Counter
from typing import Any

import pytest
from tiny_liberty import tiny_liberty

from tritforge.rtl.gates.adders import FULL, HALF, AdderCell, find_adder, simplify_adders
from tritforge.rtl.gates.liberty import Library, load_library
from tritforge.rtl.gates.mapping import smallest_flip_flop
from tritforge.rtl.gates.phases import FLIP_FLOP, bind, bound_adder, bound_flip_flop
from tritforge.rtl.gates.yosys_module import YosysModule


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Library:
    return load_library([tiny_liberty(tmp_path_factory.mktemp("library"))])


def module(cells: dict[str, Any], inputs: list[int], outputs: list[int]) -> YosysModule:
    """Return a module of adders (A, B, C, X, Y) and registers (clock 2, D, Q)."""
    pins = {FULL: "ABCXY", FLIP_FLOP: "CDQ"}
    return YosysModule(
        {
            "ports": {
                "i": {"direction": "input", "bits": [2, *inputs]},
                "o": {"direction": "output", "bits": outputs},
            },
            "netnames": {},
            "cells": {
                name: {
                    "type": kind,
                    "attributes": {},
                    "parameters": {},
                    "port_directions": {pin: "output" if pin in "XYQ" else "input" for pin in pins[kind]},
                    "connections": {pin: [bit] for pin, bit in zip(pins[kind], bits, strict=True)},
                }
                for name, (kind, bits) in cells.items()
            },
        }
    )


def kinds(edited: YosysModule) -> Counter[str]:
    return Counter(cell["type"] for cell in edited.cells.values())


def test_adders_are_found_by_what_they_compute(library: Library) -> None:
    assert find_adder(library, 3) == AdderCell(
        cell="FA", inputs=("A", "B", "C"), sum="SN", carry="CON", sum_inverted=True, carry_inverted=True
    )
    half = find_adder(library, 2)
    assert half is not None
    assert half.cell == "HA"


def test_a_library_without_adders_has_none(library: Library) -> None:
    gates = {name: cell for name, cell in library.cells.items() if name not in {"FA", "HA"}}
    bare = Library(**{**vars(library), "cells": gates})
    assert find_adder(bare, 3) is None
    assert find_adder(bare, 2) is None


def test_constants_leave_half_adders_and_gates() -> None:
    cells = {
        "half": (FULL, (3, "0", 4, 10, 11)),
        "up": (FULL, (3, 4, "1", 12, 13)),
        "through": (FULL, (3, "0", "x", 14, 15)),
        "after": (FULL, (4, 14, 3, 16, 17)),
    }
    edited = module(cells, [3, 4], [10, 11, 12, 13, 15, 16, 17])
    simplify_adders(edited, half=True)
    # The carry of `through` is 0, so `after` is a half adder too; its sum is its operand.
    assert kinds(edited) == {HALF: 2, "$_XNOR_": 1, "$_OR_": 1, "$_BUF_": 1}


def test_a_carry_alone_is_gates_and_a_sum_alone_stays() -> None:
    edited = module(
        {"carry": (FULL, (3, 4, 5, 10, 11)), "sum": (FULL, (3, 4, 5, 12, 13))}, [3, 4, 5], [10, 13]
    )
    simplify_adders(edited, half=True)
    assert kinds(edited) == {FULL: 1, "$_AND_": 2, "$_OR_": 2}


def chain(length: int) -> dict[str, Any]:
    """Return an adder of registered operands with a registered sum, the carry in a register as well."""
    cells: dict[str, Any] = {}
    for bit in range(length):
        a, b, carry, total = 100 + bit, 200 + bit, 300 + bit, 400 + bit
        cells[f"fa{bit}"] = (FULL, (a, b, carry, carry + 1, total))
        cells |= {f"ra{bit}": (FLIP_FLOP, (2, 500 + bit, a)), f"rb{bit}": (FLIP_FLOP, (2, 600 + bit, b))}
        cells[f"rs{bit}"] = (FLIP_FLOP, (2, total, 700 + bit))
    return cells


@pytest.mark.parametrize("length", [1, 2, 9])
def test_a_chain_between_registers_needs_no_inverter_inside(library: Library, length: int) -> None:
    free = [500 + bit for bit in range(length)] + [600 + bit for bit in range(length)]
    sums = [700 + bit for bit in range(length)]
    edited = module(chain(length), [*free, 300], sums)
    full = find_adder(library, 3)
    assert full is not None
    inverting = bound_flip_flop(smallest_flip_flop(library))
    inverters = bind(edited, {FULL: bound_adder(full), FLIP_FLOP: inverting})
    # Ports have one phase: each operand of every other bit passes an inverter, and so does every other sum.
    assert inverters <= 3 * (length + 1) // 2 + 1
    assert kinds(edited) == {"FA": length, "DFFN": 3 * length, "$_NOT_": inverters}
    carries = {cell["connections"]["CON"][0] for cell in edited.cells.values() if cell["type"] == "FA"}
    inverted = {cell["connections"]["A"][0] for cell in edited.cells.values() if cell["type"] == "$_NOT_"}
    assert not carries & inverted


def test_a_shift_register_of_inverting_flip_flops_needs_none(library: Library) -> None:
    cells = {f"r{bit}": (FLIP_FLOP, (2, 100 + bit, 101 + bit)) for bit in range(6)}
    edited = module(cells, [100], [106])
    kinds_bound = {FLIP_FLOP: bound_flip_flop(smallest_flip_flop(library))}
    assert bind(edited, kinds_bound) == 0
    odd = module({**cells, "r6": (FLIP_FLOP, (2, 106, 107))}, [100], [107])
    assert bind(odd, kinds_bound) == 1


def test_the_smallest_flip_flop_is_the_one_that_inverts(library: Library) -> None:
    chosen = smallest_flip_flop(library)
    bound = bound_flip_flop(chosen)
    assert (chosen.name, bound.inputs, bound.outputs) == ("DFFN", {"C": "CLK", "D": "D"}, {"Q": "QN"})
    assert bound.inverted == {"Q"}
    assert bound_flip_flop(library.cell("DFF")).inverted == frozenset()
