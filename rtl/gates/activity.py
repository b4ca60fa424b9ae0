"""Transitions in a netlist, counted so that the library's tables of internal energy can be applied to them.

A table holds for a pin that changes, at an output for the input that makes it change, under a condition on the other
pins. The condition of an output's table is taken before the transition; when several inputs change at once, every
table that fits is a candidate, and `power` charges the transition with the candidates' mean. The condition of an
input's own table, which says that no output follows, must hold before and after.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from tritforge.rtl.gates.cells import Expression, LibertyCell, PowerArc
from tritforge.rtl.gates.netlist import GateNetlist

#: One bit per stream, 64 streams a word.
Words: TypeAlias = NDArray[np.uint64]
Counts: TypeAlias = NDArray[np.int64]

#: Streams of a word.
WORD = 64
ALL_ONES = np.uint64(0xFFFF_FFFF_FFFF_FFFF)
RISE, FALL = 0, 1
#: Words of one pin that are worked on at a time, so that those of all pins of a cell stay in the processor's cache.
CHUNK = 1 << 14


@dataclass(frozen=True, kw_only=True)
class PowerTable:
    """Tables of internal energy for one event, one for every supply pin; the energy is the sum over the supplies.

    Attributes
    ----------
    pin, related, when
        As in `PowerArc`.
    supplies
        The tables.
    """

    pin: str
    related: str | None
    when: Expression | None
    supplies: tuple[PowerArc, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class GroupActivity:
    """Events of the n instances of a cell.

    Attributes
    ----------
    tables
        For each table of the cell in the order of `power_tables`, how often the pin rose and fell such that the table
        is a candidate, shape (tables, 2, n).
    states
        Share of the time in each state of the cell's leakage, shape (states, n), in the last cycle of all streams.
    """

    tables: Counts
    states: NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Activity:
    """What changed in a netlist.

    Attributes
    ----------
    delays
        ``zero``, ``transport`` or ``inertial``: how gates delay, hence whether there are glitches.
    cycles
        Cycles that were counted, of all streams together.
    rises, falls
        Transitions of each net, shape (nets,); those of the clock are one of each in every cycle.
    high
        Share of the cycles that end with the net at 1, shape (nets,).
    groups
        By name of the cell.
    """

    delays: str
    cycles: int
    rises: Counts
    falls: Counts
    high: NDArray[np.float64]
    groups: Mapping[str, GroupActivity]

    @property
    def toggles(self) -> NDArray[np.float64]:
        """Transitions of each net in a cycle, shape (nets,)."""
        return (self.rises + self.falls) / self.cycles


def popcount(words: Words | np.uint64, axes: tuple[int, ...]) -> Counts:
    """Return the number of ones over axes."""
    counts: Counts = np.bitwise_count(words).sum(axis=axes, dtype=np.int64)
    return counts


def power_tables(cell: LibertyCell) -> tuple[PowerTable, ...]:
    """Return the tables of a cell, those of its supplies together."""
    events: dict[tuple[str, str | None, Expression | None], list[PowerArc]] = {}
    for arc in cell.powers:
        events.setdefault((arc.pin, arc.related, arc.when), []).append(arc)
    return tuple(
        PowerTable(pin=pin, related=related, when=when, supplies=tuple(arcs))
        for (pin, related, when), arcs in events.items()
    )


class ActivityCounter:
    """Adds up the events of a netlist.

    Parameters
    ----------
    netlist
        The netlist.
    delays
        As `Activity` has it.
    """

    def __init__(self, netlist: GateNetlist, delays: str) -> None:
        self._netlist = netlist
        self._delays = delays
        self._tables = {name: power_tables(group.cell) for name, group in netlist.groups.items()}
        self._first_with = {}
        for name, tables in self._tables.items():
            whens = [table.when for table in tables]
            self._first_with[name] = [whens.index(when) for when in whens]
        self._counts = {
            name: np.zeros((len(self._tables[name]), 2, group.size), np.int64)
            for name, group in netlist.groups.items()
        }
        self._states = {
            name: np.zeros((len(group.cell.leakages), group.size)) for name, group in netlist.groups.items()
        }
        self._rises = np.zeros(netlist.size, np.int64)
        self._falls = np.zeros(netlist.size, np.int64)
        self._high = np.zeros(netlist.size, np.int64)
        self._cycles = 0

    def add_nets(self, nets: NDArray[np.int64], before: Words, after: Words) -> None:
        """Count the transitions of nets.

        Parameters
        ----------
        nets
            Their numbers, each once, shape (n,).
        before, after
            Values before and after a step, shape (n, ..., words).
        """
        axes = tuple(range(1, before.ndim))
        self._rises[nets] += popcount(~before & after, axes)
        self._falls[nets] += popcount(before & ~after, axes)

    def add_cells(
        self,
        name: str,
        places: NDArray[np.int64] | slice,
        before: Mapping[str, Words],
        after: Mapping[str, Words],
        pins: Collection[str] | None = None,
    ) -> None:
        """Count the events inside cells of one kind.

        Parameters
        ----------
        name
            The cell.
        places
            Which of its instances, n of them.
        before, after
            By pin the values before and after a step, shapes that broadcast to (n, ..., words).
        pins
            Pins whose events are counted; None: all.
        """
        counts = self._counts[name]
        changed = {pin: before[pin] ^ after[pin] for pin in after}
        conditions: dict[int, Words] = {}
        for index, table in enumerate(self._tables[name]):
            if pins is not None and table.pin not in pins:
                continue
            events = (
                changed[table.pin] if table.related is None else changed[table.pin] & changed[table.related]
            )
            if table.when is not None:
                # By the place of the first table that has it: an expression takes long to hash.
                place = self._first_with[name][index]
                if place not in conditions:
                    conditions[place] = table.when.evaluate(before)
                events = events & conditions[place]
                if table.related is None:
                    events = events & table.when.evaluate(after)
            axes = tuple(range(1, events.ndim))
            rising = popcount(events & after[table.pin], axes)
            counts[index, RISE, places] += rising
            counts[index, FALL, places] += popcount(events, axes) - rising

    def add_cycle(self, values: Words) -> None:
        """Count a cycle by its end: time at 1. Shape of `values` (nets, words)."""
        self._high += popcount(values, (1,))
        self._cycles += values.shape[1] * WORD

    def set_states(self, values: Words) -> None:
        """Take the shares of the leakage's states from one settled cycle of all streams, shape (nets, words)."""
        streams = values.shape[1] * WORD
        for name, group in self._netlist.groups.items():
            pins = {pin: values[nets] for pin, nets in group.nets.items()}
            clock = None if group.cell.flip_flop is None else group.cell.flip_flop.clock
            # The clock is high for half of the time.
            levels = (ALL_ONES,) if clock is None else (np.uint64(0), ALL_ONES)
            for index, (condition, _) in enumerate(group.cell.leakages):
                for level in levels:
                    if clock is not None:
                        pins[clock] = np.full((group.size, values.shape[1]), level)
                    self._states[name][index] += (
                        popcount(condition.evaluate(pins), (1,)) / streams / len(levels)
                    )

    def result(self) -> Activity:
        """Return what was counted."""
        if self._netlist.clock is not None:
            self._rises[self._netlist.clock] = self._falls[self._netlist.clock] = self._cycles
        return Activity(
            delays=self._delays,
            cycles=self._cycles,
            rises=self._rises,
            falls=self._falls,
            high=self._high / self._cycles,
            groups={
                name: GroupActivity(tables=self._counts[name], states=self._states[name])
                for name in self._counts
            },
        )
