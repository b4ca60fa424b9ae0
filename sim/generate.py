"""Text generation: one token at a time, with a cache and a seed."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tritforge.accel.errors import InputError
from tritforge.sim.decoder import Decoder


def sample(
    logits: npt.NDArray[np.float32],
    random: np.random.Generator,
    *,
    temperature: float = 1.0,
    top_k: int | None = None,
) -> int:
    """Choose a token.

    Parameters
    ----------
    logits : ndarray of float32, shape (vocab_size,)
        Of the next token.
    random
        Source of the choice; unused at temperature 0.
    temperature
        Divides the logits; 0 takes the most likely token, the first of equals.
    top_k
        Restrict the choice to the k most likely tokens, the first of equals.

    Raises
    ------
    InputError
        A negative temperature, or ``top_k`` below 1.
    """
    if not 0 <= temperature < np.inf:
        raise InputError(f"temperature is {temperature}; zero or more is needed")
    if top_k is not None and top_k < 1:
        raise InputError(f"top_k is {top_k}; one or more is needed")
    order = np.argsort(-logits, kind="stable")[:top_k]
    if temperature == 0:
        return int(order[0])
    # The largest is subtracted first, so that no temperature, however small, overflows.
    scaled = (logits[order].astype(np.float64) - float(logits[order[0]])) / temperature
    weights = np.exp(scaled)
    return int(random.choice(order, p=weights / weights.sum()))


@dataclass(frozen=True, kw_only=True, eq=False)
class Step:
    """A token that was chosen.

    Attributes
    ----------
    token
        Its id.
    logits : ndarray of float32, shape (vocab_size,)
        What it was chosen by.
    """

    token: int
    logits: npt.NDArray[np.float32]


def generate(
    decoder: Decoder,
    prompt: npt.NDArray[np.int64],
    count: int,
    *,
    seed: int = 0,
    temperature: float = 1.0,
    top_k: int | None = None,
) -> Iterator[Step]:
    """Continue a prompt.

    Parameters
    ----------
    decoder
        The model.
    prompt : ndarray of int64, shape (T,)
        Token ids, one or more.
    count
        Tokens to make.
    seed
        Of the sampling: equal seeds give equal continuations.
    temperature, top_k
        As in `sample`.

    Yields
    ------
    Step
        The tokens, each as soon as it is chosen.

    Raises
    ------
    InputError
        Prompt and continuation are over the model's positions, a negative seed; anything that `sample` refuses.
    """
    limit = decoder.config.max_position_embeddings
    if len(prompt) + count > limit:
        room = limit - len(prompt)
        raise InputError(
            f"a prompt of {len(prompt)} and {count} new tokens are over the model's {limit} positions; "
            + (
                f"ask for {room} at most"
                if room > 0
                else f"shorten the prompt to {limit - 1} tokens or fewer"
            )
        )
    if seed < 0:
        raise InputError(f"seed is {seed}; zero or more is needed")
    random = np.random.default_rng(seed)
    cache = decoder.new_cache()
    tokens = prompt
    for _ in range(count):
        logits = decoder.forward(tokens, cache)[-1]
        chosen = sample(logits, random, temperature=temperature, top_k=top_k)
        yield Step(token=chosen, logits=logits)
        tokens = np.array([chosen], dtype=np.int64)
