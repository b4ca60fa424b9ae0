"""Rows of packed matrices, some at a time."""

import re
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tritforge.accel.errors import InputError
from tritforge.models.base3 import pack
from tritforge.models.row_packing import Base3Rows, CodeRows, QuarterRows, RowSource, as_rows


def refused(message: str) -> Any:
    """Expect an error of exactly this text."""
    return pytest.raises(InputError, match=f"^{re.escape(message)}$")


def quarters(codes: npt.NDArray[np.int8]) -> npt.NDArray[np.uint8]:
    """Pack one code at a time, as the description says; fields without a row are 0."""
    m, k = codes.shape
    height = -(-m // 4)
    packed = np.zeros((height, k), dtype=np.uint8)
    for row in range(m):
        for column in range(k):
            packed[row % height, column] |= (int(codes[row, column]) + 1) << 2 * (row // height)
    return packed


@given(
    st.integers(1, 21),
    st.integers(1, 16),
    st.integers(0, 2**32 - 1),
    st.data(),
    st.sampled_from([np.float32, np.float64]),
)
def test_any_rows_are_those_of_the_matrix(
    m: int, k: int, seed: int, data: st.DataObject, dtype: type[np.float32 | np.float64]
) -> None:
    """Blocks that lie in one quarter, span several, or are the whole."""
    codes = np.random.default_rng(seed).integers(-1, 2, (m, k), dtype=np.int8)
    first = data.draw(st.integers(0, m - 1))
    count = data.draw(st.integers(0, m - first))
    forms: list[RowSource] = [CodeRows(codes), Base3Rows(pack(codes), k), QuarterRows(quarters(codes), m)]
    for source in forms:
        assert (source.m, source.k) == (m, k)
        block = np.full((count, source.width), np.nan, dtype=dtype)
        source.fill(first, block)
        assert np.array_equal(block[:, :k], codes[first : first + count])
        assert np.isfinite(block).all()


def test_quarters_are_worked_out_by_hand() -> None:
    """Two rows of bytes are eight of codes; the lowest bits of a byte are of the first quarter."""
    source = QuarterRows(np.array([[0b01_00_10_01], [0b10_01_01_00]], dtype=np.uint8))
    block = np.empty((8, 1), dtype=np.float32)
    source.fill(0, block)
    assert block.ravel().tolist() == [0, -1, 1, 0, -1, 0, 0, 1]


@pytest.mark.parametrize("field", [0, 1, 2, 3])
def test_a_field_of_three_is_named_with_its_place(field: int) -> None:
    packed = np.full((3, 5), 0b01_01_01_01, dtype=np.uint8)
    packed[2, 4] |= 3 << 2 * field
    block = np.empty((12, 5), dtype=np.float32)
    with refused(
        f"the field of row {3 * field + 2}, column 4 is 3; 0, 1 or 2 is needed: "
        "the file is damaged or not in this packing"
    ):
        QuarterRows(packed).fill(0, block)
    # Rows that are not asked for are not judged.
    QuarterRows(packed).fill(0, block[:2])
    assert not block[:2].any()


def test_an_illegal_byte_is_named_with_its_place_in_the_matrix() -> None:
    packed = pack(np.zeros((9, 20), dtype=np.int8))
    packed[6, 3] = 255
    block = np.empty((4, 20), dtype=np.float32)
    with refused(
        "row 6, byte 3 is 255; five base-3 digits reach 242: the file is damaged or not in this packing"
    ):
        Base3Rows(packed, 20).fill(5, block)
    Base3Rows(packed, 20).fill(0, block)
    assert not block.any()


def test_packed_matrices_of_another_shape_are_refused() -> None:
    with refused("a row has 2 bytes; 11 trits take 3"):
        Base3Rows(np.zeros((1, 2), dtype=np.uint8), 11)
    with refused("2 rows of four codes a byte; 9 rows take 3"):
        QuarterRows(np.zeros((2, 4), dtype=np.uint8), 9)


def test_codes_become_a_source_and_a_source_stays_itself() -> None:
    codes = np.ones((2, 3), dtype=np.int8)
    source = as_rows(codes)
    assert isinstance(source, CodeRows)
    assert as_rows(source) is source
