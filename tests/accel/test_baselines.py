"""The baselines compute what they are compared for."""

import re

import numpy as np
import pytest
from amaranth.sim import Simulator, SimulatorContext

from tritforge.accel.baselines import WEIGHT_BITS, FloatLanes, MultiplyArray
from tritforge.accel.codes import I2_CODES
from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.errors import InputError

CONFIG = AcceleratorConfig(
    lanes=4, rows=2, tokens_max=3, k_max=64, weight_port_bits=16, act_port_bits=32, result_port_bits=32
)


def pack(values: list[int], bits: int) -> int:
    return sum((value & ((1 << bits) - 1)) << bits * place for place, value in enumerate(values))


@pytest.mark.parametrize("tokens", [1, 3])
@pytest.mark.parametrize("kind", WEIGHT_BITS)
def test_an_array_sums_every_token_over_all_tiles(kind: str, tokens: int) -> None:
    """Two jobs of three tiles, the lowest activation times the lowest weight among the products."""
    array = MultiplyArray(CONFIG, kind)
    random = np.random.default_rng(tokens)
    top = 1 if kind == "naive" else 127
    tiles, jobs = 3, 2
    weights = random.integers(-top - (kind == "int8"), top + 1, (jobs * tiles, CONFIG.rows, CONFIG.lanes))
    acts = random.integers(-128, 128, (jobs * tiles, tokens, CONFIG.lanes))
    acts[0, 0], weights[0, 0] = -128, -top
    sums = np.einsum("irl,itl->itr", weights, acts).reshape(jobs, tiles, tokens, CONFIG.rows).sum(axis=1)
    expected = sums.reshape(jobs * tokens, CONFIG.rows).tolist()
    found: list[list[int]] = []

    async def feed(context: SimulatorContext) -> None:
        for tile in range(jobs * tiles):
            codes = weights[tile].ravel().tolist()
            if kind == "naive":
                codes = [I2_CODES[code] for code in codes]
            word = pack(codes, WEIGHT_BITS[kind])
            beats = CONFIG.rows * CONFIG.lanes * WEIGHT_BITS[kind] // CONFIG.weight_port_bits
            for beat in range(beats + 1):
                context.set(array.load, beat < beats)
                context.set(array.beat, word << 16 >> 16 * beat & 0xFFFF)
                await context.tick()
            context.set(array.swap, 1)
            await context.tick()
            context.set(array.swap, 0)
            for token in range(tokens):
                context.set(
                    array.issue,
                    {
                        "valid": 1,
                        "first": tile % tiles == 0,
                        "last": tile % tiles == tiles - 1,
                        "bias_end": 0,
                        "token": token,
                    },
                )
                context.set(array.word, pack(acts[tile, token].tolist(), 8))
                await context.tick()
            context.set(array.issue.valid, 0)
        for _ in range(array.latency + 1):
            await context.tick()

    async def watch(context: SimulatorContext) -> None:
        async for *_, valid, first, second in context.tick().sample(
            array.sums_valid, array.sums[0], array.sums[1]
        ):
            if valid:
                found.append([first, second])

    simulator = Simulator(array)
    simulator.add_clock(1e-6)
    simulator.add_testbench(feed)
    simulator.add_testbench(watch, background=True)
    simulator.run()
    assert found == expected


def test_float_lanes_sum_as_many_tokens_as_the_adder_has_cycles() -> None:
    """Sums in the order of the terms, each rounded, equal NumPy's."""
    lanes, terms = 2, 4
    unit = FloatLanes(lanes)
    random = np.random.default_rng(3)
    acts = random.standard_normal((terms, unit.tokens, lanes)).astype(np.float16)
    weights = random.standard_normal(lanes).astype(np.float16)
    expected = np.zeros((unit.tokens, lanes), dtype=np.float16)
    for term in acts:
        expected = term * weights + expected
    found: list[int] = []

    async def bench(context: SimulatorContext) -> None:
        for lane in range(lanes + 1):
            context.set(unit.load, lane < lanes)
            context.set(unit.beat, int(weights.view(np.uint16)[max(0, lane - 1)]))
            await context.tick()
        context.set(unit.swap, 1)
        await context.tick()
        context.set(unit.swap, 0)
        for cycle in range(terms * unit.tokens + unit.latency):
            term, token = divmod(cycle, unit.tokens)
            if term < terms:
                context.set(unit.first, term == 0)
                context.set(unit.word, pack(acts[term, token].view(np.uint16).tolist(), 16))
            if 0 <= cycle - unit.latency - (terms - 1) * unit.tokens < unit.tokens:
                found.append(context.get(unit.sums))
            await context.tick()

    simulator = Simulator(unit)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    assert found == [pack(row, 16) for row in expected.view(np.uint16).tolist()]


def test_an_unknown_kind_is_refused() -> None:
    message = "kind is 'int4'; it must be one of naive, int8"
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        MultiplyArray(CONFIG, "int4")
