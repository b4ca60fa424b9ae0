"""The sparse unit alone in Amaranth's simulator: streams with pauses, a memory with latency, a queue with room."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from amaranth.sim import Simulator

from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.sparse import SparseUnit
from tritforge.models.columns import column_bytes, pack_columns
from tritforge.sim.streams import Ideal, Pattern

Codes = npt.NDArray[np.int64]
Operands = tuple[Codes, npt.NDArray[np.int8]]


@dataclass(frozen=True, kw_only=True)
class Environment:
    """What surrounds the unit.

    Attributes
    ----------
    activations, requests, columns, room, turn
        Cycles in which a stream pauses, the queue is full, or it is not the unit's turn.
    latency, places
        Of the memory.
    """

    activations: Pattern = field(default_factory=Ideal)
    requests: Pattern = field(default_factory=Ideal)
    columns: Pattern = field(default_factory=Ideal)
    room: Pattern = field(default_factory=Ideal)
    turn: Pattern = field(default_factory=Ideal)
    latency: int = 1
    places: int = 16


@dataclass
class UnitRun:
    """What the unit did: sums of each job, columns it asked for, and cycles."""

    sums: list[Codes] = field(default_factory=list)
    requests: list[list[int]] = field(default_factory=list)
    taken: list[int] = field(default_factory=list)
    finished: list[int] = field(default_factory=list)
    illegal: int = 0


def activation_beats(config: AcceleratorConfig, x: Codes) -> list[int]:
    """Pack a token; what fills its last beat is rubbish."""
    bits = config.act_container_bits
    mask = (1 << bits) - 1
    beats = []
    for start in range(0, len(x), config.acts_per_beat):
        acts = [int(act) & mask for act in x[start : start + config.acts_per_beat]]
        acts += [0x55 & mask] * (config.acts_per_beat - len(acts))
        beats.append(sum(act << bits * index for index, act in enumerate(acts)))
    return beats


class _Bench:
    """The surroundings of one run: what is seen in a cycle decides what is offered in the next."""

    def __init__(
        self, unit: SparseUnit, jobs: Sequence[Operands], images: Sequence[bytes], environment: Environment
    ) -> None:
        self.unit, self.jobs, self.images, self.env = unit, jobs, images, environment
        self.config = unit.config
        self.run = UnitRun(requests=[[]])
        self.waiting = deque(jobs)
        self.acts = deque(beat for x, _ in jobs for beat in activation_beats(unit.config, x))
        # Beats of the columns asked for: the cycle from which each may be offered, and whether it is a column's last.
        self.due: deque[tuple[int, int, bool]] = deque()
        self.under_way = 0
        self.rows: list[int] = []
        self.reserved = False

    @property
    def done(self) -> bool:
        """Whether every job's sums are out."""
        return len(self.run.sums) == len(self.jobs)

    def look(self, ctx: Any, cycle: int) -> list[Any]:
        """Note what happens in a cycle; return the streams into the unit whose item is taken."""
        unit, run = self.unit, self.run
        taken = [
            stream
            for stream in (unit.jobs, unit.activations, unit.columns)
            if ctx.get(stream.valid) and ctx.get(stream.ready)
        ]
        if unit.jobs in taken:
            self.waiting.popleft()
            run.taken.append(cycle)
        if unit.activations in taken:
            self.acts.popleft()
        if unit.columns in taken:
            self.under_way -= self.due.popleft()[2]
        if ctx.get(unit.requests.valid) and ctx.get(unit.requests.ready):
            self.ask(ctx.get(unit.requests.payload), cycle)
        run.illegal += ctx.get(unit.illegal)
        if ctx.get(unit.finished):
            run.finished.append(cycle)
        assert ctx.get(unit.room) or not ctx.get(unit.reserve), "a place was taken that there is not"
        assert ctx.get(unit.push) == self.reserved, "an entry is pushed a cycle after its place was taken"
        self.reserved = bool(ctx.get(unit.reserve))
        if ctx.get(unit.push):
            self.collect(ctx.get(unit.sums))
        return taken

    def ask(self, request: Any, cycle: int) -> None:
        """Look a column up; it comes after the latency."""
        size, step = column_bytes(self.config), self.config.weight_port_bits // 8
        image = self.images[len(self.run.requests) - 1]
        self.run.requests[-1].append(int(request.column))
        self.under_way += 1
        for start in range(0, size, step):
            place = int(request.column) * size + start
            beat = int.from_bytes(image[place : place + step], "little")
            self.due.append((cycle + self.env.latency, beat, start + step == size))
        if request.last:
            self.run.requests.append([])

    def collect(self, sums: int) -> None:
        """Take an entry apart."""
        bits = self.config.acc_bits
        for row in range(self.config.rows):
            word = sums >> row * bits & (1 << bits) - 1
            self.rows.append(word - (word >> bits - 1 << bits))
        m = len(self.jobs[len(self.run.sums)][1])
        if len(self.rows) >= m:
            self.run.sums.append(np.array(self.rows[:m]))
            self.rows = []

    def offer(self, ctx: Any, cycle: int, taken: list[Any]) -> None:
        """Decide in a cycle what the next one sees; called behind the clock's edge."""
        unit, env = self.unit, self.env

        def clear(pattern: Pattern) -> bool:
            return pattern.clear(cycle) == cycle

        for stream in taken:
            ctx.set(stream.valid, 0)
        if self.waiting and not ctx.get(unit.jobs.valid):
            x, w = self.waiting[0]
            ctx.set(unit.jobs.valid, 1)
            ctx.set(unit.jobs.payload, {"m": len(w), "k": len(x), "tokens": 1})
        if self.acts and not ctx.get(unit.activations.valid) and clear(env.activations):
            ctx.set(unit.activations.valid, 1)
            ctx.set(unit.activations.payload, self.acts[0])
        if (
            self.due
            and self.due[0][0] <= cycle + 1
            and not ctx.get(unit.columns.valid)
            and clear(env.columns)
        ):
            ctx.set(unit.columns.valid, 1)
            ctx.set(unit.columns.payload, self.due[0][1])
        ctx.set(unit.requests.ready, self.under_way < env.places and clear(env.requests))
        ctx.set(unit.room, clear(env.room))
        ctx.set(unit.turn, clear(env.turn))


def run_unit(
    config: AcceleratorConfig,
    jobs: Sequence[Operands],
    environment: Environment | None = None,
    *,
    images: Sequence[bytes] | None = None,
    limit: int = 100_000,
) -> UnitRun:
    """Run jobs ``(x[K], w[M, K])`` back to back; decisions begin in cycle 0."""
    unit = SparseUnit(config)
    packed = images or [pack_columns(config, w) for _, w in jobs]
    bench = _Bench(unit, jobs, packed, environment or Environment())

    async def drive(ctx: Any) -> None:
        for cycle in range(limit):
            taken = bench.look(ctx, cycle)
            if bench.done and not bench.reserved:
                break
            await ctx.tick()
            bench.offer(ctx, cycle, taken)
        assert bench.done, f"{len(bench.run.sums)} of {len(jobs)} jobs ended in {limit} cycles"

    simulator = Simulator(unit)
    simulator.add_clock(1e-8)
    simulator.add_testbench(drive)
    simulator.run()
    assert not bench.acts
    assert not bench.due
    assert bench.run.requests.pop() == []
    return bench.run


def random_sparse_config(generator: np.random.Generator) -> AcceleratorConfig:
    """Draw a small configuration with every packing and length of a column."""
    act_bits = int(generator.choice([2, 5, 8, 8, 8, 11, 16]))
    container = 8 if act_bits <= 8 else 16
    return AcceleratorConfig(
        sparse=True,
        target=str(generator.choice(["generic", "ecp5"])),
        packing=str(generator.choice(["i2", "s5", "s8"])),
        weight_port_bits=int(generator.choice([16, 32])),
        column_beats=int(generator.choice([0, 1, 2, 4])),
        rows=int(generator.choice([1, 2, 3, 4, 6, 8])),
        lanes=4,
        k_max=40,
        m_max=512,
        act_bits=act_bits,
        act_port_bits=container * int(generator.choice([1, 2, 4])),
    )


def random_jobs(generator: np.random.Generator, config: AcceleratorConfig, count: int = 2) -> list[Operands]:
    """Draw jobs whose activations are all zero, mostly zero or hardly ever zero."""
    jobs = []
    limit = 1 << (config.act_bits - 1)
    for _ in range(count):
        m = int(generator.integers(1, min(config.m_max, 3 * config.column_rows) + 1))
        k = int(generator.integers(1, config.k_max + 1))
        x = generator.integers(-limit, limit, k) * (generator.random(k) < generator.choice([0, 0.1, 0.5, 1]))
        jobs.append((x, generator.integers(-1, 2, (m, k)).astype(np.int8)))
    return jobs


def assert_exact(config: AcceleratorConfig, run: UnitRun, jobs: Sequence[Operands]) -> None:
    """Compare every sum and every request of every job."""
    for (x, w), sums, requests in zip(jobs, run.sums, run.requests, strict=True):
        np.testing.assert_array_equal(sums, w.astype(np.int64) @ x)
        columns = np.flatnonzero(x) if x.any() else [0]
        blocks = range(-(-len(w) // config.column_rows))
        assert requests == [block * len(x) + column for block in blocks for column in columns]
    assert len(run.finished) == len(jobs)
