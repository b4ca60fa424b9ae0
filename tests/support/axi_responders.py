"""A memory behind the AXI masters that answers what a test tells it to: cocotbext-axi's own knows no DECERR."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import cocotb
from cocotb.queue import Queue
from cocotb.triggers import RisingEdge
from cocotb.utils import get_sim_time
from cocotbext.axi import AxiResp, AxiSlaveRead, AxiSlaveWrite


@dataclass
class Memory:
    """Beats to read, words that were written, and the addresses that answer with an error.

    A read outside the beats, a write outside the words that are expected and a second write of a word are errors of
    the device under test, which `faults` names.
    """

    beats: dict[int, bytes] = field(default_factory=dict)
    responses: dict[int, int] = field(default_factory=dict)
    expected: set[int] = field(default_factory=set)
    words: dict[int, int] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    beats_read: int = 0

    def place(self, address: int, image: bytes, beat_bytes: int) -> None:
        """Put an image at an address."""
        for start in range(0, len(image), beat_bytes):
            self.beats[address + start] = image[start : start + beat_bytes]

    def remove(self, addresses: Iterable[int]) -> None:
        """Forget beats and what they answer."""
        for address in addresses:
            self.beats.pop(address, None)
            self.responses.pop(address, None)

    def read(self, address: int, beat_bytes: int) -> tuple[bytes, int]:
        """Return a beat and its response; an error comes with data that nobody may use."""
        self.beats_read += 1
        if address not in self.beats:
            self.faults.append(f"read of 0x{address:x}, where no image lies")
        response = self.responses.get(address, int(AxiResp.OKAY))
        data = b"\xa5" * beat_bytes if response else self.beats.get(address, bytes(beat_bytes))
        return data, response

    def write(self, address: int, data: int, strobes: int, beat_bytes: int) -> int:
        """Write the words of a beat and return its response."""
        for lane in range(beat_bytes // 4):
            strobe, word = strobes >> 4 * lane & 15, address + 4 * lane
            if strobe not in {0, 15}:
                self.faults.append(f"write of a part of a word, 0x{word:x}")
            if strobe and word not in self.expected:
                self.faults.append(f"write of 0x{word:x}, where no result lies")
            if strobe and word in self.words:
                self.faults.append(f"second write of 0x{word:x}")
            if strobe:
                self.words[word] = data >> 32 * lane & 0xFFFF_FFFF
        return self.responses.get(address, int(AxiResp.OKAY))


class MemoryReads(AxiSlaveRead):  # type: ignore[misc]
    """The memory's read port: answers in order, `latency` cycles after an address at the earliest.

    `period` is that of the clock in steps of the simulator.
    """

    def __init__(self, bus: Any, clock: Any, reset: Any, memory: Memory, period: int) -> None:
        self.memory = memory
        self.period = period
        self.latency = 0
        self._accepting: Any = None
        super().__init__(bus, clock, reset, reset_active_level=False)
        # What may be under way is for the device to say, not for a queue of the model's.
        self.ar_channel.queue_occupancy_limit = -1
        self.r_channel.queue_occupancy_limit = -1

    def _handle_reset(self, state: bool) -> None:
        super()._handle_reset(state)
        if self._accepting is not None:
            self._accepting.cancel()
            self._accepting = None

    async def _process_read(self) -> None:
        waiting: Queue[tuple[float, Any]] = Queue()
        self._accepting = cocotb.start_soon(self._accept(waiting))
        while True:
            due, address = await waiting.get()
            while get_sim_time("step") < due:
                await RisingEdge(self.clock)
            self._answer(address)

    async def _accept(self, waiting: "Queue[tuple[float, Any]]") -> None:
        """Note when each address came."""
        while True:
            address = await self.ar_channel.recv()
            waiting.put_nowait((get_sim_time("step") + self.latency * self.period, address))

    def _answer(self, address: Any) -> None:
        """Send the beats of a burst."""
        beats = int(address.arlen) + 1
        for beat in range(beats):
            data, response = self.memory.read(int(address.araddr) + beat * self.byte_lanes, self.byte_lanes)
            answer = self.r_channel._transaction_obj()
            answer.rid, answer.rlast, answer.rresp = address.arid, beat == beats - 1, response
            answer.rdata = int.from_bytes(data, "little")
            self.r_channel.send_nowait(answer)


class MemoryWrites(AxiSlaveWrite):  # type: ignore[misc]
    """The memory's write port."""

    def __init__(self, bus: Any, clock: Any, reset: Any, memory: Memory) -> None:
        self.memory = memory
        super().__init__(bus, clock, reset, reset_active_level=False)
        for channel in (self.aw_channel, self.w_channel, self.b_channel):
            channel.queue_occupancy_limit = -1

    async def _process_write(self) -> None:
        beat_bytes = self.byte_lanes
        while True:
            address = await self.aw_channel.recv()
            answer = self.b_channel._transaction_obj()
            answer.bid, answer.bresp = address.awid, int(AxiResp.OKAY)
            for beat in range(int(address.awlen) + 1):
                data = await self.w_channel.recv()
                place = int(address.awaddr) + beat * beat_bytes
                response = self.memory.write(place, int(data.wdata), int(data.wstrb), beat_bytes)
                answer.bresp = max(int(answer.bresp), response)
            await self.b_channel.send(answer)
