"""Activity of a netlist whose gates have delays, so that glitches are counted.

A cycle is divided into steps of a few picoseconds, and a gate reads each input as it was one delay ago, that of the
arc from this input to the output, mean of rise and fall. With inertial delays, the estimate, a pulse that is narrower
than the gate's shortest delay does not get through; what its partial swing takes is left out. With transport delays
every pulse gets through, however narrow, at full swing. That is an upper bound, and a far one: pulses split at every
gate whose paths differ by a step, so that it grows as steps get finer.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tritforge.accel.errors import InputError
from tritforge.rtl.gates.activity import Activity, ActivityCounter, Words
from tritforge.rtl.gates.netlist import GateNetlist
from tritforge.rtl.gates.simulation import Simulator, Stimulus, clock_steps, count_settled
from tritforge.rtl.gates.waveforms import ArcDelays, FlipFlopData, GateOutput, WaveformPlan, drop_pulses

MODES = ("transport", "inertial")
#: Words of all waveforms that are held at a time, and of one net's step.
_STORE_WORDS, _PASS_WORDS = 1 << 24, 8


@dataclass(frozen=True, kw_only=True, eq=False)
class DelayedRun:
    """Activity of the same cycles without and with delays.

    Attributes
    ----------
    settled
        Without delays.
    delayed
        By mode, ``transport`` or ``inertial``.
    """

    settled: Activity
    delayed: Mapping[str, Activity]


def simulate_delays(
    netlist: GateNetlist,
    stimulus: Stimulus,
    delays: ArcDelays,
    *,
    period_ps: float,
    step_ps: float = 2.0,
    arrival_ps: float | None = None,
    modes: Sequence[str] = MODES,
    progress: Callable[[int], None] | None = None,
) -> DelayedRun:
    """Simulate a netlist with delays.

    Parameters
    ----------
    netlist
        The netlist.
    stimulus
        What its ports get.
    delays
        Of every arc of every instance.
    period_ps
        Of the clock, which is high in the first half.
    step_ps
        To which delays are rounded.
    arrival_ps
        When the ports change after the clock's edge; by default when flip-flops do on average, as ports that other
        registers drive would.
    modes
        What to simulate.
    progress
        Called with the number of cycles that are done.

    Raises
    ------
    InputError
        A mode is unknown, the step is not positive, a delay is missing, or the logic does not settle in the period.
    """
    if unknown := set(modes) - set(MODES):
        raise InputError(f"mode {min(unknown)!r} of delays is unknown; choose from {', '.join(MODES)}")
    if not step_ps > 0:
        raise InputError(f"step_ps is {step_ps}; it must be above 0")
    plan = WaveformPlan(netlist, delays, period_ps=period_ps, step_ps=step_ps, arrival_ps=arrival_ps)
    simulator = Simulator(netlist, stimulus.words)
    settled = ActivityCounter(netlist, "zero")
    counters = {mode: ActivityCounter(netlist, mode) for mode in modes}
    words = max(1, min(_PASS_WORDS, _STORE_WORDS // plan.rows))
    for cycle in range(stimulus.cycles):
        before, after = simulator.step({name: bits[cycle] for name, bits in stimulus.ports.items()})
        if cycle >= stimulus.warm_up:
            count_settled(netlist, settled, before, after)
            for mode, counter in counters.items():
                counter.add_cycle(after)
                for start in range(0, stimulus.words, words):
                    part = slice(start, start + words)
                    _count(plan, counter, before[:, part], after[:, part], inertial=mode == "inertial")
        if progress is not None:
            progress(cycle + 1)
    for counter in (settled, *counters.values()):
        counter.set_states(simulator.values)
    return DelayedRun(
        settled=settled.result(), delayed={mode: counter.result() for mode, counter in counters.items()}
    )


def _count(
    plan: WaveformPlan, counter: ActivityCounter, before: Words, after: Words, *, inertial: bool
) -> None:
    """Count a cycle from the settled values at its ends, shapes (nets, words)."""
    store = np.empty((plan.rows, before.shape[1]), np.uint64)
    for block in plan.sources:
        waves = block.within(store)
        waves[:, 0], waves[:, 1] = before[block.nets], after[block.nets]
        counter.add_nets(block.nets, waves[:, :1], waves[:, 1:])
    for output in plan.outputs:
        _count_output(output, counter, store, inertial=inertial)
    for data in plan.flip_flops:
        _count_flip_flops(data, counter, store, before, after)


def _count_output(output: GateOutput, counter: ActivityCounter, store: Words, *, inertial: bool) -> None:
    """Work out the waveforms of an output, and count its events; with a cell's first output those of its inputs."""
    cell, waves = output.group.cell, output.block.within(store)
    pins = {pin: store[rows] for pin, rows in output.rows.items()}
    for pin, description in cell.outputs.items():
        assert description.function is not None  # noqa: S101
        pins[pin] = np.broadcast_to(
            description.function.evaluate({name: pins[name] for name in output.rows}), waves.shape
        )
    if inertial:
        pins[output.pin] = drop_pulses(pins[output.pin], output.width)
    waves[:] = pins[output.pin]
    counter.add_nets(output.block.nets, waves[:, :-1], waves[:, 1:])
    is_first = output.pin == next(iter(cell.outputs))
    counter.add_cells(
        cell.name,
        output.places,
        {pin: wave[:, :-1] for pin, wave in pins.items()},
        {pin: wave[:, 1:] for pin, wave in pins.items()},
        {output.pin, *(output.rows if is_first else ())},
    )


def _count_flip_flops(
    data: FlipFlopData, counter: ActivityCounter, store: Words, before: Words, after: Words
) -> None:
    """Count what happens inside flip-flops; their data changes while the clock is high or low."""
    name, places, nets = data.group.cell.name, data.places, data.group.nets
    flip_flop = data.group.cell.flip_flop
    assert flip_flop is not None  # noqa: S101
    old = {pin: before[nets[pin][places]] for pin in nets}
    new = {pin: after[nets[pin][places]] for pin in nets}
    at_fall = {pin: store[rows] for pin, rows in data.at_fall.items()}
    rise, _, fall = clock_steps(data.group, old, new | at_fall)
    for start, end in (rise, fall):
        counter.add_cells(name, places, start, end)
    held = {pin: new[pin][:, np.newaxis] for pin in data.group.cell.outputs} | {flip_flop.clock: data.is_high}
    waves = {pin: store[rows] for pin, rows in data.rows.items()}
    counter.add_cells(
        name,
        places,
        held | {pin: wave[:, :-1] for pin, wave in waves.items()},
        held | {pin: wave[:, 1:] for pin, wave in waves.items()},
    )
