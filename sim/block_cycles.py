"""What each block of the core adds to the cycles of a job; `tritforge.sim.cycles` composes them as the core does.

A block's functions are called in the order in which it works, and return the cycles of its handshakes. In a
comment, "in c" is the cycle whose handshake counts, and a register written in c shows its value in c + 1.
"""

from collections.abc import Sequence

from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.job import READER_PLACES
from tritforge.sim.streams import Drain, Feed

#: Cycles from the result queue's push to its output.
PUSH_TO_PART = 2
#: Cycles in which a job passes the memory where jobs wait for the result queue.
JOB_MEMORY = 2


class JobPortCycles:
    """The job port: a job is taken when every reader has a place for it, and reaches them a cycle later.

    Parameters
    ----------
    feed
        The stream of jobs.
    """

    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        self._takes: tuple[list[int], ...] = tuple([] for _ in READER_PLACES)

    def take(self) -> tuple[int, int]:
        """Return the cycles from which the next job is offered and in which it is taken."""
        offered = self._feed.offered()
        since = offered
        for takes, places in zip(self._takes, READER_PLACES, strict=True):
            if len(takes) >= places:
                # Where more than one can wait, the port learns a cycle later that one has gone.
                since = max(since, takes[-places] + (2 if places > 1 else 1))
        return offered, self._feed.take(1, since)

    def leave(self, takes: Sequence[int]) -> None:
        """Note in which cycle each reader took the job at hand."""
        for known, cycle in zip(self._takes, takes, strict=True):
            known.append(cycle)


class BufferCycles:
    """The activation buffer: a beat a cycle while there is room.

    Parameters
    ----------
    config
        Widths and depth.
    feed
        The stream of activations.
    """

    def __init__(self, config: AcceleratorConfig, feed: Feed) -> None:
        self._config = config
        self._feed = feed
        self._job_end = 0
        self._written = 0
        #: Words given back in all, and the cycle from which their room counts.
        self._released: list[tuple[int, int]] = [(config.buffer_words, 0)]

    def take_job(self, start: int) -> int:
        """Take a job that the port took in `start`; return the cycle of the handshake."""
        return max(start + 1, self._job_end)

    def wait(self, cycle: int) -> None:
        """Take no job before a cycle: the activations of a sparse one are not all in."""
        self._job_end = max(self._job_end, cycle)

    def load(self, taken: int, k: int, tokens: int, handed_over: int) -> int:
        """Take a job's beats; return the cycle from which the job is offered to the sequencer.

        Parameters
        ----------
        taken
            Cycle of the job's handshake.
        k, tokens
            Shape.
        handed_over
            Cycle in which the sequencer took the job before: the last beat needs its place.
        """
        config = self._config
        token_words, token_beats = config.k_tiles(k), -(-k // config.acts_per_beat)

        def beats(words: int) -> int:
            whole, rest = divmod(words, token_words)
            return whole * token_beats + min(rest * config.beats_per_word, token_beats)

        words = token_words * tokens
        total = beats(words)
        done_words = done_beats = 0
        since = taken + 1
        while done_words < words:
            room, cycle = next(entry for entry in self._released if entry[0] > self._written + done_words)
            since = max(since, cycle)
            done_words = min(words, room - self._written)
            todo = beats(done_words) - done_beats
            done_beats += todo
            if done_beats == total:
                if todo > 1:
                    self._feed.take(todo - 1, since)
                todo, since = 1, max(since, handed_over + 1)
            self._job_end = self._feed.take(todo, since)
        self._written += words
        return self._job_end + 1

    def release(self, cycle: int, k: int, tokens: int) -> None:
        """Give a job's words back, whose last token was issued in a cycle."""
        config = self._config
        total = self._released[-1][0] + config.k_tiles(k) * tokens
        # The lanes at the last position are read that much later.
        self._released.append((total, cycle + config.positions))
        while self._released[0][0] <= self._written:
            self._released.pop(0)


class LoaderCycles:
    """The weight loader: a beat a cycle into the next tile, the first when the tile before is handed over.

    Parameters
    ----------
    config
        Widths.
    feed
        The stream of weights.
    """

    def __init__(self, config: AcceleratorConfig, feed: Feed) -> None:
        self._feed = feed
        self._beats = config.tile_beats
        self._since = 0
        self._job_end = 0
        #: Whether the stream never pauses.
        self.ideal = feed.ideal

    def take_job(self, start: int, offered: int) -> int:
        """Take a job that the port took in `start`; its weights are there when the job is `offered`."""
        self._feed.hold(offered - 1)
        taken = max(start + 1, self._job_end)
        self._since = taken + 1
        return taken

    def tile(self, bias_beats: int, free: int) -> int:
        """Take a tile's beats; return the cycle from which the tile is offered.

        Parameters
        ----------
        bias_beats
            Beats of biases before it.
        free
            Cycle in which the array took the tile before.
        """
        self._job_end = self._feed.take(bias_beats + self._beats, max(free, self._since))
        return self._job_end + 1

    def skip(self, last: int) -> None:
        """Note that beats were taken, the last of them in a cycle."""
        self._feed.hold(last)


class PartialSumCycles:
    """Partial sums: a beat of results meets a beat of partial sums where the job has them, a cycle's delay.

    Parameters
    ----------
    drain
        The stream of results.
    feed
        The stream of partial sums.
    """

    def __init__(self, drain: Drain, feed: Feed) -> None:
        self._drain = drain
        self._feed = feed
        self._room = 0
        self.ideal = drain.ideal and feed.ideal
        #: Cycle in which the last beat left.
        self.left = 0

    def taken(self, since: int, *, accumulate: bool) -> int:
        """Return the cycle in which a beat is taken from the packer that is valid from a cycle on."""
        cycle = max(since, self._room)
        if accumulate:
            cycle = self._feed.take(1, cycle)
        self._room = self.left = self._drain.taken(cycle + 1)
        return cycle


class ResultCycles:
    """The result stage without partial sums: the packer's beats leave the core.

    Parameters
    ----------
    drain
        The stream of results.
    """

    def __init__(self, drain: Drain) -> None:
        self._drain = drain
        self.ideal = drain.ideal
        self.left = 0

    def taken(self, since: int, *, accumulate: bool) -> int:  # noqa: ARG002
        """Return the cycle in which a beat is taken from the packer that is valid from a cycle on."""
        self.left = self._drain.taken(since)
        return self.left


class PackerCycles:
    """The word packer: a chunk a cycle, and a beat of its own for a job's words that do not fill one.

    Parameters
    ----------
    config
        Widths.
    stage
        What takes the beats.
    """

    def __init__(self, config: AcceleratorConfig, stage: ResultCycles | PartialSumCycles) -> None:
        self._size = config.results_per_beat
        self.stage = stage
        self._held = 0
        self._room = 0
        #: Cycle in which the last beat leaves the packer, which has places for two.
        self._left = 0

    @property
    def room(self) -> int:
        """First cycle in which the next chunk can be taken."""
        return self._room

    def send(self, words: int, since: int, *, last: bool, accumulate: bool) -> int:
        """Send a chunk that is there from a cycle on; return the cycle in which it is taken."""
        taken = max(since, self._room)
        total = self._held + words
        if total >= self._size or last:
            self._enter(taken, accumulate=accumulate)
            self._held = max(0, total - self._size)
            if last and self._held:
                # The rest follows in a cycle of its own, in which no chunk is taken.
                rest = max(taken + 1, self._room)
                self._enter(rest, accumulate=accumulate)
                self._room = max(rest + 1, self._room)
                self._held = 0
        else:
            self._held = total
        return taken

    def _enter(self, cycle: int, *, accumulate: bool) -> None:
        """Put a beat into the place that is free, from which it leaves behind the one before it."""
        before = self._left
        self._left = self.stage.taken(max(cycle, before) + 1, accumulate=accumulate)
        self._room = before + 1

    def skip(self, words: int, last: int) -> None:
        """Note words that were sent without a pause, the last chunk of them in a cycle."""
        self._held = (self._held + words) % self._size
        self._room = self._left = last + 1


class QueueCycles:
    """The result queue: an entry leaves in chunks of up to a beat, and its place can be used again.

    Parameters
    ----------
    config
        Widths and depth.
    packer
        What takes the chunks.
    """

    def __init__(self, config: AcceleratorConfig, packer: PackerCycles) -> None:
        self._config = config
        self._packer = packer
        self._popped: list[int] = []
        self._job_end = 0
        self._since = 0

    def take_job(self, start: int) -> int:
        """Take a job that the port took in `start`; return the cycle of the handshake."""
        taken = max(start + 1 + JOB_MEMORY, self._job_end)
        self._since = taken + 1
        return taken

    def room_at(self) -> int:
        """Return the first cycle in which the next entry's token may be issued."""
        oldest = len(self._popped) - self._config.result_entries
        return self._popped[oldest] + 1 if oldest >= 0 else 0

    def push(self, issued: int, rows: int, *, last: bool, accumulate: bool) -> None:
        """Enter the sums of `rows` rows whose token was issued in a cycle, and send them."""
        size = self._config.results_per_beat
        since = max(issued + self._config.latency + PUSH_TO_PART, self._since)
        if self._packer.stage.ideal and not last:
            popped = max(since, self._packer.room) + -(-rows // size) - 1
            self._packer.skip(rows, popped)
        else:
            popped = since - 1
            for left in range(rows, 0, -size):
                popped = self._packer.send(
                    min(size, left), popped + 1, last=last and left <= size, accumulate=accumulate
                )
        self._popped.append(popped)
        self._since = popped + 1
        if last:
            self._job_end = popped
