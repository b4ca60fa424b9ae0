"""Cycles of a sparse job: when its columns are asked for and taken, and when its sums leave the lanes.

The functions follow `tritforge.accel.sparse` block by block, in the terms of `tritforge.sim.block_cycles`.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.errors import InputError
from tritforge.sim.streams import Drain, Feed, Ideal, Pattern


class ColumnMemory:
    """The memory behind the column streams, as the test bench has it.

    Parameters
    ----------
    latency
        Cycles from a request to its column's first beat, 1 or more.
    places
        Requests that may be under way: a place is free again when its column's last beat was taken.
    requests, columns
        Pauses of the two streams.

    Raises
    ------
    InputError
        A latency or a number of places under 1.
    """

    def __init__(
        self,
        *,
        latency: int = 1,
        places: int = 16,
        requests: Pattern | None = None,
        columns: Pattern | None = None,
    ) -> None:
        for name, value in (("latency", latency), ("places", places)):
            if value < 1:
                raise InputError(f"{name} is {value}; 1 or more is needed")
        self._latency = latency
        self._places = places
        self._drain = Drain(requests or Ideal())
        self._feed = Feed(columns or Ideal())
        self._ends: list[int] = []

    def ask(self, since: int) -> int:
        """Return the cycle in which a request is taken that is valid from a cycle on."""
        if len(self._ends) >= self._places:
            since = max(since, self._ends[-self._places] + 1)
        return self._drain.taken(since)

    def column(self, asked: int, beats: int, since: int) -> int:
        """Take the column of a request, its first beat not before a cycle; return the cycle of its last beat."""
        self._feed.hold(asked + self._latency - 1)
        self._ends.append(self._feed.take(beats, since))
        return self._ends[-1]


@dataclass(frozen=True, kw_only=True)
class SparseSpan:
    """Cycles of one sparse job in the unit.

    Attributes
    ----------
    scanned
        Its last activation is in the list.
    requested
        Its last request is taken.
    finished
        Its last sums leave the lanes.
    requests
        Columns asked for.
    """

    scanned: int
    requested: int
    finished: int
    requests: int


class ScannerCycles:
    """The list of non-zero activations: a beat costs a cycle for each that it holds, and one for none.

    Parameters
    ----------
    config
        Widths.
    feed
        The stream of activations.
    """

    def __init__(self, config: AcceleratorConfig, feed: Feed) -> None:
        self._size = config.acts_per_beat
        self._feed = feed
        #: Cycle in which the last job's list was complete.
        self.complete = 0

    def scan(self, taken: int, nonzero: npt.NDArray[np.bool_]) -> list[int]:
        """Take the beats of a job taken in a cycle; return the first cycle in which each pair may be read.

        Parameters
        ----------
        taken
            Cycle of the job's handshake.
        nonzero : ndarray of bool, shape (K,)
            Which activations are not zero.
        """
        written: list[int] = []
        since = taken + 1
        for start in range(0, len(nonzero), self._size):
            beat = self._feed.take(1, since)
            count = int(nonzero[start : start + self._size].sum())
            written += range(beat + 1, beat + 1 + count)
            since = beat + max(1, count)
        self.complete = since
        # A pair may be read when it is known whether it is the last: with the next one, or with the list's end.
        return [cycle + 1 for cycle in written[1:]] + [self.complete + 1]


class SparseCycles:
    """The sparse unit.

    Parameters
    ----------
    config
        The accelerator.
    activations
        The stream of activations.
    memory
        What answers the requests.
    """

    def __init__(self, config: AcceleratorConfig, activations: Feed, memory: ColumnMemory) -> None:
        self._config = config
        self._memory = memory
        self.scanner = ScannerCycles(config, activations)
        #: Cycle in which the last job's last sums left.
        self.finished = 0

    def take_job(self, start: int) -> int:
        """Take a job that the port took in `start`; return the cycle of the handshake."""
        return max(start, self.finished) + 1

    def run(
        self,
        taken: int,
        m: int,
        nonzero: npt.NDArray[np.bool_],
        *,
        turn: int = 0,
        room_at: Callable[[], int] = lambda: 0,
        push: Callable[[int, int, bool], None] = lambda *_: None,
    ) -> SparseSpan:
        """Run a job that was taken in a cycle.

        Parameters
        ----------
        taken
            Cycle of the handshake.
        m
            Output rows.
        nonzero : ndarray of bool, shape (K,)
            Which activations are not zero.
        turn
            First cycle in which sums may leave.
        room_at
            Returns the first cycle in which the next entry has a place in the result queue.
        push
            Called for each entry with the cycle of its push, its rows, and whether it is the last.
        """
        config = self._config
        readable = self.scanner.scan(taken, nonzero)
        pairs = len(readable)
        asked = moved = value_taken = 0
        read = ready = -1
        free = taken + 1
        requests = 0
        for low in range(0, m, config.column_rows):
            for pair in range(pairs):
                # Memory, register, request.
                read = max(readable[pair], read + 1, moved)
                moved = max(read + 1, asked)
                asked = self._memory.ask(moved + 1)
                # The value is read ahead; all beats of a column share it.
                ready = max(readable[pair], value_taken) + 1
                value_taken = self._memory.column(asked, config.column_phases, max(ready, free))
                requests += 1
            # Two cycles for the last beat's sums.
            free = self._unload(low, m, max(value_taken + 2, turn), room_at, push) + 1
        self.finished = free - 1
        return SparseSpan(
            scanned=self.scanner.complete, requested=asked, finished=self.finished, requests=requests
        )

    def _unload(
        self,
        low: int,
        m: int,
        loaded: int,
        room_at: Callable[[], int],
        push: Callable[[int, int, bool], None],
    ) -> int:
        """Give a block's sums away; return the cycle of the last chunk."""
        config = self._config
        cycle = loaded
        high = min(low + config.column_rows, m)
        for row in range(low, high, config.column_chunk):
            # A cycle reads the sums of the rows of another beat.
            cycle += 1 if row == low or (row - low) % config.column_lanes else 2
            end = row + config.column_chunk
            if end % config.rows == 0 or end >= m:
                cycle = max(cycle, room_at())
                push(cycle + 1, (min(end, m) - 1) % config.rows + 1, end >= m)
        return cycle
