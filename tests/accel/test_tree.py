"""The adder tree against its model."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from amaranth.sim import Simulator
from hypothesis import given
from hypothesis import strategies as st

from tritforge.accel.codes import I2_CODES
from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.tree import TRIT_BITS, DotTree


def configured(lanes: int, act_bits: int = 8) -> AcceleratorConfig:
    return AcceleratorConfig(lanes=lanes, act_bits=act_bits, act_port_bits=8 if act_bits <= 8 else 16)


def joined(values: npt.NDArray[Any], bits: int) -> int:
    return sum((int(value) & ((1 << bits) - 1)) << (bits * index) for index, value in enumerate(values))


def run_tree(
    config: AcceleratorConfig, acts: npt.NDArray[np.int64], trits: npt.NDArray[np.int64]
) -> list[int]:
    """Feed a row of operands each cycle; return the sums, each `tree_levels` cycles after its operands."""
    tree = DotTree(config)
    sums: list[int] = []

    async def drive(ctx: Any) -> None:
        for cycle in range(len(acts) + config.tree_levels):
            if cycle < len(acts):
                ctx.set(tree.acts, joined(acts[cycle], config.act_bits))
                codes = np.array([I2_CODES[int(trit)] for trit in trits[cycle]])
                ctx.set(tree.trits, joined(codes, TRIT_BITS))
            if cycle >= config.tree_levels:
                sums.append(ctx.get(tree.sum))
            await ctx.tick()

    simulator = Simulator(tree)
    simulator.add_clock(1e-8)
    simulator.add_testbench(drive)
    simulator.run()
    return sums


@pytest.mark.parametrize("lanes", [2, 3, 5, 8, 12, 17, 64])
@pytest.mark.parametrize("act_bits", [2, 8, 12])
def test_random_operands_give_the_models_sums(lanes: int, act_bits: int) -> None:
    generator = np.random.default_rng(lanes * 100 + act_bits)
    limit = 1 << (act_bits - 1)
    acts = generator.integers(-limit, limit, (40, lanes))
    trits = generator.integers(-1, 2, (40, lanes))
    config = configured(lanes, act_bits)
    assert run_tree(config, acts, trits) == DotTree.model(acts, trits).tolist()


@pytest.mark.parametrize("lanes", [2, 3, 7, 8, 12, 16, 33])
def test_the_sum_reaches_both_ends_of_its_interval(lanes: int) -> None:
    """A lane spans -128 to 127 whether it passes x or ~x, so all four corners meet the bounds exactly."""
    corners = [(-128, 1), (127, -1), (127, 1), (-128, -1)]
    acts = np.array([[act] * lanes for act, _ in corners])
    trits = np.array([[trit] * lanes for _, trit in corners])
    low, high = -128 * lanes, 127 * lanes
    config = configured(lanes)
    assert run_tree(config, acts, trits) == [low, low, high, high]
    assert -(1 << (config.dot_bits - 1)) <= low < -(1 << (config.dot_bits - 2))


@pytest.mark.parametrize(("lanes", "levels"), [(2, 1), (3, 2), (4, 2), (5, 3), (64, 6), (65, 7)])
def test_the_latency_is_a_cycle_a_level(lanes: int, levels: int) -> None:
    """A pulse of one cycle shows `levels` cycles later, and only then."""
    config = configured(lanes)
    acts = np.zeros((levels + 4, lanes), dtype=np.int64)
    acts[0] = 1
    trits = np.ones_like(acts)
    assert config.tree_levels == levels
    assert run_tree(config, acts, trits)[:3] == [lanes, 0, 0]
    assert config.latency == levels + 2


@pytest.mark.parametrize("lane", range(5))
@pytest.mark.parametrize("trit", [-1, 0, 1])
def test_a_lane_passes_x_or_its_complement_or_nothing(lane: int, trit: int) -> None:
    trits = np.zeros((1, 5), dtype=np.int64)
    trits[0, lane] = trit
    acts = np.arange(10, 15)[None]
    expected = {1: 10 + lane, 0: 0, -1: -(10 + lane) - 1}[trit]
    assert run_tree(configured(5), acts, trits) == [expected]


@given(st.lists(st.tuples(st.integers(-128, 127), st.integers(-1, 1)), min_size=1, max_size=50))
def test_the_models_sum_and_the_count_of_minus_ones_are_the_product(pairs: list[tuple[int, int]]) -> None:
    """-x = ~x + 1: what the complements lack is the number of -1 weights."""
    acts, trits = (np.array(column) for column in zip(*pairs, strict=True))
    assert DotTree.model(acts, trits) + (trits == -1).sum() == (acts * trits).sum()


def test_the_model_sums_over_the_last_axis() -> None:
    assert DotTree.model([[1, 2], [3, 4]], [[1, -1], [0, 1]]).tolist() == [1 - 3, 4]
