"""Energy of one operation or of one moved bit, by technology node: a table in which every row has a source.

The table is a CSV file with the columns of `COLUMNS`; a table of one's own has the same ones. Arithmetic is
named by its operands and what is done, as in ``int8.add`` or ``fp16.mul``; memory by its kind and size or type,
as in ``sram.8192B`` or ``dram.HBM2``; ``register`` and ``wire`` are a flip-flop's bit and a bit over a
millimetre. Rows of the node ``any`` hold for all nodes (DRAM). What lies between rows, such as additions of 17 bits,
is derived by the rules of `tritforge.energy.technology_rules`.
"""

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

from tritforge.accel.errors import InputError
from tritforge.energy.interval import Interval
from tritforge.energy.records import read_number

COLUMNS = ("node", "operation", "value", "low", "high", "unit", "source", "obtained", "status", "note")

#: Joules in one counted thing, by the unit that a row may have.
UNITS = {
    "pJ/op": 1e-12,
    "fJ/op": 1e-15,
    "pJ/bit": 1e-12,
    "fJ/bit": 1e-15,
    "pJ/64bit": 1e-12 / 64,
    "pJ/bit/mm": 1e-12,
    "fJ/bit/mm": 1e-15,
}

#: What is counted, by the part of a unit after its joules.
COUNTED = {"op": "operations", "bit": "bits", "64bit": "bits", "bit/mm": "bit mm"}

#: Node of rows that hold for every node.
ANY_NODE = "any"

#: How a value may have been obtained.
OBTAINED = ("published", "derived", "measured")

#: Whether a published value was read in its source, in a secondary copy, or is recalled.
STATUSES = ("verified", "secondary", "recalled")


@dataclass(frozen=True, kw_only=True)
class TechnologyRow:
    """Energy of one operation in one node.

    Attributes
    ----------
    node, operation
        Key of the row, such as ``7nm`` and ``fp16.add``.
    cost
        Value and bounds in `unit`.
    unit
        One of `UNITS`.
    source
        Document that the value is from.
    obtained
        One of `OBTAINED`.
    status
        One of `STATUSES`.
    note
        What else a reader should know.

    Raises
    ------
    InputError
        An empty key, a unit or a mark that is not known, or no source.
    """

    node: str
    operation: str
    cost: Interval
    unit: str
    source: str
    obtained: str
    status: str
    note: str = ""

    def __post_init__(self) -> None:
        for field in ("node", "operation", "source"):
            if not getattr(self, field).strip():
                raise InputError(f"row {self.key} has no {field}; fill it in")
        for field, allowed in (("unit", tuple(UNITS)), ("obtained", OBTAINED), ("status", STATUSES)):
            value = getattr(self, field)
            if value not in allowed:
                raise InputError(
                    f"row {self.key}: {field} is {value!r}; it must be one of {', '.join(allowed)}"
                )

    @property
    def key(self) -> str:
        """Node and operation, as in ``7nm/fp16.add``."""
        return f"{self.node}/{self.operation}"

    @property
    def counted(self) -> str:
        """What the row is multiplied with: ``operations``, ``bits`` or ``bit mm``."""
        return COUNTED[self.unit.partition("/")[2]]

    @cached_property
    def joules(self) -> Interval:
        """Energy of one operation, or of one bit, in joules."""
        return self.cost.times(UNITS[self.unit])

    @property
    def citation(self) -> str:
        """The row in one line: key, value, bounds where they differ, how obtained, source."""
        cost = self.cost
        bounds = f" ({cost.low:g} to {cost.high:g})" if cost.low < cost.high else ""
        return f"{self.key} = {cost.value:g}{bounds} {self.unit}, {self.obtained}: {self.source}"


class Technology:
    """A table of technology rows.

    Parameters
    ----------
    rows
        Rows by node and operation.
    name
        What error messages call the table.
    """

    def __init__(self, rows: Mapping[tuple[str, str], TechnologyRow], *, name: str) -> None:
        self._rows = dict(rows)
        self._derived: dict[tuple[str, str], TechnologyRow] = {}
        self.name = name

    def __iter__(self) -> Iterator[TechnologyRow]:
        return iter(self._rows.values())

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def nodes(self) -> tuple[str, ...]:
        """Nodes that have rows of their own, in the order of the table."""
        return tuple(dict.fromkeys(node for node, _ in self._rows if node != ANY_NODE))

    def at(self, node: str) -> Mapping[str, TechnologyRow]:
        """Return the rows of a node as the table has them, those of all nodes included, by operation."""
        return {row.operation: row for (at, _), row in self._rows.items() if at in {node, ANY_NODE}}

    def row(self, node: str, operation: str) -> TechnologyRow:
        """Return the row of an operation: the table's, or one that a rule derives from the table's.

        Raises
        ------
        InputError
            The table has no such node, or no such operation in it and no rule leads to it.
        """
        # The usual case first, since a sweep over models asks some hundred thousand times.
        found = (
            self._rows.get((node, operation))
            or self._derived.get((node, operation))
            or (self._rows.get((ANY_NODE, operation)) if node in self.nodes else None)
        )
        if found is None:
            found = self._derive(node, operation)
            self._derived[node, operation] = found
        return found

    def _derive(self, node: str, operation: str) -> TechnologyRow:
        # Here, since the rules build rows.
        from tritforge.energy.technology_rules import derive

        if node not in self.nodes:
            raise InputError(f"{self.name} has no node {node!r}; it has {', '.join(self.nodes)}")
        derived = derive(self.at(node), node, operation)
        if derived is None:
            there = ", ".join(self.at(node))
            raise InputError(f"{self.name} has no operation {operation!r} at {node}; it has {there}")
        return derived


def row_from_record(record: Mapping[str, str]) -> TechnologyRow:
    """Return the row of a record with the columns of a table, as text.

    Raises
    ------
    InputError
        A number that is none, or a field that is wrong.
    """
    return TechnologyRow(
        cost=Interval(**{column: read_number(record, column) for column in ("value", "low", "high")}),
        **{column: record[column] for column in COLUMNS if column not in {"value", "low", "high"}},
    )


def read_technology(path: Path) -> Technology:
    """Read a table.

    Raises
    ------
    InputError
        The file cannot be read, its columns are not `COLUMNS`, or a row is wrong, incomplete or there
        twice; the message names file and line.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            columns = tuple(reader.fieldnames or ())
            records = [(reader.line_num, record) for record in reader]
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}; give a technology table") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path} is not a CSV file in UTF-8: {error}") from error
    if columns != COLUMNS:
        raise InputError(
            f"{path} has the columns {', '.join(columns) or 'none'}; it needs {', '.join(COLUMNS)}"
        )
    rows: dict[tuple[str, str], TechnologyRow] = {}
    for line, record in records:
        where = f"{path.name} line {line}"
        if None in record or None in record.values():
            raise InputError(f"{where} has not {len(COLUMNS)} fields; write each column once")
        try:
            row = row_from_record(record)
        except InputError as error:
            raise InputError(f"{where}: {error}") from error
        if (row.node, row.operation) in rows:
            raise InputError(f"{where}: row {row.key} is there twice; keep one")
        rows[row.node, row.operation] = row
    if not rows:
        raise InputError(f"{path} has no rows")
    return Technology(rows, name=path.name)


@cache
def default_technology() -> Technology:
    """Return the table that comes with the package."""
    return read_technology(Path(__file__).parent / "data" / "technology.csv")
