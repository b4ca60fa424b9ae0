"""Bits that the array moves, against a walk over blocks, tiles and positions, and against the cycle model."""

from collections import Counter
from typing import Any

import pytest

from tritforge.accel.codes import BIAS_WORD_BITS
from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.presets import PRESETS
from tritforge.energy.baselines import ARITHMETICS, weight_bits
from tritforge.energy.hardware import activation_memory, count_hardware
from tritforge.energy.hardware_array import Tally, count_matrix, ternary_datapath
from tritforge.energy.scenario import Scenario
from tritforge.models.shapes import ModelShape
from tritforge.sim.cycles import job_cycles, weight_beats

ARRAY = AcceleratorConfig(
    lanes=8, rows=5, tokens_max=3, k_max=64, m_max=64, weight_port_bits=32, act_port_bits=32
)


def tiny(**change: Any) -> ModelShape:
    values: dict[str, Any] = {
        "name": "tiny",
        "hidden_size": 20,
        "intermediate_size": 33,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 6,
        "vocab_size": 17,
        "source": "made for a test",
        "status": "verified",
        "hidden_act": "relu2",
    }
    return ModelShape(**(values | change))


def walk(shape: ModelShape, scenario: Scenario) -> Counter[str]:
    """Walk through a run position by position and note what moves; every loop of the dataflow is spelled out."""
    config, moved = scenario.config, Counter[str]()
    positions = list(range(scenario.tokens))
    blocks = [positions[at : at + config.tokens_max] for at in range(0, len(positions), config.tokens_max)]
    for block in blocks:
        for _ in range(shape.num_hidden_layers):
            for linear in shape.linears:
                # Experts take the places of a block in turn.
                places = [(token, place) for token in block for place in range(linear.active)]
                groups: dict[int, list[tuple[int, int]]] = {}
                for number, place in enumerate(places):
                    groups.setdefault(number % linear.resident, []).append(place)
                for group in groups.values():
                    one_matrix(config, linear.inputs, linear.outputs, len(group), moved)
    return moved


def one_matrix(config: AcceleratorConfig, n: int, p: int, tokens: int, moved: Counter[str]) -> None:
    for _row in range(0, p, config.rows):
        moved["weight bits"] += config.rows * BIAS_WORD_BITS
        for _lane in range(0, n, config.lanes):
            moved["weight bits"] += config.rows * config.lanes * 2
            moved["register bits"] += 2 * config.rows * config.lanes * 2
            for _ in range(tokens):
                moved["buffer reads"] += config.lanes * 8
                moved["accumulator bits"] += 2 * config.rows * config.acc_bits
        moved["queue bits"] += 2 * tokens * config.rows * config.acc_bits
    moved["buffer writes"] += tokens * n * 8


def counted(shape: ModelShape, scenario: Scenario) -> dict[tuple[str, str], list[tuple[str, int]]]:
    return {
        (component.name, operation): list(terms)
        for component in count_hardware(shape, scenario)
        for operation, terms in component.terms.items()
    }


@pytest.mark.parametrize(
    "change", [{}, {"num_local_experts": 5, "num_experts_per_tok": 2}, {"ffn_gated": False}]
)
@pytest.mark.parametrize(
    ("phase", "context", "batch"), [("prefill", 7, 1), ("prefill", 4, 2), ("decode", 9, 5)]
)
def test_the_array_moves_what_a_walk_over_its_tiles_moves(
    change: dict[str, Any], phase: str, context: int, batch: int
) -> None:
    shape = tiny(**change)
    scenario = Scenario(config=ARRAY, phase=phase, context=context, batch=batch)
    moved = walk(shape, scenario)
    found = counted(shape, scenario)

    def total(component: str, operation: str, start: str) -> int:
        terms = found[component, operation]
        return sum(count for formula, count in terms if formula.startswith(start) and " of " in formula)

    assert total("weights", "dram.LPDDR4", "X rt") == moved["weight bits"]
    assert total("weight_registers", "register", "2 X rt kt") == moved["register bits"]
    buffer = f"sram.{ARRAY.buffer_words * ARRAY.lanes}B"
    assert total("activations", buffer, "i W bits") == moved["buffer reads"]
    assert total("activations", buffer, "N n bits") == moved["buffer writes"]
    accumulators = f"sram.{ARRAY.tokens_max * ARRAY.acc_bits // 8}B"
    assert total("partial_sums", accumulators, "2 i R") == moved["accumulator bits"]
    queue = f"sram.{ARRAY.result_entries * ARRAY.rows * ARRAY.acc_bits // 8}B"
    assert total("partial_sums", queue, "2 N jobs") == moved["queue bits"]


@pytest.mark.parametrize("preset", ["default", "decode", "wide"])
@pytest.mark.parametrize(("m", "k"), [(256, 256), (100, 300), (8, 64), (1, 1)])
def test_tiles_and_weight_bits_are_those_of_the_cycle_model(preset: str, m: int, k: int) -> None:
    config = PRESETS[preset]
    tokens = config.tokens_max
    scenario = Scenario(config=config, context=tokens)
    rows = ternary_datapath(config, weight_bits(tiny(), "i2"))
    tally = Tally()
    memory = activation_memory(tiny(), scenario)
    count_matrix(tally, scenario, rows, memory, shape=(k, m), tokens=tokens, loads=1, copies=1)
    operations = {part.name: part.operations for part in tally.components()}
    (accumulated,) = operations["accumulators"].values()
    assert accumulated == job_cycles(config, m, k, tokens).issued * config.rows
    # These presets fill whole beats, so that beats are bits; with others a beat may be padded.
    if config.tile_bits % config.weight_port_bits == 0 and config.rows * 16 % config.weight_port_bits == 0:
        bits = weight_beats(config, m, k) * config.weight_port_bits
        assert operations["weights"]["dram.LPDDR4"] == bits


@pytest.mark.parametrize("arithmetic", ARITHMETICS)
def test_the_packing_is_that_of_the_configuration_unless_given(arithmetic: str) -> None:
    assert Scenario(config=ARRAY).packing == ARRAY.packing == "i2"
    assert Scenario(config=ARRAY, packing="s5").packing == "s5"
    kinds = [
        sum(
            dict(part.operations).get("dram.LPDDR4", 0)
            for part in count_hardware(tiny(), scenario, arithmetic)
        )
        for scenario in (Scenario(config=ARRAY), Scenario(config=ARRAY, packing="s8"))
    ]
    assert (kinds[0] > kinds[1]) == (arithmetic == "ternary")
