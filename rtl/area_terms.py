"""What the LUTs and flip-flops of a core are for, counted from its structure: the terms of the area's model.

Each term is a number of things that cost alike: bits of adders, words that are decoded, cells of LUT RAM. Where
synthesis maps a thing to a cell of known size that is its cost, for the rest it is fitted (`tritforge.rtl.area_fit`).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from tritforge.accel.codes import BIAS_WORD_BITS, RESULT_WORD_BITS, TRIT_BITS, WORDS
from tritforge.rtl.area_shape import Flags, Ints, Shapes, bit_length, ceil_div

Terms = Mapping[str, Ints]

#: Bits of the parts of ECP5's memories, and what Yosys weighs them by when it chooses (``lutrams_trellis.txt``,
#: ``brams_16kd.txt``).
LUT_RAM_WIDTH, LUT_RAM_DEPTH, LUT_RAM_COST = 4, 16, 4
BLOCK_RAM_COST = 128
#: Depths of a block memory that has 9 bits a write enable, and the enables that it has then; depths of narrower ones,
#: and their bits.
_ENABLE_BITS = 9
_WIDE_BLOCKS = ((512, 4), (1024, 2), (2048, 1))
_NARROW_BLOCKS = ((4096, 4), (8192, 2), (16384, 1))
#: `tritforge.accel.datapath.COPIES`, which would bring Amaranth with it.
COPIES = 8


def _even(bits: Ints) -> Ints:
    """Return bits of carry chains as whole cells of two."""
    return 2 * ceil_div(bits, 2)


def lut_ram_cells(width: Ints, depth: Ints) -> Ints:
    """Return the LUT RAMs of 16 x 4 bits that a memory takes."""
    return np.asarray(ceil_div(width, LUT_RAM_WIDTH) * ceil_div(depth, LUT_RAM_DEPTH))


def block_rams(width: Ints, depth: Ints, chunk: Ints) -> Ints:
    """Return the block memories that a memory takes whose words are written in chunks of so many bits."""
    enables = width // chunk * ceil_div(chunk, _ENABLE_BITS)
    wide = [ceil_div(enables, size) * ceil_div(depth, words) for words, size in _WIDE_BLOCKS]
    narrow = [ceil_div(width, size) * ceil_div(depth, words) for words, size in _NARROW_BLOCKS]
    return np.asarray(np.minimum.reduce([*wide, *narrow]))


def bank_bits(width: Ints, depth: Ints) -> Ints:
    """Return the bits that are chosen between LUT RAMs one behind the other: each a choice of two."""
    return width * (ceil_div(depth, LUT_RAM_DEPTH) - 1)


class Structure:
    """Counts of a core's parts, by configuration.

    Parameters
    ----------
    shapes
        The configurations.
    """

    def __init__(self, shapes: Shapes) -> None:
        self.shapes = shapes
        zero = np.zeros(len(shapes), dtype=np.int64)
        #: Of a row's datapath: bits of carry chains, adders of `+`, and bits of adders of more than two operands.
        self.carry, self.adders, self.compressed = zero.copy(), zero.copy(), zero.copy()
        #: Flip-flops of a row's datapath.
        self.registers = zero.copy()
        self._count_tree()
        self._count_chains()

    def _count_tree(self) -> None:
        """Count a tree's adders, level by level, and the registers behind them.

        Yosys adds three operands in two chains, and one more for each row of full adders before them. Adders of two
        operands without a register or a carry-in between them it makes one of all their operands, which has a row of
        full adders for each operand over two.
        """
        s = self.shapes
        joined = s.bias & (s.tree_arity == 2)
        levels = np.where(joined, s.levels_per_register, 1)
        arity = s.tree_arity**levels
        # The carry-in of a sum of two is one more bit of it.
        carry_in = ~s.bias & (s.tree_arity == 2)
        terms, span, level = s.lanes.copy(), np.ones_like(s.lanes), np.zeros_like(s.lanes)
        while (terms > 1).any():
            span = np.minimum(span * arity, s.lanes)
            width = s.act_bits + bit_length(span - 1)
            here = ~s.fused & (terms > 1)
            whole, rest = np.divmod(terms, arity)
            for groups, operands in ((whole, arity), (1, rest)):
                chains = np.where(operands > 1, 1 + (~joined & (operands > 2)), 0)
                self.adders += here * groups * chains
                self.carry += here * groups * chains * _even(width + carry_in)
                rows = np.maximum(operands - np.where(joined | ~s.bias, 2, 3), 0)
                self.compressed += here * groups * rows * width
            terms = ceil_div(terms, arity)
            level += levels
            kept = here & ((level % s.levels_per_register == 0) | (terms == 1))
            self.registers += kept * terms * (width + ~s.bias)

    def _count_chains(self) -> None:
        """Count the chains of ternary adders of ECP5 and the tree that joins them."""
        s = self.shapes
        self.registers += s.fused * s.chains * (s.act_bits + 1)
        # Positions whose sums are as wide as each other: 1, 2 and 3, 4 to 7, ...
        for bits in range(1, 7):
            positions = np.clip(s.positions, 1 << (bits - 1), 1 << bits) - (1 << (bits - 1))
            width = s.act_bits + bits
            self.carry += s.fused * positions * self._chained(s.chains, width)
            self.registers += s.fused * positions * s.chains * (width + 1)
        terms, span = np.where(s.fused, s.chains, 1), s.positions.copy()
        while (terms > 1).any():
            here = terms > 1
            span = np.minimum(2 * span, s.lanes)
            width = s.act_bits + bit_length(span - 1)
            self.carry += here * self._chained(terms // 2, width)
            terms = ceil_div(terms, 2)
            self.registers += here * terms * (width + 1)

    def _chained(self, adders: Ints, width: Ints) -> Ints:
        """Return the LUTs of adders that share carry chains, each with a bit for its carry-in."""
        whole, rest = np.divmod(adders, self.shapes.adders_per_chain)
        return whole * _even(self.shapes.adders_per_chain * (width + 1)) + _even(rest * (width + 1))

    # Memories

    def small_memories(self) -> list[tuple[Ints, Ints]]:
        """Return width and depth of the memories that are read without a clock."""
        s = self.shapes
        # A row's accumulators are a memory of their own. Jobs that wait for the result queue lie in one as
        # (m, k, tokens, flags), from which the cells that hold nothing but k are gone, since nobody reads it.
        m_bits, k_end = bit_length(s.m_max), bit_length(s.m_max) + bit_length(s.k_max)
        job = k_end + bit_length(s.tokens_max) + s.partial_sums + s.sparse
        k_alone = np.maximum(0, k_end // LUT_RAM_WIDTH - ceil_div(m_bits, LUT_RAM_WIDTH))
        sums = LUT_RAM_WIDTH * ceil_div(s.acc_bits, LUT_RAM_WIDTH)
        return [
            (s.rows * sums * (s.tokens_max > 1), s.token_places),
            (s.rows * s.acc_bits, s.result_entries - 1),
            (s.bias * s.rows * s.bias_bits, 1 << bit_length(s.datapath_latency + 1)),
            (s.sparse * (s.column_phases > 1) * s.column_trits * s.acc_bits, s.column_phases),
            (job - LUT_RAM_WIDTH * k_alone, np.full(len(s), 3)),
        ]

    def clocked_memories(self) -> list[tuple[Ints, Ints, Ints, Ints]]:
        """Return of the memories that may be block memories how many there are, width, depth, and bits of a chunk.

        The first are those of the activation buffer.
        """
        s = self.shapes
        index, acts = bit_length(s.k_max - 1), s.chains * s.act_container_bits
        return [
            (s.positions, acts, s.buffer_words, np.gcd(s.chains, s.acts_per_beat) * s.act_container_bits),
            (1 * s.sparse, index, s.k_max, index),
            (1 * s.sparse, s.act_bits, s.k_max, s.act_bits),
        ]

    @cached_property
    def in_luts(self) -> list[Flags]:
        """Whether each of `clocked_memories` is LUT RAM: where Yosys finds that cheaper."""
        return [
            LUT_RAM_COST * lut_ram_cells(width, depth) < BLOCK_RAM_COST * block_rams(width, depth, chunk)
            for _, width, depth, chunk in self.clocked_memories()
        ]

    @cached_property
    def memories(self) -> tuple[Ints, Ints, Ints]:
        """Cells of LUT RAM, the bits chosen between them, and the block memories."""
        zero = np.zeros(len(self.shapes), dtype=np.int64)
        cells, chosen, blocks = zero.copy(), zero.copy(), zero.copy()
        for width, depth in self.small_memories():
            cells += lut_ram_cells(width, depth)
            chosen += bank_bits(width, depth)
        for (count, width, depth, chunk), in_luts in zip(self.clocked_memories(), self.in_luts, strict=True):
            cells += count * in_luts * lut_ram_cells(width, depth)
            chosen += count * in_luts * bank_bits(width, depth)
            blocks += count * ~in_luts * block_rams(width, depth, chunk)
        return cells, chosen, blocks


def decoded_words(shapes: Shapes) -> Ints:
    """Return the words that the weight loader decodes at once: those of a beat, as far as a tile has so many."""
    return np.minimum(shapes.words_per_beat, shapes.tile_words) + shapes.striped_words


def lut_terms(structure: Structure) -> Terms:
    """Return the terms of the LUTs, by name."""
    s = structure.shapes
    cells, chosen, _ = structure.memories
    entry, words = s.rows * s.acc_bits, decoded_words(s)
    columns = s.sparse * s.column_trits
    decoders = {
        f"{name} words": (s.packing == name) * (words + s.sparse * s.words_per_beat) for name in WORDS
    }
    return {
        "masked lane bits": np.where(s.fused, s.chains, s.lanes) * s.rows * s.act_bits,
        "adder bits": s.rows * (structure.carry + _even(s.acc_bits + ~s.bias))
        + columns * _even(s.acc_bits + 1),
        "carry chains": s.rows * (structure.adders + ~s.fused) + columns * (s.target != "ecp5"),
        "compressed bits": s.rows * structure.compressed,
        "LUT RAMs": cells,
        "bits chosen among LUT RAMs": chosen,
        "accumulator bits": entry * (s.tokens_max > 1),
        "start bits": entry * ~s.fused,
        "result bits": entry,
        "result bits chosen": entry * (s.rows > s.results_per_beat),
        "packed result bits": s.acc_bits * s.results_per_beat * (2 * s.results_per_beat - 1),
        **decoders,
        "beats of a tile": s.tile_beats + s.bias_beats,
        "index bits": bit_length(s.k_max) + bit_length(s.m_max) + bit_length(s.tokens_max),
        "address bits": bit_length(s.buffer_words),
        "partial sum bits": s.partial_sums * s.result_port_bits,
        "column sum bits": columns * s.acc_bits,
        "sparse units": 1 * s.sparse,
        "cores": np.ones(len(s), dtype=np.int64),
    }


def ff_terms(structure: Structure) -> Terms:
    """Return the terms of the flip-flops, by name."""
    s = structure.shapes
    entry = s.rows * s.acc_bits
    columns = s.sparse * s.column_trits
    words = decoded_words(s)
    # What a tile or biases do not reach of a weight beat is not kept.
    weight_bits = np.minimum(
        s.weight_port_bits, np.maximum(s.tile_words * s.word_bits, s.bias * s.rows * BIAS_WORD_BITS)
    )
    # Words that are kept until a beat is full, and the two beats that wait; the last word of a beat was never kept.
    held = RESULT_WORD_BITS * (s.results_per_beat - 1)
    return {
        # A tile is held twice: while it is assembled, and while it is in use.
        "tile bits": 2 * s.tile_bits + s.waiting_bits,
        "datapath bits": s.rows * structure.registers,
        "decoded bits": words * s.word_trits * TRIT_BITS,
        "activation bits": s.lanes * s.act_bits,
        "bits behind LUT RAM": s.lanes * s.act_bits * structure.in_luts[0],
        "accumulator bits": entry * (1 + (s.tokens_max > 1)),
        "result bits": entry,
        "bias bits": s.bias * s.rows * s.bias_bits,
        "port bits": weight_bits + s.act_port_bits,
        "packed result bits": 3 * held + 2 * (s.acc_bits + s.results_per_beat + 1),
        "partial sum bits": s.partial_sums * s.result_port_bits,
        "column sum bits": columns * s.acc_bits,
        "stage bits": (s.datapath_latency + 2) * (3 + s.bias + bit_length(s.token_places - 1)),
        "delayed address bits": (s.positions - 1) * 2 * bit_length(s.buffer_words),
        "swaps": s.positions * np.where(s.target == "generic", 1, np.minimum(s.chains, COPIES)),
        "controls": np.where(s.target == "generic", 1, np.minimum(s.rows, COPIES)),
        "beats of a tile": s.tile_beats + s.bias_beats,
        "index bits": bit_length(s.k_max) + bit_length(s.m_max) + bit_length(s.tokens_max),
        "address bits": bit_length(s.buffer_words),
        "sparse units": 1 * s.sparse,
        "cores": np.ones(len(s), dtype=np.int64),
    }


@dataclass(frozen=True, kw_only=True)
class Resource:
    """What is modelled.

    Attributes
    ----------
    terms
        Returns the terms of some configurations.
    known
        What a term's things cost that follows from the cells that they are; the other costs are fitted.
    """

    terms: Callable[[Structure], Terms]
    known: Mapping[str, float]


RESOURCES = {
    "luts": Resource(
        terms=lut_terms,
        # A LUT RAM has four LUTs for its bits and two for its write port; a chain starts in a carry cell of its own.
        known={"masked lane bits": 1, "adder bits": 1, "carry chains": 2, "LUT RAMs": 6},
    ),
    "ffs": Resource(
        terms=ff_terms,
        # A result waits in one of two places; a word from LUT RAM passes two registers, one from a block memory those
        # of the memory.
        known={
            "tile bits": 1,
            "datapath bits": 1,
            "decoded bits": 1,
            "activation bits": 1,
            "bits behind LUT RAM": 2,
            "accumulator bits": 1,
            "result bits": 2,
            "bias bits": 3,
            "stage bits": 1,
            "delayed address bits": 1,
            "port bits": 1,
            "packed result bits": 1,
        },
    ),
}
