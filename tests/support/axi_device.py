"""An AXI top in the simulator as a host sees it: registers by name, memory, streams, pauses on every channel."""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import cocotb
import numpy as np
import numpy.typing as npt
from axi_bench import CHANNELS
from axi_responders import Memory, MemoryReads, MemoryWrites
from cocotb.triggers import RisingEdge, SimTimeoutError, with_timeout
from cocotbext.axi import (
    AxiLiteBus,
    AxiLiteMaster,
    AxiReadBus,
    AxiResp,
    AxiStreamBus,
    AxiStreamSink,
    AxiStreamSource,
    AxiWriteBus,
)

from tritforge.accel.axi_config import AxiConfig
from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.register_map import registers
from tritforge.models.image import pack_image
from tritforge.models.operands import order_results, pack_activations
from tritforge.sim.bench_driver import pack_partials

#: The driver's clock has 2 ns.
CYCLE_NS = 2


class WatchdogError(AssertionError):
    """Something took more cycles than it can need."""


@dataclass(kw_only=True, eq=False)
class HostJob:
    """A job with its operands and their places in memory.

    Attributes
    ----------
    x, w, partials
        Activations (T, K), weights (M, K), and partial sums (T, M) of a job that accumulates.
    weights_at, results_at, stride
        Bytes: the image, the results and the distance of two tokens' rows; the latter two with a write master.
    image
        What lies in memory: the packed weights, or what a test made of them.
    overrides
        Values of registers that a test sets in place of the job's own.
    """

    x: npt.NDArray[np.integer]
    w: npt.NDArray[np.int8]
    partials: npt.NDArray[np.int32] | None = None
    weights_at: int = 0
    results_at: int = 0
    stride: int = 0
    image: bytes = b""
    overrides: dict[str, int] = field(default_factory=dict)

    @property
    def shape(self) -> tuple[int, int, int]:
        """M, K and T."""
        return *self.w.shape, len(self.x)

    @property
    def expected(self) -> npt.NDArray[np.int32]:
        """Y[T, M], modulo 2**32 as partial sums add up."""
        sums = self.x.astype(np.int64) @ self.w.astype(np.int64).T
        return (sums + (0 if self.partials is None else self.partials.astype(np.int64))).astype(np.int32)

    def registers(self) -> dict[str, int]:
        """Return what the job's registers are to hold."""
        m, k, tokens = self.shape
        values = {
            "JOB_M": m,
            "JOB_K": k,
            "JOB_TOKENS": tokens,
            "JOB_FLAGS": int(self.partials is not None),
            "WEIGHTS_LO": self.weights_at & 0xFFFF_FFFF,
            "WEIGHTS_HI": self.weights_at >> 32,
            "RESULTS_LO": self.results_at & 0xFFFF_FFFF,
            "RESULTS_HI": self.results_at >> 32,
            "RESULT_STRIDE": self.stride,
        }
        return values | self.overrides


class Device:
    """The top's ports: a control master, a memory behind the masters, a source and a sink of streams.

    Parameters
    ----------
    dut
        The bench of `axi_bench.axi_bench`.
    config, axi
        Of the top.
    seed
        Of the pauses.
    """

    def __init__(self, dut: Any, config: AcceleratorConfig, axi: AxiConfig, seed: int) -> None:
        self.dut, self.config, self.axi = dut, config, axi
        self.memory = Memory()
        self.map = registers(config, axi.control)
        ends = (dut.aclk, dut.aresetn)
        self.control = AxiLiteMaster(AxiLiteBus.from_prefix(dut, "s_axi_control"), *ends, False)
        self.reads = MemoryReads(AxiReadBus.from_prefix(dut, "m_axi_weights"), *ends, self.memory, CYCLE_NS)
        self.activations = AxiStreamSource(AxiStreamBus.from_prefix(dut, "s_axis_activations"), *ends, False)
        self.channels = {
            "control_aw": self.control.write_if.aw_channel,
            "control_w": self.control.write_if.w_channel,
            "control_b": self.control.write_if.b_channel,
            "control_ar": self.control.read_if.ar_channel,
            "control_r": self.control.read_if.r_channel,
            "weights_ar": self.reads.ar_channel,
            "weights_r": self.reads.r_channel,
            "activations": self.activations,
        }
        self.sink = self.writes = self.partials = None
        if axi.write_master:
            bus = AxiWriteBus.from_prefix(dut, "m_axi_results")
            self.writes = MemoryWrites(bus, *ends, self.memory)
            self.channels |= {
                "results_aw": self.writes.aw_channel,
                "results_w": self.writes.w_channel,
                "results_b": self.writes.b_channel,
            }
        else:
            self.sink = AxiStreamSink(AxiStreamBus.from_prefix(dut, "m_axis_results"), *ends, False)
            self.channels["results"] = self.sink
        if config.partial_sums:
            self.partials = AxiStreamSource(AxiStreamBus.from_prefix(dut, "s_axis_partials"), *ends, False)
            self.channels["partials"] = self.partials
        self._shares: dict[str, float] = {}
        self._random = random.Random(seed)  # noqa: S311
        cocotb.start_soon(self._pause_channels())

    # Time

    @property
    def cycle(self) -> int:
        """Cycles since the start of the simulation."""
        return int(self.dut.cycle.value)

    async def wait(self, cycles: int) -> None:
        """Let cycles pass."""
        for _ in range(cycles):
            await RisingEdge(self.dut.aclk)

    async def reset(self, cycles: int = 3) -> None:
        """Reset the device and, with it, all that is connected to it."""
        self.dut.reset_request.value = 1
        await self.wait(cycles)
        if self.sink is not None:
            self.sink.clear()
        for source in (self.activations, self.partials):
            if source is not None:
                source.clear()
        self.dut.reset_request.value = 0
        await self.wait(cycles)

    # Pauses

    def pause(self, shares: Mapping[str, float]) -> None:
        """Let channels pause in a share of the cycles, the others never."""
        self._shares = dict(shares)
        for name, channel in self.channels.items():
            if name not in self._shares:
                channel.pause = False

    def pause_at_random(self) -> dict[str, float]:
        """Let channels pause: none, some or all of them, from rarely to almost always."""
        choose = self._random
        some = choose.random()
        self.pause(
            {
                name: choose.choice((0.1, 0.3, 0.6, 0.9))
                for name in self.channels
                if some > 0.2 and choose.random() < some
            }
        )
        return self._shares

    async def _pause_channels(self) -> None:
        while True:
            await RisingEdge(self.dut.aclk)
            for name, share in self._shares.items():
                self.channels[name].pause = self._random.random() < share

    # Registers

    async def read(self, name: str, index: int = 0) -> int:
        """Return a register's word."""
        offset = self.map[name].offsets[index]
        answer = await self._limited(self.control.read(offset, 4), f"read of {name}")
        assert answer.resp == AxiResp.OKAY, f"{name} answers {answer.resp!r}"
        return int.from_bytes(answer.data, "little")

    async def write(self, values: Mapping[str, int]) -> None:
        """Write registers, those that lie side by side in one go."""
        runs: list[tuple[int, bytes]] = []
        for offset, value in sorted((self.map[name].offset, value) for name, value in values.items()):
            word = value.to_bytes(4, "little")
            if runs and runs[-1][0] + len(runs[-1][1]) == offset:
                runs[-1] = (runs[-1][0], runs[-1][1] + word)
            else:
                runs.append((offset, word))
        for offset, data in runs:
            answer = await self._limited(self.control.write(offset, data), f"write of 0x{offset:x}")
            assert answer.resp == AxiResp.OKAY, f"0x{offset:x} answers {answer.resp!r}"

    async def _limited(self, coroutine: Any, what: str, cycles: int = 20_000) -> Any:
        """Wait for something with a watchdog."""
        try:
            return await with_timeout(coroutine, CYCLE_NS * cycles, "ns")
        except SimTimeoutError:
            raise WatchdogError(f"{what}: nothing after {cycles} cycles") from None

    async def poll(self, name: str, done: Callable[[int], bool], cycles: int = 100_000) -> int:
        """Read a register until its word is as wanted."""
        end = self.cycle + cycles
        while not done(word := await self.read(name)):
            await self.wait(8)
            if self.cycle > end:
                raise WatchdogError(f"{name} is still 0x{word:x} after {cycles} cycles")
        return word

    # Jobs

    def place(self, job: HostJob) -> None:
        """Put the job's image into memory, packed unless a test has made one."""
        job.image = job.image or pack_image(self.config, job.w)
        self.memory.place(job.weights_at, job.image, self.config.weight_port_bits // 8)
        if self.axi.write_master:
            self.memory.expected.update(self.result_words(job).ravel().tolist())

    def remove(self, job: HostJob) -> None:
        """Take the job's image and its results out of memory."""
        beat_bytes = self.config.weight_port_bits // 8
        self.memory.remove(range(job.weights_at, job.weights_at + len(job.image), beat_bytes))
        if self.axi.write_master:
            words = set(self.result_words(job).ravel().tolist())
            self.memory.expected -= words
            for word in words:
                self.memory.words.pop(word, None)
                self.memory.responses.pop(word, None)

    def result_words(self, job: HostJob) -> npt.NDArray[np.int64]:
        """Return the addresses of Y[T, M]."""
        m, _, tokens = job.shape
        return job.results_at + job.stride * np.arange(tokens)[:, None] + 4 * np.arange(m)[None, :]

    async def start(self, job: HostJob) -> None:
        """Write the job's registers and start it; what it needs from streams is for `feed`."""
        await self.write({name: value for name, value in job.registers().items() if name in self.map})
        await self.write({"CONTROL": self.map["CONTROL"].encode(start=1)})

    def feed(self, job: HostJob) -> None:
        """Offer what a job takes from streams."""
        beats = pack_activations(self.config, job.x)
        size = self.config.act_port_bits // 8
        for start in range(0, len(beats), size):
            self.activations.send_nowait(beats[start : start + size])
        if self.partials is not None and job.partials is not None:
            beats = pack_partials(self.config, job.partials)
            size = self.config.result_port_bits // 8
            for start in range(0, len(beats), size):
                self.partials.send_nowait(beats[start : start + size])

    async def packet(self, cycles: int) -> npt.NDArray[np.int32]:
        """Return the words of the next result packet."""
        assert self.sink is not None
        frame = await self._limited(self.sink.recv(), "a result packet", cycles)
        return np.frombuffer(bytes(frame.tdata), dtype="<i4")

    def written(self, job: HostJob) -> npt.NDArray[np.int32] | None:
        """Return the words that lie in memory, in the order of a stream; None when one was not written."""
        words = self.result_words(job)
        found = [self.memory.words.get(int(address)) for address in words.ravel()]
        if None in found:
            return None
        result = np.array(found, dtype=np.uint32).view(np.int32).reshape(words.shape)
        return order_results(self.config, result)

    def wrong_words(self, job: HostJob) -> int:
        """Return the number of words of a job's results in memory that are not right, missing ones apart."""
        pairs = zip(self.result_words(job).ravel(), job.expected.ravel(), strict=True)
        return sum(
            self.memory.words.get(int(at), int(word) & 0xFFFF_FFFF) != int(word) & 0xFFFF_FFFF
            for at, word in pairs
        )

    def ordered(self, job: HostJob) -> npt.NDArray[np.int32]:
        """Return the job's words as a stream of results carries them."""
        return order_results(self.config, job.expected)

    def transfers(self) -> dict[str, int]:
        """Return the transfers on each channel that the device drives."""
        channels = [channel for channel in CHANNELS if hasattr(self.dut, f"{channel}_taken")]
        return {channel: int(getattr(self.dut, f"{channel}_taken").value) for channel in channels}

    def breaches(self) -> list[str]:
        """Return what was broken of the protocol or asked of memory in vain."""
        rules = int(self.dut.broken.value)
        found = [f"a rule of AXI was broken: bits 0x{rules:x} of `broken`"] if rules else []
        return found + self.memory.faults[:5]
