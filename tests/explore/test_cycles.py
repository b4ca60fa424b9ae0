"""Cycles for arrays of configurations are those of the cycle model."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sweep_points import FUSED, configs, device, shapes_of

from tritforge.accel.config import AcceleratorConfig
from tritforge.explore.cycles import BOUNDS, PARTS, job_work, latency, product_work
from tritforge.explore.legality import legal
from tritforge.explore.space import Space
from tritforge.models.shapes import find_shape
from tritforge.rtl.area_shape import Shapes
from tritforge.sim.cycles import JobCycles, job_cycles, total_cycles

#: Names of `Work` in `JobCycles.needs`.
NEEDS = dict(zip(BOUNDS, ("compute", "weights", "activations", "output"), strict=True))
#: Share by which the closed form may fall short where tokens go round the result queue and past it by turns.
SHORT = 0.15


def compare(config: AcceleratorConfig, m: int, k: int, tokens: int) -> tuple[int, bool, JobCycles]:
    """Return the cycles, whether they may be too few, and what the cycle model says."""
    work, exact = job_work(shapes_of([config]), m, k, tokens), job_cycles(config, m, k, tokens)
    for name, need in NEEDS.items():
        assert getattr(work, name).tolist() == [exact.needs[need]], name
    return int(work.cycles[0]), bool(work.short[0]), exact


@given(config=configs(), m=st.integers(1, 150), k=st.integers(1, 600), data=st.data())
def test_a_job_takes_the_cycles_of_the_cycle_model(
    config: AcceleratorConfig, m: int, k: int, data: st.DataObject
) -> None:
    k = min(k, config.k_max)
    tokens = data.draw(st.integers(1, config.tokens_max))
    found, short, exact = compare(config, m, k, tokens)
    if short:
        assert (1 - SHORT) * exact.total <= found <= exact.total
    else:
        assert found == exact.total


@given(
    config=configs(),
    m=st.integers(1, 80),
    data=st.data(),
)
def test_short_row_tiles_fall_short_by_a_bounded_share(
    config: AcceleratorConfig, m: int, data: st.DataObject
) -> None:
    """One tile or two along K, where the result queue matters most."""
    k = data.draw(st.integers(1, min(config.k_max, 2 * config.lanes)))
    found, _, exact = compare(config, m, k, data.draw(st.integers(1, config.tokens_max)))
    assert (1 - SHORT) * exact.total <= found <= exact.total


def test_a_row_tile_whose_last_token_waits_is_told() -> None:
    """Output is faster than the lanes, but not than the tokens of one row tile, which follow each other."""
    config = AcceleratorConfig(
        lanes=96, rows=11, tokens_max=4, weight_port_bits=512, act_port_bits=8, result_port_bits=256, **FUSED
    )
    found, short, exact = compare(config, 34, 97, 4)
    assert short
    assert (found, exact.total) == (450, 452)


def test_a_job_that_waits_for_the_result_queue_alone_is_exact() -> None:
    config = AcceleratorConfig(lanes=256, rows=1, tokens_max=4, weight_port_bits=1024, act_port_bits=256)
    found, short, exact = compare(config, 60, 256, 4)
    assert short
    assert exact.output_stalls > 0
    assert found == exact.total


@given(config=configs(k_max=100), m=st.integers(1, 40), k=st.integers(1, 350))
def test_a_product_over_the_buffer_is_the_sum_of_its_jobs(config: AcceleratorConfig, m: int, k: int) -> None:
    if not config.partial_sums:
        k = min(k, config.k_max)
    work = product_work(shapes_of([config]), m, k, 1)
    exact = total_cycles(config, m, k, 1)
    assert (1 - SHORT) * exact <= work.cycles[0] <= exact
    if not work.short[0]:
        assert work.cycles[0] == exact


@pytest.mark.parametrize("name", ["bitnet-2b4t", "TriLM_99M", "TriLM_1.1B"])
def test_cycles_of_published_models_on_the_default_axes_are_exact(name: str) -> None:
    model = find_shape(name)
    points = legal(Space(models=(model,), devices=(device(),)).chunk(0)).points
    shapes = Shapes(points.columns)
    for tokens in (1, shapes.tokens_max):
        for linear in model.linears:
            assert not product_work(shapes, linear.outputs, linear.inputs, tokens).short.any()


@given(st.lists(configs(), min_size=2, max_size=5))
def test_configurations_do_not_depend_on_their_neighbours(found: list[AcceleratorConfig]) -> None:
    together = job_work(shapes_of(found), 33, 90, 1)
    alone = [job_work(shapes_of([one]), 33, 90, 1) for one in found]
    for name in PARTS:
        assert getattr(together, name).tolist() == [getattr(one, name)[0] for one in alone]
    assert latency(shapes_of(found)).tolist() == [one.latency for one in found]


def test_a_job_without_tokens_costs_nothing_and_work_adds_up() -> None:
    shapes = shapes_of([AcceleratorConfig()])
    nothing, some = job_work(shapes, 8, 64, 0), job_work(shapes, 8, 64, 3)
    assert all(getattr(nothing, name)[0] == 0 for name in PARTS)
    total = some + nothing + some.times(2)
    assert np.array_equal(total.cycles, 3 * some.cycles)
