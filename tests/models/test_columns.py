"""The column image: every packing there and back, where a column lies, and what a sparse job reads."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tritforge.accel.codes import CODES, WORDS
from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.errors import InputError
from tritforge.models.columns import (
    ColumnImage,
    column_bytes,
    column_traffic,
    image_bytes,
    pack_columns,
    row_blocks,
    unpack_columns,
)
from tritforge.models.image import WeightImage

configs = st.builds(
    AcceleratorConfig,
    sparse=st.just(True),
    packing=st.sampled_from(["i2", "s5", "s8"]),
    weight_port_bits=st.sampled_from([16, 32, 64, 128, 512]),
    column_beats=st.sampled_from([0, 1, 2, 8]),
    rows=st.sampled_from([1, 3, 4, 8]),
)


def matrix(seed: int, m: int, k: int) -> npt.NDArray[np.int8]:
    return np.random.default_rng(seed).integers(-1, 2, (m, k)).astype(np.int8)


@given(configs, st.integers(1, 700), st.integers(1, 20), st.integers(0, 2**32))
def test_a_matrix_comes_back_from_its_image(config: AcceleratorConfig, m: int, k: int, seed: int) -> None:
    codes = matrix(seed, m, k)
    image = pack_columns(config, codes)
    assert len(image) == image_bytes(config, m, k)
    np.testing.assert_array_equal(unpack_columns(config, image, m, k), codes)


@pytest.mark.parametrize("packing", ["i2", "s5", "s8"])
def test_a_column_lies_where_its_number_says(packing: str) -> None:
    """Beats of one column, word by word by the code table."""
    config = AcceleratorConfig(
        packing=packing, weight_port_bits=32, column_beats=2, rows=2, sparse=True, k_max=64
    )
    m, k, block, column = 2 * config.column_rows - 3, 7, 1, 4
    codes = matrix(1, m, k)
    image = pack_columns(config, codes)
    size = column_bytes(config)
    assert size == 8
    start = (block * k + column) * size
    rows = np.zeros(config.column_rows, dtype=int)
    rows[: m - config.column_rows] = codes[config.column_rows :, column]
    trits, bits = WORDS[packing]
    for beat in range(2):
        word = int.from_bytes(image[start + 4 * beat : start + 4 * beat + 4], "little")
        lanes = rows[beat * config.column_lanes : (beat + 1) * config.column_lanes]
        for index in range(0, len(lanes), trits):
            some = (*lanes[index : index + trits], *[0] * trits)[:trits]
            assert word & (1 << bits) - 1 == CODES[packing][tuple(int(trit) for trit in some)]
            word >>= bits
        assert word == 0


@pytest.mark.parametrize("port", [64, 128, 512])
@pytest.mark.parametrize(("packing", "overhead"), [("i2", 1.0), ("s8", 1.0), ("s5", 1.08)])
def test_down_proj_of_bitnet_2b_reads_little_more_than_its_trits(
    port: int, packing: str, overhead: float
) -> None:
    """2560 x 6912 in bursts of 64 bytes: exact blocks in i2 and s8, 9 blocks of 288 or 304 rows in s5."""
    config = AcceleratorConfig(packing=packing, weight_port_bits=port, sparse=True)
    assert column_bytes(config) == 64
    traffic = column_traffic(config, 2560, 6912, 1037)
    assert traffic.overhead == pytest.approx(overhead, rel=2e-4)
    assert traffic.overhead <= 1.10
    assert traffic.requests == row_blocks(config, 2560) * 1037
    assert traffic.bits == (traffic.requests + 1) * 512
    assert traffic.dense_bits / traffic.ideal_bits == pytest.approx(6912 / 1037)


def test_a_token_of_zeros_reads_one_column_of_each_block() -> None:
    config = AcceleratorConfig(sparse=True)
    traffic = column_traffic(config, 2560, 6912, 0)
    assert traffic.requests == 10
    assert traffic.overhead == float("inf")


@pytest.mark.parametrize(
    ("codes", "message"),
    [
        (np.zeros(4, dtype=np.int8), r"^weights have 1 dimensions; a matrix of 2 is needed$"),
        (np.full((4, 4), 2, dtype=np.int8), r"^weight 2 is not ternary; -1, 0 or \+1 is needed$"),
        (np.zeros((4, 9000), dtype=np.int8), r"^K is 9000; this configuration runs 1 to 8192$"),
    ],
    ids=["vector", "two", "K"],
)
def test_what_is_no_ternary_matrix_is_refused(codes: npt.NDArray[np.int8], message: str) -> None:
    with pytest.raises(InputError, match=message):
        pack_columns(AcceleratorConfig(sparse=True), codes)


def test_an_image_of_another_size_is_refused() -> None:
    config = AcceleratorConfig(sparse=True)
    image = pack_columns(config, matrix(2, 5, 5))
    with pytest.raises(InputError, match=r"^the column image has 320 bytes; 384 are needed for 5 x 6$"):
        unpack_columns(config, image, 5, 6)


@pytest.mark.parametrize(("packing", "byte"), [("i2", 0b10), ("s5", 0b11000), ("s8", 0b10001010)])
def test_an_illegal_word_is_refused_with_its_place(packing: str, byte: int) -> None:
    config = AcceleratorConfig(sparse=True, packing=packing)
    image = bytearray(pack_columns(config, np.zeros((500, 3), dtype=np.int8)))
    image[(1 * 3 + 2) * 64 + 16] = byte
    with pytest.raises(
        InputError, match=r"illegal word in beat 1 of column 2 of row block 1; pack the matrix again$"
    ):
        unpack_columns(config, bytes(image), 500, 3)


@pytest.mark.parametrize("nonzero", [-1, 8])
def test_more_columns_than_there_are_is_refused(nonzero: int) -> None:
    with pytest.raises(InputError, match=rf"^non-zero activations are {nonzero}; K = 7 allows 0 to 7$"):
        column_traffic(AcceleratorConfig(sparse=True), 8, 7, nonzero)


def test_an_image_with_its_header_comes_back_and_unpacks() -> None:
    config = AcceleratorConfig(sparse=True, packing="s5")
    codes = matrix(3, 300, 9)
    image = ColumnImage.pack(config, codes)
    data = image.to_bytes()
    assert len(data) == 64 + image_bytes(config, 300, 9)
    assert ColumnImage.from_bytes(data) == image
    np.testing.assert_array_equal(image.unpack(config), codes)


def test_a_damaged_image_or_one_of_another_kind_is_refused() -> None:
    config = AcceleratorConfig(sparse=True)
    data = bytearray(ColumnImage.pack(config, matrix(4, 9, 9)).to_bytes())
    data[100] ^= 1
    with pytest.raises(
        InputError, match=r"^the column image has CRC-32 [0-9a-f]{8} and its header says .*: it is"
    ):
        ColumnImage.from_bytes(bytes(data))
    with pytest.raises(
        InputError, match=r"^no column image: it begins with b'tritimg.n'; b'tritcol.n' is needed$"
    ):
        ColumnImage.from_bytes(WeightImage.pack(config, matrix(4, 9, 9)).to_bytes())


def test_an_image_of_another_layout_is_refused() -> None:
    image = ColumnImage.pack(AcceleratorConfig(sparse=True), matrix(5, 9, 9))
    with pytest.raises(
        InputError,
        match=r"^the column image has column_phases 4 and the configuration 2; pack the matrix again$",
    ):
        image.unpack(AcceleratorConfig(sparse=True, column_beats=2))
