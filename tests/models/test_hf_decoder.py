"""Decoders from config.json: what is carried out, and what is refused by name."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from checkpoints import BITNET, LLAMA, config_json

from tritforge.accel.errors import InputError
from tritforge.models.hf_decoder import Storage, read_decoder

PACKED = {"quant_method": "bitnet"}


def write(folder: Path, document: object) -> Path:
    (folder / "config.json").write_text(json.dumps(document))
    return folder


def llama(**fields: Any) -> dict[str, Any]:
    """A valid LLaMA with some fields changed; None takes one out."""
    document = config_json(LLAMA, "bitlinear") | fields
    return {name: value for name, value in document.items() if value is not None}


#: Fields of the published config.json files, as huggingface.co shows them; those of dropout and versions left out.
PUBLISHED: dict[str, dict[str, Any]] = {
    "microsoft/bitnet-b1.58-2B-4T": {
        "architectures": ["BitNetForCausalLM"], "model_type": "bitnet", "hidden_act": "relu2", "hidden_size": 2560,
        "auto_map": {"AutoConfig": "configuration_bitnet.BitNetConfig"}, "bos_token_id": 128000,
        "eos_token_id": 128001, "initializer_range": 0.02, "intermediate_size": 6912, "max_position_embeddings": 4096,
        "num_attention_heads": 20, "num_hidden_layers": 30, "num_key_value_heads": 5, "rms_norm_eps": 1e-05,
        "rope_theta": 500000.0, "tie_word_embeddings": True, "torch_dtype": "bfloat16", "use_cache": True,
        "vocab_size": 128256, "quantization_config": {"quant_method": "bitnet", "linear_class": "autobitlinear",
                                                      "quantization_mode": "offline"},
    },
    "HF1BitLLM/Llama3-8B-1.58-100B-tokens": {
        "_name_or_path": "quantized_model_llama_8B_10", "architectures": ["LlamaForCausalLM"], "model_type": "llama",
        "attention_bias": False, "attention_dropout": 0.0, "bos_token_id": 128000, "eos_token_id": 128009,
        "hidden_act": "silu", "hidden_size": 4096, "initializer_range": 0.02, "intermediate_size": 14336,
        "is_bitnet_config": True, "max_position_embeddings": 8192, "mlp_bias": False, "num_attention_heads": 32,
        "num_hidden_layers": 32, "num_key_value_heads": 8, "pretraining_tp": 1, "rms_norm_eps": 1e-05,
        "rope_interleaved": False, "rope_scaling": None, "rope_theta": 500000.0, "tie_word_embeddings": False,
        "torch_dtype": "bfloat16", "transformers_version": "4.44.0.dev0", "use_cache": True, "vocab_size": 128256,
        "quantization_config": {"modules_to_not_convert": None, "quant_method": "bitnet"},
    },
    "tiiuae/Falcon3-3B-Base-1.58bit": {
        "activation": "swiglu", "architectures": ["LlamaForCausalLM"], "model_type": "llama", "attention_bias": False,
        "attention_dropout": 0.0, "bos_token_id": 11, "eos_token_id": 11, "head_dim": 256, "hidden_act": "silu",
        "hidden_size": 3072, "initializer_range": 0.02, "intermediate_size": 9216, "is_bitnet_config": True,
        "max_position_embeddings": 4096, "mlp_bias": False, "num_attention_heads": 12, "num_hidden_layers": 22,
        "num_key_value_heads": 4, "parallel_attn": False, "pretraining_tp": 1, "rms_norm_eps": 1e-06,
        "rope_scaling": None, "rope_theta": 1000042, "tie_word_embeddings": False, "torch_dtype": "bfloat16",
        "use_cache": True, "vocab_size": 131072,
        "quantization_config": {"modules_to_not_convert": ["lm_head"], "quant_method": "bitnet"},
    },
    "1bitLLM/bitnet_b1_58-3B": {
        "architectures": ["BitnetForCausalLM"], "model_type": "llama", "attention_bias": False, "hidden_act": "silu",
        "hidden_size": 3200, "initializer_range": 0.02, "input_bits": 8, "intermediate_size": 8640,
        "max_position_embeddings": 2048, "num_attention_heads": 32, "num_hidden_layers": 26,
        "num_key_value_heads": 32, "pad_token_id": 32000, "pretraining_tp": 1, "rms_norm_eps": 1e-05,
        "rope_scaling": None, "rope_theta": 10000.0, "tie_word_embeddings": True, "torch_dtype": "float16",
        "use_cache": True, "vocab_size": 32002, "weight_bits": 1,
    },
    "SpectraSuite/TriLM_99M_Unpacked": {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "attention_bias": False, "bos_token_id": 0,
        "dims_per_head": 64, "eos_token_id": 0, "hidden_act": "silu", "hidden_size": 512, "initializer_range": 0.02,
        "intermediate_size": 1280, "layer_norm_eps": 1e-05, "max_position_embeddings": 2048, "mlp_bias": False,
        "num_attention_heads": 8, "num_hidden_layers": 16, "num_key_value_heads": 8, "pretraining_model_parallel": 1,
        "pretraining_tp": 1, "rms_norm_eps": 1e-05, "rope_scaling": None, "rope_theta": 10000.0,
        "rotary_emb_base": 10000, "rotary_pct": 1.0, "tie_word_embeddings": False, "torch_dtype": "float16",
        "use_cache": True, "use_parallel_residual": False, "vocab_size": 50304,
    },
}  # fmt: skip


@pytest.mark.parametrize(
    ("model", "storage", "act", "sub_norms", "tied", "head_dim", "theta"),
    [
        ("microsoft/bitnet-b1.58-2B-4T", Storage.MULTIPLIER, "relu2", True, True, 128, 500000.0),
        ("HF1BitLLM/Llama3-8B-1.58-100B-tokens", Storage.PACKED_DIVISOR, "silu", False, False, 128, 500000.0),
        ("tiiuae/Falcon3-3B-Base-1.58bit", Storage.PACKED_DIVISOR, "silu", False, False, 256, 1000042.0),
        ("1bitLLM/bitnet_b1_58-3B", Storage.MASTERS, "silu", True, True, 100, 10000.0),
        ("SpectraSuite/TriLM_99M_Unpacked", Storage.FLOATS, "silu", False, False, 64, 10000.0),
    ],
)
def test_the_published_models_are_read(
    model: str,
    storage: Storage,
    act: str,
    sub_norms: bool,
    tied: bool,
    head_dim: int,
    theta: float,
    tmp_path: Path,
) -> None:
    found = read_decoder(write(tmp_path, PUBLISHED[model]))
    assert found.storage is storage
    assert (found.config.hidden_act, found.config.sub_norms) == (act, sub_norms)
    assert (found.config.tie_word_embeddings, found.config.head_dim, found.config.rope_theta) == (
        tied,
        head_dim,
        theta,
    )
    assert found.notes == ()
    if model.startswith("1bitLLM"):
        assert found.renamed["mlp.ffn_sub_norm"] == "mlp.ffn_layernorm"


def test_a_field_that_is_there_twice_counts_as_in_transformers(tmp_path: Path) -> None:
    """As in the published Llama3-8B-1.58-100B-tokens, whose last field is a second quantization_config."""
    write(tmp_path, llama(quantization_config={"quant_method": "none"}))
    text = (tmp_path / "config.json").read_text()
    (tmp_path / "config.json").write_text(text[:-1] + ', "quantization_config": {"quant_method": "bitnet"}}')
    found = read_decoder(tmp_path)
    assert found.storage is Storage.PACKED_DIVISOR
    assert found.notes == ("config.json has quantization_config twice; the last counts, as in transformers.",)


@pytest.mark.parametrize(
    ("form", "storage"),
    [
        ("bitlinear", Storage.PACKED_DIVISOR),
        ("auto-packed", Storage.MULTIPLIER),
        ("auto-units", Storage.MULTIPLIER),
        ("online", Storage.MASTERS),
    ],
)
def test_the_class_and_the_mode_say_what_is_stored(form: Any, storage: Storage, tmp_path: Path) -> None:
    for config in (BITNET, LLAMA, replace(LLAMA, linear_norms=True, linear_norm_eps=1e-4)):
        found = read_decoder(write(tmp_path, config_json(config, form)))
        assert found.config == config
        assert found.storage is storage


def test_what_a_file_leaves_out_is_what_transformers_takes(tmp_path: Path) -> None:
    for kind, expected in (("llama", ("silu", 10000.0, 1e-6)), ("bitnet", ("relu2", 500000.0, 1e-5))):
        document = llama(model_type=kind, hidden_act=None, rope_theta=None, rms_norm_eps=None, head_dim=None,
                         num_key_value_heads=None, max_position_embeddings=None)  # fmt: skip
        config = read_decoder(write(tmp_path, document)).config
        assert (config.hidden_act, config.rope_theta, config.rms_norm_eps) == expected
        assert (config.head_dim, config.num_key_value_heads, config.max_position_embeddings) == (6, 4, 2048)


@pytest.mark.parametrize(
    "fields",
    [
        {"rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 1.0}},
        {"rope_scaling": {"type": "default"}},
        {"sliding_window": 64},
        {"sliding_window": 8, "use_sliding_window": False},
        {"attention_bias": False, "mlp_bias": False},
        {"quantization_config": PACKED | {"modules_to_not_convert": ["lm_head", "model.embed_tokens"]}},
        {"quantization_config": PACKED | {"quantization_mode": "online"}},
    ],
)
def test_what_changes_nothing_is_passed_over(fields: dict[str, Any], tmp_path: Path) -> None:
    found = read_decoder(write(tmp_path, llama(**fields)))
    assert found.config == LLAMA
    assert found.storage is Storage.PACKED_DIVISOR


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"model_type": "mixtral"}, "model_type is 'mixtral'; one of bitnet, llama can be run"),
        ({"model_type": None}, "model_type is None; one of bitnet, llama can be run"),
        ({"text_config": {}}, "text_config is there: a model of more than text cannot be run"),
        ({"attention_bias": True}, "attention_bias is True; a decoder that has that cannot be run"),
        ({"mlp_bias": True}, "mlp_bias is True; a decoder that has that cannot be run"),
        ({"logits_scaling": 8}, "logits_scaling is 8; a decoder that has that cannot be run"),
        ({"final_logit_softcapping": 30.0}, "final_logit_softcapping is 30.0; a decoder that has that cannot be run"),
        ({"hidden_act": "gelu"}, "hidden_act is 'gelu'; one of relu2, silu can be run"),
        ({"vocab_size": None}, "vocab_size is missing; a decoder needs it"),
        (
            {"num_local_experts": 8},
            "num_local_experts is 8, but model_type 'llama' has no experts; change one",
        ),
        ({"head_dim": 7}, "head_dim is 7; rotary positions need an even one"),
        ({"rope_scaling": [8]}, "rope_scaling is [8]; an object is needed"),
        (
            {"rope_scaling": {"type": "linear", "factor": 8}},
            "rope_scaling has type 'linear'; only rotary positions of the default kind can be run",
        ),
        (
            {"rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "factor": 8}},
            "rope_parameters has factor 8; only rotary positions of the default kind can be run",
        ),
        (
            {"partial_rotary_factor": 0.5},
            "partial_rotary_factor is 0.5; a decoder that has that cannot be run",
        ),
        ({"dims_per_head": 6}, "dims_per_head is 6, but head_dim is 8; change the one that is wrong"),
        ({"rotary_emb_base": 5}, "rotary_emb_base is 5, but rope_theta is 10000; change the one that is wrong"),
        ({"rotary_pct": 0.25}, "rotary_pct is 0.25; a decoder that has that cannot be run"),
        ({"parallel_attn": True}, "parallel_attn is True; a decoder that has that cannot be run"),
        ({"sliding_window": 8}, "sliding_window is 8; attention to a part of the text cannot be run"),
        (
            {"weight_bits": 1, "input_bits": 8},
            "weight_bits is 1, which is known of BitnetForCausalLM alone, and architectures is ['LlamaForCausalLM']",
        ),
        (
            {"architectures": ["BitnetForCausalLM"], "weight_bits": 4, "input_bits": 8},
            (
                "BitnetForCausalLM has weight_bits 4 and input_bits 8; 1 (which stands for ternary) and 8 can be "
                "run, with model_type 'llama'"
            ),
        ),
        (
            {"architectures": ["BitnetForCausalLM"], "weight_bits": 1, "input_bits": 8},
            "BitnetForCausalLM with a quantization_config is not known; remove the one that is wrong",
        ),
        (
            {"model_type": "bitnet", "quantization_config": None},
            "quantization_config is missing: it says what the weights of a bitnet are; add it",
        ),
        ({"quantization_config": 3}, "quantization_config is 3; an object is needed"),
        (
            {"quantization_config": {"quant_method": "gptq"}},
            "quant_method is 'gptq'; 'bitnet' is needed: other weights are not ternary",
        ),
        (
            {"quantization_config": PACKED | {"group": 3}},
            "the field group of quantization_config is not known",
        ),
        (
            {"quantization_config": PACKED | {"linear_class": "bitlinear2"}},
            "linear_class is 'bitlinear2'; 'bitlinear' or 'autobitlinear' is needed",
        ),
        (
            {"quantization_config": PACKED | {"quantization_mode": ["on"]}},
            "quantization_mode is ['on']; 'offline' or 'online' is needed",
        ),
        (
            {"quantization_config": PACKED | {"use_rms_norm": 1}},
            "use_rms_norm is 1; true or false is needed",
        ),
        (
            {"quantization_config": PACKED | {"rms_norm_eps": 0}},
            "rms_norm_eps is 0; a number above 0 and below 1 is needed",
        ),
        (
            {"quantization_config": PACKED | {"modules_to_not_convert": "lm_head"}},
            "modules_to_not_convert is 'lm_head'; a list of names is needed",
        ),
        (
            {"quantization_config": PACKED | {"modules_to_not_convert": ["lm_head", "model.layers.0.mlp"]}},
            (
                "modules_to_not_convert has 'model.layers.0.mlp'; a matrix that is not ternary, or a pattern of "
                "names, cannot be run"
            ),
        ),
        (
            {"quantization_config": {"quant_method": "bitnet", "linear_class": "autobitlinear",
                                     "quantization_mode": "online", "modules_to_not_convert": []}},
            "modules_to_not_convert lacks 'lm_head'; a ternary LM head cannot be run",
        ),
        ({"num_hidden_layers": 2**31}, "num_hidden_layers is 2147483648; 2147483647 is the largest that can be"),
        ({"rope_theta": 10**400}, f"rope_theta is {10**400}; a number above 0 is needed, and below 1e30"),
        (
            {"mamba_d_state": 16},
            (
                "the field mamba_d_state is not known and may change the matrices; "
                "remove it from a copy of the file if it does not"
            ),
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_run_is_named_with_its_field(
    fields: dict[str, Any], message: str, tmp_path: Path
) -> None:
    path = write(tmp_path, llama(**fields)) / "config.json"
    with pytest.raises(InputError, match=f"^{re.escape(f'{path}: {message}')}$"):
        read_decoder(tmp_path)
