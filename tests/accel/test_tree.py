"""The structure of the adder tree: levels, registers and widths."""

from typing import Any

import pytest
from amaranth.hdl import Signal

from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.tree import Term, add_terms, sum_bits


def configured(lanes: int, **values: Any) -> AcceleratorConfig:
    return AcceleratorConfig(lanes=lanes, act_port_bits=8, **values)


@pytest.mark.parametrize(
    ("lanes", "arity", "levels"),
    [(2, 2, 1), (3, 2, 2), (4, 2, 2), (5, 2, 3), (64, 2, 6), (65, 2, 7), (64, 3, 4), (64, 4, 3), (82, 3, 5)],
)
def test_levels_of_adders(lanes: int, arity: int, levels: int) -> None:
    assert configured(lanes, tree_arity=arity).tree_levels == levels


@pytest.mark.parametrize(("levels_per_register", "latency"), [(1, 6), (2, 3), (3, 2), (4, 2)])
def test_the_latency_counts_registers(levels_per_register: int, latency: int) -> None:
    config = configured(64, levels_per_register=levels_per_register)
    assert config.datapath_latency == latency
    assert config.array_latency == latency + 2


@pytest.mark.parametrize("act_bits", [2, 8, 16])
@pytest.mark.parametrize("lanes", [1, 2, 3, 4, 5, 64, 65])
def test_a_sum_is_as_wide_as_its_interval(lanes: int, act_bits: int) -> None:
    """One bit less would not hold -2**(act_bits - 1) a lane."""
    config = AcceleratorConfig(act_bits=act_bits)
    low = -lanes << (act_bits - 1)
    assert -(1 << (sum_bits(config, lanes) - 1)) <= low < -(1 << (sum_bits(config, lanes) - 2))


@pytest.mark.parametrize("negation", ["bias", "carry"])
@pytest.mark.parametrize("count", [2, 3, 4])
def test_a_sum_has_exactly_the_bits_asked_for(negation: str, count: int) -> None:
    terms = [Term(bits=Signal(8), owed=Signal(), lanes=1) for _ in range(count)]
    assert len(add_terms(terms, 10, negation)) == 10
