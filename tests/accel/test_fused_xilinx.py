"""Datapath `fused` for AMD/Xilinx with operators: what it adds when, and how wide."""

import re
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from amaranth.hdl import Const, Module, Signal
from amaranth.sim import Simulator
from datapaths import joined, run_datapath
from hypothesis import given
from hypothesis import strategies as st

from tritforge.accel.codes import I2_CODES, TRIT_BITS
from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.fused_xilinx import PartialSum, XilinxFusedDot, partial_sums
from tritforge.accel.xilinx import Bit, bits_of, lut


def configured(lanes: int, act_bits: int = 8) -> AcceleratorConfig:
    return AcceleratorConfig(
        lanes=lanes,
        act_bits=act_bits,
        act_port_bits=8 if act_bits <= 8 else 16,
        datapath="fused",
        target="xilinx",
        negation="carry",
    )


def corners(lanes: int, act_bits: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Extremes of activations and weights, all lanes alike."""
    low, high = -(1 << act_bits - 1), (1 << act_bits - 1) - 1
    pairs = [(x, w) for x in (low, high) for w in (1, 0, -1)]
    acts, trits = (
        np.array(column)[:, None] * np.ones(lanes, dtype=np.int64) for column in zip(*pairs, strict=True)
    )
    return acts, trits


def nodes(config: AcceleratorConfig) -> list[PartialSum]:
    return [node for level in partial_sums(config) for node in level]


@pytest.mark.parametrize("act_bits", [2, 8, 16])
@pytest.mark.parametrize("lanes", [2, 3, 4, 5, 7, 16, 31, 54, 64, 130])
def test_random_and_extreme_operands_give_the_models_sums(lanes: int, act_bits: int) -> None:
    generator = np.random.default_rng(lanes * 100 + act_bits)
    acts, trits = corners(lanes, act_bits)
    limit = 1 << act_bits - 1
    acts = np.vstack([acts, generator.integers(-limit, limit, (20, lanes))])
    trits = np.vstack([trits, generator.integers(-1, 2, (20, lanes))])
    sums, carries = run_datapath(XilinxFusedDot(configured(lanes, act_bits)), acts, trits)
    assert (sums, carries) == tuple(array.tolist() for array in XilinxFusedDot.model(acts, trits, "carry"))
    assert [s + c for s, c in zip(sums, carries, strict=True)] == (acts * trits).sum(axis=-1).tolist()


@pytest.mark.parametrize("act_bits", [2, 8])
@pytest.mark.parametrize("lanes", [2, 3, 6, 13, 32, 64])
def test_every_register_reaches_both_ends_of_its_interval_and_no_more(lanes: int, act_bits: int) -> None:
    """All lanes at -2**(act_bits - 1): weight +1 gives the lowest, -1 the highest sum with one +1 still owed."""
    config = configured(lanes, act_bits)
    dot = XilinxFusedDot(config)
    acts, trits = corners(lanes, act_bits)
    seen: dict[PartialSum, set[int]] = {node: set() for node in dot.stages}

    async def drive(ctx: Any) -> None:
        for act, trit in zip(acts, trits, strict=True):
            ctx.set(dot.acts, joined(act, act_bits))
            ctx.set(dot.trits, joined(np.array([I2_CODES[int(value)] for value in trit]), TRIT_BITS))
            for _ in range(config.datapath_latency):
                await ctx.tick()
            for node, stage in dot.stages.items():
                seen[node].add(ctx.get(stage.bits))

    simulator = Simulator(dot)
    simulator.add_clock(1e-8)
    simulator.add_testbench(drive)
    simulator.run()
    last = dot.levels[-1][0]
    half = 1 << config.dot_bits - 1
    assert {value ^ half for value in seen.pop(last)} >= {last.low, last.high}
    for node, values in seen.items():
        assert (min(values), max(values)) == (node.low, node.high)
        assert node.high >> node.width - 1 == 1


@given(lanes=st.integers(2, 400), act_bits=st.integers(2, 16))
def test_the_plan_adds_every_lane_once_in_as_few_levels_as_threes_can(lanes: int, act_bits: int) -> None:
    config = configured(lanes, act_bits)
    levels = partial_sums(config)
    assert len(levels) == config.datapath_latency == 1 + config.tree_levels
    assert 3 ** (config.tree_levels - 1) < (lanes + 1) // 2 <= 3**config.tree_levels or lanes == 2
    for below, level in pairwise(levels):
        assert sorted(map(id, below)) == sorted(id(node) for upper in level for node in upper.operands)
    for level in levels:
        assert sorted(lane for node in level for lane in node.lanes) == list(range(lanes))
    (last,) = levels[-1]
    assert last.lanes[-1] == lanes - 1
    assert last.width == config.dot_bits
    middle = 1 << config.dot_bits - 1
    assert (last.low + last.offset, last.high + last.offset) == (
        middle - (lanes << act_bits - 1),
        middle + (lanes << act_bits - 1) - 1,
    )


@pytest.mark.parametrize("lanes", [2, 32, 64, 512])
def test_adders_take_every_plus_one_but_the_last(lanes: int) -> None:
    """A pair of lanes takes one, an adder of k sums k - 1; only one sum in two or three is a pair."""
    config = configured(lanes)
    taken = sum(len(node.operands or node.lanes) - 1 for node in nodes(config))
    assert taken == lanes - 1
    pairs = [len([node for node in level if len(node.operands) == 2]) for level in partial_sums(config)]
    assert sum(pairs) == (1 if lanes % 4 == 0 else 0)


@pytest.mark.parametrize(
    ("lanes", "latency"),
    [(2, 1), (3, 2), (6, 2), (7, 3), (18, 3), (19, 4), (32, 4), (54, 4), (64, 5), (163, 6)],
)
def test_the_latency_is_a_cycle_for_the_pairs_and_one_a_level_of_threes(lanes: int, latency: int) -> None:
    config = configured(lanes)
    assert config.datapath_latency == latency
    acts = np.zeros((latency + 3, lanes), dtype=np.int64)
    acts[1] = 1
    sums, _ = run_datapath(XilinxFusedDot(config), acts, np.ones_like(acts))
    assert sums[:3] == [0, lanes, 0]


@pytest.mark.parametrize("lanes", [2, 5, 64])
def test_after_reset_the_sum_is_zero_until_operands_arrive(lanes: int) -> None:
    config = configured(lanes)
    dot = XilinxFusedDot(config)
    seen: list[tuple[int, int]] = []

    async def drive(ctx: Any) -> None:
        for _ in range(config.datapath_latency + 1):
            seen.append((ctx.get(dot.sum), ctx.get(dot.carry)))
            await ctx.tick()

    simulator = Simulator(dot)
    simulator.add_clock(1e-8)
    simulator.add_testbench(drive)
    simulator.run()
    assert seen == [(0, 0)] * (config.datapath_latency + 1)


@given(width=st.integers(1, 9), multiple=st.integers(0, 40), data=st.data())
def test_an_offset_is_added_by_wires(width: int, multiple: int, data: st.DataObject) -> None:
    value = data.draw(st.integers(0, (1 << width) - 1))
    offset = multiple << width - 1
    bits = bits_of(Signal(width), offset)
    # The nets are the bits of the signal in order, the highest one repeated.
    low = [value >> index & 1 for index in range(width - 1)]
    top = value >> width - 1
    total = sum(bit << index for index, bit in enumerate(low))
    for index, bit in enumerate(bits[width - 1 :], start=width - 1):
        total += ((top ^ bit.inverted) if bit.net is not None else int(bit.inverted)) << index
    assert total == value + offset
    assert all(bit.net is not None and not bit.inverted for bit in bits[: width - 1])


def test_an_offset_below_the_highest_bit_is_refused() -> None:
    with pytest.raises(ValueError, match=f"^{re.escape('offset 64 is not a multiple of 128')}$"):
        bits_of(Signal(8), 64)


def test_a_constant_is_a_bit_without_a_net() -> None:
    assert bits_of(Signal(1), 2)[1] == Bit(net=None, inverted=True)


@pytest.mark.parametrize(("two_outputs", "limit"), [(False, 6), (True, 5)])
def test_a_lut_of_too_many_inputs_is_refused(two_outputs: bool, limit: int) -> None:
    nets = [Const(0, 1)] * (limit + 1)
    message = f"{limit + 1} inputs; a LUT of these outputs has {limit}"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        lut(Module(), nets, lambda bits: bits[0], (lambda bits: bits[1]) if two_outputs else None)
