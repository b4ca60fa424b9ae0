"""Configurations by name, and those that a file describes."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.errors import InputError

#: Configurations by name.
PRESETS: dict[str, AcceleratorConfig] = {
    "default": AcceleratorConfig(),
    "tiny": AcceleratorConfig(
        lanes=8,
        rows=4,
        tokens_max=4,
        k_max=64,
        m_max=256,
        weight_port_bits=32,
        act_port_bits=32,
        result_port_bits=64,
    ),
    "decode": AcceleratorConfig(tokens_max=1, weight_port_bits=1024, k_max=8192),
    "wide": AcceleratorConfig(lanes=256, rows=16, weight_port_bits=1024, act_port_bits=128),
    "ecp5": AcceleratorConfig(datapath="fused", target="ecp5", negation="carry"),
    # For an LFE5U-85F. A tile takes 12 beats, no fewer than positions, so no trit waits in a register of its own, and
    # no more than tokens. With 256 lanes the wires ran out.
    "ecp5-3072": AcceleratorConfig(
        lanes=192,
        rows=16,
        weight_port_bits=512,
        act_port_bits=128,
        datapath="fused",
        target="ecp5",
        negation="carry",
    ),
    "ulx3s": AcceleratorConfig(
        datapath="fused",
        target="ecp5",
        negation="carry",
        k_max=2048,
        weight_store="bram",
        weight_store_bytes=1 << 16,
    ),
    "icebreaker": AcceleratorConfig(
        lanes=4,
        rows=1,
        tokens_max=1,
        k_max=1024,
        m_max=1024,
        weight_port_bits=32,
        act_port_bits=32,
        result_port_bits=32,
        negation="carry",
        levels_per_register=4,
        weight_store="bram",
        weight_store_bytes=1 << 15,
    ),
}


def load_config(name_or_file: str, overrides: Mapping[str, Any] | None = None) -> AcceleratorConfig:
    """Return a preset, or the configuration of a TOML file, with parameters replaced.

    Parameters
    ----------
    name_or_file
        A name of `PRESETS` or the path of a TOML file of parameters; its key ``preset`` names what the others are
        taken from.
    overrides
        Parameters that replace those.

    Raises
    ------
    InputError
        No such preset or file, not TOML, an unknown parameter or one out of bounds.
    """
    if name_or_file in PRESETS:
        config = PRESETS[name_or_file]
    else:
        path = Path(name_or_file)
        try:
            values = tomllib.loads(path.read_text())
        except OSError as error:
            raise InputError(
                f"no preset and no readable file {name_or_file!r}; the presets are {', '.join(PRESETS)}"
            ) from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise InputError(f"{path} is not TOML: {error}") from error
        preset = values.pop("preset", "default")
        if preset not in tuple(PRESETS):  # a list or a table in its place cannot be hashed
            raise InputError(f"{path} names preset {preset!r}; the presets are {', '.join(PRESETS)}")
        config = AcceleratorConfig.from_dict(values, base=PRESETS[preset])
    return AcceleratorConfig.from_dict(overrides or {}, base=config)
