"""Pieces of a matrix: they fit the stores, and together they are the matrix."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.errors import InputError
from tritforge.accel.presets import PRESETS
from tritforge.accel.store_sizes import StoreSizes
from tritforge.models.image import image_bytes
from tritforge.sim.matrix_pieces import StoreLimits, activation_bytes, cut_matrix, result_bytes

TINY = PRESETS["tiny"]
CONFIGS = [
    TINY,
    AcceleratorConfig.from_dict({"rows": 3, "k_max": 20, "m_max": 7, "negation": "carry"}, base=TINY),
    AcceleratorConfig.from_dict({"packing": "s5", "result_port_bits": 32, "m_max": 2}, base=TINY),
]
limits = st.builds(
    StoreLimits, weights=st.integers(80, 700), activations=st.integers(4, 200), results=st.integers(8, 99)
)


@given(st.sampled_from(CONFIGS), limits, st.integers(1, 60), st.integers(1, 200))
def test_pieces_fit_and_cover_the_matrix_once(
    config: AcceleratorConfig, limits: StoreLimits, m: int, k: int
) -> None:
    covered = np.zeros((m, k), dtype=int)
    pieces = cut_matrix(config, limits, m, k)
    for piece in pieces:
        covered[slice(*piece.rows), slice(*piece.inputs)] += 1
        config.check_job(piece.m, piece.k, piece.tokens)
        assert piece.image_bytes == image_bytes(config, piece.m, piece.k) <= limits.weights
        assert piece.tokens * activation_bytes(config, piece.k) <= limits.activations
        assert result_bytes(config, piece.m, piece.tokens) <= limits.results
    assert (covered == 1).all()
    # Slices along K one behind the other, so that their activations are loaded once.
    assert all(before.inputs <= after.inputs for before, after in pairwise(pieces))


def test_what_fits_is_one_piece_and_what_does_not_is_cut_evenly_at_tiles() -> None:
    roomy = StoreLimits(weights=1 << 16, activations=1 << 12, results=1 << 12)
    (whole,) = cut_matrix(TINY, roomy, 250, 64)
    assert (whole.rows, whole.inputs, whole.tokens) == ((0, 250), (0, 64), 4)
    assert [piece.inputs for piece in cut_matrix(TINY, roomy, 4, 130)] == [(0, 48), (48, 96), (96, 130)]
    half = StoreLimits(weights=whole.image_bytes - 1, activations=1 << 12, results=1 << 12)
    assert [piece.rows for piece in cut_matrix(TINY, half, 250, 64)] == [(0, 128), (128, 250)]


@pytest.mark.parametrize("name", ["ulx3s", "icebreaker"])
def test_boards_run_a_whole_piece_of_a_large_matrix_at_all_their_tokens(name: str) -> None:
    config = PRESETS[name]
    sizes = StoreSizes.of(config)
    limits = StoreLimits(weights=sizes.weights, activations=sizes.activations, results=sizes.results)
    pieces = cut_matrix(config, limits, 6912, 2560)
    assert all(piece.tokens == config.tokens_max for piece in pieces)
    assert min(piece.image_bytes for piece in pieces) > sizes.weights // 4


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (
            {"weights": 15},
            "the stores hold 15 bytes of weights and 256 of activations; 16 and 4 are needed for the smallest piece",
        ),
        (
            {"activations": 3},
            "the stores hold 256 bytes of weights and 3 of activations; 16 and 4 are needed for the smallest piece",
        ),
        ({"results": 7}, "the result store holds 7 bytes; one beat takes 8"),
    ],
)
def test_stores_without_room_for_the_smallest_piece_are_refused(
    changed: dict[str, int], message: str
) -> None:
    sizes = {"weights": 256, "activations": 256, "results": 256} | changed
    with pytest.raises(InputError) as caught:
        cut_matrix(TINY, StoreLimits(**sizes), 9, 20)
    assert str(caught.value) == message


@pytest.mark.parametrize(("m", "k", "name"), [(0, 4, "M"), (4, 0, "K")])
def test_nothing_is_not_cut(m: int, k: int, name: str) -> None:
    with pytest.raises(InputError, match=rf"^{name} is 0; 1 or more is needed$"):
        cut_matrix(TINY, StoreLimits(weights=256, activations=256, results=256), m, k)
