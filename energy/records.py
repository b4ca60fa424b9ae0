"""Files of records that come with the package: CSV, a column for each field."""

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

from tritforge.accel.errors import InputError

Record = TypeVar("Record")


def read_records(path: Path, what: str, columns: Sequence[str]) -> Iterator[tuple[str, dict[str, str]]]:
    """Read a file of records.

    Parameters
    ----------
    path
        The file.
    what
        What one record is, for messages.
    columns
        Fields that every record must have, in any order.

    Yields
    ------
    tuple
        Where a record stands, for messages, and its fields.

    Raises
    ------
    InputError
        The file cannot be read, or a record has other fields.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            records = list(csv.DictReader(file))
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}; give a file of {what}s") from error
    for number, record in enumerate(records, 1):
        where = f"{path.name} {what} {number}"
        if record.keys() != set(columns) or None in record.values():
            raise InputError(f"{where} must have the fields {', '.join(columns)}")
        yield where, record


def read_number(record: Mapping[str, str], field: str) -> float:
    """Return a field as a number.

    Raises
    ------
    InputError
        It is none.
    """
    try:
        return float(record[field])
    except ValueError as error:
        raise InputError(f"{field} is {record[field]!r}; a number is needed") from error


def read_table(
    path: Path,
    kind: type[Record],
    *,
    what: str,
    key: str,
    numbers: Sequence[str],
    optional: Sequence[str] = (),
) -> dict[str, Record]:
    """Read a file of records as objects, by the field that names them; its columns may be in any order.

    Parameters
    ----------
    path
        The file; its columns are the fields of `kind`.
    kind
        Dataclass of a record; it checks its own values.
    what
        What one record is, for messages.
    key
        Field that names a record.
    numbers, optional
        Fields that are numbers, and those that are None where they are left empty; all others are text.

    Raises
    ------
    InputError
        The file cannot be read, or a record is wrong or there twice.
    """
    found: dict[str, Record] = {}
    columns = [field.name for field in fields(kind)]  # type: ignore[arg-type]
    for where, record in read_records(path, what, columns):
        values: dict[str, Any] = dict(record)
        try:
            values |= {name: read_number(record, name) for name in numbers}
            values |= {name: read_number(record, name) if record[name] else None for name in optional}
        except InputError as error:
            raise InputError(f"{where}: {error}") from error
        if record[key] in found:
            raise InputError(f"{where}: {record[key]!r} is there twice; keep one")
        found[record[key]] = kind(**values)
    return found
