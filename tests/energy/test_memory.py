"""Memory of models: published columns, exact sizes on small shapes, and properties."""

from dataclasses import replace
from itertools import pairwise
from math import ceil, log2

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_shape import TINY

from tritforge.accel.errors import InputError
from tritforge.energy.memory import (
    KV_BITS,
    PACKINGS,
    find_packing,
    kv_bytes_per_token,
    largest_batch,
    sequence_bytes,
    total_bytes,
    weight_memory,
    workspace_bytes,
)
from tritforge.energy.published import published_figures
from tritforge.models.shapes import ModelShape, all_shapes, find_shape

SHAPES = st.builds(
    lambda head_dim, groups, share, layers, network, vocab, tied, gated: replace(
        TINY,
        hidden_size=head_dim * groups * share,
        head_dim=head_dim,
        num_attention_heads=groups * share,
        num_key_value_heads=groups,
        num_hidden_layers=layers,
        intermediate_size=network,
        vocab_size=vocab,
        tie_word_embeddings=tied,
        ffn_gated=gated,
    ),
    head_dim=st.integers(1, 16),
    groups=st.integers(1, 4),
    share=st.integers(1, 4),
    layers=st.integers(1, 6),
    network=st.integers(1, 100),
    vocab=st.integers(1, 200),
    tied=st.booleans(),
    gated=st.booleans(),
)
NAMES = st.sampled_from(sorted(PACKINGS))
WIDTHS = st.sampled_from(KV_BITS)


def test_every_part_of_a_tiny_model_is_counted_by_hand() -> None:
    memory = weight_memory(TINY, "i2")
    # q and o 8x8, k and v 4x8, gate, up, down 12x8: four weights a byte.
    assert memory.matrices == 3 * (2 * 16 + 2 * 8 + 3 * 24)
    assert memory.scales == 3 * 7 * 4
    assert memory.embedding == 10 * 8 * 2
    assert (memory.lm_head, memory.router, memory.left_out) == (0, 0, ())
    assert memory.norms == (3 * 2 * 8 + 8) * 2
    assert memory.total == 360 + 84 + 160 + 112


def test_words_of_a_packing_are_not_shared_by_matrices() -> None:
    # 64 weights: 22 words of three in five bits are 110 bits; 13 bytes of five.
    assert find_packing("s5").matrix_bytes(8, 8) == 14
    assert find_packing("s8").matrix_bytes(8, 8) == 13
    assert find_packing("i2").matrix_bytes(3, 3) == 3
    assert find_packing("ideal").matrix_bytes(8, 8) == ceil(64 * log2(3) / 8)


def test_scales_are_one_a_matrix_one_an_output_or_one_a_group() -> None:
    assert find_packing("i2").scale_bytes(300, 5) == 4
    assert find_packing("int8").scale_bytes(300, 5) == 5 * 2
    assert find_packing("int4").scale_bytes(300, 5) == 5 * 3 * 2
    assert find_packing("fp16").scale_bytes(300, 5) == 0


def test_packings_have_their_bits() -> None:
    bits = {name: packing.bits_per_weight for name, packing in PACKINGS.items()}
    assert bits == {
        "fp16": 16,
        "int8": 8,
        "int4": 4,
        "i2": 2,
        "s5": pytest.approx(5 / 3),
        "s8": 1.6,
        "ideal": pytest.approx(1.58496, abs=1e-5),
    }


def test_fp16_matrices_are_the_published_memory_without_embeddings() -> None:
    """Table 1 of arXiv 2504.12285: the FP16 models in GB, to the printed digit or cut to it."""
    figures = [figure for figure in published_figures() if figure.quantity == "fp16_matrices"]
    assert len(figures) == 5
    for figure in figures:
        gigabytes = weight_memory(find_shape(figure.shape), "fp16").matrices / 1e9
        digit = 0.1 if "." in figure.published else 1
        assert abs(gigabytes - figure.value) < digit


def test_the_ternary_column_needs_the_ideal_packing() -> None:
    shape = find_shape("microsoft/bitnet-b1.58-2B-4T")
    printed = {name: f"{weight_memory(shape, name).matrices / 1e9:.1f}" for name in PACKINGS}
    assert (printed["ideal"], printed["s8"], printed["s5"], printed["i2"]) == ("0.4", "0.4", "0.4", "0.5")


def test_the_ideal_packing_is_within_a_third_of_a_percent_of_spectra() -> None:
    """Table 4 of arXiv 2407.12327 counts 1.58 bits a weight, and both tables in 16."""
    figures = [f for f in published_figures() if f.quantity in {"ternary_bits", "fp16_bits"}]
    assert len(figures) == 18
    for figure in figures:
        packing = "ideal" if figure.quantity == "ternary_bits" else "fp16"
        memory = weight_memory(find_shape(figure.shape), packing)
        gigabits = (memory.matrices + memory.embedding + memory.lm_head) * 8 / 1e9
        assert gigabits == pytest.approx(figure.value, rel=3e-3, abs=6e-3)


def test_two_bits_come_to_the_size_of_the_released_file() -> None:
    # The released ggml-model-i2_s.gguf of BitNet b1.58 2B4T is said to have 1.19 GB, its vocabulary's texts
    # and padding included.
    total = weight_memory(find_shape("microsoft/bitnet-b1.58-2B-4T"), "i2").total
    assert 0.985 * 1.19e9 < total < 1.19e9


def test_an_lm_head_is_counted_unless_it_is_tied() -> None:
    tied, apart = (weight_memory(replace(TINY, tie_word_embeddings=tied), "i2") for tied in (True, False))
    assert apart.total - tied.total == apart.lm_head == tied.embedding
    ternary = weight_memory(replace(TINY, tie_word_embeddings=False, lm_head_ternary=True), "i2")
    assert ternary.lm_head == 8 * 10 // 4


def test_what_is_not_known_is_named() -> None:
    assert weight_memory(replace(TINY, tie_word_embeddings=None), "i2").left_out == (
        "whether embedding and LM head are tied is not known: counted as two tables",
    )
    memory = weight_memory(replace(TINY, vocab_size=None), "i2")
    assert (memory.embedding, memory.lm_head) == (0, 0)
    assert memory.left_out == ("embedding and LM head: vocab_size is not known",)


def test_every_expert_is_resident_and_has_a_router() -> None:
    experts = replace(TINY, num_local_experts=4, num_experts_per_tok=2)
    dense, mixture = weight_memory(TINY, "fp16"), weight_memory(experts, "fp16")
    assert mixture.matrices - dense.matrices == 3 * 3 * (3 * 8 * 12) * 2
    assert mixture.router == 3 * 4 * 8 * 2


def test_sub_norms_add_their_vectors() -> None:
    more = weight_memory(replace(TINY, sub_norms=True), "fp16").norms - weight_memory(TINY, "fp16").norms
    assert more == 3 * (8 + 12) * 2


def test_the_cache_holds_keys_and_values_of_every_layer() -> None:
    assert kv_bytes_per_token(TINY) == 2 * 3 * 2 * 2 * 2
    assert kv_bytes_per_token(TINY, 3) == 2 * 3 * 2 * 2 * 3 / 8
    assert sequence_bytes(TINY, 5, 3) == ceil(5 * 9)
    # LLaMA-7B: half a megabyte for each token.
    assert kv_bytes_per_token(find_shape("LLaMA-7B")) == 2**19


def test_a_recurrence_keeps_a_state_of_one_size() -> None:
    shape = find_shape("ridger/MMfreeLM-1.3B")
    assert kv_bytes_per_token(shape) == 0
    assert sequence_bytes(shape, 1) == sequence_bytes(shape, 4096) == 24 * 2048 * 2


def test_the_workspace_holds_the_widest_moment_of_a_layer() -> None:
    # Residual and normed copy, gate and up; logits of ten tokens.
    assert workspace_bytes(TINY, 7) == 7 * (2 * 8 + 2 * 12) * 2 + 4 * 10
    assert workspace_bytes(replace(TINY, ffn_gated=False), 7) == 7 * (2 * 8 + 24) * 2 + 4 * 10


@given(shape=SHAPES, context=st.integers(1, 500), bits=WIDTHS)
def test_memory_falls_with_the_bits_of_a_weight(shape: ModelShape, context: int, bits: int) -> None:
    sizes = [
        weight_memory(shape, name).matrices for name in ("fp16", "int8", "int4", "i2", "s5", "s8", "ideal")
    ]
    # A matrix of a few weights is whole words of its packing, so an order holds up to a byte each.
    slack = shape.num_hidden_layers * len(shape.linears)
    assert all(before + slack >= after for before, after in pairwise(sizes))
    assert sequence_bytes(shape, context, bits) <= sequence_bytes(shape, context, 16)


@given(shape=SHAPES, name=NAMES, context=st.integers(1, 500), batch=st.integers(1, 50), bits=WIDTHS)
def test_memory_grows_with_everything(
    shape: ModelShape, name: str, context: int, batch: int, bits: int
) -> None:
    base = total_bytes(shape, name, batch=batch, context=context, kv_bits=bits)
    assert base < total_bytes(shape, name, batch=batch + 1, context=context, kv_bits=bits)
    assert base <= total_bytes(shape, name, batch=batch, context=context + 1, kv_bits=bits)
    for field in ("num_hidden_layers", "vocab_size", "intermediate_size"):
        larger = replace(shape, **{field: getattr(shape, field) + 1})
        assert base <= total_bytes(larger, name, batch=batch, context=context, kv_bits=bits)


@given(
    shape=SHAPES,
    name=NAMES,
    context=st.integers(1, 500),
    memory=st.floats(0, 1e7),
    bits=WIDTHS,
)
def test_the_largest_batch_fits_and_one_more_does_not(
    shape: ModelShape, name: str, context: int, memory: float, bits: int
) -> None:
    batch = largest_batch(shape, name, memory_bytes=memory, context=context, kv_bits=bits)
    if batch > 0:
        assert total_bytes(shape, name, batch=batch, context=context, kv_bits=bits) <= memory
    assert total_bytes(shape, name, batch=batch + 1, context=context, kv_bits=bits) > memory


@pytest.mark.parametrize("shape", all_shapes().values(), ids=lambda shape: shape.name)
def test_the_parts_of_every_shape_sum_to_its_total(shape: ModelShape) -> None:
    for name in PACKINGS:
        memory = weight_memory(shape, name)
        parts = (
            memory.matrices,
            memory.scales,
            memory.embedding,
            memory.lm_head,
            memory.norms,
            memory.router,
        )
        assert memory.total == sum(parts)
        bits = memory.matrices * 8 / shape.linear_parameters
        assert bits == pytest.approx(PACKINGS[name].bits_per_weight, rel=1e-4)


def test_wrong_arguments_are_named() -> None:
    cases = (
        (
            lambda: find_packing("i3"),
            "packing is 'i3'; it must be one of fp16, int8, int4, i2, s5, s8, ideal",
        ),
        (lambda: kv_bytes_per_token(TINY, 5), "kv_bits is 5; it must be one of 16, 8, 4, 3"),
        (lambda: sequence_bytes(TINY, 0), "context is 0; a whole number of 1 or more is needed"),
        (lambda: workspace_bytes(TINY, -1), "tokens is -1; a whole number of 1 or more is needed"),
        (lambda: total_bytes(TINY, "i2", batch=0), "batch is 0; a whole number of 1 or more is needed"),
    )
    for call, message in cases:
        with pytest.raises(InputError) as caught:
            call()
        assert str(caught.value) == message
