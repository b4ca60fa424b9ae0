"""Fixtures that several folders of tests share."""

import os
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import settings

from tritforge.models.checkpoint import Checkpoint, quantise_master, tensor_shapes
from tritforge.models.config import DecoderConfig

# A shared machine may stall for longer than any deadline; the examples themselves are fast.
settings.register_profile("tritforge", deadline=None, max_examples=60)
settings.load_profile("tritforge")

#: Two layers, two query heads to a key head, and rows whose last byte is padded (48 trits in 10 bytes).
TINY = DecoderConfig(
    vocab_size=128,
    hidden_size=40,
    intermediate_size=48,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    max_position_embeddings=64,
)


def random_master(config: DecoderConfig, seed: int) -> dict[str, npt.NDArray[np.float32]]:
    """Random float32 master weights for a configuration, gains of the norms around one."""
    random = np.random.default_rng(seed)
    tensors = {
        f"model.layers.{layer}.{name}.weight": random.standard_normal(shape, dtype=np.float32)
        for layer in range(config.num_hidden_layers)
        for name, shape in config.matrices.items()
    }
    for name, wanted in tensor_shapes(config).items():
        values = random.standard_normal(wanted, dtype=np.float32)
        tensors[name] = values if len(wanted) == 2 else np.float32(1) + values / np.float32(8)
    return tensors


@pytest.fixture(scope="session")
def tiny_master() -> dict[str, npt.NDArray[np.float32]]:
    """Float32 master weights of a small random model."""
    return random_master(TINY, seed=7)


@pytest.fixture(scope="session")
def tiny_checkpoint(tiny_master: dict[str, npt.NDArray[np.float32]]) -> Checkpoint:
    """A small random ternary model of two layers, the same in every test (immutable)."""
    return quantise_master(TINY, tiny_master)


@pytest.fixture(scope="session")
def simulators(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of compiled simulators that all of this run's processes share."""
    base = tmp_path_factory.getbasetemp()
    # Under pytest-xdist every worker has a folder of its own within that of the run.
    return (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "simulators"


@pytest.fixture(scope="session")
def tiny_model(tiny_checkpoint: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of `tiny_checkpoint` and of some text, as `--model` takes it."""
    folder = tmp_path_factory.mktemp("tiny_model")
    tiny_checkpoint.save(folder / "model.safetensors")
    text = "It is a truth universally acknowledged, that a single man in possession of a good fortune"
    (folder / "held_out.txt").write_text(text)
    return folder
