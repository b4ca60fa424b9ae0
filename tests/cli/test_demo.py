"""`tritforge demo`: one go through the whole job, on the shipped model and a small accelerator."""

import csv
import json
from pathlib import Path

import pytest

from tritforge.cli.main import main


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Configuration of a small accelerator that the shipped model fits."""
    path = tmp_path_factory.mktemp("config") / "small.toml"
    path.write_text('preset = "tiny"\nlanes = 32\nrows = 4\nk_max = 512\nm_max = 512\ntokens_max = 16\n')
    return path


def test_the_demo_writes_all_its_results_and_says_so_in_six_lines(
    small: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "demo"
    with pytest.raises(SystemExit) as end:
        main(["demo", "--config", str(small), "--output", str(output), "--json", str(tmp_path / "demo.json")])
    assert end.value.code == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 6
    assert lines[5] == "OK: equal: all 32,768 words bit for bit, all cycle counts as predicted (seed 0)"

    names = {path.name for path in output.iterdir()}
    assert names == {
        "core.v",
        "core.json",
        "core_template.v",
        "core_tb.v",
        "cycles.csv",
        "energy.csv",
        "energy.png",
        "figure3.csv",
        "summary.json",
    }
    summary = json.loads((output / "summary.json").read_text())
    assert json.loads((tmp_path / "demo.json").read_text()) == summary
    assert summary["ok"] is True
    assert [matrix["mismatches"] for matrix in summary["cosim"]["matrices"]] == [0] * 7
    assert sum(matrix["words_compared"] for matrix in summary["cosim"]["matrices"]) == 32768
    assert summary["verilog_sha256"] == json.loads((output / "core.json").read_text())["sha256"]
    with (output / "cycles.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["cycles"] for row in rows] == [row["predicted_cycles"] for row in rows]
    assert (output / "energy.png").read_bytes().startswith(b"\x89PNG")


def test_an_unknown_model_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["demo", "--model", "bronte", "--output", str(tmp_path / "demo")])
    assert end.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith("tritforge: unknown model 'bronte': it is neither a shipped model (")
    assert error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
