"""The hash of a program changes with what decides results, and with nothing else."""

from pathlib import Path

import pytest

from tritforge.accel import program


@pytest.mark.parametrize(
    ("path", "decides"),
    [
        ("energy/data/technology.csv", True),
        ("rtl/data/area.json", True),
        ("accel/program.py", True),
        ("explore/new.py", True),
        ("report/page.py", False),
        ("energy/README.md", False),
    ],
)
def test_the_hash_tells_programs_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str, decides: bool
) -> None:
    for folder in (*program.FOLDERS, "report"):
        (tmp_path / folder).mkdir()
    monkeypatch.setattr(program, "__file__", str(tmp_path / "accel" / "program.py"))
    before = program.program_hash.__wrapped__()
    changed = tmp_path / path
    changed.parent.mkdir(exist_ok=True)
    changed.write_text("changed")
    assert (program.program_hash.__wrapped__() != before) is decides
