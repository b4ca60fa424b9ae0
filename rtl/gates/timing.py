"""Static timing of a netlist: when each net has settled, how fast it changes, and whether the clock leaves time.

Delays and transition times come from the library's tables over the input's transition time and the capacitance that
the output drives. The latest of all arcs counts, whatever their conditions, and the slowest transition with it. The
clock is ideal: it reaches all flip-flops at time 0. Hold times are not checked: without a clock tree there is no skew
to violate them.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tritforge.accel.errors import InputError
from tritforge.rtl.gates.cells import LibertyCell, TimingArc
from tritforge.rtl.gates.netlist import CellGroup, GateNetlist, WireLoad

#: Places of the two edges in arrays.
RISE, FALL = 0, 1
EDGES = ("rise", "fall")
_NEVER = -np.inf
#: In the place of a net where there is none.
_NONE = -1

Floats = NDArray[np.float64]
Nets = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """What is around a design.

    Attributes
    ----------
    input_slew_ps
        Transition time of input ports.
    input_delay_ps
        When input ports have settled after the clock's edge.
    output_load_fF
        Capacitance that an output port brings besides its wire.
    output_margin_ps
        How long before the next edge output ports must have settled.
    clock_slew_ps
        Transition time of the clock at the flip-flops.
    """

    input_slew_ps: float = 20.0
    input_delay_ps: float = 0.0
    output_load_fF: float = 0.0  # noqa: N815
    output_margin_ps: float = 0.0
    clock_slew_ps: float = 20.0

    def __post_init__(self) -> None:
        """Refuse negative values."""
        for name, value in vars(self).items():
            if not value >= 0:
                raise InputError(f"{name} is {value}; it must be 0 or more")


@dataclass(frozen=True, kw_only=True)
class PathStep:
    """A cell on a path.

    Attributes
    ----------
    instance, cell
        Names; both ``port`` at an input port.
    pin, edge
        Output pin or port, and how it changes: ``rise`` or ``fall``.
    delay_ps, arrival_ps
        Of the cell, and since the clock's edge.
    slew_ps, load_fF
        Transition time and capacitance of the net.
    """

    instance: str
    cell: str
    pin: str
    edge: str
    delay_ps: float
    arrival_ps: float
    slew_ps: float
    load_fF: float  # noqa: N815


@dataclass(frozen=True, kw_only=True, eq=False)
class Timing:
    """Result of the analysis.

    Attributes
    ----------
    period_ps
        Of the clock.
    loads
        Capacitance of each net in fF, pins and wire, shape (nets,).
    slews
        Transition times of each net in ps, rising and falling, shape (nets, 2); those of nets that never change are
        the input ports'.
    arrivals
        Latest times of each net in ps, shape (nets, 2); minus infinity where it never changes.
    arc_delays
        By cell, and by input and output pin: delay until the output rises and falls, in ps, shape (instances, 2);
        NaN where it does not.
    slack_ps
        Of the worst path; negative where the clock is too fast.
    endpoint
        Where that path ends.
    path
        Its steps.
    overloaded
        Number of output pins whose load is beyond the library's bound.
    """

    period_ps: float
    loads: Floats
    slews: Floats
    arrivals: Floats
    arc_delays: Mapping[str, Mapping[tuple[str, str], Floats]]
    slack_ps: float
    endpoint: str
    path: tuple[PathStep, ...]
    overloaded: int

    @property
    def met(self) -> bool:
        """Whether every path fits into the clock's period."""
        return self.slack_ps >= 0

    @property
    def shortest_period_ps(self) -> float:
        """Period at which the slack is 0."""
        return self.period_ps - self.slack_ps


def analyse(
    netlist: GateNetlist,
    *,
    period_ps: float,
    wire_load: WireLoad,
    surroundings: Surroundings | None = None,
) -> Timing:
    """Return the timing of a netlist.

    Parameters
    ----------
    netlist
        The netlist.
    period_ps
        Of the clock.
    wire_load
        Capacitance of the wires.
    surroundings
        Of the design; by default its ports settle at the clock's edge and drive nothing.

    Raises
    ------
    InputError
        The period is not positive, or a cell lacks tables.
    """
    if not period_ps > 0:
        raise InputError(f"period_ps is {period_ps}; it must be above 0")
    return _Analysis(netlist, period_ps, wire_load, surroundings or Surroundings()).result()


class _Analysis:
    """Arrays that fill up cell by cell, in the order of the netlist's schedule."""

    def __init__(
        self, netlist: GateNetlist, period: float, wire_load: WireLoad, surroundings: Surroundings
    ) -> None:
        self._netlist = netlist
        self._period = period
        self._around = surroundings
        self._loads = netlist.loads(wire_load)
        for nets in netlist.outputs.values():
            np.add.at(self._loads, nets, surroundings.output_load_fF)
        shape = (netlist.size, 2)
        self._arrivals = np.full(shape, _NEVER)
        self._slews = np.zeros(shape)
        #: Net and edge that made each net the latest; _NONE at the start of a path.
        self._before = np.full((*shape, 2), _NONE, np.int64)
        self._arc_delays: dict[str, dict[tuple[str, str], Floats]] = {}

    def result(self) -> Timing:
        netlist = self._netlist
        for nets in netlist.inputs.values():
            self._arrivals[nets] = self._around.input_delay_ps
            self._slews[nets] = self._around.input_slew_ps
        if netlist.clock is not None:
            self._arrivals[netlist.clock] = 0
            self._slews[netlist.clock] = self._around.clock_slew_ps
        for group in netlist.flip_flops:
            self._run(group, np.arange(group.size))
        for group, places in netlist.schedule:
            self._run(group, places)
        self._slews[self._slews == 0] = self._around.input_slew_ps
        slack, endpoint, net, edge = self._worst()
        return Timing(
            period_ps=self._period,
            loads=self._loads,
            slews=self._slews,
            arrivals=self._arrivals,
            arc_delays=self._arc_delays,
            slack_ps=slack,
            endpoint=endpoint,
            path=self._path(net, edge),
            overloaded=self._overloaded(),
        )

    def _run(self, group: CellGroup, places: Nets) -> None:
        """Take in all arcs of some instances of a cell; those that start at an output come last."""
        cell = group.cell
        delays = self._arc_delays.setdefault(cell.name, {})
        for arc in sorted(_arcs(cell), key=lambda arc: arc.related in cell.outputs):
            source, target = group.nets[arc.related][places], group.nets[arc.output][places]
            kept = None
            if arc.related in cell.inputs:
                kept = delays.setdefault((arc.related, arc.output), np.full((group.size, 2), np.nan))
            for edge, before in _edges(arc):
                delay = self._step(arc, (source, before), (target, edge))
                if kept is not None and delay is not None:
                    kept[places, edge] = np.fmax(kept[places, edge], delay)

    def _step(self, arc: TimingArc, source: tuple[Nets, int], target: tuple[Nets, int]) -> Floats | None:
        """Take in one edge of an arc, and return its delay; None where the arc has none."""
        (read, before), (driven, edge) = source, target
        delay_table, slew_table = (arc.rise, arc.rise_slew) if edge == RISE else (arc.fall, arc.fall_slew)
        if delay_table is None or slew_table is None:
            return None
        slew, load = self._slews[read, before], self._loads[driven]
        delay = delay_table.at(slew, load)
        arrival = self._arrivals[read, before] + delay
        slows = np.where(np.isfinite(arrival), slew_table.at(slew, load), 0)
        self._slews[driven, edge] = np.maximum(self._slews[driven, edge], slows)
        later = arrival > self._arrivals[driven, edge]
        self._arrivals[driven[later], edge] = arrival[later]
        self._before[driven[later], edge, 0] = read[later]
        self._before[driven[later], edge, 1] = before
        return delay

    def _worst(self) -> tuple[float, str, int, int]:
        """Return slack, name, net and edge of the endpoint with the least slack."""
        worst = (np.inf, "", _NONE, RISE)
        for name, nets, edge, margin in self._endpoints():
            slack = self._period - margin - self._arrivals[nets, edge]
            place = int(np.argmin(slack)) if slack.size else 0
            if slack.size and slack[place] < worst[0]:
                worst = (float(slack[place]), name[place], int(nets[place]), edge)
        if worst[2] == _NONE:
            return self._period, "", _NONE, RISE
        return worst

    def _endpoints(self) -> Iterator[tuple[list[str], Nets, int, Floats]]:
        """Yield names, nets, edge and the time before the next clock's edge, of data pins and output ports."""
        for group in self._netlist.flip_flops:
            for constraint in group.cell.constraints:
                flip_flop = group.cell.flip_flop
                if flip_flop is None or constraint.kind != "setup_rising":
                    continue
                nets = group.nets[constraint.pin]
                names = [f"{name}/{constraint.pin}" for name in group.names]
                for edge, table in ((RISE, constraint.rise), (FALL, constraint.fall)):
                    if table is not None:
                        yield names, nets, edge, table.at(self._slews[nets, edge], self._around.clock_slew_ps)
        for port, nets in self._netlist.outputs.items():
            names = [f"{port}[{bit}]" for bit in range(nets.size)]
            for edge in (RISE, FALL):
                yield names, nets, edge, np.full(nets.size, self._around.output_margin_ps)

    def _path(self, net: int, edge: int) -> tuple[PathStep, ...]:
        """Return the steps of the latest path to a net, from its start."""
        drivers = {
            int(driven): (group, pin, place)
            for group in self._netlist.groups.values()
            for pin in group.cell.outputs
            for place, driven in enumerate(group.nets[pin])
        }
        steps: list[PathStep] = []
        while net not in {_NONE, self._netlist.clock}:
            before, before_edge = (int(value) for value in self._before[net, edge])
            start = 0.0 if before == _NONE else float(self._arrivals[before, before_edge])
            instance, cell, pin = "port", "port", self._netlist.net_names[net]
            if net in drivers:
                group, pin, place = drivers[net]
                instance, cell = group.names[place], group.cell.name
            arrival = float(self._arrivals[net, edge])
            steps.append(
                PathStep(
                    instance=instance,
                    cell=cell,
                    pin=pin,
                    edge=EDGES[edge],
                    delay_ps=arrival - start,
                    arrival_ps=arrival,
                    slew_ps=float(self._slews[net, edge]),
                    load_fF=float(self._loads[net]),
                )
            )
            net, edge = before, before_edge
        return tuple(reversed(steps))

    def _overloaded(self) -> int:
        return sum(
            int(np.sum(self._loads[group.nets[pin]] > description.max_load_fF))
            for group in self._netlist.groups.values()
            for pin, description in group.cell.outputs.items()
        )


def _arcs(cell: LibertyCell) -> Iterator[TimingArc]:
    """Yield the arcs that carry a change in ordinary work: not those of asynchronous pins."""
    flip_flop = cell.flip_flop
    for arc in cell.arcs:
        if flip_flop is None or arc.related == flip_flop.clock or arc.related in cell.outputs:
            yield arc


def _edges(arc: TimingArc) -> Iterator[tuple[int, int]]:
    """Yield pairs of an output's edge and the edge of the related pin that makes it."""
    for edge in (RISE, FALL):
        if arc.kind in ("rising_edge", "falling_edge"):
            yield edge, RISE if arc.kind == "rising_edge" else FALL
        else:
            if arc.sense != "negative_unate":
                yield edge, edge
            if arc.sense != "positive_unate":
                yield edge, 1 - edge
