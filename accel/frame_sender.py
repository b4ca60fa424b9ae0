"""Answers of the host link: head, payload out of the buffer, checksum."""

import enum

from amaranth.hdl import Cat, Const, Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.data import StructLayout
from amaranth.lib.wiring import In, Out

from tritforge.accel.frame_receiver import ANSWER_SYNC, BUFFER_BYTES, CHECKSUM, CHECKSUM_BYTES


class Status(enum.IntEnum):
    """What an answer says."""

    OK = 0
    #: The checksum is wrong.
    BAD_CHECKSUM = 1
    UNKNOWN_OP = 2
    #: Nothing was done: no word or too many, an address that is unaligned, out of bounds, or not for this operation.
    OUT_OF_BOUNDS = 3
    #: Done, but there is no register at one of the addresses: it reads as zero, and a write to it has no effect.
    NO_REGISTER = 4


def answer_layout() -> StructLayout:
    """Layout of an answer behind its sync, in the order of its bytes."""
    return StructLayout({"status": 8, "tag": 8, "words": 16})


_SYNC_BYTES = len(ANSWER_SYNC)
_HEAD_BYTES = _SYNC_BYTES + 4


class FrameSender(wiring.Component):
    """Sends answers.

    Members
    -------
    i : In, stream of `answer_layout`, with 64 words at most; taken when the answer has left
    address : Out, byte of the buffer to read
    data : In, that byte, `READ_CYCLES` cycles later
    o : Out, stream of bytes
    """

    READ_CYCLES = 3

    def __init__(self) -> None:
        super().__init__(
            {
                "i": In(stream.Signature(answer_layout())),
                "address": Out(range(BUFFER_BYTES)),
                "data": In(8),
                "o": Out(stream.Signature(8)),
            }
        )

    def elaborate(self, platform: object) -> Module:  # noqa: ARG002
        m = Module()
        m.submodules.crc = crc = CHECKSUM(data_width=8).create()
        answer = self.i.payload
        head = Cat(Const(int.from_bytes(ANSWER_SYNC, "little"), 8 * _SYNC_BYTES), answer.as_value())
        # Byte of the head or of the checksum, or cycle of a wait; the last byte of the payload, if there is one.
        place = Signal(range(_HEAD_BYTES))
        last, empty = Signal.like(self.address), Signal()
        byte, room, send = Signal(8), Signal(), Signal()
        # The byte that leaves is under the checksum; the one that left in the cycle before was.
        cover, covered = Signal(), Signal()
        m.d.comb += [
            byte.eq(head.word_select(place, 8)),
            room.eq(~self.o.valid | self.o.ready),
            # The checksum takes a byte from the register behind it, so that to choose it and to divide it are two
            # cycles.
            crc.data.eq(self.o.payload),
            crc.valid.eq(covered),
        ]
        m.d.sync += [covered.eq(cover), last.eq(4 * answer.words - 1), empty.eq(answer.words == 0)]
        with m.If(self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        with m.If(send):
            m.d.sync += [self.o.valid.eq(1), self.o.payload.eq(byte)]
        with m.FSM():
            with m.State("idle"):
                m.d.comb += crc.start.eq(1)
                m.d.sync += [place.eq(0), self.address.eq(0)]
                with m.If(self.i.valid):
                    m.next = "head"
            with m.State("head"):
                m.d.comb += [send.eq(room), cover.eq(room & (place >= _SYNC_BYTES))]
                with m.If(room):
                    m.d.sync += place.eq(place + 1)
                    with m.If(place == _HEAD_BYTES - 1):
                        m.d.sync += place.eq(0)
                        m.next = "fetch"
                        with m.If(empty):
                            m.next = "settle"
            with m.State("fetch"):
                m.d.sync += place.eq(place + 1)
                with m.If(place == self.READ_CYCLES - 1):
                    m.d.sync += place.eq(0)
                    m.next = "payload"
            with m.State("payload"):
                m.d.comb += [byte.eq(self.data), send.eq(room), cover.eq(room)]
                with m.If(room):
                    m.d.sync += self.address.eq(self.address + 1)
                    m.next = "fetch"
                    with m.If(self.address == last):
                        m.next = "settle"
            with m.State("settle"):
                m.next = "checksum"
            with m.State("checksum"):
                m.d.comb += [byte.eq(crc.crc.word_select(place, 8)), send.eq(room)]
                with m.If(room):
                    m.d.sync += place.eq(place + 1)
                    with m.If(place == CHECKSUM_BYTES - 1):
                        m.d.comb += self.i.ready.eq(1)
                        m.next = "idle"
        return m
