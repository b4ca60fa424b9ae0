"""Widths, depths and counts of many configurations at once, as arrays: what an area follows from.

`Shapes` has an array for each of `AcceleratorConfig`'s fields and for what follows from them, an element for each
configuration. A test holds every one that the configuration has, too, to the configuration's own.
"""

from collections.abc import Mapping
from dataclasses import fields
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from tritforge.accel.codes import BIAS_WORD_BITS, RESULT_WORD_BITS, TRIT_BITS, WORDS
from tritforge.accel.config import COLUMN_BEATS_MAX, AcceleratorConfig

Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

#: Fields of a configuration that are numbers, flags, and names.
NUMBERS = tuple(field.name for field in fields(AcceleratorConfig) if field.type is int)
FLAGS = tuple(field.name for field in fields(AcceleratorConfig) if field.type is bool)
NAMES = tuple(field.name for field in fields(AcceleratorConfig) if field.type is str)
#: Bits that hold the trits of any weight beat.
_TRITS_SHIFT = 16


def bit_length(values: npt.ArrayLike) -> Ints:
    """Return `int.bit_length` of each of some numbers, exact to 2**53."""
    return np.frexp(np.asarray(values, dtype=np.float64))[1].astype(np.int64)


def ceil_div(a: npt.ArrayLike, b: npt.ArrayLike) -> Ints:
    """Return the quotients, rounded up."""
    return np.asarray(-(-np.asarray(a) // np.asarray(b)))


def column_chunk(rows: int, trits: int) -> int:
    """Return `AcceleratorConfig.column_chunk` for rows and the trits of a beat."""
    return max(
        size
        for size in range(1, rows + 1)
        if rows % size == 0 and (size == 1 or 20 * (trits % size) <= trits)
    )


class Shapes:
    """What follows from configurations, an array for each quantity.

    Parameters
    ----------
    columns
        An array for each field of `AcceleratorConfig`, all of one length.
    """

    def __init__(self, columns: Mapping[str, npt.NDArray[Any]]) -> None:
        self._columns = columns

    def __getattr__(self, name: str) -> npt.NDArray[Any]:
        """Return a field."""
        try:
            return self._columns[name]
        except KeyError:
            raise AttributeError(name) from None

    def __len__(self) -> int:
        return len(self._columns["lanes"])

    def picked(self, values: Mapping[str, int], field: str) -> Ints:
        """Return a value for each configuration by what a field has; 0 where nothing is said of it."""
        chosen = np.zeros(len(self), dtype=np.int64)
        for name, value in values.items():
            chosen[self._columns[field] == name] = value
        return chosen

    # Choices

    @cached_property
    def fused(self) -> Flags:
        """Whether the datapath is `fused`."""
        return np.asarray(self.datapath == "fused")

    @cached_property
    def bias(self) -> Flags:
        """Whether rows start from biases."""
        return np.asarray(self.negation == "bias")

    # Widths

    @cached_property
    def act_container_bits(self) -> Ints:
        return 8 * ceil_div(self.act_bits, 8)

    @cached_property
    def dot_bits(self) -> Ints:
        return self.act_bits + bit_length(self.lanes - 1)

    @cached_property
    def acc_bits(self) -> Ints:
        return 1 + bit_length(self.k_max << (self.act_bits - 1))

    @cached_property
    def bias_bits(self) -> Ints:
        return bit_length(self.k_max)

    # Streams

    @cached_property
    def acts_per_beat(self) -> Ints:
        return np.asarray(self.act_port_bits // self.act_container_bits)

    @cached_property
    def results_per_beat(self) -> Ints:
        return np.asarray(self.result_port_bits // RESULT_WORD_BITS)

    @cached_property
    def beats_per_word(self) -> Ints:
        return np.asarray(self.lanes // self.acts_per_beat)

    @cached_property
    def tile_bits(self) -> Ints:
        return np.asarray(self.rows * self.lanes * TRIT_BITS)

    @cached_property
    def word_trits(self) -> Ints:
        """Trits of a packed word."""
        return self.picked({name: trits for name, (trits, _) in WORDS.items()}, "packing")

    @cached_property
    def word_bits(self) -> Ints:
        """Bits of a packed word."""
        return self.picked({name: bits for name, (_, bits) in WORDS.items()}, "packing")

    @cached_property
    def words_per_beat(self) -> Ints:
        return np.asarray(self.weight_port_bits // self.word_bits)

    @cached_property
    def tile_words(self) -> Ints:
        """Words of a tile."""
        return ceil_div(self.rows * self.lanes, self.word_trits)

    @cached_property
    def striped_words(self) -> Ints:
        """Words of a block that lie in its beats' last bits."""
        return np.asarray(self.weight_port_bits % self.word_bits)

    @cached_property
    def block_beats(self) -> Ints:
        return np.where(self.striped_words > 0, self.word_bits, 1)

    @cached_property
    def tile_beats(self) -> Ints:
        blocks, rest = np.divmod(self.tile_words, self.block_beats * self.weight_port_bits // self.word_bits)
        return self.block_beats * blocks + np.minimum(self.block_beats, ceil_div(rest, self.words_per_beat))

    @cached_property
    def bias_beats(self) -> Ints:
        return self.bias * ceil_div(self.rows * BIAS_WORD_BITS, self.weight_port_bits)

    @cached_property
    def waiting_bits(self) -> Ints:
        """Bits of trits that wait in registers of their own; see `tritforge.accel.beats.waiting_cycles`."""
        position_trits = np.asarray(self.rows * self.chains)
        block_words = self.block_beats * self.words_per_beat + self.striped_words
        cycles = np.zeros(len(self), dtype=np.int64)
        for position in range(1, int(self.positions.max(initial=1))):
            block, word = np.divmod(position * position_trits // self.word_trits, block_words)
            beat = block * self.block_beats + np.minimum(word // self.words_per_beat, self.block_beats - 1)
            cycles += (position < self.positions) * np.maximum(0, position - beat)
        return cycles * position_trits * TRIT_BITS

    # Columns of a sparse job

    @cached_property
    def column_phases(self) -> Ints:
        whole = np.minimum(COLUMN_BEATS_MAX, np.maximum(1, 512 // self.weight_port_bits))
        return np.where(self.column_beats > 0, self.column_beats, whole)

    @cached_property
    def column_lanes(self) -> Ints:
        trits = self.words_per_beat * self.word_trits
        # A chunk is searched for, and few pairs of the two are different.
        pairs, place = np.unique((self.rows << _TRITS_SHIFT) + trits, return_inverse=True)
        rows, counts = pairs >> _TRITS_SHIFT, pairs % (1 << _TRITS_SHIFT)
        chunks = [column_chunk(*pair) for pair in zip(rows.tolist(), counts.tolist(), strict=True)]
        return np.asarray(trits - trits % np.array(chunks, dtype=np.int64)[place])

    # Buffers and pipeline

    @cached_property
    def buffer_words(self) -> Ints:
        words = self.tokens_max * ceil_div(self.k_max, self.lanes)
        return np.asarray(1 << np.maximum(1, bit_length(words - 1)))

    @cached_property
    def result_entries(self) -> Ints:
        return np.asarray(1 << np.maximum(3, bit_length(2 * self.tokens_max - 1)))

    @cached_property
    def token_places(self) -> Ints:
        """Sums that a row's accumulators hold."""
        return np.asarray(1 << np.maximum(1, bit_length(self.tokens_max - 1)))

    @cached_property
    def positions(self) -> Ints:
        return np.where(self.fused & (self.target == "ecp5"), self.chain_length, 1)

    @cached_property
    def chains(self) -> Ints:
        """Chains of a row, or the lanes themselves."""
        return np.asarray(self.lanes // self.positions)

    @cached_property
    def tree_levels(self) -> Ints:
        xilinx = self.fused & (self.target == "xilinx")
        arity = np.where(self.fused, np.where(xilinx, 3, 2), self.tree_arity)
        operands = np.where(xilinx, ceil_div(self.lanes, 2), self.chains)
        levels = np.zeros(len(self), dtype=np.int64)
        while (operands > 1).any():
            levels += operands > 1
            operands = ceil_div(operands, arity)
        return levels

    @cached_property
    def datapath_latency(self) -> Ints:
        return np.where(
            self.fused,
            self.positions + self.tree_levels,
            ceil_div(self.tree_levels, self.levels_per_register),
        )
