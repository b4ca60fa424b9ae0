"""Character tokenizer of the shipped model: one token is one ASCII code point."""

from typing import Literal

import numpy as np
import numpy.typing as npt

from tritforge.accel.errors import InputError

VOCAB_SIZE = 128
#: Stands for every character outside ASCII (U+001A, SUBSTITUTE).
SUBSTITUTE = "\x1a"


def encode(text: str, *, errors: Literal["strict", "replace"] = "strict") -> npt.NDArray[np.int64]:
    """Turn text into token ids.

    Parameters
    ----------
    text
        Any text; ``"strict"`` admits ASCII only.
    errors
        ``"replace"`` maps every other character to `SUBSTITUTE`.

    Returns
    -------
    ndarray, shape (len(text),)
        Token ids, 0 to 127.

    Raises
    ------
    InputError
        A character outside ASCII under ``"strict"``; the message names it and its position.
    """
    # What the command line could not decode arrives as lone surrogates, which are foreign characters like others.
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32).astype(np.int64)
    foreign = np.flatnonzero(codes >= VOCAB_SIZE)
    if foreign.size and errors == "strict":
        at = int(foreign[0])
        raise InputError(
            f"character {text[at]!r} at position {at} is not in the vocabulary: "
            f"the model knows the {VOCAB_SIZE} ASCII characters"
        )
    codes[foreign] = ord(SUBSTITUTE)
    return codes


def decode(tokens: npt.ArrayLike) -> str:
    """Turn token ids back into text.

    Raises
    ------
    InputError
        A token outside 0 to 127.
    """
    codes = np.asarray(tokens)
    if codes.size and (codes.min() < 0 or codes.max() >= VOCAB_SIZE):
        wrong = codes[(codes < 0) | (codes >= VOCAB_SIZE)][0]
        raise InputError(f"token {wrong} is outside 0 to {VOCAB_SIZE - 1}")
    return "".join(map(chr, codes.ravel()))
