"""Bits per character."""

import numpy as np
import numpy.typing as npt
import pytest

from tritforge.accel.errors import InputError
from tritforge.models.checkpoint import Checkpoint
from tritforge.models.tokenizer import encode
from tritforge.sim.decoder import Decoder
from tritforge.sim.evaluate import bits_per_character

TEXT = "It is a truth universally acknowledged, that a single man in possession of a good fortune"


class Uniform(Decoder):
    """Every character equally likely: exactly seven bits each."""

    def forward(self, tokens: npt.NDArray[np.int64], cache: object = None) -> npt.NDArray[np.float32]:
        return np.full((*tokens.shape, 128), 3, dtype=np.float32)


def character_by_character(decoder: Decoder, text: str, window: int) -> float:
    """Score one window and one character at a time."""
    bits = []
    for start in range(0, len(text), window):
        tokens = encode(text[start : start + window], errors="replace")
        for position, logits in enumerate(decoder.forward(tokens)[:-1].astype(float)):
            exponentials = np.exp(logits)
            bits.append(-np.log2(exponentials[tokens[position + 1]] / exponentials.sum()))
    return float(np.mean(bits))


def test_a_uniform_model_takes_seven_bits(tiny_checkpoint: Checkpoint) -> None:
    assert bits_per_character(Uniform(tiny_checkpoint), TEXT, window=16) == pytest.approx(7, abs=1e-12)


@pytest.mark.parametrize("length", [2, 16, 17, 18, 33, 89])
def test_every_character_but_a_windows_first_is_scored(tiny_checkpoint: Checkpoint, length: int) -> None:
    """Lengths with no last window, with one of a single character, and with longer ones."""
    decoder = Decoder(tiny_checkpoint)
    found = bits_per_character(decoder, TEXT[:length], window=16, batch=1)
    assert found == pytest.approx(character_by_character(decoder, TEXT[:length], 16), abs=1e-5)


def test_the_batch_does_not_matter_beyond_rounding(tiny_checkpoint: Checkpoint) -> None:
    decoder = Decoder(tiny_checkpoint)
    found = [bits_per_character(decoder, TEXT, window=16, batch=batch) for batch in (1, 2, 16)]
    assert found == pytest.approx([found[0]] * 3, abs=2e-2)  # a flipped code moves a few logits


def test_progress_ends_with_all_characters(tiny_checkpoint: Checkpoint) -> None:
    seen: list[tuple[int, int]] = []
    bits_per_character(
        Uniform(tiny_checkpoint), TEXT, window=16, batch=2, progress=lambda *counts: seen.append(counts)
    )
    assert seen == [(32, 89), (64, 89), (80, 89), (89, 89)]


def test_a_text_too_short_to_score_is_refused(tiny_checkpoint: Checkpoint) -> None:
    with pytest.raises(
        InputError, match=r"^a text of 1 characters cannot be scored; two or more are needed$"
    ):
        bits_per_character(Decoder(tiny_checkpoint), "I", window=16)


@pytest.mark.parametrize("window", [1, 65])
def test_a_window_out_of_bounds_is_refused(tiny_checkpoint: Checkpoint, window: int) -> None:
    with pytest.raises(InputError, match=rf"^a window of {window} characters is outside 2 to 64$"):
        bits_per_character(Decoder(tiny_checkpoint), TEXT, window=window)
