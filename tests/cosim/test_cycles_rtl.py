"""The cycle model against the generated Verilog: difference zero for every job, and what it promises."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from driving import random_bench_config

from tritforge.accel.codes import BITS_PER_TRIT
from tritforge.accel.config import AcceleratorConfig
from tritforge.rtl.verilog import generate
from tritforge.sim.cycles import batch_cycles
from tritforge.sim.jobs import Job
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


#: M and K of a layer like BitNet 2B-4T's q, k, v, o, gate, up and down, on a scale of about a tenth.
LAYER = [(240, 240), (60, 240), (60, 240), (240, 240), (720, 240), (720, 240), (240, 720)]


@pytest.mark.parametrize(("packing", "rows"), [("i2", 4), ("s5", 12), ("s8", 10)])
def test_a_layer_back_to_back_keeps_lanes_and_stream_busy(simulators: Path, packing: str, rows: int) -> None:
    """Sixteen tokens by the lanes, one token by the weight stream; load and drain counted."""
    config = AcceleratorConfig(
        lanes=16,
        rows=rows,
        k_max=720,
        m_max=720,
        weight_port_bits=64,
        packing=packing,
        negation="carry",
    )
    folder = build(generate(config, name=CORE_NAME), simulators)
    task = {"seed": 1, "matrices": LAYER, "tokens": [16, 1]}
    many, one = run(folder, "bench_entries:sequence", task, config=config.to_dict())["runs"]
    operations = sum(m * k for m, k in LAYER)
    for ran, tokens in ((many, 16), (one, 1)):
        assert (ran["mismatches"], ran["error"]) == ([0] * len(LAYER), 0)
        assert ran["cycles"] == batch_cycles(config, [Job(m=m, k=k, tokens=tokens) for m, k in LAYER]).total
    utilisation = operations * 16 / (many["cycles"] * config.lanes * rows)
    share = operations * BITS_PER_TRIT[packing] / config.weight_port_bits / one["cycles"]
    print(
        f"{packing}: 16 tokens {many}, utilisation {utilisation:.4f}; 1 token {one}, of the bound {share:.4f}"
    )
    assert utilisation >= 0.98
    assert share >= 0.98
