"""Bits per character of a text under a model."""

from collections.abc import Callable

import numpy as np

from tritforge.accel.errors import InputError
from tritforge.models.tokenizer import encode
from tritforge.sim.decoder import Decoder

WINDOW = 256


def bits_per_character(
    decoder: Decoder,
    text: str,
    *,
    window: int = WINDOW,
    batch: int = 16,
    progress: Callable[[int, int], None] | None = None,
) -> float:
    """Score a text in windows that do not overlap, every character but a window's first.

    Parameters
    ----------
    decoder
        The model.
    text
        Characters outside the vocabulary stand as the substitute character. The last window may be shorter.
    window
        Characters in a window.
    batch
        Windows that are run at a time; the result does not depend on it beyond rounding.
    progress
        Called after every batch with the number of characters done and of all.

    Returns
    -------
    float
        Mean of -log2(probability) over the scored characters.

    Raises
    ------
    InputError
        Fewer than two characters, or a window longer than the model's positions.
    """
    if not 2 <= window <= decoder.config.max_position_embeddings:
        raise InputError(
            f"a window of {window} characters is outside 2 to {decoder.config.max_position_embeddings}"
        )
    tokens = encode(text, errors="replace")
    if len(tokens) < 2:
        raise InputError(f"a text of {len(tokens)} characters cannot be scored; two or more are needed")
    whole = len(tokens) // window * window
    windows = tokens[:whole].reshape(-1, window)
    batches = [windows[start : start + batch] for start in range(0, len(windows), batch)]
    if len(tokens) - whole > 1:
        batches.append(tokens[None, whole:])
    nats, scored, done = 0.0, 0, 0
    for inputs in batches:
        # float64 from here on: this is a sum over the whole text.
        logits = decoder.forward(inputs)[:, :-1].astype(np.float64)
        logits -= logits.max(axis=-1, keepdims=True)
        chosen = np.take_along_axis(logits, inputs[:, 1:, None], axis=-1)[..., 0]
        nats += float((np.log(np.exp(logits).sum(axis=-1)) - chosen).sum())
        scored += chosen.size
        done += inputs.size
        if progress is not None:
            progress(done, len(tokens))
    return nats / scored / float(np.log(2))
