"""A flat module in Yosys' JSON between two of its runs: nets, who drives and who reads them, new cells and nets."""

from collections.abc import Iterator
from typing import Any, TypeAlias

#: Number of a net, or a constant: ``0``, ``1``, ``x``.
Bit: TypeAlias = "int | str"

#: Ports of the gates that are made here.
_GATES = {"$_NOT_": "AY", "$_BUF_": "AY", "$_AND_": "ABY", "$_OR_": "ABY", "$_XOR_": "ABY", "$_XNOR_": "ABY"}


class YosysModule:
    """A module of single-bit cells, edited in place.

    Parameters
    ----------
    module
        As in the JSON file.

    Attributes
    ----------
    cells
        By name.
    """

    def __init__(self, module: dict[str, Any]) -> None:
        self._module = module
        self.cells: dict[str, dict[str, Any]] = module["cells"]
        numbers = [
            bit
            for bits in (
                *(net["bits"] for net in module["netnames"].values()),
                *(port["bits"] for port in module["ports"].values()),
                *(bits for cell in self.cells.values() for bits in cell["connections"].values()),
            )
            for bit in bits
            if isinstance(bit, int)
        ]
        self._next = max(numbers, default=1) + 1

    def pins(self) -> Iterator[tuple[str, str, Bit, bool]]:
        """Yield cell, pin, net and whether the pin is an output, of every pin that is connected."""
        for name, cell in self.cells.items():
            for pin, bits in cell["connections"].items():
                for bit in bits:
                    yield name, pin, bit, cell["port_directions"][pin] == "output"

    def read_nets(self) -> set[Bit]:
        """Return the nets that a cell or an output port reads."""
        read = {bit for _, _, bit, drives in self.pins() if not drives}
        return read | self.port_nets("output")

    def port_nets(self, direction: str) -> set[Bit]:
        """Return the nets of all ports of a direction."""
        return {
            bit
            for port in self._module["ports"].values()
            if port["direction"] == direction
            for bit in port["bits"]
        }

    def new_net(self) -> int:
        """Return the number of a net that nothing is connected to."""
        self._next += 1
        return self._next - 1

    def add_gate(self, kind: str, *bits: Bit) -> None:
        """Add a gate such as ``$_AND_``; its inputs come first, its output last."""
        pins = dict(zip(_GATES[kind], bits, strict=True))
        self.add_cell(kind, {pin: bit for pin, bit in pins.items() if pin != "Y"}, {"Y": pins["Y"]})

    def add_cell(self, kind: str, inputs: dict[str, Bit], outputs: dict[str, Bit]) -> str:
        """Add a cell and return its name."""
        name = f"$tritforge${len(self.cells)}${self._next}"
        self._next += 1
        self.cells[name] = {
            "hide_name": 1,
            "type": kind,
            "parameters": {},
            "attributes": {},
            "port_directions": dict.fromkeys(inputs, "input") | dict.fromkeys(outputs, "output"),
            "connections": {pin: [bit] for pin, bit in (inputs | outputs).items()},
        }
        return name
