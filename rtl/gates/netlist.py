"""A netlist of library cells in arrays, from what Yosys writes.

Cells of one kind form a group, and work is done a group at a time: the pin ``A`` of all its instances is one array of
net numbers. A level orders the groups' combinational instances: those of level 0 read ports, constants and
flip-flops alone, those of level n something of level n - 1.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tritforge.accel.errors import InputError
from tritforge.rtl.gates.cells import LibertyCell
from tritforge.rtl.gates.levels import find_levels

#: Nets of the two constants.
ZERO, ONE = 0, 1


@dataclass(frozen=True, kw_only=True)
class WireLoad:
    """Capacitance of a net's wire, as a function of its fan-out: an assumption, for there is no layout.

    Attributes
    ----------
    base_fF
        Of a net with any fan-out.
    per_sink_fF
        Of each pin that reads it, besides.
    """

    base_fF: float  # noqa: N815
    per_sink_fF: float  # noqa: N815

    def __post_init__(self) -> None:
        """Refuse a negative capacitance."""
        for name in ("base_fF", "per_sink_fF"):
            if not getattr(self, name) >= 0:
                raise InputError(f"{name} of the wire load is {getattr(self, name)}; it must be 0 or more")

    def capacitance(self, fan_out: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the capacitance in fF by the number of pins that read a net; 0 where none does."""
        wire = self.base_fF + self.per_sink_fF * fan_out
        return np.where(fan_out > 0, wire, 0.0)


@dataclass(frozen=True, kw_only=True, eq=False)
class CellGroup:
    """All instances of one cell.

    Attributes
    ----------
    cell
        The cell.
    names
        Names of the n instances; a full stop parts the levels of the hierarchy that was flattened.
    nets
        By pin the net of each instance, shape (n,); an output that drives nothing has a net of its own.
    level
        Level of each instance, shape (n,); 0 for flip-flops, which start a cycle.
    """

    cell: LibertyCell
    names: tuple[str, ...]
    nets: Mapping[str, NDArray[np.int64]]
    level: NDArray[np.int64]

    @property
    def size(self) -> int:
        """Number of instances."""
        return len(self.names)


@dataclass(frozen=True, kw_only=True, eq=False)
class GateNetlist:
    """A design with one clock in the cells of a library.

    Attributes
    ----------
    name
        Of the module.
    net_names
        A name of each net; the first two are those of the constants.
    inputs, outputs
        Nets of each port, the least significant bit first.
    groups
        By name of the cell.
    clock
        Net that clocks all flip-flops, or None where there are none.
    """

    name: str
    net_names: tuple[str, ...]
    inputs: Mapping[str, NDArray[np.int64]]
    outputs: Mapping[str, NDArray[np.int64]]
    groups: Mapping[str, CellGroup]
    clock: int | None

    @classmethod
    def read(cls, path: Path, *, top: str, library: Mapping[str, LibertyCell]) -> "GateNetlist":
        """Read what Yosys' ``write_json`` wrote of a flat, mapped module.

        Parameters
        ----------
        path
            The file.
        top
            Name of the module.
        library
            Cells by name.

        Raises
        ------
        InputError
            The file is not such a netlist, or the netlist is not one of this library with a single clock.
        """
        try:
            modules = json.loads(path.read_text())["modules"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"{path} is not a netlist of Yosys ({error}); write one with write_json"
            ) from error
        if top not in modules:
            raise InputError(
                f"{path} has no module {top!r}, only {', '.join(sorted(modules))}; choose one of them"
            )
        return cls.from_module(modules[top], name=top, library=library)

    @classmethod
    def from_module(
        cls, module: Mapping[str, Any], *, name: str, library: Mapping[str, LibertyCell]
    ) -> "GateNetlist":
        """Return the netlist of a module in Yosys' JSON; as `read`, without a file."""
        return _Reader(module, name, library).netlist()

    @property
    def size(self) -> int:
        """Number of nets, the two constants included."""
        return len(self.net_names)

    @cached_property
    def flip_flops(self) -> tuple[CellGroup, ...]:
        """Groups that store."""
        return tuple(group for group in self.groups.values() if group.cell.flip_flop is not None)

    @cached_property
    def combinational(self) -> tuple[CellGroup, ...]:
        """Groups that do not store."""
        return tuple(group for group in self.groups.values() if group.cell.flip_flop is None)

    @cached_property
    def schedule(self) -> tuple[tuple[CellGroup, NDArray[np.int64]], ...]:
        """Groups with places of instances within them, such that each reads only what stands before it."""
        steps = [(int(level), group) for group in self.combinational for level in np.unique(group.level)]
        steps.sort(key=lambda step: (step[0], step[1].cell.name))
        return tuple((group, np.flatnonzero(group.level == level)) for level, group in steps)

    @cached_property
    def fan_out(self) -> NDArray[np.int64]:
        """Number of cells' pins that read each net, shape (nets,)."""
        counts = np.zeros(self.size, np.int64)
        for nets, _ in self._sinks():
            np.add.at(counts, nets, 1)
        return counts

    def loads(self, wire_load: WireLoad) -> NDArray[np.float64]:
        """Return the capacitance of each net in fF, shape (nets,): the pins that read it and its wire.

        Ports bring none.
        """
        loads = wire_load.capacitance(self.fan_out)
        for nets, capacitance in self._sinks():
            np.add.at(loads, nets, capacitance)
        return loads

    @property
    def area_um2(self) -> float:
        """Area of all cells."""
        return sum(group.size * group.cell.area_um2 for group in self.groups.values())

    @property
    def cells(self) -> dict[str, int]:
        """Number of cells of each kind, by name."""
        return {name: self.groups[name].size for name in sorted(self.groups)}

    def _sinks(self) -> Iterator[tuple[NDArray[np.int64], float]]:
        """Yield nets that pins of one kind read, and that pin's capacitance in fF."""
        for group in self.groups.values():
            for pin, description in group.cell.inputs.items():
                yield group.nets[pin], description.capacitance_fF


class _Reader:
    """Takes a module of Yosys' JSON to pieces."""

    def __init__(self, module: Mapping[str, Any], name: str, library: Mapping[str, LibertyCell]) -> None:
        self._name = name
        self._module = module
        self._library = library
        self._numbers: dict[int | str, int] = {}
        self._cells = {
            instance: cell
            for instance, cell in module["cells"].items()
            if not cell["type"].startswith("$scopeinfo")
        }

    def netlist(self) -> GateNetlist:
        ports = {
            direction: {
                name: np.array([self._net(bit) for bit in port["bits"]], np.int64)
                for name, port in self._module["ports"].items()
                if port["direction"] == direction
            }
            for direction in ("input", "output")
        }
        members: dict[str, list[str]] = {}
        for instance, cell in self._cells.items():
            members.setdefault(cell["type"], []).append(instance)
        groups = {kind: self._group(kind, members[kind]) for kind in sorted(members)}
        clock = self._clock(groups)
        net_names = self._net_names()
        levels = find_levels(
            groups,
            sources=(ZERO, ONE, *(int(net) for nets in ports["input"].values() for net in nets)),
            net_names=net_names,
            design=self._name,
        )
        groups = {
            kind: CellGroup(cell=group.cell, names=group.names, nets=group.nets, level=levels[kind])
            for kind, group in groups.items()
        }
        return GateNetlist(
            name=self._name,
            net_names=net_names,
            inputs=ports["input"],
            outputs=ports["output"],
            groups=groups,
            clock=clock,
        )

    def _net(self, bit: int | str) -> int:
        """Return the number of a net; an undefined value is taken as 0, as synthesis is free to."""
        if isinstance(bit, str):
            return ONE if bit == "1" else ZERO
        return self._numbers.setdefault(bit, len(self._numbers) + 2)

    def _open_net(self, name: str) -> int:
        """Return the number of a net that no pin reads."""
        return self._numbers.setdefault(name, len(self._numbers) + 2)

    def _group(self, kind: str, instances: list[str]) -> CellGroup:
        cell = self._library.get(kind)
        if cell is None:
            raise InputError(
                f"{self._name} has {len(instances)} cells {kind}, which the library lacks; "
                "map the whole design to the library, or add its file"
            )
        if cell.is_sequential and (
            cell.flip_flop is None
            or not cell.flip_flop.rising
            or cell.flip_flop.clear is not None
            or cell.flip_flop.preset is not None
        ):
            raise InputError(
                f"{self._name} has cells {kind}, which store but are no flip-flops with a rising clock alone; "
                "map registers to those"
            )
        nets: dict[str, NDArray[np.int64]] = {}
        for pin in (*cell.inputs, *cell.outputs):
            connected = [self._cells[instance]["connections"].get(pin, []) for instance in instances]
            if pin in cell.inputs and not all(connected):
                open_at = instances[connected.index([])]
                raise InputError(f"pin {pin} of {open_at} ({kind}) is open; connect every input")
            nets[pin] = np.array(
                [
                    self._net(bits[0]) if bits else self._open_net(f"{instance}.{pin}")
                    for instance, bits in zip(instances, connected, strict=True)
                ],
                np.int64,
            )
        names = tuple(name.removeprefix("\\") for name in instances)
        return CellGroup(cell=cell, names=names, nets=nets, level=np.zeros(len(names), np.int64))

    def _clock(self, groups: Mapping[str, CellGroup]) -> int | None:
        clocks = {
            int(net)
            for group in groups.values()
            if group.cell.flip_flop is not None
            for net in np.unique(group.nets[group.cell.flip_flop.clock])
        }
        if len(clocks) > 1:
            names = self._net_names()
            raise InputError(
                f"{self._name} has {len(clocks)} clocks ({', '.join(names[net] for net in sorted(clocks)[:3])}); "
                "one net must clock all flip-flops"
            )
        return clocks.pop() if clocks else None

    def _net_names(self) -> tuple[str, ...]:
        """Return the shortest name of every net, without the numbers that Yosys makes where there is another."""
        names: dict[int | str, str] = {}
        for name, net in self._module["netnames"].items():
            for place, bit in enumerate(net["bits"]):
                if bit not in self._numbers:
                    continue
                candidate = name if len(net["bits"]) == 1 else f"{name}[{place}]"
                known = names.get(bit)
                if known is None or (candidate.startswith("$"), len(candidate), candidate) < (
                    known.startswith("$"),
                    len(known),
                    known,
                ):
                    names[bit] = candidate
        return ("0", "1", *(names.get(bit, str(bit)) for bit in self._numbers))
