"""A library of a few cells with round numbers, and netlists of them, for figures that are worked out by hand."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tritforge.rtl.gates.cells import (
    Expression,
    FlipFlop,
    InputPin,
    LibertyCell,
    OutputPin,
    PowerArc,
    Table2D,
)
from tritforge.rtl.gates.netlist import GateNetlist


def pin(name: str) -> Expression:
    """Return a pin."""
    return Expression(operator="pin", name=name)


def inverted(term: Expression) -> Expression:
    """Return the complement."""
    return Expression(operator="not", terms=(term,))


def join(operator: str, *terms: Expression) -> Expression:
    """Return what an operator makes of terms."""
    return Expression(operator=operator, terms=terms)


A, B, C, D = (pin(name) for name in "ABCD")
CLK, Q, Y = pin("CLK"), pin("QN"), pin("Y")


def flat(value: float) -> Table2D:
    """Return a table of one value."""
    return Table2D(slew=np.array([10.0]), load=np.array([1.0]), values=np.array([[value]]))


def rising_with_load(start: float) -> Table2D:
    """Return a table of `start` plus the slew in ps over 10 plus twice the load in fF."""
    slew, load = np.array([0.0, 100.0]), np.array([0.0, 50.0])
    return Table2D(slew=slew, load=load, values=start + slew[:, np.newaxis] / 10 + 2 * load)


def power(
    name: str,
    rise: float | Table2D | None,
    fall: float | Table2D | None,
    *,
    related: str | None = None,
    when: Expression | None = None,
    supply: str = "VDD",
) -> PowerArc:
    """Return energies in fJ; a number stands for a table of one value."""
    rise, fall = (flat(value) if isinstance(value, int | float) else value for value in (rise, fall))
    return PowerArc(pin=name, related=related, when=when, supply=supply, rise=rise, fall=fall)


def cell(
    name: str,
    inputs: Mapping[str, float],
    outputs: Mapping[str, Expression | None],
    *,
    powers: Sequence[PowerArc] = (),
    leakages: Sequence[tuple[Expression, float]] = (),
    flip_flop: FlipFlop | None = None,
) -> LibertyCell:
    """Return a cell of 1 um2 and 5 nW; `inputs` are capacitances in fF."""
    return LibertyCell(
        name=name,
        area_um2=1.0,
        leakage_nW=5.0,
        leakages=tuple(leakages),
        inputs={
            key: InputPin(rise_fF=value, fall_fF=value, is_clock=key == "CLK")
            for key, value in inputs.items()
        },
        outputs={key: OutputPin(function=function) for key, function in outputs.items()},
        flip_flop=flip_flop,
        is_sequential=flip_flop is not None,
        powers=tuple(powers),
    )


INV = cell(
    "INV",
    {"A": 1.0},
    {"Y": inverted(A)},
    powers=[power("Y", 0.5, -0.25, related="A"), power("Y", 0.5, 0.75, related="A", supply="VSS")],
    leakages=[(join("and", A, inverted(Y)), 10.0), (join("and", inverted(A), Y), 20.0)],
)
NAND = cell(
    "NAND",
    {"A": 1.0, "B": 2.0},
    {"Y": inverted(join("and", A, B))},
    powers=[
        power("Y", rising_with_load(3.0), 1.0, related="A"),
        power("Y", 5.0, 2.0, related="B"),
        power("A", 0.5, -0.25, when=join("and", inverted(B), Y)),
        power("B", 0.25, -0.125, when=join("and", inverted(A), Y)),
    ],
)
XOR = cell(
    "XOR",
    {"A": 2.0, "B": 2.0},
    {"Y": join("xor", A, B)},
    powers=[
        power("Y", 1.0, 2.0, related="A", when=B),
        power("Y", 4.0, 8.0, related="A", when=inverted(B)),
        power("Y", 16.0, 32.0, related="B", when=A),
        power("Y", 64.0, 128.0, related="B", when=inverted(A)),
    ],
)
#: A half adder with inverted outputs.
HALF = cell(
    "HALF",
    {"A": 2.0, "B": 2.0},
    {"CON": inverted(join("and", A, B)), "SN": inverted(join("xor", A, B))},
    powers=[
        power("CON", 1.0, 2.0, related="A"),
        power("CON", 1.0, 2.0, related="B"),
        power("SN", 4.0, 8.0, related="A"),
        power("SN", 16.0, 32.0, related="B"),
    ],
)
MAJ = cell(
    "MAJ",
    {"A": 1.0, "B": 1.0, "C": 1.0},
    {"Y": join("or", join("and", A, B), join("and", A, C), join("and", B, C))},
    powers=[power("Y", 1.0, 1.0, related=name) for name in "ABC"],
)
TIE = cell("TIE", {}, {"Y": Expression(operator="constant", name="1")})
#: Its output is the complement of what it stores, as of the smallest flip-flop of ASAP7.
DFF = cell(
    "DFF",
    {"CLK": 1.0, "D": 2.0},
    {"QN": None},
    flip_flop=FlipFlop(clock="CLK", rising=True, next_state=inverted(D), outputs={"QN": True}),
    powers=[
        power("QN", 10.0, 8.0, related="CLK"),
        power("CLK", 0.0, 6.0, when=join("and", D, Q)),
        power("CLK", 3.0, 4.0, when=join("and", D, inverted(Q))),
        power("CLK", 3.0, 4.0, when=join("and", inverted(D), Q)),
        power("CLK", 0.0, 7.0, when=join("and", inverted(D), inverted(Q))),
        power("D", 0.5, -0.25, when=CLK),
        power("D", 2.0, 1.0, when=inverted(CLK)),
    ],
    leakages=[(join("and", CLK, D), 8.0), (join("and", inverted(CLK), D), 4.0)],
)
CELLS = {item.name: item for item in (INV, NAND, XOR, HALF, MAJ, TIE, DFF)}


def module(
    inputs: Mapping[str, Sequence[int]],
    outputs: Mapping[str, Sequence[int | str]],
    cells: Mapping[str, tuple[str, Mapping[str, int | str]]],
) -> dict[str, Any]:
    """Return a module as Yosys' JSON has it; nets are numbers from 2 on, ``"0"`` and ``"1"``.

    `cells` are the cell and the net of each pin, by instance.
    """
    ports: dict[str, dict[str, Any]] = {
        **{name: {"direction": "input", "bits": list(bits)} for name, bits in inputs.items()},
        **{name: {"direction": "output", "bits": list(bits)} for name, bits in outputs.items()},
    }
    return {
        "ports": ports,
        "cells": {
            name: {"type": kind, "connections": {key: [net] for key, net in pins.items()}}
            for name, (kind, pins) in cells.items()
        },
        "netnames": {name: {"bits": port["bits"]} for name, port in ports.items()},
    }


def netlist(
    inputs: Mapping[str, Sequence[int]],
    outputs: Mapping[str, Sequence[int | str]],
    cells: Mapping[str, tuple[str, Mapping[str, int | str]]],
) -> GateNetlist:
    """Return a netlist of cells of `CELLS`; as `module`."""
    return GateNetlist.from_module(module(inputs, outputs, cells), name="top", library=CELLS)


def random_module(seed: int, *, gates: int, flip_flops: int, ports: int = 4) -> dict[str, Any]:
    """Return a random design: flip-flops, and gates that read these, ports and gates before them, few of them twice.

    Half of the gates are exclusive ors, so that changes get far.
    """
    random = np.random.default_rng(seed)
    bits = list(range(3, 3 + ports))
    states = [bits[-1] + 1 + index for index in range(flip_flops)]
    nets: list[int | str] = ["0", "1", *bits, *states]
    unread: list[int | str] = [*bits, *states]
    cells: dict[str, tuple[str, Mapping[str, int | str]]] = {}

    def source() -> int | str:
        """Return a net that nothing reads yet, or sometimes any."""
        if unread and random.random() < 0.7:
            return unread.pop(int(random.integers(len(unread))))
        return nets[int(random.integers(len(nets)))]

    for index in range(gates):
        kind = ("INV", "NAND", "MAJ", "XOR", "XOR", "HALF")[int(random.integers(6))]
        pins: dict[str, int | str] = {key: source() for key in CELLS[kind].inputs}
        for key in CELLS[kind].outputs:
            pins[key] = 1000 + len(nets)
            nets.append(pins[key])
            unread.append(pins[key])
        cells[f"g{index}"] = kind, pins
    for index, state in enumerate(states):
        cells[f"r{index}"] = "DFF", {"CLK": 2, "D": source(), "QN": state}
    return module({"clk": [2], "x": bits}, {"y": nets[-4:]}, cells)
