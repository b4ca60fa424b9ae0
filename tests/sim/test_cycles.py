"""The cycle model: equal to the hardware in every cycle, and sound on its own."""

import math
from itertools import pairwise
from time import perf_counter
from typing import Any

import numpy as np
import pytest
from driving import Product, assert_equal, random_config, random_shape, run_core
from hypothesis import assume, given
from hypothesis import strategies as st

from tritforge.accel.codes import BITS_PER_TRIT
from tritforge.accel.config import NEGATIONS, AcceleratorConfig
from tritforge.accel.errors import InputError
from tritforge.accel.presets import PRESETS
from tritforge.models.image import pack_image
from tritforge.models.operands import pack_activations
from tritforge.sim.cycles import (
    CAUSES,
    BatchCycles,
    activation_beats,
    batch_cycles,
    job_cycles,
    product_cycles,
    weight_beats,
)
from tritforge.sim.jobs import Job
from tritforge.sim.streams import STREAMS, Listed


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
    # Four beats of activations from two cycles after the job on, then two cycles; bias and tile, two beats each,
    # come sooner. The job comes in cycle 1.
    assert cycles.start == 1
    assert cycles.activation_stalls == 2 + 4 - 1 + 2
    assert cycles.issued == 2
    assert cycles.weight_stalls == 1
    assert cycles.output_stalls == 0
    # The second tile is two beats behind; latency to its sum, 2 to the packer, 2 parts, register, beat.
    assert cycles.total == 7 + 2 + PRESETS["tiny"].latency + 2 + 1 + 1 + 1
    assert cycles.end == cycles.total
    assert cycles.operations == 64
    assert cycles.lane_operations == cycles.total * 32
    assert cycles.operations_per_second(2e8) == pytest.approx(64 * 2e8 / cycles.total)


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
    waited = cycles.issued + sum(cycles.stalls.values())
    # After the last token is issued: to its sum, through the queue, out.
    assert waited + config.latency < cycles.total
    assert min(cycles.stalls.values()) >= 0
    assert cycles.activation_stalls + cycles.weight_stalls > 0
    assert 0 < cycles.utilisation <= 1
    assert cycles.operations == m * k * tokens
    assert cycles.lane_operations == cycles.total * config.lanes * config.rows
    assert cycles.needs == {
        "compute": cycles.issued,
        "activations": activation_beats(config, k, tokens),
        "weights": weight_beats(config, m, k),
        "output": math.ceil(m * tokens / config.results_per_beat),
    }


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


@given(jobs)
def test_the_bound_is_what_needs_most_cycles_and_all_needs_are_met(
    job: tuple[AcceleratorConfig, tuple[int, int, int]],
) -> None:
    cycles = job_cycles(job[0], *job[1])
    assert cycles.needs[cycles.bound] == max(cycles.needs.values()) < cycles.total


# Lists of jobs


def lists(config: AcceleratorConfig) -> st.SearchStrategy[list[Job]]:
    job = shapes(config).map(lambda shape: Job(m=shape[0], k=shape[1], tokens=shape[2]))
    return st.lists(job, min_size=1, max_size=4)


batches = small.flatmap(lambda config: st.tuples(st.just(config), lists(config)))


class Never:
    """A pattern without a pause that is not known to be one, so that the model goes beat by beat."""

    def clear(self, cycle: int) -> int:
        return cycle


@given(batches)
def test_steps_of_whole_tiles_are_those_of_single_beats(batch: tuple[AcceleratorConfig, list[Job]]) -> None:
    config, todo = batch
    assert batch_cycles(config, todo) == batch_cycles(config, todo, dict.fromkeys(STREAMS, Never()))


@given(batches)
def test_a_list_is_the_sum_of_its_jobs_and_no_longer_than_one_by_one(
    batch: tuple[AcceleratorConfig, list[Job]],
) -> None:
    config, todo = batch
    together = batch_cycles(config, todo)
    alone = [job_cycles(config, job.m, job.k, job.tokens) for job in todo]
    assert len(together.jobs) == len(todo)
    assert together.jobs[0] == alone[0]
    assert together.issued == sum(job.issued for job in alone)
    assert together.operations == sum(job.operations for job in todo)
    assert together.total <= sum(job.total for job in alone)
    for before, after in pairwise(together.jobs):
        assert before.start < after.start
        assert before.end < after.end
    drain = together.total - together.issued - sum(together.stalls.values())
    assert drain > config.latency
    for cause in CAUSES:
        assert together.stalls[cause] == sum(job.stalls[cause] for job in together.jobs)


@given(batches, st.sampled_from(STREAMS[:4]), st.sets(st.integers(0, 400), max_size=60))
def test_a_pause_delays_no_job_by_more_than_its_cycles(
    batch: tuple[AcceleratorConfig, list[Job]], stream: str, pauses: set[int]
) -> None:
    config, todo = batch
    ideal = batch_cycles(config, todo)
    paused = batch_cycles(config, todo, {stream: Listed(pauses)})
    for before, after in zip(ideal.jobs, paused.jobs, strict=True):
        assert before.end <= after.end <= before.end + len(pauses)


@pytest.mark.parametrize(
    ("change", "shape", "bound"),
    [
        ({"act_port_bits": 8}, (4, 32, 4), "activations"),
        ({"weight_port_bits": 16}, (12, 64, 1), "weights"),
        ({"weight_port_bits": 32, "negation": "carry"}, (8, 16, 1), "weights"),
        ({"rows": 12, "result_port_bits": 32, "weight_port_bits": 512}, (96, 8, 4), "output"),
        ({"weight_port_bits": 64}, (32, 32, 4), "compute"),
        ({"weight_port_bits": 512, "negation": "carry", "act_port_bits": 64}, (64, 64, 1), "compute"),
    ],
)
def test_another_job_costs_what_bounds_it_and_no_cycle_more(
    change: dict[str, Any], shape: tuple[int, int, int], bound: str
) -> None:
    """Nothing is lost between jobs of which two fit the buffer: only a stream, or the array itself, is the limit."""
    config = AcceleratorConfig.from_dict(change, base=PRESETS["tiny"])
    job = Job(m=shape[0], k=shape[1], tokens=shape[2])
    totals = [batch_cycles(config, [job] * count).total for count in (4, 5, 9)]
    one = batch_cycles(config, [job])
    assert one.bound == bound
    assert totals[1] - totals[0] == one.needs[bound]
    assert totals[2] - totals[0] == 5 * one.needs[bound]


def test_pauses_of_a_stream_are_counted_for_what_they_hold_up() -> None:
    """A long pause in the middle of a job, of one stream after the other."""
    config = PRESETS["tiny"]
    todo = [Job(m=32, k=64, tokens=4), Job(m=32, k=64, tokens=4)]
    ideal = batch_cycles(config, todo).stalls
    for stream, cause in (("weights", "weights"), ("results", "output"), ("activations", "activations")):
        stalls = batch_cycles(config, todo, {stream: Listed(range(120, 600))}).stalls
        grown = [name for name in CAUSES if stalls[name] > ideal[name] + 100]
        assert grown == [cause]


def test_no_job_is_no_batch() -> None:
    with pytest.raises(InputError, match=r"^there is no job; one at least is needed$"):
        batch_cycles(PRESETS["tiny"], [])


def test_a_job_without_a_stream_for_its_partial_sums_is_refused() -> None:
    with pytest.raises(InputError, match=r"^a job accumulates; the configuration has no partial_sums$"):
        batch_cycles(PRESETS["tiny"], [Job(m=1, k=1, tokens=1, accumulate=True)])


def test_partial_sums_cost_a_cycle_and_their_pauses() -> None:
    config = AcceleratorConfig.from_dict({"partial_sums": True}, base=PRESETS["tiny"])
    job, more = Job(m=9, k=30, tokens=3), Job(m=9, k=30, tokens=3, accumulate=True)
    without = job_cycles(PRESETS["tiny"], 9, 30, 3).total
    assert batch_cycles(config, [job]).total == batch_cycles(config, [more]).total == without + 1
    late = {"partials": Listed(range(1000))}
    assert batch_cycles(config, [job], late).total == without + 1
    # The queue gives six entries of two chunks and three of one word, a chunk a cycle from cycle 1001 on.
    assert batch_cycles(config, [more], late).end == 1001 + 6 * 2 + 3


def test_a_product_over_the_bounds_is_several_batches() -> None:
    config = AcceleratorConfig.from_dict({"partial_sums": True}, base=PRESETS["tiny"])
    first, second = product_cycles(config, 8, 100, 6)
    assert first == batch_cycles(config, [Job(m=8, k=64, tokens=4), Job(m=8, k=64, tokens=2)])
    assert second == batch_cycles(
        config, [Job(m=8, k=36, tokens=tokens, accumulate=True) for tokens in (4, 2)]
    )


# The matrices of a large model

#: M and K of a layer of BitNet 2B-4T: q, k, v, o, gate, up, down.
BITNET = [(2560, 2560), (640, 2560), (640, 2560), (2560, 2560), (6912, 2560), (6912, 2560), (2560, 6912)]


def layer(config: AcceleratorConfig, tokens: int) -> BatchCycles:
    """The seven matrices back to back, load and drain counted."""
    return batch_cycles(config, [Job(m=m, k=k, tokens=tokens) for m, k in BITNET])


@pytest.mark.parametrize(
    ("lanes", "rows", "port", "wanted"),
    [(64, 8, 128, 0.98), (128, 4, 128, 0.98), (256, 16, 1024, 0.95), (64, 64, 1024, 0.95)],
)
@pytest.mark.parametrize("negation", NEGATIONS)
def test_sixteen_tokens_keep_the_lanes_busy(
    lanes: int, rows: int, port: int, wanted: float, negation: str
) -> None:
    config = AcceleratorConfig(lanes=lanes, rows=rows, weight_port_bits=port, negation=negation)
    assert (config.act_port_bits, config.result_port_bits, config.tokens_max) == (64, 64, 16)
    cycles = layer(config, 16)
    print(
        f"{lanes:4} lanes x {rows:2} rows, weights {port:4} bits, {negation:5}: {cycles.total:8} cycles, "
        f"utilisation {cycles.utilisation:.4f}, {cycles.bound}, {cycles.stalls}"
    )
    assert cycles.utilisation >= wanted
    assert cycles.bound == "compute"


@pytest.mark.parametrize(("packing", "rows"), [("i2", 8), ("s5", 24), ("s8", 10)])
@pytest.mark.parametrize("port", [64, 128, 512])
def test_decode_is_bound_by_the_bits_of_the_weights(packing: str, rows: int, port: int) -> None:
    config = AcceleratorConfig(
        lanes=64, rows=rows, weight_port_bits=port, packing=packing, negation="carry", tokens_max=1
    )
    cycles = layer(config, 1)
    bound = sum(m * k for m, k in BITNET) * BITS_PER_TRIT[packing] / port
    print(
        f"{packing}, 64 lanes x {rows:2} rows, weights {port:3} bits: {cycles.total:8} cycles, "
        f"bound {bound:10.0f}, share {bound / cycles.total:.4f}, {cycles.bound}"
    )
    assert bound / cycles.total >= 0.98
    assert cycles.bound == "weights"


def test_a_large_layer_is_quickly_modelled() -> None:
    start = perf_counter()
    layer(AcceleratorConfig(), 16)
    assert perf_counter() - start < 2
