"""A controlled core in Amaranth's simulator: a host at its registers, memory, operands and results around it."""

import random
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
from amaranth.sim import Simulator
from driving import Product, WatchdogError, beats, words_of

from tritforge.accel.controlled_core import ControlledCore
from tritforge.accel.registers import RegisterMap
from tritforge.models.image import pack_image
from tritforge.models.operands import pack_activations, unpack_results


class BusHost:
    """Reads and writes registers by name over a `RegisterBus`."""

    def __init__(self, ctx: Any, bus: Any, registers: RegisterMap) -> None:
        self.ctx, self.bus, self.registers = ctx, bus, registers

    async def access(
        self, offset: int, *, write: bool = False, data: int = 0, strobe: int = 15
    ) -> tuple[int, int]:
        """Access a word; return the data read and whether the address is known."""
        ctx, bus = self.ctx, self.bus
        ctx.set(bus.address, offset // 4)
        ctx.set(bus.w_data, data)
        ctx.set(bus.w_strb, strobe)
        ctx.set(bus.write if write else bus.read, 1)
        await ctx.tick()
        ctx.set(bus.write, 0)
        ctx.set(bus.read, 0)
        # What is on the bus after its strobe must not matter.
        ctx.set(bus.address, 0x3FF)
        *_, data, known = await ctx.tick().sample(bus.r_data, bus.known)
        return data, known

    async def write(self, name: str, data: int, *, strobe: int = 15) -> None:
        *_, known = await self.access(self.registers[name].offset, write=True, data=data, strobe=strobe)
        assert known, name

    async def read(self, name: str, index: int = 0) -> int:
        data, known = await self.access(self.registers[name].offsets[index])
        assert known, name
        return data

    async def fields(self, name: str, index: int = 0) -> dict[str, int]:
        return self.registers[name].decode(await self.read(name, index))

    async def control(self, bit: str) -> None:
        await self.write("CONTROL", self.registers["CONTROL"].encode(**{bit: 1}))

    async def start(self, m: int, k: int, tokens: int, **others: int) -> None:
        """Write a job's registers and start it; `others` are further registers by name."""
        values = {"JOB_M": m, "JOB_K": k, "JOB_TOKENS": tokens} | others
        for name, value in values.items():
            await self.write(name, value)
        await self.control("start")

    async def wait_for(self, name: str, condition: Callable[[int], bool], limit: int = 4000) -> int:
        """Read a register until a condition holds; return its word."""
        for _ in range(limit):
            word = await self.read(name)
            if condition(word):
                return word
        raise WatchdogError(f"{name} is {word:#x} after {limit} reads")

    async def wait_idle(self) -> None:
        busy = self.registers["STATUS"]["busy"].mask
        await self.wait_for("STATUS", lambda word: not word & busy)


@dataclass(kw_only=True)
class Surroundings:
    """What is around a controlled core: memory that holds images, operands, a taker of results.

    Attributes
    ----------
    images
        Beats by byte address; a beat is its data and the memory's response.
    pause
        Share of cycles in which each stream pauses.
    store_errors
        Responses to the results of the jobs to come; 0 for those beyond its end.
    operands, partials
        Beats to offer, in order; the host adds to them.
    packets
        What came: words of each packet, and whether it ended with a beat that keeps none.
    fetched
        Fetches taken: m, k, address, number.
    """

    images: dict[int, list[tuple[int, int]]] = field(default_factory=dict)
    pause: float = 0.0
    store_errors: deque[int] = field(default_factory=deque)
    operands: deque[int] = field(default_factory=deque)
    partials: deque[int] = field(default_factory=deque)
    packets: list[tuple[list[int], bool]] = field(default_factory=list)
    fetched: list[tuple[int, int, int, int]] = field(default_factory=list)
    stored: list[dict[str, int]] = field(default_factory=list)
    weight_pause: float | None = None
    result_pause: float | None = None

    def processes(
        self, dut: ControlledCore, choose: random.Random
    ) -> Iterable[Callable[[Any], Awaitable[None]]]:
        """Return the testbenches that run in the background."""
        yield partial(self._memory, dut=dut, choose=choose)
        yield partial(self._source, stream=dut.activations, items=self.operands, choose=choose)
        if dut.config.partial_sums:
            yield partial(self._source, stream=dut.partials, items=self.partials, choose=choose)
        yield partial(self._results, dut=dut, choose=choose)

    async def _memory(self, ctx: Any, dut: ControlledCore, choose: random.Random) -> None:
        """Take fetches, answer with beats; in an abort forget all, a while later."""
        waiting: deque[tuple[int, int]] = deque()
        settle = 0
        while True:
            pause = self.pause if self.weight_pause is None else self.weight_pause
            offer = bool(waiting) and choose.random() >= pause
            offer = offer or (ctx.get(dut.weights.valid) and bool(waiting))
            ctx.set(dut.weights.valid, offer)
            if offer:
                ctx.set(dut.weights.payload, dict(zip(("data", "error"), waiting[0], strict=True)))
            take = choose.random() >= self.pause
            ctx.set(dut.fetches.ready, take)
            ctx.set(dut.quiet, settle == 0)
            *_, quiesce, ready, valid, fetch = await ctx.tick().sample(
                dut.quiesce, dut.weights.ready, dut.fetches.valid, dut.fetches.payload
            )
            if offer and ready:
                waiting.popleft()
            if quiesce:
                settle = max(settle - 1, 0) if not waiting else choose.randrange(20)
                waiting.clear()
                ctx.set(dut.weights.valid, 0)
            elif take and valid:
                self.fetched.append((fetch.m, fetch.k, fetch.address, fetch.number))
                waiting.extend(self.images[fetch.address])

    async def _source(self, ctx: Any, stream: Any, items: deque[int], choose: random.Random) -> None:
        while True:
            if items and choose.random() >= self.pause:
                ctx.set(stream.payload, items[0])
                ctx.set(stream.valid, 1)
                ready = False
                while not ready:
                    *_, ready = await ctx.tick().sample(stream.ready)
                if items:
                    items.popleft()
                ctx.set(stream.valid, 0)
            else:
                await ctx.tick()

    async def _results(self, ctx: Any, dut: ControlledCore, choose: random.Random) -> None:
        """Take results, and say some cycles after each packet that it is stored."""
        words: list[int] = []
        pulses: deque[int] = deque()
        cycle, held = 0, None
        while True:
            pause = self.pause if self.result_pause is None else self.result_pause
            ctx.set(dut.results.ready, choose.random() >= pause)
            due = bool(pulses) and pulses[0] <= cycle
            ctx.set(dut.stored, due)
            if due:
                pulses.popleft()
                ctx.set(dut.store_error, self.store_errors.popleft() if self.store_errors else 0)
            ctx.set(dut.stores.ready, choose.random() >= self.pause)
            *_, valid, ready, beat, quiesce, store_valid, store_ready, store = await ctx.tick().sample(
                dut.results.valid,
                dut.results.ready,
                dut.results.payload,
                dut.quiesce,
                dut.stores.valid,
                dut.stores.ready,
                dut.stores.payload,
            )
            cycle += 1
            if held is not None:
                assert valid, "a result beat went before it was taken"
                assert beat == held, "a result beat changed before it was taken"
            held = beat if valid and not ready else None
            if store_valid and store_ready and not quiesce:
                self.stored.append(
                    {name: int(store[name]) for name in ("m", "tokens", "address", "stride", "number")}
                )
            if valid and ready:
                words += words_of(beat)
                if beat.last:
                    self.packets.append((words, not beat.keep))
                    words = []
                    latest = pulses[-1] + 1 if pulses else 0
                    pulses.append(max(cycle + (choose.randrange(6) if self.pause else 0), latest))
            if quiesce:
                pulses.clear()


def image_beats(dut: ControlledCore, product: Product) -> list[tuple[int, int]]:
    """Return the beats of a product's weight image, each without an error."""
    config = dut.config
    return [(beat, 0) for beat in beats(pack_image(config, product.w), config.weight_port_bits)]


def operand_beats(dut: ControlledCore, product: Product) -> list[int]:
    """Return the beats of a product's activations."""
    return beats(pack_activations(dut.config, product.x), dut.config.act_port_bits)


def results_of(dut: ControlledCore, words: Sequence[int], product: Product) -> npt.NDArray[np.int32]:
    """Return ``Y[T, M]`` of a packet."""
    m, _, tokens = product.shape
    array = np.array(words, dtype=np.uint32).view(np.int32)
    return unpack_results(dut.config, array, m, tokens)


def run_host(
    dut: ControlledCore,
    host: Callable[[BusHost], Awaitable[None]],
    around: Surroundings,
    *,
    seed: int = 0,
    limit: int = 60_000,
    processes: Iterable[Callable[..., Any]] = (),
) -> None:
    """Run a host's program to its end; the watchdog counts cycles."""
    print(f"simulation seed {seed}")
    simulator = Simulator(dut)
    simulator.add_clock(1e-8)
    for process in (*around.processes(dut, random.Random(seed)), *processes):  # noqa: S311
        simulator.add_testbench(process, background=True)
    ended = False

    async def watch(ctx: Any) -> None:
        for _ in range(limit):
            await ctx.tick()
        raise WatchdogError(f"the host's program did not end within {limit} cycles")

    async def main(ctx: Any) -> None:
        nonlocal ended
        await host(BusHost(ctx, dut.registers, dut.map))
        await ctx.tick().repeat(30)
        ended = True

    simulator.add_testbench(watch, background=True)
    simulator.add_testbench(main)
    simulator.run()
    assert ended
