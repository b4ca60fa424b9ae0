"""Settings and JSON of the sub-commands."""

import json
from pathlib import Path

import pytest

from tritforge.accel.errors import InputError
from tritforge.cli.common import parse_settings, write_json
from tritforge.cli.main import main


def test_settings_are_numbers_or_true_or_false_where_they_read_as_such() -> None:
    assert parse_settings(("lanes=32", "datapath=tree", "k_max=-1", "sparse=true", "partial_sums=false")) == {
        "lanes": 32,
        "datapath": "tree",
        "k_max": -1,
        "sparse": True,
        "partial_sums": False,
    }


def test_a_setting_without_a_value_is_refused() -> None:
    with pytest.raises(InputError, match=r"^setting is 'lanes'; NAME=VALUE is needed$"):
        parse_settings(("lanes",))


def test_json_carries_the_versions_that_made_it(tmp_path: Path) -> None:
    write_json(tmp_path / "result.json", {"ok": True}, tools=("numpy",))
    document = json.loads((tmp_path / "result.json").read_text())
    assert document["ok"] is True
    assert set(document["tools"]) == {"python", "numpy"}
    assert document["tritforge"]


def test_a_dash_writes_json_to_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    write_json(Path("-"), {"ok": False})
    assert json.loads(capsys.readouterr().out)["ok"] is False


def test_a_path_that_cannot_be_written_is_refused_and_nothing_is_left(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("a file, not a folder")
    target = tmp_path / "file" / "result.json"
    with pytest.raises(InputError, match=f"^cannot write {target}: .*; choose another path$"):
        write_json(target, {"ok": True})
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize(
    "command", [["verilog"], ["cosim"], ["bench", "array"], ["model", "inspect"], ["model", "convert"]]
)
def test_examples_end_the_help_a_line_each(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([*command, "--help"])
    lines = capsys.readouterr().out.rstrip().splitlines()
    examples = lines[lines.index("  Examples:") + 1 :]
    assert len(examples) >= 2
    assert all(line.startswith(f"    tritforge {' '.join(command)} ") for line in examples)
