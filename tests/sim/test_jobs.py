"""How a product becomes jobs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.errors import InputError
from tritforge.accel.presets import PRESETS
from tritforge.sim.jobs import Job, split_product, token_slices

TINY = PRESETS["tiny"]
PARTIAL = AcceleratorConfig.from_dict({"partial_sums": True}, base=TINY)


@given(st.integers(1, 1000), st.integers(1, 60))
def test_slices_cover_every_input_and_token_once_within_the_bounds(k: int, tokens: int) -> None:
    for parts, length, bound in (
        (PARTIAL.k_slices(k), k, TINY.k_max),
        (token_slices(TINY, tokens), tokens, TINY.tokens_max),
    ):
        assert [index for part in parts for index in range(part.start, part.stop)] == list(range(length))
        assert all(0 < part.stop - part.start <= bound for part in parts)
        assert all(part.stop - part.start == bound for part in parts[:-1])


@given(st.integers(1, TINY.m_max), st.integers(1, 500), st.integers(1, 20))
def test_the_jobs_of_a_product_do_its_operations_and_add_to_one_another(m: int, k: int, tokens: int) -> None:
    batches = split_product(PARTIAL, m, k, tokens)
    jobs = [job for batch in batches for job in batch]
    assert sum(job.operations for job in jobs) == m * k * tokens
    assert [job.accumulate for job in jobs] == [
        index > 0 for index, batch in enumerate(batches) for _ in batch
    ]
    assert all(sum(job.tokens for job in batch) == tokens for batch in batches)
    assert {job.flags for job in jobs if job.accumulate} <= {1}


def test_without_partial_sums_an_inner_dimension_over_the_bound_is_refused() -> None:
    message = r"^K is 65; this configuration runs 1 to 64$"
    with pytest.raises(InputError, match=message):
        split_product(TINY, 4, 65, 1)
    assert len(split_product(PARTIAL, 4, 65, 1)) == 2


@pytest.mark.parametrize("config", [TINY, PARTIAL])
def test_other_bounds_hold_as_for_a_job(config: AcceleratorConfig) -> None:
    with pytest.raises(InputError, match=r"^M is 257; this configuration runs 1 to 256$"):
        split_product(config, 257, 8, 1)
    with pytest.raises(InputError, match=r"^K is 0; this configuration runs 1 to 64$"):
        split_product(config, 4, 0, 1)


def test_a_job_tells_its_flags() -> None:
    assert Job(m=1, k=1, tokens=1).flags == 0
    assert Job(m=1, k=1, tokens=1, accumulate=True).flags == 1
