"""Operands of a layer's products."""

from dataclasses import replace

import numpy as np
import pytest
from small_shape import TINY as SMALL

from tritforge.accel.errors import InputError
from tritforge.models.checkpoint import Checkpoint
from tritforge.sim.decoder import Decoder, GoldenProduct
from tritforge.sim.operands import (
    ZERO_SHARE,
    recorded_operands,
    seeded_operands,
    seeded_tokens,
    seeded_weights,
)

MATRICES = [f"self_attn.{name}_proj" for name in "qkvo"] + [
    f"mlp.{name}_proj" for name in ("gate", "up", "down")
]


def test_recorded_operands_are_what_the_decoder_multiplies(tiny_checkpoint: Checkpoint) -> None:
    tokens = np.arange(5)
    golden = GoldenProduct(tiny_checkpoint)
    met = {}

    def product(name: str, codes_x: "np.typing.NDArray[np.int8]", /) -> "np.typing.NDArray[np.int32]":
        met[name] = codes_x
        return golden(name, codes_x)

    Decoder(tiny_checkpoint, product).forward(tokens)
    found = recorded_operands(tiny_checkpoint, (1,), tokens)
    assert [each.name for each in found] == [f"model.layers.1.{name}" for name in MATRICES]
    for each in found:
        np.testing.assert_array_equal(each.activations, met[each.name])
        np.testing.assert_array_equal(each.weights(), tiny_checkpoint.matrices[each.name].codes)
        assert each.weights().shape == (each.m, each.k)
        assert each.tokens == 5


def test_layers_may_be_any_and_the_rest_is_not_recorded(tiny_checkpoint: Checkpoint) -> None:
    found = recorded_operands(tiny_checkpoint, (0,), np.arange(2))
    assert {each.name.split(".")[2] for each in found} == {"0"}


def test_seeded_tokens_are_those_of_the_model(tiny_checkpoint: Checkpoint) -> None:
    tokens = seeded_tokens(tiny_checkpoint, 400, 3)
    assert tokens.shape == (400,)
    assert 0 <= tokens.min() < 20
    assert 108 < tokens.max() < tiny_checkpoint.config.vocab_size
    np.testing.assert_array_equal(tokens, seeded_tokens(tiny_checkpoint, 400, 3))
    assert (tokens != seeded_tokens(tiny_checkpoint, 400, 4)).any()


@pytest.mark.parametrize("zeros", [0.0, 0.25, ZERO_SHARE, 1.0])
def test_seeded_weights_have_the_share_of_zeros_and_as_many_of_either_sign(zeros: float) -> None:
    codes = seeded_weights(400, 500, np.random.default_rng(1), zeros=zeros)
    assert codes.dtype == np.int8
    assert codes.shape == (400, 500)
    for trit, share in ((-1, (1 - zeros) / 2), (0, zeros), (1, (1 - zeros) / 2)):
        # Five standard deviations of 200,000 draws.
        assert abs(np.mean(codes == trit) - share) < 5 * (share * (1 - share) / codes.size) ** 0.5 + 2**-15
    assert set(np.unique(codes)) <= {-1, 0, 1}


def test_seeded_operands_have_the_shapes_of_the_layer() -> None:
    found = seeded_operands(SMALL, (0, 2), 3, 7)
    assert [each.name for each in found] == [f"model.layers.{n}.{name}" for n in (0, 2) for name in MATRICES]
    shapes = [(each.m, each.k) for each in found[:7]]
    assert shapes == [(8, 8), (4, 8), (4, 8), (8, 8), (12, 8), (12, 8), (8, 12)]
    for each in found:
        assert each.weights().shape == (each.m, each.k)
        assert each.activations.shape == (3, each.k)
        assert each.activations.dtype == np.int8
        # Quantised by token: each holds its peak.
        np.testing.assert_array_equal(np.abs(each.activations.astype(int)).max(axis=1), 127)


def test_a_matrix_depends_on_its_seed_and_its_place_alone() -> None:
    first, again, other = (
        seeded_operands(SMALL, layers, 3, seed) for layers, seed in (((0, 2), 7), ((2,), 7), ((2,), 8))
    )
    for a, b in zip(first[7:], again, strict=True):
        np.testing.assert_array_equal(a.weights(), b.weights())
        np.testing.assert_array_equal(a.activations, b.activations)
    assert any((a.weights() != b.weights()).any() for a, b in zip(again, other, strict=True))
    assert any((a.activations != b.activations).any() for a, b in zip(again, other, strict=True))
    gate, up, gate_of_layer_2 = first[4], first[5], first[11]
    for unlike in (up, gate_of_layer_2):
        assert (gate.weights() != unlike.weights()).any()
        assert (gate.activations != unlike.activations).any()


def test_weights_that_are_not_ternary_are_refused() -> None:
    with pytest.raises(InputError, match=r"^shape tiny has float16 weights; ternary ones are needed$"):
        seeded_operands(replace(SMALL, weights="float16"), (0,), 1, 0)
