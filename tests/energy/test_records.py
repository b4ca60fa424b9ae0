"""Files of records: columns in order or in any order, and errors that say where."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from tritforge.accel.errors import InputError
from tritforge.energy.records import read_number, read_records, read_table


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_records_come_with_their_place(tmp_path: Path) -> None:
    path = write(tmp_path / "f.csv", "a,b\n1,2\n3,4\n")
    assert list(read_records(path, "thing", ("a", "b"))) == [
        ("f.csv thing 1", {"a": "1", "b": "2"}),
        ("f.csv thing 2", {"a": "3", "b": "4"}),
    ]


def test_columns_may_stand_in_any_order(tmp_path: Path) -> None:
    path = write(tmp_path / "f.csv", "b,a\n1,2\n")
    assert [record for _, record in read_records(path, "thing", ("a", "b"))] == [{"b": "1", "a": "2"}]


@pytest.mark.parametrize("row", ["1", "1,2,3"])
def test_a_row_of_another_length_is_refused(tmp_path: Path, row: str) -> None:
    path = write(tmp_path / "f.csv", f"a,b\n{row}\n")
    with pytest.raises(InputError, match=r"^f.csv thing 1 must have the fields a, b$"):
        list(read_records(path, "thing", ("a", "b")))


def test_a_field_that_is_no_number_is_named() -> None:
    assert read_number({"a": "1.5"}, "a") == 1.5
    with pytest.raises(InputError, match=r"^a is 'much'; a number is needed$"):
        read_number({"a": "much"}, "a")


@dataclass(frozen=True, kw_only=True)
class Thing:
    name: str
    size: float
    limit: float | None


def test_a_table_is_read_by_name_with_numbers_as_such(tmp_path: Path) -> None:
    path = write(tmp_path / "f.csv", "size,name,limit\n1.5,a,\n2,b,3\n")
    found = read_table(path, Thing, what="thing", key="name", numbers=("size",), optional=("limit",))
    assert found == {"a": Thing(name="a", size=1.5, limit=None), "b": Thing(name="b", size=2, limit=3)}


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("a,1,\na,2,", "f.csv thing 2: 'a' is there twice; keep one"),
        ("a,much,", "f.csv thing 1: size is 'much'; a number is needed"),
        ("a,,", "f.csv thing 1: size is ''; a number is needed"),
        ("a,1,x", "f.csv thing 1: limit is 'x'; a number is needed"),
    ],
)
def test_a_wrong_record_of_a_table_is_refused(tmp_path: Path, rows: str, message: str) -> None:
    path = write(tmp_path / "f.csv", f"name,size,limit\n{rows}\n")
    with pytest.raises(InputError) as caught:
        read_table(path, Thing, what="thing", key="name", numbers=("size",), optional=("limit",))
    assert str(caught.value) == message
