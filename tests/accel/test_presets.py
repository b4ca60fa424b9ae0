"""Presets and TOML files of configurations."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tritforge.accel.beats import waiting_cycles
from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.errors import InputError
from tritforge.accel.presets import PRESETS, load_config

NAMES = (
    "lanes, rows, tokens_max, k_max, m_max, act_bits, weight_port_bits, act_port_bits, result_port_bits, "
    "datapath, packing, negation, target, chain_length, adders_per_chain, tree_arity, levels_per_register, "
    "partial_sums, sparse, column_beats, weight_store, weight_store_bytes"
)


def refused(message: str) -> Any:
    """Expect an error of exactly this text."""
    return pytest.raises(InputError, match=f"^{re.escape(message)}$")


def test_presets_are_valid_and_default_is_the_default() -> None:
    assert list(PRESETS) == ["default", "tiny", "decode", "wide", "ecp5", "ecp5-3072", "ulx3s", "icebreaker"]
    assert PRESETS["default"] == AcceleratorConfig() == load_config("default")
    for name, config in PRESETS.items():
        assert load_config(name) is not None
        assert AcceleratorConfig.from_dict(config.to_dict()) == config, name


def test_decode_takes_a_tile_a_beat() -> None:
    """At one token a pass the array waits for no weight beat but the biases."""
    assert PRESETS["decode"].tokens_max == PRESETS["decode"].tile_beats == 1


def test_the_largest_preset_for_ecp5_has_no_waiting_registers() -> None:
    """3,072 lanes beside 156 multipliers of the LFE5U-85F; a tile is there before its 16 tokens have passed."""
    config = PRESETS["ecp5-3072"]
    assert config.lanes * config.rows == 3072
    assert config.positions <= config.tile_beats == 12 <= config.tokens_max
    assert not any(waiting_cycles(config, position) for position in range(config.positions))
    assert config.buffer_words == 1024


def test_parameters_replace_those_of_a_preset() -> None:
    assert load_config("tiny", {"rows": 7}) == replace(PRESETS["tiny"], rows=7)
    with refused(f"unknown parameter 'row'; the parameters are {NAMES}"):
        load_config("tiny", {"row": 7})
    with refused("lanes is 10; it must be a multiple of the 4 activations of a beat"):
        load_config("tiny", {"lanes": 10})


def test_a_file_gives_parameters_over_a_preset(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('preset = "tiny"\nrows = 2\nm_max = 12\n')
    assert load_config(str(path)) == replace(PRESETS["tiny"], rows=2, m_max=12)
    assert load_config(str(path), {"rows": 3}) == replace(PRESETS["tiny"], rows=3, m_max=12)
    path.write_text("rows = 2\n")
    assert load_config(str(path)) == AcceleratorConfig(rows=2)


def test_a_bad_file_is_named(tmp_path: Path) -> None:
    known = "the presets are default, tiny, decode, wide, ecp5, ecp5-3072, ulx3s, icebreaker"
    with refused(f"no preset and no readable file 'huge'; {known}"):
        load_config("huge")
    with refused(f"no preset and no readable file {str(tmp_path)!r}; {known}"):
        load_config(str(tmp_path))
    path = tmp_path / "bad.toml"
    path.write_text("rows = \n")
    with pytest.raises(InputError, match=f"^{re.escape(str(path))} is not TOML: Invalid value .*line 1"):
        load_config(str(path))
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match=f"^{re.escape(str(path))} is not TOML: "):
        load_config(str(path))
    path.write_text('preset = "huge"\n')
    with refused(f"{path} names preset 'huge'; {known}"):
        load_config(str(path))
    path.write_text("lane = 2\n")
    with refused(f"unknown parameter 'lane'; the parameters are {NAMES}"):
        load_config(str(path))
    path.write_text("rows = 2.5\n")
    with refused("rows is 2.5; a whole number is needed"):
        load_config(str(path))


def test_a_preset_that_is_no_name_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bad.toml"
    path.write_text("preset = [1]\n")
    with refused(f"{path} names preset [1]; the presets are {', '.join(PRESETS)}"):
        load_config(str(path))
