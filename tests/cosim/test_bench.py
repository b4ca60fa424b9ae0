"""The generated Verilog on Verilator: functional coverage under random stalls, and the bench itself."""

import itertools
from pathlib import Path
from typing import Any

import pytest
from bench_entries import ACTIVATIONS, STALLS, TAILS, WEIGHTS

from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.errors import InputError, SimulationError
from tritforge.accel.presets import PRESETS
from tritforge.rtl.verilog import generate
from tritforge.sim.cycles import batch_cycles, job_cycles, product_cycles
from tritforge.sim.jobs import Job
from tritforge.sim.simulator import CORE_NAME, build, run
from tritforge.sim.streams import Stalls

TINY = PRESETS["tiny"]
SEED = 11


@pytest.fixture(scope="module")
def bench(simulators: Path) -> Path:
    """The compiled bench of the `tiny` preset."""
    return build(generate(TINY, name=CORE_NAME), simulators)


def simulate(bench: Path, entry: str, **task: Any) -> dict[str, Any]:
    print(f"{entry} {task}")
    return run(bench, f"bench_entries:{entry}", task, config=TINY.to_dict())


def coverage_table(counts: dict[tuple[str, ...], int]) -> str:
    """Jobs by weights and activations downwards, tails and stalls across."""
    columns = list(itertools.product(TAILS, STALLS))
    lines = ["weights activations " + " ".join(f"{tail[:4]}/{stall[:4]}" for tail, stall in columns)]
    for weight, activation in itertools.product(WEIGHTS, ACTIVATIONS):
        cells = (
            str(counts.get((weight, activation, tail, stall), 0)).rjust(len(f"{tail[:4]}/{stall[:4]}"))
            for tail, stall in columns
        )
        lines.append(f"{weight:7} {activation:11} {' '.join(cells)}")
    return "\n".join(lines)


def test_every_bin_of_the_coverage_is_hit_and_exact(bench: Path) -> None:
    """Weight pattern x activation extreme x ragged tail x stall: 480 jobs on one build."""
    jobs = simulate(bench, "cover", seed=SEED)["bins"]
    counts: dict[tuple[str, ...], int] = {}
    for job in jobs:
        assert (job["mismatches"], job["timed_out"], job["error"]) == (0, False, 0), job
        assert job["words_received"] == job["words_expected"] == job["m"] * job["tokens"] > 0
        # The bins are what the job was, not what it was meant to be.
        weight, activation, _, stall = job["bin"]
        ragged_k, ragged_m = job["k"] % TINY.lanes != 0, job["m"] % TINY.rows != 0
        tail = {(False, False): "none", (True, False): "K", (False, True): "M"}.get(
            (ragged_k, ragged_m), "both"
        )
        key = (weight, activation, tail, stall)
        counts[key] = counts.get(key, 0) + 1
        shape = Job(m=job["m"], k=job["k"], tokens=job["tokens"])
        stalls = Stalls(**job["stalls"])
        assert (stall == "none") == (stalls.packed == 0)
        assert job["cycles"] == batch_cycles(TINY, [shape], stalls).total, job
    print(coverage_table(counts))
    assert set(counts) == set(itertools.product(WEIGHTS, ACTIVATIONS, TAILS, STALLS))
    # Stalls did stall: jobs with all streams pausing take longer than they would.
    slower = sum(
        job["cycles"] > job_cycles(TINY, job["m"], job["k"], job["tokens"]).total
        for job in jobs
        if job["bin"][3] == "all"
    )
    assert slower == sum(key[3] == "all" for key in counts)


def test_wait_states_change_cycles_and_never_a_result(bench: Path) -> None:
    stalls: list[dict[str, int]] = [{}]
    for stream in ("jobs", "activations", "weights", "results"):
        stalls += [{stream: share, "seed": share} for share in (64, 250)]
    stalls.append(dict.fromkeys(("jobs", "activations", "weights", "results"), 220))
    # More tokens than the core takes at once: two jobs.
    runs = simulate(bench, "pace", seed=SEED, shape=[21, 37, 7], stalls=stalls)["runs"]
    assert runs[0]["words"] is not None
    assert all(ran["words"] == runs[0]["words"] for ran in runs)
    jobs = [Job(m=21, k=37, tokens=tokens) for tokens in (4, 3)]
    for ran, stall in zip(runs, stalls, strict=True):
        assert ran["cycles"] == batch_cycles(TINY, jobs, Stalls(**stall)).total
    assert all(ran["cycles"] >= runs[0]["cycles"] for ran in runs)
    # A few pauses may hide behind the array; many cannot. Those of the job come before the count begins.
    for index, stall in enumerate(stalls):
        if max(stall.get(stream, 0) for stream in ("activations", "weights", "results")) > 200:
            assert runs[index]["cycles"] > 2 * runs[0]["cycles"], stall


def test_a_seed_replays_its_pauses(bench: Path) -> None:
    stalls = [{"seed": seed, "weights": 100, "results": 100} for seed in (3, 5, 3)]
    first, other, again = simulate(bench, "pace", seed=SEED, shape=[30, 50, 4], stalls=stalls)["runs"]
    assert first == again
    assert first["cycles"] != other["cycles"]


def test_the_watchdog_ends_a_job_that_starves_and_the_next_one_works(bench: Path) -> None:
    answer = simulate(bench, "starve", seed=SEED)
    timed_out, no_words, received = answer["starved"]
    assert timed_out
    assert no_words
    assert 0 < received < 18
    assert answer["next"] == {
        "words_expected": 18,
        "words_received": 18,
        "mismatches": 0,
        "cycles": job_cycles(TINY, 9, 20, 2).total,
        "timed_out": False,
        "error": 0,
    }


def test_an_entry_that_raises_fails_the_run_with_its_message(bench: Path) -> None:
    with pytest.raises(
        SimulationError, match=r"^the simulation failed; the end of its log:\n(?s:.*)wet paint"
    ):
        simulate(bench, "fail", message="wet paint")


def test_an_entry_must_answer_with_a_dictionary(bench: Path) -> None:
    with pytest.raises(
        InputError, match=r"^bench_entries:answer_list returned list; a dictionary is needed$"
    ):
        simulate(bench, "answer_list")


def test_a_core_for_single_tokens_of_one_beat_is_exact(simulators: Path) -> None:
    """Indices of which there is one alone: token, beat of a word, beat of a tile, word of a result beat."""
    config = AcceleratorConfig(
        lanes=4,
        rows=2,
        tokens_max=1,
        k_max=15,
        m_max=16,
        weight_port_bits=32,
        act_port_bits=32,
        result_port_bits=32,
    )
    folder = build(generate(config, name=CORE_NAME), simulators)
    jobs = run(folder, "bench_entries:cover", {"seed": SEED}, config=config.to_dict())["bins"]
    assert len(jobs) == 480
    for job in jobs:
        assert (job["mismatches"], job["timed_out"], job["error"]) == (0, False, 0), job


def test_partial_sums_carry_products_over_the_buffer(simulators: Path) -> None:
    """K over two and three slices, tokens over two jobs, extremes at full length; exact, and as long as predicted."""
    config = AcceleratorConfig.from_dict({"partial_sums": True}, base=TINY)
    folder = build(generate(config, name=CORE_NAME), simulators)
    shapes = [[9, 65, 4], [21, 150, 6], [4, 192, 1], [5, 64, 3]]
    for stalls in (False, True):
        task = {"seed": SEED, "shapes": shapes, "stalls": stalls}
        runs = run(folder, "bench_entries:over_the_buffer", task, config=config.to_dict())["runs"]
        assert len(runs) == 3 * len(shapes)
        for ran in runs:
            assert (ran["mismatches"], ran["timed_out"], ran["error"]) == (0, False, 0), ran
            if not stalls:
                batches = product_cycles(config, *ran["shape"])
                assert ran["cycles"] == sum(batch.total for batch in batches), ran


def test_a_product_over_the_buffer_is_refused_without_partial_sums(bench: Path) -> None:
    with pytest.raises(SimulationError, match=r"(?s)InputError: K is 65; this configuration runs 1 to 64"):
        simulate(bench, "over_the_buffer", seed=SEED, shapes=[[9, 65, 4]], stalls=False)
