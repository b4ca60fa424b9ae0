"""The cycle model: equal to the hardware in every cycle, and sound on its own."""

import math

import numpy as np
import pytest
from driving import Product, assert_equal, random_config, random_shape, run_core
from hypothesis import assume, given
from hypothesis import strategies as st

from tritforge.accel.config import PRESETS, AcceleratorConfig
from tritforge.accel.errors import InputError
from tritforge.models.image import pack_activations, pack_image
from tritforge.sim.cycles import JobCycles, activation_beats, job_cycles, weight_beats


@pytest.mark.parametrize("seed", range(40))
def test_the_model_is_the_hardware_to_the_cycle(seed: int) -> None:
    generator = np.random.default_rng(1000 + seed)
    config = random_config(generator)
    m, k, tokens = random_shape(generator, config)
    product = Product.random(generator, m, k, tokens, config.act_bits)
    run = run_core(config, [product], seed=seed)
    assert_equal(run, [product])
    assert run.cycles - job_cycles(config, m, k, tokens).total == 0, f"M K T {m, k, tokens} on {config}"


@pytest.mark.parametrize(
    ("change", "shape", "bound"),
    [
        ({"act_port_bits": 8}, (4, 64, 4), "activations"),
        ({"weight_port_bits": 16}, (12, 64, 1), "weights"),
        ({"rows": 12, "result_port_bits": 32, "weight_port_bits": 512}, (96, 8, 4), "output"),
        ({"weight_port_bits": 64}, (32, 64, 4), "compute"),
    ],
)
def test_what_bounds_a_job_is_named_and_the_hardware_agrees(
    change: dict[str, int], shape: tuple[int, int, int], bound: str
) -> None:
    """One job for each bound, so that every kind of wait is held to the hardware."""
    config = AcceleratorConfig.from_dict(change, base=PRESETS["tiny"])
    cycles = job_cycles(config, *shape)
    assert cycles.bound == bound
    product = Product.random(np.random.default_rng(2), *shape)
    assert run_core(config, [product]).cycles == cycles.total


def test_a_job_is_worked_out_by_hand() -> None:
    """Two tiles of four rows by eight lanes, one token: each figure from the data flow."""
    cycles = job_cycles(PRESETS["tiny"], 4, 16, 1)
    # Four beats of activations from cycle 2 on, then three cycles; bias and tile, two beats each, come sooner.
    assert cycles.fill == 2 + 4 - 1 + 3
    assert cycles.issued == 2
    assert cycles.weight_stalls == 1
    assert cycles.result_stalls == 0
    # The second tile is two beats behind; 5 cycles to its sum, 2 to the packer, 2 parts, register, beat.
    assert cycles.total == 8 + 2 + 5 + 2 + 1 + 1 + 1
    assert cycles.operations == 64
    assert cycles.lane_operations == cycles.total * 32


small = st.builds(
    AcceleratorConfig,
    lanes=st.sampled_from([4, 8, 12, 64]),
    rows=st.integers(1, 12),
    tokens_max=st.integers(2, 17),
    k_max=st.just(300),
    m_max=st.just(100),
    weight_port_bits=st.sampled_from([16, 64, 1024]),
    act_port_bits=st.sampled_from([8, 16, 32]),
    result_port_bits=st.sampled_from([32, 64, 256]),
)


def shapes(config: AcceleratorConfig) -> st.SearchStrategy[tuple[int, int, int]]:
    return st.tuples(st.integers(1, 100), st.integers(1, 300), st.integers(1, config.tokens_max))


jobs = small.flatmap(lambda config: st.tuples(st.just(config), shapes(config)))


@given(jobs)
def test_the_parts_are_within_the_whole(job: tuple[AcceleratorConfig, tuple[int, int, int]]) -> None:
    config, (m, k, tokens) = job
    cycles = job_cycles(config, m, k, tokens)
    assert cycles.issued == config.row_tiles(m) * config.k_tiles(k) * tokens
    waited = cycles.fill + cycles.issued + cycles.weight_stalls + cycles.result_stalls
    # After the last token is issued: to its sum, through the queue, out.
    assert waited + config.latency < cycles.total
    assert min(cycles.fill, cycles.weight_stalls, cycles.result_stalls) >= 0
    assert cycles.fill > 0
    assert 0 < cycles.utilisation <= 1
    assert cycles.operations == m * k * tokens
    assert cycles.lane_operations == cycles.total * config.lanes * config.rows
    for stream in (
        activation_beats(config, k, tokens),
        weight_beats(config, m, k),
        math.ceil(m * tokens / config.results_per_beat),
    ):
        assert stream < cycles.total
    assert cycles.bound in {"compute", "weights", "output", "activations"}


@given(jobs, st.sampled_from(["m", "k", "tokens"]))
def test_a_larger_job_takes_no_less(job: tuple[AcceleratorConfig, tuple[int, int, int]], grown: str) -> None:
    """A cycle less is possible: words that end on a full beat save the beat of the rest."""
    config, shape = job
    more = dict(zip(("m", "k", "tokens"), shape, strict=True))
    more[grown] += 1
    assume(more["m"] <= 100 and more["k"] <= 300 and more["tokens"] <= config.tokens_max)
    before, after = job_cycles(config, *shape), job_cycles(config, **more)
    assert after.total >= before.total - (grown != "k")
    assert after.issued >= before.issued
    assert after.operations > before.operations


@given(jobs)
def test_beats_are_those_of_the_packed_data(job: tuple[AcceleratorConfig, tuple[int, int, int]]) -> None:
    config, (m, k, tokens) = job
    image = pack_image(config, np.zeros((m, k), dtype=np.int8))
    assert len(image) * 8 == weight_beats(config, m, k) * config.weight_port_bits
    activations = pack_activations(config, np.zeros((tokens, k), dtype=np.int8))
    beats = activation_beats(config, k, tokens)
    assert (
        beats * config.act_port_bits - 8 * config.acts_per_beat < len(activations) * 8 + config.act_port_bits
    )
    assert len(activations) * 8 == beats * config.act_port_bits


def test_utilisation_of_a_long_job_nears_one() -> None:
    """Tokens twice as many as a tile has beats hide the weight stream."""
    config = PRESETS["default"]
    cycles = job_cycles(config, 4096, 8192, 16)
    assert cycles.utilisation > 0.98
    assert cycles.bound == "compute"


def test_a_shape_out_of_bounds_is_refused() -> None:
    with pytest.raises(InputError, match=r"^K is 65; this configuration runs 1 to 64$"):
        job_cycles(PRESETS["tiny"], 1, 65, 1)


@pytest.mark.parametrize("name", ["compute", "weights", "output", "activations"])
def test_the_bound_is_the_largest_wait(name: str) -> None:
    waits = dict.fromkeys(("issued", "weight_stalls", "result_stalls", "fill"), 1)
    waits[
        {"compute": "issued", "weights": "weight_stalls", "output": "result_stalls", "activations": "fill"}[
            name
        ]
    ] = 2
    assert JobCycles(total=10, operations=1, lane_operations=4, **waits).bound == name
