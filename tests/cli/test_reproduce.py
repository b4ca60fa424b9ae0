"""`tritforge reproduce`, as it is run."""

import csv
import json
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest

from tritforge.cli.main import main
from tritforge.energy import reproduce
from tritforge.energy.published import published_figures


def run(*arguments: str) -> int:
    """Run the command line; return its exit status."""
    with pytest.raises(SystemExit) as leave:
        main(["reproduce", *arguments])
    assert isinstance(leave.value.code, int)
    return leave.value.code


def test_all_papers_are_printed_and_the_known_misses_do_not_fail(capsys: pytest.CaptureFixture[str]) -> None:
    assert run() == 0
    out, err = capsys.readouterr()
    assert err == ""
    for paper in reproduce.PAPERS:
        assert f"{paper.title} ({paper.key})\n" in out
        assert f"Not computed: {paper.not_computed}.\n" in out
    assert "63 of 65 energy figures are exact or within rounding.\n" in out
    claim = next(line for line in out.splitlines() if "70B below FP16 13B, latency  " in line)
    assert claim.split()[-3:] == ["x", "+15.84%", "fails"]
    assert "  - workspace = 291000 byte per hidden unit, fitted: " in out
    assert max(len(line) for line in out.splitlines() if " figure " in line) <= 110


def test_one_paper_is_printed_alone(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--paper", "spectra") == 0
    out = capsys.readouterr().out
    assert "18 figures: 18 exact" in out
    assert "2402.17764" not in out
    assert "Fitted" not in out


def test_json_goes_to_a_file_or_to_standard_output(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("--json", str(tmp_path / "figures.json")) == 0
    document = json.loads((tmp_path / "figures.json").read_text())
    assert {"tritforge", "tools", "ok", "figures"} <= set(document)
    capsys.readouterr()
    assert run("--json", "-") == 0
    assert json.loads(capsys.readouterr().out) == document


def test_markdown_and_csv_go_to_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--format", "md", "--paper", "2b4t") == 0
    assert capsys.readouterr().out.startswith("# Published figures beside computed ones\n\n12 figures: ")
    assert run("--format", "csv", "--paper", "2b4t") == 0
    rows = list(csv.DictReader(StringIO(capsys.readouterr().out)))
    assert [row["paper"] for row in rows] == ["arXiv:2504.12285"] * 12


def test_an_unexpected_verdict_exits_with_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    figures = published_figures()
    changed = (*figures[:-1], replace(figures[-1], published="11.00"))
    monkeypatch.setattr(reproduce, "published_figures", lambda: changed)
    assert run("--paper", "spectra") == 1
    assert (
        "Not as on record: arXiv:2407.12327 Table 4, TriLM 3.9B: fails, on record exact."
        in capsys.readouterr().out
    )


def test_an_unknown_paper_exits_with_two(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--paper", "x") == 2
    assert capsys.readouterr().err == (
        "tritforge: no paper is called 'x'; there are b1.58 (2402.17764), bitnet-v1 (2310.11453), "
        "2b4t (2504.12285), spectra (2407.12327)\n"
    )
