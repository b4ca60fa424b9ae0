"""What a core is made of, counted for many configurations at once: adders of the datapaths, registers, memories."""

from functools import cached_property

import numpy as np

from tritforge.rtl.area_shape import Flags, Ints, Shapes, bit_length, ceil_div

#: Bits of the parts of ECP5's memories, and what Yosys weighs them by when it chooses (``lutrams_trellis.txt``,
#: ``brams_16kd.txt``).
LUT_RAM_WIDTH, LUT_RAM_DEPTH, LUT_RAM_COST = 4, 16, 4
BLOCK_RAM_COST = 128
#: Depths of a block memory that has 9 bits a write enable, and the enables that it has then; depths of narrower ones,
#: and their bits. The deepest come first, which Yosys takes where the number of blocks is the same.
_ENABLE_BITS = 9
_WIDE_BLOCKS = ((2048, 1), (1024, 2), (512, 4))
_NARROW_BLOCKS = ((16384, 1), (8192, 2), (4096, 4))


def even(bits: Ints) -> Ints:
    """Return bits of carry chains as whole cells of two."""
    return 2 * ceil_div(bits, 2)


def lut_ram_cells(width: Ints, depth: Ints) -> Ints:
    """Return the LUT RAMs of 16 x 4 bits that a memory takes."""
    return np.asarray(ceil_div(width, LUT_RAM_WIDTH) * ceil_div(depth, LUT_RAM_DEPTH))


def block_rams(width: Ints, depth: Ints, chunk: Ints, fields: Ints, used: Ints) -> tuple[Ints, Ints]:
    """Return the block memories that a memory takes, and those of them that stay.

    Parameters
    ----------
    width, depth
        Of the memory.
    chunk
        Bits that are written together.
    fields, used
        Fields of equal width in a word, and the bits of each that are read, from the lowest: when it has chosen,
        Yosys drops the narrow blocks whose bits nobody reads.
    """
    enables = width // chunk * ceil_div(chunk, _ENABLE_BITS)
    wide = [ceil_div(enables, size) * ceil_div(depth, words) for words, size in _WIDE_BLOCKS]
    narrow = [ceil_div(width, size) * ceil_div(depth, words) for words, size in _NARROW_BLOCKS]
    read = [fields * ceil_div(used, size) * ceil_div(depth, words) for words, size in _NARROW_BLOCKS]
    found = np.stack([*narrow, *wide])
    chosen = np.argmin(found, axis=0)[None]
    left = np.take_along_axis(np.stack([*read, *wide]), chosen, axis=0)
    return found.min(axis=0), left[0]


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
                self.carry += here * groups * chains * even(width + carry_in)
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
        return whole * even(self.shapes.adders_per_chain * (width + 1)) + even(rest * (width + 1))

    # Memories

    def small_memories(self) -> list[tuple[Ints, Ints]]:
        """Return width and depth of the memories that are read without a clock."""
        s = self.shapes
        # A row's accumulators are a memory of their own. Jobs that wait for the result queue lie in one as
        # (m, k, tokens, flags), from which the cells that hold nothing but k, or `sparse`, are gone: nobody reads
        # those.
        m_bits, k_end = bit_length(s.m_max), bit_length(s.m_max) + bit_length(s.k_max)
        job = k_end + bit_length(s.tokens_max) + s.partial_sums
        k_alone = np.maximum(0, k_end // LUT_RAM_WIDTH - ceil_div(m_bits, LUT_RAM_WIDTH))
        sums = LUT_RAM_WIDTH * ceil_div(s.acc_bits, LUT_RAM_WIDTH)
        return [
            (s.rows * sums * (s.tokens_max > 1), s.token_places),
            (s.rows * s.acc_bits, s.result_entries - 1),
            (s.bias * s.rows * s.bias_bits, 1 << bit_length(s.datapath_latency + 1)),
            (s.sparse * (s.column_phases > 1) * s.column_lanes * s.acc_bits, s.column_phases),
            (job - LUT_RAM_WIDTH * k_alone, np.full(len(s), 3)),
        ]

    def clocked_memories(self) -> list[tuple[Ints, ...]]:
        """Return how many there are of the memories that may be block memories, and what `block_rams` takes of each.

        The first are those of the activation buffer.
        """
        s = self.shapes
        index, acts = bit_length(s.k_max - 1), s.chains * s.act_container_bits
        chunk, one = np.gcd(s.chains, s.acts_per_beat), np.ones(len(s), dtype=np.int64)
        return [
            (s.positions, acts, s.buffer_words, chunk * s.act_container_bits, s.chains, s.act_bits),
            (1 * s.sparse, index, s.k_max, index, one, index),
            (1 * s.sparse, s.act_bits, s.k_max, s.act_bits, one, s.act_bits),
        ]

    @cached_property
    def in_luts(self) -> list[Flags]:
        """Whether each of `clocked_memories` is LUT RAM: where Yosys finds that cheaper."""
        return [
            LUT_RAM_COST * lut_ram_cells(width, depth) < BLOCK_RAM_COST * block_rams(width, depth, *rest)[0]
            for _, width, depth, *rest in self.clocked_memories()
        ]

    @cached_property
    def memories(self) -> tuple[Ints, Ints, Ints]:
        """Cells of LUT RAM, the bits chosen between them, and the block memories."""
        zero = np.zeros(len(self.shapes), dtype=np.int64)
        cells, chosen, blocks = zero.copy(), zero.copy(), zero.copy()
        for width, depth in self.small_memories():
            cells += lut_ram_cells(width, depth)
            chosen += bank_bits(width, depth)
        for (count, width, depth, *rest), in_luts in zip(self.clocked_memories(), self.in_luts, strict=True):
            _, fields, used = rest
            # Of LUT RAMs, too, those stay that somebody reads.
            cells += count * in_luts * fields * lut_ram_cells(used, depth)
            chosen += count * in_luts * fields * bank_bits(used, depth)
            blocks += count * ~in_luts * block_rams(width, depth, *rest)[1]
        return cells, chosen, blocks
