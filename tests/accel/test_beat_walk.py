"""The beat walk says as many beats as a weight image has."""

from typing import Any

import numpy as np
import pytest
from driving import Sink, Source, random_bench_config, random_shape, simulate

from tritforge.accel.beat_walk import BeatWalk
from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.presets import PRESETS
from tritforge.models.image import image_bytes


def walk(
    config: AcceleratorConfig, shapes: list[tuple[int, int]], pause: float = 0.0, seed: int = 0
) -> tuple[list[list[int]], Sink]:
    """Return the steps of each job, and the sink that took them."""
    dut = BeatWalk(config)
    steps = sum(config.k_tiles(k) + config.row_tiles(m) - 1 for m, k in shapes)
    sink = Sink(dut.o, steps, pause)
    source = Source(dut.jobs, [{"m": m, "k": k} for m, k in shapes], pause)
    simulate(dut, [source], [sink], seed=seed)
    jobs: list[list[int]] = [[]]
    for step in sink.items:
        jobs[-1].append(int(step.beats))
        if step.last:
            jobs.append([])
    assert jobs.pop() == []
    return jobs, sink


@pytest.mark.parametrize("seed", range(24))
def test_the_steps_of_a_job_add_up_to_its_image(seed: int) -> None:
    generator = np.random.default_rng(seed)
    config = random_bench_config(generator, seed)
    shapes = [random_shape(generator, config)[:2] for _ in range(4)]
    print(config, shapes)
    jobs, _ = walk(config, shapes, float(generator.choice([0, 0.4])), seed)
    beat_bytes = config.weight_port_bits // 8
    assert [sum(job) * beat_bytes for job in jobs] == [image_bytes(config, m, k) for m, k in shapes]
    assert min(min(job) for job in jobs) >= 1


@pytest.mark.parametrize("change", [{}, {"negation": "carry"}, {"k_max": 40, "lanes": 40}], ids=str)
def test_the_bounds_of_a_configuration_are_walked(change: dict[str, Any]) -> None:
    config = AcceleratorConfig.from_dict(change, base=PRESETS["tiny"])
    shapes = [(config.m_max, config.k_max), (1, 1), (config.m_max, 1), (1, config.k_max)]
    jobs, _ = walk(config, shapes)
    assert [sum(job) * 4 for job in jobs] == [image_bytes(config, m, k) for m, k in shapes]


def test_steps_come_one_a_cycle_and_jobs_without_a_gap() -> None:
    config = PRESETS["tiny"]
    _, sink = walk(config, [(9, 17), (1, 1), (1, 1), (5, 64)])
    assert np.diff(sink.taken).tolist() == [1] * (len(sink.taken) - 1)


def test_the_first_row_tile_comes_tile_by_tile_and_the_others_whole() -> None:
    config = PRESETS["tiny"]
    assert (config.bias_beats, config.tile_beats) == (2, 2)
    assert walk(config, [(9, 17)])[0] == [[4, 2, 2, 8, 8]]
