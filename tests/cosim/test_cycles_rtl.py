"""The cycle model against the generated Verilog: start and end of every job, difference zero."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from driving import random_bench_config

from tritforge.accel.config import AcceleratorConfig
from tritforge.rtl.verilog import generate
from tritforge.sim.simulator import CORE_NAME, build, run

#: Random configurations of a run of the suite, and lists of jobs on each.
CONFIGURATIONS = 8
LISTS = 40


def differences(config: AcceleratorConfig, simulators: Path, seed: int, lists: int) -> list[dict[str, Any]]:
    """Run random lists of jobs; return what of each differed from the model and from plain arithmetic."""
    print(f"seed {seed}: {lists} lists of jobs on {config}")
    folder = build(generate(config, name=CORE_NAME), simulators)
    task = {"seed": seed, "lists": lists}
    answer = run(folder, "bench_entries:predicted", task, config=config.to_dict())
    cases: list[dict[str, Any]] = answer["cases"]
    assert len(cases) == lists
    return cases


def check(cases: list[dict[str, Any]]) -> None:
    for case in cases:
        assert (case["mismatches"], case["timed_out"], case["error"]) == (0, False, 0), case
        assert case["starts"] == case["predicted_starts"], case
        assert case["ends"] == case["predicted_ends"], case


@pytest.mark.parametrize("seed", range(CONFIGURATIONS))
def test_every_job_starts_and_ends_when_the_model_says(simulators: Path, seed: int) -> None:
    """Random shapes, token counts and pauses in lists of one to four jobs."""
    config = random_bench_config(np.random.default_rng(seed), seed)
    check(differences(config, simulators, seed, LISTS))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 125))
def test_a_thousand_lists_start_and_end_when_the_model_says(simulators: Path, seed: int) -> None:
    config = random_bench_config(np.random.default_rng(seed), seed)
    check(differences(config, simulators, seed, 40))
