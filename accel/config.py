"""What an accelerator looks like: one object from which hardware, golden widths and cycles follow."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from tritforge.accel.codes import BIAS_WORD_BITS, RESULT_WORD_BITS, TRIT_BITS, WORDS
from tritforge.accel.errors import InputError
from tritforge.accel.parameters import check_choice, check_flag, check_names, is_power_of_two, is_whole

DATAPATHS = ("tree", "fused")
TARGETS = ("generic", "ecp5", "xilinx")
PACKINGS = tuple(WORDS)
NEGATIONS = ("bias", "carry")
WEIGHT_STORES = ("stream", "bram")
#: Longest burst of a column.
COLUMN_BEATS_MAX = 16


#: Bounds of the whole numbers, those of the second table powers of two.
_RANGES = {
    "lanes": (2, 1024),
    "rows": (1, 256),
    "tokens_max": (1, 256),
    "k_max": (1, 32768),
    "m_max": (1, 1 << 20),
    "act_bits": (2, 16),
    "chain_length": (2, 64),
    "adders_per_chain": (1, 16),
    "tree_arity": (2, 4),
    "levels_per_register": (1, 4),
}
_POWERS = {
    "weight_port_bits": (BIAS_WORD_BITS, 4096),
    "act_port_bits": (8, 4096),
    "result_port_bits": (RESULT_WORD_BITS, 1024),
    "weight_store_bytes": (1 << 10, 1 << 24),
}
_CHOICES = {
    "datapath": DATAPATHS,
    "packing": PACKINGS,
    "negation": NEGATIONS,
    "target": TARGETS,
    "weight_store": WEIGHT_STORES,
}


def _check_value(name: str, kind: Any, value: Any) -> None:
    """Refuse a parameter of a wrong type or out of its own bounds."""
    if kind is int and not is_whole(value):
        raise InputError(f"{name} is {value!r}; a whole number is needed")
    if kind is bool:
        check_flag(name, value)
    if name in _RANGES:
        low, high = _RANGES[name]
        if not low <= value <= high:
            raise InputError(f"{name} is {value}; it must lie in {low} to {high}")
    if name in _POWERS:
        low, high = _POWERS[name]
        if not low <= value <= high or not is_power_of_two(value):
            raise InputError(f"{name} is {value}; it must be a power of two in {low} to {high}")
    if name in _CHOICES:
        check_choice(name, value, _CHOICES[name])


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
        ``tree``: an adder tree for any target. ``fused``: mask, complement and add in one logic cell a bit, for
        the cells of `target`.
    target
        ``generic``, or the FPGA family whose cells ``fused`` instantiates: ``ecp5``, ``xilinx``.
    packing
        ``i2``: two bits a trit. ``s5``: three trits in five bits. ``s8``: five trits in eight bits. See
        `tritforge.accel.codes`.
    negation
        A lane that needs ``-x`` passes ``~x``. ``bias``: the missing ones of a row arrive with its weights, as one
        number. ``carry``: they enter as carry-ins of the adders.
    chain_length
        Lanes that a chain of ``fused`` adders sums one behind the other; a tree joins the chains.
    adders_per_chain
        Adders of ``fused`` that share one carry chain of the FPGA.
    tree_arity
        Operands of an adder of ``tree``.
    levels_per_register
        Levels of adders of ``tree`` between two registers.
    partial_sums
        Whether a job may add its sums to partial sums that it is given, for K over `k_max`.
    sparse
        Whether a job of one token may read the columns of its non-zero activations only.
    column_beats
        Weight beats that lie side by side in a column of the column image, for `sparse`: the length of a burst. 0
        stands for as many as make 64 bytes.
    weight_store
        Where a top takes the weights from. ``stream``: a stream or a memory outside. ``bram``: a memory on the chip
        that the host fills; the core itself takes a stream in either case.
    weight_store_bytes
        Size of that memory; a matrix that is larger runs in pieces.

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
    target: str = "generic"
    chain_length: int = 8
    adders_per_chain: int = 2
    tree_arity: int = 2
    levels_per_register: int = 1
    partial_sums: bool = False
    sparse: bool = False
    column_beats: int = 0
    weight_store: str = "stream"
    weight_store_bytes: int = 65536

    def __post_init__(self) -> None:
        for field in fields(self):
            _check_value(field.name, field.type, getattr(self, field.name))
        if self.act_port_bits < self.act_container_bits:
            raise InputError(
                f"act_port_bits is {self.act_port_bits}; an activation of {self.act_bits} bits "
                f"needs at least {self.act_container_bits}"
            )
        if self.lanes % self.acts_per_beat:
            raise InputError(
                f"lanes is {self.lanes}; it must be a multiple of the {self.acts_per_beat} activations of a beat"
            )
        if self.column_beats & (self.column_beats - 1) or not 0 <= self.column_beats <= COLUMN_BEATS_MAX:
            raise InputError(
                f"column_beats is {self.column_beats}; it must be 0 or a power of two up to {COLUMN_BEATS_MAX}"
            )
        if self.datapath == "fused":
            self._check_fused()

    def _check_fused(self) -> None:
        if self.target == "generic":
            raise InputError("target is 'generic'; datapath 'fused' needs ecp5 or xilinx")
        if self.negation != "carry":
            raise InputError(
                f"negation is {self.negation!r}; datapath 'fused' has its carry-ins free: use carry"
            )
        if self.lanes % self.positions:
            raise InputError(
                f"lanes is {self.lanes}; it must be a multiple of the {self.positions} lanes of a chain"
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
        """Bits of one decoded tile of ``rows x lanes`` trits."""
        return self.rows * self.lanes * TRIT_BITS

    @property
    def words_per_beat(self) -> int:
        """Packed words that lie whole in one weight beat."""
        return self.weight_port_bits // WORDS[self.packing][1]

    @property
    def block_beats(self) -> int:
        """Weight beats after which packed words end with a beat again: a word's bits, or 1 where nothing is left.

        The last bits of a beat that are too few for a word are words of their own, spread over a block.
        """
        word_bits = WORDS[self.packing][1]
        return word_bits if self.weight_port_bits % word_bits else 1

    @property
    def tile_beats(self) -> int:
        """Weight beats of a tile, row biases apart; a tile starts a block."""
        trits, word_bits = WORDS[self.packing]
        words = _ceil_div(self.rows * self.lanes, trits)
        blocks, rest = divmod(words, self.block_beats * self.weight_port_bits // word_bits)
        return self.block_beats * blocks + min(self.block_beats, _ceil_div(rest, self.words_per_beat))

    @property
    def bias_beats(self) -> int:
        """Weight beats of the biases that come before a row tile's first tile."""
        if self.negation != "bias":
            return 0
        return _ceil_div(self.rows * BIAS_WORD_BITS, self.weight_port_bits)

    # Columns of a sparse job

    @property
    def column_phases(self) -> int:
        """Weight beats of a column: `column_beats`, or what makes 64 bytes."""
        return self.column_beats or min(COLUMN_BEATS_MAX, max(1, 512 // self.weight_port_bits))

    @property
    def column_chunk(self) -> int:
        """Rows whose sums leave the column lanes at once: the most that divide `rows` and idle few lanes."""
        trits = self.words_per_beat * WORDS[self.packing][0]
        return max(
            size
            for size in range(1, self.rows + 1)
            if self.rows % size == 0 and (size == 1 or 20 * (trits % size) <= trits)
        )

    @property
    def column_lanes(self) -> int:
        """Rows of a column that one beat holds."""
        trits = self.words_per_beat * WORDS[self.packing][0]
        return trits - trits % self.column_chunk

    @property
    def column_rows(self) -> int:
        """Rows of a column, which is a block of the column image."""
        return self.column_lanes * self.column_phases

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
    def positions(self) -> int:
        """Steps in which a tile's lanes enter the datapath, a cycle apart: the length of a chain, or 1.

        Lane ``l`` is in chain ``l % (lanes / positions)`` at position ``l // (lanes / positions)``.
        """
        return self.chain_length if (self.datapath, self.target) == ("fused", "ecp5") else 1

    @property
    def tree_levels(self) -> int:
        """Levels of adders that join the chains, the pairs of ``fused`` for Xilinx, or the lanes themselves."""
        arity, levels, operands = self.tree_arity, 0, self.lanes // self.positions
        if self.datapath == "fused":
            arity = 3 if self.target == "xilinx" else 2
            operands = _ceil_div(self.lanes, 2) if self.target == "xilinx" else operands
        while operands > 1:
            operands = _ceil_div(operands, arity)
            levels += 1
        return levels

    @property
    def datapath_latency(self) -> int:
        """Cycles from a token's activations, those of position 0, to its dot product."""
        if self.datapath == "tree":
            return _ceil_div(self.tree_levels, self.levels_per_register)
        return self.positions + self.tree_levels

    @property
    def array_latency(self) -> int:
        """Cycles from a token's word to its sum: activation register, datapath, accumulator."""
        return 1 + self.datapath_latency + 1

    @property
    def latency(self) -> int:
        """Cycles from the issue of a token to its sum: two of the buffer, which it is read from, then the array."""
        return 2 + self.array_latency

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

    def k_slices(self, k: int) -> list[slice]:
        """Cut K inputs into what fits the buffer; more than one slice takes `partial_sums`."""
        length = self.k_max if self.partial_sums else max(k, 1)
        return [slice(start, min(start + length, k)) for start in range(0, max(k, 1), length)]

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
        check_names(cls, values)
        return replace(base or cls(), **values)
