"""Measures a design at gates: mapped, timed, driven, checked, and its energy by part and by group of registers."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tritforge.accel.clocked import Clocked
from tritforge.accel.dot_units import DotUnit
from tritforge.accel.errors import InputError, VerificationError
from tritforge.accel.lone_unit import LoneUnit
from tritforge.rtl.gates.closure import close_timing
from tritforge.rtl.gates.designs import GateDesign
from tritforge.rtl.gates.glitches import simulate_delays
from tritforge.rtl.gates.liberty import Library
from tritforge.rtl.gates.netlist import GateNetlist, WireLoad
from tritforge.rtl.gates.operands import ProductOperands, dequantised, random_operands
from tritforge.rtl.gates.power import Energy, OperatingPoint, PowerReport, estimate_power
from tritforge.rtl.gates.simulation import Stimulus, port_values, simulate
from tritforge.rtl.gates.stimulus import TOKENS, DrivenDesign, drive_dot, drive_unit
from tritforge.rtl.gates.timing import Timing, analyse
from tritforge.rtl.synthesis import convert

#: What designs are driven with: ``real`` operands of a model, ``random`` ones, and where weights have more than three
#: values the real activations with the ``dequantised`` ternary weights.
ACTIVITIES = ("real", "random", "dequantised")
#: What a wire is taken to have where nothing else is said.
DEFAULT_WIRES = WireLoad(base_fF=0.2, per_sink_fF=0.2)
#: Groups of what a design consumes: input ports' nets, registers by what they hold, and the logic.
GROUPS = ("ports", "acts", "weights", "partial", "operands", "pipeline", "logic")
PARTS = ("switching", "internal", "clock", "glitch", "leakage")
#: Wire loads that the energy is worked out for again, in parts of the assumed one.
WIRE_SCALES = (0.0, 0.5, 2.0)
_FEMTO = 1e15


@dataclass(frozen=True, kw_only=True)
class Conditions:
    """What holds for a whole run.

    Attributes
    ----------
    clock_mhz
        Clock of the designs.
    wire_load
        Capacitance of wires.
    streams
        Streams of an activity, a multiple of 64.
    glitch_streams
        Streams of a simulation with delays, a multiple of 64; it takes `TOKENS` cycles, hence one change of weights.
    step_ps
        Its step.
    seed
        Of all draws.
    """

    clock_mhz: float = 700.0
    wire_load: WireLoad = DEFAULT_WIRES
    streams: int = 512
    glitch_streams: int = 64
    step_ps: float = 2.0
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class ActivityEnergy:
    """Energy of a design under one activity, in fJ a cycle.

    Attributes
    ----------
    activity
        One of `ACTIVITIES`.
    vectors
        Results that were compared with the design's model, all equal.
    glitch_cycles
        Cycles of all streams that were simulated with delays.
    parts
        By part: `PARTS`.
    groups
        By group of `GROUPS` and part.
    wires
        Total by scale of the wire load, with the same transitions; glitches scaled like the rest.
    """

    activity: str
    vectors: int
    glitch_cycles: int
    parts: Mapping[str, float]
    groups: Mapping[str, Mapping[str, float]]
    wires: Mapping[str, float]

    @property
    def total(self) -> float:
        """Of all parts."""
        return sum(self.parts.values())

    @property
    def settled(self) -> float:
        """Without glitches."""
        return self.total - self.parts["glitch"]

    def group(self, name: str) -> float:
        """Return the energy of a group; 0 where there is none."""
        return sum(self.groups.get(name, {}).values())


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """What a design takes and consumes.

    Attributes
    ----------
    design
        Its name.
    products
        Products a cycle; 1 for a unit alone.
    act_bits, weight_bits, sum_bits
        Widths; of a unit alone those of an operand, 0, and of the result.
    latency
        Cycles from operands to result.
    effort
        Step of the mapping's ladder (`tritforge.rtl.gates.closure`) that met the clock.
    clock_mhz, slack_ps, overloaded
        Its clock, what the worst path has left, and output pins loaded beyond the library's bound.
    cells, flip_flops, area_um2
        Of the netlist.
    kinds
        Cells by kind.
    energies
        By activity.
    """

    design: str
    products: int
    act_bits: int
    weight_bits: int
    sum_bits: int
    latency: int
    effort: int
    clock_mhz: float
    slack_ps: float
    overloaded: int
    cells: int
    flip_flops: int
    area_um2: float
    kinds: Mapping[str, int]
    energies: Mapping[str, ActivityEnergy]

    def per_product(self, activity: str, *, glitches: bool = True, rows: int = 1) -> float:
        """Return fJ a product.

        Parameters
        ----------
        activity
            One of `ACTIVITIES`.
        glitches
            Whether they count.
        rows
            Rows that share the activations' registers: each is charged with its part of what these consume inside
            and at the clock, and with all of what drives the row's own pins.
        """
        energy = self.energies[activity]
        shared = energy.groups.get("acts", {})
        saved = (1 - 1 / rows) * (shared.get("internal", 0.0) + shared.get("clock", 0.0))
        return ((energy.total if glitches else energy.settled) - saved) / self.products


def measure_design(
    design: GateDesign,
    *,
    library: Library,
    operands: Sequence[ProductOperands],
    conditions: Conditions,
    folder: Path,
    say: Callable[[str], None] = lambda _: None,
) -> Measurement:
    """Map, time, drive and check a design, and return what it consumes.

    Parameters
    ----------
    design
        What to measure.
    library
        Cells.
    operands
        Of a model, for the activity ``real``.
    conditions
        Of the run.
    folder
        Takes a folder with netlist and logs.
    say
        Called with what begins.

    Raises
    ------
    VerificationError
        The netlist does not compute what the design's model does.
    InputError
        The design misses its clock; or as the steps raise it.
    MissingToolError, SimulationError
        As the steps raise them.
    """
    say("mapping")
    unit = design.build()
    options = design.options(conditions.clock_mhz)
    closed = close_timing(
        convert(Clocked(unit)),
        library=library,
        options=options,
        wire_load=conditions.wire_load,
        folder=folder / design.name,
        library_folder=folder / "liberty",
    )
    netlist, shortest = closed.netlist, closed.timing.shortest_period_ps
    if not closed.met:
        raise InputError(
            f"{design.name} needs {shortest:.0f} ps; a clock of {options.clock_mhz:g} MHz leaves "
            f"{options.period_ps:.0f}: choose {1e6 / shortest:.0f} MHz at most"
        )
    timing = {scale: _timing(netlist, options.period_ps, conditions, scale) for scale in WIRE_SCALES}
    timing[1.0] = closed.timing
    labels = register_groups(netlist)
    energies = {}
    for activity in activities(unit) if design.role != "variant" else ACTIVITIES[:1]:
        say(f"{activity} operands")
        driven = _drive(unit, activity, operands, conditions)
        energies[activity] = _energy(activity, netlist, timing, driven, library, conditions, labels)
    return Measurement(
        design=design.name,
        products=unit.lanes if isinstance(unit, DotUnit) else 1,
        act_bits=unit.act_bits if isinstance(unit, DotUnit) else unit.operand_bits,
        weight_bits=unit.weight_bits if isinstance(unit, DotUnit) else 0,
        sum_bits=unit.sum_bits if isinstance(unit, DotUnit) else unit.result_bits,
        latency=unit.latency,
        clock_mhz=options.clock_mhz,
        effort=closed.effort,
        slack_ps=round(closed.timing.slack_ps, 3),
        overloaded=timing[1.0].overloaded,
        cells=sum(netlist.cells.values()),
        flip_flops=sum(group.size for group in netlist.flip_flops),
        area_um2=round(netlist.area_um2, 5),
        kinds=netlist.cells,
        energies=energies,
    )


def activities(unit: DotUnit | LoneUnit) -> tuple[str, ...]:
    """Return the activities that a design is measured under."""
    full = isinstance(unit, DotUnit) and unit.weight_bits > 2
    return ACTIVITIES if full else ACTIVITIES[:2]


def _drive(
    unit: DotUnit | LoneUnit, activity: str, operands: Sequence[ProductOperands], conditions: Conditions
) -> DrivenDesign:
    seed = conditions.seed
    if activity == "random":
        operands = [random_operands(seed)]
    elif activity == "dequantised":
        operands = [dequantised(matrix) for matrix in operands]
    if isinstance(unit, DotUnit):
        return drive_dot(unit, operands, streams=conditions.streams, seed=seed)
    return drive_unit(unit, operands, streams=conditions.streams, seed=seed, fresh=activity == "random")


def _energy(
    activity: str,
    netlist: GateNetlist,
    timings: Mapping[float, Timing],
    driven: DrivenDesign,
    library: Library,
    conditions: Conditions,
    labels: Mapping[str, NDArray[np.str_]],
) -> ActivityEnergy:
    run = simulate(netlist, driven.stimulus)
    found = port_values(run.outputs[driven.output])[driven.latency :]
    different = int(np.count_nonzero(found != driven.expected))
    if different:
        raise VerificationError(
            f"{netlist.name}: {different} of {found.size} results of the netlist differ from the model's "
            f"under {activity} operands"
        )

    def point(at: Timing) -> OperatingPoint:
        return OperatingPoint(voltage=library.voltage, period_ps=at.period_ps, loads=at.loads, slews=at.slews)

    timing = timings[1.0]
    report = estimate_power(netlist, run.activity, point(timing))
    few = shortened(driven.stimulus, conditions)
    delayed = simulate_delays(
        netlist,
        few,
        timing.arc_delays,
        period_ps=timing.period_ps,
        step_ps=conditions.step_ps,
        modes=("inertial",),
    )
    glitchy = estimate_power(netlist, delayed.delayed["inertial"], point(timing), settled=delayed.settled)
    share = glitchy.energy.glitch / glitchy.energy.total
    groups = _groups(report, glitchy, labels)
    wires = {
        f"{scale:g}": estimate_power(netlist, run.activity, point(timings[scale])).energy.total
        * (_FEMTO / (1 - share))
        for scale in WIRE_SCALES
    }
    return ActivityEnergy(
        activity=activity,
        vectors=int(found.size),
        glitch_cycles=(few.cycles - few.warm_up) * few.words * 64,
        parts={part: sum(group[part] for group in groups.values()) for part in PARTS},
        groups=groups,
        wires=wires,
    )


def _timing(netlist: GateNetlist, period_ps: float, conditions: Conditions, scale: float) -> Timing:
    """Return the timing with a part, or a multiple, of the assumed wires."""
    wires = conditions.wire_load
    wire_load = WireLoad(base_fF=wires.base_fF * scale, per_sink_fF=wires.per_sink_fF * scale)
    return analyse(netlist, period_ps=period_ps, wire_load=wire_load)


def shortened(stimulus: Stimulus, conditions: Conditions) -> Stimulus:
    """Return the first streams of a stimulus for as many cycles as weights stay, as simulation with delays can take.

    Every register sees one change of weights in these cycles, as in any others of that number.
    """
    words = max(1, conditions.glitch_streams // 64)
    end = stimulus.warm_up + TOKENS
    return replace(stimulus, ports={name: bits[:end, :, :words] for name, bits in stimulus.ports.items()})


def _groups(
    report: PowerReport, glitchy: PowerReport, labels: Mapping[str, NDArray[np.str_]]
) -> dict[str, dict[str, float]]:
    """Return fJ by group and part; glitches are those of fewer cycles, in their proportion to what else moves."""
    found: dict[str, dict[str, float]] = {}

    def add(group: str, energy: Energy[float], glitch: float) -> None:
        parts = asdict(energy) | {"glitch": glitch}
        into = found.setdefault(group, dict.fromkeys(PARTS, 0.0))
        for part in PARTS:
            into[part] += parts[part] * _FEMTO

    # What leaks does not depend on transitions, and neither does the clock.
    def moving(energy: Energy[float]) -> float:
        return energy.switching + energy.internal

    few = glitchy.energy
    scale = moving(report.energy) / moving(few) if moving(few) else 0.0
    add("ports", report.ports, glitchy.ports.glitch * scale)
    for cell, energy in report.cells.items():
        for label in np.unique(labels[cell]):
            where = labels[cell] == label
            add(str(label), energy.sum(where), glitchy.cells[cell].sum(where).glitch * scale)
    return {group: found[group] for group in GROUPS if group in found}


def register_groups(netlist: GateNetlist) -> dict[str, NDArray[np.str_]]:
    """Return the group of every instance by cell: of a register that stores a port the port's name.

    A register stores a port where its data come from there, through inverters and buffers at most. The ports ``a``
    and ``b`` of a unit alone are its ``operands``; registers of anything else are ``pipeline``.
    """
    source: dict[int, int] = {}
    for group in netlist.combinational:
        if len(group.cell.inputs) == 1 and len(group.cell.outputs) == 1:
            (before,), (after,) = group.cell.inputs, group.cell.outputs
            source |= dict(zip(group.nets[after].tolist(), group.nets[before].tolist(), strict=True))
    ports = {
        int(net): "operands" if name in {"a", "b"} else name
        for name, nets in netlist.inputs.items()
        for net in nets
    }
    labels = {}
    for name, group in netlist.groups.items():
        flip_flop = group.cell.flip_flop
        if flip_flop is None:
            labels[name] = np.full(group.size, "logic")
            continue
        (pin,) = flip_flop.next_state.pins
        found = []
        for net in group.nets[pin].tolist():
            while net in source:
                net = source[net]  # noqa: PLW2901
            found.append(ports.get(net, "pipeline"))
        labels[name] = np.array(found)
    return labels
