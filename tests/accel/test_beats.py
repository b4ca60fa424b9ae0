"""Where words lie in the beats of a tile: every word once, in order, and no wait that is not needed."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tritforge.accel.beats import beat_words, striped_words, tile_words, waiting_cycles
from tritforge.accel.codes import WORDS
from tritforge.accel.config import AcceleratorConfig


def configured(**values: Any) -> AcceleratorConfig:
    return AcceleratorConfig(act_port_bits=16, **values)


configs = st.builds(
    configured,
    lanes=st.sampled_from([2, 4, 6, 12, 16, 64]),
    rows=st.integers(1, 40),
    weight_port_bits=st.sampled_from([16, 32, 64, 128, 256, 512]),
    packing=st.sampled_from(tuple(WORDS)),
)


@given(configs)
def test_every_word_is_complete_with_one_beat_and_in_order(config: AcceleratorConfig) -> None:
    words: list[int] = []
    trits: list[int] = []
    for beat in range(config.tile_beats):
        here = beat_words(config, beat)
        words += [*here.whole, *here.striped]
        trits += here.trits(config)
        assert len(here.whole) <= config.words_per_beat
        assert len(here.striped) <= striped_words(config)
        # A beat without a word would be wasted.
        assert here.whole
    assert words == list(range(tile_words(config)))
    assert trits == list(range(config.rows * config.lanes))


@given(configs)
def test_striped_words_end_whole_blocks_only(config: AcceleratorConfig) -> None:
    for beat in range(config.tile_beats):
        here = beat_words(config, beat)
        if here.striped:
            assert (config.packing, beat % 5) == ("s5", 4)
            assert len(here.whole) == config.words_per_beat


@given(configs)
def test_tiles_of_whole_blocks_waste_no_bit(config: AcceleratorConfig) -> None:
    count, bits = WORDS[config.packing]
    used = tile_words(config) * bits
    room = config.tile_beats * config.weight_port_bits
    assert used <= room
    if (config.rows * config.lanes) % count == 0 and used % (
        config.block_beats * config.weight_port_bits
    ) == 0:
        assert used == room
    # One beat less would not do.
    blocks, rest = divmod(config.tile_beats - 1, config.block_beats)
    fewer = blocks * config.block_beats * config.weight_port_bits // bits + rest * config.words_per_beat
    assert fewer < tile_words(config)


@pytest.mark.parametrize(("port", "stripes"), [(16, 1), (32, 2), (64, 4), (128, 3), (256, 1), (512, 2)])
def test_stripes_are_the_bits_that_remain(port: int, stripes: int) -> None:
    assert striped_words(configured(weight_port_bits=port, packing="s5")) == stripes
    for packing in ("i2", "s8"):
        assert striped_words(configured(weight_port_bits=port, packing=packing)) == 0


@given(
    st.sampled_from(tuple(WORDS)),
    st.sampled_from([16, 64, 128, 512]),
    st.integers(1, 12),
    st.sampled_from([2, 4, 8, 16]),
)
def test_trits_wait_just_as_long_as_the_next_tile_would_overtake_them(
    packing: str, port: int, rows: int, positions: int
) -> None:
    """Position p is taken p cycles after the hand-over, when beat b of the next tile has come for each b under p."""
    config = configured(
        lanes=32,
        rows=rows,
        packing=packing,
        weight_port_bits=port,
        datapath="fused",
        target="ecp5",
        negation="carry",
        chain_length=positions,
    )

    per_position = rows * 32 // positions
    for position in range(positions):
        trits = range(position * per_position, (position + 1) * per_position)
        beats = [
            beat
            for beat in range(config.tile_beats)
            if set(trits) & set(beat_words(config, beat).trits(config))
        ]
        assert waiting_cycles(config, position) == max(0, *(position - beat for beat in beats))
