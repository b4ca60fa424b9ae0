"""`tritforge gates` refuses what it cannot measure, in one line, and keeps what it has measured."""

import json
from pathlib import Path
from typing import Any

import pytest
from asap7 import asap7_files
from gate_records import record

from tritforge.cli.gates import _csv, _keep, _print, _write
from tritforge.cli.main import main
from tritforge.energy.technology import read_technology
from tritforge.rtl.gates.page import PAGE, RECORD, tables


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as leave:
        main(["gates", *arguments])
    assert isinstance(leave.value.code, int)
    return leave.value.code


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "tritforge: Missing option '--liberty'. See tritforge gates --help.\n"),
        (("--designs", "int4"), "tritforge: design is 'int4'; it must be one of ternary-16, int8-16,"),
        (("--clock", "0"), "tritforge: clock_mhz is 0.0; it must be from 1 to 100000\n"),
        (
            ("--docs", ".", "--designs", "add-int8"),
            "tritforge: --docs keeps whole runs; leave --designs out\n",
        ),
        (("--model", "nowhere"), "tritforge: unknown model 'nowhere'"),
        (
            ("--scheduler", "10.0.0.1:8786", "-j", "2"),
            "tritforge: jobs is 2 and scheduler is 10.0.0.1:8786; a cluster has its own workers, so leave out",
        ),
        (("--scheduler", "10.0.0.1"), "tritforge: scheduler is '10.0.0.1'; HOST:PORT, tcp://HOST:PORT or "),
    ],
)
def test_bad_input_is_one_line(
    arguments: tuple[str, ...], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    library = tmp_path / "cells.lib"
    library.write_text("library (cells) {}\n")
    options = ("--liberty", str(library), "-o", str(tmp_path / "out")) if arguments else ()
    assert run(*options, *arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith(message)
    assert error.count("\n") == 1


def test_a_file_that_is_no_library_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    library = tmp_path / "cells.lib"
    library.write_text("no library\n")
    assert run("--liberty", str(library), "-o", str(tmp_path / "out")) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("tritforge: ")
    assert str(library) in error


def test_a_run_leaves_record_tables_and_rows(tmp_path: Path) -> None:
    _write(tmp_path, record())
    assert json.loads((tmp_path / "gates.json").read_text())["library"]["voltage"] == 0.7
    assert "fp16-fused-16" in (tmp_path / "gates.md").read_text()
    rows = read_technology(tmp_path / "technology.csv")
    assert rows.row("asap7-measured", "ternary.mac").cost.value == pytest.approx(43.75)


def test_a_run_is_printed_with_designs_that_have_real_operands_alone(
    capsys: pytest.CaptureFixture[str],
) -> None:
    _print(record())
    printed = capsys.readouterr().out
    assert "ternary-16-slow" in printed
    assert "71.43  published: (fp16.mul + fp16.add) / int8.add" in printed


def test_a_checkout_keeps_the_run_and_its_other_rows(tmp_path: Path) -> None:
    kept: dict[str, Any] = record()
    for folder in ("docs", "benchmarks", "energy/data"):
        (tmp_path / folder).mkdir(parents=True)
    marks = "".join(f"<!-- table {name} -->\n<!-- end -->\n" for name in tables(kept))
    (tmp_path / PAGE).write_text(marks)
    table = tmp_path / "energy" / "data" / "technology.csv"
    published = "7nm,int8.add,0.007,0.007,0.007,pJ/op,a paper,published,verified,\n"
    old = "asap7-measured,int8.add,1,1,1,fJ/op,an old run,measured,verified,\n"
    table.write_text(_csv([]) + published + old)
    _keep(tmp_path, kept)
    assert "an old run" not in table.read_text()
    found = read_technology(table)
    assert found.row("7nm", "int8.add").cost.value == 0.007
    assert len(found) == 1 + len(kept["technology"])
    assert (tmp_path / RECORD).is_file()
    assert "| `ternary-16` |" in (tmp_path / PAGE).read_text()


@pytest.mark.slow
def test_two_designs_in_asap7_from_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same digits from one process and from two."""
    files = [str(path) for path in asap7_files("SIMPLE", "INVBUF", "SEQ")]
    records = []
    for jobs in (1, 2):
        folder = tmp_path / f"jobs{jobs}"
        options = ("--designs", "ternary-16,add-int8", "-j", str(jobs), "-o", str(folder), "--json", "-")
        assert run("--liberty", *files, *options) == 0
        records.append(json.loads(capsys.readouterr().out))
    assert records[0] == records[1]
    assert records[0]["ok"]
    names = [design["name"] for design in records[0]["designs"]]
    assert names == ["ternary-16", "add-int8"]
