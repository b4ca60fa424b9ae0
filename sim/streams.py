"""Streams as the cycle model sees them: when the next beat is offered, and when a beat is taken.

The patterns here are those of the test bench (``bench.sv``), so a model run predicts a simulated run to the cycle.
Cycles are counted as the bench counts them: the first beats are offered in cycle 1.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from tritforge.accel.errors import InputError

#: The streams of a core, in the order of the bench's pause generators.
STREAMS = ("jobs", "activations", "weights", "results", "partials", "requests", "columns")
#: Column requests that can be under way in the bench's memory.
COLUMN_PLACES = 64


class Pattern(Protocol):
    """Cycles in which a stream decides to pause.

    A decision shows a cycle later: a beat that is free to come after cycle c is offered in ``clear(c) + 1``, and a
    sink is ready in cycle c + 1 when c is clear.
    """

    def clear(self, cycle: int) -> int:
        """Return the first cycle, not before `cycle`, in which the stream does not pause."""
        ...


class Ideal:
    """A stream that never pauses."""

    def clear(self, cycle: int) -> int:
        return cycle


class Listed:
    """A stream that pauses in the cycles that are listed."""

    def __init__(self, cycles: Iterable[int]) -> None:
        self._cycles = frozenset(cycles)

    def clear(self, cycle: int) -> int:
        while cycle in self._cycles:
            cycle += 1
        return cycle


class Xorshift:
    """A stream that pauses in a random share of the cycles: a pause generator of the bench.

    Parameters
    ----------
    seed
        Of the run.
    index
        Which of the bench's generators.
    share
        In 1/256.

    Notes
    -----
    Marsaglia's xorshift of 32 bits with the shifts 13, 17 and 5 (Journal of Statistical Software 8(14), 2003); a
    cycle is a pause when the low byte is under the share.
    """

    def __init__(self, seed: int, index: int, share: int) -> None:
        self._state = ((seed + 1) * 0x9E3779B9 ^ 0x85EBCA6B * (index + 1)) & 0xFFFFFFFF
        self._share = share
        self._clear: list[int] = []
        self._known = 0

    def _grow(self) -> None:
        """Extend the table of clear cycles behind every cycle up to the next clear one."""
        state = self._state
        while True:
            state ^= state << 13 & 0xFFFFFFFF
            state ^= state >> 17
            state ^= state << 5 & 0xFFFFFFFF
            self._known += 1
            if state & 0xFF >= self._share:
                break
        self._state = state
        self._clear += [self._known - 1] * (self._known - len(self._clear))

    def clear(self, cycle: int) -> int:
        while cycle >= len(self._clear):
            self._grow()
        return self._clear[cycle]


@dataclass(frozen=True, kw_only=True)
class Stalls:
    """Random pauses of a core's streams, as shares of 256, and the seed of their generators.

    `latency` is that of the columns' memory, in cycles from a request to its column's first beat.

    Raises
    ------
    InputError
        A share or a seed out of its bounds.
    """

    seed: int = 1
    jobs: int = 0
    activations: int = 0
    weights: int = 0
    results: int = 0
    partials: int = 0
    requests: int = 0
    columns: int = 0
    latency: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.seed < 1 << 32:
            raise InputError(f"seed is {self.seed}; it must lie in 0 to {(1 << 32) - 1}")
        if not 1 <= self.latency <= 10_000:
            raise InputError(f"latency is {self.latency}; it must lie in 1 to 10000")
        for name in STREAMS:
            share = getattr(self, name)
            if not 0 <= share <= 255:
                raise InputError(f"the share of {name} is {share}; it must lie in 0 to 255")

    @property
    def packed(self) -> int:
        """The shares, a byte each, as the bench reads them."""
        return sum(getattr(self, name) << 8 * index for index, name in enumerate(STREAMS))

    def pattern(self, name: str) -> Pattern:
        """Return the pauses of a stream."""
        share = getattr(self, name)
        return Xorshift(self.seed, STREAMS.index(name), share) if share else Ideal()


class Feed:
    """A stream into the core: beats that are offered one after the other and wait until they are taken."""

    def __init__(self, pattern: Pattern) -> None:
        self._pattern = pattern
        self.ideal = isinstance(pattern, Ideal)
        self._after = 0

    def hold(self, cycle: int) -> None:
        """Let no further beat be decided on before a cycle: the source does not have it yet."""
        self._after = max(self._after, cycle)

    def offered(self) -> int:
        """Return the cycle from which the next beat is offered."""
        return self._pattern.clear(self._after) + 1

    def take(self, count: int, since: int) -> int:
        """Take beats as fast as they come, the first not before a cycle; return the cycle of the last."""
        self._after = max(self.offered(), since)
        if self.ideal:
            self._after += count - 1
        else:
            for _ in range(count - 1):
                self._after = self._pattern.clear(self._after) + 1
        return self._after


class Drain:
    """A stream out of the core."""

    def __init__(self, pattern: Pattern) -> None:
        self._pattern = pattern
        self.ideal = isinstance(pattern, Ideal)

    def taken(self, since: int) -> int:
        """Return the cycle in which a beat is taken that is valid from a cycle on."""
        return self._pattern.clear(since - 1) + 1
