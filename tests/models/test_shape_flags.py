"""A shape from its numbers: defaults, and messages that name the flags."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tritforge.accel.errors import InputError
from tritforge.models.shape_flags import ShapeFlags, shape_from_flags
from tritforge.models.shapes import find_shape

SMALL: dict[str, Any] = {"hidden_size": 256, "layers": 2, "heads": 4, "intermediate_size": 512}


def test_four_numbers_make_a_dense_gated_shape() -> None:
    shape = shape_from_flags(ShapeFlags(**SMALL))
    assert (shape.num_key_value_heads, shape.head_dim, shape.num_local_experts) == (4, 64, 1)
    assert (shape.ffn_gated, shape.vocab_size, shape.tie_word_embeddings) == (True, None, None)
    assert (shape.name, shape.source, shape.status) == ("custom", "numbers given by the user", "typed")
    assert shape.linear_parameters == 2 * (4 * 256 * 256 + 3 * 256 * 512)


def test_all_numbers_give_the_shape_of_a_published_model() -> None:
    flags = ShapeFlags(
        hidden_size=4096,
        layers=32,
        heads=32,
        kv_heads=8,
        intermediate_size=14336,
        vocab_size=32000,
        gated=True,
        experts=8,
        active_experts=2,
        tied=False,
    )
    shape, mixtral = shape_from_flags(flags), find_shape("mistralai/Mixtral-8x7B-v0.1")
    assert shape.linears == mixtral.linears
    assert shape.embedding_parameters == mixtral.embedding_parameters
    assert shape.tie_word_embeddings is False


@given(
    heads=st.integers(1, 16),
    width=st.integers(1, 64),
    layers=st.integers(1, 8),
    network=st.integers(1, 512),
    gated=st.booleans(),
)
def test_the_matrices_have_the_numbers_that_were_given(
    heads: int, width: int, layers: int, network: int, gated: bool
) -> None:
    hidden = heads * width
    flags = ShapeFlags(hidden_size=hidden, layers=layers, heads=heads, intermediate_size=network, gated=gated)
    matrices = 4 * hidden * hidden + (3 if gated else 2) * hidden * network
    assert shape_from_flags(flags).linear_parameters == layers * matrices


def test_given_lists_the_flags_in_order() -> None:
    assert ShapeFlags().given == ()
    assert ShapeFlags(tied=False, kv_heads=2, gated=True).given == ("--kv-heads", "--gated", "--tied")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"layers": None, "intermediate_size": None},
            (
                "the shape lacks --layers, --intermediate-size; "
                "a shape needs --hidden-size, --layers, --heads, --intermediate-size"
            ),
        ),
        ({"heads": 0}, "--heads is 0; a whole number of 1 or more is needed"),
        (
            {"heads": 3},
            "--hidden-size 256 is not a multiple of --heads 3; give --head-dim as well",
        ),
        ({"kv_heads": 3}, "--heads 4 is not a multiple of --kv-heads 3"),
        (
            {"experts": 8},
            "--experts is 8, but --active-experts is not given; give both or neither",
        ),
        (
            {"active_experts": 2},
            "--active-experts is 2, but --experts is not given; give both or neither",
        ),
        (
            {"experts": 2, "active_experts": 4},
            "--active-experts 4 is above --experts 2; give 2 or less",
        ),
    ],
)
def test_numbers_that_do_not_fit_are_named_by_their_flags(
    change: dict[str, int | None], message: str
) -> None:
    with pytest.raises(InputError) as caught:
        shape_from_flags(ShapeFlags(**{**SMALL, **change}))
    assert str(caught.value) == message


def test_a_head_width_of_its_own_need_not_divide() -> None:
    assert shape_from_flags(ShapeFlags(**{**SMALL, "heads": 3, "head_dim": 80})).head_dim == 80
