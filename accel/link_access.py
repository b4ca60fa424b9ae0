"""A request of the host link, word by word: between the buffer of its payload and registers or stores."""

import enum

from amaranth.hdl import Array, Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from tritforge.accel.frame_receiver import BUFFER_BYTES, LARGEST_WORDS, Op, request_layout
from tritforge.accel.register_bus import ADDRESS_BITS as REGISTER_BITS
from tritforge.accel.register_bus import RegisterBus
from tritforge.accel.store_sizes import WORD_BITS, WORD_BYTES, StoreSizes

#: Place of the bits of a byte address that choose the space.
SPACE_SHIFT = 28
#: Version of the protocol, first word of the answer to a greeting.
PROTOCOL_VERSION = 1


class Space(enum.IntEnum):
    """What the top bits of an address choose."""

    REGISTERS = 0
    #: Write only.
    WEIGHTS = 1
    #: Write only.
    ACTIVATIONS = 2
    #: Read only.
    RESULTS = 3


class StoreBus(wiring.Signature):
    """Port of the stores, seen from the link; words of 32 bits.

    Members
    -------
    address : Out, word in the store
    write_weights, write_activations : Out, strobes
    w_data : Out, the word to write
    r_data : In, the word of the results at `address`, `READ_CYCLES` cycles after this was set
    """

    READ_CYCLES = 3

    def __init__(self, sizes: StoreSizes) -> None:
        largest = max(sizes.weights, sizes.activations, sizes.results)
        super().__init__(
            {
                "address": Out(range(largest // WORD_BYTES)),
                "write_weights": Out(1),
                "write_activations": Out(1),
                "w_data": Out(WORD_BITS),
                "r_data": In(WORD_BITS),
            }
        )


class RequestAccess(wiring.Component):
    """Carries out a request that was found right.

    A word takes eight steps of a cycle each: with a write its four bytes come out of the buffer and the word is
    written, else it is read and its bytes go into the buffer.

    Parameters
    ----------
    sizes
        Of the stores.
    silence_characters
        What the answer to a greeting says of the silence that ends a frame.

    Members
    -------
    start : In, starts with the next cycle
    request : In, `request_layout`; stays as it is from the cycle before `start` to `done`
    done : Out, high two cycles after the last step
    unknown : Out, an address was no register's; from the cycle after `done` to the next start
    buffer_address, buffer_w_data, buffer_write : Out, ports of the buffer
    buffer_r_data : In, its byte at the address of three cycles before
    registers : Out, `RegisterBus`
    stores : Out, `StoreBus`
    """

    def __init__(self, sizes: StoreSizes, *, silence_characters: int) -> None:
        #: Words of the answer to a greeting.
        self.greeting = (PROTOCOL_VERSION, LARGEST_WORDS, silence_characters, 0)
        super().__init__(
            {
                "start": In(1),
                "request": In(request_layout()),
                "done": Out(1),
                "unknown": Out(1),
                "buffer_address": Out(range(BUFFER_BYTES)),
                "buffer_w_data": Out(8),
                "buffer_write": Out(1),
                "buffer_r_data": In(8),
                "registers": Out(RegisterBus()),
                "stores": Out(StoreBus(sizes)),
            }
        )

    def elaborate(self, platform: object) -> Module:  # noqa: ARG002
        m = Module()
        request = self.request
        # Registers, so that the request's bytes are decoded once.
        writing, greeting = Signal(), Signal()
        space = {space: Signal(name=space.name.lower()) for space in Space}
        last_index = Signal(range(LARGEST_WORDS))
        m.d.sync += [
            writing.eq(request.op == Op.WRITE),
            greeting.eq(request.op == Op.HELLO),
            last_index.eq(Mux(request.op == Op.HELLO, len(self.greeting) - 1, request.words - 1)),
        ]
        for number, chosen in space.items():
            m.d.sync += chosen.eq((request.op != Op.HELLO) & (request.address[SPACE_SHIFT:] == number))

        busy, last = Signal(), Signal()
        step, index = Signal(3), Signal(range(LARGEST_WORDS))
        address = Signal(max(REGISTER_BITS, len(self.stores.address)))
        # The word on its way, and what the registers answered in the cycle before.
        word, register = Signal(WORD_BITS), Signal(WORD_BITS, reset_less=True)
        m.d.sync += register.eq(self.registers.r_data)
        at = [busy & (step == number) for number in range(8)]
        write = at[7] & writing
        ended = Signal()
        m.d.comb += [
            self.buffer_address.eq(Cat(step[:2], index)),
            self.buffer_w_data.eq(word[:8]),
            self.buffer_write.eq(busy & ~writing & step[2]),
            self.registers.w_strb.eq(-1),
            self.stores.address.eq(address),
            self.stores.w_data.eq(word),
            self.stores.write_weights.eq(write & space[Space.WEIGHTS]),
            self.stores.write_activations.eq(write & space[Space.ACTIVATIONS]),
        ]
        # The bus comes out of registers, since the whole register file hangs on it.
        m.d.sync += [
            self.registers.address.eq(address),
            self.registers.w_data.eq(word),
            self.registers.read.eq(at[0] & ~writing & space[Space.REGISTERS]),
            self.registers.write.eq(write & space[Space.REGISTERS]),
            last.eq(index == last_index),
            ended.eq(at[7] & last),
            self.done.eq(ended),
        ]
        with m.If(busy):
            m.d.sync += step.eq(step + 1)
            with m.If(step == 7):
                m.d.sync += [index.eq(index + 1), address.eq(address + 1), busy.eq(~last)]
        with m.If(self.start):
            m.d.sync += [
                busy.eq(1),
                step.eq(0),
                index.eq(0),
                address.eq(request.address[WORD_BYTES.bit_length() - 1 :]),
                self.unknown.eq(0),
            ]

        # The word: from the buffer at steps 3 to 6 and written at step 7; or read at step 0, and into the buffer at
        # steps 4 to 7.
        with m.If(writing), m.If((step >= 3) & (step <= 6)):
            m.d.sync += word.eq(Cat(word[8:], self.buffer_r_data))
        with m.Else(), m.Switch(step):
            with m.Case(StoreBus.READ_CYCLES):
                with m.If(space[Space.RESULTS]):
                    m.d.sync += word.eq(self.stores.r_data)
                with m.Elif(greeting):
                    m.d.sync += word.eq(Array(self.greeting)[index[:2]])
                with m.Else():
                    m.d.sync += word.eq(register)
            with m.Case(4, 5, 6):
                m.d.sync += word.eq(word >> 8)
        # A register's answer comes in the cycle after its strobe.
        asked = Signal()
        m.d.sync += asked.eq(self.registers.read | self.registers.write)
        with m.If(asked & ~self.registers.known):
            m.d.sync += self.unknown.eq(1)
        return m
