"""Shapes of a decoder that can be run."""

import re
from typing import Any

import pytest

from tritforge.accel.errors import InputError
from tritforge.models.config import DecoderConfig

FIELDS: dict[str, Any] = {
    "vocab_size": 128,
    "hidden_size": 256,
    "intermediate_size": 512,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 1024,
}


def test_matrices_have_the_shapes_of_grouped_query_attention() -> None:
    config = DecoderConfig(**FIELDS)
    assert config.head_dim == 64
    assert config.matrices == {
        "self_attn.q_proj": (256, 256),
        "self_attn.k_proj": (128, 256),
        "self_attn.v_proj": (128, 256),
        "self_attn.o_proj": (256, 256),
        "mlp.gate_proj": (512, 256),
        "mlp.up_proj": (512, 256),
        "mlp.down_proj": (256, 512),
    }


def test_the_dictionary_and_back() -> None:
    config = DecoderConfig(**FIELDS, rope_theta=500000.0)
    assert DecoderConfig.from_dict({**config.to_dict(), "model_type": "bitnet"}) == config


def test_the_rotary_base_is_found_in_its_newer_place() -> None:
    document = {**FIELDS, "rope_parameters": {"rope_type": "default", "rope_theta": 123.0}}
    assert DecoderConfig.from_dict(document).rope_theta == 123.0


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("hidden_size", 0, "hidden_size is 0; a positive number is needed"),
        ("vocab_size", "128", "vocab_size is '128'; a positive number is needed"),
        ("num_hidden_layers", True, "num_hidden_layers is True; a positive number is needed"),
        ("num_hidden_layers", 2.5, "num_hidden_layers is 2.5; a whole number is needed"),
        ("vocab_size", 2**32, "vocab_size is 4294967296; 4294967295 is the largest that can be"),
        ("rope_theta", 10**400, f"rope_theta is {10**400}; 4294967295 is the largest that can be"),
        ("hidden_size", 258, "hidden_size 258 is not a multiple of 4 heads"),
        ("num_key_value_heads", 3, "num_attention_heads 4 is not a multiple of 3 heads"),
    ],
)
def test_a_shape_that_cannot_be_is_named(field: str, value: Any, message: str) -> None:
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        DecoderConfig(**{**FIELDS, field: value})


def test_missing_fields_are_named() -> None:
    with pytest.raises(
        InputError, match=r"^the model's configuration lacks vocab_size, num_key_value_heads$"
    ):
        DecoderConfig.from_dict(
            {k: v for k, v in FIELDS.items() if k not in {"vocab_size", "num_key_value_heads"}}
        )
