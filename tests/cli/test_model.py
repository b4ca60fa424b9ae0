"""`tritforge model inspect` and `convert`, as they are run."""

import json
import re
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from small_models import ARCHITECTURES, random_model

from tritforge.accel.presets import PRESETS
from tritforge.cli.main import main
from tritforge.models.conversion import TARGETS
from tritforge.models.formats import open_checkpoint
from tritforge.models.image_bundle import sign_off
from tritforge.models.reader import MemoryReader
from tritforge.models.verification import verify_equal
from tritforge.sim.cycles import product_cycles

MODEL = random_model(ARCHITECTURES["llama"], scale_kind="multiplier")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    MODEL.save(path)
    return path


def run(*arguments: str | Path) -> int:
    """Run the command line; return its exit status."""
    with pytest.raises(SystemExit) as leave:
        main(["model", *map(str, arguments)])
    assert isinstance(leave.value.code, int)
    return leave.value.code


def refused(capsys: pytest.CaptureFixture[str], message: str, *arguments: str | Path) -> None:
    """Expect one line on standard error, nothing on standard output, and exit status 2."""
    assert run(*arguments) == 2
    out, error = capsys.readouterr()
    assert error.splitlines()[-1] == f"tritforge: {message}"
    assert out == ""


def inspected(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> dict[str, Any]:
    """Return the JSON of an inspection."""
    assert run("inspect", *arguments, "--json", "-") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["ok"] is True
    assert isinstance(document, dict)
    return document


def test_the_shipped_model_is_shown_within_80_columns(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "dumb")
    assert run("inspect", "austen") == 0
    out = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out)
    assert max(map(len, out.splitlines())) <= 80
    assert out.startswith(
        "austen: TritForge model, format version 1\n3 layers of 256; 4 heads of 64, 2 of keys"
    )
    assert "1,769,472 ternary weights and 36,864 float numbers\n" in out
    assert " gate_proj   512x256   27.2   45.7   27.1     1.514    39.2-58.5 \n" in out
    assert " gate_proj         266         0        3    3.641   4.6602    6.3337 \n" in out
    assert " tq1_0     1.6875   10.1 %   373.25 kB      0 B   73.73 kB   446.98 kB \n" in out
    assert "\nAccelerator default runs this model:\n- buffers: K of 512 at most where 8,192 fit" in out
    assert "…" not in out


def test_every_matrix_is_listed_where_that_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("inspect", "austen", "--all") == 0
    out = capsys.readouterr().out
    for layer in range(3):
        for name in ("q_proj", "down_proj"):
            # Once with its shares, once with its scales.
            assert len(re.findall(rf"^ {layer} {name} ", out, flags=re.MULTILINE)) == 2
    assert "means over" not in out


def test_the_json_has_each_matrix_each_packing_and_the_accelerator(
    model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    document = inspected(capsys, model, "--config", "ecp5", "--set", "tokens_max=4")
    assert document["path"] == str(model)
    assert document["format"] == "TritForge model, format version 2"
    assert {matrix["name"] for matrix in document["matrices"]} == set(MODEL.matrices)
    accelerator = document["accelerator"]
    assert (accelerator["config"], accelerator["fits"], accelerator["problems"]) == ("ecp5", True, [])
    assert accelerator["parameters"]["tokens_max"] == accelerator["batch"] == 4
    config = type(PRESETS["ecp5"]).from_dict({"tokens_max": 4}, base=PRESETS["ecp5"])
    for tokens, key in ((1, "cycles_per_token"), (4, "cycles_per_token_in_batch")):
        cycles = sum(
            batch.total
            for matrix in MODEL.matrices.values()
            for batch in product_cycles(config, matrix.m, matrix.k, tokens)
        )
        assert accelerator[key] * tokens == cycles


def test_an_accelerator_that_does_not_fit_says_what_to_change(
    model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("inspect", model, "--config", "tiny") == 0
    assert capsys.readouterr().out.endswith(
        "\nAccelerator tiny does not run this model:\n"
        "- model.layers.0.mlp.gate_proj has M of 512, and m_max is 256: set m_max=512\n"
        "- model.layers.0.mlp.down_proj has K of 512, and k_max is 64: set partial_sums=true, or k_max=512\n"
    )
    fit = inspected(capsys, model, "--config", "tiny")["accelerator"]
    assert (fit["fits"], len(fit["problems"])) == (False, 2)
    mended = ("--set", "m_max=512", "--set", "partial_sums=true")
    fit = inspected(capsys, model, "--config", "tiny", *mended)["accelerator"]
    assert fit["fits"]
    with open_checkpoint(model) as reader:
        assert fit["image_bytes"] >= sum(m * k for m, k in reader.matrices.values()) // 4


@pytest.mark.parametrize("target", TARGETS)
def test_a_checkpoint_goes_to_every_format_and_says_what_was_compared(
    target: str, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    layout = ["--i2s-layout", "arm"] if target == "gguf-i2_s" else []
    assert run("convert", model, out, "--to", target, *layout) == 0
    first, *second = capsys.readouterr().out.splitlines()
    assert first.startswith(f"{out}: ")
    assert first.endswith(
        " bytes; 14 matrices of 1,179,648 weights and 21,760 float numbers compared, all equal"
    )
    if target == "image":
        assert second == [f"sign-off (SHA-256 of manifest.json): {sign_off(out)}"]
    with open_checkpoint(out, i2s_layout="arm" if layout else None) as reader:
        verify_equal(MemoryReader(MODEL), reader)


def test_an_image_is_packed_for_the_configuration_that_is_named(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert run("convert", model, out, "--to", "image", "--config", "wide", "--set", "packing=s5") == 0
    assert "accelerator image bundle, packing s5" in capsys.readouterr().out
    assert json.loads((out / "manifest.json").read_text())["accelerator"]["lanes"] == 256
    # What it is packed for is what it is compared with, unless another is named.
    assert run("inspect", out) == 0
    text = capsys.readouterr().out
    assert "\nAccelerator of the image runs this model:\n" in text
    assert "; 4,096 weights a cycle at most" in text.replace("\n", " ")
    assert run("inspect", out, "--config", "default") == 0
    assert "\nAccelerator default runs this model:\n" in capsys.readouterr().out


def test_the_layouts_of_i2_s_are_told_for_source_and_result(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    x86, arm, back = (tmp_path / name for name in ("x86", "arm", "back"))
    i2s = ("--to", "gguf-i2_s", "--i2s-layout", "x86")
    assert run("convert", model, x86, *i2s) == 0
    assert run("convert", x86, arm, *i2s, "--to-i2s-layout", "arm") == 0
    assert run("convert", arm, back, "--to", "native", "--i2s-layout", "arm") == 0
    assert x86.read_bytes() != arm.read_bytes()
    assert back.read_bytes() == MODEL.to_bytes()
    capsys.readouterr()
    assert run("inspect", arm, "--i2s-layout", "arm") == 0
    assert capsys.readouterr().out.startswith(f"{arm}: GGUF version 3, llama, I2_S\n")


def test_the_json_of_a_conversion_has_its_figures(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert run("convert", model, out, "--to", "native", "--json", "-") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["ok"] is True
    assert (document["source"], document["path"], document["target"]) == (str(model), str(out), "native")
    assert document["weights"] == 1_179_648
    assert document["bytes"] == out.stat().st_size


def test_what_exists_is_kept_unless_forced(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    out.write_text("old")
    arguments = ("convert", model, out, "--to", "native")
    refused(capsys, f"{out} exists; choose another path, or replace it by force", *arguments)
    assert out.read_text() == "old"
    assert run(*arguments, "--force") == 0
    assert out.read_bytes() == MODEL.to_bytes()


def test_bad_input_is_one_line_and_nothing_is_written(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    to = ("--to", "native")
    pickle = tmp_path / "model.bin"
    pickle.write_bytes(b"\x80\x04K\x01." * 20)
    for message, arguments in (
        (
            f"{tmp_path / 'x'} does not exist; give a checkpoint's file or folder, or a shipped model (austen)",
            (tmp_path / "x", out, *to),
        ),
        (
            (
                f"{pickle} is a Python pickle; pickles can run code and are never opened: convert it to safetensors "
                "where it is trusted"
            ),
            (pickle, out, *to),
        ),
        (
            f"{model} is no GGUF file, and the layout x86 of i2_s is for those; leave it out",
            (model, out, *to, "--i2s-layout", "x86"),
        ),
        (
            f"{model} has ternary weights; only float weights of a Hugging Face checkpoint are quantised",
            (model, out, *to, "--quantise"),
        ),
        (
            (
                "builds of bitnet.cpp differ in the layout of i2_s; give x86 or arm (--i2s-layout), as the "
                "reader's is"
            ),
            (model, out, "--to", "gguf-i2_s"),
        ),
        (
            "an accelerator's configuration is for images, not for native; leave it out",
            (model, out, *to, "--config", "wide"),
        ),
        (
            (
                "the accelerator cannot run the model: model.layers.0.mlp.gate_proj has M of 512, and m_max is 256: "
                "set m_max=512"
            ),
            (model, out, "--to", "image", "--config", "tiny"),
        ),
    ):
        refused(capsys, message, "convert", *arguments)
    refused(
        capsys,
        "Invalid value for '--to': 'gguf' is not one of 'native', 'hf-packed', 'hf-float', 'gguf-tq1_0', "
        "'gguf-tq2_0', 'gguf-i2_s', 'image'. See tritforge model convert --help.",
        *("convert", model, out, "--to", "gguf"),
    )
    assert list(tmp_path.iterdir()) == [pickle]


def test_a_damaged_file_is_named_with_the_tensor(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damaged = tmp_path / "model"
    data = bytearray(model.read_bytes())
    data[-1] ^= 1
    damaged.write_bytes(data)
    for arguments in (("inspect", damaged), ("convert", damaged, tmp_path / "out", "--to", "image")):
        assert run(*arguments) == 2
        out, error = capsys.readouterr()
        line = error.splitlines()[-1]
        assert line.startswith(f"tritforge: {damaged}: model.layers.")
        assert "the SHA-256 of its weight is " in line
        assert out == ""
    assert list(tmp_path.iterdir()) == [damaged]


def test_a_result_that_differs_ends_with_status_1(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from tritforge.models import native

    other = random_model(ARCHITECTURES["llama"], seed=1, scale_kind="multiplier")
    write = native.write_native
    monkeypatch.setattr(
        native, "write_native", lambda _, path, progress: write(MemoryReader(other), path, progress)
    )
    out = tmp_path / "out"
    assert run("convert", model, out, "--to", "native") == 1
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith(
        f"tritforge: {out} was not kept, what was read back differs from {model}: "
        "model.layers.0.self_attn.q_proj: the code at (0, "
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", ["inspect", "convert"])
def test_examples_end_the_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(command, "--help") == 0
    assert f"\n  Examples:\n    tritforge model {command} " in capsys.readouterr().out


def test_json_goes_to_a_file_that_is_checked_before_the_work(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    wrong = tmp_path / "file" / "x.json"
    message = f"cannot write {wrong}: File exists; choose another path"
    convert = ("convert", model, tmp_path / "out", "--to", "native")
    refused(capsys, message, "inspect", model, "--json", wrong)
    refused(capsys, message, *convert, "--json", wrong)
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]
    assert run("inspect", model, "--json", tmp_path / "a.json") == 0
    assert run(*convert, "--json", tmp_path / "b.json") == 0
    assert capsys.readouterr().out.endswith(f"SHA-256: {sha256(MODEL.to_bytes()).hexdigest()}\n")
    for name in ("a.json", "b.json"):
        assert json.loads((tmp_path / name).read_text())["ok"] is True


def test_the_json_of_a_conversion_does_not_take_the_models_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    refused(
        capsys,
        "model.safetensors is where the model goes; choose another file for the JSON",
        "convert",
        "austen",
        tmp_path / "model.safetensors",
        "--to",
        "native",
        "--json",
        "model.safetensors",
    )
    assert list(tmp_path.iterdir()) == []


def test_the_notes_of_the_source_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    floats, ternary = tmp_path / "floats", tmp_path / "ternary"
    assert run("convert", _saved(tmp_path / "model"), floats, "--to", "hf-float") == 0
    capsys.readouterr()
    assert run("convert", floats, ternary, "--to", "native") == 0
    out = capsys.readouterr().out
    note = "The weights are floats of three values, whose magnitudes were taken as scales, exactly."
    assert f"\nNote on {floats}: {note}\n" in out
    assert run("inspect", floats) == 0
    assert f"\nNote: {note}\n" in capsys.readouterr().out


def _saved(path: Path) -> Path:
    MODEL.save(path)
    return path
