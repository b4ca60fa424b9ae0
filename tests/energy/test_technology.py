"""Technology tables: what they hold, and what loading rejects."""

from pathlib import Path

import pytest

from tritforge.accel.errors import InputError
from tritforge.energy.interval import Interval
from tritforge.energy.technology import (
    COLUMNS,
    UNITS,
    Technology,
    TechnologyRow,
    default_technology,
    read_technology,
)

HEADER = ",".join(COLUMNS)
ROW = "7nm,int8.add,0.007,0.005,0.009,pJ/op,a paper,published,verified,"


def load(tmp_path: Path, *lines: str) -> Technology:
    path = tmp_path / "table.csv"
    path.write_text("\n".join(lines) + "\n")
    return read_technology(path)


@pytest.mark.parametrize(
    ("node", "operation", "picojoules"),
    [
        # arXiv 2310.11453, Table 2.
        ("45nm", "fp32.add", 0.9),
        ("45nm", "fp32.mul", 3.7),
        ("45nm", "fp16.add", 0.4),
        ("45nm", "fp16.mul", 1.1),
        ("45nm", "int8.add", 0.03),
        ("45nm", "int8.mul", 0.2),
        ("7nm", "fp32.add", 0.38),
        ("7nm", "fp32.mul", 1.31),
        ("7nm", "fp16.add", 0.16),
        ("7nm", "fp16.mul", 0.34),
        ("7nm", "int8.add", 0.007),
        ("7nm", "int8.mul", 0.07),
        # Jouppi et al., ISCA 2021, Table 2.
        ("45nm", "int32.add", 0.1),
        ("7nm", "int32.add", 0.03),
    ],
)
def test_the_published_rows_are_there(node: str, operation: str, picojoules: float) -> None:
    assert default_technology().row(node, operation).joules.value == pytest.approx(picojoules * 1e-12)


def test_every_row_has_a_source_and_its_bounds_in_order() -> None:
    rows = list(default_technology())
    assert len(rows) == len(default_technology()) == len({row.key for row in rows}) == 53
    assert all(row.source and row.cost.low <= row.cost.value <= row.cost.high for row in rows)
    assert default_technology().nodes == ("45nm", "7nm", "asap7-measured")


def test_energy_does_not_rise_with_the_newer_node() -> None:
    table = default_technology()
    both = {row.operation for row in table if row.node == "45nm"} & {
        row.operation for row in table if row.node == "7nm"
    }
    assert len(both) == 13
    assert all(table.row("7nm", op).joules.value < table.row("45nm", op).joules.value for op in both)


def test_a_table_of_ones_own_keeps_bounds_and_source(tmp_path: Path) -> None:
    row = load(tmp_path, HEADER, ROW).row("7nm", "int8.add")
    assert (row.joules.low, row.joules.value, row.joules.high) == (0.005e-12, 0.007e-12, 0.009e-12)
    assert row.citation == "7nm/int8.add = 0.007 (0.005 to 0.009) pJ/op, published: a paper"


def test_femtojoules_are_read_as_such(tmp_path: Path) -> None:
    table = load(tmp_path, HEADER, "7nm,int8.add,7,7,7,fJ/op,a paper,published,verified,")
    assert table.row("7nm", "int8.add").joules.value == pytest.approx(0.007e-12)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (ROW, "row 7nm/int8.add is there twice; keep one"),
        (
            "7nm,int8.mul,1,1,1,nJ,a paper,published,verified,",
            f"row 7nm/int8.mul: unit is 'nJ'; it must be one of {', '.join(UNITS)}",
        ),
        (
            "7nm,int8.mul,1,1,1,pJ/op, ,published,verified,",
            "row 7nm/int8.mul has no source; fill it in",
        ),
        (
            ",int8.mul,1,1,1,pJ/op,a paper,published,verified,",
            "row /int8.mul has no node; fill it in",
        ),
        (
            "7nm,int8.mul,1,1,1,pJ/op,a paper,guessed,verified,",
            "row 7nm/int8.mul: obtained is 'guessed'; it must be one of published, derived, measured",
        ),
        (
            "7nm,int8.mul,1,1,1,pJ/op,a paper,published,sure,",
            "row 7nm/int8.mul: status is 'sure'; it must be one of verified, secondary, recalled",
        ),
        (
            "7nm,int8.mul,1,2,3,pJ/op,a paper,published,verified,",
            "value 1.0, low 2.0, high 3.0 are out of order; 0 <= low <= value <= high is needed",
        ),
        (
            "7nm,int8.mul,much,1,1,pJ/op,a paper,published,verified,",
            "value is 'much'; a number is needed",
        ),
        ("7nm,int8.mul,1,1,1", "has not 10 fields; write each column once"),
        (ROW + ",extra", "has not 10 fields; write each column once"),
    ],
)
def test_a_wrong_row_is_rejected_with_its_line(tmp_path: Path, line: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        load(tmp_path, HEADER, ROW, line)
    assert str(caught.value) == f"table.csv line 3{' ' if message.startswith('has') else ': '}{message}"


def test_other_columns_are_rejected(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        load(tmp_path, "node,operation,value")
    assert str(caught.value) == (
        f"{tmp_path / 'table.csv'} has the columns node, operation, value; it needs {', '.join(COLUMNS)}"
    )


def test_a_table_without_rows_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        load(tmp_path, HEADER)
    assert str(caught.value) == f"{tmp_path / 'table.csv'} has no rows"


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    missing, binary = tmp_path / "none.csv", tmp_path / "binary.csv"
    with pytest.raises(InputError) as caught:
        read_technology(missing)
    assert str(caught.value) == f"cannot read {missing}: No such file or directory; give a technology table"
    binary.write_bytes(b"\xff\xfe")
    with pytest.raises(
        InputError, match=r"binary\.csv is not a CSV file in UTF-8: 'utf-8' codec can't decode"
    ):
        read_technology(binary)


def test_unknown_keys_list_what_there_is(tmp_path: Path) -> None:
    table = load(tmp_path, HEADER, ROW)
    with pytest.raises(InputError) as caught:
        table.row("3nm", "int8.add")
    assert str(caught.value) == "table.csv has no node '3nm'; it has 7nm"
    with pytest.raises(InputError) as caught:
        table.row("7nm", "int4.mul")
    assert str(caught.value) == "table.csv has no operation 'int4.mul' at 7nm; it has int8.add"


def test_a_row_can_be_made_in_python() -> None:
    cost = Interval(value=1.0, low=1.0, high=1.0)
    row = TechnologyRow(
        node="28nm",
        operation="int8.add",
        cost=cost,
        unit="pJ/op",
        source="a bench",
        obtained="measured",
        status="verified",
    )
    assert row.citation == "28nm/int8.add = 1 pJ/op, measured: a bench"
