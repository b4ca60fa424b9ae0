"""Models by name and by path."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_models import ARCHITECTURES, random_model

from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.errors import InputError
from tritforge.models import library
from tritforge.models.checkpoint import Checkpoint
from tritforge.models.conversion import convert
from tritforge.models.lazy import LazyMapping
from tritforge.models.native import NativeReader
from tritforge.models.reader import MemoryReader
from tritforge.sim.decoder import Decoder


@pytest.fixture
def shelf(monkeypatch: pytest.MonkeyPatch, tiny_checkpoint: Checkpoint, tmp_path: Path) -> Path:
    """Put one model, ``tiny``, in the place of the shipped ones."""
    tiny_checkpoint.save(tmp_path / "data" / "tiny" / "model.safetensors")
    (tmp_path / "data" / "tiny" / "held_out.txt").write_bytes("Fanny\r\nPrice: 5£".encode())
    (tmp_path / "data" / "empty").mkdir()
    monkeypatch.setattr(library, "_DATA", tmp_path / "data")
    return tmp_path / "data"


def test_folders_that_hold_weights_are_the_shipped_models(shelf: Path) -> None:
    assert library.names() == ("tiny",)


def test_a_model_is_found_by_name_by_folder_and_by_file(shelf: Path, tiny_checkpoint: Checkpoint) -> None:
    for given in ("tiny", shelf / "tiny", str(shelf / "tiny"), shelf / "tiny" / "model.safetensors"):
        assert library.load_model(given).to_bytes() == tiny_checkpoint.to_bytes()


def test_a_shipped_name_comes_before_a_folder_of_that_name(
    shelf: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "tiny").mkdir()
    monkeypatch.chdir(tmp_path)
    assert library.find("tiny") == shelf / "tiny" / "model.safetensors"
    with pytest.raises(
        InputError, match=r"^the folder tiny holds none of model\.safetensors, config\.json, "
    ):
        library.find("./tiny")


def test_an_unknown_model_is_answered_with_the_known_ones(shelf: Path) -> None:
    message = (
        "unknown model 'Austin': it is neither a shipped model (tiny) "
        "nor the path of a checkpoint's file or folder"
    )
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        library.load_model("Austin")


def test_a_shape_is_no_model_and_is_told_apart(shelf: Path) -> None:
    message = (
        "model 'bitnet-2b4t' is a shape, which has no weights; give a shipped model (tiny), the path of "
        "a checkpoint, or to cosim --shape bitnet-2b4t"
    )
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        library.find("bitnet-2b4t")


def test_a_folder_of_gguf_files_is_answered_with_one_of_them(tmp_path: Path) -> None:
    (tmp_path / "model.gguf").write_bytes(b"GGUF")
    message = f"the folder {tmp_path} holds GGUF files; give one of them, such as {tmp_path / 'model.gguf'}"
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        library.find(tmp_path)


def test_no_name_is_not_the_current_folder() -> None:
    with pytest.raises(InputError, match=r"^unknown model '': it is neither a shipped model "):
        library.find("")


def test_the_held_out_text_comes_unchanged(shelf: Path) -> None:
    assert library.held_out_text("tiny") == "Fanny\r\nPrice: 5£"


def test_a_model_without_text_says_where_to_put_it(shelf: Path) -> None:
    (shelf / "tiny" / "held_out.txt").unlink()
    path = re.escape(str(shelf / "tiny" / "held_out.txt"))
    with pytest.raises(
        InputError, match=f"^{path} does not exist: put the text to run beside the model's weights$"
    ):
        library.held_out_text("tiny")


def test_a_text_that_is_not_utf_8_is_refused(shelf: Path) -> None:
    (shelf / "tiny" / "held_out.txt").write_bytes(b"caf\xe9")
    with pytest.raises(InputError, match=r"held_out\.txt: byte 3 is not UTF-8$"):
        library.held_out_text("tiny")


def test_asking_for_names_imports_nothing_heavy() -> None:
    code = "import sys, tritforge.models.library as l; l.names(); print('numpy' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "False"


FORMATS: dict[str, dict[str, Any]] = {
    "native": {},
    "hf-packed": {},
    "gguf-tq1_0": {},
    "image": {"accelerator": AcceleratorConfig()},
}


@pytest.mark.parametrize("target", FORMATS)
def test_a_checkpoint_of_any_format_is_loaded_as_it_is_used(target: Any, tmp_path: Path) -> None:
    model = random_model(ARCHITECTURES["llama"], scale_kind="multiplier")
    convert(MemoryReader(model), tmp_path / "model", target, **FORMATS[target])
    loaded = library.load_model(tmp_path / "model")
    assert isinstance(loaded.matrices, LazyMapping)
    assert loaded.config == model.config
    tokens = np.arange(5)
    assert np.array_equal(Decoder(loaded).forward(tokens), Decoder(model).forward(tokens))
    assert loaded.to_bytes() == model.to_bytes()


def test_damage_is_found_when_the_matrix_is_used(tmp_path: Path) -> None:
    model = random_model(ARCHITECTURES["llama"], scale_kind="multiplier")
    path = tmp_path / "model"
    model.save(path)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    loaded = library.load_model(path)
    with pytest.raises(
        InputError, match=f"^{re.escape(str(path))}: model.layers.*the SHA-256 of its weight is "
    ):
        [loaded.matrices[name] for name in loaded.matrices]


def test_a_checkpoint_that_is_forgotten_gives_its_files_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "model"
    random_model(ARCHITECTURES["llama"]).save(path)
    closed: list[Path] = []
    close = NativeReader.close

    def remember(self: NativeReader) -> None:
        closed.append(self.path)
        close(self)

    monkeypatch.setattr(NativeReader, "close", remember)
    loaded = library.load_model(path)
    tensors = loaded.tensors
    del loaded
    assert tensors["model.norm.weight"].shape == (256,)
    assert not closed
    del tensors
    assert closed == [path]


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "manifest.json"])
def test_what_belongs_to_a_checkpoint_lies_beside_its_first_file(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text("")
    assert library.find(tmp_path) == tmp_path / name
    assert not library.has_held_out_text(tmp_path)
    (tmp_path / "held_out.txt").write_text("text")
    assert library.held_out_text(tmp_path) == "text"
