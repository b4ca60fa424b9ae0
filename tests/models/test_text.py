"""Tokenizers of models."""

import re
import sys
from pathlib import Path

import pytest

from tritforge.accel.errors import InputError, MissingToolError
from tritforge.models.text import CharacterTokenizer, FileTokenizer, open_tokenizer

tokenizers = pytest.importorskip("tokenizers", reason="needs the extra 'text'")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A tokenizer of whole words."""
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace

    made = tokenizers.Tokenizer(WordLevel({"?": 0, "in": 1, "want": 2, "of": 3}, unk_token="?"))  # noqa: S106
    made.pre_tokenizer = Whitespace()
    path = tmp_path / "tokenizer.json"
    made.save(str(path))
    return path


def test_a_shipped_models_tokens_are_its_characters() -> None:
    chosen = open_tokenizer("austen")
    assert isinstance(chosen, CharacterTokenizer)
    assert chosen.encode("Emma") == (69, 109, 109, 97)
    assert chosen.decode([69, 109]) == "Em"


def test_a_file_is_read(file: Path) -> None:
    chosen = open_tokenizer("austen", str(file))
    assert isinstance(chosen, FileTokenizer)
    assert chosen.encode("in want of a") == (1, 2, 3, 0)
    assert chosen.decode([2, 3]) == "want of"


def test_the_file_beside_a_model_is_found(file: Path) -> None:
    (file.parent / "model.safetensors").write_bytes(b"")
    for model in (file.parent, file.parent / "model.safetensors"):
        assert open_tokenizer(str(model)).encode("of") == (3,)


def test_a_model_without_a_tokenizer_is_told_how_to_get_one(tiny_model: Path) -> None:
    message = (
        f"{tiny_model} has no tokenizer.json beside it; give one with --tokenizer FILE, or --tokenizer ascii for a "
        "model of ASCII characters"
    )
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        open_tokenizer(str(tiny_model))
    assert open_tokenizer(str(tiny_model), "ascii").encode("A") == (65,)


@pytest.mark.parametrize("content", [b"", b"{}", b"[1]", b"\xff\xfe", b'{"model": {"type": "BPE"}}'])
def test_a_damaged_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_bytes(content)
    with pytest.raises(
        InputError, match=rf"^{re.escape(str(path))} is (no tokenizer: |not UTF-8 at byte 0; )"
    ):
        FileTokenizer(path)


def test_text_that_is_no_unicode_is_refused(file: Path) -> None:
    message = r"character '\udcff' at position 3 is no Unicode text; give text in UTF-8"
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        FileTokenizer(file).encode("of \udcff")


def test_a_file_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^cannot read .*absent\.json: .*; give a tokenizer\.json$"):
        FileTokenizer(tmp_path / "absent.json")


def test_a_missing_package_is_named_with_its_cure(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    message = f"reading {file} needs the package tokenizers; install it with: pip install 'tritforge[text]'"
    with pytest.raises(MissingToolError, match=f"^{re.escape(message)}$"):
        FileTokenizer(file)
