"""Tiles to beats and back: every word in every place, against the layout made one bit at a time."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from reference_image import tile_beats

from tritforge.accel.codes import CODES, I2_CODES, TRITS, WORDS
from tritforge.accel.config import AcceleratorConfig
from tritforge.models.packing import ILLEGAL, pack_tiles, to_bytes, unpack_tiles

PACKINGS = tuple(WORDS)


def configured(**values: Any) -> AcceleratorConfig:
    return AcceleratorConfig(act_port_bits=16, **values)


def test_four_trits_are_a_byte() -> None:
    trits = np.array([[0, 1, -1, 1, -1, -1, -1, -1]], dtype=np.int8)
    assert to_bytes(trits).tolist() == [[0b01_11_01_00, 0xFF]]


@given(st.lists(st.sampled_from([-1, 0, 1]), min_size=4, max_size=80))
def test_bytes_hold_the_codes_of_any_trits(trits: list[int]) -> None:
    trits = trits[: len(trits) // 4 * 4]
    value = int.from_bytes(to_bytes(np.array([trits], dtype=np.int8)).tobytes(), "little")
    assert [value >> 2 * index & 3 for index in range(len(trits))] == [I2_CODES[trit] for trit in trits]


@pytest.mark.parametrize("packing", PACKINGS)
@pytest.mark.parametrize("port", [16, 32, 64, 128, 256, 512])
def test_every_word_is_packed_in_every_place(packing: str, port: int) -> None:
    """Tiles of one word over and over, one tile for each word."""
    config = configured(lanes=16, rows=15, weight_port_bits=port, packing=packing)
    count = WORDS[packing][0]
    every = np.array(list(CODES[packing]), dtype=np.int8)
    tiles = np.tile(every, (1, 240 // count))
    packed = pack_tiles(config, to_bytes(tiles))
    assert packed.shape == (len(every), config.tile_beats * port // 8)
    for tile, data in zip(tiles.tolist(), packed, strict=True):
        assert data.tobytes() == b"".join(
            beat.to_bytes(port // 8, "little") for beat in tile_beats(config, tile)
        )
    np.testing.assert_array_equal(unpack_tiles(config, packed)[:, :240], tiles)


@pytest.mark.parametrize("packing", PACKINGS)
def test_every_word_in_memory_is_read_as_its_trits_or_as_illegal(packing: str) -> None:
    """One word a tile: the first of a beat."""
    count, bits = WORDS[packing]
    config = configured(lanes=2, rows=count, weight_port_bits=16, packing=packing)
    assert config.tile_beats == 1
    words = np.arange(1 << bits, dtype="<u2")
    trits = unpack_tiles(config, words.view(np.uint8).reshape(-1, 2))[:, :count]
    for word, read in enumerate(trits.tolist()):
        assert tuple(read) == TRITS[packing].get(word, (ILLEGAL,) * count)
