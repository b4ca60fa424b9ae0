"""The host's end of the link, written for tests: frames to bytes and back, by nothing but the protocol's document."""

import struct
import zlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from driving import WatchdogError

#: Of the simulated clock, in seconds.
PERIOD = 1e-8
HELLO, READ, WRITE = range(3)
OK, BAD_CHECKSUM, UNKNOWN_OP, OUT_OF_BOUNDS, NO_REGISTER = range(5)
REGISTERS, WEIGHTS, ACTIVATIONS, RESULTS = (space << 28 for space in range(4))


def request(
    op: int, tag: int, address: int = 0, words: int | None = None, payload: bytes = b"", *, flip: int = 0
) -> bytes:
    """Bytes of a request; `flip` spoils its checksum."""
    count = len(payload) // 4 if words is None else words
    body = struct.pack("<BBIH", op, tag, address, count) + payload
    return b"TF" + body + struct.pack("<I", zlib.crc32(body) ^ flip)


def words_of(payload: bytes) -> list[int]:
    return list(struct.unpack(f"<{len(payload) // 4}I", payload))


def bytes_of(words: list[int]) -> bytes:
    return struct.pack(f"<{len(words)}I", *words)


@dataclass(frozen=True)
class Answer:
    status: int
    tag: int
    words: tuple[int, ...] = ()


@dataclass
class Answers:
    """Takes bytes and finds the answers in them; whatever else comes is an error."""

    found: list[Answer] = field(default_factory=list)
    rest: bytes = b""

    def take(self, byte: int) -> None:
        self.rest += bytes([byte])
        assert b"tf".startswith(self.rest[:2]), f"{self.rest!r} starts no answer"
        if len(self.rest) < 6:
            return
        status, tag, words = struct.unpack_from("<BBH", self.rest, 2)
        if len(self.rest) < 10 + 4 * words:
            return
        body, checksum = self.rest[2:-4], self.rest[-4:]
        assert struct.unpack("<I", checksum) == (zlib.crc32(body),)
        self.found.append(Answer(status, tag, tuple(words_of(body[4:]))))
        self.rest = b""


def watchdog(cycles: int) -> Callable[[Any], Awaitable[None]]:
    """Return a background process that ends a simulation which does not end by itself."""

    async def watch(ctx: Any) -> None:
        await ctx.delay(cycles * PERIOD)
        raise WatchdogError(f"the host was not ready after {cycles} cycles")

    return watch


async def put_byte(ctx: Any, stream: Any, byte: int) -> None:
    """Give one byte to a stream."""
    ctx.set(stream.payload, byte)
    ctx.set(stream.valid, 1)
    ready = False
    while not ready:
        *_, ready = await ctx.tick().sample(stream.ready)
    ctx.set(stream.valid, 0)
