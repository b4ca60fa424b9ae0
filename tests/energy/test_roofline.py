"""Steps on a device: counts by hand, bounds that nothing passes, and who limits what."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_shape import TINY

from tritforge.accel.errors import InputError
from tritforge.energy.devices import Device
from tritforge.energy.memory import KV_BITS, PACKINGS, sequence_bytes, weight_memory
from tritforge.energy.roofline import BANDWIDTH, RATE, Step, decode_step, prefill_step, weight_traffic
from tritforge.models.shapes import all_shapes, find_shape

MIXTURE = replace(TINY, num_local_experts=4, num_experts_per_tok=2)
MIDDLE = Device(name="middle", bandwidth_gbs=100, rate_tops=5, memory_gb=8)
SHAPE_NAMES = st.sampled_from(sorted(all_shapes()))
NUMBERS = st.floats(1e-3, 1e6)


def test_decoding_reads_the_weights_and_the_cache_once() -> None:
    step = decode_step(TINY, "i2", MIDDLE, batch=3, context=5)
    memory = weight_memory(TINY, "i2")
    # Three rows of the embedding for the tokens, and the whole table as the LM head.
    expected = memory.total + 3 * 8 * 2 + 3 * sequence_bytes(TINY, 5)
    assert step.traffic_bytes == expected
    assert step.tokens == 3


def test_decoding_multiplies_and_adds_for_every_weight_and_cached_position() -> None:
    step = decode_step(TINY, "i2", MIDDLE, batch=3, context=5)
    attention = 2 * 3 * 4 * 2 * 5
    assert step.operations == 2 * 3 * (TINY.linear_parameters + 80 + attention)


def test_a_prefill_is_causal_and_needs_one_head_a_sequence() -> None:
    step = prefill_step(TINY, "i2", MIDDLE, batch=2, context=5)
    attention = 2 * 3 * 4 * 2 * (1 + 2 + 3 + 4 + 5)
    assert step.operations == 2 * (2 * 5 * TINY.linear_parameters + 2 * 80 + 2 * attention)
    assert step.tokens == 10


@given(name=SHAPE_NAMES, context=st.integers(1, 40))
def test_decoding_position_by_position_does_the_arithmetic_of_a_prefill(name: str, context: int) -> None:
    """Without the LM head, of which a prefill needs one position."""
    shape = replace(all_shapes()[name], vocab_size=None)
    steps = [decode_step(shape, "i2", MIDDLE, context=position) for position in range(1, context + 1)]
    whole = prefill_step(shape, "i2", MIDDLE, context=context)
    assert sum(step.operations for step in steps) == pytest.approx(whole.operations, rel=1e-12)


def test_a_batch_meets_more_experts_than_a_token() -> None:
    one = weight_traffic(MIXTURE, "fp16", 1)
    memory = weight_memory(MIXTURE, "fp16")
    experts = 3 * 3 * 8 * 12 * 2
    # One token meets two of four, two meet three, many meet all.
    assert weight_traffic(MIXTURE, "fp16", 2) - one == pytest.approx(experts + 8 * 2)
    everything = memory.total + 1000 * 8 * 2
    assert weight_traffic(MIXTURE, "fp16", 1000) == pytest.approx(everything)


def test_the_router_is_computed_for_every_token() -> None:
    dense = replace(MIXTURE, num_local_experts=2, num_experts_per_tok=2)
    more = decode_step(MIXTURE, "i2", MIDDLE).operations - decode_step(dense, "i2", MIDDLE).operations
    assert more == 2 * 3 * 8 * (4 - 2)


def test_a_recurrence_reads_and_writes_its_state() -> None:
    shape = find_shape("ridger/MMfreeLM-1.3B")
    state = sequence_bytes(shape, 1)
    rows = shape.hidden_size * 2
    weights = weight_traffic(shape, "i2", 1)
    assert decode_step(shape, "i2", MIDDLE, context=4096).traffic_bytes == weights + 2 * state
    assert prefill_step(shape, "i2", MIDDLE, context=10).traffic_bytes == weights + 9 * rows + state


def test_the_longer_of_two_times_limits() -> None:
    slow_memory = replace(MIDDLE, bandwidth_gbs=0.001)
    slow_rate = replace(MIDDLE, rate_tops=1e-9)
    assert decode_step(TINY, "i2", slow_memory).bound == BANDWIDTH == "memory bandwidth"
    assert decode_step(TINY, "i2", slow_rate).bound == RATE == "arithmetic rate"


def test_decoding_a_large_model_alone_waits_for_its_weights() -> None:
    shape = find_shape("LLaMA-7B")
    step = decode_step(shape, "fp16", MIDDLE)
    assert step.bound == BANDWIDTH
    assert step.seconds == pytest.approx(weight_traffic(shape, "fp16", 1) / 1e11, rel=1e-3)
    assert prefill_step(shape, "fp16", MIDDLE, context=2048).bound == RATE


def never_above(step: Step) -> None:
    device = step.device
    assert step.tokens_per_second * step.traffic_bytes <= step.tokens * device.bandwidth_gbs * 1e9 * (
        1 + 1e-12
    )
    assert step.tokens_per_second * step.operations <= step.tokens * device.rate_tops * 1e12 * (1 + 1e-12)


@given(
    name=SHAPE_NAMES,
    packing=st.sampled_from(sorted(PACKINGS)),
    bandwidth=NUMBERS,
    rate=NUMBERS,
    batch=st.integers(1, 256),
    context=st.integers(1, 8192),
    bits=st.sampled_from(KV_BITS),
)
def test_tokens_a_second_are_never_above_either_bound(
    name: str, packing: str, bandwidth: float, rate: float, batch: int, context: int, bits: int
) -> None:
    shape = all_shapes()[name]
    device = Device(name="any", bandwidth_gbs=bandwidth, rate_tops=rate, memory_gb=1)
    for take in (decode_step, prefill_step):
        step = take(shape, packing, device, batch=batch, context=context, kv_bits=bits)
        never_above(step)
        assert step.seconds == max(step.bandwidth_seconds, step.rate_seconds)


@given(name=SHAPE_NAMES, batch=st.integers(1, 256), context=st.integers(1, 8192))
def test_fewer_bits_and_a_better_device_are_never_slower(name: str, batch: int, context: int) -> None:
    shape = all_shapes()[name]
    base = decode_step(shape, "i2", MIDDLE, batch=batch, context=context)
    assert decode_step(shape, "s8", MIDDLE, batch=batch, context=context).seconds <= base.seconds
    assert decode_step(shape, "i2", MIDDLE, batch=batch, context=context, kv_bits=8).seconds <= base.seconds
    faster = replace(MIDDLE, bandwidth_gbs=200, rate_tops=10)
    assert decode_step(shape, "i2", faster, batch=batch, context=context).seconds == pytest.approx(
        base.seconds / 2
    )
    # A larger batch makes a step longer and tokens cheaper.
    larger = decode_step(shape, "i2", MIDDLE, batch=batch + 1, context=context)
    assert larger.seconds >= base.seconds
    assert larger.tokens_per_second >= base.tokens_per_second * (1 - 1e-12)


def test_a_step_is_written_with_its_bound() -> None:
    document = decode_step(TINY, "s8", MIDDLE, batch=2, context=3, kv_bits=4).to_dict()
    assert (document["phase"], document["packing"], document["kv_bits"]) == ("decode", "s8", 4)
    assert document["tokens_per_second"] == pytest.approx(2 / document["seconds"])
    assert document["bound"] in {BANDWIDTH, RATE}


@pytest.mark.parametrize("take", [decode_step, prefill_step])
def test_wrong_arguments_are_named(take: object) -> None:
    assert callable(take)
    for change, message in (
        ({"batch": 0}, "batch is 0; a whole number of 1 or more is needed"),
        ({"context": 0}, "context is 0; a whole number of 1 or more is needed"),
        ({"kv_bits": 2}, "kv_bits is 2; it must be one of 16, 8, 4, 3"),
    ):
        with pytest.raises(InputError) as caught:
            take(TINY, "i2", MIDDLE, **change)
        assert str(caught.value) == message
