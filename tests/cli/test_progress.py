"""The share of long work that is done."""

import pytest

from tritforge.cli.progress import share_done


def test_without_a_terminal_each_phase_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    with share_done() as report:
        for phase in ("writing", "comparing"):
            for done in range(4):
                report(phase, done, 3)
    assert capsys.readouterr() == ("", "writing\ncomparing\n")


def test_a_terminal_shows_a_bar_that_goes_away(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    with share_done() as report:
        report("writing", 1, 4)
        report("comparing", 3, 4)
    out, error = capsys.readouterr()
    assert out == ""
    assert "comparing" in error
    assert "75%" in error
