"""When the nets of a netlist may change within a cycle, and where their waveforms are kept.

A waveform is a row of words for each step of time. It spans the steps in which delays let the net change and no more,
so that a net close to the registers has a short one. The waveforms of some instances of a cell at a level, which
change at about the same time, are stored as one array of equal lengths.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from tritforge.accel.errors import InputError
from tritforge.rtl.gates.activity import ALL_ONES, Words
from tritforge.rtl.gates.netlist import ONE, ZERO, CellGroup, GateNetlist

#: By cell, and by input and output pin (a flip-flop's clock is an input): delays in ps for a rising and a falling
#: output, NaN where there is none, shape (n, 2).
ArcDelays: TypeAlias = Mapping[str, Mapping[tuple[str, str], NDArray[np.float64]]]
Steps: TypeAlias = NDArray[np.int64]

#: Instances that are worked on at a time.
_INSTANCES = 64


@dataclass(frozen=True, kw_only=True, eq=False)
class Block:
    """Waveforms of some nets.

    Attributes
    ----------
    nets
        The nets, shape (n,).
    start
        First row of the first of them in the store.
    length
        Rows of each: one before the first change, and one for each step up to the last change.
    """

    nets: NDArray[np.int64]
    start: int
    length: int

    def within(self, store: Words) -> Words:
        """Return the part of a store, of shape (rows, words), that holds the waveforms: (n, length, words)."""
        rows = self.nets.size * self.length
        return store[self.start : self.start + rows].reshape(self.nets.size, self.length, -1)


@dataclass(frozen=True, kw_only=True, eq=False)
class GateOutput:
    """An output of some instances of a cell, and what it is made of.

    Attributes
    ----------
    group, places
        The instances.
    pin
        The output.
    rows
        By input pin the rows of the store, delayed as the output sees them, shape (n, length).
    width
        The shortest delay in steps, shape (n,).
    block
        Its waveforms.
    """

    group: CellGroup
    places: NDArray[np.int64]
    pin: str
    rows: Mapping[str, NDArray[np.int64]]
    width: Steps
    block: Block


@dataclass(frozen=True, kw_only=True, eq=False)
class FlipFlopData:
    """Data pins of some flip-flops.

    Attributes
    ----------
    group, places
        The instances.
    rows
        By data pin the rows of the store, from before the first change to the last one, shape (n, length).
    at_fall
        By data pin the row at which the clock falls, shape (n,).
    is_high
        Whether the clock is high when row i + 1 follows row i, as words, shape (n, length - 1, 1).
    """

    group: CellGroup
    places: NDArray[np.int64]
    rows: Mapping[str, NDArray[np.int64]]
    at_fall: Mapping[str, NDArray[np.int64]]
    is_high: Words


class WaveformPlan:
    """What is the same in every cycle.

    Parameters
    ----------
    netlist
        The netlist.
    delays
        Of every arc of every instance.
    period_ps
        Of the clock, which is high in the first half.
    step_ps
        To which delays, the mean of those of both edges, are rounded; one step at least.
    arrival_ps
        When ports change after the clock's edge; None: when flip-flops do, on average.

    Attributes
    ----------
    sources
        What changes once: outputs of flip-flops, ports and, never, the constants.
    outputs
        Of all gates, each behind those that it reads.
    flip_flops
        Data pins of all flip-flops.
    rows
        Rows of the store.

    Raises
    ------
    InputError
        A delay is missing, or the logic does not settle within the period.
    """

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
        self._delays = delays
        self._step_ps = step_ps
        self.rows = 0
        self._start, self._first, self._last, self._length = np.zeros((4, netlist.size), np.int64)
        self.sources = tuple(self._place_sources(arrival_ps))
        self.outputs = tuple(
            output for group, places in netlist.schedule for output in self._place_outputs(group, places)
        )
        latest = int(self._last.max()) * step_ps
        if latest > period_ps:
            raise InputError(
                f"{netlist.name} settles {latest:g} ps after the clock's edge, later than its period of "
                f"{period_ps:g} ps; choose a slower clock"
            )
        half = round(period_ps / 2 / step_ps)
        self.flip_flops = tuple(
            data for group in netlist.flip_flops for data in self._read_flip_flops(group, half)
        )

    def _place(self, nets: NDArray[np.int64], first: Steps, last: Steps) -> Block:
        """Give nets, which change first and last in these steps, their place in the store."""
        block = Block(nets=nets, start=self.rows, length=int((last - first).max(initial=0)) + 2)
        self._start[nets] = self.rows + block.length * np.arange(nets.size)
        self._first[nets], self._last[nets], self._length[nets] = first, last, block.length
        self.rows += nets.size * block.length
        return block

    def _place_sources(self, arrival_ps: float | None) -> Iterator[Block]:
        registers = []
        for group in self._netlist.flip_flops:
            flip_flop = group.cell.flip_flop
            assert flip_flop is not None  # noqa: S101
            registers += [
                (group.nets[pin], self._steps(group, flip_flop.clock, pin)) for pin in group.cell.outputs
            ]
        if arrival_ps is not None:
            arrival = round(arrival_ps / self._step_ps)
        elif registers:
            arrival = round(float(np.concatenate([steps for _, steps in registers]).mean()))
        else:
            arrival = 0
        ports = np.array(
            [ZERO, ONE, *(net for nets in self._netlist.inputs.values() for net in nets)], np.int64
        )
        for nets, steps in (*registers, (ports, np.full(ports.size, arrival, np.int64))):
            yield self._place(nets, steps, steps)

    def _steps(self, group: CellGroup, pin: str, output: str) -> Steps:
        """Return the delay of an arc of each instance in steps."""
        values = self._delays.get(group.cell.name, {}).get((pin, output))
        if values is None or np.isnan(values).all(axis=1).any():
            raise InputError(
                f"there is no delay from {pin} to {output} of {group.cell.name}; the library must have every arc"
            )
        steps: Steps = np.maximum(1, np.rint(np.nanmean(values, axis=1) / self._step_ps)).astype(np.int64)
        return steps

    def _place_outputs(self, group: CellGroup, places: NDArray[np.int64]) -> Iterator[GateOutput]:
        inputs = tuple(group.cell.inputs)
        for output in group.cell.outputs:
            delays = {pin: self._steps(group, pin, output) for pin in inputs}
            for part in self._parts(group, places):
                nets = {pin: group.nets[pin][part] for pin in inputs}
                steps = {pin: delays[pin][part] for pin in inputs}
                none = [np.zeros(part.size, np.int64)]
                first = np.min([self._first[nets[pin]] + steps[pin] for pin in inputs] or none, axis=0)
                last = np.max([self._last[nets[pin]] + steps[pin] for pin in inputs] or none, axis=0)
                block = self._place(group.nets[output][part], first, last)
                time = first[:, np.newaxis] - 1 + np.arange(block.length)
                yield GateOutput(
                    group=group,
                    places=part,
                    pin=output,
                    rows={pin: self._rows(nets[pin], time - steps[pin][:, np.newaxis]) for pin in inputs},
                    width=np.min([steps[pin] for pin in inputs] or none, axis=0),
                    block=block,
                )

    def _read_flip_flops(self, group: CellGroup, half: int) -> Iterator[FlipFlopData]:
        flip_flop = group.cell.flip_flop
        assert flip_flop is not None  # noqa: S101
        data = [pin for pin in group.cell.inputs if pin != flip_flop.clock]
        for part in self._parts(group, np.arange(group.size)):
            nets = {pin: group.nets[pin][part] for pin in data}
            first = np.min([self._first[nets[pin]] for pin in data], axis=0)
            last = np.max([self._last[nets[pin]] for pin in data], axis=0)
            time = first[:, np.newaxis] - 1 + np.arange(int((last - first).max()) + 2)
            yield FlipFlopData(
                group=group,
                places=part,
                rows={pin: self._rows(nets[pin], time) for pin in data},
                at_fall={pin: self._rows(nets[pin], np.full((part.size, 1), half))[:, 0] for pin in data},
                is_high=np.where(time[:, 1:] < half, ALL_ONES, np.uint64(0))[:, :, np.newaxis],
            )

    def _parts(self, group: CellGroup, places: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
        """Yield parts of instances that change at about the same time."""
        latest = np.zeros(places.size, np.int64)
        for pin in group.cell.inputs:
            latest = np.maximum(latest, self._last[group.nets[pin][places]])
        order = places[np.argsort(latest, kind="stable")]
        for start in range(0, order.size, _INSTANCES):
            yield order[start : start + _INSTANCES]

    def _rows(self, nets: NDArray[np.int64], time: Steps) -> NDArray[np.int64]:
        """Return the rows in the store of nets at steps, shape (n, steps)."""
        within = time - self._first[nets][:, np.newaxis] + 1
        rows: NDArray[np.int64] = self._start[nets][:, np.newaxis] + np.clip(
            within, 0, self._length[nets][:, np.newaxis] - 1
        )
        return rows


def drop_pulses(waves: Words, width: Steps) -> Words:
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
        As `waves`; each takes a value only when the value then lasts.
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
        lasting[:, reach:] |= kept[:, reach:] & lasting[:, :-reach]
        kept[:, reach:] &= kept[:, :-reach].copy()
        kept[:, :reach] = 0
        reach *= 2
    return lasting
