"""Standard cells: what a cell computes, how long it takes and what it consumes, in one set of units.

Times are in picoseconds, capacitances in femtofarads, energies in femtojoules, leakage in nanowatts, areas in square
micrometres.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tritforge.accel.errors import InputError

_OPERATORS = ("and", "or", "xor", "not", "pin", "constant")


@dataclass(frozen=True, kw_only=True)
class Expression:
    """A Boolean function of pins.

    Attributes
    ----------
    operator
        ``and``, ``or``, ``xor``, ``not``, ``pin`` or ``constant``.
    terms
        What the operator joins.
    name
        Of a pin its name, of a constant ``0`` or ``1``.
    """

    operator: str
    terms: tuple["Expression", ...] = ()
    name: str = ""

    def __post_init__(self) -> None:
        """Check the operator."""
        if self.operator not in _OPERATORS:
            raise InputError(f"operator is {self.operator!r}; it must be one of {', '.join(_OPERATORS)}")

    @property
    def pins(self) -> tuple[str, ...]:
        """Names of the pins that the expression reads, each once, in order."""
        if self.operator == "pin":
            return (self.name,)
        return tuple(dict.fromkeys(pin for term in self.terms for pin in term.pins))

    def evaluate(self, values: Mapping[str, Any]) -> Any:
        """Return the value of the expression, bit by bit.

        Parameters
        ----------
        values
            Value of each pin: arrays of Booleans or of unsigned integers, all of one type and shape.

        Returns
        -------
        ndarray
            As the pins' values; of a constant a scalar of their type.
        """
        if self.operator == "pin":
            return values[self.name]
        if self.operator == "constant":
            kind = np.asarray(next(iter(values.values()))).dtype if values else np.dtype(bool)
            zero = kind.type(0)
            return ~zero if self.name == "1" else zero
        if self.operator == "not":
            return ~self.terms[0].evaluate(values)
        result = self.terms[0].evaluate(values)
        for term in self.terms[1:]:
            value = term.evaluate(values)
            if self.operator == "and":
                result = result & value
            elif self.operator == "or":
                result = result | value
            else:
                result = result ^ value
        return result

    def truth(self, pins: Sequence[str]) -> int:
        """Return the truth table over pins in an order: bit i is the value where pin j is bit j of i."""
        index = np.arange(1 << len(pins))
        values = {pin: (index >> place & 1).astype(bool) for place, pin in enumerate(pins)}
        table = np.broadcast_to(self.evaluate(values), index.shape)
        return sum(1 << int(place) for place in np.flatnonzero(table))

    def to_list(self) -> Any:
        """Return the expression in the types of JSON."""
        return [self.operator, self.name, *(term.to_list() for term in self.terms)]

    @classmethod
    def from_list(cls, value: Any) -> "Expression":
        """Return the expression that `to_list` gave."""
        operator, name, *terms = value
        return cls(operator=operator, name=name, terms=tuple(cls.from_list(term) for term in terms))


@dataclass(frozen=True, kw_only=True, eq=False)
class Table2D:
    """A table of a Liberty file over two quantities; over fewer, those that are missing have a single value.

    Attributes
    ----------
    slew
        Transition times of the input, or of the pin under constraint, in ps, ascending, shape (S,).
    load
        Capacitances at the output in fF, or transition times of the clock in ps where the table is a constraint's,
        ascending, shape (L,).
    values
        Shape (S, L), in ps or fJ.
    """

    slew: NDArray[np.float64]
    load: NDArray[np.float64]
    values: NDArray[np.float64]

    def __post_init__(self) -> None:
        """Check that the axes ascend and fit the values."""
        for name, axis in (("slew", self.slew), ("load", self.load)):
            if axis.ndim != 1 or axis.size < 1 or np.any(np.diff(axis) <= 0):
                raise InputError(f"axis {name} of a table is {axis.tolist()}; it must ascend strictly")
        expected = (self.slew.size, self.load.size)
        if self.values.shape != expected:
            raise InputError(f"a table has {self.values.shape} values; its axes have {expected}")

    def at(self, slew: ArrayLike, load: ArrayLike) -> NDArray[np.float64]:
        """Return values between the table's points, bilinear; beyond them the outermost segment goes on.

        Parameters
        ----------
        slew, load
            Arrays that broadcast together, in the axes' units.
        """
        slew, load = np.asarray(slew, float), np.asarray(load, float)
        row, down = _segment(self.slew, slew)
        column, along = _segment(self.load, load)
        below, beside = min(1, self.slew.size - 1), min(1, self.load.size - 1)
        first = self.values[row, column] * (1 - along) + self.values[row, column + beside] * along
        second = (
            self.values[row + below, column] * (1 - along) + self.values[row + below, column + beside] * along
        )
        result: NDArray[np.float64] = np.asarray(first * (1 - down) + second * down)
        return result


def _segment(axis: NDArray[np.float64], at: NDArray[np.float64]) -> tuple[NDArray[np.intp], Any]:
    """Return the segment of an axis that values lie in, and how far along it they lie; outside, the outermost one."""
    if axis.size == 1:
        return np.zeros(at.shape, np.intp), np.zeros(at.shape)
    place = np.clip(np.searchsorted(axis, at, side="right") - 1, 0, axis.size - 2)
    return place, (at - axis[place]) / (axis[place + 1] - axis[place])


@dataclass(frozen=True, kw_only=True)
class InputPin:
    """An input of a cell.

    Attributes
    ----------
    rise_fF, fall_fF
        Capacitance while it rises and while it falls.
    is_clock
        Whether the cell takes it as a clock.
    """

    rise_fF: float  # noqa: N815
    fall_fF: float  # noqa: N815
    is_clock: bool = False

    @property
    def capacitance_fF(self) -> float:  # noqa: N802
        """Mean of both."""
        return (self.rise_fF + self.fall_fF) / 2


@dataclass(frozen=True, kw_only=True)
class OutputPin:
    """An output of a cell.

    Attributes
    ----------
    function
        Of the inputs; of a flip-flop None.
    max_load_fF
        Largest capacitance that it may drive; infinite where the library says nothing.
    """

    function: Expression | None
    max_load_fF: float = float("inf")  # noqa: N815


@dataclass(frozen=True, kw_only=True)
class FlipFlop:
    """What a cell stores at an edge of its clock.

    Attributes
    ----------
    clock
        Pin of the clock.
    rising
        Whether it stores at the rising edge.
    next_state
        What it stores, of the inputs.
    outputs
        By output pin whether it shows the state (True) or its complement (False).
    clear, preset
        Asynchronous conditions that make the state 0 or 1, or None.
    """

    clock: str
    rising: bool
    next_state: Expression
    outputs: Mapping[str, bool]
    clear: Expression | None = None
    preset: Expression | None = None


@dataclass(frozen=True, kw_only=True)
class TimingArc:
    """From one pin to another: delays at half the supply, and transition times.

    Attributes
    ----------
    output, related
        The pins.
    sense
        ``positive_unate``, ``negative_unate`` or ``non_unate``.
    kind
        Liberty's timing type: ``combinational``, ``rising_edge``, ...
    when
        Condition, or None.
    rise, fall
        Delays until the output rises and falls, in ps; None where this arc has none.
    rise_slew, fall_slew
        Transition times of the output, in ps.
    """

    output: str
    related: str
    sense: str
    kind: str
    when: Expression | None
    rise: Table2D | None
    fall: Table2D | None
    rise_slew: Table2D | None
    fall_slew: Table2D | None


@dataclass(frozen=True, kw_only=True)
class Constraint:
    """How long before or after the clock's edge a pin must be stable.

    Attributes
    ----------
    pin, clock
        The pins.
    kind
        ``setup_rising``, ``hold_rising``, ``setup_falling`` or ``hold_falling``, after the clock's edge.
    when
        Condition, or None.
    rise, fall
        Times in ps for a rising and a falling pin, over its transition time and the clock's.
    """

    pin: str
    clock: str
    kind: str
    when: Expression | None
    rise: Table2D | None
    fall: Table2D | None


@dataclass(frozen=True, kw_only=True)
class PowerArc:
    """Energy inside the cell when a pin changes; of a single arc it may be negative.

    Attributes
    ----------
    pin
        That changes.
    related
        Input whose change makes an output change; None where the pin changes and no output does.
    when
        Condition, or None.
    supply
        Supply pin that the energy is measured at, or None.
    rise, fall
        Energies in fJ when the pin rises and falls.
    """

    pin: str
    related: str | None
    when: Expression | None
    supply: str | None
    rise: Table2D | None
    fall: Table2D | None


@dataclass(frozen=True, kw_only=True)
class LibertyCell:
    """A standard cell.

    Attributes
    ----------
    name, area_um2
        As in the library.
    leakage_nW
        Without regard to the state.
    leakages
        By state: condition and leakage in nW.
    inputs, outputs
        Pins by name.
    flip_flop
        What it stores, or None.
    is_sequential
        Whether it stores anything: flip-flops, latches, clock gates.
    arcs, constraints, powers
        Delays, what they must keep, and energies.
    supplies
        Supply pins by name; the value is ``primary_power``, ``primary_ground``, ...
    """

    name: str
    area_um2: float
    leakage_nW: float  # noqa: N815
    leakages: tuple[tuple[Expression, float], ...] = ()
    inputs: Mapping[str, InputPin]
    outputs: Mapping[str, OutputPin]
    flip_flop: FlipFlop | None = None
    is_sequential: bool = False
    arcs: tuple[TimingArc, ...] = ()
    constraints: tuple[Constraint, ...] = ()
    powers: tuple[PowerArc, ...] = ()
    supplies: Mapping[str, str] = field(default_factory=dict)
