"""Files of records that come with the package: CSV, a column for each field."""

import csv
from collections.abc import Iterator, Mapping
from pathlib import Path

from tritforge.accel.errors import InputError


def read_records(
    path: Path, what: str, columns: tuple[str, ...] | frozenset[str]
) -> Iterator[tuple[str, dict[str, str]]]:
    """Read a file of records.

    Parameters
    ----------
    path
        The file.
    what
        What one record is, for messages.
    columns
        Fields that every record must have; a tuple fixes their order.

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
        if type(columns)(record) != columns or None in record.values():
            listed = columns if isinstance(columns, tuple) else sorted(columns)
            raise InputError(f"{where} must have the fields {', '.join(listed)}")
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
