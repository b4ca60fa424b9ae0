"""What the LUTs and flip-flops of a core are for: the terms of the area's model.

Each term is a number of things that cost alike: bits of adders, words that are decoded, cells of LUT RAM. Where
synthesis maps a thing to a cell of known size that is its cost, for the rest it is fitted (`tritforge.rtl.area_fit`).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from tritforge.accel.codes import BIAS_WORD_BITS, RESULT_WORD_BITS, TRIT_BITS, WORDS
from tritforge.rtl.area_shape import Ints, Shapes, bit_length, ceil_div
from tritforge.rtl.area_structure import Structure, even

Terms = Mapping[str, Ints]

#: `tritforge.accel.datapath.COPIES`, which would bring Amaranth with it.
COPIES = 8


def decoded_words(shapes: Shapes) -> Ints:
    """Return the words that the weight loader decodes at once: those of a beat, as far as a tile has so many."""
    return np.minimum(shapes.words_per_beat, shapes.tile_words) + shapes.striped_words


def lut_terms(structure: Structure) -> Terms:
    """Return the terms of the LUTs, by name."""
    s = structure.shapes
    cells, chosen, _ = structure.memories
    entry, words = s.rows * s.acc_bits, decoded_words(s)
    columns = s.sparse * s.column_lanes
    words += ceil_div(columns, s.word_trits)
    decoders = {f"{name} words": (s.packing == name) * words for name in WORDS}
    # Column lanes have the adders of `fused` wherever the target has them, whatever the datapath.
    plain_columns = columns * (s.target != "ecp5")
    return {
        "masked lane bits": np.where(s.fused, s.chains, s.lanes) * s.rows * s.act_bits
        + plain_columns * s.act_bits,
        "adder bits": s.rows * (structure.carry + even(s.acc_bits + ~s.bias))
        + columns * even(s.acc_bits + 1),
        "carry chains": s.rows * (structure.adders + ~s.fused) + plain_columns,
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
    columns = s.sparse * s.column_lanes
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
