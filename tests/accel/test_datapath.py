"""Every datapath against the model that all share, and against the sum itself."""

from typing import Any

import numpy as np
import pytest
from datapaths import run_datapath
from hypothesis import given
from hypothesis import strategies as st

from tritforge.accel.array import datapath_class, make_datapath
from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.datapath import Datapath

#: Variants by name; lanes and widths are added by the tests.
VARIANTS: dict[str, dict[str, Any]] = {
    "tree": {},
    "tree, carry": {"negation": "carry"},
    "tree of threes": {"tree_arity": 3},
    "tree of fours, carry": {"tree_arity": 4, "negation": "carry"},
    "two levels a register": {"levels_per_register": 2},
    "two levels a register, carry": {"levels_per_register": 2, "negation": "carry"},
    "ecp5, chains of 2": {"datapath": "fused", "target": "ecp5", "negation": "carry", "chain_length": 2},
    "ecp5, chains of 4": {"datapath": "fused", "target": "ecp5", "negation": "carry", "chain_length": 4},
    "xilinx": {"datapath": "fused", "target": "xilinx", "negation": "carry"},
}


def configured(variant: str, lanes: int, act_bits: int = 8) -> AcceleratorConfig:
    """Return a variant; activations of over a byte need a wider port."""
    return AcceleratorConfig(
        lanes=lanes, act_bits=act_bits, act_port_bits=8 if act_bits <= 8 else 16, **VARIANTS[variant]
    )


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize(("lanes", "act_bits"), [(4, 8), (12, 2), (20, 16), (64, 8), (28, 4)])
def test_random_operands_give_the_models_sums(variant: str, lanes: int, act_bits: int) -> None:
    generator = np.random.default_rng(lanes * 100 + act_bits)
    limit = 1 << (act_bits - 1)
    acts = generator.integers(-limit, limit, (40, lanes))
    trits = generator.integers(-1, 2, (40, lanes))
    config = configured(variant, lanes, act_bits)
    sums, carries = run_datapath(make_datapath(config), acts, trits)
    expected = Datapath.model(acts, trits, config.negation)
    assert (sums, carries) == tuple(array.tolist() for array in expected)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("lanes", [4, 8, 12, 36])
def test_the_sum_reaches_both_ends_of_its_interval(variant: str, lanes: int) -> None:
    """With carries the last lane still lacks its +1, so the interval is that of the bare complements, both ways."""
    corners = [(-128, 1), (127, -1), (127, 1), (-128, -1)]
    acts = np.array([[act] * lanes for act, _ in corners])
    trits = np.array([[trit] * lanes for _, trit in corners])
    config = configured(variant, lanes)
    sums, carries = run_datapath(make_datapath(config), acts, trits)
    low = -128 * lanes
    if config.negation == "carry":
        assert sums == [low, -127 * lanes - 1, 127 * lanes, 128 * lanes - 1]
        assert carries == [0, 1, 0, 1]
    else:
        assert sums == [low, low, 127 * lanes, 127 * lanes]
        assert carries == [0] * 4
    assert -(1 << (config.dot_bits - 1)) <= low < -(1 << (config.dot_bits - 2))


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("lanes", [4, 8, 12, 36])
def test_every_stage_has_a_width_and_the_last_is_that_of_the_sum(variant: str, lanes: int) -> None:
    config = configured(variant, lanes)
    bits = datapath_class(config).stage_bits(config)
    assert len(bits) == config.datapath_latency + 1
    assert bits == sorted(bits)
    assert (bits[0], bits[-1]) == (8, config.dot_bits)


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_pulse_shows_after_the_latency_and_only_then(variant: str) -> None:
    config = configured(variant, 16)
    acts = np.zeros((8, 16), dtype=np.int64)
    acts[2] = 1
    sums, _ = run_datapath(make_datapath(config), acts, np.ones_like(acts))
    assert sums == [0, 0, 16, 0, 0, 0, 0, 0]


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("trit", [-1, 0, 1])
def test_a_lane_passes_x_or_its_negative_or_nothing(variant: str, trit: int) -> None:
    """One lane at a time, all others at 0 with weight 0: carries go where they belong."""
    lanes = 12
    trits = np.diag([trit] * lanes)
    acts = np.tile(np.arange(10, 10 + lanes), (lanes, 1))
    config = configured(variant, lanes)
    sums, carries = run_datapath(make_datapath(config), acts, trits)
    missing = int(trit == -1) if config.negation == "bias" else 0
    assert [s + c for s, c in zip(sums, carries, strict=True)] == [
        trit * (10 + lane) - missing for lane in range(lanes)
    ]


@given(st.lists(st.tuples(st.integers(-128, 127), st.integers(-1, 1)), min_size=1, max_size=50))
def test_the_model_is_the_product_but_for_what_it_says_is_missing(pairs: list[tuple[int, int]]) -> None:
    """-x = ~x + 1: what the complements lack is the number of -1 weights, or the one +1 still owed."""
    acts, trits = (np.array(column) for column in zip(*pairs, strict=True))
    exact = (acts * trits).sum()
    assert Datapath.model(acts, trits)[0] + (trits == -1).sum() == exact
    assert sum(Datapath.model(acts, trits, "carry")) == exact


def test_the_model_sums_over_the_last_axis() -> None:
    sums, owed = Datapath.model([[1, 2], [3, 4]], [[1, -1], [0, 1]], "carry")
    assert (sums.tolist(), owed.tolist()) == ([1 - 3, 4], [1, 0])
