"""Exported GGUF files as Hugging Face's transformers loads them, which puts permuted rows back by code of its own."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from small_models import ARCHITECTURES, random_model

from tritforge.models.config import DecoderConfig
from tritforge.models.gguf_reader import GgufReader
from tritforge.models.gguf_writer import write_gguf
from tritforge.models.reader import MemoryReader

torch = pytest.importorskip("torch", reason="needs the extra 'external'")
transformers = pytest.importorskip("transformers", reason="needs the extra 'external'")
pytest.importorskip("gguf", reason="needs the extra 'external'")

pytestmark = [
    pytest.mark.external,
    # PyTorch deprecates parts of itself on import; that is no matter of this project.
    pytest.mark.filterwarnings("default::DeprecationWarning", "default::FutureWarning"),
]


@pytest.mark.parametrize("kind", ["TQ1_0", "TQ2_0"])
@pytest.mark.parametrize(
    "config", [ARCHITECTURES["llama"], replace(ARCHITECTURES["wide heads"], rope_theta=5e5)]
)
def test_transformers_loads_the_weights_and_shapes_that_were_exported(
    tmp_path: Path, config: DecoderConfig, kind: str
) -> None:
    model = random_model(config, scale_kind="multiplier", grid=(2, 1))
    write_gguf(MemoryReader(model), tmp_path / "model.gguf", kind)
    loaded = transformers.LlamaForCausalLM.from_pretrained(
        tmp_path, gguf_file="model.gguf", dtype=torch.float32
    )
    state = {name: tensor.numpy() for name, tensor in loaded.state_dict().items()}
    for name, tensor in model.tensors.items():
        assert np.array_equal(state.pop(name), tensor), name
    with GgufReader(tmp_path / "model.gguf") as reader:
        for name in model.matrices:
            matrix = reader.matrix(name)
            scales = matrix.scale_grid.repeat(matrix.m // len(matrix.scale_grid), axis=0)
            assert np.array_equal(state.pop(f"{name}.weight"), matrix.codes * scales), name
    assert set(state) <= {"lm_head.weight"}
    assert loaded.config.head_dim == config.head_dim
    assert loaded.config.num_key_value_heads == config.num_key_value_heads
    assert loaded.config.rope_parameters["rope_theta"] == config.rope_theta
    assert np.float32(loaded.config.rms_norm_eps) == np.float32(config.rms_norm_eps)
