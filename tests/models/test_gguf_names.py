"""Names, entries and the order of rows in GGUF files."""

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tritforge.accel.errors import InputError
from tritforge.models.config import DecoderConfig
from tritforge.models.gguf_file import GgufArray, Value
from tritforge.models.gguf_names import (
    ARCHITECTURES,
    from_pairs,
    permuted_heads,
    read_config,
    tensor_name,
    to_pairs,
    write_config,
)

LLAMA = DecoderConfig(
    vocab_size=10,
    hidden_size=8,
    intermediate_size=12,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    max_position_embeddings=16,
    rope_theta=500000.0,
    hidden_act="silu",
    sub_norms=False,
    tie_word_embeddings=False,
)


def read(values: dict[str, Value], **options: Any) -> DecoderConfig:
    architecture, config = read_config(values, **{"vocab_size": 10, "tied": False} | options)
    assert architecture == values["general.architecture"]
    return config


def entries(**changes: Value | None) -> dict[str, Value]:
    """Entries of `LLAMA`, with some changed, or left out where they are None."""
    values: dict[str, Any] = {"general.architecture": "llama", "tokenizer.ggml.model": "no_vocab"}
    values |= write_config(LLAMA, "llama") | {key.replace("__", "."): value for key, value in changes.items()}
    return {key: value for key, value in values.items() if value is not None}


def test_what_is_written_of_a_configuration_is_read_back() -> None:
    assert read(entries()) == LLAMA
    for architecture, traits in ARCHITECTURES.items():
        config = replace(
            LLAMA, hidden_act=traits.hidden_act, sub_norms=traits.sub_norms, tie_word_embeddings=True
        )
        values = {"general.architecture": architecture} | write_config(config, architecture)
        assert read(values, tied=True) == config  # type: ignore[arg-type]


def test_entries_that_a_file_may_lack_have_the_values_of_llama_cpp() -> None:
    values = entries(
        llama__rope__freq_base=None, llama__attention__head_count_kv=None, llama__vocab_size=None
    )
    del values["llama.attention.key_length"]
    assert read(values) == replace(LLAMA, rope_theta=10000.0, num_key_value_heads=4)


def test_the_activation_is_the_one_that_the_file_names() -> None:
    values: dict[str, Any] = entries(llama__hidden_activation="swiglu")
    assert read(values).hidden_act == "silu"
    values["llama.hidden_activation"] = "relu2"
    assert read(values).hidden_act == "relu2"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"general__architecture": "gpt2"},
            "general.architecture is 'gpt2'; one of llama, bitnet, bitnet-b1.58, bitnet-25 is needed",
        ),
        (
            {"general__architecture": None},
            "general.architecture is None; one of llama, bitnet, bitnet-b1.58, bitnet-25 is needed",
        ),
        (
            {"split__count": 3},
            "it is one of 3 files of a model; merge them first (llama-gguf-split --merge)",
        ),
        ({"llama__context_length": None}, "the entry llama.context_length is missing"),
        (
            {"llama__feed_forward_length": GgufArray(length=2)},
            "llama.feed_forward_length is an array, one value for each layer; layers of one shape are needed",
        ),
        (
            {"llama__embedding_length": 8.0},
            "llama.embedding_length is 8.0; a positive whole number is needed",
        ),
        ({"llama__block_count": -1}, "llama.block_count is -1; a positive whole number is needed"),
        ({"llama__rope__freq_base": "x"}, "llama.rope.freq_base is 'x'; a positive number is needed"),
        (
            {"llama__hidden_activation": "gelu"},
            "llama.hidden_activation is 'gelu'; one of relu2, relu_sqr, relu_squared, silu, swish, swiglu is needed",
        ),
        (
            {"llama__attention__head_count_kv": 3},
            "num_attention_heads 4 is not a multiple of 3 heads (from the entries llama.*)",
        ),
        ({"llama__rope__dimension_count": 1}, "llama.rope.dimension_count is 1; only 2 is supported"),
        ({"llama__vocab_size": 9}, "llama.vocab_size is 9; only 10 is supported"),
        ({"llama__rope__scaling__factor": 8.0}, "llama.rope.scaling.factor is 8.0; only 1 is supported"),
        (
            {"llama__rope__scaling__type": "yarn"},
            "llama.rope.scaling.type is 'yarn'; only 'none' or 'linear' is supported",
        ),
        ({"llama__expert_count": 8}, "llama.expert_count is 8; only 0 is supported"),
        (
            {"llama__new\n": GgufArray(length=1)},
            "the entry 'llama.new\\n' is not known, and might change the numbers",
        ),
    ],
)
def test_entries_that_cannot_be_used_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        read(entries(**changes))


def test_entries_that_change_nothing_are_passed_over() -> None:
    changes: dict[str, Any] = {
        "llama__rope__scaling__type": "linear",
        "llama__rope__scaling__factor": 1.0,
        "llama__expert_count": 0,
        "llama__tensor_data_layout": "Meta AI original pth",
        "general__name": "any",
        "bitnet__block_count": 99,
    }
    assert read(entries(**changes)) == LLAMA


def test_tensors_have_the_names_of_llama_cpp() -> None:
    assert tensor_name("model.embed_tokens.weight") == "token_embd.weight"
    assert tensor_name("model.layers.11.self_attn.o_proj") == "blk.11.attn_output"
    assert tensor_name("model.layers.0.mlp.ffn_sub_norm.weight") == "blk.0.ffn_sub_norm.weight"
    assert permuted_heads("model.layers.0.self_attn.k_proj", LLAMA) == 2
    assert permuted_heads("model.layers.0.self_attn.v_proj", LLAMA) is None


def test_halves_of_each_head_are_interleaved() -> None:
    rows = np.arange(12)
    assert to_pairs(rows, 2).tolist() == [0, 3, 1, 4, 2, 5, 6, 9, 7, 10, 8, 11]


@given(st.integers(1, 5), st.integers(1, 5), st.integers(1, 3))
def test_the_order_of_rows_comes_back(heads: int, half: int, width: int) -> None:
    rows = np.arange(heads * 2 * half * width).reshape(-1, width)
    assert np.array_equal(from_pairs(to_pairs(rows, heads), heads), rows)
