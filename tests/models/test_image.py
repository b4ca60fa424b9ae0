"""The weight image and the activation stream, byte by byte."""

import re
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from reference_image import image_beats

from tritforge.accel.beats import beat_words
from tritforge.accel.codes import TRITS, WORDS
from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.errors import InputError
from tritforge.accel.presets import PRESETS
from tritforge.models.image import (
    HEADER_BYTES,
    WeightImage,
    pack_image,
    unpack_image,
)

TINY = PRESETS["tiny"]
PACKINGS = tuple(WORDS)


def changed(**values: Any) -> AcceleratorConfig:
    return AcceleratorConfig.from_dict(values, base=TINY)


def refused(message: str) -> Any:
    """Expect an error of exactly this text."""
    return pytest.raises(InputError, match=f"^{re.escape(message)}$")


@st.composite
def any_config(draw: st.DrawFn) -> AcceleratorConfig:
    """Draw a small configuration; lanes need not be a power of two, and a tile may have several positions."""
    values: dict[str, Any] = {
        "lanes": draw(st.sampled_from([2, 4, 12, 16, 32])),
        "rows": draw(st.integers(1, 9)),
        "k_max": 64,
        "m_max": 64,
        "act_bits": draw(st.sampled_from([3, 8, 9, 16])),
        "act_port_bits": 16,
        "weight_port_bits": draw(st.sampled_from([16, 32, 64, 128, 256])),
        "result_port_bits": 32,
        "packing": draw(st.sampled_from(PACKINGS)),
        "negation": draw(st.sampled_from(["bias", "carry"])),
    }
    chains = [length for length in (2, 4, 8) if values["lanes"] % length == 0 and length < values["lanes"]]
    if draw(st.booleans()) and chains:
        skewed = {"datapath": "fused", "target": "ecp5", "negation": "carry"}
        values |= skewed | {"chain_length": draw(st.sampled_from(chains))}
    return AcceleratorConfig(**values)


configs = any_config()


def ternary(seed: int, m: int, k: int) -> npt.NDArray[np.int8]:
    return np.random.default_rng(seed).integers(-1, 2, (m, k)).astype(np.int8)


@given(configs, st.integers(1, 20), st.integers(1, 64), st.integers(0, 1 << 32))
def test_an_image_is_that_made_bit_by_bit_and_reads_back(
    config: AcceleratorConfig, m: int, k: int, seed: int
) -> None:
    codes = ternary(seed, m, k)
    image = pack_image(config, codes)
    expected = image_beats(config, codes)
    size = config.weight_port_bits // 8
    beats = [int.from_bytes(image[start : start + size], "little") for start in range(0, len(image), size)]
    assert beats == expected
    assert len(beats) == config.row_tiles(m) * (config.bias_beats + config.k_tiles(k) * config.tile_beats)
    np.testing.assert_array_equal(unpack_image(config, image, m, k), codes)


@pytest.mark.parametrize("packing", PACKINGS)
@pytest.mark.parametrize("port", [64, 128, 512])
@pytest.mark.parametrize("negation", ["bias", "carry"])
def test_a_large_image_is_packed_in_parts_and_reads_back(packing: str, port: int, negation: str) -> None:
    base = AcceleratorConfig(packing=packing, weight_port_bits=port, negation=negation)
    for config in (base, replace(base, datapath="fused", target="ecp5", negation="carry")):
        codes = ternary(port, 1283, 1999)
        image = pack_image(config, codes)
        np.testing.assert_array_equal(unpack_image(config, image, *codes.shape), codes)
        # The last row tile alone is the end of the whole.
        tail = pack_image(config, codes[1280:])
        assert image.endswith(tail)


@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.int64, np.float32])
def test_codes_of_any_type_and_order_give_the_same_image(dtype: type) -> None:
    codes = ternary(3, 8, 16)
    typed: npt.NDArray[Any] = codes.astype(dtype)
    wider: npt.NDArray[Any] = np.zeros((8, 20), dtype=dtype)
    wider[:, 2:18] = typed
    for same in (typed, np.asfortranarray(typed), wider[:, 2:18]):
        assert pack_image(TINY, same) == pack_image(TINY, codes)
    assert pack_image(TINY, codes[::-1]) == pack_image(TINY, codes[::-1].copy())


def test_an_image_is_worked_out_by_hand() -> None:
    """Two rows of two lanes on a port of 16 bits: two biases, then a beat for each of two tiles."""
    config = AcceleratorConfig(
        lanes=2, rows=2, k_max=4, m_max=2, weight_port_bits=16, act_port_bits=8, result_port_bits=32
    )
    image = pack_image(config, np.array([[1, -1, -1], [0, 1, 0]], dtype=np.int8))
    # Lane by lane within a row, lowest bits first: +1 is 01, -1 is 11; the fourth lane is beyond the matrix.
    first, second = 0b01_00_11_01, 0b00_00_00_11
    assert image == bytes([2, 0, 0, 0, first, 0, second, 0])


def test_the_longest_row_of_minus_ones_fits_its_bias_word() -> None:
    config = AcceleratorConfig(k_max=32768, lanes=1024, rows=1, weight_port_bits=16)
    image = pack_image(config, np.full((1, 32768), -1, dtype=np.int8))
    assert int.from_bytes(image[:2], "little") == 32768


def one_tile(config: AcceleratorConfig) -> tuple[AcceleratorConfig, int, int]:
    """A configuration of one tile of 4 x 64 on a port of 64 bits."""
    return replace(config, lanes=64, rows=4, k_max=128, weight_port_bits=64), 4, 64


ILLEGAL = {
    packing: sorted(set(range(1 << bits)) - set(TRITS[packing])) for packing, (_, bits) in WORDS.items()
}


@pytest.mark.parametrize("packing", PACKINGS)
@pytest.mark.parametrize("tile", [0, 1, 2, 3])
def test_an_illegal_word_is_named_with_its_place(packing: str, tile: int) -> None:
    """Whole words and striped ones, every illegal word in turn."""
    config, m, k = one_tile(changed(packing=packing))
    count, bits = WORDS[packing]
    size = 8
    image = bytearray(pack_image(config, np.zeros((2 * m, 2 * k), dtype=np.int8)))
    row_tile, column_tile = divmod(tile, 2)
    start = row_tile * len(image) // 2 + size * (config.bias_beats + column_tile * config.tile_beats)
    words = -(-m * k // count)
    for word in range(words):
        damaged = bytearray(image)
        value = ILLEGAL[packing][word % len(ILLEGAL[packing])]
        (beat,) = [
            beat
            for beat in range(config.tile_beats)
            if word in beat_words(config, beat).whole or word in beat_words(config, beat).striped
        ]
        here = beat_words(config, beat)
        if word in here.whole:
            spots = [(beat, bits * (word - here.whole.start) + bit) for bit in range(bits)]
        else:
            spots = [(beat - 4 + bit, 60 + word - here.striped.start) for bit in range(bits)]
        for bit, (at, place) in enumerate(spots):
            damaged[start + size * at + place // 8] |= (value >> bit & 1) << place % 8
        row, column = divmod(word * count, k)
        with refused(
            f"the word of the weight at row {row_tile * m + row}, column {column_tile * k + column} is illegal in "
            f"packing {packing}: the image is damaged"
        ):
            unpack_image(config, bytes(damaged), 2 * m, 2 * k)


def test_a_wrong_bias_is_named_with_its_row() -> None:
    image = bytearray(pack_image(TINY, ternary(5, 9, 20)))
    codes = ternary(5, 9, 20)
    image[2] += 1
    count = int((codes[1] == -1).sum())
    with refused(f"the bias of row 1 is {count + 1}; the row has {count} weights of -1"):
        unpack_image(TINY, bytes(image), 9, 20)


def test_weights_beyond_the_matrix_are_refused() -> None:
    image = pack_image(TINY, np.ones((4, 8), dtype=np.int8))
    with refused("weight 1 at row 0, column 7 lies beyond the matrix of 4 x 7; 0 is needed there"):
        unpack_image(TINY, image, 4, 7)
    with refused("weight 1 at row 3, column 0 lies beyond the matrix of 3 x 8; 0 is needed there"):
        unpack_image(TINY, image, 3, 8)


@pytest.mark.parametrize(("packing", "byte", "value"), [("i2", 9, 1), ("s5", 7, 0x10), ("s8", 10, 1)])
def test_what_follows_a_tile_is_zero(packing: str, byte: int, value: int) -> None:
    """The byte behind 36 trits of two bits, the four bits behind 12 words of five, the byte behind 10 words."""
    rows = 4 if packing == "s8" else 3
    config = changed(lanes=12, rows=rows, k_max=72, packing=packing, negation="carry", weight_port_bits=64)
    image = bytearray(pack_image(config, np.zeros((2 * rows, 24), dtype=np.int8)))
    image[3 * len(image) // 4 + byte] |= value
    with refused(
        f"the tile at row {rows}, column 12 is followed by words other than 0: the image is damaged"
    ):
        unpack_image(config, bytes(image), 2 * rows, 24)


@pytest.mark.parametrize("length", [0, 47, 49])
def test_an_image_of_another_length_is_refused(length: int) -> None:
    with refused(f"{length} bytes of beats; a matrix of 8 x 16 takes 48"):
        unpack_image(TINY, bytes(length), 8, 16)


# The file


@given(configs, st.integers(1, 20), st.integers(1, 64), st.integers(0, 1 << 32))
def test_a_file_tells_what_it_holds(config: AcceleratorConfig, m: int, k: int, seed: int) -> None:
    codes = ternary(seed, m, k)
    image = WeightImage.pack(config, codes)
    assert image.beats == pack_image(config, codes)
    data = image.to_bytes()
    assert data[HEADER_BYTES:] == image.beats
    again = WeightImage.from_bytes(data)
    assert again == image
    assert (again.m, again.k, again.packing, again.positions) == (m, k, config.packing, config.positions)
    np.testing.assert_array_equal(again.unpack(config), codes)


def test_the_header_is_worked_out_by_hand() -> None:
    config = changed(packing="s8", negation="carry")
    data = WeightImage.pack(config, np.zeros((5, 9), dtype=np.int8)).to_bytes()
    assert HEADER_BYTES == 64
    assert data[:8] == b"tritimg\n"
    assert data[8:12] == bytes([1, 0, 2, 1])  # version, s8, carry
    numbers = np.frombuffer(data[12:36], dtype="<u4").tolist()
    assert numbers == [4, 8, 1, 32, 5, 9]  # rows, lanes, positions, port, M, K
    assert int.from_bytes(data[36:44], "little") == len(data) - 64 == 2 * 2 * 2 * 4
    assert data[44:60] == bytes(16)


@given(st.integers(0, 10_000), st.integers(0, 7))
def test_no_bit_of_a_file_changes_unseen(position: int, bit: int) -> None:
    data = bytearray(WeightImage.pack(TINY, ternary(9, 12, 33)).to_bytes())
    data[position % len(data)] ^= 1 << bit
    with pytest.raises(InputError, match=r"^(no weight image|the weight image has)"):
        WeightImage.from_bytes(bytes(data))


def test_what_is_no_image_is_refused() -> None:
    data = WeightImage.pack(TINY, ternary(9, 4, 8)).to_bytes()
    with refused("63 bytes are no weight image; its header alone takes 64"):
        WeightImage.from_bytes(data[:63])
    with refused("no weight image: it begins with b'GGUF\\x03\\x00\\x00\\x00'; b'tritimg\\n' is needed"):
        WeightImage.from_bytes(b"GGUF\x03\0\0\0" + data[8:])
    with refused("the weight image has layout version 2; this version of the program reads 1"):
        WeightImage.from_bytes(data[:8] + b"\x02" + data[9:])
    with refused("the weight image has 15 bytes of beats and its header says 16: it is damaged"):
        WeightImage.from_bytes(data[:-1])
    damaged = WeightImage.pack(TINY, -ternary(9, 4, 8)).beats
    with pytest.raises(InputError, match=r"^the weight image has CRC-32 [0-9a-f]{8} and its header says "):
        WeightImage.from_bytes(data[:64] + damaged)


@pytest.mark.parametrize(
    ("name", "value"),
    [("rows", 2), ("lanes", 16), ("packing", "s5"), ("negation", "carry"), ("weight_port_bits", 64)],
)
def test_an_image_for_another_layout_is_refused(name: str, value: int | str) -> None:
    image = WeightImage.pack(changed(**{name: value}), ternary(9, 4, 8))
    with refused(
        f"the weight image has {name} {value} and the configuration {getattr(TINY, name)}; pack the weights again"
    ):
        image.unpack(TINY)


def test_an_image_in_another_order_is_refused() -> None:
    config = changed(datapath="fused", target="ecp5", negation="carry", chain_length=4)
    image = WeightImage.pack(config, ternary(9, 4, 8))
    with refused("the weight image has positions 4 and the configuration 2; pack the weights again"):
        image.check(replace(config, chain_length=2))


@pytest.mark.parametrize("value", [2, -2, 127, -128])
def test_a_weight_that_is_not_ternary_is_named_with_its_place(value: int) -> None:
    codes = np.zeros((5, 6), dtype=np.int8)
    codes[3, 4] = value
    codes[4, 0] = value
    with refused(f"weight {value} at row 3, column 4 is not ternary; -1, 0 or +1 is needed"):
        pack_image(TINY, codes)
    with refused(f"weight {value} at row 3, column 4 is not ternary; -1, 0 or +1 is needed"):
        pack_image(TINY, codes.astype(np.int32))


@pytest.mark.parametrize("value", [0.5, -0.25, np.nan])
def test_a_fraction_is_no_trit(value: float) -> None:
    codes = np.zeros((5, 6), dtype=np.float32)
    codes[3, 4] = value
    with refused(f"weight {value} at row 3, column 4 is not ternary; -1, 0 or +1 is needed"):
        pack_image(TINY, codes)  # type: ignore[arg-type]


def test_a_weight_far_down_is_named_with_its_place() -> None:
    codes = np.zeros((2000, 2000), dtype=np.int8)
    codes[1999, 3] = -5
    with refused("weight -5 at row 1999, column 3 is not ternary; -1, 0 or +1 is needed"):
        pack_image(AcceleratorConfig(), codes)


def test_shapes_out_of_bounds_are_refused() -> None:
    with refused("weights have 1 dimensions; a matrix of 2 is needed"):
        pack_image(TINY, np.zeros(3, dtype=np.int8))
    for shape, message in (
        ((257, 1), "M is 257; this configuration runs 1 to 256"),
        ((0, 1), "M is 0; this configuration runs 1 to 256"),
        ((1, 65), "K is 65; this configuration runs 1 to 64"),
        ((1, 0), "K is 0; this configuration runs 1 to 64"),
    ):
        with refused(message):
            pack_image(TINY, np.zeros(shape, dtype=np.int8))
