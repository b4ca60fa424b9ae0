"""Stream patterns: when beats are offered and taken."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tritforge.accel.errors import InputError
from tritforge.sim.streams import STREAMS, Drain, Feed, Ideal, Listed, Stalls, Xorshift


def test_the_generator_is_that_of_its_paper_cycle_by_cycle() -> None:
    """Each cycle's pause from the recurrence itself, step by step in 32 bits."""
    seed, index, share = 7, 2, 100
    state = ((seed + 1) * 0x9E3779B9 ^ 0x85EBCA6B * (index + 1)) % 2**32
    pauses = []
    for _ in range(5000):
        state ^= state * 2**13 % 2**32
        state ^= state // 2**17
        state ^= state * 2**5 % 2**32
        pauses.append(state % 256 < share)
    assert 0.3 < sum(pauses) / len(pauses) < 0.5
    pattern = Xorshift(seed, index, share)
    for cycle in (0, 3, 4000, 17, 18, 19, 20, 2500):
        assert pattern.clear(cycle) == next(c for c in range(cycle, 5000) if not pauses[c])


@given(st.integers(0, 1 << 31), st.sampled_from(STREAMS), st.integers(0, 255))
def test_a_clear_cycle_is_its_own_next_one(seed: int, stream: str, share: int) -> None:
    pattern = Stalls(seed=seed, **{stream: share}).pattern(stream)
    assert isinstance(pattern, Ideal) == (share == 0)
    cycle = 0
    for _ in range(50):
        clear = pattern.clear(cycle)
        assert clear >= cycle
        assert pattern.clear(clear) == clear
        cycle = clear + 1


def test_streams_of_a_seed_pause_apart_from_one_another() -> None:
    stalls = Stalls(seed=4, **dict.fromkeys(STREAMS, 128))
    found = {tuple(stalls.pattern(name).clear(cycle) for cycle in range(200)) for name in STREAMS}
    assert len(found) == len(STREAMS)


def test_shares_are_packed_a_byte_each() -> None:
    assert Stalls(jobs=1, activations=2, weights=3, results=4, partials=5).packed == 0x0504030201


@pytest.mark.parametrize("name", STREAMS)
def test_a_share_out_of_bounds_is_refused(name: str) -> None:
    with pytest.raises(InputError, match=rf"^the share of {name} is 256; it must lie in 0 to 255$"):
        Stalls(**{name: 256})


def test_a_seed_out_of_bounds_is_refused() -> None:
    with pytest.raises(InputError, match=r"^seed is -1; it must lie in 0 to 4294967295$"):
        Stalls(seed=-1)


def test_a_feed_offers_a_beat_a_cycle_after_it_decided() -> None:
    feed = Feed(Listed([0, 1, 5]))
    assert feed.offered() == 3
    assert feed.take(1, 0) == 3
    assert feed.take(1, 0) == 4
    # Cycles 4 and 6 are clear, 5 is not: beats in 5 and 7.
    assert feed.take(2, 0) == 7
    assert feed.take(1, 20) == 20
    feed.hold(30)
    assert feed.offered() == 31


@given(st.integers(1, 20), st.integers(0, 30), st.integers(0, 30))
def test_an_ideal_feed_steps_over_its_beats(count: int, hold: int, since: int) -> None:
    ideal, listed = Feed(Ideal()), Feed(Listed([]))
    for feed in (ideal, listed):
        feed.hold(hold)
    assert ideal.take(count, since) == listed.take(count, since) == max(hold + 1, since) + count - 1


def test_a_drain_is_ready_a_cycle_after_it_decided() -> None:
    drain = Drain(Listed([4, 5]))
    assert [drain.taken(cycle) for cycle in (3, 4, 5, 6, 7, 8)] == [3, 4, 7, 7, 7, 8]
