"""Cycles of products on many configurations at once: the cycle model in closed form.

`tritforge.sim.cycles` follows a job through the core. Under ideal streams a job of an idle core is regular enough to
be written down. With T tokens, kt tiles along K, rt row tiles, b beats a tile and b' beats of biases before a row
tile's first, c beats of results for a token of a row tile, and the latency L from a token's issue to its sum:

- the first token is issued when its activations are in (``T ceil(K / acts_per_beat) + 4``) and its tile is
  (``b + b' + 3``), whichever is later;
- a row tile takes ``P = (kt - 1) max(T, b) + max(T, b + b')`` cycles of the lanes and ``Q = T c`` of the output;
- results leave behind the last token of their row tile, ``L + 2`` cycles after its issue or one behind the other,
  whichever is later: so the last leaves after the slowest of three ways through the job, lanes all the way, output
  all the way, or round the result queue (an entry is free again when its words have left: ``L + 2 + c`` cycles for
  as many tokens as the queue has places).

The third way matters for row tiles of a few cycles only, and is a lower bound there: where tokens go round the queue
and past it by turns, the job is up to some percent longer. `Work.short` counts such jobs; published models on the
default axes have none. All others are exact; `tests/explore/test_cycles.py` holds them to the cycle model.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tritforge.rtl.area_shape import Flags, Ints, Shapes, ceil_div
from tritforge.sim.block_cycles import PUSH_TO_PART

#: Cycles before the first beat of activations and of weights is in, and until a token may be issued.
_ACTIVATIONS_START, _WEIGHTS_START = 4, 3
#: Cycles from a token's issue to the datapath and from there to its sum: buffer, activation register, accumulator.
_AROUND_DATAPATH = 4

Counts = npt.NDArray[Any]


@dataclass(frozen=True, kw_only=True)
class Work:
    """Cycles of some products, and the least that each part of the core takes for them.

    Attributes
    ----------
    cycles
        From the jobs' starts to their last results, one job after the other.
    lanes, weights, activations, output
        Cycles in which the lanes work, and beats of each stream.
    short
        Jobs among them whose cycles may be too few, since their tokens wait for the result queue.
    """

    cycles: Counts
    lanes: Counts
    weights: Counts
    activations: Counts
    output: Counts
    short: Counts

    def times(self, count: npt.ArrayLike) -> "Work":
        """Return the same work, done a number of times."""
        return Work(**{name: getattr(self, name) * np.asarray(count) for name in PARTS})

    def __add__(self, other: "Work") -> "Work":
        return Work(**{name: getattr(self, name) + getattr(other, name) for name in PARTS})


#: Fields of `Work`: the total, what bounds it from below, and what is uncertain of it.
BOUNDS = ("lanes", "weights", "activations", "output")
PARTS = ("cycles", *BOUNDS, "short")


def latency(shapes: Shapes) -> Ints:
    """Return the cycles from a token's issue to its sum."""
    return _AROUND_DATAPATH + shapes.datapath_latency


def job_work(shapes: Shapes, m: npt.ArrayLike, k: npt.ArrayLike, tokens: npt.ArrayLike) -> Work:
    """Return what one job costs an idle core under ideal streams.

    Parameters
    ----------
    shapes
        The configurations; each must be able to run the job.
    m, k, tokens
        Shape of the job: numbers, or arrays with an element for each configuration. A job without tokens or inputs
        costs nothing.
    """
    m, k, t = (np.asarray(value, dtype=np.int64) for value in (m, k, tokens))
    row_tiles, tiles = ceil_div(m, shapes.rows), ceil_div(k, shapes.lanes)
    beats, biases = shapes.tile_beats, shapes.bias_beats
    size = shapes.results_per_beat
    rest = m - (row_tiles - 1) * shapes.rows
    chunks, last_chunks = ceil_div(shapes.rows, size), ceil_div(rest, size)
    behind = latency(shapes) + PUSH_TO_PART
    token_beats = ceil_div(k, shapes.acts_per_beat)

    # First tokens of the first and of the last row tile's last tile.
    pace, first_pace = np.maximum(t, beats), np.maximum(t, beats + biases)
    loaded = np.maximum(t * token_beats + _ACTIVATIONS_START, beats + biases + _WEIGHTS_START)
    first = loaded + (tiles - 1) * pace
    period = (tiles - 1) * pace + first_pace
    last = first + (row_tiles - 1) * period

    by_lanes = last + behind + t * last_chunks - 1
    by_output = first + behind + (row_tiles - 1) * t * chunks + t * last_chunks - 1
    by_queue = _round_the_queue(
        shapes, t, row_tiles, first=first, period=period, behind=behind, chunks=(chunks, last_chunks)
    )
    end = np.maximum(np.maximum(by_lanes, by_output), by_queue)
    # Beats of results end where the job does: words that are left over take one more.
    final = (rest - 1) % size + 1
    held = (m * t - final) % size
    end = end + 1 + (held + final > size) + shapes.partial_sums
    some = (t > 0) & (k > 0)
    return Work(
        cycles=np.where(some, end, 0),
        lanes=np.where(some, row_tiles * tiles * t, 0),
        weights=np.where(some, row_tiles * (biases + tiles * beats), 0),
        activations=np.where(some, t * token_beats, 0),
        output=np.where(some, ceil_div(m * t, size), 0),
        short=np.where(some, _waits_for_queue(shapes, t, period, behind, (chunks, last_chunks)), 0),
    )


def _waits_for_queue(shapes: Shapes, t: Ints, period: Ints, behind: Ints, chunks: tuple[Ints, Ints]) -> Flags:
    """Return where the closed form may leave out waits for a place in the result queue.

    A token takes the place of the one that is as many tokens before it as the queue has places. Where output is
    faster than the lanes, no token waits if the last one of a row tile does not; where it is slower, waits do not
    matter as long as results leave one behind the other.
    """
    places, (full, last) = shapes.result_entries, chunks
    rows, more = np.divmod(places, np.maximum(t, 1))
    waits = behind + (t - more) * full > rows * period + t - 1
    waits |= (more > 0) & (behind + t * full > (rows + 1) * period + more - 1)
    starves = behind + np.maximum(full, period - t + 1) > (places - t) * full + t * last
    return np.asarray(np.where(t * full <= period, waits, starves))


def _round_the_queue(
    shapes: Shapes,
    t: Ints,
    row_tiles: Ints,
    *,
    first: Ints,
    period: Ints,
    behind: Ints,
    chunks: tuple[Ints, Ints],
) -> Ints:
    """Return when the last entry has left where each waits for the place of the one before it in the queue."""
    places = shapes.result_entries
    entries = row_tiles * t
    rounds, start = np.divmod(entries - 1, places)
    row, token = np.divmod(start, np.maximum(t, 1))
    full, last = chunks
    issued = first + row * period + token
    popped = np.maximum(issued + behind + full - 1, first + behind + (start + 1) * full - 1)
    found = popped + rounds * (behind + full) - full + last
    return np.where(rounds > 0, found, 0)


def product_work(shapes: Shapes, m: int, k: int, tokens: npt.ArrayLike) -> Work:
    """Return what a product costs whose tokens share one pass over the weights; K over `k_max` takes several jobs.

    A job begins when the one before has ended: what it multiplies depends on what that one gave.
    """
    length = np.where(shapes.partial_sums, np.minimum(k, shapes.k_max), k)
    whole, rest = np.divmod(k, length)
    work = job_work(shapes, m, length, tokens).times(whole)
    return work + job_work(shapes, m, rest, tokens) if rest.any() else work
