"""Rotary positions and grouped-query attention, against the formulas written out one by one."""

import math
import re

import numpy as np
import numpy.typing as npt
import pytest

from tritforge.accel.errors import InputError
from tritforge.models.checkpoint import Checkpoint
from tritforge.sim.attention import LayerCache, attend, rotary_tables, rotate

Floats = npt.NDArray[np.float32]


@pytest.fixture
def random() -> np.random.Generator:
    return np.random.default_rng(3)


def normal(random: np.random.Generator, *shape: int) -> Floats:
    return random.standard_normal(shape, dtype=np.float32)


def one_by_one(queries: Floats, keys: Floats, values: Floats) -> npt.NDArray[np.float64]:
    """Causal attention of each head and position on its own, in float64."""
    heads, length, width = queries.shape
    group = heads // len(keys)
    result = np.zeros(queries.shape)
    for head in range(heads):
        key, value = keys[head // group].astype(float), values[head // group].astype(float)
        for position in range(length):
            seen = len(key) - length + position + 1
            scores = key[:seen] @ queries[head, position].astype(float) / math.sqrt(width)
            weights = np.exp(scores - scores.max())
            result[head, position] = weights @ value[:seen] / weights.sum()
    return result


@pytest.mark.parametrize(("heads", "groups"), [(4, 4), (4, 2), (6, 2), (3, 1)])
@pytest.mark.parametrize(("length", "total"), [(7, 7), (3, 7), (1, 7), (1, 1)])
def test_attention_is_causal_and_shares_key_heads_by_groups(
    random: np.random.Generator, heads: int, groups: int, length: int, total: int
) -> None:
    queries, keys = normal(random, heads, length, 10), normal(random, groups, total, 10)
    values = normal(random, groups, total, 10)
    found = attend(queries, keys, values)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, one_by_one(queries, keys, values), atol=1e-5)


def test_leading_axes_are_independent_texts(random: np.random.Generator) -> None:
    queries, keys = normal(random, 3, 4, 5, 6), normal(random, 3, 2, 5, 6)
    values = normal(random, 3, 2, 5, 6)
    together = attend(queries, keys, values)
    for text in range(3):
        np.testing.assert_allclose(together[text], attend(queries[text], keys[text], values[text]), atol=1e-6)


def test_large_scores_do_not_overflow() -> None:
    queries = np.full((1, 2, 2), 300, dtype=np.float32)
    values = np.array([[[1, 2], [3, 4]]], dtype=np.float32)
    assert np.array_equal(attend(queries, queries, values)[0], [[1, 2], [2, 3]])


def test_rotation_turns_each_pair_by_its_positions_angle(
    tiny_checkpoint: Checkpoint, random: np.random.Generator
) -> None:
    config = tiny_checkpoint.config
    half = config.head_dim // 2
    x = normal(random, config.max_position_embeddings, config.head_dim)
    found = rotate(x, *rotary_tables(config))
    for position in (0, 1, 5, config.max_position_embeddings - 1):
        for pair in range(half):
            angle = position * config.rope_theta ** (-2 * pair / config.head_dim)
            turned = complex(x[position, pair], x[position, pair + half]) * complex(
                math.cos(angle), math.sin(angle)
            )
            assert found[position, pair] == pytest.approx(turned.real, abs=2e-5)
            assert found[position, pair + half] == pytest.approx(turned.imag, abs=2e-5)


def test_rotated_products_depend_on_the_distance_alone(
    tiny_checkpoint: Checkpoint, random: np.random.Generator
) -> None:
    config = tiny_checkpoint.config
    cosines, sines = rotary_tables(config)
    query, key = normal(random, 1, config.head_dim), normal(random, 1, config.head_dim)
    products = [
        float(
            (
                rotate(query, cosines[at + 3 : at + 4], sines[at + 3 : at + 4])
                @ rotate(key, cosines[at : at + 1], sines[at : at + 1]).T
            )[0, 0]
        )
        for at in (0, 1, 40)
    ]
    assert products == pytest.approx([products[0]] * 3, abs=1e-4)


def test_a_cache_returns_all_positions_so_far(random: np.random.Generator) -> None:
    cache = LayerCache(9)
    keys, values = normal(random, 2, 9, 4), normal(random, 2, 9, 4)
    for start, end in ((0, 4), (4, 5), (5, 9)):
        found = cache.extend(keys[:, start:end], values[:, start:end])
        assert cache.length == end
        assert np.array_equal(found[0], keys[:, :end])
        assert np.array_equal(found[1], values[:, :end])


def test_a_full_cache_says_so() -> None:
    cache = LayerCache(4)
    four = np.zeros((1, 4, 2), dtype=np.float32)
    cache.extend(four, four)
    message = "5 positions are over the cache's 4; use a shorter text"
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        cache.extend(four[:, :1], four[:, :1])
    assert cache.length == 4
