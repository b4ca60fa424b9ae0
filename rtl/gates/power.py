"""Energy of a netlist in a cycle, from its transitions and the library's tables.

What charges and discharges a net's capacitance C is ``C V^2 / 2`` a transition. What a cell consumes besides is in
its tables of internal energy, over the transition time of the input and the load. Of one transition it may be
negative, for it may give back what another took; over a cycle of both transitions it is not. A library that has these
tables for several supply pins splits the energy over them, and their sum counts. That of ASAP7, whose tables name VDD
and VSS, shows this where an input changes and no output does: the charge that the pin takes then flows to the
supplies, and the magnitudes of both together come to ``C V^2 / 2`` of its capacitance, half of what a transition
moves. In the same way the tables of outputs that change together have a share each, and both are charged: in ASAP7's
adders they are equal, and only their sum exceeds what one output takes alone by what the other stage must take.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Generic, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from tritforge.accel.errors import InputError
from tritforge.rtl.gates.activity import FALL, RISE, Activity, PowerTable, power_tables
from tritforge.rtl.gates.cells import Table2D
from tritforge.rtl.gates.netlist import CellGroup, GateNetlist

Floats: TypeAlias = NDArray[np.float64]
_Joules = TypeVar("_Joules", float, Floats)

_FEMTO = 1e-15
#: Leakage in nW times a period in ps.
_NANO_PICO = 1e-21


@dataclass(frozen=True, kw_only=True, eq=False)
class OperatingPoint:
    """What the energies depend on besides the transitions.

    Attributes
    ----------
    voltage
        Supply in V.
    period_ps
        Of the clock.
    loads
        Capacitance of each net in fF, its wire included, shape (nets,).
    slews
        Transition times of each net in ps, rising and falling, shape (nets, 2).
    """

    voltage: float
    period_ps: float
    loads: Floats
    slews: Floats

    def __post_init__(self) -> None:
        """Refuse what is not positive, and transition times of other nets than the loads'."""
        for name in ("voltage", "period_ps"):
            if not getattr(self, name) > 0:
                raise InputError(f"{name} is {getattr(self, name)}; it must be above 0")
        if self.slews.shape != (*self.loads.shape, 2):
            raise InputError(
                f"transition times have shape {self.slews.shape}; for {self.loads.size} nets it must be "
                f"{(self.loads.size, 2)}"
            )


@dataclass(frozen=True, kw_only=True, eq=False)
class Energy(Generic[_Joules]):
    """Joules in a cycle: of a design, or arrays of them over the instances of a cell.

    Attributes
    ----------
    switching
        Nets that the logic and the registers drive.
    internal
        Inside the cells, without what the clock alone consumes.
    clock
        The net of the clock, and inside the flip-flops when it changes and their outputs do not.
    glitch
        What transitions that a cycle's end does not show add to the first three; 0 where there are no delays.
    leakage
        In all states alike.
    """

    switching: _Joules
    internal: _Joules
    clock: _Joules
    glitch: _Joules
    leakage: _Joules

    @property
    def total(self) -> _Joules:
        """Sum of all."""
        return self.switching + self.internal + self.clock + self.glitch + self.leakage

    def __add__(self, other: "Energy[_Joules]") -> "Energy[_Joules]":
        """Return the sum, part by part."""
        return Energy(
            switching=self.switching + other.switching,
            internal=self.internal + other.internal,
            clock=self.clock + other.clock,
            glitch=self.glitch + other.glitch,
            leakage=self.leakage + other.leakage,
        )

    def sum(self, where: NDArray[np.bool_] | slice = slice(None)) -> "Energy[float]":
        """Return the sum over the instances, all or some."""
        return Energy(
            **{
                part.name: float(np.atleast_1d(getattr(self, part.name))[where].sum())
                for part in fields(self)
            }
        )


_NOTHING = Energy(switching=0.0, internal=0.0, clock=0.0, glitch=0.0, leakage=0.0)


@dataclass(frozen=True, kw_only=True, eq=False)
class PowerReport:
    """Where a design's energy goes.

    Attributes
    ----------
    delays
        Of the activity: ``zero`` tells that glitches are left out.
    ports
        Nets that the input ports drive.
    cells
        By cell, an array for each of its instances, shape (n,). A net's switching is with the cell that drives it.
    names
        Names of these instances.
    """

    delays: str
    ports: Energy[float]
    cells: Mapping[str, Energy[Floats]]
    names: Mapping[str, tuple[str, ...]] = field(repr=False)

    @property
    def energy(self) -> Energy[float]:
        """Of the whole design."""
        return sum((energy.sum() for energy in self.cells.values()), start=self.ports)

    def by(self, key: Callable[[str, str], str]) -> dict[str, Energy[float]]:
        """Return the energy by a label of the instances; the ports' nets have the label ``ports``.

        Parameters
        ----------
        key
            Gives the label by cell and instance.
        """
        result = {"ports": self.ports}
        for cell, energy in self.cells.items():
            labels = np.array([key(cell, name) for name in self.names[cell]])
            for label in np.unique(labels):
                result[str(label)] = result.get(str(label), _NOTHING) + energy.sum(labels == label)
        return dict(sorted(result.items()))

    def by_hierarchy(self, depth: int = 1) -> dict[str, Energy[float]]:
        """Return the energy by the first levels of the hierarchy in the instances' names; ``top`` has none."""
        return self.by(lambda _, name: ".".join(name.split("$")[0].split(".")[:-1][:depth]) or "top")


def estimate_power(
    netlist: GateNetlist, activity: Activity, point: OperatingPoint, *, settled: Activity | None = None
) -> PowerReport:
    """Return the energy of a cycle.

    Parameters
    ----------
    netlist
        The netlist.
    activity
        Its transitions.
    point
        Voltage, loads and transition times.
    settled
        Transitions of the same cycles without delays, if `activity` has delays: what it has more is glitches.

    Raises
    ------
    InputError
        `activity` has delays and `settled` is missing or of other cycles.
    """
    if point.loads.shape != (netlist.size,):
        raise InputError(f"there are loads of {point.loads.size} nets; {netlist.name} has {netlist.size}")
    if activity.delays == "zero":
        return _estimate(netlist, activity, point)
    if settled is None or settled.cycles != activity.cycles:
        raise InputError(
            f"the activity has delays ({activity.delays}, {activity.cycles} cycles); give that of the same cycles "
            "without delays to tell glitches apart"
        )
    without, report = _estimate(netlist, settled, point), _estimate(netlist, activity, point)
    return PowerReport(
        delays=activity.delays,
        ports=_with_glitches(without.ports, report.ports),
        cells={name: _with_glitches(without.cells[name], report.cells[name]) for name in report.cells},
        names=report.names,
    )


def _with_glitches(without: Energy[_Joules], delayed: Energy[_Joules]) -> Energy[_Joules]:
    return Energy(
        switching=without.switching,
        internal=without.internal,
        clock=without.clock,
        glitch=delayed.total - without.total,
        leakage=without.leakage,
    )


def switching_energy(activity: Activity, point: OperatingPoint) -> Floats:
    """Return ``C V^2 / 2`` of every net's transitions, in J a cycle, shape (nets,)."""
    energy: Floats = _FEMTO * point.loads * point.voltage**2 / 2 * activity.toggles
    return energy


def _estimate(netlist: GateNetlist, activity: Activity, point: OperatingPoint) -> PowerReport:
    switching = switching_energy(activity, point)
    flip_flops = sum(group.size for group in netlist.flip_flops)
    clock_share = switching[netlist.clock] / flip_flops if netlist.clock is not None else 0.0
    cells = {}
    for name, group in netlist.groups.items():
        internal, clock = _internal(group, activity, point)
        cells[name] = Energy(
            switching=np.sum([switching[group.nets[pin]] for pin in group.cell.outputs], axis=0),
            internal=internal,
            clock=clock + (clock_share if group.cell.flip_flop is not None else 0.0),
            glitch=np.zeros(group.size),
            leakage=_leakage(group, activity, point),
        )
    ports = [net for nets in netlist.inputs.values() for net in nets if net != netlist.clock]
    return PowerReport(
        delays=activity.delays,
        ports=replace(_NOTHING, switching=float(switching[ports].sum())),
        cells=cells,
        names={name: group.names for name, group in netlist.groups.items()},
    )


def _internal(group: CellGroup, activity: Activity, point: OperatingPoint) -> tuple[Floats, Floats]:
    """Return the internal energy of each instance in J a cycle, and apart from it that of its clock pin."""
    counts = activity.groups[group.cell.name].tables
    clock_pin = None if group.cell.flip_flop is None else group.cell.flip_flop.clock
    internal, clock = np.zeros(group.size), np.zeros(group.size)
    by_output: dict[tuple[str, int], list[tuple[Floats, Floats]]] = {}
    for index, table in enumerate(power_tables(group.cell)):
        for edge, energies in _energies(table, group, point):
            if table.related is None:
                target = clock if table.pin == clock_pin else internal
                target += counts[index, edge] * energies
            else:
                by_output.setdefault((table.pin, edge), []).append(
                    (counts[index, edge].astype(float), energies)
                )
    for (pin, edge), candidates in by_output.items():
        transitions = (activity.rises, activity.falls)[edge][group.nets[pin]]
        weights = np.array([weight for weight, _ in candidates])
        # A transition that no table claims, for several inputs changed at once, gets the mean of all.
        weights[:, weights.sum(axis=0) == 0] = 1
        energies = np.array([energies for _, energies in candidates])
        internal += transitions * (weights * energies).sum(axis=0) / weights.sum(axis=0)
    scale = _FEMTO / activity.cycles
    return internal * scale, clock * scale


def _energies(table: PowerTable, group: CellGroup, point: OperatingPoint) -> Iterator[tuple[int, Floats]]:
    """Yield the energy in fJ of each instance for the edges that a table has, summed over the supplies.

    An output's table is read at the mean of the rising and the falling transition time of the input.
    """
    for edge in (RISE, FALL):
        tables: list[Table2D] = [
            energy for arc in table.supplies if (energy := (arc.rise, arc.fall)[edge]) is not None
        ]
        if not tables:
            continue
        if table.related is None:
            slews, loads = point.slews[group.nets[table.pin], edge], np.zeros(group.size)
        else:
            slews, loads = (
                point.slews[group.nets[table.related]].mean(axis=1),
                point.loads[group.nets[table.pin]],
            )
        yield edge, np.sum([energy.at(slews, loads) for energy in tables], axis=0)


def _leakage(group: CellGroup, activity: Activity, point: OperatingPoint) -> Floats:
    """Return the leakage of each instance in J a cycle; states that the library does not list have its default."""
    shares = activity.groups[group.cell.name].states
    values = np.array([leakage for _, leakage in group.cell.leakages])
    rest = np.clip(1 - shares.sum(axis=0), 0, 1)
    power: Floats = (
        values @ shares + rest * group.cell.leakage_nW if values.size else rest * group.cell.leakage_nW
    )
    return power * (_NANO_PICO * point.period_ps)
