"""The sparse unit alone: every sum, every request, under pauses of all that surrounds it."""

import numpy as np
import numpy.typing as npt
import pytest
from sparse_unit import Environment, assert_exact, random_jobs, random_sparse_config, run_unit

from tritforge.accel.config import AcceleratorConfig
from tritforge.models.columns import column_bytes, pack_columns
from tritforge.sim.streams import Xorshift

#: 8 rows a beat, two beats a column: blocks of 16 rows.
SMALL = AcceleratorConfig(
    sparse=True, lanes=4, rows=4, k_max=64, m_max=128, weight_port_bits=16, act_port_bits=32, column_beats=2
)


@pytest.mark.parametrize("seed", range(8))
def test_random_jobs_are_exact_under_pauses(seed: int) -> None:
    """Two jobs back to back on a random configuration; the memory has a random latency and few places."""
    print(f"seed {seed}")
    generator = np.random.default_rng(seed)
    config = random_sparse_config(generator)
    jobs = random_jobs(generator, config)
    environment = Environment(
        activations=Xorshift(seed, 0, 100),
        requests=Xorshift(seed, 1, 100),
        columns=Xorshift(seed, 2, 60),
        room=Xorshift(seed, 3, 128),
        turn=Xorshift(seed, 4, 200),
        latency=int(generator.integers(1, 20)),
        places=int(generator.choice([1, 2, 8])),
    )
    run = run_unit(config, jobs, environment)
    assert_exact(config, run, jobs)
    assert run.illegal == 0


@pytest.mark.parametrize("act", [-128, 127])
@pytest.mark.parametrize("trit", [-1, 1])
@pytest.mark.parametrize("beats", [1, 2])
def test_extremes_are_exact_at_the_bound_of_k(act: int, trit: int, beats: int) -> None:
    """The accumulators reach both ends of their interval."""
    config = AcceleratorConfig.from_dict({"column_beats": beats}, base=SMALL)
    jobs = [(np.full(64, act), np.full((33, 64), trit, dtype=np.int8))]
    run = run_unit(config, jobs)
    assert_exact(config, run, jobs)
    assert run.sums[0][0] == 64 * act * trit


@pytest.mark.parametrize("m", [1, 3, 4, 5, 16, 17, 31, 32, 33, 64, 65])
def test_tails_of_rows_are_exact_and_leave_nothing_behind(m: int) -> None:
    generator = np.random.default_rng(m)
    jobs = [
        (generator.integers(-3, 3, 9), generator.integers(-1, 2, (rows, 9)).astype(np.int8))
        for rows in (m, 40)
    ]
    assert_exact(SMALL, run_unit(SMALL, jobs), jobs)


@pytest.mark.parametrize("k", [1, 3, 4, 5, 63, 64])
def test_what_pads_the_last_beat_is_no_activation(k: int) -> None:
    jobs = [(np.arange(1, k + 1), np.ones((5, k), dtype=np.int8))]
    assert_exact(SMALL, run_unit(SMALL, jobs), jobs)


def test_a_token_of_zeros_gives_zeros() -> None:
    jobs = [(np.zeros(20, dtype=np.int64), np.ones((40, 20), dtype=np.int8))] * 2
    run = run_unit(SMALL, jobs)
    assert_exact(SMALL, run, jobs)
    assert not run.sums[0].any()
    assert run.requests == [[0, 20, 40]] * 2


@pytest.mark.parametrize(("packing", "byte"), [("i2", 0b10), ("s5", 0b11000), ("s8", 0b10001010)])
def test_an_illegal_word_is_flagged_in_the_columns_that_are_read_alone(packing: str, byte: int) -> None:
    config = AcceleratorConfig.from_dict({"packing": packing}, base=SMALL)
    x = np.array([0, 5, 0, -7])
    w: npt.NDArray[np.int8] = np.zeros((8, 4), dtype=np.int8)
    for column, flags in ((0, 0), (1, 1), (3, 1)):
        image = bytearray(pack_columns(config, w))
        image[column * column_bytes(config)] = byte
        assert run_unit(config, [(x, w)], images=[bytes(image)]).illegal == flags


def test_a_beat_is_taken_every_cycle_but_for_a_blocks_end() -> None:
    """Two blocks of 30 columns of two beats; a block ends with three cycles and four chunks of four rows."""
    x = np.zeros(64, dtype=np.int64)
    x[:30] = 1
    w = np.random.default_rng(0).integers(-1, 2, (32, 64)).astype(np.int8)
    run = run_unit(SMALL, [(x, w)], Environment(latency=1))
    assert_exact(SMALL, run, [(x, w)])
    # Taken in 1. Beat 2; pair 0 is known with pair 1, written in 4: read in 5, moved in 6, asked in 7, beat in 8.
    assert run.taken == [1]
    assert run.finished == [8 + 2 * (60 + 3 + 4) - 1]


def test_latency_is_hidden_by_requests_under_way() -> None:
    """With as many places as the latency is long, a job takes longer by the latency, once."""
    x = np.ones(24, dtype=np.int64)
    w = np.ones((48, 24), dtype=np.int8)
    fast = run_unit(SMALL, [(x, w)]).finished[0]
    slow = run_unit(SMALL, [(x, w)], Environment(latency=41, places=30)).finished[0]
    starved = run_unit(SMALL, [(x, w)], Environment(latency=41, places=1)).finished[0]
    assert slow == fast + 40
    assert starved > 10 * fast


def test_a_job_of_one_row_is_exact_where_there_is_no_larger_one() -> None:
    """The count of rows that are left is as narrow as M, and a chunk is wider."""
    config = AcceleratorConfig.from_dict({"m_max": 1, "rows": 8}, base=SMALL)
    jobs = [(np.array([5, 0, -3]), np.array([[-1, 1, 1]], dtype=np.int8))] * 2
    assert_exact(config, run_unit(config, jobs), jobs)
