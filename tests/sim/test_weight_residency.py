"""Places in a weight store: never two in one another, and the least recently used go."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tritforge.accel.errors import InputError
from tritforge.sim.weight_residency import StoreMap


@given(st.lists(st.tuples(st.integers(0, 12), st.integers(1, 40)), max_size=80))
def test_places_never_overlap_and_what_was_placed_last_is_there(asked: list[tuple[int, int]]) -> None:
    store = StoreMap(64)
    lengths: dict[int, int] = {}
    for key, length in asked:
        if key not in store:
            start = store.place(key, length)
            lengths[key] = length
            assert store.find(key) == start
        there = sorted((store.find(each), lengths[each]) for each in lengths if each in store)
        ends = [start + taken for start, taken in there if start is not None]
        starts = [start for start, _ in there[1:]]
        assert all(end <= (start or 0) for end, start in zip(ends, starts, strict=False))
        assert not ends or ends[-1] <= 64
        assert key in store


def test_the_least_recently_used_goes_first() -> None:
    store = StoreMap(30)
    assert [store.place(name, 10) for name in "abc"] == [0, 10, 20]
    assert store.find("a") == 0
    assert store.place("d", 10) == 10
    assert [name in store for name in "abcd"] == [True, False, True, True]
    # The gap of `c` alone is too short, so `a` goes as well, though between them lies what stays.
    assert store.place("e", 11) == 0
    assert [name in store for name in "acde"] == [False, False, False, True]


def test_a_place_that_is_given_back_is_used_again() -> None:
    store = StoreMap(20)
    store.place("a", 10)
    store.place("b", 10)
    store.drop("a")
    store.drop("never there")
    assert store.place("c", 6) == 0
    assert store.find("a") is None
    assert "b" in store
    store.clear()
    assert store.place("b", 20) == 0


def test_what_cannot_be_placed_is_refused_and_harms_nothing() -> None:
    store = StoreMap(20)
    store.place("a", 10)
    with pytest.raises(InputError, match=r"^21 bytes do not fit a store of 20; cut them into pieces$"):
        store.place("b", 21)
    with pytest.raises(InputError, match=r"^'a' is in the store; find its place$"):
        store.place("a", 1)
    assert store.find("a") == 0
