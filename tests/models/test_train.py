"""Training: the loss falls, and an interruption changes nothing."""

import json
import re
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from tritforge.accel.errors import InputError
from tritforge.models.checkpoint import quantise_master
from tritforge.models.config import DecoderConfig
from tritforge.models.corpus import Split
from tritforge.sim.decoder import Decoder
from tritforge.sim.evaluate import bits_per_character

torch = pytest.importorskip("torch", reason="needs the extra 'train'")
train = pytest.importorskip("tritforge.models.train", reason="needs the extra 'train'")

pytestmark = [
    pytest.mark.external,
    pytest.mark.filterwarnings("default::DeprecationWarning", "default::FutureWarning"),
]
STEPS = 30
SMALL = DecoderConfig(
    vocab_size=128,
    hidden_size=64,
    intermediate_size=96,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    max_position_embeddings=256,
)
RECIPE = train.Recipe(steps=STEPS, batch=2, warmup=5)


@pytest.fixture(scope="module")
def text() -> Split:
    """Sentences of twelve words in a random order."""
    words = ["a", "man", "of", "great", "fortune", "and", "good", "sense", "must", "want", "some", "wife"]
    order = np.random.default_rng(0).integers(0, len(words), 4000)
    plain = " ".join(words[at] for at in order)
    return Split(train=plain[:16000], held_out=plain[16000:18000])


def trainer(text: Split, *, ternary: bool = True) -> Any:
    torch.set_num_threads(1)
    return train.Trainer(text, replace(RECIPE, ternary=ternary), SMALL)


@pytest.fixture(scope="module", params=[True, False], ids=["ternary", "twin"])
def finished(request: pytest.FixtureRequest, text: Split, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run from start to end in one piece."""
    folder = tmp_path_factory.mktemp("run")
    train.run(trainer(text, ternary=request.param), folder, save_every=10)
    return folder


def test_the_loss_falls_in_thirty_steps(text: Split) -> None:
    run = trainer(text)
    before = run.evaluate()
    losses = [run.advance() for _ in range(STEPS)]
    assert before == pytest.approx(7, abs=0.5)  # nothing known of 128 symbols: seven bits
    assert np.mean(losses[-5:]) < np.mean(losses[:5]) - 1
    assert run.evaluate() < before - 1


def test_an_interrupted_run_ends_with_the_same_weights(
    finished: Path, text: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The power fails in step 14, after the state of step 10 was saved; another process goes on."""
    ternary = bool(json.loads((finished / "metrics.json").read_text())["recipe"]["ternary"])
    run = trainer(text, ternary=ternary)
    advance = run.advance

    def fail() -> float:
        if run.step == 14:
            raise KeyboardInterrupt
        return float(advance())

    monkeypatch.setattr(run, "advance", fail)
    with pytest.raises(KeyboardInterrupt):
        train.run(run, tmp_path, save_every=10)
    assert not (tmp_path / "master.safetensors").exists()

    again = trainer(text, ternary=ternary)
    torch.manual_seed(99)  # the state of PyTorch's generator is another in a new process
    train.run(again, tmp_path, save_every=10)
    expected, found = load_file(finished / "master.safetensors"), load_file(tmp_path / "master.safetensors")
    assert found.keys() == expected.keys()
    for name in expected:
        assert np.array_equal(found[name].view(np.uint32), expected[name].view(np.uint32)), name


def test_a_state_of_another_recipe_is_refused(text: Split, tmp_path: Path) -> None:
    run = trainer(text)
    run.save(tmp_path / "state.pt")
    other = train.Trainer(text, replace(RECIPE, seed=2), SMALL)
    message = f"{tmp_path / 'state.pt'} was written under another recipe: {asdict(RECIPE)}"
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        other.resume(tmp_path / "state.pt")


def test_numpy_scores_the_trained_model_as_the_training_code_does(finished: Path, text: Split) -> None:
    metrics = json.loads((finished / "metrics.json").read_text())
    assert metrics["config"] == asdict(SMALL)
    if not metrics["recipe"]["ternary"]:
        pytest.skip("the twin is not ternary")
    checkpoint = quantise_master(SMALL, load_file(finished / "master.safetensors"))
    found = bits_per_character(Decoder(checkpoint), text.held_out)
    assert found == pytest.approx(metrics["held_out_bits_per_character"], abs=1e-3)


def test_the_rate_warms_up_falls_and_drops_at_half_time() -> None:
    recipe = train.Recipe(steps=1000, warmup=100)
    rates = [recipe.rate(step) for step in range(1000)]
    assert rates[0] == pytest.approx(0.01)
    assert rates[249] == pytest.approx(0.751)
    assert rates[500] / rates[499] == pytest.approx(0.6 * 500 / 501)
    assert max(rates) == pytest.approx(0.9, abs=0.002)
    assert [recipe.decay(step) for step in (0, 499, 500, 999)] == [0.1, 0.1, 0.0, 0.0]
