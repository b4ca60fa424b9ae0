"""Shapes from config.json against the modules that transformers builds from the same file."""

from pathlib import Path
from typing import Any

import pytest

from tritforge.models.hf_config import ARCHITECTURES, shape_from_config

torch = pytest.importorskip("torch", reason="needs the extra 'external'")
transformers = pytest.importorskip("transformers", reason="needs the extra 'external'")

pytestmark = [
    pytest.mark.external,
    pytest.mark.filterwarnings("default::DeprecationWarning", "default::FutureWarning"),
]

TINY: dict[str, Any] = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 128,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
EXPERTS: dict[str, Any] = {
    "num_local_experts": 4,
    "num_experts": 4,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 48,
}


@pytest.mark.parametrize("kind", sorted(set(ARCHITECTURES) - {"qwen2_moe"}))
def test_the_matrices_are_those_that_transformers_builds(kind: str, tmp_path: Path) -> None:
    """Every parameter of two or more dimensions in a layer, routers apart, is a weight of the shape."""
    architecture = ARCHITECTURES[kind]
    own = EXPERTS if architecture.moe else {}
    if architecture.moe and architecture.expert_field == "intermediate_size":
        own = {name: value for name, value in own.items() if name != "moe_intermediate_size"}
    known = transformers.CONFIG_MAPPING[kind]().to_dict()
    config = transformers.CONFIG_MAPPING[kind](
        **TINY, **{name: value for name, value in own.items() if name in known or name == "num_experts"}
    )
    config.to_json_file(tmp_path / "config.json", use_diff=False)
    shape = shape_from_config(tmp_path)
    with torch.device("meta"):
        model = transformers.AutoModelForCausalLM.from_config(config)
    routers = ("router", "mlp.gate.weight", "block_sparse_moe.gate.weight")
    weights = sum(
        parameter.numel()
        for name, parameter in model.named_parameters()
        if ".layers." in name
        and parameter.dim() > 1
        and "bias" not in name
        and not any(part in name for part in routers)
    )
    assert shape.linear_parameters == weights
    assert shape.embedding_parameters == model.get_input_embeddings().weight.numel()
    tied = model.get_output_embeddings().weight is model.get_input_embeddings().weight
    assert shape.tie_word_embeddings == tied
