"""`tritforge generate`, as it is run."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from tritforge.cli.main import main
from tritforge.energy.hardware import hardware_energy
from tritforge.energy.scenario import Scenario
from tritforge.models.checkpoint import Checkpoint
from tritforge.models.shapes import resolve_shape
from tritforge.models.tokenizer import decode
from tritforge.sim.accelerator import CycleAccelerator, LoadedMatrix

Sums = npt.NDArray[np.int32]


def run(*arguments: str) -> int:
    """Run the command line; return its exit status."""
    with pytest.raises(SystemExit) as leave:
        main(["generate", *arguments])
    assert isinstance(leave.value.code, int)
    return leave.value.code


@pytest.fixture
def common(tiny_model: Path, simulators: Path) -> list[str]:
    """Arguments of a run on the small model and accelerator."""
    files = ["--model", str(tiny_model), "--tokenizer", "ascii", "--cache", str(simulators)]
    return [*files, "--config", "tiny", "--prompt", "Emma ", "--tokens", "6"]


def test_the_rtl_writes_the_golden_models_text(
    common: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    texts, reports = [], []
    for backend in ("golden", "cycle", "rtl"):
        path = tmp_path / f"{backend}.json"
        assert run(*common, "--backend", backend, "--json", str(path), "--temperature", "2") == 0
        captured = capsys.readouterr()
        texts.append(captured.out)
        reports.append(json.loads(path.read_text()))
        assert "golden model's" in captured.err
    assert len(set(texts)) == 1
    assert texts[0] == "Emma " + reports[0]["text"] + "\n"
    assert reports[0]["text"] == decode(reports[0]["tokens"])
    assert len(reports[0]["tokens"]) == 6
    assert all(report["ok"] is True and report["difference"] is None for report in reports)
    assert reports[0]["cycles"] is None
    assert reports[1]["cycles_per_token"] == reports[2]["cycles_per_token"] > 0
    assert reports[1]["prompt_cycles"] == reports[2]["prompt_cycles"] > reports[2]["cycles_per_token"]


def test_the_figures_are_those_of_their_definitions(common: list[str], tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    assert run(*common, "--backend", "cycle", "--clock", "50", "--json", str(path)) == 0
    report: dict[str, Any] = json.loads(path.read_text())
    seconds = report["cycles_per_token"] / 50e6
    assert report["tokens_per_second"] == pytest.approx(1 / seconds)
    assert report["tokens_per_second_with_host"] == pytest.approx(
        1 / (seconds + report["host_seconds_per_token"])
    )
    assert report["cycles"] == report["prompt_cycles"] + 5 * report["cycles_per_token"]
    assert (
        report["energy_per_token_low_j"] <= report["energy_per_token_j"] <= report["energy_per_token_high_j"]
    )


def test_the_energy_is_the_mean_of_the_decoding_steps(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    assert run("--prompt", "She ", "--tokens", "3", "--json", str(path)) == 0
    shape = resolve_shape("austen")
    energies = [
        hardware_energy(shape, Scenario(phase="decode", context=context), arithmetic="ternary").energy.value
        for context in (5, 6)
    ]
    assert json.loads(path.read_text())["energy_per_token_j"] == pytest.approx(sum(energies) / 2)


def test_the_report_goes_to_standard_output_alone(
    common: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*common, "--json", "-") == 0
    captured = capsys.readouterr()
    report = json.loads(captured.out)
    assert captured.err.startswith("Emma " + report["text"])


def test_seeds_and_top_k_choose(common: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    texts = []
    for options in (
        ("--seed", "1"),
        ("--seed", "1"),
        ("--seed", "2"),
        ("--top-k", "1"),
        ("--temperature", "0"),
    ):
        assert run(*common, "--temperature", "3", *options) == 0
        texts.append(capsys.readouterr().out)
    assert texts[0] == texts[1]
    assert texts[0] != texts[2]
    assert texts[3] == texts[4]


def test_one_token_has_no_cycles_of_further_ones(
    common: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*common, "--tokens", "1") == 0
    shown = capsys.readouterr().err
    assert "Each further token" not in shown
    assert "equal: tokens, logits and cycles of all 1 steps are the golden model's" in shown


def test_what_the_energy_leaves_out_is_said(
    tiny_checkpoint: Checkpoint, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = "model.layers.1.mlp.down_proj"
    scales = np.array([[1, 2, 3]], dtype=np.float32)
    matrices = dict(tiny_checkpoint.matrices)
    matrices[name] = replace(matrices[name], scale=scales)
    replace(tiny_checkpoint, matrices=matrices).save(tmp_path / "model.safetensors")
    assert run("--model", str(tmp_path), "--tokenizer", "ascii", "--prompt", "A", "--tokens", "2") == 0
    assert (
        "Not in the energy: matrices whose scales differ along their inputs take 3 products for a token, and it "
        "counts one"
    ) in capsys.readouterr().err.splitlines()


def test_a_difference_ends_with_status_1_and_its_place(
    common: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Faulty(CycleAccelerator):
        def _matmul(self, matrix: LoadedMatrix, activations: npt.NDArray[np.int8]) -> tuple[Sums, int | None]:
            words, cycles = super()._matmul(matrix, activations)
            # The comparison has a second accelerator, which must be left right.
            words[-1, 0] += int(self is made[0] and self.usage.products == 14)
            return words, cycles

    made: list[Faulty] = []

    def opened(opening: Any) -> Faulty:
        made.append(Faulty(opening.config))
        return made[-1]

    monkeypatch.setitem(__import__("tritforge.sim.accelerator", fromlist=["x"])._OPENERS, "cycle", opened)
    assert run(*common) == 1
    shown = capsys.readouterr().err
    assert re.search(
        r"^DIFFERENT: logits of new token 1: expected \S+, got \S+ \(seed 0\)$", shown, re.MULTILINE
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--prompt", ""], "the prompt is empty; give a text of one character or more with --prompt"),
        (
            ["--prompt", "naïve"],
            "character 'ï' at position 2 is not in the vocabulary: the model knows the 128 ASCII characters",
        ),
        (["--backend", "gpu"], "no back end is called 'gpu'; there are golden, cycle, rtl, board"),
        (["--backend", "board"], "the back end board needs a port, such as /dev/ttyUSB0, or simulation"),
        (["--temperature", "-1"], "temperature is -1.0; zero or more is needed"),
        (["--top-k", "0"], "top_k is 0; one or more is needed"),
        (
            ["--tokens", "60"],
            "a prompt of 5 and 60 new tokens are over the model's 64 positions; ask for 59 at most",
        ),
        (
            ["--prompt", "x" * 70],
            "a prompt of 70 and 6 new tokens are over the model's 64 positions; shorten the prompt to 63 tokens",
        ),
        (
            ["--prompt", "\udcff"],
            r"character '\udcff' at position 0 is not in the vocabulary: the model knows the 128 ASCII characters",
        ),
        (["--seed", "-1"], "seed is -1; zero or more is needed"),
        (["--clock", "nan"], "clock is nan; a number of MHz is needed"),
        (["--clock", "inf"], "Invalid value for '--clock': inf is not in the range 0.001<=x<=1000000.0."),
        (
            ["--tokenizer", "absent.json"],
            "cannot read absent.json: No such file or directory; give a tokenizer.json",
        ),
        (["--set", "k_max=32"], "the accelerator cannot run the model: "),
    ],
)
def test_bad_input_is_one_line_and_status_2(
    common: list[str], options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*common, *options) == 2
    captured = capsys.readouterr()
    assert captured.err.splitlines()[-1].startswith(f"tritforge: {message}")
    assert "Traceback" not in captured.err
    assert captured.out == ""


def test_a_tokenizer_of_another_model_is_refused_before_the_run(
    common: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("tritforge.models.tokenizer.encode", lambda _: np.array([5, 128]))
    assert run(*common) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == (
        "tritforge: the tokenizer gives token 128, and the model knows 128; "
        "give the model's own tokenizer with --tokenizer FILE\n"
    )


def test_figures_that_cannot_be_written_are_refused_before_the_run(
    common: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("kept")
    assert run(*common, "--json", str(tmp_path / "file" / "run.json")) == 2
    assert capsys.readouterr().out == ""
    assert (tmp_path / "file").read_text() == "kept"
