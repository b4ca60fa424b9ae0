"""Memory behind AXI4 in Amaranth's simulator, which holds the master to the protocol in every cycle."""

import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

BOUNDARY = 4096


@dataclass(frozen=True)
class BurstOf:
    """A burst that was asked for: its first byte address, and its beats."""

    address: int
    beats: int


class Stays:
    """Checks that a channel keeps what it offers until it is taken."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.held: Any = None

    def see(self, valid: int, ready: int, payload: Any) -> bool:
        """Note a cycle, and return whether a transfer took place."""
        if self.held is not None:
            assert valid, f"{self.name}: valid fell before ready"
            assert payload == self.held, f"{self.name}: the payload changed before ready"
        self.held = payload if valid and not ready else None
        return bool(valid and ready)


def check_address(payload: Any, beat_bytes: int, longest: int) -> BurstOf:
    """Check the signals of an address channel, and return the burst."""
    address, beats = int(payload.addr), int(payload.len) + 1
    assert address % beat_bytes == 0, f"{address:#x} is no multiple of a beat"
    assert address // BOUNDARY == (address + beats * beat_bytes - 1) // BOUNDARY, (
        f"a burst of {beats} beats at {address:#x} crosses 4 KiB"
    )
    assert beats <= longest, f"a burst has {beats} beats; {longest} were allowed"
    assert (int(payload.burst), 1 << int(payload.size)) == (1, beat_bytes)
    assert (int(payload.id), int(payload.lock)) == (0, 0)
    return BurstOf(address, beats)


@dataclass
class ReadMemory:
    """Answers reads in order.

    Attributes
    ----------
    bus
        Of the master: `AxiRead`.
    data
        Beat at a byte address.
    longest, outstanding
        Bounds on the beats of a burst and on bursts under way.
    pause
        Share of cycles in which a channel pauses.
    latency
        Cycles from a request to its first beat, at least.
    response
        Of a byte address.
    """

    bus: Any
    data: Callable[[int], int]
    longest: int = 256
    outstanding: int = 16
    pause: float = 0.0
    latency: int = 0
    response: Callable[[int], int] = lambda _: 0
    seed: int = 0
    bursts: list[BurstOf] = field(default_factory=list)
    asked: list[int] = field(default_factory=list)
    sent: int = 0
    most: int = 0

    async def run(self, ctx: Any) -> None:
        choose = random.Random(f"memory {self.seed}")  # noqa: S311
        ar, r = self.bus.ar, self.bus.r
        beat_bytes = len(r.payload.data) // 8
        stays, waiting = Stays("AR"), deque[tuple[int, int, bool]]()
        under_way, cycle, offered = 0, 0, False
        while True:
            ctx.set(ar.ready, choose.random() >= self.pause)
            if not offered and waiting and waiting[0][0] <= cycle and choose.random() >= self.pause:
                _, address, last = waiting[0]
                answer = {"data": self.data(address), "resp": self.response(address), "last": last, "id": 0}
                ctx.set(r.payload, answer)
                offered = True
            ctx.set(r.valid, offered)
            *_, ar_valid, ar_ready, payload, r_ready = await ctx.tick().sample(
                ar.valid, ar.ready, ar.payload, r.ready
            )
            cycle += 1
            if offered and r_ready:
                _, _, last = waiting.popleft()
                under_way -= last
                self.sent += 1
                offered = False
            assert r_ready, "RREADY waits although room was reserved"
            if stays.see(ar_valid, ar_ready, payload):
                burst = check_address(payload, beat_bytes, self.longest)
                self.bursts.append(burst)
                self.asked.append(cycle)
                under_way += 1
                for index in range(burst.beats):
                    last = index == burst.beats - 1
                    waiting.append((cycle + self.latency, burst.address + index * beat_bytes, last))
            self.most = max(self.most, under_way)
            assert under_way <= self.outstanding, f"{under_way} reads are under way"


@dataclass
class WriteMemory:
    """Takes writes and answers them in order.

    Attributes
    ----------
    bus
        Of the master: `AxiWrite`.
    longest, outstanding, pause, latency, response
        As of `ReadMemory`; a burst is answered for its first address.
    lazy
        Whether an address is taken only after its data.
    written
        Bytes that were written, by address, and how often each was.
    """

    bus: Any
    longest: int = 256
    outstanding: int = 16
    pause: float = 0.0
    latency: int = 0
    lazy: bool = False
    response: Callable[[int], int] = lambda _: 0
    seed: int = 0
    bursts: list[BurstOf] = field(default_factory=list)
    written: dict[int, int] = field(default_factory=dict)
    times: dict[int, int] = field(default_factory=dict)
    answered: int = 0
    most: int = 0
    beats: list[int] = field(default_factory=list)

    def store(self, address: int, payload: Any) -> None:
        """Write the bytes of a beat."""
        data, strobes = int(payload.data), int(payload.strb)
        for index in range(strobes.bit_length()):
            if strobes >> index & 1:
                place = address + index
                self.written[place] = data >> 8 * index & 0xFF
                self.times[place] = self.times.get(place, 0) + 1

    async def run(self, ctx: Any) -> None:
        choose = random.Random(f"memory {self.seed}")  # noqa: S311
        aw, w, b = self.bus.aw, self.bus.w, self.bus.b
        beat_bytes = len(w.payload.data) // 8
        stays = {"AW": Stays("AW"), "W": Stays("W")}
        # Whole bursts of data without an address, addresses without data, and answers that are due.
        data, addresses, due = deque[list[Any]](), deque[BurstOf](), deque[tuple[int, int]]()
        burst: list[Any] = []
        under_way, cycle, offered = 0, 0, False
        while True:
            held_back = self.lazy and not data
            ctx.set(aw.ready, not held_back and choose.random() >= self.pause)
            ctx.set(w.ready, choose.random() >= self.pause)
            if not offered and due and due[0][0] <= cycle and choose.random() >= self.pause:
                ctx.set(b.payload, {"id": 0, "resp": self.response(due[0][1])})
                offered = True
            ctx.set(b.valid, offered)
            *_, aw_valid, aw_ready, address, w_valid, w_ready, beat, b_ready = await ctx.tick().sample(
                aw.valid, aw.ready, aw.payload, w.valid, w.ready, w.payload, b.ready
            )
            cycle += 1
            if offered and b_ready:
                due.popleft()
                under_way -= 1
                self.answered += 1
                offered = False
            assert b_ready, "BREADY waits"
            if stays["AW"].see(aw_valid, aw_ready, address):
                self.bursts.append(check_address(address, beat_bytes, self.longest))
                addresses.append(self.bursts[-1])
                under_way += 1
            if stays["W"].see(w_valid, w_ready, beat):
                self.beats.append(cycle)
                burst.append(beat)
                if beat.last:
                    data.append(burst)
                    burst = []
            while data and addresses:
                place, beats = addresses.popleft(), data.popleft()
                assert len(beats) == place.beats, f"{place.beats} beats were announced and {len(beats)} came"
                for index, payload in enumerate(beats):
                    self.store(place.address + index * beat_bytes, payload)
                due.append((cycle + self.latency, place.address))
            self.most = max(self.most, under_way)
            assert under_way <= self.outstanding, f"{under_way} writes are under way"
