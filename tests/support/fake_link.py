"""A board's end of the link in Python, over a line that loses, garbles, repeats and delays bytes; time is made up."""

import zlib
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from tritforge.sim.byte_stream import ByteStream
from tritforge.sim.link_protocol import (
    CHECKSUM,
    HELLO_WORDS,
    LARGEST_WORDS,
    PROTOCOL_VERSION,
    REQUEST_HEAD,
    REQUEST_SYNC,
    WORD_BYTES,
    Answer,
    Op,
    Status,
    encode_answer,
)

#: Characters of silence after which a frame that is not whole is thrown away.
SILENCE = 32
CHARACTER = 1e-5
LATENCY = 2e-3
#: What can happen to a byte, by name: what comes out in its place, and the pause before it in characters.
FAULTS: dict[str, tuple[Callable[[int], bytes], int]] = {
    "lost": (lambda byte: b"", 0),
    "garbled": (lambda byte: bytes([byte ^ 0x10]), 0),
    "repeated": (lambda byte: bytes([byte, byte]), 0),
    "inserted": (lambda byte: b"TFtf\x00" + bytes([byte]), 0),
    "late": (lambda byte: bytes([byte]), 2 * SILENCE),
    "very late": (lambda byte: bytes([byte]), round(3 * LATENCY / CHARACTER)),
}


@dataclass(frozen=True)
class Fault:
    """What happens to one byte.

    Attributes
    ----------
    up
        Whether it is on the way from the board.
    at
        Its number there, from 0.
    kind
        Of `FAULTS`; ``reset`` resets the board before it gets the byte.
    """

    up: bool
    at: int
    kind: str


class Words(Protocol):
    """What lies behind the link."""

    def fits(self, address: int, words: int, *, write: bool) -> bool: ...
    def known(self, address: int) -> bool: ...
    def read_word(self, address: int) -> int: ...
    def write_word(self, address: int, value: int) -> None: ...
    def reset(self) -> None: ...


class Memory:
    """Plain words, one of which may be no register, and a log of what was written."""

    def __init__(self, words: int, *, hole: int | None = None) -> None:
        self.words = [0] * words
        self.hole = hole
        self.log: list[tuple[int, int]] = []

    def fits(self, address: int, words: int, *, write: bool) -> bool:
        return address % WORD_BYTES == 0 and address // WORD_BYTES + words <= len(self.words)

    def known(self, address: int) -> bool:
        return address != self.hole

    def read_word(self, address: int) -> int:
        return self.words[address // WORD_BYTES]

    def write_word(self, address: int, value: int) -> None:
        self.words[address // WORD_BYTES] = value
        self.log.append((address, value))

    def reset(self) -> None:
        self.words = [0] * len(self.words)


class FakeLink:
    """Takes the bytes of requests, one by one, and gives those of answers."""

    def __init__(self, words: Words, *, version: int = PROTOCOL_VERSION) -> None:
        self.words = words
        self._version = version
        self._frame = bytearray()
        self._last: int | None = None

    def reset(self) -> None:
        """As when the board's configuration is loaded: nothing is remembered."""
        self._frame.clear()
        self._last = None
        self.words.reset()

    def silence(self) -> None:
        """Nothing came for a while."""
        self._frame.clear()

    def take(self, byte: int) -> bytes:
        """Take a byte; return the answer that it completes a request of, or nothing."""
        frame = self._frame
        frame.append(byte)
        if len(frame) <= len(REQUEST_SYNC):
            if not REQUEST_SYNC.startswith(frame):
                # The second byte of a broken sync may be the first of the next.
                del frame[: len(frame) - frame.endswith(REQUEST_SYNC[:1])]
            return b""
        head_end = len(REQUEST_SYNC) + REQUEST_HEAD.size
        if len(frame) < head_end:
            return b""
        op, tag, address, words = REQUEST_HEAD.unpack_from(frame, len(REQUEST_SYNC))
        end = head_end + (words * WORD_BYTES if op == Op.WRITE else 0)
        if len(frame) < end + CHECKSUM.size:
            return b""
        (checksum,) = CHECKSUM.unpack_from(frame, end)
        body, payload = bytes(frame[len(REQUEST_SYNC) : end]), bytes(frame[head_end:end])
        frame.clear()
        if checksum != zlib.crc32(body):
            return encode_answer(Answer(status=Status.BAD_CHECKSUM, tag=tag))
        return encode_answer(self._carry_out(op, tag, address, words, payload))

    def _carry_out(self, op: int, tag: int, address: int, words: int, payload: bytes) -> Answer:
        if op == Op.HELLO:
            if words:
                return Answer(status=Status.OUT_OF_BOUNDS, tag=tag)
            self._last = None
            limits = (self._version, LARGEST_WORDS, SILENCE, 0)[:HELLO_WORDS]
            return Answer(status=Status.OK, tag=tag, payload=b"".join(_word(value) for value in limits))
        if op not in {Op.READ, Op.WRITE}:
            return Answer(status=Status.UNKNOWN_OP, tag=tag)
        if not 0 < words <= LARGEST_WORDS or not self.words.fits(address, words, write=op == Op.WRITE):
            return Answer(status=Status.OUT_OF_BOUNDS, tag=tag)
        places = range(address, address + words * WORD_BYTES, WORD_BYTES)
        again, self._last = tag == self._last, tag
        status = Status.OK if all(self.words.known(place) for place in places) else Status.NO_REGISTER
        if op == Op.READ:
            data = b"".join(_word(self.words.read_word(place)) for place in places)
            return Answer(status=status, tag=tag, payload=data)
        for index, place in enumerate(places):
            if not again:
                self.words.write_word(place, int.from_bytes(payload[4 * index : 4 * index + 4], "little"))
        return Answer(status=status, tag=tag)


def _word(value: int) -> bytes:
    return value.to_bytes(WORD_BYTES, "little")


class FaultyLine(ByteStream):
    """The line between the host and a `FakeLink`, with faults at numbered bytes and a clock of its own."""

    def __init__(self, board: FakeLink, faults: Iterable[Fault] = ()) -> None:
        self.name = "fake"
        self.character_seconds = CHARACTER
        self.latency_seconds = LATENCY
        self.now = 0.0
        self.board = board
        #: Bytes that went down to the board and up from it.
        self.passed = [0, 0]
        self._faults: dict[tuple[bool, int], list[str]] = {}
        for fault in faults:
            self.break_later(fault)
        self._arriving: deque[tuple[float, int]] = deque()
        self._down_free = self._up_free = self._heard = 0.0

    def break_later(self, fault: Fault) -> None:
        """Plan one more fault."""
        self._faults.setdefault((fault.up, fault.at), []).append(fault.kind)

    def write(self, data: bytes) -> None:
        for byte in data:
            for each in self._pass(byte, up=False):
                self._down_free = max(self._down_free, self.now) + CHARACTER
                if self._down_free - self._heard > SILENCE * CHARACTER:
                    self.board.silence()
                self._heard = self._down_free
                for answer in self.board.take(each):
                    self._send_up(answer)

    def read(self, count: int, seconds: float) -> bytes:
        end = self.now + seconds
        data = bytearray()
        while self._arriving and len(data) < count and self._arriving[0][0] <= end:
            when, byte = self._arriving.popleft()
            self.now = max(self.now, when)
            data.append(byte)
        if len(data) < count:
            self.now = end
        return bytes(data)

    def close(self) -> None:
        """Nothing to give back."""

    def _send_up(self, byte: int) -> None:
        for each in self._pass(byte, up=True):
            self._up_free = max(self._up_free, self._down_free) + CHARACTER
            self._arriving.append((self._up_free, each))

    def _pass(self, byte: int, *, up: bool) -> bytes:
        number = self.passed[up]
        self.passed[up] += 1
        data = bytes([byte])
        for kind in self._faults.get((up, number), ()):
            if kind == "reset":
                self.board.reset()
                continue
            change, pause = FAULTS[kind]
            data = b"".join(change(each) for each in data)
            if up:
                self._up_free = max(self._up_free, self._down_free) + pause * CHARACTER
            else:
                self._down_free = max(self._down_free, self.now) + pause * CHARACTER
        return data
