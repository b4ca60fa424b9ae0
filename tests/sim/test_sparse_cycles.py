"""Cycles of a sparse job: equal to the hardware in every cycle."""

import numpy as np
import pytest
from sparse_unit import Environment, assert_exact, random_jobs, random_sparse_config, run_unit

from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.errors import InputError
from tritforge.accel.presets import PRESETS
from tritforge.sim.cycles import batch_cycles
from tritforge.sim.jobs import Job
from tritforge.sim.sparse_cycles import ColumnMemory, SparseCycles
from tritforge.sim.streams import Feed, Ideal, Pattern, Stalls, Xorshift


def pattern(seed: int, index: int, share: int) -> Pattern:
    return Xorshift(seed, index, share) if share else Ideal()


@pytest.mark.parametrize("seed", range(12))
def test_the_model_is_the_unit_to_the_cycle(seed: int) -> None:
    """Two jobs back to back, ideal streams or pauses, a memory with latency."""
    print(f"seed {seed}")
    generator = np.random.default_rng(1000 + seed)
    config = random_sparse_config(generator)
    jobs = random_jobs(generator, config)
    shares = [int(share) for share in generator.choice([0, 60, 160], 3)]
    latency, places = int(generator.integers(1, 20)), int(generator.choice([1, 2, 4, 16]))
    environment = Environment(
        activations=pattern(seed, 0, shares[0]),
        requests=pattern(seed, 1, shares[1]),
        columns=pattern(seed, 2, shares[2]),
        latency=latency,
        places=places,
    )
    run = run_unit(config, jobs, environment)
    assert_exact(config, run, jobs)

    memory = ColumnMemory(
        latency=latency,
        places=places,
        requests=pattern(seed, 1, shares[1]),
        columns=pattern(seed, 2, shares[2]),
    )
    model = SparseCycles(config, Feed(pattern(seed, 0, shares[0])), memory)
    for (x, w), taken, finished, requests in zip(jobs, run.taken, run.finished, run.requests, strict=True):
        assert taken == model.finished + 1
        span = model.run(taken, len(w), x != 0)
        assert span.finished - finished == 0, f"M K {w.shape} on {config}"
        assert span.requests == len(requests)
        assert taken < span.scanned <= span.finished
        assert taken < span.requested < span.finished


def test_entries_are_pushed_with_their_rows_when_there_is_room() -> None:
    config = AcceleratorConfig(sparse=True, rows=4, weight_port_bits=32, column_beats=1, k_max=8, m_max=64)
    model = SparseCycles(config, Feed(Ideal()), ColumnMemory())
    entries: list[tuple[int, int, bool]] = []
    model.run(
        1,
        18,
        np.array([True]),
        turn=100,
        room_at=lambda: 200 if len(entries) == 3 else 0,
        push=lambda *entry: entries.append(entry),
    )
    # From cycle 100 on the first block, whose last chunk waits; the second has one entry of two rows.
    assert entries[:4] == [(102, 4, False), (103, 4, False), (104, 4, False), (201, 4, False)]
    assert [entry[1:] for entry in entries[4:]] == [(2, True)]


@pytest.mark.parametrize("name", ["latency", "places"])
def test_a_memory_takes_a_cycle_and_a_request_at_least(name: str) -> None:
    with pytest.raises(InputError, match=rf"^{name} is 0; 1 or more is needed$"):
        ColumnMemory(**{name: 0})  # type: ignore[arg-type]


@pytest.mark.parametrize("latency", [0, 10_001])
def test_a_latency_out_of_bounds_is_refused(latency: int) -> None:
    with pytest.raises(InputError, match=rf"^latency is {latency}; it must lie in 1 to 10000$"):
        Stalls(latency=latency)


@pytest.mark.parametrize(("sparse", "tokens"), [(False, 1), (True, 2)])
def test_a_sparse_job_takes_one_token_and_a_core_that_runs_it(sparse: bool, tokens: int) -> None:
    config = AcceleratorConfig.from_dict({"sparse": sparse}, base=PRESETS["tiny"])
    job = Job(m=4, k=8, tokens=tokens, nonzero=np.ones(8, dtype=np.bool_))
    with pytest.raises(
        InputError, match=r"^a job is sparse; it takes a configuration with sparse, and one token$"
    ):
        batch_cycles(config, [job])


def test_a_sparse_job_is_shorter_by_the_columns_that_it_leaves_out() -> None:
    """Each column of each of ten blocks costs four beats, and latency is paid once."""
    config = AcceleratorConfig(sparse=True)
    nonzero = np.zeros(6912, dtype=np.bool_)
    nonzero[::8] = True
    totals = []
    for latency in (1, 41):
        job = Job(m=2560, k=6912, tokens=1, nonzero=nonzero)
        totals.append(batch_cycles(config, [job], Stalls(latency=latency)).jobs[0])
    assert totals[1].total == totals[0].total + 40
    assert totals[0].weight_beats == 10 * 864 * 4
    assert totals[0].weight_beats < totals[0].total < 1.02 * totals[0].weight_beats
    dense = batch_cycles(config, [Job(m=2560, k=6912, tokens=1)]).jobs[0]
    assert 7.5 < dense.total / totals[0].total < 8
