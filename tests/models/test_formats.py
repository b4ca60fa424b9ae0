"""What lies at a path is told by its content, and what is uncertain is refused with what to give."""

import os
import pickle
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from small_models import ARCHITECTURES, random_model

from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.errors import InputError
from tritforge.models.formats import detect, open_checkpoint
from tritforge.models.gguf_writer import write_gguf
from tritforge.models.huggingface_writer import write_hugging_face
from tritforge.models.image_bundle import write_images
from tritforge.models.reader import MemoryReader

MODEL = random_model(ARCHITECTURES["llama"], scale_kind="multiplier")
SOURCE = MemoryReader(MODEL)


def refused(message: str) -> Any:
    """Expect an error of exactly this text."""
    return pytest.raises(InputError, match=f"^{re.escape(message)}$")


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One model in every format, under names that say nothing."""
    folder = tmp_path_factory.mktemp("shelf")
    MODEL.save(folder / "a")
    MODEL.save(folder / "b" / "model.safetensors")
    write_gguf(SOURCE, folder / "c", "TQ2_0")
    write_gguf(SOURCE, folder / "d", "I2_S", i2s_layout="arm")
    write_hugging_face(SOURCE, folder / "e")
    write_hugging_face(SOURCE, folder / "f", shard_bytes=100_000)
    write_images(SOURCE, folder / "g", AcceleratorConfig())
    return folder


@pytest.mark.parametrize(
    ("name", "kind", "begins"),
    [
        ("a", "native", "TritForge model, format version 2"),
        ("b", "native", "TritForge model, format version 2"),
        ("c", "gguf", "GGUF version 3, llama, TQ2_0"),
        ("e", "huggingface", "Hugging Face safetensors in one file: "),
        ("f", "huggingface", "Hugging Face safetensors in 5 files: "),
        ("g", "image", "accelerator image bundle, packing i2"),
    ],
)
def test_every_format_is_told_by_its_content(name: str, kind: str, begins: str, shelf: Path) -> None:
    assert detect(shelf / name)[0] == kind
    with open_checkpoint(shelf / name) as reader:
        assert reader.format.startswith(begins)
        assert reader.config == MODEL.config
        first = next(iter(MODEL.matrices))
        assert (reader.matrix(first).codes == MODEL.matrices[first].codes).all()


def test_the_layout_of_i2_s_is_never_guessed(shelf: Path) -> None:
    with pytest.raises(InputError, match="x86 or arm"):
        open_checkpoint(shelf / "d")
    with open_checkpoint(shelf / "d", i2s_layout="arm") as reader:
        assert reader.config == MODEL.config


def test_a_shipped_model_is_opened_by_its_name() -> None:
    with open_checkpoint("austen") as reader:
        assert reader.format == "TritForge model, format version 1"


@pytest.mark.parametrize("name", ["a", "e", "g"])
def test_options_for_other_formats_are_refused(name: str, shelf: Path) -> None:
    path = shelf / name
    with refused(f"{path} is no GGUF file, and the layout x86 of i2_s is for those; leave it out"):
        open_checkpoint(path, i2s_layout="x86")
    if name != "e":
        with refused(
            f"{path} has ternary weights; only float weights of a Hugging Face checkpoint are quantised"
        ):
            open_checkpoint(path, quantise=True)


def a_pickle(path: Path) -> None:
    path.write_bytes(pickle.dumps({"weight": [0.0] * 100}))


def a_zip(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("data.pkl", b"x" * 100)


@pytest.mark.parametrize("name", ["model.bin", "model.pt", "model.ckpt", "model.safetensors", "model.gguf"])
@pytest.mark.parametrize(("make", "what"), [(a_pickle, "a Python pickle"), (a_zip, "a zip archive")])
def test_pickles_are_refused_whatever_they_are_called(
    name: str, make: Callable[[Path], None], what: str, tmp_path: Path
) -> None:
    make(tmp_path / name)
    with pytest.raises(
        InputError,
        match=rf"^{re.escape(str(tmp_path / name))} is {what}.*pickles can run code and are never opened",
    ):
        detect(tmp_path / name)


def test_what_is_no_checkpoint_is_refused_with_what_to_give(shelf: Path, tmp_path: Path) -> None:
    with refused(
        f"{tmp_path / 'x'} does not exist; give a checkpoint's file or folder, or a shipped model (austen)"
    ):
        detect(tmp_path / "x")
    with refused(
        f"the folder {tmp_path} is no checkpoint: it holds neither config.json nor manifest.json nor "
        "model.safetensors of TritForge"
    ):
        detect(tmp_path)
    (tmp_path / "m.gguf").write_bytes(b"GGUF")
    with refused(f"the folder {tmp_path} holds GGUF files; give one of them, such as {tmp_path / 'm.gguf'}"):
        detect(tmp_path)
    for name in ("config.json", "manifest.json"):
        (tmp_path / name).write_text("{}")
    with refused(f"the folder {tmp_path} holds config.json and manifest.json; move one of them away"):
        detect(tmp_path)


def test_a_part_of_a_checkpoint_names_its_folder(shelf: Path, tmp_path: Path) -> None:
    for part in (
        shelf / "e" / "config.json",
        shelf / "g" / "manifest.json",
        shelf / "f" / "model.safetensors.index.json",
    ):
        with refused(f"{part} is a part of a checkpoint; give its folder, {part.parent}"):
            detect(part)
    weights = shelf / "e" / "model.safetensors"
    with refused(
        f"{weights} holds tensors but not the model's configuration; give its folder, {shelf / 'e'}"
    ):
        detect(weights)
    alone = tmp_path / "weights"
    alone.write_bytes(weights.read_bytes())
    with refused(f"{alone} holds tensors but not the model's configuration; config.json is missing"):
        detect(alone)


def test_what_cannot_be_opened_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(InputError, match=f"^cannot read {re.escape(str(pipe))}: it is not a regular file"):
        detect(pipe)
    closed = tmp_path / "closed"
    closed.write_bytes(b"GGUF")

    def refuse(self: Path, *_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with refused(f"cannot read {closed}: Permission denied"):
        detect(closed)
