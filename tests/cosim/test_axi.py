"""The AXI top in Verilator behind AXI masters and slaves that nobody here wrote.

In every run the rules of AXI are watched in each cycle (`tests/support/axi_rules.sv`), a read or a write where
nothing lies is a fault, and after the last job the bench waits whether anything more comes.
"""

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from axi_bench import axi_bench

from tritforge.accel.axi_config import AxiConfig
from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.presets import PRESETS
from tritforge.rtl.verilog import generate
from tritforge.sim.cycles import batch_cycles
from tritforge.sim.jobs import Job
from tritforge.sim.simulator import compile_bench, run
from tritforge.sim.streams import Stalls

TINY = PRESETS["tiny"]
SEED = 21
#: Short bursts, so that small images take several.
STREAM = AxiConfig(burst_beats=16)
MEMORY = replace(STREAM, write_master=True)
TOPS = {"stream": STREAM, "memory": MEMORY}
#: Cycles of a job beside those of the core: the registers around it, its start and its end.
AROUND = 3
#: Cycles from the start of a job to its first beat with a memory of no latency, beyond what the core waits anyway.
FIRST_BEAT = 12

#: Every packing, negation and datapath, ports of 32 to 512 bits, with and without a write master.
CONFIGS: dict[str, tuple[AcceleratorConfig, AxiConfig]] = {
    "s5, carry, partial sums, 128 bits": (
        replace(TINY, packing="s5", negation="carry", partial_sums=True, weight_port_bits=128),
        replace(STREAM, address_bits=40, outstanding=1, burst_beats=2),
    ),
    "s8, partial sums, 64 bits, to memory": (
        replace(
            TINY, packing="s8", partial_sums=True, weight_port_bits=64, rows=5, lanes=12, result_port_bits=128
        ),
        replace(MEMORY, address_bits=64, outstanding=2, queue_depth=2),
    ),
    "fused for ECP5, 32 bits, to memory": (
        replace(TINY, datapath="fused", target="ecp5", negation="carry", chain_length=4, result_port_bits=32),
        replace(MEMORY, burst_beats=4, outstanding=8, queue_depth=16),
    ),
    "i2, one token, 512 bits, to memory": (
        replace(TINY, tokens_max=1, lanes=16, rows=3, weight_port_bits=512, result_port_bits=512),
        replace(MEMORY, burst_beats=256, outstanding=16),
    ),
}


def simulate(
    simulators: Path, config: AcceleratorConfig, axi: AxiConfig, entry: str, **task: Any
) -> dict[str, Any]:
    """Compile an AXI top, or find it compiled, and run an entry beside it."""
    task = {"seed": SEED, "axi": asdict(axi)} | task
    print(f"{entry} {task}")
    folder = compile_bench(axi_bench([generate(config, axi=axi)], axi), simulators)
    return run(folder, f"axi_entries:{entry}", task, config=config.to_dict())


def assert_clean(answer: dict[str, Any]) -> dict[str, int]:
    """Refuse a run with a fault or without a check; return what it counted."""
    counts: dict[str, int] = answer["counts"]
    print({"cycles": answer["cycles"]} | counts | answer["transfers"])
    assert answer["faults"] == []
    assert counts["checks"] > 0
    assert counts["words"] > 0
    # Room is kept for what is asked of memory, so a beat that comes is taken at once.
    assert answer["read_waits"] == 0
    assert min(answer["transfers"].values()) > 0
    return counts


@pytest.mark.parametrize("top", TOPS)
def test_shapes_are_exact_alone_and_back_to_back_with_and_without_pauses(top: str, simulators: Path) -> None:
    """K and M that fill their tiles or not, single tokens, the largest job."""
    shapes = [[1, 1, 1], [4, 8, 1], [5, 9, 1], [9, 20, 3], [3, 64, 4], [13, 7, 2], [90, 64, 4], [8, 16, 4]]
    counts = assert_clean(simulate(simulators, TINY, TOPS[top], "shapes", shapes=shapes))
    assert counts["jobs"] == 4 * len(shapes)
    assert counts["words"] == 4 * sum(m * tokens for m, _, tokens in shapes)


@pytest.mark.parametrize("top", TOPS)
def test_a_thousand_random_jobs(top: str, simulators: Path) -> None:
    """No hang, no wrong word, every error in the status, and the job after it right.

    With pauses on all channels, a fifth of the jobs failing, starts refused, aborts and resets in between.
    """
    counts = assert_clean(simulate(simulators, TINY, TOPS[top], "random_jobs", jobs=1000))
    assert counts["jobs"] == 1000
    assert_all_happened(counts, top)


def assert_all_happened(counts: dict[str, int], top: str) -> None:
    """Refuse a run in which some kind of fault did not occur."""
    kinds = {"weight_slverr", "weight_decerr", "illegal_trit", "illegal_job", "misaligned", "address_range"}
    kinds |= {"queue_full", "aborts", "aborted", "resets"}
    kinds |= {"store_slverr", "store_decerr"} if top == "memory" else {"cut packets"}
    missing = {kind for kind in kinds if not counts.get(kind)}
    assert missing == set()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("top", TOPS)
def test_thousands_of_random_jobs(top: str, seed: int, simulators: Path) -> None:
    answer = simulate(simulators, TINY, TOPS[top], "random_jobs", jobs=5000, seed=seed)
    assert_all_happened(assert_clean(answer), top)


@pytest.mark.slow
@pytest.mark.parametrize("name", CONFIGS)
def test_configurations_run_random_jobs(name: str, simulators: Path) -> None:
    counts = assert_clean(simulate(simulators, *CONFIGS[name], "random_jobs", jobs=120))
    assert counts["jobs"] == 120


@pytest.mark.parametrize("top", TOPS)
def test_what_cannot_be_started_is_refused_with_its_cause(top: str, simulators: Path) -> None:
    """Each time between two jobs that are right."""
    counts = assert_clean(simulate(simulators, TINY, TOPS[top], "refused"))
    refused = counts["illegal_job"] + counts["misaligned"] + counts["address_range"]
    assert refused == {"stream": 19, "memory": 25}[top]
    assert counts["jobs"] == 2 * refused


def test_a_start_with_a_full_queue_is_refused_and_disturbs_nothing(simulators: Path) -> None:
    answer = simulate(simulators, TINY, STREAM, "overfill")
    assert_clean(answer)
    assert answer["errors"] == ["queue_full"]
    # Those that wait, and those that the core has taken although no weight came.
    assert answer["taken"] == STREAM.queue_depth + 2
    status = answer["status"]
    assert (status["full"], status["error"], status["waiting"]) == (1, 1, STREAM.queue_depth)
    assert status["in_flight"] == answer["taken"]


def test_what_is_no_register_answers_with_an_error(simulators: Path) -> None:
    """Every word of the page is read, and those without a register are written; constants read what they say."""
    answer = simulate(simulators, TINY, STREAM, "unmapped")
    assert_clean(answer)
    assert answer["wrong"] == []
    assert answer["words"] > 40


@pytest.mark.parametrize("how", ["abort", "reset"])
@pytest.mark.parametrize("top", TOPS)
def test_an_abort_or_a_reset_at_any_time_leaves_nothing_behind(top: str, how: str, simulators: Path) -> None:
    """Three jobs are under way; those that had ended are whole, and the job after it is right."""
    delays = [*range(0, 60, 3), *range(60, 200, 10)]
    for paused in (False, True):
        answer = simulate(simulators, TINY, TOPS[top], "interrupted", delays=delays, how=how, paused=paused)
        counts = assert_clean(answer)
        assert counts["jobs"] == 4 * len(delays)
        assert counts[f"{how}s"] == len(delays)
        if how == "abort":
            assert 0 < counts["aborted"] < 3 * len(delays)


def test_interrupts_tell_of_ends_failures_and_refusals(simulators: Path) -> None:
    answer = simulate(simulators, TINY, STREAM, "interrupts")
    assert_clean(answer)
    assert answer["seen"] == {
        "job": ["done", "idle"],
        "failing job": ["done", "failed", "idle"],
        "refused": ["refused"],
        "masked": ["done", "idle"],
    }


@pytest.mark.parametrize(("tokens", "latency"), [(1, 0), (1, 20), (4, 0), (4, 20)])
def test_jobs_follow_each_other_as_fast_as_the_core_alone(
    tokens: int, latency: int, simulators: Path
) -> None:
    """The weights of the next job come while this one runs: only the first job of a row waits for memory."""
    axi = replace(STREAM, queue_depth=8)
    task = {"counts": [1, 4, 8], "latency": latency, "shape": [32, 64, tokens]}
    answer = simulate(simulators, TINY, axi, "paces", **task)
    assert_clean(answer)
    for ran in answer["runs"]:
        jobs = [Job(m=32, k=64, tokens=tokens)] * ran["jobs"]
        core = batch_cycles(TINY, jobs, Stalls()).total
        assert core <= ran["cycles"] <= core + AROUND + latency + FIRST_BEAT, (ran, core)
        assert ran["stall_output"] == 0
    # The core is the bound, not the bursts: as many as may be are under way.
    assert answer["most_reads"] == axi.outstanding
