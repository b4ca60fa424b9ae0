"""`tritforge cosim`, as it is run."""

import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from mutants import LaneSign
from small_shape import TINY as SMALL

from tritforge.accel.errors import InputError
from tritforge.accel.presets import PRESETS
from tritforge.cli.cosim import TOOLS, matrix_table, parse_layers, verdict
from tritforge.cli.main import main


def run(*arguments: str) -> int:
    """Run the command line; return its exit status."""
    with pytest.raises(SystemExit) as leave:
        main(["cosim", *arguments])
    assert isinstance(leave.value.code, int)
    return leave.value.code


@pytest.fixture
def common(tiny_model: Path, simulators: Path) -> list[str]:
    """Arguments of a run on the small model and accelerator."""
    return ["--model", str(tiny_model), "--config", "tiny", "--tokens", "3", "--cache", str(simulators)]


def test_a_layer_runs_and_is_equal(
    common: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = tmp_path / "result.json"
    assert run(*common, "--layer", "1", "--seed", "5", "--json", str(report)) == 0
    document = json.loads(report.read_text())
    assert document["tritforge"] == version("tritforge")
    assert set(document["tools"]) == {"python", *TOOLS}
    assert (document["ok"], document["first_mismatch"], document["seed"]) == (True, None, 5)
    assert (document["layer"], document["tokens"], len(document["matrices"])) == (1, 3, 7)
    needed = {"name", "m", "k", "tokens", "words_compared", "mismatches"}
    needed |= {"cycles", "predicted_cycles", "utilisation"}
    assert all(needed <= set(matrix) for matrix in document["matrices"])
    shown = capsys.readouterr().out
    words = 3 * (40 + 20 + 20 + 40 + 48 + 48 + 40)
    assert f"equal: all {words} words bit for bit, all cycle counts as predicted (seed 5)" in shown
    for matrix in document["matrices"]:
        assert matrix["name"].split(".")[-1] in shown


def test_the_report_goes_to_standard_output_alone(
    common: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*common, "--layer", "0", "--json", "-") == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["ok"] is True
    assert "equal: all" in captured.err


def test_a_wrong_core_ends_with_status_1_and_the_first_word(
    common: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("tritforge.rtl.verilog.Core", LaneSign)
    report = tmp_path / "result.json"
    assert run(*common, "--layer", "1", "--json", str(report)) == 1
    document = json.loads(report.read_text())
    first = document["first_mismatch"]
    assert document["ok"] is False
    assert set(first) == {"name", "token", "row", "expected", "got"}
    line = (
        f"MISMATCH: {first['name']} token {first['token']} row {first['row']}: "
        f"expected {first['expected']}, got {first['got']} (seed 0)"
    )
    assert line in capsys.readouterr().out.replace("\n", " ").replace("  ", " ")


def test_a_shape_runs_on_seeded_operands_with_several_simulators(
    simulators: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("tritforge.models.shapes.all_shapes", lambda: {"small": SMALL})
    report = tmp_path / "result.json"
    common = ["--config", "tiny", "--cache", str(simulators), "--json", str(report)]
    assert run("--shape", "small", "--layer", "2", "--tokens", "5", "--jobs", "2", *common) == 0
    document = json.loads(report.read_text())
    assert (document["model"], document["operands"]) == ("tiny", "seeded operands")
    assert (document["layer"], document["ok"], len(document["matrices"])) == (2, True, 7)
    captured = capsys.readouterr()
    words = 5 * (8 + 4 + 4 + 8 + 12 + 12 + 8)
    assert f"equal: all {words} words bit for bit, all cycle counts as predicted (seed 0)" in captured.out
    assert captured.err.splitlines() == [
        "preparing the simulator (compiled once per configuration)",
        "simulating",
    ]


def test_a_trace_is_written(common: list[str], tmp_path: Path) -> None:
    trace = tmp_path / "waves.vcd"
    assert run(*common, "--tokens", "1", "--trace", str(trace)) == 0
    text = trace.read_text()
    assert "$enddefinitions" in text
    assert "s_axis_weights_tvalid" in text
    assert text.count("\n#") > 1000


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--layer", "2"], "layer is 2; the model has layers 0 to 1"),
        (["--layer", "0,7"], "layer is 7; the model has layers 0 to 1"),
        (["--layer", "one"], "layer is 'one'; a number, numbers separated by commas, or all is needed"),
        (["--tokens", "0"], "tokens is 0; {model} takes 1 to 64"),
        (["--tokens", "65"], "tokens is 65; {model} takes 1 to 64"),
        (
            ["--set", "k_max=47"],
            (
                "the accelerator cannot run the model: mlp.down_proj has K of 48, and k_max is 47: "
                "set partial_sums=true, or k_max=48"
            ),
        ),
        (["--jobs", "0"], "jobs is 0; one process at least is needed"),
        (["--seed", "-1"], "seed is -1; zero or more is needed"),
        (["--shape", "bitnet-2b4t"], "model is '{model}' and shape is 'bitnet-2b4t'; give one of the two"),
        (
            ["--jobs", "2", "--trace", "waves.vcd"],
            "jobs is 2; a waveform is that of one simulator, so 1 is needed with it",
        ),
        (["--set", "lanes"], "setting is 'lanes'; NAME=VALUE is needed"),
        (["--set", "lanes=1"], "lanes is 1; it must lie in 2 to 1024"),
        (["--set", "rows=four"], "rows is 'four'; a whole number is needed"),
        (
            ["--config", "huge"],
            f"no preset and no readable file 'huge'; the presets are {', '.join(PRESETS)}",
        ),
    ],
)
def test_bad_input_is_one_line_and_status_2(
    tiny_model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    status = run("--model", str(tiny_model), "--config", "tiny", *arguments, "--json", "result.json")
    captured = capsys.readouterr()
    assert status == 2
    lines = [line for line in captured.err.splitlines() if line]
    assert lines == [f"tritforge: {message.format(model=tiny_model)}"]
    assert captured.out == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--layer", "30"], "layer is 30; the model has layers 0 to 29"),
        (["--tokens", "4097"], "tokens is 4097; bitnet-2b4t takes 1 to 4096"),
        (
            [],
            "the accelerator cannot run the model: mlp.gate_proj has M of 6912, and m_max is 256: set m_max=6912",
        ),
    ],
)
def test_a_shape_that_does_not_fit_is_one_line_and_status_2(
    capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert run("--shape", "bitnet-2b4t", "--config", "tiny", "--tokens", "1", *arguments) == 2
    assert capsys.readouterr().err == f"tritforge: {message}\n"


def test_an_unknown_shape_is_one_line_and_status_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--shape", "bitnet-2b5t") == 2
    assert capsys.readouterr().err.startswith("tritforge: no model shape is called 'bitnet-2b5t'; ")


def test_an_unknown_model_is_one_line_and_status_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run("--model", "austin") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("tritforge: unknown model 'austin': it is neither a shipped model (")
    assert list(tmp_path.iterdir()) == []


def test_a_truncated_model_is_one_line_and_status_2(
    tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cut = tmp_path / "model.safetensors"
    cut.write_bytes((tiny_model / "model.safetensors").read_bytes()[:-100])
    assert run("--model", str(cut)) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"tritforge: {cut}")
    assert list(tmp_path.iterdir()) == [cut]


@pytest.mark.parametrize("option", ["--json", "--trace"])
def test_an_output_that_cannot_be_written_is_one_line_and_status_2_before_the_run(
    common: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    option: str,
) -> None:
    monkeypatch.setattr("tritforge.cli.cosim.run_with_progress", None)
    (tmp_path / "file").write_text("")
    assert run(*common, option, str(tmp_path)) == 2
    line = f"tritforge: cannot write {tmp_path}: Is a directory; choose another path\n"
    assert capsys.readouterr().err == line
    path = tmp_path / "file" / "result"
    assert run(*common, option, str(path)) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line]
    assert line == f"tritforge: cannot write {path}: File exists; choose another path"
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]


def test_layers_are_read() -> None:
    assert parse_layers("all", 3) == (0, 1, 2)
    assert parse_layers("2,0,2", 3) == (0, 2)
    for text in ("", "0-2", "1,"):
        with pytest.raises(
            InputError, match=r"^layer is '.*'; a number, numbers separated by commas, or all is"
        ):
            parse_layers(text, 3)


def matrix(**changes: Any) -> dict[str, Any]:
    return {
        "name": "model.layers.0.mlp.up_proj",
        "m": 4,
        "k": 8,
        "tokens": 2,
        "words_compared": 8,
        "words_received": 8,
        "words_expected": 8,
        "mismatches": 0,
        "cycles": 1100,
        "predicted_cycles": 1100,
        "utilisation": 0.5,
        "timed_out": False,
        "error": 0,
        **changes,
    }


def test_the_verdict_names_what_went_wrong() -> None:
    base = {"matrices": [matrix()], "first_mismatch": None, "timed_out": False, "seed": 9}
    assert verdict({**base, "ok": True}) == (
        "equal: all 8 words bit for bit, all cycle counts as predicted (seed 9)"
    )
    late = [matrix(cycles=1101)]
    assert verdict({**base, "matrices": late, "ok": False}) == (
        "CYCLES: model.layers.0.mlp.up_proj took 1,101 cycles, predicted 1,100 (error output 0, seed 9)"
    )
    stuck = [matrix(), matrix(words_compared=0, words_received=3, timed_out=True)]
    assert verdict({**base, "matrices": stuck, "timed_out": True, "ok": False}) == (
        "TIMED OUT: model.layers.0.mlp.up_proj sent 3 of 8 words (seed 9)"
    )
    short = [matrix(), matrix(words_compared=0, words_received=7)]
    assert verdict({**base, "matrices": short, "ok": False}) == (
        "WORDS MISSING: model.layers.0.mlp.up_proj sent 7 of 8 words (seed 9)"
    )
    first = {"name": "model.layers.0.mlp.up_proj", "token": 1, "row": 2, "expected": 3, "got": -4}
    assert verdict({**base, "first_mismatch": first, "ok": False}) == (
        "MISMATCH: model.layers.0.mlp.up_proj token 1 row 2: expected 3, got -4 (seed 9)"
    )


def test_the_table_has_a_row_a_matrix() -> None:
    table = matrix_table([matrix(), matrix(name="model.layers.1.self_attn.q_proj", timed_out=True)])
    assert table.row_count == 2
    cells = [list(column.cells) for column in table.columns]
    assert [column[1] for column in cells[:3]] == ["1", "q_proj", "4 x 8"]
    assert cells[5] == ["1,100", "1,100 (timed out)"]


def test_the_help_names_the_presets_that_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--help") == 0
    shown = capsys.readouterr().out
    assert "tritforge cosim --layer all --config tiny" in shown
    assert "tiny" in PRESETS
