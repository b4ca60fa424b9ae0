"""Models by name and by path."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tritforge.accel.errors import InputError
from tritforge.models import library
from tritforge.models.checkpoint import Checkpoint


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
