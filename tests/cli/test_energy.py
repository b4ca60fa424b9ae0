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
from tritforge.energy.accounting import ratio
from tritforge.energy.report import format_joules, format_ratio, report_hardware
from tritforge.models import library
from tritforge.models.checkpoint import Checkpoint
from tritforge.models.shapes import ModelShape, find_shape


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


def test_the_hardware_accounting_prints_parts_steps_and_bounds(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--model", "BitNet-b1.58-2B-4T", "--accounting", "hardware") == 0
    out = capsys.readouterr().out
    assert "microsoft/bitnet-b1.58-2B-4T: prefill of 512 tokens at 7 nm, hardware accounting" in out
    assert "64 lanes x 8 rows x 16 tokens, weights i2, LPDDR4, attention fp16, KV 16 bits" in out
    assert "DRAM: weights" in out
    assert "71.43x" in out
    report = report_hardware(find_shape("BitNet-b1.58-2B-4T"))
    assert report.int8 is not None
    assert format_joules(report.ternary.energy) in out
    assert f"INT8 over ternary: {format_ratio(ratio(report.int8, report.ternary))}" in out
    assert "The hardware accounting leaves out:" in out


def test_an_option_of_the_hardware_accounting_chooses_it(tmp_path: Path) -> None:
    path = tmp_path / "energy.json"
    arguments = [
        "--model",
        "BitNet-b1.58-2B-4T",
        "--phase",
        "decode",
        "--context",
        "2048",
        "--batch",
        "4",
        "--config",
        "wide",
        "--packing",
        "s5",
        "--attention",
        "int8",
        "--kv-bits",
        "4",
        "--dram",
        "HBM2",
        "--node",
        "45nm",
        "--wire-mm",
        "2",
        "--zero-weights",
        "0.3",
        "--zero-acts",
        "0.25",
    ]
    assert run(*arguments, "--json", str(path)) == 0
    document = read(path)
    labels = [document[key] for key in ("accounting", "node", "phase", "context", "batch")]
    assert labels == ["hardware", "45nm", "decode", 2048, 4]
    options = document["options"]
    assert options["config"]["lanes"] == 256
    assert [options[key] for key in ("packing", "attention", "kv_bits", "dram")] == ["s5", "int8", 4, "HBM2"]
    assert [options[key] for key in ("zero_weights", "zero_acts", "wire_mm")] == [0.3, 0.25, 2.0]
    assert document["energy_j"] == pytest.approx(sum(part["energy_j"] for part in document["components"]))
    assert document["low_j"] < document["energy_j"] < document["high_j"]
    assert set(document["baselines"]) == set(document["ratios"]) == {"fp16", "int8"}


def test_both_accountings_come_side_by_side(tmp_path: Path) -> None:
    path = tmp_path / "energy.json"
    assert run("--model", "LLaMA-7B", "--accounting", "all", "--json", str(path)) == 0
    document = read(path)
    assert [report["accounting"] for report in document["reports"]] == ["paper", "hardware"]
    assert document["accounting"] == "paper"
    assert {key: document[key] for key in document["reports"][0]} == document["reports"][0]


def test_without_a_causal_mask_attention_costs_more(tmp_path: Path) -> None:
    energies = []
    for flag in ("--causal", "--no-causal"):
        assert run("--model", "LLaMA-7B", flag, "--json", str(tmp_path / "energy.json")) == 0
        energies.append(read(tmp_path / "energy.json")["energy_j"])
    assert energies[0] < energies[1]


def test_a_cell_is_explained_on_every_side_that_has_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--model", "BitNet-b1.58-2B-4T", "--accounting", "all", "--explain", "matrices/int9.add") == 0
    out = capsys.readouterr().out
    assert out.count("hardware accounting") == 1
    assert "row 7nm/int9.add = 0.00795833 (0.007875 to 0.0084375) pJ/op, derived" in out
    assert run("--model", "BitNet-b1.58-2B-4T", "--accounting", "all", "--explain", "attention/fp16.mul") == 0
    out = capsys.readouterr().out
    assert out.count(" accounting\n") == 5


@pytest.mark.parametrize(
    ("form", "start"),
    [
        ("md", "## microsoft/bitnet-b1.58-2B-4T: hardware accounting"),
        ("csv", "model,accounting,arithmetic,node,phase,context,batch,component,operation,count,unit"),
        ("json", '{\n  "tritforge"'),
        ("html", "<!DOCTYPE html>"),
    ],
)
def test_the_output_takes_other_forms(
    form: str, start: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / f"energy.{form}"
    arguments = ("--model", "BitNet-b1.58-2B-4T", "--accounting", "hardware", "--format", form)
    assert run(*arguments, "-o", str(path)) == 0
    assert capsys.readouterr().out == ""
    assert path.read_text(encoding="utf-8").startswith(start)
    if form != "html":
        assert run(*arguments) == 0
        assert capsys.readouterr().out == path.read_text(encoding="utf-8")


def test_a_shape_can_be_given_by_its_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    flags = (
        "--hidden-size 64 --layers 2 --heads 4 --intermediate-size 128 --vocab-size 100 --accounting hardware"
    )
    assert run(*flags.split()) == 0
    assert "hardware accounting" in capsys.readouterr().out


def test_zeros_are_measured_in_a_checkpoint(tiny_checkpoint: Checkpoint, tmp_path: Path) -> None:
    tiny_checkpoint.save(tmp_path / "model.safetensors")
    shares = [{"m": 1, "k": 1, "zero_activations": 0.5}]
    (tmp_path / "metrics.json").write_text(json.dumps({"matrices": shares}))
    path = tmp_path / "energy.json"
    measured = ("--zero-weights", "measured", "--zero-acts", "measured")
    assert run("--model", str(tmp_path), *measured, "--json", str(path)) == 0
    options = read(path)["options"]
    assert 0.1 < options["zero_weights"] < 0.6
    assert options["zero_acts"] == 0.5
    acts = ("--zero-acts", str(tmp_path / "metrics.json"))
    assert run("--model", "LLaMA-7B", *acts, "--json", str(path)) == 0
    assert read(path)["options"]["zero_acts"] == 0.5


def test_a_table_of_ones_own_is_used(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = Path(published.__file__).parent / "data" / "technology.csv"
    table = tmp_path / "own.csv"
    table.write_text(source.read_text().replace("7nm,fp16.mul,0.34,0.34,0.34", "7nm,fp16.mul,0.34,0.3,0.4"))
    path = tmp_path / "energy.json"
    assert run("--model", "LLaMA-7B", "--technology", str(table), "--json", str(path)) == 0
    document = read(path)
    assert document["baseline"]["low_j"] < document["baseline"]["energy_j"] < document["baseline"]["high_j"]
    assert "0.34 (0.3 to 0.4) pJ/op" in capsys.readouterr().out.replace("\n", " ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("--accounting", "paper", "--phase", "decode"),
            "tritforge: --accounting paper has no --phase; leave it out, or take hardware",
        ),
        (
            ("-o", "x.txt"),
            "tritforge: --output needs a form that is no table; give --format md, csv, json or html",
        ),
        (
            ("--explain", "nothing"),
            "tritforge: 'nothing' is no cell of the paper accounting with ternary matrices",
        ),
        (("--node", "3nm"), "tritforge: technology.csv has no node '3nm'; it has 45nm, 7nm"),
        (("--dram", "core"), "tritforge: technology.csv has no operation 'dram.core' at 7nm; it has "),
        (("--config", "huge"), "tritforge: no preset and no readable file 'huge'; the presets are "),
        (
            ("--zero-weights", "many"),
            "tritforge: zero_weights is 'many'; a share from 0 to 1 or 'measured' is",
        ),
        (
            ("--zero-weights", "measured"),
            "tritforge: model 'LLaMA-7B' is a shape, which has no weights; give a shipped model",
        ),
        (("--zero-acts", "2"), "tritforge: zero_acts is 2.0; a share from 0 to 1 is needed"),
        (("--wire-mm", "nan"), "tritforge: wire_mm is nan; a length of 0 mm or more is needed"),
        (("--attention", "int8", "--kv-bits", "16"), "tritforge: kv_bits is 16 with attention in int8"),
        (
            ("--technology", "/dev/null/x"),
            "tritforge: cannot read /dev/null/x: Not a directory; give a technology",
        ),
    ],
)
def test_a_wrong_choice_gives_one_line_and_status_2(
    arguments: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("--model", "LLaMA-7B", *arguments) == 2
    out, error = capsys.readouterr()
    assert out == ""
    assert error.startswith(message)
    assert error.count("\n") == 1


def test_the_measured_accounting_has_rows_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    """A matrix in whole products, at the measured node; memories at the published one."""
    model = ("--model", "BitNet-b1.58-2B-4T", "--accounting", "measured")
    assert run(*model, "--json", "-") == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["accounting"], document["node"]) == ("measured", "asap7-measured")
    names = {component["name"] for component in document["components"]}
    assert {"matrices/ternary.mac", "matrices/ternary.act"} <= names
    assert run(*model, "--explain", "matrices") == 0
    assert "asap7-measured/ternary.mac" in capsys.readouterr().out
    assert run(*model, "--format", "md") == 0
    assert "measured accounting" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "name"), [(("--node", "45nm"), "node"), (("--zero-weights", "0.3"), "zero-weights")]
)
def test_the_measured_accounting_refuses_what_it_has_no_place_for(
    arguments: tuple[str, ...], name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("--model", "LLaMA-7B", "--accounting", "measured", *arguments) == 2
    message = f"tritforge: --accounting measured has no --{name}; leave it out, or take hardware\n"
    assert capsys.readouterr().err == message
