"""A model at a glance: parameters, memory and usage agree with the parts that they are made of."""

from dataclasses import replace

import pytest

from tritforge.accel.errors import InputError
from tritforge.energy.devices import Device
from tritforge.energy.footprint import footprint, parameters
from tritforge.energy.memory import PACKINGS, largest_batch, total_bytes, weight_memory
from tritforge.models.shapes import ModelShape, all_shapes, find_shape

SMALL = Device(name="small", bandwidth_gbs=100, rate_tops=5, memory_gb=8)
BITNET = find_shape("microsoft/bitnet-b1.58-2B-4T")


def test_parameters_of_a_tied_model_have_no_head_of_their_own() -> None:
    counts = parameters(BITNET)
    assert counts["lm_head"] == 0
    assert counts["linear"] == counts["active"] == counts["ternary"] == 2_084_044_800
    assert counts["total"] == 2_084_044_800 + 128_256 * 2560


def test_what_is_not_known_is_none() -> None:
    counts = parameters(find_shape("bitnet-b1.58-figure3-7B"))
    assert (counts["embedding"], counts["lm_head"], counts["total"]) == (None, None, None)
    ternary_head = replace(BITNET, vocab_size=None, lm_head_ternary=True)
    assert parameters(ternary_head)["ternary"] is None


def test_an_untied_model_has_two_tables() -> None:
    counts = parameters(replace(BITNET, tie_word_embeddings=False))
    assert counts["lm_head"] == counts["embedding"] == 128_256 * 2560


@pytest.mark.parametrize("shape", all_shapes().values(), ids=lambda shape: shape.name)
def test_every_shape_has_a_footprint(shape: ModelShape) -> None:
    result = footprint(shape, context=512, device=SMALL)
    assert [memory.packing for memory in result.weights] == list(PACKINGS)
    for memory, use in zip(result.weights, result.usage, strict=True):
        assert memory == weight_memory(shape, use.packing)
        assert use.largest_batch == largest_batch(shape, use.packing, memory_bytes=8e9, context=512)
        assert bool(use.steps) == (use.largest_batch > 0)
        if use.steps:
            assert [(step.phase, step.batch) for step in use.steps] == [
                ("prefill", 1),
                ("decode", 1),
                ("decode", use.largest_batch),
            ]
            assert total_bytes(shape, use.packing, batch=use.largest_batch, context=512) <= 8e9


def test_without_a_device_there_is_no_usage() -> None:
    result = footprint(BITNET)
    assert result.usage == ()
    assert result.to_dict()["device"] is None


def test_the_document_holds_sizes_in_bytes() -> None:
    document = footprint(BITNET, context=1024, kv_bits=8, device=SMALL, packings=("i2", "s8")).to_dict()
    assert document["model"] == document["shape"]["name"] == BITNET.name
    assert [entry["packing"] for entry in document["memory"]] == ["i2", "s8"]
    assert document["memory"][0]["total"] == weight_memory(BITNET, "i2").total
    assert document["kv_bytes_per_token"] == {"16": 76800, "8": 38400, "4": 19200, "3": 14400}
    assert document["sequence_bytes"] == 1024 * 38400
    assert document["device"]["memory_gb"] == 8
    assert [len(use["steps"]) for use in document["usage"]] == [3, 3]


def test_wrong_arguments_are_named() -> None:
    with pytest.raises(InputError) as caught:
        footprint(BITNET, kv_bits=7)
    assert str(caught.value) == "kv_bits is 7; it must be one of 16, 8, 4, 3"
    with pytest.raises(InputError) as caught:
        footprint(BITNET, packings=("i9",))
    assert str(caught.value) == ("packing is 'i9'; it must be one of fp16, int8, int4, i2, s5, s8, ideal")
