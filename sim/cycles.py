"""Cycle model: when every job starts and ends, exact to the cycle, under ideal streams and under given pauses.

A job runs through the core as `tritforge.sim.block_cycles` has it block by block; here they are composed. Under
ideal streams all tiles of a row tile, all words of a token and all beats of a tile take one step each, so that the
matrices of a large model take fractions of a second.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import lru_cache

from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.errors import InputError
from tritforge.sim.block_cycles import (
    BufferCycles,
    JobPortCycles,
    LoaderCycles,
    PackerCycles,
    PartialSumCycles,
    QueueCycles,
    ResultCycles,
)
from tritforge.sim.jobs import Job, split_product
from tritforge.sim.sparse_cycles import ColumnMemory, SparseCycles
from tritforge.sim.streams import COLUMN_PLACES, STREAMS, Drain, Feed, Ideal, Pattern, Stalls

#: What a token can wait for.
CAUSES = ("weights", "activations", "output")


@dataclass(frozen=True, kw_only=True)
class JobCycles:
    """What a job, or a list of jobs back to back, costs.

    Attributes
    ----------
    start
        Cycle in which the (first) job is taken.
    end
        Cycle in which the (last) job's last result beat leaves.
    issued
        Tokens issued: tiles x T, the cycles in which the lanes work; none in a sparse job, which has its own lanes.
    weight_stalls, activation_stalls, output_stalls
        Cycles before a token in which nothing was issued, because its tile, its activations (or its job), or room in
        the result queue was missing. Cycles that several lacked count for the last to come.
    weight_beats, activation_beats, result_beats
        Beats of the streams: the cycles that each of them takes at least.
    operations
        Ternary operations asked for: the sum of M x K x T.
    lanes
        Operations that the lanes can do in a cycle.
    """

    start: int
    end: int
    issued: int
    weight_stalls: int
    activation_stalls: int
    output_stalls: int
    weight_beats: int
    activation_beats: int
    result_beats: int
    operations: int
    lanes: int

    @property
    def total(self) -> int:
        """Cycles from `start` to `end`, both counted."""
        return self.end - self.start + 1

    @property
    def lane_operations(self) -> int:
        """Operations that the lanes could have done in `total` cycles."""
        return self.total * self.lanes

    @property
    def utilisation(self) -> float:
        """Share of the lanes' operations that was asked for."""
        return self.operations / self.lane_operations

    @property
    def stalls(self) -> dict[str, int]:
        """Cycles without a token, by cause."""
        return {cause: getattr(self, f"{cause.removesuffix('s')}_stalls") for cause in CAUSES}

    @property
    def needs(self) -> dict[str, int]:
        """Cycles that the lanes and each stream take at least: none can be shorter than the longest of them."""
        return {
            "compute": self.issued,
            "weights": self.weight_beats,
            "activations": self.activation_beats,
            "output": self.result_beats,
        }

    @property
    def bound(self) -> str:
        """What takes most cycles: compute, weights, activations or output."""
        return max(self.needs, key=self.needs.__getitem__)

    def operations_per_second(self, hertz: float) -> float:
        """Return the ternary operations done in a second at a clock."""
        return self.operations / self.total * hertz


#: What the cycles of a list of jobs sum over the jobs.
_SUMMED = tuple(each.name for each in fields(JobCycles) if each.name not in {"start", "end", "lanes"})


@dataclass(frozen=True, kw_only=True)
class BatchCycles(JobCycles):
    """What a list of jobs costs.

    Attributes
    ----------
    jobs
        Each job on its own; their spans overlap.
    """

    jobs: tuple[JobCycles, ...] = field(default=())


def activation_beats(config: AcceleratorConfig, k: int, tokens: int) -> int:
    """Beats of the activation stream: every token starts a beat."""
    return tokens * -(-k // config.acts_per_beat)


def weight_beats(config: AcceleratorConfig, m: int, k: int) -> int:
    """Beats of a weight image: for each row tile its biases and its tiles."""
    return config.row_tiles(m) * (config.bias_beats + config.k_tiles(k) * config.tile_beats)


class SequencerCycles:
    """The sequencer: a token a cycle, each when its activations, its tile and room for its sums are there.

    Parameters
    ----------
    config
        The accelerator.
    loader, queue
        The blocks that it waits for.
    """

    def __init__(self, config: AcceleratorConfig, loader: LoaderCycles, queue: QueueCycles) -> None:
        self._config = config
        self._loader = loader
        self._queue = queue
        #: Cycle in which the last token was issued.
        self.issue = 0
        #: Cycle in which the last tile was taken.
        self._swap = 0
        #: First cycle in which a job may be taken that comes behind a sparse one.
        self.hold = 0
        self._first = True
        #: Cycle in which the job at hand was taken from the buffer.
        self.handed_over = 0
        self.stalls = dict.fromkeys(CAUSES, 0)

    def _step(self, **ready: int) -> int:
        """Issue the next token when all is ready; count the cycles until then for what came last."""
        self.issue += 1
        cause = max(ready, key=ready.__getitem__)
        if ready[cause] > self.issue:
            self.stalls[cause] += ready[cause] - self.issue
            self.issue = ready[cause]
        return self.issue

    def take_job(self, loaded: int, start: int) -> int:
        """Take a job that the buffer offers from a cycle on; return the first cycle of a token.

        `start` is the cycle in which the port took the job, from which on the first job's waits count.
        """
        if self._first:
            self._first = False
            self.issue = start - 1
            self.handed_over = max(loaded, self.hold)
        else:
            self.handed_over = max(loaded, self.hold, self.issue)
        return self.handed_over + 1

    def run(self, job: Job, activations: int) -> None:
        """Issue a job's tokens, the first not before a cycle."""
        config, loader, queue = self._config, self._loader, self._queue
        tiles, tokens, beats = config.k_tiles(job.k), job.tokens, config.tile_beats
        pace = max(tokens, beats)
        self.stalls = dict.fromkeys(CAUSES, 0)
        for low in range(0, job.m, config.rows):
            rows = min(config.rows, job.m - low)
            more = config.bias_beats
            tile = 0
            while tile < tiles - 1:
                weights = loader.tile(more, self._swap)
                self._swap = self._step(weights=weights, activations=activations)
                more = 0
                self.issue += tokens - 1
                tile += 1
                if loader.ideal and tiles - 1 > tile:
                    # Between the first tile and the last, tiles follow at the pace of the array or of the stream.
                    repeats = tiles - 1 - tile
                    self._swap += repeats * pace
                    self.stalls["weights"] += repeats * (pace - tokens)
                    self.issue = self._swap + tokens - 1
                    loader.skip(self._swap - pace + beats - 1)
                    tile += repeats
            weights = loader.tile(more, self._swap)
            self._swap = self._step(weights=weights, activations=activations, output=queue.room_at())
            for token in range(tokens):
                if token:
                    self._step(output=queue.room_at())
                last = low + rows == job.m and token == tokens - 1
                queue.push(self.issue, rows, last=last, accumulate=job.accumulate)


def batch_cycles(
    config: AcceleratorConfig,
    jobs: Sequence[Job],
    stalls: Stalls | Mapping[str, Pattern] | None = None,
) -> BatchCycles:
    """Return what jobs cost that an idle core runs one behind the other.

    Parameters
    ----------
    config
        The accelerator.
    jobs
        The jobs, all offered as soon as the core takes them.
    stalls
        Pauses of the streams: those of the bench, or patterns by stream; without any, and for a stream that is not
        named, the stream is ideal.

    Raises
    ------
    InputError
        No job, or a shape out of the configuration's bounds.
    """
    if not jobs:
        raise InputError("there is no job; one at least is needed")
    for job in jobs:
        config.check_job(job.m, job.k, job.tokens)
        if job.accumulate and not config.partial_sums:
            raise InputError("a job accumulates; the configuration has no partial_sums")
        if job.sparse and not (config.sparse and job.tokens == 1):
            raise InputError("a job is sparse; it takes a configuration with sparse, and one token")
    patterns = (
        {name: stalls.pattern(name) for name in STREAMS}
        if isinstance(stalls, Stalls)
        else {name: (stalls or {}).get(name, Ideal()) for name in STREAMS}
    )
    feeds = {name: Feed(pattern) for name, pattern in patterns.items()}
    drain = Drain(patterns["results"])
    port = JobPortCycles(feeds["jobs"])
    buffer = BufferCycles(config, feeds["activations"])
    loader = LoaderCycles(config, feeds["weights"])
    stage = PartialSumCycles(drain, feeds["partials"]) if config.partial_sums else ResultCycles(drain)
    queue = QueueCycles(config, PackerCycles(config, stage))
    sequencer = SequencerCycles(config, loader, queue)
    memory = ColumnMemory(
        latency=stalls.latency if isinstance(stalls, Stalls) else 1,
        places=COLUMN_PLACES,
        requests=patterns["requests"],
        columns=patterns["columns"],
    )
    unit = SparseCycles(config, feeds["activations"], memory)
    lanes = config.lanes * config.rows
    done = []
    for job in jobs:
        offered, start = port.take()
        if job.nonzero is not None:
            # The loader drops the job; the unit takes it when the activations of the one before are in.
            takes = (max(buffer.take_job(start), unit.finished + 1), start + 1, queue.take_job(start))
            port.leave(takes)

            def push(cycle: int, rows: int, last: bool, job: Job = job) -> None:
                queue.push(cycle - config.latency, rows, last=last, accumulate=job.accumulate)

            span = unit.run(
                takes[0],
                job.m,
                job.nonzero,
                turn=sequencer.issue + config.latency - 1,
                room_at=queue.room_at,
                push=push,
            )
            buffer.wait(span.scanned + 1)
            sequencer.hold = span.finished + 1
            issued, beats = 0, span.requests * config.column_phases
            waited = dict.fromkeys(CAUSES, 0)
        else:
            takes = (buffer.take_job(start), loader.take_job(start, offered), queue.take_job(start))
            port.leave(takes)
            loaded = buffer.load(takes[0], job.k, job.tokens, sequencer.handed_over)
            sequencer.run(job, sequencer.take_job(loaded, start))
            buffer.release(sequencer.issue, job.k, job.tokens)
            issued = config.row_tiles(job.m) * config.k_tiles(job.k) * job.tokens
            beats, waited = weight_beats(config, job.m, job.k), sequencer.stalls
        done.append(
            JobCycles(
                start=start,
                end=stage.left,
                issued=issued,
                weight_stalls=waited["weights"],
                activation_stalls=waited["activations"],
                output_stalls=waited["output"],
                weight_beats=beats,
                activation_beats=activation_beats(config, job.k, job.tokens),
                result_beats=-(-job.m * job.tokens // config.results_per_beat),
                operations=job.operations,
                lanes=lanes,
            )
        )
    return BatchCycles(
        start=done[0].start,
        end=done[-1].end,
        lanes=lanes,
        jobs=tuple(done),
        **{name: sum(getattr(job, name) for job in done) for name in _SUMMED},
    )


def job_cycles(config: AcceleratorConfig, m: int, k: int, tokens: int) -> JobCycles:
    """Return what one job costs when the core is idle and all streams are ideal.

    Raises
    ------
    InputError
        A shape out of the configuration's bounds.
    """
    return batch_cycles(config, [Job(m=m, k=k, tokens=tokens)]).jobs[0]


def product_cycles(config: AcceleratorConfig, m: int, k: int, tokens: int) -> list[BatchCycles]:
    """Return what a product costs under ideal streams: a batch of jobs for each slice of K.

    Raises
    ------
    InputError
        A shape out of the configuration's bounds.
    """
    return [batch_cycles(config, batch) for batch in split_product(config, m, k, tokens)]


@lru_cache(maxsize=1024)
def total_cycles(config: AcceleratorConfig, m: int, k: int, tokens: int) -> int:
    """Return the cycles of a product, the sum of its batches; kept, since a model has few shapes and many matrices.

    Raises
    ------
    InputError
        A shape out of the configuration's bounds.
    """
    return sum(batch.total for batch in product_cycles(config, m, k, tokens))
