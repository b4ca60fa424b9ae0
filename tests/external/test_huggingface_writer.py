"""Folders that are written here, loaded by transformers from the folder alone: its logits are the golden model's.

``AutoBitLinear`` and floats multiply in another order than the golden model, and a code of an activation may fall on
the other side of a half there, hence the tolerance; ``BitLinear`` differs by the accumulation of attention alone.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_models import ARCHITECTURES, random_model

from tritforge.models.huggingface_writer import write_hugging_face
from tritforge.models.reader import MemoryReader
from tritforge.sim.decoder import Decoder

torch = pytest.importorskip("torch", reason="needs the extra 'external'")
transformers = pytest.importorskip("transformers", reason="needs the extra 'external'")
pytest.importorskip("accelerate", reason="needs the extra 'external'")

pytestmark = [
    pytest.mark.external,
    # PyTorch deprecates parts of itself on import; that is no matter of this project.
    pytest.mark.filterwarnings("default::DeprecationWarning", "default::FutureWarning"),
]
LAYERS = {"divisor": "BitLinear", "multiplier": "AutoBitLinear"}
TOKENS = np.arange(24) * 7 % 40


def load(folder: Path) -> Any:
    torch.set_num_threads(1)
    return transformers.AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager").eval()


def logits(reference: Any) -> Any:
    with torch.no_grad():
        return reference(torch.from_numpy(TOKENS)[None]).logits[0].numpy()


@pytest.mark.parametrize("shards", [1, 2])
@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_packed_models_compute_the_same_logits(
    architecture: str, kind: str, shards: int, tmp_path: Path
) -> None:
    model = random_model(ARCHITECTURES[architecture], seed=11, scale_kind=kind)
    shard_bytes = 10**9 if shards == 1 else 200_000
    write_hugging_face(MemoryReader(model), tmp_path / "model", shard_bytes=shard_bytes)
    reference = load(tmp_path / "model")
    assert type(reference).__name__ == ("BitNet" if model.config.sub_norms else "Llama") + "ForCausalLM"
    assert type(reference.model.layers[1].mlp.down_proj).__name__ == LAYERS[kind]
    assert type(reference.lm_head).__name__ == "Linear"
    assert {parameter.dtype for parameter in reference.parameters()} == {torch.float32}
    expected = Decoder(model).forward(TOKENS)
    error = np.abs(logits(reference) - expected).max(axis=1) / np.abs(expected).max()
    # A code that falls to the other side of a half moves a token's logits by some thousandths, and those after it.
    assert np.median(error) < 2e-6
    assert error.max() < 2e-2


def test_floats_load_as_an_ordinary_model_with_the_same_weights(tmp_path: Path) -> None:
    model = random_model(ARCHITECTURES["llama"], seed=12, scale_kind="multiplier")
    write_hugging_face(MemoryReader(model), tmp_path / "model", "float")
    reference = load(tmp_path / "model")
    for name, matrix in model.matrices.items():
        weight = reference.get_submodule(name).weight
        assert type(reference.get_submodule(name)).__name__ == "Linear"
        assert np.array_equal(weight.detach().float().numpy(), matrix.codes * np.float32(matrix.scale))
    # Its activations are not quantised, so that its logits are near and not equal.
    expected = Decoder(model).forward(TOKENS)
    assert np.corrcoef(logits(reference).ravel(), np.asarray(expected).ravel())[0, 1] > 0.999
