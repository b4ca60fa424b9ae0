"""Clean-up of an ECP5 netlist between Yosys and nextpnr: carry chains that end where their adder ends.

nextpnr puts a carry cell of its own before a chain whose first carry-in is connected, even to a constant, to bring it
in from the fabric, and one behind a chain whose last carry-out is connected, even to a net that nothing reads.
Yosys connects both, always. Each of those cells costs two LUTs, a fifth of a ten-bit adder.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

CARRY_CELL = "CCU2C"
#: What nextpnr reads as a port without a net; a missing port makes it stop.
UNCONNECTED = ["x"]
_CONSTANTS = {"0": 0, "1": 1}


@dataclass(frozen=True, kw_only=True)
class CarryEnds:
    """What became of the ends of the carry chains.

    Attributes
    ----------
    chains
        Chains of the module.
    opened_tails
        Carry-outs that nothing read and that are no longer connected.
    opened_heads
        Carry-ins that had no effect and are no longer connected.
    """

    chains: int
    opened_tails: int
    opened_heads: int


def read_bits(module: Mapping[str, Any]) -> Counter[int | str]:
    """Return how many inputs of cells and outputs of the module read each net."""
    reads: Counter[int | str] = Counter()
    for cell in module["cells"].values():
        for port, bits in cell["connections"].items():
            if cell["port_directions"][port] != "output":
                reads.update(bits)
    for port in module["ports"].values():
        if port["direction"] != "input":
            reads.update(port["bits"])
    return reads


def _never_propagates(cell: Mapping[str, Any]) -> bool:
    """Return whether the first bit's propagate table is 0 for every value of the inputs that are not constant."""
    table = int(cell["parameters"]["INIT0"], 2)
    connections = cell["connections"]
    choices = []
    for port in ("A0", "B0", "C0", "D0"):
        # A net and an open, undefined or floating input may have either value.
        (bit,) = connections.get(port) or ("x",)
        choices.append((_CONSTANTS[bit],) if bit in _CONSTANTS else (0, 1))
    return not any(table >> (a | b << 1 | c << 2 | d << 3) & 1 for a, b, c, d in product(*choices))


def carry_cells(module: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the carry cells of a module of a netlist."""
    return (cell for cell in module["cells"].values() if cell["type"] == CARRY_CELL)


def open_carry_ends(module: dict[str, Any]) -> CarryEnds:
    """Disconnect the ends of carry chains that carry nothing, in place.

    A carry-out is disconnected when no cell and no port of the module reads it. That is safe for any chain: an output
    that nothing reads has no effect.

    A carry-in is disconnected when it is constant and the cell cannot tell: its first bit's propagate table
    gives 0 whatever the inputs, and nothing reads that bit's sum. In the cell, ``cout0 = propagate ? cin : generate``
    and ``s0 = propagate ^ cin`` (Yosys' model of CCU2C), so with ``propagate = 0`` the carry goes on as ``generate``
    and the carry-in is seen in ``s0`` alone. An ordinary adder's first bit propagates for some inputs and keeps its
    constant: left open, the carry-in would be what the neighbouring slice puts out.

    Parameters
    ----------
    module
        A flat module of what ``write_json`` wrote.

    Returns
    -------
    CarryEnds
        What was disconnected.
    """
    reads = read_bits(module)
    carries = {
        bit for cell in carry_cells(module) for bit in cell["connections"].get("COUT", ()) if bit != "x"
    }
    chains = heads = tails = 0
    for cell in carry_cells(module):
        connections = cell["connections"]
        carry_in = (connections.get("CIN") or UNCONNECTED)[0]
        if carry_in not in carries:
            chains += 1
            sum_read = any(reads[bit] for bit in connections.get("S0", ()))
            if carry_in in _CONSTANTS and _never_propagates(cell) and not sum_read:
                connections["CIN"] = list(UNCONNECTED)
                heads += 1
        carry_out = (connections.get("COUT") or UNCONNECTED)[0]
        if carry_out != UNCONNECTED[0] and not reads[carry_out]:
            connections["COUT"] = list(UNCONNECTED)
            tails += 1
    return CarryEnds(chains=chains, opened_tails=tails, opened_heads=heads)
