"""Shapes from config.json: what is used, what is ignored, and errors that name the field."""

import json
from pathlib import Path
from typing import Any

import pytest

from tritforge.accel.errors import InputError
from tritforge.models.hf_config import ARCHITECTURES, IGNORED, shape_from_config
from tritforge.models.shapes import find_shape, resolve_shape

LLAMA: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "vocab_size": 128256,
    "max_position_embeddings": 8192,
    "hidden_act": "silu",
    "rms_norm_eps": 1e-5,
    "rope_theta": 500000.0,
    "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
}
MIXTRAL: dict[str, Any] = {
    "model_type": "mixtral",
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "num_local_experts": 8,
    "num_experts_per_tok": 2,
    "vocab_size": 32000,
}
QWEN_MOE: dict[str, Any] = {
    "model_type": "qwen3_moe",
    "hidden_size": 2048,
    "intermediate_size": 6144,
    "moe_intermediate_size": 768,
    "num_hidden_layers": 48,
    "num_attention_heads": 32,
    "num_key_value_heads": 4,
    "head_dim": 128,
    "num_experts": 128,
    "num_experts_per_tok": 8,
    "decoder_sparse_step": 1,
    "mlp_only_layers": [],
    "vocab_size": 151936,
}


def write(folder: Path, document: Any) -> Path:
    path = folder / "config.json"
    path.write_text(json.dumps(document))
    return path


def test_a_llama_has_the_matrices_of_the_known_shape(tmp_path: Path) -> None:
    shape, known = shape_from_config(write(tmp_path, LLAMA)), find_shape("Llama-3-8B")
    assert shape.linears == known.linears
    assert shape.embedding_parameters == known.embedding_parameters
    assert (shape.weights, shape.act_bits, shape.tie_word_embeddings) == ("float16", (), False)
    assert (shape.rope_theta, shape.rms_norm_eps, shape.hidden_act) == (500000.0, 1e-5, "silu")
    assert (shape.source, shape.status) == (f"the configuration {tmp_path / 'config.json'}", "verified")


def test_a_bitnet_is_ternary_with_sub_norms(tmp_path: Path) -> None:
    known = find_shape("microsoft/bitnet-b1.58-2B-4T")
    document = {
        "model_type": "bitnet",
        "hidden_size": 2560,
        "intermediate_size": 6912,
        "num_hidden_layers": 30,
        "num_attention_heads": 20,
        "num_key_value_heads": 5,
        "vocab_size": 128256,
        "tie_word_embeddings": True,
        "quantization_config": {"quant_method": "bitnet", "linear_class": "autobitlinear"},
    }
    shape = shape_from_config(write(tmp_path, document))
    assert shape.ternary_parameters == known.ternary_parameters
    assert (shape.sub_norms, shape.tie_word_embeddings, shape.act_bits) == (True, True, (8,))


@pytest.mark.parametrize(
    "change", [{"quantization_config": {"quant_method": "bitnet"}}, {"weight_bits": 1, "input_bits": 8}]
)
def test_a_llama_may_be_marked_as_ternary(tmp_path: Path, change: dict[str, Any]) -> None:
    shape = shape_from_config(write(tmp_path, LLAMA | change))
    assert (shape.weights, shape.act_bits) == ("ternary", (8,))


def test_another_quantisation_does_not_make_it_ternary(tmp_path: Path) -> None:
    change = {"quantization_config": {"quant_method": "awq", "bits": 4}}
    assert shape_from_config(write(tmp_path, LLAMA | change)).weights == "float16"


def test_experts_of_mixtral_are_as_wide_as_intermediate_size(tmp_path: Path) -> None:
    shape, known = shape_from_config(write(tmp_path, MIXTRAL)), find_shape("mistralai/Mixtral-8x7B-v0.1")
    assert shape.linears == known.linears
    assert shape.active_linear_parameters < shape.linear_parameters


def test_experts_of_qwen_have_a_width_of_their_own(tmp_path: Path) -> None:
    shape = shape_from_config(write(tmp_path, QWEN_MOE))
    assert (shape.intermediate_size, shape.num_local_experts, shape.num_experts_per_tok) == (768, 128, 8)
    # Qwen3-30B-A3B: 30.5e9 parameters in all, two tables of 151936 x 2048 and the routers apart.
    assert shape.linear_parameters == 48 * (2048 * 128 * (32 + 4 + 4 + 32) + 128 * 3 * 2048 * 768)
    total = shape.linear_parameters + 2 * shape.embedding_parameters + 48 * 128 * 2048
    assert total == pytest.approx(30.5e9, rel=2e-3)


def test_the_newer_name_of_the_experts_is_taken_too(tmp_path: Path) -> None:
    renamed = {key: value for key, value in QWEN_MOE.items() if key != "num_experts"}
    one = shape_from_config(write(tmp_path, renamed | {"num_local_experts": 128}))
    assert one == shape_from_config(write(tmp_path, QWEN_MOE))


def test_absent_fields_have_the_defaults_of_the_architecture(tmp_path: Path) -> None:
    gemma = {key: value for key, value in LLAMA.items() if key != "tie_word_embeddings"}
    assert shape_from_config(write(tmp_path, gemma)).tie_word_embeddings is False
    assert shape_from_config(write(tmp_path, gemma | {"model_type": "gemma"})).tie_word_embeddings is True
    assert shape_from_config(write(tmp_path, LLAMA | {"model_type": "nemotron"})).ffn_gated is False
    shape = shape_from_config(write(tmp_path, LLAMA | {"num_key_value_heads": None, "head_dim": None}))
    assert (shape.num_key_value_heads, shape.head_dim) == (32, 128)


def test_the_decoder_of_a_model_of_text_and_images_is_taken(tmp_path: Path) -> None:
    outer = {"model_type": "llava", "vision_config": {"hidden_size": 1}, "text_config": LLAMA}
    shape = shape_from_config(write(tmp_path, outer))
    assert shape.linears == find_shape("Llama-3-8B").linears
    assert shape.source == f"the configuration {tmp_path / 'config.json'} text_config"


def test_a_sliding_window_is_noted_unless_it_is_not_used(tmp_path: Path) -> None:
    shape = shape_from_config(write(tmp_path, LLAMA | {"sliding_window": 4096}))
    assert shape.note == (
        "sliding_window 4096 is not followed: attention and cache are counted over the whole context"
    )
    unused = LLAMA | {"sliding_window": 4096, "use_sliding_window": False}
    assert shape_from_config(write(tmp_path, unused)).note == ""


def test_ignored_fields_change_nothing(tmp_path: Path) -> None:
    plain = shape_from_config(write(tmp_path, LLAMA))
    assert shape_from_config(write(tmp_path, LLAMA | dict.fromkeys(IGNORED, "anything"))) == plain
    assert not IGNORED & {"hidden_size", "num_experts", "layer_types", "decoder_sparse_step"}


def test_a_folder_a_file_and_a_name_are_resolved(tmp_path: Path) -> None:
    path = write(tmp_path, LLAMA)
    assert resolve_shape(str(tmp_path)).linears == resolve_shape(str(path)).linears
    assert resolve_shape(str(tmp_path)).name == str(tmp_path)
    assert shape_from_config(path, name="mine").name == "mine"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model_type": None}, f"model_type is missing; it must be one of {', '.join(ARCHITECTURES)}"),
        ({"model_type": "gpt2"}, f"model_type is 'gpt2'; it must be one of {', '.join(ARCHITECTURES)}"),
        ({"model_type": 3}, "model_type is 3; a name is needed"),
        ({"hidden_size": None}, "hidden_size is missing; a shape needs it"),
        ({"intermediate_size": None}, "intermediate_size is missing; a shape needs it"),
        ({"num_hidden_layers": 0}, "num_hidden_layers is 0; a whole number of 1 or more is needed"),
        ({"vocab_size": "many"}, "vocab_size is 'many'; a whole number of 1 or more is needed"),
        ({"num_attention_heads": True}, "num_attention_heads is True; a whole number of 1 or more is needed"),
        (
            {"num_key_value_heads": 5},
            "num_attention_heads 32 is not a multiple of num_key_value_heads 5",
        ),
        (
            {"hidden_size": 4100},
            (
                "hidden_size 4100 is not a multiple of num_attention_heads 32, "
                "and head_dim is missing; give it"
            ),
        ),
        ({"rms_norm_eps": -1}, "rms_norm_eps is -1; a number above 0 is needed, and below 1e30"),
        ({"tie_word_embeddings": 1}, "tie_word_embeddings is 1; true or false is needed"),
        (
            {"rope_parameters": {"rope_theta": 1e4}},
            "rope_theta 500000 and rope_parameters.rope_theta 10000 contradict each other; keep one",
        ),
        (
            {"num_local_experts": 8},
            "num_local_experts is 8, but model_type 'llama' has no experts; change one",
        ),
        (
            {"mamba_d_state": 16},
            (
                "the field mamba_d_state is not known and may change the matrices; "
                "remove it from a copy of the file if it does not"
            ),
        ),
        (
            {"layer_types": ["full_attention", "linear_attention"]},
            "layer_types has 'linear_attention': a shape has no place for layers that differ",
        ),
        ({"layer_types": [{}]}, "layer_types has {}: a shape has no place for layers that differ"),
        ({"layer_types": "all"}, "layer_types is 'all'; a list of names is needed"),
        (
            {"kv_lora_rank": 512},
            "kv_lora_rank is 512: a shape has no place for a compressed cache of keys and values",
        ),
    ],
)
def test_a_wrong_field_is_named(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    path = write(tmp_path, LLAMA | change)
    with pytest.raises(InputError) as caught:
        shape_from_config(path)
    assert str(caught.value) == f"{path}: {message}"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_experts": None}, "num_local_experts is missing; a mixture of experts needs it"),
        ({"num_experts_per_tok": None}, "num_experts_per_tok is missing; a shape needs it"),
        ({"num_experts_per_tok": 129}, "num_experts_per_tok 129 is above num_experts 128"),
        ({"moe_intermediate_size": None}, "moe_intermediate_size is missing; a shape needs it"),
        (
            {"num_local_experts": 64},
            "num_local_experts 64 and num_experts 128 contradict each other; keep one",
        ),
        (
            {"shared_expert_intermediate_size": 5632},
            (
                "shared_expert_intermediate_size is 5632: "
                "a shape has no place for an expert that every token shares"
            ),
        ),
        (
            {"mlp_only_layers": [0]},
            "mlp_only_layers is [0]: a shape has no place for layers with and without experts",
        ),
    ],
)
def test_a_wrong_field_of_the_experts_is_named(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    path = write(tmp_path, QWEN_MOE | change)
    with pytest.raises(InputError) as caught:
        shape_from_config(path)
    assert str(caught.value) == f"{path}: {message}"


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    path = tmp_path / "absent.json"
    with pytest.raises(InputError) as caught:
        resolve_shape(str(path))
    assert str(caught.value) == (
        f"cannot read {path}: No such file or directory; give a config.json or its folder"
    )
    path.write_text("[1]")
    with pytest.raises(InputError) as caught:
        shape_from_config(path)
    assert str(caught.value) == f"{path} must hold a JSON object, as Hugging Face writes config.json"
    path.write_text("{")
    with pytest.raises(InputError, match=r"^.*absent\.json: it is not JSON: Expecting property name"):
        shape_from_config(path)
