"""Conversion between all formats: equal, whole or not at all, and no result that was not compared."""

import re
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_models import ARCHITECTURES, random_model

from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.errors import InputError, VerificationError
from tritforge.models import gguf_writer, native
from tritforge.models.checkpoint import Checkpoint
from tritforge.models.conversion import TARGETS, Target, convert
from tritforge.models.formats import open_checkpoint
from tritforge.models.image_bundle import sign_off
from tritforge.models.reader import MemoryReader
from tritforge.models.ternary import TernaryMatrix
from tritforge.models.verification import verify_equal

MODELS = {
    (name, kind): random_model(config, seed=index, scale_kind=kind)
    for index, (name, config) in enumerate(ARCHITECTURES.items())
    for kind in ("divisor", "multiplier")
}
MODEL = MODELS["llama", "multiplier"]
#: What every format but GGUF and floats holds; those have no place for the others.
_EVERYWHERE: tuple[Target, ...] = ("native", "hf-packed", "image")


def refused(message: str) -> Any:
    """Expect an error of exactly this text."""
    return pytest.raises(InputError, match=f"^{re.escape(message)}$")


def options(target: Target) -> dict[str, Any]:
    if target == "image":
        return {"accelerator": AcceleratorConfig(packing="s8")}
    return {"i2s_layout": "x86"} if target == "gguf-i2_s" else {}


@pytest.mark.parametrize("target", _EVERYWHERE)
@pytest.mark.parametrize(("architecture", "kind"), MODELS)
def test_every_model_goes_through_the_formats_that_hold_all(
    architecture: str, kind: str, target: Target, tmp_path: Path
) -> None:
    model = MODELS[architecture, kind]
    result = convert(MemoryReader(model), tmp_path / "out", target, **options(target))
    with open_checkpoint(tmp_path / "out") as reader:
        verify_equal(MemoryReader(model), reader)
        assert result.format == reader.format
    assert result.matrices == len(model.matrices)
    assert result.weights == sum(matrix.codes.size for matrix in model.matrices.values())
    assert result.float_numbers == sum(tensor.size for tensor in model.tensors.values())


@pytest.mark.parametrize("first", TARGETS)
@pytest.mark.parametrize("second", TARGETS)
def test_a_model_comes_back_from_any_two_formats(first: Target, second: Target, tmp_path: Path) -> None:
    convert(MemoryReader(MODEL), tmp_path / "one", first, **options(first))
    layout: dict[str, Any] = {"i2s_layout": "x86"} if first == "gguf-i2_s" else {}
    with open_checkpoint(tmp_path / "one", **layout) as reader:
        convert(reader, tmp_path / "two", second, **options(second))
    layout = {"i2s_layout": "x86"} if second == "gguf-i2_s" else {}
    with open_checkpoint(tmp_path / "two", **layout) as reader:
        verify_equal(MemoryReader(MODEL), reader)
        convert(reader, tmp_path / "three", "native")
    assert (tmp_path / "three").read_bytes() == MODEL.to_bytes()


@pytest.mark.parametrize("target", ["gguf-tq1_0", "gguf-tq2_0", "gguf-i2_s"])
def test_scales_are_rounded_only_where_that_is_asked_for(target: Target, tmp_path: Path) -> None:
    source = MemoryReader(MODELS["bitnet", "divisor"], path="source")
    with refused(
        "source: the scale of model.layers.0.self_attn.q_proj is a divisor, and GGUF holds multipliers: its "
        "reciprocal would be rounded; have scales rounded (--round-scales), or choose another format"
    ):
        convert(source, tmp_path / "out", target, **options(target))
    assert list(tmp_path.iterdir()) == []
    convert(source, tmp_path / "out", target, round_scales=True, **options(target))
    layout: dict[str, Any] = {"i2s_layout": "x86"} if target == "gguf-i2_s" else {}
    with open_checkpoint(tmp_path / "out", **layout) as reader:
        for name, matrix in MODELS["bitnet", "divisor"].matrices.items():
            found = reader.matrix(name)
            assert (found.codes == matrix.codes).all()
            bits = 24 if target == "gguf-i2_s" else 11
            assert float(np.float64(found.scale) * np.float64(matrix.scale)) == pytest.approx(
                1, rel=2.0**-bits * 1.01
            )


@pytest.mark.parametrize(("target", "bits"), [("gguf-tq1_0", 11), ("gguf-i2_s", 24)])
def test_scales_that_are_rounded_more_than_the_format_must_are_not_kept(
    target: Target, bits: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = gguf_writer.write_gguf

    def coarse(reader: MemoryReader, *places: Any, **given: Any) -> None:
        off = np.float32(1 + 3 * 2.0**-bits)
        matrices = {name: replace(each, scale=each.scale * off) for name, each in MODEL.matrices.items()}
        write(MemoryReader(replace(MODEL, matrices=matrices)), *places, **given)

    monkeypatch.setattr(gguf_writer, "write_gguf", coarse)
    with pytest.raises(VerificationError, match=f"more than rounding to {bits} bits$"):
        convert(MemoryReader(MODEL), tmp_path / "out", target, round_scales=True, **options(target))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("target", TARGETS)
def test_the_sign_off_is_a_hash_of_what_lies_there(target: Target, tmp_path: Path) -> None:
    result = convert(MemoryReader(MODEL), tmp_path / "out", target, **options(target))
    path = tmp_path / "out"
    if path.is_file():
        assert result.sign_off == sha256(path.read_bytes()).hexdigest()
        assert result.bytes == path.stat().st_size
    else:
        assert result.sign_off == (sign_off(path) if target == "image" else "")
        assert result.bytes == sum(file.stat().st_size for file in path.iterdir())
    assert result.to_dict()["path"] == str(path)


def test_progress_speaks_of_writing_and_then_of_comparing(tmp_path: Path) -> None:
    seen: list[tuple[str, int, int]] = []
    convert(MemoryReader(MODEL), tmp_path / "out", "native", on_progress=lambda *report: seen.append(report))
    assert list(dict.fromkeys(phase for phase, _, _ in seen)) == ["writing", "comparing"]
    for phase in ("writing", "comparing"):
        assert [done == total for name, done, total in seen if name == phase][-1]


def wrong(reader: MemoryReader) -> MemoryReader:
    """Return a reader of another model: what a writer that errs would write."""
    model = MODEL
    matrix = model.matrices["model.layers.1.mlp.up_proj"]
    codes = matrix.codes.copy()
    codes[3, 4] = 0 if codes[3, 4] else 1
    changed = TernaryMatrix(codes=codes, scale=matrix.scale, scale_kind=matrix.scale_kind)
    return MemoryReader(
        replace(model, matrices={**model.matrices, "model.layers.1.mlp.up_proj": changed}), path=reader.path
    )


@pytest.mark.parametrize("force", [False, True])
def test_a_result_that_differs_is_not_kept(
    force: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "new" / "out"
    if force:
        out.parent.mkdir()
        out.write_text("old")
    write = native.write_native
    monkeypatch.setattr(
        native, "write_native", lambda reader, path, progress: write(wrong(reader), path, progress)
    )
    found = int(MODEL.matrices["model.layers.1.mlp.up_proj"].codes[3, 4])
    message = (
        f"{out} was not kept, what was read back differs from memory: model.layers.1.mlp.up_proj: the code at "
        f"(3, 4) is {0 if found else 1}, in the source {found}"
    )
    with pytest.raises(VerificationError, match=f"^{re.escape(message)}$"):
        convert(MemoryReader(MODEL), out, "native", force=force)
    assert list(tmp_path.rglob("*")) == ([out.parent, out] if force else [])
    assert not force or out.read_text() == "old"


def test_a_result_that_cannot_be_read_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = native.write_native

    def damage(reader: MemoryReader, path: Path, progress: Any) -> None:
        write(reader, path, progress)
        path.write_bytes(path.read_bytes()[:-1])

    monkeypatch.setattr(native, "write_native", damage)
    start = (
        f"{tmp_path / 'out'} was not kept, what was read back differs from memory: {tmp_path / 'out'}: its "
    )
    with pytest.raises(VerificationError, match=f"^{re.escape(start)}"):
        convert(MemoryReader(MODEL), tmp_path / "out", "native")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("phase", ["writing", "comparing"])
def test_an_interruption_leaves_nothing(target: Target, phase: str, tmp_path: Path) -> None:
    def stop(now: str, done: int, total: int) -> None:
        if now == phase and done > total // 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        convert(MemoryReader(MODEL), tmp_path / "new" / "out", target, on_progress=stop, **options(target))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("target", "given", "message"),
    [
        ("tar", {}, f"the target is 'tar'; one of {', '.join(TARGETS)} is needed"),
        ("image", {}, "an image is packed for an accelerator; give its configuration"),
        (
            "native",
            {"accelerator": AcceleratorConfig()},
            "an accelerator's configuration is for images, not for native; leave it out",
        ),
        (
            "gguf-i2_s",
            {},
            "builds of bitnet.cpp differ in the layout of i2_s; give x86 or arm (--i2s-layout), as the reader's is",
        ),
        ("gguf-tq1_0", {"i2s_layout": "arm"}, "the layout arm of i2_s is not for gguf-tq1_0; leave it out"),
        (
            "hf-packed",
            {"round_scales": True},
            "hf-packed holds scales as they are; only those of GGUF are rounded",
        ),
    ],
)
def test_options_that_do_not_belong_together_are_refused(
    target: Target, given: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with refused(message):
        convert(MemoryReader(MODEL), tmp_path / "out", target, **given)
    assert list(tmp_path.iterdir()) == []


def saved(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Checkpoint.save(MODEL, path)
    return path


def test_what_exists_is_replaced_only_by_force(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.write_text("old")
    with refused(f"{out} exists; choose another path, or replace it by force"):
        convert(MemoryReader(MODEL), out, "native")
    convert(MemoryReader(MODEL), out, "hf-packed", force=True)
    convert(MemoryReader(MODEL), out, "image", accelerator=AcceleratorConfig(), force=True)
    convert(MemoryReader(MODEL), out, "native", force=True)
    assert out.read_bytes() == MODEL.to_bytes()


def test_force_replaces_no_folder_of_other_things_and_not_the_source(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "letter.txt").write_text("dear")
    with refused(f"the folder {home} holds letter.txt, which no conversion writes; choose another path"):
        convert(MemoryReader(MODEL), home, "hf-packed", force=True)
    source = saved(home / "model" / "model.safetensors")
    with open_checkpoint(home / "model") as reader:
        for out in (source, home / "model"):
            with refused(f"{out} is what is converted; choose another path"):
                convert(reader, out, "image", accelerator=AcceleratorConfig(), force=True)
    with refused("/ is no name of a file or folder; give one"):
        convert(MemoryReader(MODEL), Path("/"), "native", force=True)
    assert (home / "letter.txt").read_text() == "dear"
    assert source.read_bytes() == MODEL.to_bytes()
