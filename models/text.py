"""Text of a model's users to token ids and back: the shipped models' characters, or a ``tokenizer.json``."""

from pathlib import Path
from typing import Protocol

import numpy as np

from tritforge.accel.errors import InputError, MissingToolError
from tritforge.models import tokenizer
from tritforge.models.library import find, names

TOKENIZER = "tokenizer.json"
#: Says "one token for each ASCII character" in place of a file.
ASCII = "ascii"


class Tokenizer(Protocol):
    """What turns text into token ids and back."""

    def encode(self, text: str) -> tuple[int, ...]:
        """Return the ids of a text; `InputError` for one that the vocabulary cannot express."""

    def decode(self, tokens: list[int]) -> str:
        """Return the text of ids."""


class CharacterTokenizer:
    """One token for each ASCII character, as `tritforge.models.tokenizer` has it."""

    def encode(self, text: str) -> tuple[int, ...]:
        return tuple(tokenizer.encode(text).tolist())

    def decode(self, tokens: list[int]) -> str:
        return tokenizer.decode(np.array(tokens, dtype=np.int64))


class FileTokenizer:
    """A ``tokenizer.json``, read by Hugging Face's ``tokenizers``.

    Parameters
    ----------
    path
        The file.

    Raises
    ------
    MissingToolError
        The package is not installed.
    InputError
        The file is not what it should be.
    """

    def __init__(self, path: Path) -> None:
        try:
            import tokenizers
        except ImportError as error:
            raise MissingToolError(
                f"reading {path} needs the package tokenizers; install it with: pip install 'tritforge[text]'"
            ) from error
        try:
            content = path.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise InputError(f"{path} is not UTF-8 at byte {error.start}; give a {TOKENIZER}") from error
        except OSError as error:
            raise InputError(f"cannot read {path}: {error.strerror}; give a {TOKENIZER}") from error
        try:
            self._tokenizer = tokenizers.Tokenizer.from_str(content)
        except Exception as error:
            # The package raises plain Exception for all that is wrong with a file's content; nothing else runs here.
            if type(error) is not Exception:
                raise
            raise InputError(f"{path} is no tokenizer: {error}") from error

    def encode(self, text: str) -> tuple[int, ...]:
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise InputError(
                f"character {text[error.start]!r} at position {error.start} is no Unicode text; give text in UTF-8"
            ) from error
        return tuple(self._tokenizer.encode(text).ids)

    def decode(self, tokens: list[int]) -> str:
        text: str = self._tokenizer.decode(tokens)
        return text


def open_tokenizer(model: str, choice: str | None = None) -> Tokenizer:
    """Return the tokenizer of a model.

    Parameters
    ----------
    model
        A shipped model's name or a checkpoint's path.
    choice
        A ``tokenizer.json``, or `ASCII`; the file beside the model unless given.

    Raises
    ------
    InputError
        There is none, or it is damaged.
    MissingToolError
        The package that reads it is not installed.
    """
    if choice == ASCII or (choice is None and model in names()):
        return CharacterTokenizer()
    if choice is not None:
        return FileTokenizer(Path(choice))
    beside = find(model).with_name(TOKENIZER)
    if not beside.is_file():
        raise InputError(
            f"{model} has no {TOKENIZER} beside it; give one with --tokenizer FILE, or --tokenizer {ASCII} for a "
            "model of ASCII characters"
        )
    return FileTokenizer(beside)
