"""The protocol of the host link: frames with checksums over a stream of bytes, asked again until they are answered.

A request names an operation, a tag, an address and a number of words; its answer repeats the tag. The board carries
out a request only when its checksum is right, and answers one that has the tag of the last again without carrying it
out again: whatever is lost, garbled or repeated on the way, a request that is sent until its answer comes happens
once. ``docs/link.md`` has the bytes.
"""

import enum
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Protocol

from tritforge.accel.errors import BoardError
from tritforge.sim.byte_stream import ByteStream

REQUEST_SYNC = b"TF"
ANSWER_SYNC = b"tf"
WORD_BYTES = 4
#: Largest payload of a frame, in words.
LARGEST_WORDS = 64
PROTOCOL_VERSION = 1
CHECKSUM = struct.Struct("<I")
#: Operation, tag, address, words: what follows the sync of a request.
REQUEST_HEAD = struct.Struct("<BBIH")
#: Status, tag, words: what follows the sync of an answer.
ANSWER_HEAD = struct.Struct("<BBH")
#: Words of the answer to a greeting: version, largest payload in words, silence that ends a frame in characters, 0.
HELLO_WORDS = 4

#: Silence, in character times, that ends a broken frame, where the board has not said its own yet.
SILENCE_CHARACTERS = 1024
#: How often a request is sent before the host gives up.
ATTEMPTS = 6
#: Bytes that belong to no answer and are thrown away while one is waited for; more of them are another conversation.
LARGEST_GARBAGE = 1 << 16


class Op(enum.IntEnum):
    """What a request asks for."""

    HELLO = 0
    READ = 1
    WRITE = 2


class Status(enum.IntEnum):
    """What an answer says."""

    OK = 0
    BAD_CHECKSUM = 1
    UNKNOWN_OP = 2
    OUT_OF_BOUNDS = 3
    NO_REGISTER = 4


class WordBus(Protocol):
    """Reads and writes of whole 32-bit words by address, little-endian: what the driver of a device needs."""

    def read(self, address: int, length: int, on_bytes: Callable[[int], None] | None = None) -> bytes:
        """Return `length` bytes from an address on, both multiples of a word's."""

    def write(self, address: int, data: bytes, on_bytes: Callable[[int], None] | None = None) -> None:
        """Write whole words from an address on."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """An answer whose checksum is right.

    Attributes
    ----------
    status
        One of `Status`, or what a later version of the protocol says.
    tag
        Of the request.
    payload
        Words, little-endian.
    """

    status: int
    tag: int
    payload: bytes = b""


@dataclass(kw_only=True)
class LinkCounts:
    """What happened on the link.

    Attributes
    ----------
    requests
        Requests that were answered.
    retries
        Times that one was sent again.
    garbage
        Bytes received that belonged to no answer.
    bytes_sent, bytes_received
        All bytes.
    """

    requests: int = 0
    retries: int = 0
    garbage: int = 0
    bytes_sent: int = 0
    bytes_received: int = 0


def encode_request(op: int, tag: int, address: int, words: int, payload: bytes = b"") -> bytes:
    """Return the bytes of a request."""
    body = REQUEST_HEAD.pack(op, tag, address, words) + payload
    return REQUEST_SYNC + body + CHECKSUM.pack(zlib.crc32(body))


def encode_answer(answer: Answer) -> bytes:
    """Return the bytes of an answer."""
    head = ANSWER_HEAD.pack(answer.status, answer.tag, len(answer.payload) // WORD_BYTES)
    body = head + answer.payload
    return ANSWER_SYNC + body + CHECKSUM.pack(zlib.crc32(body))


class AnswerScanner:
    """Finds answers in what is received, whatever lies between them.

    Attributes
    ----------
    garbage
        Bytes passed over so far.
    """

    def __init__(self) -> None:
        self.garbage = 0
        self._data = bytearray()

    def feed(self, data: bytes) -> None:
        """Take received bytes."""
        self._data += data

    def next(self) -> Answer | None:
        """Return the next answer; None when more bytes are needed for one."""
        while True:
            self._skip_to_sync()
            head_end = len(ANSWER_SYNC) + ANSWER_HEAD.size
            if len(self._data) < head_end:
                return None
            status, tag, words = ANSWER_HEAD.unpack_from(self._data, len(ANSWER_SYNC))
            end = head_end + words * WORD_BYTES
            if words <= LARGEST_WORDS:
                if len(self._data) < end + CHECKSUM.size:
                    return None
                (checksum,) = CHECKSUM.unpack_from(self._data, end)
                if checksum == zlib.crc32(self._data[len(ANSWER_SYNC) : end]):
                    payload = bytes(self._data[head_end:end])
                    del self._data[: end + CHECKSUM.size]
                    return Answer(status=status, tag=tag, payload=payload)
            # Not an answer, or a broken one: another may begin within it.
            self._drop(1)

    @property
    def missing(self) -> int:
        """Bytes, one or more, that are surely needed for the next answer, after `next` returned None."""
        head_end = len(ANSWER_SYNC) + ANSWER_HEAD.size
        if len(self._data) < head_end:
            return head_end + CHECKSUM.size - len(self._data)
        _, _, words = ANSWER_HEAD.unpack_from(self._data, len(ANSWER_SYNC))
        return head_end + int(words) * WORD_BYTES + CHECKSUM.size - len(self._data)

    def give_up(self) -> None:
        """After a silence: what waits for more bytes will get none, but an answer may begin within it."""
        if self._data:
            self._drop(1)

    def _skip_to_sync(self) -> None:
        start = self._data.find(ANSWER_SYNC)
        if start < 0:
            start = len(self._data) - self._data.endswith(ANSWER_SYNC[:1])
        self._drop(start)

    def _drop(self, count: int) -> None:
        self.garbage += count
        del self._data[:count]


class Link:
    """A board's words over a stream of bytes: one request at a time, sent again until it is answered.

    Parameters
    ----------
    stream
        What carries the bytes. Who opened it closes it.
    attempts
        How often a request is sent before the link gives up.
    first_tag
        Tag of the first request; random unless told, so that two programs one after the other rarely use the same.

    Attributes
    ----------
    counts
        What happened so far.

    Raises
    ------
    BoardError
        Nothing answers, or something that speaks another version.
    """

    def __init__(self, stream: ByteStream, *, attempts: int = ATTEMPTS, first_tag: int | None = None) -> None:
        self.counts = LinkCounts()
        self._stream = stream
        self._attempts = attempts
        self._tag = Random().randrange(256) if first_tag is None else first_tag  # noqa: S311  (no secret)
        self._scanner = AnswerScanner()
        self._silence = SILENCE_CHARACTERS
        # What an earlier program asked for may still be on its way; and a frame that it left broken ends by silence.
        self._drain()
        greeting = self._ask(Op.HELLO, 0, HELLO_WORDS, 0)
        version, self._largest, self._silence, _ = struct.unpack(f"<{HELLO_WORDS}I", greeting)
        if version != PROTOCOL_VERSION:
            raise BoardError(
                f"the board on {stream.name} speaks version {version} of the link's protocol, and this program "
                f"version {PROTOCOL_VERSION}; build its bitstream again"
            )
        if not 1 <= self._largest <= LARGEST_WORDS:
            raise BoardError(
                f"the board on {stream.name} takes {self._largest} words in a frame; 1 to {LARGEST_WORDS} is needed"
            )

    def read(self, address: int, length: int, on_bytes: Callable[[int], None] | None = None) -> bytes:
        """Return `length` bytes from an address on, both multiples of 4.

        Parameters
        ----------
        address, length
            In bytes.
        on_bytes
            Called after each frame with the bytes that are done.

        Raises
        ------
        BoardError
            No answer, or one that says why not.
        """
        parts = []
        step = self._largest * WORD_BYTES
        for start in range(0, length, step):
            size = min(step, length - start)
            parts.append(self._ask(Op.READ, address + start, size // WORD_BYTES, size // WORD_BYTES))
            if on_bytes is not None:
                on_bytes(start + size)
        return b"".join(parts)

    def write(self, address: int, data: bytes, on_bytes: Callable[[int], None] | None = None) -> None:
        """Write bytes, a multiple of 4, from an address on; see `read`."""
        step = self._largest * WORD_BYTES
        for start in range(0, len(data), step):
            part = data[start : start + step]
            self._ask(Op.WRITE, address + start, 0, len(part) // WORD_BYTES, part)
            if on_bytes is not None:
                on_bytes(start + len(part))

    def _ask(self, op: Op, address: int, answered: int, words: int, payload: bytes = b"") -> bytes:
        """Send a request until it is answered; return the words of the answer, `answered` of them."""
        self._tag = (self._tag + 1) % 256
        frame = encode_request(op, self._tag, address, words, payload)
        heard = self._scanner.garbage
        for attempt in range(self._attempts):
            if attempt:
                self.counts.retries += 1
                self._wait(attempt)
            self._stream.write(frame)
            self.counts.bytes_sent += len(frame)
            answer = self._await(self._tag, len(frame), answered)
            if answer is None or answer.status == Status.BAD_CHECKSUM:
                continue
            self.counts.requests += 1
            self.counts.garbage = self._scanner.garbage
            if answer.status != Status.OK:
                raise BoardError(f"the board refused to {_describe(op, address, words)}: {_reason(answer)}")
            if len(answer.payload) != answered * WORD_BYTES:
                raise BoardError(
                    f"the board answered {len(answer.payload) // WORD_BYTES} words when asked to "
                    f"{_describe(op, address, words)}; {answered} are due"
                )
            return answer.payload
        self.counts.garbage = self._scanner.garbage
        noise = self._scanner.garbage - heard
        said = f"{noise} bytes came that are no answer: another baud rate?" if noise else "nothing came back"
        raise BoardError(
            f"no answer on {self._stream.name} when asked {self._attempts} times to "
            f"{_describe(op, address, words)}; {said}"
        )

    def _await(self, tag: int, sent: int, answered: int) -> Answer | None:
        """Wait for the answer to a request; None when it does not come, or not whole."""
        size = len(ANSWER_SYNC) + ANSWER_HEAD.size + answered * WORD_BYTES + CHECKSUM.size
        seconds = self._stream.latency_seconds + (sent + size) * self._stream.character_seconds
        limit = self._scanner.garbage + LARGEST_GARBAGE
        late = LARGEST_WORDS
        while self._scanner.garbage < limit and late:
            answer = self._scanner.next()
            if answer is not None:
                # A board cannot tell whose checksum was wrong; any other tag is an answer that came late.
                if answer.tag == tag or answer.status == Status.BAD_CHECKSUM:
                    return answer
                late -= 1
                continue
            if not self._receive(self._scanner.missing, seconds):
                # What looked like the beginning of an answer may hide a whole one.
                self._scanner.give_up()
                if (answer := self._scanner.next()) is not None and answer.tag == tag:
                    return answer
                return None
        return None

    def _receive(self, count: int, seconds: float) -> int:
        data = self._stream.read(count, seconds)
        self._scanner.feed(data)
        self.counts.bytes_received += len(data)
        return len(data)

    def _wait(self, attempt: int) -> None:
        """Let time pass, longer each time: what garbled the last attempt may last, and silence ends a broken frame.

        What comes meanwhile is kept, since it may be the answer.
        """
        self._receive(LARGEST_GARBAGE, max(self._pause, self._stream.latency_seconds * (1 << attempt - 1)))

    @property
    def _pause(self) -> float:
        """Silence, in seconds, after which the board has thrown away a frame that is not whole."""
        return 1.1 * self._silence * self._stream.character_seconds

    def _drain(self) -> None:
        """Throw away what comes until the line is silent."""
        for _ in range(self._attempts):
            data = self._stream.read(LARGEST_GARBAGE, max(self._pause, self._stream.latency_seconds))
            self.counts.bytes_received += len(data)
            if not data:
                return


def _describe(op: Op, address: int, words: int) -> str:
    if op == Op.HELLO:
        return "greet"
    return f"{'read' if op == Op.READ else 'write'} {words} words at 0x{address:08x}"


def _reason(answer: Answer) -> str:
    reasons = {
        Status.UNKNOWN_OP: "it does not know the operation",
        Status.OUT_OF_BOUNDS: "address or length is out of its bounds",
        Status.NO_REGISTER: "a word of these is no register of it",
    }
    known = {int(status): reason for status, reason in reasons.items()}
    return known.get(answer.status, f"status {answer.status}")
