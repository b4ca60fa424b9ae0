"""The configuration: bounds, widths and what goes together."""

import math
import re
from dataclasses import FrozenInstanceError, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.errors import InputError
from tritforge.accel.presets import PRESETS


def changed(base: AcceleratorConfig, name: str, value: int) -> AcceleratorConfig:
    values: dict[str, Any] = {name: value}
    return replace(base, **values)


def refused(message: str) -> Any:
    """Expect an error of exactly this text."""
    return pytest.raises(InputError, match=f"^{re.escape(message)}$")


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [
        ("lanes", 2, 1024),
        ("rows", 1, 256),
        ("tokens_max", 1, 256),
        ("k_max", 1, 32768),
        ("m_max", 1, 1 << 20),
        ("act_bits", 2, 16),
    ],
)
def test_a_number_keeps_to_its_bounds(name: str, low: int, high: int) -> None:
    base = AcceleratorConfig(act_port_bits=16)
    for value in (low, high):
        assert getattr(changed(base, name, value), name) == value
    for value in (low - 1, high + 1, -1):
        with refused(f"{name} is {value}; it must lie in {low} to {high}"):
            changed(base, name, value)


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [("weight_port_bits", 16, 4096), ("act_port_bits", 8, 4096), ("result_port_bits", 32, 1024)],
)
def test_a_port_is_a_power_of_two_within_bounds(name: str, low: int, high: int) -> None:
    base = AcceleratorConfig(lanes=1024)
    for value in (low, high):
        assert getattr(changed(base, name, value), name) == value
    for value in (low // 2, high * 2, low + 1, 3 * low, 0, -low):
        with refused(f"{name} is {value}; it must be a power of two in {low} to {high}"):
            changed(base, name, value)


@pytest.mark.parametrize("value", [8.0, "8", True, None])
def test_a_number_that_is_not_whole_is_refused(value: Any) -> None:
    with refused(f"rows is {value!r}; a whole number is needed"):
        AcceleratorConfig(rows=value)


@pytest.mark.parametrize(
    ("name", "choices"),
    [
        ("datapath", "tree, fused"),
        ("target", "generic, ecp5, xilinx"),
        ("packing", "i2, s5, s8"),
        ("negation", "bias, carry"),
    ],
)
@pytest.mark.parametrize("value", ["Tree", "", 2, None])
def test_a_choice_is_one_of_those_there_are(name: str, choices: str, value: Any) -> None:
    with refused(f"{name} is {value!r}; it must be one of {choices}"):
        AcceleratorConfig(**{name: value})


def test_an_activation_must_fit_its_port() -> None:
    with refused("act_port_bits is 8; an activation of 9 bits needs at least 16"):
        AcceleratorConfig(act_bits=9, act_port_bits=8)
    assert AcceleratorConfig(act_bits=8, act_port_bits=8).acts_per_beat == 1


def test_lanes_are_whole_beats_of_activations() -> None:
    with refused("lanes is 12; it must be a multiple of the 8 activations of a beat"):
        AcceleratorConfig(lanes=12)
    assert AcceleratorConfig(lanes=12, act_port_bits=32).beats_per_word == 3


def test_a_configuration_does_not_change() -> None:
    with pytest.raises(FrozenInstanceError):
        AcceleratorConfig().lanes = 8  # type: ignore[misc]


@pytest.mark.parametrize(
    ("k_max", "bits"), [(256, 17), (6912, 21), (28672, 23), (1, 9), (2, 10), (32768, 24)]
)
def test_the_accumulator_holds_exactly_the_interval_of_the_longest_row(k_max: int, bits: int) -> None:
    """A row of -1 on -128 gives +128 K, one more than its two's complement mirror."""
    assert AcceleratorConfig(k_max=k_max).acc_bits == bits


def fits(value: int, bits: int) -> bool:
    return -(1 << (bits - 1)) <= value < 1 << (bits - 1)


configs = st.builds(
    AcceleratorConfig,
    lanes=st.integers(1, 128).map(lambda n: 8 * n),
    rows=st.integers(1, 256),
    tokens_max=st.integers(1, 256),
    k_max=st.integers(1, 32768),
    act_bits=st.integers(2, 8),
    weight_port_bits=st.sampled_from([16, 32, 128, 4096]),
    result_port_bits=st.sampled_from([32, 64, 1024]),
)


@given(configs)
def test_widths_hold_their_intervals_and_are_not_a_bit_wider(config: AcceleratorConfig) -> None:
    limit = 1 << (config.act_bits - 1)
    for bits, low, high in (
        (config.dot_bits, -limit * config.lanes, (limit - 1) * config.lanes),
        (config.acc_bits, -limit * config.k_max, limit * config.k_max),
    ):
        assert fits(low, bits)
        assert fits(high, bits)
        assert not (fits(low, bits - 1) and fits(high, bits - 1))
    assert config.dot_bits == config.act_bits + math.ceil(math.log2(config.lanes))
    assert 1 << (config.bias_bits - 1) <= config.k_max < 1 << config.bias_bits <= 1 << 16


@given(configs)
def test_beats_and_buffers_hold_what_they_must_and_no_beat_more(config: AcceleratorConfig) -> None:
    assert 0 <= config.tile_beats * config.weight_port_bits - config.tile_bits < config.weight_port_bits
    assert 0 <= config.bias_beats * config.weight_port_bits - 16 * config.rows < config.weight_port_bits
    assert config.tile_bits == 2 * config.rows * config.lanes
    needed = config.tokens_max * config.k_tiles(config.k_max)
    assert needed <= config.buffer_words < max(3, 2 * needed)
    assert config.result_entries >= max(8, 2 * config.tokens_max)
    for size in (config.buffer_words, config.result_entries):
        assert size & (size - 1) == 0
    assert 1 << (config.tree_levels - 1) < config.lanes <= 1 << config.tree_levels
    assert config.latency == config.tree_levels + 4


@given(configs, st.integers(1, 1000), st.integers(1, 1000))
def test_tiles_cover_a_matrix_and_no_tile_is_empty(config: AcceleratorConfig, m: int, k: int) -> None:
    assert 0 <= config.row_tiles(m) * config.rows - m < config.rows
    assert 0 <= config.k_tiles(k) * config.lanes - k < config.lanes


@pytest.mark.parametrize(
    ("name", "job", "high"),
    [
        ("M", (0, 1, 1), 256),
        ("M", (257, 1, 1), 256),
        ("K", (1, 0, 1), 64),
        ("K", (1, 65, 1), 64),
        ("tokens", (1, 1, 0), 4),
        ("tokens", (1, 1, 5), 4),
    ],
)
def test_a_job_out_of_bounds_is_named(name: str, job: tuple[int, int, int], high: int) -> None:
    value = dict(zip(("M", "K", "tokens"), job, strict=True))[name]
    with refused(f"{name} is {value}; this configuration runs 1 to {high}"):
        PRESETS["tiny"].check_job(*job)
    PRESETS["tiny"].check_job(256, 64, 4)


@pytest.mark.parametrize("value", [-1, 3, 32])
def test_a_burst_that_is_no_power_of_two_is_refused(value: int) -> None:
    with refused(f"column_beats is {value}; it must be 0 or a power of two up to 16"):
        AcceleratorConfig(column_beats=value)


@pytest.mark.parametrize(
    ("packing", "port", "rows", "expected"),
    [
        ("i2", 128, 8, (4, 8, 64, 256)),
        ("s8", 128, 8, (4, 8, 80, 320)),
        # 75 trits a beat leave 3 of them; 36 a beat would leave 4 of 36, so sums leave by four.
        ("s5", 128, 8, (4, 8, 72, 288)),
        ("s5", 64, 8, (8, 4, 36, 288)),
        ("s5", 16, 4, (16, 1, 9, 144)),
        ("i2", 1024, 8, (1, 8, 512, 512)),
    ],
    ids=str,
)
def test_columns_follow_from_port_and_packing(
    packing: str, port: int, rows: int, expected: tuple[int, ...]
) -> None:
    """Beats of a column of 64 bytes, rows that leave at once, rows a beat, rows a column."""
    config = AcceleratorConfig(packing=packing, weight_port_bits=port, rows=rows, sparse=True)
    got = (config.column_phases, config.column_chunk, config.column_lanes, config.column_rows)
    assert got == expected
    assert config.rows % config.column_chunk == config.column_lanes % config.column_chunk == 0


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "target is 'generic'; datapath 'fused' needs ecp5 or xilinx"),
        (
            {"target": "ecp5"},
            "negation is 'bias'; datapath 'fused' has its carry-ins free: use carry",
        ),
        (
            {"target": "ecp5", "negation": "carry", "chain_length": 12},
            "lanes is 64; it must be a multiple of the 12 lanes of a chain",
        ),
    ],
)
def test_a_fused_datapath_needs_its_cells_its_carries_and_whole_chains(
    values: dict[str, Any], message: str
) -> None:
    with refused(message):
        AcceleratorConfig(datapath="fused", **values)


@pytest.mark.parametrize("name", ["partial_sums", "sparse"])
@pytest.mark.parametrize("value", [1, "true", None])
def test_a_switch_is_true_or_false(name: str, value: Any) -> None:
    with refused(f"{name} is {value!r}; true or false is needed"):
        AcceleratorConfig(**{name: value})
