"""Streams driven and watched in Amaranth's simulator: random pauses, a watchdog, words counted.

Every source must get rid of all its items, every sink must get exactly as many as it expects, and after the last one
the simulation goes on for a while to see that no more come.
"""

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from amaranth.lib import wiring
from amaranth.sim import Simulator

from tritforge.accel.config import NEGATIONS, PACKINGS, AcceleratorConfig
from tritforge.accel.core import Core
from tritforge.models.image import pack_image
from tritforge.models.operands import pack_activations, unpack_results


class WatchdogError(AssertionError):
    """A simulation did not end in time."""


@dataclass
class Source:
    """A stream's items and the cycles in which each was taken."""

    stream: Any
    items: Sequence[Any]
    pause: float = 0.0
    taken: list[int] = field(default_factory=list)

    async def run(self, ctx: Any, choose: random.Random) -> None:
        cycle = 0
        for item in self.items:
            while choose.random() < self.pause:
                await ctx.tick()
                cycle += 1
            ctx.set(self.stream.payload, item)
            ctx.set(self.stream.valid, 1)
            ready = False
            while not ready:
                *_, ready = await ctx.tick().sample(self.stream.ready)
                cycle += 1
            self.taken.append(cycle)
            ctx.set(self.stream.valid, 0)


@dataclass
class Sink:
    """A stream's expected number of items, what came, and in which cycles."""

    stream: Any
    count: int
    pause: float = 0.0
    #: Counts an item; a sink that counts a packet's ends passes those alone.
    counts: Callable[[Any], bool] = lambda _: True
    items: list[Any] = field(default_factory=list)
    taken: list[int] = field(default_factory=list)
    seen: int = 0

    async def run(self, ctx: Any, choose: random.Random) -> None:
        cycle = 0
        held: Any = None
        while True:
            ctx.set(self.stream.ready, choose.random() >= self.pause)
            *_, valid, ready, payload = await ctx.tick().sample(
                self.stream.valid, self.stream.ready, self.stream.payload
            )
            cycle += 1
            if held is not None:
                assert valid, f"cycle {cycle}: valid fell before the item was taken"
                assert payload == held, f"cycle {cycle}: the payload changed before it was taken"
            held = payload if valid and not ready else None
            if valid and ready:
                self.items.append(payload)
                self.taken.append(cycle)
                self.seen += self.counts(payload)


def simulate(
    dut: wiring.Component,
    sources: Sequence[Source],
    sinks: Sequence[Sink],
    *,
    seed: int = 0,
    limit: int = 20_000,
    drain: int = 20,
    processes: Iterable[Callable[..., Any]] = (),
) -> None:
    """Run a component until its sinks have what they expect, and `drain` cycles more.

    Parameters
    ----------
    dut
        The component.
    sources, sinks
        Its streams.
    seed
        Of the pauses; printed, so that a failing test shows it.
    limit
        Watchdog: cycles after which the simulation fails.
    drain
        Cycles in which nothing more may come.
    processes
        Further background testbenches.
    """
    print(f"simulation seed {seed}")
    simulator = Simulator(dut)
    simulator.add_clock(1e-8)
    ends: list[Source | Sink] = [*sources, *sinks]
    for index, end in enumerate(ends):
        choose = random.Random(f"{seed}/{index}")  # noqa: S311

        async def drive(ctx: Any, end: Source | Sink = end, choose: random.Random = choose) -> None:
            await end.run(ctx, choose)

        simulator.add_testbench(drive, background=True)
    for process in processes:
        simulator.add_testbench(process, background=True)

    async def watch(ctx: Any) -> None:
        for _ in range(limit):
            await ctx.tick()
            done = all(sink.seen >= sink.count for sink in sinks)
            if done and all(len(source.taken) == len(source.items) for source in sources):
                await ctx.tick().repeat(drain)
                return
        left = [len(source.items) - len(source.taken) for source in sources]
        missing = [sink.count - sink.seen for sink in sinks]
        raise WatchdogError(f"after {limit} cycles sources hold {left} items and sinks miss {missing}")

    simulator.add_testbench(watch)
    simulator.run()
    for sink in sinks:
        assert sink.seen == sink.count, f"{sink.seen} items came, {sink.count} were expected"


@dataclass(frozen=True, kw_only=True)
class Pauses:
    """Share of cycles in which each stream of a core pauses."""

    jobs: float = 0.0
    activations: float = 0.0
    weights: float = 0.0
    results: float = 0.0


#: No stream pauses.
IDEAL = Pauses()
#: Every stream pauses.
RAGGED = Pauses(jobs=0.3, activations=0.3, weights=0.3, results=0.5)


@dataclass(frozen=True, kw_only=True, eq=False)
class Product:
    """A job's operands: activations ``x[T, K]`` and weights ``w[M, K]``."""

    x: npt.NDArray[np.int64]
    w: npt.NDArray[np.int8]

    @property
    def shape(self) -> tuple[int, int, int]:
        """M, K and T."""
        m, k = self.w.shape
        return m, k, len(self.x)

    @property
    def job(self) -> dict[str, int]:
        return dict(zip(("m", "k", "tokens"), self.shape, strict=True))

    @property
    def expected(self) -> npt.NDArray[np.int64]:
        """Y[T, M] by plain integer arithmetic."""
        return self.x.astype(np.int64) @ self.w.astype(np.int64).T

    @classmethod
    def random(
        cls, generator: np.random.Generator, m: int, k: int, tokens: int, act_bits: int = 8
    ) -> "Product":
        limit = 1 << (act_bits - 1)
        return cls(
            x=generator.integers(-limit, limit, (tokens, k)),
            w=generator.integers(-1, 2, (m, k)).astype(np.int8),
        )


def beats(data: bytes, port_bits: int) -> list[int]:
    """Cut a stream's bytes into beats."""
    size = port_bits // 8
    assert len(data) % size == 0
    return [int.from_bytes(data[start : start + size], "little") for start in range(0, len(data), size)]


def words_of(beat: Any) -> list[int]:
    """Words of a result beat that are kept; the kept ones must come first."""
    keep = int(beat.keep)
    assert keep & (keep + 1) == 0, f"words kept are not the first ones: {keep:b}"
    return [int(word) for index, word in enumerate(beat.words) if keep >> index & 1]


@dataclass(frozen=True, kw_only=True)
class CoreRun:
    """What came out of a core.

    Attributes
    ----------
    results
        ``Y[T, M]`` of each job.
    cycles
        From the cycle in which the first job was taken to that in which the last beat left, both counted.
    full_beats
        Whether every beat but each job's last was full.
    """

    results: list[npt.NDArray[np.int32]]
    cycles: int
    full_beats: bool


def run_core(
    config: AcceleratorConfig,
    products: Sequence[Product],
    *,
    pauses: Pauses = IDEAL,
    seed: int = 0,
    core: Core | None = None,
    limit: int = 20_000,
    processes: Iterable[Callable[..., Any]] = (),
) -> CoreRun:
    """Run jobs back to back on a core in Amaranth's simulator."""
    dut = core or Core(config)
    activations = b"".join(pack_activations(config, product.x) for product in products)
    weights = b"".join(pack_image(config, product.w) for product in products)
    jobs = Source(dut.jobs, [product.job for product in products], pauses.jobs)
    sink = Sink(dut.results, len(products), pauses.results, counts=lambda beat: bool(beat.last))
    simulate(
        dut,
        [
            jobs,
            Source(dut.activations, beats(activations, config.act_port_bits), pauses.activations),
            Source(dut.weights, beats(weights, config.weight_port_bits), pauses.weights),
        ],
        [sink],
        seed=seed,
        limit=limit,
        processes=processes,
    )
    results: list[npt.NDArray[np.int32]] = []
    words: list[int] = []
    full = True
    for beat in sink.items:
        got = words_of(beat)
        words += got
        full &= len(got) == config.results_per_beat or bool(beat.last)
        if beat.last:
            m, _, tokens = products[len(results)].shape
            array = np.array(words, dtype=np.uint32).view(np.int32)
            results.append(unpack_results(config, array, m, tokens))
            words = []
    assert not words, f"{len(words)} words came after the last job"
    return CoreRun(results=results, cycles=sink.taken[-1] - jobs.taken[0] + 1, full_beats=full)


def assert_equal(run: CoreRun, products: Sequence[Product]) -> None:
    """Compare every word of every job."""
    assert len(run.results) == len(products)
    for index, (result, product) in enumerate(zip(run.results, products, strict=True)):
        np.testing.assert_array_equal(result, product.expected, err_msg=f"job {index}, M K T {product.shape}")


def random_config(generator: np.random.Generator) -> AcceleratorConfig:
    """Draw a small configuration; lanes need not be a power of two."""
    act_bits = int(generator.choice([2, 5, 8, 8, 8, 11]))
    container = 8 if act_bits <= 8 else 16
    acts_per_beat = int(generator.choice([1, 2, 4]))
    return AcceleratorConfig(
        lanes=int(generator.choice([4, 8, 12, 16])),
        rows=int(generator.choice([1, 2, 3, 4, 7])),
        tokens_max=int(generator.choice([1, 2, 4, 5])),
        k_max=int(generator.choice([40, 64])),
        m_max=64,
        act_bits=act_bits,
        act_port_bits=container * acts_per_beat,
        weight_port_bits=int(generator.choice([16, 32, 64])),
        result_port_bits=int(generator.choice([32, 64, 128])),
    )


def random_shape(generator: np.random.Generator, config: AcceleratorConfig) -> tuple[int, int, int]:
    """Draw M, K and T within a configuration's bounds."""
    return (
        int(generator.integers(1, 33)),
        int(generator.integers(1, config.k_max + 1)),
        int(generator.integers(1, config.tokens_max + 1)),
    )


def random_bench_config(generator: np.random.Generator, index: int) -> AcceleratorConfig:
    """Draw a small configuration for the simulated Verilog: narrow ports, buffers that jobs fill.

    With the index every packing comes with every negation in turn, with and without partial sums, on every datapath.
    """
    change = {
        "packing": PACKINGS[index % 3],
        "negation": NEGATIONS[index // 2 % 2],
        "partial_sums": index % 4 == 1,
        "weight_port_bits": int(generator.choice([16, 32, 64, 128])),
        "tree_arity": int(generator.choice([2, 3, 4])),
        "levels_per_register": int(generator.choice([1, 2])),
        "chain_length": int(generator.choice([2, 4])),
        "adders_per_chain": int(generator.choice([1, 2])),
    }
    if index % 4 == 3:
        fused = {"datapath": "fused", "target": ("ecp5", "xilinx")[index // 4 % 2], "negation": "carry"}
        change |= fused
    return AcceleratorConfig.from_dict(change, base=random_config(generator))
