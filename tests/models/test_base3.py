"""Five trits a byte."""

import re

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tritforge.accel.errors import InputError
from tritforge.models.base3 import bytes_per_row, pack, unpack


@given(
    hnp.arrays(np.int8, hnp.array_shapes(min_dims=2, max_dims=2, max_side=17), elements=st.integers(-1, 1))
)
def test_unpacking_reverses_packing(codes: npt.NDArray[np.int8]) -> None:
    packed = pack(codes)
    assert packed.shape == (len(codes), bytes_per_row(codes.shape[1]))
    assert np.array_equal(unpack(packed, codes.shape[1]), codes)


@pytest.mark.parametrize("k", [1, 4, 1024, 2559])
def test_matrices_of_several_parts_are_packed_and_unpacked(k: int) -> None:
    """Rows by the hundred thousand trits, the last part shorter."""
    codes = np.random.default_rng(k).integers(-1, 2, (300_001 // k, k), dtype=np.int8)
    packed = pack(codes)
    padded = np.zeros((len(codes), 5 * bytes_per_row(k)), dtype=np.int64)
    padded[:, :k] = codes
    assert np.array_equal(packed, (padded.reshape(len(codes), -1, 5) + 1) @ 3 ** np.arange(5))
    assert np.array_equal(unpack(packed, k), codes)


def test_codes_in_any_order_of_memory_are_packed_alike() -> None:
    codes = np.random.default_rng(0).integers(-1, 2, (7, 23), dtype=np.int8)
    for same in (np.asfortranarray(codes), np.repeat(codes, 2, axis=1)[:, ::2], codes[::-1].copy()[::-1]):
        assert np.array_equal(pack(same), pack(codes))
    packed = np.asfortranarray(pack(codes))
    assert np.array_equal(unpack(packed, 23), codes)


def test_a_matrix_without_rows_has_no_bytes() -> None:
    assert pack(np.zeros((0, 7), dtype=np.int8)).shape == (0, 2)
    assert unpack(np.zeros((0, 2), dtype=np.uint8), 7).shape == (0, 7)


def test_damage_far_down_is_named_with_its_place() -> None:
    packed = pack(np.zeros((700, 999), dtype=np.int8))
    packed[650, 199] += 81
    with pytest.raises(
        InputError, match=r"^row 650 ends with the byte 202, whose trits beyond 999 are not all 0"
    ):
        unpack(packed, 999)
    packed[640, 2] = 250
    with pytest.raises(InputError, match=r"^row 640, byte 2 is 250; "):
        unpack(packed, 999)


@given(st.lists(st.integers(-1, 1), min_size=1, max_size=14))
def test_a_row_is_its_digits_written_in_base_3_first_trit_least_significant(trits: list[int]) -> None:
    """Written out with Python's integers, padding digits 1 included."""
    digits = [trit + 1 for trit in trits] + [1] * (-len(trits) % 5)
    expected = [sum(d * 3**i for i, d in enumerate(digits[at : at + 5])) for at in range(0, len(digits), 5)]
    assert pack(np.array([trits], dtype=np.int8)).tolist() == [expected]


def test_every_legal_byte_is_reached_once() -> None:
    codes = unpack(np.arange(243, dtype=np.uint8)[:, None], 5)
    assert len({tuple(row) for row in codes.tolist()}) == 243
    assert pack(codes).ravel().tolist() == list(range(243))


@pytest.mark.parametrize("byte", range(243, 256))
def test_an_illegal_byte_is_named_with_its_place(byte: int) -> None:
    packed = np.zeros((3, 4), dtype=np.uint8)
    packed[1, 2] = byte
    message = (
        f"row 1, byte 2 is {byte}; five base-3 digits reach 242: the file is damaged or not in this packing"
    )
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        unpack(packed, 20)


def test_padding_that_is_not_zero_is_refused() -> None:
    packed = np.array([[121], [121 + 81]], dtype=np.uint8)  # 121 is five zeros; 81 raises the fifth
    assert unpack(packed, 5)[1].tolist() == [0, 0, 0, 0, 1]
    message = (
        "row 1 ends with the byte 202, whose trits beyond 4 are not all 0: "
        "the file is damaged or not in this packing"
    )
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        unpack(packed, 4)


def test_a_row_of_another_length_is_refused() -> None:
    with pytest.raises(InputError, match=r"^a row has 2 bytes; 11 trits take 3$"):
        unpack(np.zeros((1, 2), dtype=np.uint8), 11)
