"""What an accelerator looks like: one object from which hardware, golden widths and cycles follow."""

import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from tritforge.accel.codes import BIAS_WORD_BITS, BITS_PER_TRIT, RESULT_WORD_BITS
from tritforge.accel.errors import InputError

DATAPATHS = ("tree",)
PACKINGS = tuple(BITS_PER_TRIT)
NEGATIONS = ("bias",)


def _ceil_div(a: int, b: int) -> int:
    return -(-a // b)


def _signed_bits(low: int, high: int) -> int:
    """Width of a two's complement number that holds every value from low to high."""
    return max((-low - 1).bit_length(), high.bit_length()) + 1


@dataclass(frozen=True, kw_only=True)
class AcceleratorConfig:
    """Parameters of one accelerator.

    Attributes
    ----------
    lanes
        Inputs N that one row multiplies and adds in a cycle.
    rows
        Output rows R that work side by side.
    tokens_max
        Largest number of tokens T that share one pass over the weights.
    k_max, m_max
        Largest inner dimension and largest number of output rows of a job.
    act_bits
        Width of an activation, two's complement.
    weight_port_bits, act_port_bits, result_port_bits
        Widths of the three streams.
    datapath
        ``tree``: an adder tree with a register after every adder.
    packing
        ``i2``: two bits a trit.
    negation
        ``bias``: a lane that needs ``-x`` passes ``~x``; the missing ones arrive as a row's bias.

    Raises
    ------
    InputError
        A parameter out of its bounds; the message names the value and the bound.

    Notes
    -----
    Widths come from exact intervals: a lane holds ``-2**(act_bits-1) .. 2**(act_bits-1) - 1`` whether it
    passes ``x`` or ``~x``, so n lanes need ``act_bits + ceil(log2(n))`` bits, and the whole sum over K inputs lies
    within ``+-2**(act_bits-1) * K``.
    """

    lanes: int = 64
    rows: int = 8
    tokens_max: int = 16
    k_max: int = 8192
    m_max: int = 65536
    act_bits: int = 8
    weight_port_bits: int = 128
    act_port_bits: int = 64
    result_port_bits: int = 64
    datapath: str = "tree"
    packing: str = "i2"
    negation: str = "bias"

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.type is int and (isinstance(value, bool) or not isinstance(value, int)):
                raise InputError(f"{field.name} is {value!r}; a whole number is needed")
        for name, low, high in (
            ("lanes", 2, 1024),
            ("rows", 1, 256),
            ("tokens_max", 1, 256),
            ("k_max", 1, 32768),
            ("m_max", 1, 1 << 20),
            ("act_bits", 2, 16),
        ):
            value = getattr(self, name)
            if not low <= value <= high:
                raise InputError(f"{name} is {value}; it must lie in {low} to {high}")
        for name, low, high in (
            ("weight_port_bits", BIAS_WORD_BITS, 4096),
            ("act_port_bits", 8, 4096),
            ("result_port_bits", RESULT_WORD_BITS, 1024),
        ):
            value = getattr(self, name)
            if not low <= value <= high or value & (value - 1):
                raise InputError(f"{name} is {value}; it must be a power of two in {low} to {high}")
        for name, choices in (("datapath", DATAPATHS), ("packing", PACKINGS), ("negation", NEGATIONS)):
            value = getattr(self, name)
            if value not in choices:
                raise InputError(f"{name} is {value!r}; it must be one of {', '.join(choices)}")
        if self.act_port_bits < self.act_container_bits:
            raise InputError(
                f"act_port_bits is {self.act_port_bits}; an activation of {self.act_bits} bits "
                f"needs at least {self.act_container_bits}"
            )
        if self.lanes % self.acts_per_beat:
            raise InputError(
                f"lanes is {self.lanes}; it must be a multiple of the {self.acts_per_beat} activations of a beat"
            )

    # Widths

    @property
    def act_container_bits(self) -> int:
        """Bits of an activation in the stream: whole bytes."""
        return 8 * _ceil_div(self.act_bits, 8)

    @property
    def dot_bits(self) -> int:
        """Width of a tile's dot product."""
        limit = self.lanes << (self.act_bits - 1)
        return _signed_bits(-limit, limit - self.lanes)

    @property
    def acc_bits(self) -> int:
        """Width of an accumulator: exact for every job within `k_max`."""
        limit = self.k_max << (self.act_bits - 1)
        return _signed_bits(-limit, limit)

    @property
    def bias_bits(self) -> int:
        """Width of a row's bias, the number of its -1 weights."""
        return self.k_max.bit_length()

    # Streams

    @property
    def acts_per_beat(self) -> int:
        return self.act_port_bits // self.act_container_bits

    @property
    def results_per_beat(self) -> int:
        return self.result_port_bits // RESULT_WORD_BITS

    @property
    def beats_per_word(self) -> int:
        """Activation beats that fill the lanes once."""
        return self.lanes // self.acts_per_beat

    @property
    def tile_bits(self) -> int:
        """Bits of one packed tile of ``rows x lanes`` trits."""
        return self.rows * self.lanes * 2

    @property
    def tile_beats(self) -> int:
        """Weight beats of a tile, row biases apart."""
        return _ceil_div(self.tile_bits, self.weight_port_bits)

    @property
    def bias_beats(self) -> int:
        """Weight beats of the biases that come before a row tile's first tile."""
        return _ceil_div(self.rows * BIAS_WORD_BITS, self.weight_port_bits)

    # Buffers and pipeline

    @property
    def buffer_words(self) -> int:
        """Depth of the activation buffer, a power of two over 1; one word feeds all lanes once."""
        return 1 << max(1, (self.tokens_max * _ceil_div(self.k_max, self.lanes) - 1).bit_length())

    @property
    def result_entries(self) -> int:
        """Depth of the result queue; an entry holds one token of a row tile."""
        return 1 << max(3, (2 * self.tokens_max - 1).bit_length())

    @property
    def tree_levels(self) -> int:
        """Levels of adders of the tree, one cycle each."""
        return (self.lanes - 1).bit_length()

    @property
    def latency(self) -> int:
        """Cycles from the issue of a token's word to its sum: activation register, tree, accumulator."""
        return 1 + self.tree_levels + 1

    # Jobs

    def check_job(self, m: int, k: int, tokens: int) -> None:
        """Refuse a job that the accelerator cannot run.

        Raises
        ------
        InputError
            A dimension outside its bounds.
        """
        for name, value, high in (
            ("M", m, self.m_max),
            ("K", k, self.k_max),
            ("tokens", tokens, self.tokens_max),
        ):
            if not 1 <= value <= high:
                raise InputError(f"{name} is {value}; this configuration runs 1 to {high}")

    def row_tiles(self, m: int) -> int:
        """Row tiles of M output rows."""
        return _ceil_div(m, self.rows)

    def k_tiles(self, k: int) -> int:
        """Tiles along K inputs."""
        return _ceil_div(k, self.lanes)

    def to_dict(self) -> dict[str, Any]:
        """Return the parameters by name."""
        return asdict(self)

    @classmethod
    def from_dict(
        cls, values: Mapping[str, Any], *, base: "AcceleratorConfig | None" = None
    ) -> "AcceleratorConfig":
        """Build from parameters by name, the others taken from `base` or the defaults.

        Raises
        ------
        InputError
            An unknown parameter or one out of bounds.
        """
        known = [field.name for field in fields(cls)]
        for name in values:
            if name not in known:
                raise InputError(f"unknown parameter {name!r}; the parameters are {', '.join(known)}")
        return replace(base or cls(), **values)


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
