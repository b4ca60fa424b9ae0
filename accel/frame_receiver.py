"""Requests of the host link: found in a stream of bytes, checked, their payload put into a buffer."""

import enum
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from amaranth.hdl import Cat, Module, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.crc import Processor, catalog
from amaranth.lib.data import StructLayout
from amaranth.lib.wiring import In, Out

#: What a request and an answer start with.
REQUEST_SYNC = b"TF"
ANSWER_SYNC = b"tf"
#: Words of the largest payload.
LARGEST_WORDS = 64
#: Bytes of the buffer that holds it.
BUFFER_BYTES = 4 * LARGEST_WORDS
#: The checksum of both: CRC-32 as in zlib.
CHECKSUM = catalog.CRC32_ISO_HDLC
CHECKSUM_BYTES = 4


class Op(enum.IntEnum):
    """What a request asks for."""

    HELLO = 0
    READ = 1
    WRITE = 2


def request_layout() -> StructLayout:
    """Layout of a request behind its sync, in the order of its bytes, and whether its checksum was right."""
    return StructLayout({"op": 8, "tag": 8, "address": 32, "words": 16, "intact": 1})


_HEAD_BITS = 64
#: Writes a state of the given name.
_State = Callable[[str], AbstractContextManager[None]]


class FrameReceiver(wiring.Component):
    """Hunts for requests and checks them.

    A frame that ends in silence is thrown away: its start may have been a piece of something else, and the next frame
    must not be taken for its rest. A write of more words than the buffer holds is taken to its end, so that its
    checksum can tell a damaged length from a wrong one; what it left in the buffer is of no account.

    Parameters
    ----------
    silence
        Clock cycles without a byte after which a frame is thrown away.

    Members
    -------
    i : In, stream of bytes; not ready while a request waits to be taken
    drop : In, throws away the frame at hand: a byte of it was lost
    o : Out, stream of `request_layout`; taken when the request is answered
    address, data, write : Out, write port of the buffer
    hunting : Out, no frame is at hand
    dropped : Out, high for a cycle: a frame was thrown away
    """

    def __init__(self, silence: int) -> None:
        self.silence = silence
        super().__init__(
            {
                "i": In(stream.Signature(8)),
                "drop": In(1),
                "o": Out(stream.Signature(request_layout())),
                "address": Out(range(BUFFER_BYTES)),
                "data": Out(8),
                "write": Out(1),
                "hunting": Out(1),
                "dropped": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:  # noqa: ARG002
        m = Module()
        m.submodules.crc = crc = CHECKSUM(data_width=8).create()
        byte, request = self.i.payload, self.o.payload
        head = Signal(_HEAD_BITS)
        # Byte of the head, of a word or of the checksum; words of the payload that are left, and whether it is one.
        place, word_end = Signal(3), Signal()
        words_left, last_word = Signal(16), Signal()
        taken = Signal()
        m.d.comb += [
            taken.eq(self.i.valid & self.i.ready),
            word_end.eq(place[:2] == 3),
            crc.data.eq(byte),
            self.data.eq(byte),
            Cat(request.op, request.tag, request.address, request.words).eq(head),
        ]
        m.d.sync += [last_word.eq(words_left == 1), place.eq(place + taken)]
        expired = self._silence(m, heard=self.hunting | ~self.i.ready | taken)

        @contextmanager
        def inside(name: str) -> Iterator[None]:
            """Write a state that takes bytes of a frame."""
            with m.State(name):
                m.d.comb += self.i.ready.eq(1)
                yield
                with m.If(expired | self.drop):
                    m.d.comb += self.dropped.eq(1)
                    m.next = "hunt"

        with m.FSM():
            self._find(m, inside, taken, crc, place)
            with inside("head"):
                m.d.comb += crc.valid.eq(taken)
                with m.If(taken):
                    m.d.sync += head.eq(Cat(head[8:], byte))
                    with m.If(place == _HEAD_BITS // 8 - 1):
                        m.next = "length"
            with m.State("length"):
                m.d.sync += [words_left.eq(request.words), place.eq(0)]
                m.next = "checksum"
                with m.If((request.op == Op.WRITE) & (request.words != 0)):
                    m.next = "payload"
            with inside("payload"):
                m.d.comb += [crc.valid.eq(taken), self.write.eq(taken)]
                with m.If(taken):
                    m.d.sync += self.address.eq(self.address + 1)
                    with m.If(word_end):
                        m.d.sync += [words_left.eq(words_left - 1), place.eq(0)]
                        with m.If(last_word):
                            m.next = "checksum"
            with inside("checksum"):
                m.d.comb += crc.valid.eq(taken)
                with m.If(taken & word_end):
                    m.next = "check"
            with m.State("check"):
                m.d.sync += [request.intact.eq(crc.match_detected), self.o.valid.eq(1)]
                m.next = "done"
            with m.State("done"), m.If(self.o.ready):
                m.d.sync += self.o.valid.eq(0)
                m.next = "hunt"
        return m

    def _find(self, m: Module, inside: _State, taken: Value, crc: Processor, place: Signal) -> None:
        """Write the states that look for a frame's start."""
        with m.State("hunt"):
            m.d.comb += [self.hunting.eq(1), self.i.ready.eq(1)]
            with m.If(taken & (self.i.payload == REQUEST_SYNC[0])):
                m.next = "sync"
        with inside("sync"):
            m.d.comb += crc.start.eq(1)
            m.d.sync += self.address.eq(0)
            with m.If(taken):
                m.d.sync += place.eq(0)
                with m.If(self.i.payload == REQUEST_SYNC[1]):
                    m.next = "head"
                with m.Elif(self.i.payload != REQUEST_SYNC[0]):
                    m.next = "hunt"

    def _silence(self, m: Module, *, heard: Value) -> Signal:
        """Return whether there was silence for too long, since a frame began or a byte of it was heard."""
        left = Signal(range(-1, self.silence))
        expired = Signal()
        m.d.sync += [left.eq(left - 1), expired.eq((left < 0) & ~heard)]
        with m.If(heard):
            m.d.sync += left.eq(self.silence - 2)
        return expired
