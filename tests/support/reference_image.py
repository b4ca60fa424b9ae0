"""A weight image made one trit and one bit at a time, from the words of the layout's description."""

import numpy as np
import numpy.typing as npt

from tritforge.accel.codes import CODES, WORDS
from tritforge.accel.config import AcceleratorConfig


def tile_trits(config: AcceleratorConfig, block: npt.NDArray[np.int8]) -> list[int]:
    """Trits of one tile in the order (position, row, chain); 0 where the block ends."""
    chains = config.lanes // config.positions
    trits = []
    for position in range(config.positions):
        for row in range(config.rows):
            for chain in range(chains):
                lane = position * chains + chain
                inside = row < block.shape[0] and lane < block.shape[1]
                trits.append(int(block[row, lane]) if inside else 0)
    return trits


def tile_beats(config: AcceleratorConfig, trits: list[int]) -> list[int]:
    """Beats of one tile.

    Whole words lie side by side at the low end; over a block of as many beats as a word has bits, the bits that
    remain are words of their own, one bit a beat.
    """
    count, bits = WORDS[config.packing]
    port = config.weight_port_bits
    trits = trits + [0] * (-len(trits) % count)
    words = [
        CODES[config.packing][tuple(trits[start : start + count])] for start in range(0, len(trits), count)
    ]
    rest = port % bits
    beats = []
    while words:
        block = [0] * (bits if rest else 1)
        used = 0
        for index in range(len(block)):
            if words:
                used = index + 1
            for place in range(port // bits):
                if words:
                    block[index] |= words.pop(0) << bits * place
        for stripe in range(rest):
            if words:
                word = words.pop(0)
                for index in range(bits):
                    block[index] |= (word >> index & 1) << port - rest + stripe
        beats += block[:used]
    return beats


def image_beats(config: AcceleratorConfig, matrix: npt.NDArray[np.int8]) -> list[int]:
    """All beats of a matrix."""
    m, k = matrix.shape
    beats = []
    for low in range(0, m, config.rows):
        rows = matrix[low : low + config.rows]
        if config.negation == "bias":
            biases = sum(int((row == -1).sum()) << 16 * index for index, row in enumerate(rows))
            for _ in range(-(-16 * config.rows // config.weight_port_bits)):
                beats.append(biases & (1 << config.weight_port_bits) - 1)
                biases >>= config.weight_port_bits
        for left in range(0, k, config.lanes):
            beats += tile_beats(config, tile_trits(config, rows[:, left : left + config.lanes]))
    return beats
