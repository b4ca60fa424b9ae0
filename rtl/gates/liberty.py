"""A library of standard cells from one or several Liberty files."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from tritforge.accel.errors import InputError
from tritforge.rtl.gates.cells import (
    Constraint,
    Expression,
    FlipFlop,
    InputPin,
    LibertyCell,
    OutputPin,
    PowerArc,
    Table2D,
    TimingArc,
)
from tritforge.rtl.gates.liberty_file import LibertyFile, read_file
from tritforge.rtl.gates.liberty_parse import Tables

_CONSTRAINTS = ("setup_rising", "setup_falling", "hold_rising", "hold_falling")


@dataclass(frozen=True, kw_only=True)
class Library:
    """Standard cells at one voltage and temperature.

    Attributes
    ----------
    names
        Of the libraries in the files.
    files
        The files.
    sha256
        Hash over the contents of all of them, in order.
    voltage
        Supply in V.
    temperature
        In degrees Celsius.
    slew_thresholds
        Fractions of the supply between which transition times are measured.
    cells
        By name.
    """

    names: tuple[str, ...]
    files: tuple[Path, ...]
    sha256: str
    voltage: float
    temperature: float
    slew_thresholds: tuple[float, float]
    cells: Mapping[str, LibertyCell]

    def cell(self, name: str) -> LibertyCell:
        """Return a cell.

        Raises
        ------
        InputError
            The library has none of that name.
        """
        if name not in self.cells:
            raise InputError(
                f"the library has no cell {name!r}; name the files of all cells that the netlist uses"
            )
        return self.cells[name]


def load_library(
    paths: Sequence[Path], *, cache: Path | None = None, on_parse: Callable[[str], None] = lambda _: None
) -> Library:
    """Return the cells of Liberty files.

    Parameters
    ----------
    paths
        One or several files of one corner, compressed by gzip or not.
    cache
        Folder that keeps what was parsed, by the content's hash; None: nothing is kept.
    on_parse
        Called with the name of a file that must be parsed, which takes half a second a megabyte.

    Raises
    ------
    InputError
        A file cannot be read, is no Liberty library or of another corner than the first; two cells have one name.
    MissingToolError
        The parser is not installed.
    """
    if not paths:
        raise InputError("no Liberty file is named; name at least one")
    files = [read_file(path, cache=cache, on_parse=on_parse) for path in paths]
    first = files[0]
    found: dict[str, tuple[LibertyFile, int]] = {}
    for file in files:
        for name in ("voltage", "temperature", "thresholds"):
            value, expected = file.description[name], first.description[name]
            if value != expected:
                raise InputError(
                    f"{name} is {value} in {file.path} and {expected} in {first.path}; "
                    "name files of one corner and one characterisation"
                )
        for place, plain in enumerate(file.description["cells"]):
            if plain["name"] in found:
                raise InputError(f"cell {plain['name']} is in {file.path} a second time; name each file once")
            found[plain["name"]] = file, place
    return Library(
        names=tuple(file.description["name"] for file in files),
        files=tuple(paths),
        sha256=sha256("".join(file.sha256 for file in files).encode()).hexdigest(),
        voltage=first.description["voltage"],
        temperature=first.description["temperature"],
        slew_thresholds=tuple(first.description["thresholds"]),
        cells=_Cells(found),
    )


class _Cells(Mapping[str, LibertyCell]):
    """Cells by name, made when they are asked for: a library has many more than a netlist."""

    def __init__(self, found: Mapping[str, tuple[LibertyFile, int]]) -> None:
        self._found = found
        self._made: dict[str, LibertyCell] = {}

    def __getitem__(self, name: str) -> LibertyCell:
        if name not in self._made:
            file, place = self._found[name]
            self._made[name] = _cell(file.description["cells"][place], file.tables)
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._found)

    def __len__(self) -> int:
        return len(self._found)


def _cell(plain: Mapping[str, Any], tables: Tables) -> LibertyCell:
    flip_flop = plain["flip_flop"]
    pins = plain["pins"]
    outputs = {pin["name"]: pin for pin in pins if pin["direction"] == "output"}
    return LibertyCell(
        name=plain["name"],
        area_um2=plain["area"],
        leakage_nW=plain["leakage"],
        leakages=tuple((Expression.from_list(when), value) for when, value in plain["leakages"]),
        inputs={
            pin["name"]: InputPin(rise_fF=pin["rise"], fall_fF=pin["fall"], is_clock=pin["clock"])
            for pin in pins
            if pin["direction"] == "input"
        },
        outputs={
            name: OutputPin(
                function=None if plain["sequential"] else _expression(pin["function"]),
                max_load_fF=float("inf") if pin["max_load"] is None else pin["max_load"],
            )
            for name, pin in outputs.items()
        },
        flip_flop=None if flip_flop is None else _flip_flop(flip_flop, outputs),
        is_sequential=plain["sequential"],
        arcs=tuple(
            _arc(arc, related, tables)
            for arc in plain["timing"]
            if arc["cell_rise"] is not None or arc["cell_fall"] is not None
            for related in arc["related"]
        ),
        constraints=tuple(
            Constraint(
                pin=arc["pin"],
                clock=related,
                kind=arc["kind"],
                when=_expression(arc["when"]),
                rise=_table(arc["rise_constraint"], tables),
                fall=_table(arc["fall_constraint"], tables),
            )
            for arc in plain["timing"]
            if arc["kind"] in _CONSTRAINTS
            for related in arc["related"]
        ),
        powers=tuple(
            PowerArc(
                pin=arc["pin"],
                related=related,
                when=_expression(arc["when"]),
                supply=arc["supply"],
                rise=_table(arc["rise"], tables),
                fall=_table(arc["fall"], tables),
            )
            for arc in plain["power"]
            for related in arc["related"] or [None]
        ),
        supplies=plain["supplies"],
    )


def _arc(arc: Mapping[str, Any], related: str, tables: Tables) -> TimingArc:
    return TimingArc(
        output=arc["pin"],
        related=related,
        sense=arc["sense"],
        kind=arc["kind"],
        when=_expression(arc["when"]),
        rise=_table(arc["cell_rise"], tables),
        fall=_table(arc["cell_fall"], tables),
        rise_slew=_table(arc["rise_transition"], tables),
        fall_slew=_table(arc["fall_transition"], tables),
    )


def _expression(plain: Any) -> Expression | None:
    return None if plain is None else Expression.from_list(plain)


def _table(place: int | None, tables: Tables) -> Table2D | None:
    if place is None:
        return None
    slew, load, values = tables[place]
    return Table2D(slew=slew, load=load, values=values)


def _flip_flop(plain: Mapping[str, Any], outputs: Mapping[str, Any]) -> FlipFlop | None:
    """Return a flip-flop; None where the clock is a function of pins or an output one of state and pins."""
    clock = Expression.from_list(plain["clocked_on"])
    rising = clock.operator == "pin"
    edge = clock if rising else clock.terms[0]
    state, complement = plain["variables"]
    shows: dict[str, bool] = {}
    for name, pin in outputs.items():
        function = _expression(pin["function"])
        if function is None:
            continue
        inner = function.terms[0] if function.operator == "not" else function
        if inner.operator != "pin" or inner.name not in (state, complement):
            return None
        shows[name] = (inner.name == state) == (function.operator == "pin")
    if edge.operator != "pin":
        return None
    return FlipFlop(
        clock=edge.name,
        rising=rising,
        next_state=Expression.from_list(plain["next_state"]),
        outputs=shows,
        clear=_expression(plain["clear"]),
        preset=_expression(plain["preset"]),
    )
