"""Files of records: columns in order or in any order, and errors that say where."""

from pathlib import Path

import pytest

from tritforge.accel.errors import InputError
from tritforge.energy.records import read_number, read_records


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_records_come_with_their_place(tmp_path: Path) -> None:
    path = write(tmp_path / "f.csv", "a,b\n1,2\n3,4\n")
    assert list(read_records(path, "thing", ("a", "b"))) == [
        ("f.csv thing 1", {"a": "1", "b": "2"}),
        ("f.csv thing 2", {"a": "3", "b": "4"}),
    ]


def test_a_set_of_columns_leaves_their_order_open_and_a_tuple_fixes_it(tmp_path: Path) -> None:
    path = write(tmp_path / "f.csv", "b,a\n1,2\n")
    assert [record for _, record in read_records(path, "thing", frozenset("ab"))] == [{"b": "1", "a": "2"}]
    with pytest.raises(InputError, match=r"^f.csv thing 1 must have the fields a, b$"):
        list(read_records(path, "thing", ("a", "b")))


@pytest.mark.parametrize("row", ["1", "1,2,3"])
def test_a_row_of_another_length_is_refused(tmp_path: Path, row: str) -> None:
    path = write(tmp_path / "f.csv", f"a,b\n{row}\n")
    with pytest.raises(InputError, match=r"^f.csv thing 1 must have the fields a, b$"):
        list(read_records(path, "thing", frozenset("ab")))


def test_a_field_that_is_no_number_is_named() -> None:
    assert read_number({"a": "1.5"}, "a") == 1.5
    with pytest.raises(InputError, match=r"^a is 'much'; a number is needed$"):
        read_number({"a": "much"}, "a")
