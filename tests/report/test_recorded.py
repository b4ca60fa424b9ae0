"""What the package carries of the repository's measurements."""

import json
from pathlib import Path

import pytest

from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.presets import PRESETS
from tritforge.report import recorded as module
from tritforge.report.recorded import DATA, extract, main, recorded

HISTORY = Path(__file__).parents[2] / "benchmarks" / "fpga.json"


def test_the_package_carries_the_newest_rows_of_the_repository() -> None:
    kept = extract(json.loads(HISTORY.read_text()))
    message = "stale; run: python -m tritforge.report.recorded"
    assert json.loads(DATA.read_text()) == kept, message


def test_a_presets_measurement_is_found_by_its_parameters() -> None:
    rows = json.loads(HISTORY.read_text())["designs"]
    found = recorded(AcceleratorConfig())
    assert found is not None
    assert (found.preset, found.board, found.counts) == ("default", None, rows["default"][-1]["counts"])
    assert recorded(AcceleratorConfig(lanes=128)) is None


def test_of_a_boards_preset_the_board_is_found() -> None:
    found = recorded(PRESETS["ulx3s"])
    assert found is not None
    assert (found.board, found.seeds) == ("ulx3s", 1)
    assert found.placed is not None
    assert found.placed > found.counts["luts"]


def test_the_data_are_written_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "DATA", tmp_path / "resources.json")
    main(str(HISTORY))
    assert (tmp_path / "resources.json").read_bytes() == DATA.read_bytes()
