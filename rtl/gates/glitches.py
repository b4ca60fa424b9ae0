"""Activity of a netlist whose gates have delays, so that glitches are counted.

A cycle is divided into steps of a few picoseconds, and every net has a waveform: for each step a word with a bit for
each stream. A gate reads its inputs as they were one delay ago, that of the arc from the input to the output, mean of
rise and fall. With transport delays every pulse gets through. With inertial delays pulses that are narrower than the
gate's shortest delay do not; what a partial swing takes is left out then. Both bracket what silicon does.

Waveforms span the time in which static timing lets a net change and no more, and those of the instances of a cell at
a level have the same length, so that they are one array.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from tritforge.accel.errors import InputError
from tritforge.rtl.gates.activity import ALL_ONES, Activity, Counter, Words
from tritforge.rtl.gates.netlist import CellGroup, GateNetlist
from tritforge.rtl.gates.simulation import Simulator, Stimulus, clock_steps, count_settled

#: By cell, and by input and output pin (a flip-flop's clock is an input): delays in ps for a rising and a falling
#: output, shape (n, 2).
ArcDelays: TypeAlias = Mapping[str, Mapping[tuple[str, str], NDArray[np.float64]]]

MODES = ("transport", "inertial")
#: Words of the waveforms of one pass, and of one net in it.
_STORE_WORDS, _PASS_WORDS = 1 << 24, 8
#: Instances that are worked on at a time.
_INSTANCES = 64


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


@dataclass(frozen=True, kw_only=True, eq=False)
class _Block:
    """Waveforms of an output of some instances.

    Attributes
    ----------
    nets
        What they drive, shape (n,).
    start
        First row of the first of them in the store.
    first
        Step in which each may change first, shape (n,).
    length
        Rows of each: one before the first change, and one for each step up to the last change.
    """

    nets: NDArray[np.int64]
    start: int
    first: NDArray[np.int64]
    length: int


@dataclass(frozen=True, kw_only=True, eq=False)
class _Gate:
    """An output of some instances of a cell at a level, and how it comes about.

    Attributes
    ----------
    group, places
        The instances.
    output
        The pin.
    counted
        Pins whose tables count with this output: itself, and with the cell's first output the inputs.
    rows
        By input pin, row in the store for each row of the block, shape (n, length).
    width
        Steps that a pulse must last, shape (n,).
    block
        Its waveforms.
    """

    group: CellGroup
    places: NDArray[np.int64]
    output: str
    counted: frozenset[str]
    rows: Mapping[str, NDArray[np.int64]]
    width: NDArray[np.int64]
    block: _Block


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
        A mode is unknown, the step is not positive, or the logic does not settle within the period.
    """
    if unknown := set(modes) - set(MODES):
        raise InputError(f"mode {min(unknown)!r} of delays is unknown; choose from {', '.join(MODES)}")
    if not step_ps > 0:
        raise InputError(f"step_ps is {step_ps}; it must be above 0")
    plan = _Plan(netlist, delays, period_ps=period_ps, step_ps=step_ps, arrival_ps=arrival_ps)
    simulator = Simulator(netlist, stimulus.words)
    settled = Counter(netlist, "zero")
    counters = {mode: Counter(netlist, mode) for mode in modes}
    words = max(1, min(_PASS_WORDS, _STORE_WORDS // plan.rows))
    for cycle in range(stimulus.cycles):
        before, after = simulator.step({name: bits[cycle] for name, bits in stimulus.ports.items()})
        if cycle >= stimulus.warm_up:
            count_settled(netlist, settled, before, after)
            for mode, counter in counters.items():
                counter.add_cycle(after)
                for start in range(0, stimulus.words, words):
                    part = slice(start, start + words)
                    plan.count(counter, before[:, part], after[:, part], inertial=mode == "inertial")
        if progress is not None:
            progress(cycle + 1)
    for counter in (settled, *counters.values()):
        counter.set_states(simulator.values)
    return DelayedRun(
        settled=settled.result(), delayed={mode: counter.result() for mode, counter in counters.items()}
    )


class _Plan:
    """What is the same in every cycle: when nets change, where their waveforms lie, and what is read from where."""

    def __init__(
        self,
        netlist: GateNetlist,
        delays: ArcDelays,
        *,
        period_ps: float,
        step_ps: float,
        arrival_ps: float | None,
    ) -> None:
        self._netlist = netlist
        self._step_ps = step_ps
        self._half = round(period_ps / 2 / step_ps)
        self._delays = {
            name: {
                arc: np.maximum(1, np.rint(values.mean(axis=1) / step_ps)).astype(np.int64)
                for arc, values in arcs.items()
            }
            for name, arcs in delays.items()
        }
        #: Rows of the store that are in use.
        self.rows = 0
        self._start = np.zeros(netlist.size, np.int64)
        self._first = np.zeros(netlist.size, np.int64)
        self._length = np.full(netlist.size, 2, np.int64)
        self._sources = [*self._place_sources(arrival_ps)]
        self._gates = [
            gate for group, places in netlist.schedule for gate in self._place_gates(group, places)
        ]
        latest = int((self._first + self._length - 2).max()) * step_ps
        if latest > period_ps:
            raise InputError(
                f"{netlist.name} settles {latest:g} ps after the clock's edge, later than its period of "
                f"{period_ps:g} ps; choose a slower clock"
            )

    def _place(self, nets: NDArray[np.int64], first: NDArray[np.int64], length: int) -> _Block:
        block = _Block(nets=nets, start=self.rows, first=first, length=length)
        self._start[nets] = self.rows + length * np.arange(nets.size)
        self._first[nets] = first
        self._length[nets] = length
        self.rows += nets.size * length
        return block

    def _place_sources(self, arrival_ps: float | None) -> Iterator[_Block]:
        """Yield what changes once: flip-flops, ports and, never, constants."""
        registers = []
        for group in self._netlist.flip_flops:
            flip_flop = group.cell.flip_flop
            assert flip_flop is not None  # noqa: S101
            arcs = self._delays[group.cell.name]
            registers += [(group.nets[pin], arcs[flip_flop.clock, pin]) for pin in group.cell.outputs]
        if arrival_ps is not None:
            arrival = round(arrival_ps / self._step_ps)
        elif registers:
            arrival = round(float(np.concatenate([steps for _, steps in registers]).mean()))
        else:
            arrival = 0
        ports = np.array([0, 1, *(net for nets in self._netlist.inputs.values() for net in nets)], np.int64)
        for nets, steps in (*registers, (ports, np.full(ports.size, arrival, np.int64))):
            yield self._place(nets, steps, 2)

    def _place_gates(self, group: CellGroup, places: NDArray[np.int64]) -> Iterator[_Gate]:
        inputs = tuple(group.cell.inputs)
        for number, output in enumerate(group.cell.outputs):
            arcs = self._delays.get(group.cell.name, {})
            for part in self._chunks(group, places):
                steps = {pin: arcs[pin, output][part] for pin in inputs}
                nets = {pin: group.nets[pin][part] for pin in inputs}
                starts = [self._first[nets[pin]] + steps[pin] for pin in inputs]
                ends = [
                    start + self._length[nets[pin]] - 2 for pin, start in zip(inputs, starts, strict=True)
                ]
                first = np.min(starts, axis=0) if inputs else np.zeros(part.size, np.int64)
                last = np.max(ends, axis=0) if inputs else first
                block = self._place(group.nets[output][part], first, int((last - first).max()) + 2)
                # Row 0 is the step before the first change.
                time = first[:, np.newaxis] - 1 + np.arange(block.length)
                rows = {pin: self._rows(nets[pin], time - steps[pin][:, np.newaxis]) for pin in inputs}
                width = (
                    np.min([steps[pin] for pin in inputs], axis=0) if inputs else np.ones(part.size, np.int64)
                )
                yield _Gate(
                    group=group,
                    places=part,
                    output=output,
                    counted=frozenset((output, *inputs) if number == 0 else (output,)),
                    rows=rows,
                    width=width,
                    block=block,
                )

    def _chunks(self, group: CellGroup, places: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
        """Yield parts of instances that change at about the same time, and that fit the cache."""
        latest = np.max(
            [
                self._first[group.nets[pin][places]] + self._length[group.nets[pin][places]]
                for pin in group.cell.inputs
            ],
            axis=0,
            initial=0,
        )
        order = places[np.argsort(np.broadcast_to(latest, places.shape), kind="stable")]
        for start in range(0, order.size, _INSTANCES):
            yield order[start : start + _INSTANCES]

    def _rows(self, nets: NDArray[np.int64], time: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the rows in the store of nets at steps, shape (n, steps)."""
        within = np.clip(
            time - self._first[nets][:, np.newaxis] + 1, 0, self._length[nets][:, np.newaxis] - 1
        )
        rows: NDArray[np.int64] = self._start[nets][:, np.newaxis] + within
        return rows

    def count(self, counter: Counter, before: Words, after: Words, *, inertial: bool) -> None:
        """Count a cycle from the settled values at its ends, shapes (nets, words)."""
        store = np.empty((self.rows, before.shape[1]), np.uint64)
        for block in self._sources:
            waves = _waves(store, block)
            waves[:, 0], waves[:, 1] = before[block.nets], after[block.nets]
            counter.add_nets(block.nets, waves[:, :1], waves[:, 1:])
        for gate in self._gates:
            pins = {pin: store[rows] for pin, rows in gate.rows.items()}
            values = {
                pin: np.broadcast_to(
                    description.function.evaluate(pins),
                    (gate.block.nets.size, gate.block.length, before.shape[1]),
                )
                for pin, description in gate.group.cell.outputs.items()
                if description.function is not None
            }
            if inertial:
                values[gate.output] = drop_pulses(values[gate.output], gate.width)
            waves = _waves(store, gate.block)
            waves[:] = values[gate.output]
            pins.update(values)
            counter.add_nets(gate.block.nets, waves[:, :-1], waves[:, 1:])
            counter.add_cells(
                gate.group.cell.name,
                gate.places,
                {pin: wave[:, :-1] for pin, wave in pins.items()},
                {pin: wave[:, 1:] for pin, wave in pins.items()},
                gate.counted,
            )
        for group in self._netlist.flip_flops:
            self._count_flip_flops(counter, group, store, before, after)

    def _count_flip_flops(
        self, counter: Counter, group: CellGroup, store: Words, before: Words, after: Words
    ) -> None:
        """Count what happens inside flip-flops; transitions of the data while the clock is high and low apart."""
        flip_flop = group.cell.flip_flop
        assert flip_flop is not None  # noqa: S101
        name, every = group.cell.name, slice(None)
        old = {pin: before[nets] for pin, nets in group.nets.items()}
        new = {pin: after[nets] for pin, nets in group.nets.items()}
        data = [pin for pin in group.cell.inputs if pin != flip_flop.clock]
        at_fall = {
            pin: store[self._rows(group.nets[pin], np.full((group.size, 1), self._half))[:, 0]]
            for pin in data
        }
        for number, (start, end) in enumerate(clock_steps(group, old, {**new, **at_fall})):
            # The second step is that of the data.
            if number != 1:
                counter.add_cells(name, every, start, end)
        for part in np.array_split(np.arange(group.size), max(1, group.size // _INSTANCES)):
            first = np.min([self._first[group.nets[pin][part]] for pin in data], axis=0)
            last = np.max(
                [
                    self._first[group.nets[pin][part]] + self._length[group.nets[pin][part]] - 2
                    for pin in data
                ],
                axis=0,
            )
            time = first[:, np.newaxis] - 1 + np.arange(int((last - first).max()) + 2)
            pins = {pin: store[self._rows(group.nets[pin][part], time)] for pin in data}
            held = {pin: new[pin][part][:, np.newaxis] for pin in group.cell.outputs}
            held[flip_flop.clock] = np.where(time[:, 1:] < self._half, ALL_ONES, np.uint64(0))[
                :, :, np.newaxis
            ]
            counter.add_cells(
                name,
                part,
                {**held, **{pin: wave[:, :-1] for pin, wave in pins.items()}},
                {**held, **{pin: wave[:, 1:] for pin, wave in pins.items()}},
            )


def drop_pulses(waves: Words, width: NDArray[np.int64]) -> Words:
    """Return waveforms without pulses that are too narrow; what stays is where it was.

    Parameters
    ----------
    waves
        Shape (n, steps, words); the value of the first step holds before it, that of the last one after it.
    width
        Steps that a pulse must last, shape (n,).

    Returns
    -------
    Words
        As `waves`. The output takes a value only when the value then lasts.
    """
    result = waves.copy()
    for steps in np.unique(width[width > 1]):
        chosen = width == steps
        result[chosen] = _drop_narrower(waves[chosen], int(steps))
    return result


def _drop_narrower(waves: Words, width: int) -> Words:
    """Return waveforms without pulses of fewer than `width` steps."""
    lasting = ever = np.concatenate((waves, np.repeat(waves[:, -1:], width - 1, axis=1)), axis=1)
    reach = 1
    while reach < width:
        ahead = min(reach, width - reach)
        lasting = lasting[:, :-ahead] & lasting[:, ahead:]
        ever = ever[:, :-ahead] | ever[:, ahead:]
        reach += ahead
    lasting[:, 0] = waves[:, 0]
    # Where both values occur the one before is kept: a carry chain, whose generated carries are `lasting`.
    kept = ever & ~lasting
    kept[:, 0] = 0
    reach = 1
    while reach < waves.shape[1] and kept.any():
        carried = kept[:, reach:] & lasting[:, :-reach]
        lasting[:, reach:] |= carried
        kept[:, reach:] &= kept[:, :-reach].copy()
        kept[:, :reach] = 0
        reach *= 2
    return lasting


def _waves(store: Words, block: _Block) -> Words:
    """Return the part of the store that holds a block's waveforms, shape (n, length, words)."""
    rows = block.nets.size * block.length
    return store[block.start : block.start + rows].reshape(block.nets.size, block.length, -1)
