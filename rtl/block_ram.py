"""Clean-up of an ECP5 netlist between Yosys and nextpnr: registers behind block memories move into them.

A DP16KD has a register of its own behind each output. Through it the memory's word comes about 5 ns sooner after the
clock, and the register outside is saved, but Yosys never uses it. Here a register outside that does nothing but
follow an output is taken for the one inside.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from tritforge.rtl.netlist import read_bits

MEMORY_CELL = "DP16KD"
REGISTER_CELL = "TRELLIS_FF"
#: Width of the two ports side by side, which is one port then, read with the clock of B.
_PAIRED = 36


def output_ports(cell: Mapping[str, Any]) -> Iterator[str]:
    """Yield the read ports of a memory: ``A`` and ``B``, or ``AB`` where they are one."""
    widths = {port: int(cell["parameters"][f"DATA_WIDTH_{port}"], 2) for port in "AB"}
    yield from ("AB",) if _PAIRED in widths.values() else ("A", "B")


def _follows(register: Mapping[str, Any], clock: Any) -> bool:
    """Return whether a register takes its input at every rising edge of a clock, whatever else is."""
    connections, parameters = register["connections"], register["parameters"]
    return bool(
        connections["CLK"] == clock
        and parameters["CLKMUX"] == "CLK"
        and parameters["CEMUX"].strip() == "1"
        and parameters["REGSET"] == "RESET"
        and connections.get("LSR", ["0"]) == ["0"]
    )


def register_outputs(module: dict[str, Any]) -> int:
    """Move registers into the block memories that they follow, in place.

    A read port's outputs take their register when each one that is read at all is read by a register alone, one that
    follows the port's clock without enable or reset and starts at 0, as the memory's does.

    Parameters
    ----------
    module
        A flat module of what ``write_json`` wrote.

    Returns
    -------
    int
        Registers that moved.
    """
    cells = module["cells"]
    reads = read_bits(module)
    registers = {
        cell["connections"]["DI"][0]: name for name, cell in cells.items() if cell["type"] == REGISTER_CELL
    }
    moved = 0
    for memory in [cell for cell in cells.values() if cell["type"] == MEMORY_CELL]:
        connections, parameters = memory["connections"], memory["parameters"]
        for port in output_ports(memory):
            clock = port[-1]
            outputs = [
                name
                for name, bits in connections.items()
                if name.startswith(tuple(f"DO{side}" for side in port)) and reads[bits[0]]
            ]
            if not outputs or parameters[f"CLK{clock}MUX"] != f"CLK{clock}":
                continue
            if any(parameters[f"REGMODE_{side}"] != "NOREG" for side in port):
                continue
            behind = [registers.get(connections[name][0], "") for name in outputs]
            if not all(
                register
                and reads[connections[name][0]] == 1
                and _follows(cells[register], connections[f"CLK{clock}"])
                for name, register in zip(outputs, behind, strict=True)
            ):
                continue
            for name, register in zip(outputs, behind, strict=True):
                connections[name] = cells.pop(register)["connections"]["Q"]
            for side in port:
                parameters[f"REGMODE_{side}"] = "OUTREG"
                connections[f"OCE{side}"] = ["1"]
            moved += len(outputs)
    return moved
