"""Cycle model of a job under ideal streams: exact, one function a block, composed as the hardware is.

Cycle 0 is the one in which the job is taken. A stream is ideal when it offers a beat, or takes one, in every cycle.
"""

from dataclasses import dataclass

from tritforge.accel.config import AcceleratorConfig

#: Cycles from a job's handshake to the first beat that the activation buffer or the weight loader takes.
JOB_TO_BEAT = 2
#: Cycles from the last activation beat to the first token that can be issued: hand over, take, read ahead.
LOADED_TO_ISSUE = 3
#: Cycles from an entry's push into the result queue to its first part at the packer.
PUSH_TO_PART = 2


@dataclass(frozen=True, kw_only=True)
class JobCycles:
    """What a job costs.

    Attributes
    ----------
    total
        From the cycle in which the job is taken to that in which its last result beat leaves, both counted.
    issued
        Tokens issued: tiles x T, the cycles in which the lanes work.
    fill
        Cycles before the first token: activations and first tile.
    weight_stalls, result_stalls
        Cycles in which a token waited for its tile, or for room in the result queue.
    operations
        Ternary operations that the job asked for: M x K x T.
    lane_operations
        Operations that the lanes could have done in `total` cycles.
    """

    total: int
    issued: int
    fill: int
    weight_stalls: int
    result_stalls: int
    operations: int
    lane_operations: int

    @property
    def utilisation(self) -> float:
        """Share of the lanes' operations that the job asked for."""
        return self.operations / self.lane_operations

    @property
    def bound(self) -> str:
        """What the job waited for most: compute, weights, activations or output."""
        waits = {
            "compute": self.issued,
            "weights": self.weight_stalls,
            "output": self.result_stalls,
            "activations": self.fill,
        }
        return max(waits, key=waits.__getitem__)


def activation_beats(config: AcceleratorConfig, k: int, tokens: int) -> int:
    """Beats of the activation stream: every token starts a beat."""
    return tokens * -(-k // config.acts_per_beat)


def weight_beats(config: AcceleratorConfig, m: int, k: int) -> int:
    """Beats of a weight image: for each row tile its biases and its tiles."""
    return config.row_tiles(m) * (config.bias_beats + config.k_tiles(k) * config.tile_beats)


class _ResultQueue:
    """Times at which entries leave the result queue, and at which room for the next one comes free."""

    def __init__(self, config: AcceleratorConfig) -> None:
        self._config = config
        self._popped: list[int] = []

    def room_at(self) -> int:
        """Return the first cycle in which the next entry's token may be issued."""
        oldest = len(self._popped) - self._config.result_entries
        return self._popped[oldest] + 1 if oldest >= 0 else 0

    def push(self, issued: int, rows: int) -> None:
        """Enter the sums of `rows` rows whose token was issued in a cycle."""
        ready = issued + self._config.latency + PUSH_TO_PART
        if self._popped:
            ready = max(ready, self._popped[-1] + 1)
        self._popped.append(ready + -(-rows // self._config.results_per_beat) - 1)

    @property
    def last_part(self) -> int:
        return self._popped[-1]


def job_cycles(config: AcceleratorConfig, m: int, k: int, tokens: int) -> JobCycles:
    """Return what one job costs when the core is idle and all streams are ideal.

    Parameters
    ----------
    config
        The accelerator.
    m, k, tokens
        Shape of the job.

    Raises
    ------
    InputError
        A shape out of the configuration's bounds.
    """
    config.check_job(m, k, tokens)
    tiles = config.k_tiles(k)
    beats = config.tile_beats
    pace = max(tokens, beats)
    queue = _ResultQueue(config)

    loaded = JOB_TO_BEAT + activation_beats(config, k, tokens) - 1 + LOADED_TO_ISSUE
    assembled = JOB_TO_BEAT + config.bias_beats + beats
    start = max(loaded, assembled)
    fill = start
    weight_stalls = result_stalls = 0
    for low in range(0, m, config.rows):
        # `start` is the issue of the row tile's first token; tiles follow at the slower pace of array and stream.
        swap = start + (tiles - 1) * pace
        weight_stalls += (tiles - 1) * (pace - tokens)
        issue = swap - 1
        for token in range(tokens):
            earliest = issue + 1
            issue = max(earliest, queue.room_at())
            if token == 0:
                # The swap itself waits for room, and the stream with it.
                swap = issue
            result_stalls += issue - earliest
            queue.push(issue, min(config.rows, m - low))
        start = max(issue + 1, swap + config.bias_beats + beats)
        if low + config.rows < m:
            weight_stalls += start - issue - 1
    # The packer's register, and a beat of its own for words that did not fill one.
    words_per_beat = config.results_per_beat
    rows_last = m % config.rows or config.rows
    held = (m - rows_last) * tokens + rows_last * (tokens - 1)
    chunk = rows_last % words_per_beat or words_per_beat
    flush = (held + rows_last - chunk) % words_per_beat + chunk > words_per_beat
    total = queue.last_part + 1 + flush + 1
    return JobCycles(
        total=total,
        issued=config.row_tiles(m) * tiles * tokens,
        fill=fill,
        weight_stalls=weight_stalls,
        result_stalls=result_stalls,
        operations=m * k * tokens,
        lane_operations=total * config.lanes * config.rows,
    )
