"""Ternary weights of Hugging Face checkpoints: the packed bytes, and floats of three values."""

import re

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tritforge.accel.errors import InputError
from tritforge.models.hf_weights import codes_of_units, pack_quarters, ternary_from_floats, unpack_quarters

Codes = npt.NDArray[np.int8]


def random_codes(m: int, k: int, seed: int = 0) -> Codes:
    return np.random.default_rng(seed).integers(-1, 2, (m, k), dtype=np.int8)


def test_the_documented_example_is_unpacked() -> None:
    """Of ``unpack_weights`` in transformers: two rows of two bytes are eight rows."""
    packed = np.array([[0b10100001, 0b00011000], [0b10010000, 0b00001010]], dtype=np.uint8)
    expected = [[0, -1], [-1, 1], [-1, 1], [-1, 1], [1, 0], [0, -1], [1, -1], [1, -1]]
    assert unpack_quarters(packed, 8).tolist() == expected


@given(m=st.integers(1, 33), k=st.integers(1, 9), seed=st.integers(0, 2**32 - 1))
def test_packing_and_unpacking_are_inverse(m: int, k: int, seed: int) -> None:
    codes = random_codes(m, k, seed)
    packed = pack_quarters(codes)
    assert packed.shape == (-(-m // 4), k)
    assert np.array_equal(unpack_quarters(packed, m), codes)
    for row in range(m):  # the layout, said once more
        field, byte = divmod(row, len(packed))
        assert np.array_equal((packed[byte] >> 2 * field & 3).astype(int) - 1, codes[row])


@given(m=st.integers(1, 33), seed=st.integers(0, 2**32 - 1), data=st.data())
def test_a_field_of_3_is_named_by_row_and_column_and_never_a_weight(
    m: int, seed: int, data: st.DataObject
) -> None:
    packed = pack_quarters(random_codes(m, 5, seed))
    row, column = data.draw(st.integers(0, m - 1)), data.draw(st.integers(0, 4))
    field, byte = divmod(row, len(packed))
    packed[byte, column] |= 3 << 2 * field
    message = (
        f"the field of row {row}, column {column} is 3; 0, 1 or 2 is needed: "
        "the file is damaged or not in this packing"
    )
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        unpack_quarters(packed, m)


def test_a_field_beyond_the_last_row_is_named() -> None:
    packed = pack_quarters(random_codes(5, 3))
    packed[1, 2] |= 1 << 6
    message = "the field of row 7, column 2 is 1, and there are 5 rows; 0 is needed: the file is damaged"
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        unpack_quarters(packed, 5)


def test_units_are_codes_and_nothing_else_is() -> None:
    codes = random_codes(6, 7)
    assert np.array_equal(codes_of_units(codes.astype(np.float32)), codes)
    for value in (0.5, -2.0, np.nan, np.inf, 1 + 2**-20):
        values = codes.astype(np.float32)
        values[2, 3] = value
        message = (
            f"the weight at row 2, column 3 is {values[2, 3]!r}; -1, 0 or 1 is needed, "
            "as the scale is a tensor of its own"
        )
        with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
            codes_of_units(values)


@given(
    grid=st.sampled_from([(1, 1), (2, 1), (6, 1), (1, 2), (1, 3), (2, 2), (3, 4), (1, 6)]),
    seed=st.integers(0, 2**32 - 1),
)
def test_a_grid_of_scales_is_found_exactly(grid: tuple[int, int], seed: int) -> None:
    random = np.random.default_rng(seed)
    codes = random.integers(-1, 2, (48, 96), dtype=np.int8)
    codes[:, ::2] = np.where(codes[:, ::2] == 0, 1, codes[:, ::2])  # every block has weights
    scales = random.permutation(np.arange(1, 1 + grid[0] * grid[1])).reshape(grid).astype(np.float32) / 32
    spread = np.kron(scales, np.ones((48 // grid[0], 96 // grid[1]), dtype=np.float32))
    found = ternary_from_floats(codes * spread)
    assert found is not None
    assert found.scale_kind == "multiplier"
    assert np.array_equal(found.codes, codes)
    assert np.array_equal(found.scale_grid, scales)


def test_a_block_of_zeros_takes_no_part() -> None:
    values = np.zeros((16, 12), dtype=np.float32)
    found = ternary_from_floats(values)
    assert found is not None
    assert found.scale == 1
    values[:7] = 0.25
    values[9:] = -0.5
    found = ternary_from_floats(values)
    assert found is not None
    assert found.scale_grid.tolist() == [[0.25], [0.5]]


@pytest.mark.parametrize("shape", [(8, 6), (256, 130)])
def test_floats_that_are_not_ternary_are_not_taken_for_it(shape: tuple[int, int]) -> None:
    values = np.random.default_rng(1).standard_normal(shape, dtype=np.float32)
    assert ternary_from_floats(values) is None
    values = np.sign(values)
    values[3, 2] = 1.5
    assert ternary_from_floats(values) is None


def test_values_that_are_not_finite_are_not_ternary() -> None:
    for value in (np.nan, np.inf):
        values = random_codes(4, 4).astype(np.float32)
        values[1, 1] = value
        assert ternary_from_floats(values) is None
