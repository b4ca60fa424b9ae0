"""`tritforge models`, as it is run."""

import json
from pathlib import Path

import pytest

from tritforge.cli.main import main
from tritforge.models.shapes import all_shapes

DEVICE = ("--bandwidth", "100", "--rate", "5", "--memory", "8")


def run(*arguments: str) -> int:
    """Run the command line; return its exit status."""
    with pytest.raises(SystemExit) as leave:
        main(["models", *arguments])
    assert isinstance(leave.value.code, int)
    return leave.value.code


def test_all_shapes_are_listed_with_their_sources(capsys: pytest.CaptureFixture[str]) -> None:
    assert run() == 0
    out = capsys.readouterr().out
    for shape in all_shapes().values():
        assert f"\n{shape.name} " in out
        assert f"From {shape.source} (" in out
    assert out.endswith("\n69 shapes; `tritforge models NAME` shows one.\n")
    assert "(recalled, not read in a source)" in out


def test_a_text_that_several_names_hold_filters(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("trilm") == 0
    out = capsys.readouterr().out
    assert out.endswith("\n9 shapes; `tritforge models NAME` shows one.\n")
    assert "bitnet" not in out


def test_one_model_is_shown_with_its_memory(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("BitNet-b1.58-2B-4T") == 0
    out = capsys.readouterr().out
    assert out.startswith("microsoft/bitnet-b1.58-2B-4T\n30 layers of 2560; 20 heads, 5 of keys and values")
    assert "linear parameters           2,084,044,800\n" in out
    for packing in ("fp16", "int8", "int4", "i2", "s5", "s8", "ideal"):
        assert f"\n {packing} " in out
    assert "76.800 kB at 16 bits, 38.400 kB at 8 bits" in out
    assert "tokens/s" not in out


def test_a_text_that_one_name_holds_shows_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("mixtral") == 0
    out = capsys.readouterr().out
    assert out.startswith("mistralai/Mixtral-8x7B-v0.1\n")
    assert "2 of 8 experts" in out
    assert "as if its matrices were ternary" in out


def test_a_device_gives_batches_and_bounds(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("bitnet-b1.58-2B-4T", *DEVICE, "--context", "512", "--kv-bits", "8") == 0
    out = capsys.readouterr().out
    assert "custom: 100 GB/s, 5 TOP/s, 8 GB; 512 tokens a sequence, cache of 8 bits" in out
    assert "memory bandwidth" in out
    assert "arithmetic rate" in out


def test_a_model_that_does_not_fit_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("LLaMA-65B", "--device", "a100-80gb") == 0
    out = capsys.readouterr().out
    row = next(line for line in out.splitlines() if line.startswith(" fp16 ") and "memory size" in line)
    assert row.split()[1:3] == ["-", "0"]


def test_json_of_the_list_and_of_a_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--json", "-") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["ok"] is True
    assert [model["name"] for model in document["models"]] == list(all_shapes())
    assert all(model["source"] and model["status"] for model in document["models"])
    assert run("LLaMA-7B", *DEVICE, "--json", str(tmp_path / "model.json")) == 0
    model = json.loads((tmp_path / "model.json").read_text())
    assert {"tritforge", "tools", "ok", "parameters", "memory", "usage", "device"} <= set(model)
    assert model["usage"][0] == {"packing": "fp16", "largest_batch": 0, "steps": []}


def test_a_configuration_file_is_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fields = {
        "model_type": "llama",
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "sliding_window": 16,
    }
    (tmp_path / "config.json").write_text(json.dumps(fields))
    assert run(str(tmp_path)) == 0
    out = capsys.readouterr().out
    assert f"From the configuration {tmp_path / 'config.json'} (read in its primary source)" in out
    assert "Note: sliding_window 16 is not followed" in out
    assert "embedding parameters            not known\n" in out
    assert "Not known: embedding and LM head: vocab_size is not known.\n" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("llama-7c",), "no model shape is called 'llama-7c'; did you mean "),
        (
            ("LLaMA-7B", "--rate", "5"),
            "the device lacks --bandwidth, --memory; give --bandwidth, --rate and --memory",
        ),
        (
            ("LLaMA-7B", "--device", "a100-80gb", "--rate", "5"),
            "--device a100-80gb and --rate are both given; give a device or its numbers",
        ),
        (
            ("LLaMA-7B", "--device", "abacus"),
            (
                "no device is called 'abacus'; there are a100-80gb, a100-80gb-int8, "
                "or give --bandwidth, --rate and --memory"
            ),
        ),
        (("--device", "a100-80gb"), "a device is given, but no model; name one model"),
        (
            ("absent.json",),
            "cannot read absent.json: No such file or directory; give a config.json or its folder",
        ),
    ],
)
def test_wrong_input_exits_with_two(
    arguments: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*arguments) == 2
    err = capsys.readouterr().err
    assert err.startswith(f"tritforge: {message}")
    assert err.count("\n") == 1


def test_a_rate_of_zero_is_rejected_by_its_option(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("LLaMA-7B", "--rate", "0") == 2
    assert "Invalid value for '--rate': 0.0 is not in the range x>0." in capsys.readouterr().err
