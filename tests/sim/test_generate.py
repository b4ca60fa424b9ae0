"""Sampling and generation."""

import re
from itertools import islice

import numpy as np
import pytest

from tritforge.accel.errors import InputError
from tritforge.models.checkpoint import Checkpoint
from tritforge.models.tokenizer import encode
from tritforge.sim.decoder import Decoder
from tritforge.sim.generate import generate, sample

LOGITS = np.log(np.array([0.1, 0.4, 0.4, 0.1], dtype=np.float32))


def draws(count: int, **options: float) -> list[int]:
    random = np.random.default_rng(11)
    return [sample(LOGITS, random, **options) for _ in range(count)]  # type: ignore[arg-type]


def test_samples_follow_the_probabilities() -> None:
    shares = np.bincount(draws(4000), minlength=4) / 4000
    assert shares == pytest.approx([0.1, 0.4, 0.4, 0.1], abs=0.03)


def test_temperature_sharpens_and_flattens() -> None:
    """At 1/2 the probabilities are squared, at 2 rooted."""
    squared = np.array([1, 16, 16, 1]) / 34
    assert np.bincount(draws(4000, temperature=0.5), minlength=4) / 4000 == pytest.approx(squared, abs=0.03)
    rooted = np.array([1, 2, 2, 1]) / 6
    assert np.bincount(draws(4000, temperature=2.0), minlength=4) / 4000 == pytest.approx(rooted, abs=0.03)


def test_temperature_zero_takes_the_first_of_the_most_likely() -> None:
    assert set(draws(20, temperature=0)) == {1}


def test_the_smallest_temperatures_do_not_overflow() -> None:
    assert set(draws(50, temperature=1e-300)) == {1, 2}


def test_top_k_leaves_the_most_likely_the_first_of_equals() -> None:
    assert set(draws(50, top_k=1)) == {1}
    assert set(draws(50, top_k=2)) == {1, 2}
    assert set(draws(200, top_k=3)) == {0, 1, 2}
    assert set(draws(200, top_k=99)) == {0, 1, 2, 3}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": -0.5}, "temperature is -0.5; zero or more is needed"),
        ({"temperature": np.nan}, "temperature is nan; zero or more is needed"),
        ({"top_k": 0}, "top_k is 0; one or more is needed"),
    ],
)
def test_options_out_of_bounds_are_refused(options: dict[str, float], message: str) -> None:
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        draws(1, **options)


def test_equal_seeds_give_equal_texts_and_others_others(tiny_checkpoint: Checkpoint) -> None:
    decoder, prompt = Decoder(tiny_checkpoint), encode("Emma")
    texts = [
        [step.token for step in generate(decoder, prompt, 30, seed=seed, temperature=2.0)]
        for seed in (1, 1, 2)
    ]
    assert texts[0] == texts[1]
    assert texts[0] != texts[2]
    assert all(len(text) == 30 for text in texts)


def test_greedy_tokens_are_the_most_likely_without_a_cache_too(tiny_checkpoint: Checkpoint) -> None:
    """Up to rounding: where the two best logits are close, either may lead."""
    decoder, prompt = Decoder(tiny_checkpoint), encode("Emma")
    steps = list(generate(decoder, prompt, 20, temperature=0))
    made = [step.token for step in steps]
    assert made == [int(step.logits.argmax()) for step in steps]
    logits = decoder.forward(np.array([*prompt, *made]))[len(prompt) - 1 : -1]
    chosen = logits[np.arange(20), made]
    assert (chosen >= logits.max(axis=-1) - 0.5).all()
    assert np.mean(logits.argmax(axis=-1) == made) >= 0.8


def test_tokens_come_one_at_a_time(tiny_checkpoint: Checkpoint) -> None:
    """Only the first two of sixty are computed."""
    calls = []

    class Counting(Decoder):
        def forward(self, tokens, cache=None):  # type: ignore[no-untyped-def]
            calls.append(len(tokens))
            return super().forward(tokens, cache)

    assert len(list(islice(generate(Counting(tiny_checkpoint), encode("Emma"), 60), 2))) == 2
    assert calls == [4, 1]


def test_more_tokens_than_positions_are_refused(tiny_checkpoint: Checkpoint) -> None:
    message = "a prompt of 4 and 61 new tokens are over the model's 64 positions; ask for 60 at most"
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        next(generate(Decoder(tiny_checkpoint), encode("Emma"), 61))
