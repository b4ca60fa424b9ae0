"""Where the packed words of a tile lie in the beats of the weight stream; no dependency, as for `codes`.

Each beat holds `words_per_beat` whole words at its low end. With ``s5`` some bits of a beat remain, too few for a
word: these are stripes. Over a block of five beats, remaining bit i of beat j is bit j of one further word i,
which is complete with the block's last beat. So a word or a bit of one lies at the same place of every beat, and no
multiplexer is needed to take it. In trit order a block's further words follow its whole words. A tile starts a block;
its last block may have fewer beats, and then no further words.
"""

from dataclasses import dataclass

from tritforge.accel.codes import WORDS
from tritforge.accel.config import AcceleratorConfig


@dataclass(frozen=True, kw_only=True)
class BeatWords:
    """Words of a tile that are complete with one of its beats, by their index in trit order.

    Attributes
    ----------
    whole
        Words that lie in the beat, lowest first.
    striped
        Words whose last bit lies in the beat.
    """

    whole: range
    striped: range

    def trits(self, config: AcceleratorConfig) -> range:
        """Return the indices of these words' trits within the tile; they are consecutive."""
        count = WORDS[config.packing][0]
        end = max(self.whole.stop, self.striped.stop)
        return range(self.whole.start * count, min(end * count, config.rows * config.lanes))


def tile_words(config: AcceleratorConfig) -> int:
    """Return the number of words of a tile."""
    return -(-config.rows * config.lanes // WORDS[config.packing][0])


def striped_words(config: AcceleratorConfig) -> int:
    """Return the number of words that a block holds in stripes: the bits that remain of a beat."""
    return config.weight_port_bits % WORDS[config.packing][1]


def beat_words(config: AcceleratorConfig, beat: int) -> BeatWords:
    """Return the words that are complete with a beat of a tile."""
    words, per_beat, stripes = tile_words(config), config.words_per_beat, striped_words(config)
    block, index = divmod(beat, config.block_beats)
    start = block * (config.block_beats * per_beat + stripes)
    first = start + index * per_beat
    whole = range(min(first, words), min(first + per_beat, words))
    last = index == config.block_beats - 1
    return BeatWords(
        whole=whole, striped=range(whole.stop, min(whole.stop + stripes, words) if last else whole.stop)
    )


def waiting_cycles(config: AcceleratorConfig, position: int) -> int:
    """Return the cycles for which the trits of a position wait in registers of their own.

    The array takes those of position p in the p-th cycle after the hand-over of a tile, and beat b of the next tile
    may come b cycles after it: with fewer beats than positions it comes before they are taken.
    """
    first = position * config.rows * config.lanes // config.positions
    beat = next(beat for beat in range(config.tile_beats) if first in beat_words(config, beat).trits(config))
    return max(0, position - beat)
