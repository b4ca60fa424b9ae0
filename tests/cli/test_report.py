"""`tritforge report`, as it is run."""

import json
from pathlib import Path

import pytest

from tritforge.cli.main import main


def run(*arguments: str) -> int:
    """Run the command line; return its exit status."""
    with pytest.raises(SystemExit) as leave:
        main(["report", *arguments])
    assert isinstance(leave.value.code, int)
    return leave.value.code


def test_a_page_and_its_data_are_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page, data = tmp_path / "made" / "page.html", tmp_path / "page.json"
    arguments = ["--config", "tiny", "--set", "k_max=512", "--set", "m_max=512", "--no-verify"]
    assert run(*arguments, "-o", str(page), "--json", str(data)) == 0
    out, err = capsys.readouterr()
    assert out.startswith("austen on tiny at 200 MHz: prefill ")
    assert out.endswith("nothing simulated\n")
    assert err == ""
    assert page.read_text().startswith("<!DOCTYPE html>")
    document = json.loads(data.read_text())
    assert document["ok"] is True
    assert document["config"]["k_max"] == 512
    assert document["verification"] is None
    assert {"tritforge", "tools", "resources", "cycles", "roofline", "energy", "memory"} <= set(document)
    assert [phase["phase"] for phase in document["cycles"]] == ["prefill", "decode"]


def test_the_configuration_is_simulated_unless_that_is_refused(
    simulators: Path, tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "page.html"
    arguments = ["--model", str(tiny_model), "--config", "tiny", "--seed", "5", "--cache", str(simulators)]
    assert run(*arguments, "-o", "-", "--json", str(tmp_path / "page.json")) == 0
    out, err = capsys.readouterr()
    assert "Equal: all" in out
    assert "(seed 5)" in out
    assert "simulating random jobs" in err
    assert "equal: all" in err
    assert json.loads((tmp_path / "page.json").read_text())["verification"]["seed"] == 5
    assert not page.exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "nope"], "no model shape is called 'nope'"),
        (["--config", "nope"], "no preset and no readable file 'nope'"),
        (["--set", "lanes=1"], "lanes is 1; it must lie in 2 to 1024"),
        (["--dram", "SDRAM"], "no operation 'dram.SDRAM'"),
        (["--output", "/proc/none/page.html"], "cannot write /proc/none/page.html"),
        (["--json", "/proc/none/page.json"], "cannot write /proc/none/page.json"),
        (["--output", "-", "--json", "-"], "--output and --json are both -; give one of them another file"),
        (
            ["-o", "report.html", "--json", "./report.html"],
            "--output and --json are both report.html; give one",
        ),
        (["--context", f"{10**23}"], f"context is {10**23}; a whole number from 1 to 2147483647 is needed"),
        (["--bandwidth", "1e-320"], "bandwidth_gbs is 1e-320; a number from 1e-09 to 1e+12 is needed"),
        (["--config", "ulx3s", "--set", "sparse=true"], "sparse is true; the link top runs dense jobs"),
        (["--clock", "0"], "0.0 is not in the range"),
    ],
)
def test_wrong_input_is_one_line(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(*arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert message in err
    assert len(err.splitlines()) == 1
    assert not (tmp_path / "report.html").exists()
