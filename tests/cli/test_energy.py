"""`tritforge energy`, as it is run."""

import csv
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tritforge.cli.main import main
from tritforge.energy import published
from tritforge.models import library
from tritforge.models.checkpoint import Checkpoint
from tritforge.models.shapes import ModelShape


def run(*arguments: str) -> int:
    """Run the command line; return its exit status."""
    with pytest.raises(SystemExit) as leave:
        main(["energy", *arguments])
    assert isinstance(leave.value.code, int)
    return leave.value.code


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_checkpoint: Checkpoint) -> ModelShape:
    """A small model in the place of the shipped one."""
    tiny_checkpoint.save(tmp_path / "data" / "austen" / "model.safetensors")
    monkeypatch.setattr(library, "_DATA", tmp_path / "data")
    return ModelShape.from_decoder(tiny_checkpoint.config, name="austen", source="a test")


def read(path: Path) -> dict[str, Any]:
    document = json.loads(path.read_text())
    assert isinstance(document, dict)
    return document


def test_without_arguments_figure_3_and_the_shipped_model_are_printed(
    shipped: ModelShape, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run() == 0
    out = capsys.readouterr().out
    assert "Figure 3 of arXiv 2402.17764: prefill of 512 tokens at 7 nm, paper accounting" in out
    assert "16 of 16 met." in out
    assert "austen, ternary matrices: prefill of 512 tokens at 7 nm, paper accounting" in out
    assert "The paper accounting leaves out:" in out
    assert "Row: 7nm/int8.add = 0.007 pJ/op, published: arXiv:2310.11453v1 Table 2" in out
    for number in ("0.322022 J", "0.404299 J", "32.9 x (cut)", "32.982 x", "71.4 x (cut)"):
        assert number in out


def test_the_json_of_the_shipped_model_holds_the_figures(shipped: ModelShape, tmp_path: Path) -> None:
    assert run("--json", str(tmp_path / "energy.json")) == 0
    document = read(tmp_path / "energy.json")
    assert document["ok"] is True
    assert document["model"] == "austen"
    assert document["components"][0]["count"] == 512 * sum(
        linear.outputs * (linear.inputs - 1) * shipped.num_hidden_layers for linear in shipped.linears
    )
    assert len(document["figures"]) == 16
    assert {"tritforge", "tools", "accounting", "node", "phase", "context", "batch"} <= set(document)


def test_a_named_model_is_reported_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "energy.json"
    assert run("--model", "BitNet-b1.58-2B-4T", "--context", "1024", "--json", str(path)) == 0
    out = capsys.readouterr().out
    assert "microsoft/bitnet-b1.58-2B-4T, ternary matrices: prefill of 1024 tokens" in out
    assert "Figure 3" not in out
    document = read(path)
    assert (document["context"], document["figures"]) == (1024, [])
    assert document["energy_j"] == pytest.approx(sum(part["energy_j"] for part in document["components"]))


def test_a_checkpoint_is_reported_by_its_path(
    tiny_checkpoint: Checkpoint, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "my.safetensors"
    tiny_checkpoint.save(path)
    assert run("--model", str(path)) == 0
    assert "Shape: the checkpoint" in capsys.readouterr().out


def test_json_on_standard_output_stands_alone(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--model", "LLaMA-7B", "--json", "-") == 0
    assert json.loads(capsys.readouterr().out)["model"] == "LLaMA-7B"


def test_the_csv_has_both_arithmetics(tmp_path: Path) -> None:
    path = tmp_path / "energy.csv"
    assert run("--model", "LLaMA-7B", "--csv", str(path)) == 0
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["arithmetic"], row["component"], row["operation"]) for row in rows] == [
        ("ternary", "linears", "int8.add"),
        ("ternary", "scaling", "fp16.mul"),
        ("ternary", "attention", "fp16.mul"),
        ("ternary", "attention", "fp16.add"),
        ("fp16", "linears", "fp16.mul"),
        ("fp16", "linears", "fp16.add"),
        ("fp16", "attention", "fp16.mul"),
        ("fp16", "attention", "fp16.add"),
    ]
    assert all(row["accounting"] == "paper" for row in rows)


def test_the_plot_is_written(tmp_path: Path) -> None:
    assert run("--model", "LLaMA-7B", "--plot", str(tmp_path / "energy.png")) == 0
    assert (tmp_path / "energy.png").read_bytes()[:4] == b"\x89PNG"


def test_a_comparison_that_fails_gives_status_1(
    shipped: ModelShape, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source = Path(published.__file__).parent / "data" / "published.csv"
    wrong = tmp_path / "published.csv"
    wrong.write_text(source.read_text().replace(",18.6,", ",19.6,"))
    figures = tuple(f for f in published.read_figures(wrong) if f.figure == "Figure 3")
    monkeypatch.setattr(published, "figure_3", lambda: figures)
    assert run("--json", str(tmp_path / "energy.json")) == 1
    assert "15 of 16 met." in capsys.readouterr().out
    document = read(tmp_path / "energy.json")
    assert document["ok"] is False
    assert [f["row"] for f in document["figures"] if f["verdict"] == "fails"] == ["energy ratio 1.3B"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--model", "LLaMA-7"), "tritforge: no model shape is called 'LLaMA-7'; did you mean LLaMA-7B"),
        (("--model", "LLaMA-7B", "--plot", "x.pdf"), "tritforge: cannot plot to x.pdf: the name must end in"),
        (("--context", "0"), "Invalid value for '--context': 0 is not in the range x>=1."),
        (("--model", "LLaMA-7B", "--json", "/dev/null/x"), "tritforge: cannot write /dev/null/x: "),
        (("--model", "LLaMA-7B", "--csv", "/dev/null/x"), "tritforge: cannot write /dev/null/x: "),
    ],
)
def test_bad_input_gives_one_line_and_status_2(
    arguments: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*arguments) == 2
    assert message in capsys.readouterr().err


def test_help_needs_none_of_the_slow_packages() -> None:
    code = (
        "import sys; from tritforge.cli.energy import command; command.main(['--help'], standalone_mode=False); "
        "print(sorted({'pandas', 'matplotlib', 'numpy', 'amaranth'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    assert "--context" in done.stdout
