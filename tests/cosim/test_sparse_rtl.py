"""Sparse jobs on the generated Verilog: exact, in order among dense ones, and to the cycle."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from driving import random_bench_config

from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.presets import PRESETS
from tritforge.rtl.verilog import generate
from tritforge.sim.simulator import CORE_NAME, build, run

#: Lists of jobs on each configuration.
LISTS = 40


def sparse_config(seed: int) -> AcceleratorConfig:
    """Draw a configuration with sparse jobs; with the index every packing and negation comes in turn."""
    generator = np.random.default_rng(seed)
    change = {"sparse": True, "column_beats": int(generator.choice([0, 1, 2, 4])), "m_max": 200}
    return AcceleratorConfig.from_dict(change, base=random_bench_config(generator, seed))


def check(cases: list[dict[str, Any]]) -> None:
    for case in cases:
        assert (case["mismatches"], case["timed_out"], case["error"]) == (0, False, 0), case
        assert case["starts"] == case["predicted_starts"], case
        assert case["ends"] == case["predicted_ends"], case


def mixed(simulators: Path, seed: int) -> None:
    config = sparse_config(seed)
    print(f"seed {seed}: {LISTS} lists of jobs on {config}")
    folder = build(generate(config, name=CORE_NAME), simulators)
    task = {"seed": seed, "lists": LISTS}
    cases = run(folder, "sparse_entries:mixed", task, config=config.to_dict())["cases"]
    assert len(cases) == LISTS
    assert any(job[-1] for case in cases for job in case["jobs"])
    check(cases)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_dense_and_sparse_jobs_in_any_order_are_exact_and_predicted(simulators: Path, seed: int) -> None:
    mixed(simulators, seed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 112))
def test_many_configurations_run_dense_and_sparse_jobs_as_predicted(simulators: Path, seed: int) -> None:
    mixed(simulators, seed)


def test_down_proj_of_the_shipped_model_is_exact_and_faster(simulators: Path) -> None:
    """One token of held-out text: each layer's own activations, a memory of 40 cycles' latency."""
    config = AcceleratorConfig.from_dict(
        {"sparse": True, "k_max": 512, "m_max": 512}, base=PRESETS["default"]
    )
    folder = build(generate(config, name=CORE_NAME), simulators)
    task = {"model": "austen", "context": 64, "seed": 1, "latency": 40}
    cases = run(folder, "sparse_entries:down_projections", task, config=config.to_dict())["cases"]
    check(cases)
    assert [case["sparse"] for case in cases] == [False, True] * 3
    for dense, sparse in zip(cases[::2], cases[1::2], strict=True):
        print(dense["name"], sparse["nonzero"], dense["ends"], sparse["ends"])
        assert sparse["ends"][0] < dense["ends"][0]
