"""`tritforge fpga --target xc7...`: figures, files and bad input; Yosys answers at once."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tritforge.cli import fpga_xilinx
from tritforge.cli.main import main
from tritforge.rtl import xilinx_estimate
from tritforge.rtl.xilinx_estimate import XILINX_PARTS, XilinxEstimate


@pytest.fixture(autouse=True)
def estimated(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What was estimated."""
    asked: list[Any] = []

    def estimate(config: Any, *, folder: Path, part: str) -> XilinxEstimate:
        asked.append((config, folder, part))
        counts = {"luts": 5320, "ffs": 10640, "carry": 12, "lut_ram": 3, "block_ram": 3, "dsp": 0}
        return XilinxEstimate(config=config, part=XILINX_PARTS[part], counts=counts, block_rams=2.5)

    monkeypatch.setattr(xilinx_estimate, "estimate_xilinx", estimate)
    return asked


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as end:
        main(["fpga", *arguments])
    return int(end.value.code or 0)


def test_the_parts_are_those_that_are_known() -> None:
    assert set(fpga_xilinx.PARTS) == set(XILINX_PARTS)


def test_an_estimate_is_printed_and_the_project_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], estimated: list[Any]
) -> None:
    figures = tmp_path / "figures.json"
    arguments = ("--config", "tiny", "--freq", "125", "-o", str(tmp_path / "out"), "--json", str(figures))
    assert run("--target", "xc7z020", *arguments) == 0
    output = capsys.readouterr().out
    assert re.search(r"LUTs +5,320 +10.0%", output)
    assert re.search(r"block RAMs +2.5 +1.8%", output)
    assert re.search(r"DSP blocks +0 +0.0%", output)
    assert "An estimate: nothing is placed" in output
    ((config, folder, part),) = estimated
    assert (config.lanes, folder, part) == (8, tmp_path / "out" / "estimate", "xc7z020")
    assert "-period 8.000" in (tmp_path / "out" / "tritforge_core.xdc").read_text()
    document = json.loads(figures.read_text())
    assert (document["ok"], document["counts"]["dsp"], document["shares"]["luts"]) == (True, 0, 0.1)
    assert all(Path(path).is_file() for path in document["files"])


@pytest.mark.parametrize("option", [("--seeds", "3"), ("--allow-slow",), ("--model", "austen")])
def test_an_option_of_a_placed_design_is_refused(
    option: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str], estimated: list[Any]
) -> None:
    assert run("--target", "xc7a35t", "--config", "tiny", "-o", str(tmp_path), *option) == 2
    message = f"{option[0]} is of a placed design; xc7a35t is estimated alone: leave it out"
    assert capsys.readouterr().err.strip().endswith(message)
    assert not estimated


def test_cells_of_another_family_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--target", "xc7a35t", "--config", "ecp5") == 2
    assert "target is 'ecp5', whose cells a 7-series part has not" in capsys.readouterr().err
