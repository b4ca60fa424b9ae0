"""What a Liberty file says, in the types of JSON and NumPy and in one set of units."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tritforge.accel.errors import InputError, MissingToolError

_PREFIXES = {"": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9, "p": 1e-12, "f": 1e-15}
_LOADS = ("total_output_net_capacitance", "related_pin_transition")


@dataclass(frozen=True, kw_only=True, eq=False)
class Tables:
    """Many small tables in one array; a library has 50,000 of them, and a netlist needs few.

    Attributes
    ----------
    numbers
        Of each table the slews, the loads and the values, one table after the other.
    shapes
        Number of slews and of loads of each, shape (tables, 2).
    starts
        Where each begins in `numbers`.
    """

    numbers: NDArray[np.float64]
    shapes: NDArray[np.int64]
    starts: NDArray[np.int64]

    def __getitem__(self, place: int) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Return axes and values of a table: (slew, load, values) in ps, fF and ps or fJ."""
        slews, loads = (int(size) for size in self.shapes[place])
        start = int(self.starts[place])
        numbers = self.numbers[start : start + slews + loads + slews * loads]
        slew, load, values = np.split(numbers, (slews, slews + loads))
        return slew, load, values.reshape(slews, loads)

    @classmethod
    def gathered(cls, numbers: NDArray[np.float64], shapes: NDArray[np.int64]) -> "Tables":
        """Return tables that follow each other."""
        sizes = shapes.sum(axis=1) + shapes.prod(axis=1)
        return cls(numbers=numbers, shapes=shapes, starts=np.cumsum(sizes) - sizes)


def describe(path: Path, text: str) -> "Description":
    """Return what a file with this text says; raises as `tritforge.rtl.gates.liberty_file.read_file`."""
    try:
        from liberty.parser import LibertyParserError, parse_liberty
    except ImportError as error:
        raise MissingToolError(
            "the parser of Liberty files is not installed; run: pip install 'tritforge[gates]'"
        ) from error
    try:
        library = parse_liberty(text)
    except (LibertyParserError, AssertionError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"{path} is not a Liberty library: {reason}; name a .lib file") from error
    if library.group_name != "library":
        raise InputError(
            f"{path} holds a group {library.group_name!r}; name a file with a library (...) group"
        )
    try:
        return Description(library)
    except (KeyError, IndexError, TypeError) as error:
        raise InputError(f"{path}: what it says is incomplete: {error!r}; name a complete library") from error
    except ValueError as error:
        raise InputError(f"{path}: {error}") from error


class Description:
    """The library of one file in the types of JSON and NumPy."""

    def __init__(self, library: Any) -> None:
        from liberty.boolean_functions import parse_boolean_function

        self._parse = parse_boolean_function
        self._expressions: dict[str, Any] = {}
        self._parts: list[NDArray[np.float64]] = []
        self._ps = _unit(_text(library, "time_unit", "1ns"), "s") / 1e-12
        volt = _unit(_text(library, "voltage_unit", "1V"), "V")
        amount, farad = library.get_attribute("capacitive_load_unit", [1, "pf"])
        self._farad = float(amount) * _unit(f"1{_plain(farad)}", "f") / 1e-15
        self._joule = self._farad * volt**2
        self._leakage = _unit(_text(library, "leakage_power_unit", "1nW"), "W") / 1e-9
        self._default_leakage = float(library.get_attribute("default_cell_leakage_power", 0))
        self._templates = {
            _plain(group.args[0]): group
            for group in library.groups
            if group.group_name in ("lu_table_template", "power_lut_template")
        }
        edges = ("lower_threshold_pct_rise", "upper_threshold_pct_rise")
        lower, upper = (
            float(library.get_attribute(f"slew_{edge}", 20 + 60 * i)) for i, edge in enumerate(edges)
        )
        self.description: dict[str, Any] = {
            "name": _plain(library.args[0]),
            "voltage": float(library["nom_voltage"]) * volt,
            "temperature": float(library.get_attribute("nom_temperature", 25)),
            "thresholds": [lower / 100, upper / 100],
            "cells": [self._cell(cell) for cell in library.get_groups("cell")],
        }

    def tables(self) -> Tables:
        """Return the tables that the description names."""
        shapes = [
            (slew.size, load.size) for slew, load in zip(self._parts[::3], self._parts[1::3], strict=True)
        ]
        return Tables.gathered(
            np.concatenate([np.zeros(0), *self._parts]), np.array(shapes, np.int64).reshape(-1, 2)
        )

    def _expression(self, text: Any) -> Any:
        """Return a Boolean function as nested lists: operator, name and terms."""
        if text is None:
            return None
        plain = _plain(text)
        if plain not in self._expressions:
            try:
                self._expressions[plain] = _nested(self._parse(plain))
            except Exception as error:  # the parser of expressions raises those of its own parser's generator
                if not type(error).__module__.startswith("lark"):
                    raise
                raise ValueError(f"the function {plain!r} cannot be parsed; correct it") from error
        return self._expressions[plain]

    def _cell(self, cell: Any) -> dict[str, Any]:
        pins = cell.get_groups("pin")
        state = next((group for group in cell.groups if group.group_name == "ff"), None)
        stores = ("ff", "ff_bank", "latch", "latch_bank", "statetable")
        leakages: dict[str, list[Any]] = {}
        for group in cell.get_groups("leakage_power"):
            when = self._expression(group.get_attribute("when"))
            entry = leakages.setdefault(json.dumps(when), [when, 0.0])
            entry[1] += float(group["value"]) * self._leakage
        default = leakages.pop("null", None)
        if default is None:
            default = [
                None,
                float(cell.get_attribute("cell_leakage_power", self._default_leakage)) * self._leakage,
            ]
        return {
            "name": _plain(cell.args[0]),
            "area": float(cell["area"]),
            "leakage": default[1],
            "leakages": list(leakages.values()),
            "supplies": {_plain(pg.args[0]): _text(pg, "pg_type", "") for pg in cell.get_groups("pg_pin")},
            "pins": [self._pin(pin) for pin in pins],
            "sequential": any(group.group_name in stores for group in cell.groups),
            "flip_flop": None if state is None else self._flip_flop(state),
            "timing": [self._timing(pin, group) for pin in pins for group in pin.get_groups("timing")],
            "power": [self._power(pin, group) for pin in pins for group in pin.get_groups("internal_power")],
        }

    def _pin(self, pin: Any) -> dict[str, Any]:
        capacitance = pin.get_attribute("capacitance", 0)
        rise, fall = (
            float(pin.get_attribute(f"{edge}_capacitance", capacitance)) * self._farad
            for edge in ("rise", "fall")
        )
        maximum = pin.get_attribute("max_capacitance")
        return {
            "name": _plain(pin.args[0]),
            "direction": _text(pin, "direction", ""),
            "function": self._expression(pin.get_attribute("function")),
            "clock": _text(pin, "clock", "false") == "true",
            "rise": rise,
            "fall": fall,
            "max_load": None if maximum is None else float(maximum) * self._farad,
        }

    def _flip_flop(self, state: Any) -> dict[str, Any]:
        names = ("clocked_on", "next_state", "clear", "preset")
        values = {name: self._expression(state.get_attribute(name)) for name in names}
        return values | {"variables": [_plain(variable) for variable in state.args]}

    def _timing(self, pin: Any, group: Any) -> dict[str, Any]:
        names = ("cell_rise", "cell_fall", "rise_transition", "fall_transition")
        return {
            "pin": _plain(pin.args[0]),
            "related": _text(group, "related_pin", "").split(),
            "sense": _text(group, "timing_sense", "non_unate"),
            "kind": _text(group, "timing_type", "combinational"),
            "when": self._expression(group.get_attribute("when")),
            **{
                name: self._table(group, name, self._ps)
                for name in (*names, "rise_constraint", "fall_constraint")
            },
        }

    def _power(self, pin: Any, group: Any) -> dict[str, Any]:
        supply = group.get_attribute("related_pg_pin")
        rise, fall = (self._table(group, f"{edge}_power", self._joule) for edge in ("rise", "fall"))
        both = self._table(group, "power", self._joule)
        return {
            "pin": _plain(pin.args[0]),
            "related": _text(group, "related_pin", "").split(),
            "when": self._expression(group.get_attribute("when")),
            "supply": None if supply is None else _plain(supply),
            "rise": both if rise is None else rise,
            "fall": both if fall is None else fall,
        }

    def _table(self, group: Any, name: str, unit: float) -> int | None:
        """Take in a table and return its place, or None where the group has none of that name."""
        tables = group.get_groups(name)
        if not tables:
            return None
        table = tables[0]
        template = self._templates.get(_plain(table.args[0])) if table.args else None
        axes, variables = [], []
        for place in (1, 2):
            index = table.get_attribute(f"index_{place}")
            if index is None and template is not None:
                index = template.get_attribute(f"index_{place}")
            if index is None:
                continue
            axes.append(_numbers(index))
            variables.append("" if template is None else _text(template, f"variable_{place}", ""))
        values = _numbers(table["values"]) * unit
        axes = [
            axis * (self._farad if variable == "total_output_net_capacitance" else self._ps)
            for axis, variable in zip(axes, variables, strict=True)
        ]
        if len(axes) == 1:
            only = variables[0] in _LOADS
            axes.insert(0 if only else 1, np.zeros(1))
            variables.insert(0 if only else 1, "")
        elif not axes:
            axes = [np.zeros(1), np.zeros(1)]
        shaped = values.reshape([axis.size for axis in axes])
        if len(variables) == 2 and variables[0] in _LOADS:
            axes, shaped = axes[::-1], shaped.T
        self._parts += [axes[0], axes[1], shaped.ravel()]
        return len(self._parts) // 3 - 1


def _plain(value: Any) -> str:
    """Return a string without the parser's wrapping of quoted ones."""
    return str(getattr(value, "value", value))


def _text(group: Any, name: str, default: str) -> str:
    return _plain(group.get_attribute(name, default))


def _numbers(value: Any) -> NDArray[np.float64]:
    """Return the numbers of a list of numbers or of strings of them."""
    texts = value if isinstance(value, list) else [value]
    numbers = [float(number) for text in texts for number in _plain(text).replace(",", " ").split()]
    return np.array(numbers, np.float64)


def _unit(text: str, unit: str) -> float:
    """Return a unit such as ``10ps`` in terms of one without prefix."""
    number = text.rstrip("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
    suffix = text[len(number) :]
    prefix = suffix[: -len(unit)].lower()
    if suffix[-len(unit) :].lower() != unit.lower() or prefix not in _PREFIXES:
        raise ValueError(
            f"unit {text!r} is not known; write a number, a prefix of m, u, n, p or f, and {unit}"
        )
    return float(number or 1) * _PREFIXES[prefix]


def _nested(function: Any) -> Any:
    """Return a function of SymPy as nested lists."""
    from sympy import Symbol
    from sympy.logic.boolalg import And, BooleanFalse, BooleanTrue, Not, Or, Xor

    if isinstance(function, Symbol):
        return ["pin", str(function.name)]
    if isinstance(function, BooleanTrue | BooleanFalse):
        return ["constant", str(int(bool(function)))]
    kinds = {And: "and", Or: "or", Xor: "xor", Not: "not"}
    operator = next(name for kind, name in kinds.items() if isinstance(function, kind))
    return [operator, "", *(_nested(term) for term in function.args)]
