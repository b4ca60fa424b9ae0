"""Energies for arrays of configurations are those of the ``hardware`` accounting."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_shape import TINY
from sweep_points import configs, shapes_of

from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.errors import InputError
from tritforge.energy.hardware import SURROUNDING, hardware_energy
from tritforge.energy.hardware_matrices import layer_matrices
from tritforge.energy.scenario import PHASES, Scenario
from tritforge.explore.energy import step_energy
from tritforge.models.shapes import ModelShape, all_shapes

#: Sums are rounded in another order.
ROUNDING = 1e-14
NAMES = sorted(all_shapes())
EXPERTS = replace(TINY, name="experts", num_local_experts=4, num_experts_per_tok=2)
HEAD = replace(TINY, name="head", lm_head_ternary=True, tie_word_embeddings=False)
RECURRENT = replace(TINY, name="recurrent", mixer="hgrn")


def check(model: ModelShape, scenario: Scenario, found: list[AcceleratorConfig], node: str = "7nm") -> None:
    energy = step_energy(model, scenario, shapes_of(found), node=node)
    for place, config in enumerate(found):
        one = replace(scenario, config=config, packing=config.packing)
        exact = hardware_energy(model, one, node=node)
        bits = sum(each.count for each in exact.components if each.row.operation.startswith("dram."))
        wanted = [exact.energy.value, exact.energy.low, exact.energy.high, bits]
        got = [*energy.joules[:, place], energy.dram_bits[place]]
        np.testing.assert_allclose(got, wanted, rtol=ROUNDING)


@settings(max_examples=40)
@given(
    name=st.sampled_from(NAMES),
    found=st.lists(configs(), min_size=1, max_size=4),
    phase=st.sampled_from(PHASES),
    context=st.integers(1, 700),
    batch=st.integers(1, 20),
    kv_bits=st.sampled_from([None, 8, 4, 3]),
    attention=st.sampled_from(["fp16", "int8"]),
    dram=st.sampled_from(["LPDDR4", "HBM2"]),
)
def test_energy_and_traffic_are_those_of_the_accounting(
    name: str,
    found: list[AcceleratorConfig],
    phase: str,
    context: int,
    batch: int,
    kv_bits: int | None,
    attention: str,
    dram: str,
) -> None:
    scenario = Scenario(
        phase=phase, context=context, batch=batch, kv_bits=kv_bits, attention=attention, dram=dram
    )
    check(all_shapes()[name], scenario, found)


@pytest.mark.parametrize("model", [EXPERTS, HEAD, RECURRENT], ids=lambda model: str(model.name))
@pytest.mark.parametrize("phase", PHASES)
def test_experts_ternary_heads_and_recurrences_are_counted(model: ModelShape, phase: str) -> None:
    found = [AcceleratorConfig(rows=rows, tokens_max=tokens) for rows in (2, 3) for tokens in (1, 5)]
    check(model, Scenario(phase=phase, context=23, batch=3), found, node="45nm")


@given(config=configs(), data=st.data())
def test_what_surrounds_the_array_depends_on_the_fields_that_are_named(
    config: AcceleratorConfig, data: st.DataObject
) -> None:
    """Otherwise it could not be counted once for many configurations."""
    other = AcceleratorConfig(**{name: getattr(config, name) for name in SURROUNDING})
    parts = {"norms", "attention", "softmax", "kv_cache", "lm_head", "embedding", "dequantisation"}
    energies = [
        {name: hardware_energy(TINY, Scenario(config=one, context=9)).part(name) for name in parts}
        for one in (config, other)
    ]
    assert energies[0] == energies[1]


@given(
    positions=st.integers(1, 200),
    tokens_max=st.integers(1, 70),
    experts=st.integers(1, 12),
    data=st.data(),
)
def test_groups_of_positions_are_all_positions_and_all_loads(
    positions: int, tokens_max: int, experts: int, data: st.DataObject
) -> None:
    active = data.draw(st.integers(1, experts))
    model = replace(TINY, num_local_experts=experts, num_experts_per_tok=active)
    config = AcceleratorConfig(tokens_max=tokens_max)
    for run in layer_matrices(model, Scenario(config=config, context=positions)):
        groups = run.groups(tokens_max)
        assert sum(tokens * times for tokens, times in groups.items()) == run.tokens
        assert sum(groups.values()) == run.loads
        assert max(groups) <= tokens_max


def test_a_memory_that_has_no_row_is_refused() -> None:
    with pytest.raises(InputError, match=r"no operation 'dram\.PAPER' at 7nm"):
        step_energy(TINY, Scenario(dram="PAPER"), shapes_of([AcceleratorConfig()]))
