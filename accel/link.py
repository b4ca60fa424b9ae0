"""The host link: requests in a stream of bytes become accesses of registers and stores (``docs/link.md``)."""

from amaranth.hdl import Module, Mux, Shape, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from tritforge.accel.errors import InputError
from tritforge.accel.frame_receiver import BUFFER_BYTES, LARGEST_WORDS, FrameReceiver, Op, request_layout
from tritforge.accel.frame_sender import FrameSender, Status, answer_layout
from tritforge.accel.link_access import SPACE_SHIFT, RequestAccess, Space, StoreBus
from tritforge.accel.register_bus import ADDRESS_BITS as REGISTER_BITS
from tritforge.accel.register_bus import RegisterBus
from tritforge.accel.store_sizes import WORD_BYTES, StoreSizes

_WORD_SHIFT = WORD_BYTES.bit_length() - 1


class RequestCheck(wiring.Component):
    """Says whether a request may be carried out, and if not why not.

    Parameters
    ----------
    sizes
        Of the stores.

    Members
    -------
    request : In, `request_layout`
    status : Out, `Status.OK`, or why not; `LATENCY` cycles after the request
    """

    LATENCY = 4

    def __init__(self, sizes: StoreSizes) -> None:
        #: What may be done in each space, and how many words it has.
        self.spaces = {
            Space.REGISTERS: ((Op.READ, Op.WRITE), 1 << REGISTER_BITS),
            Space.WEIGHTS: ((Op.WRITE,), sizes.weights // WORD_BYTES),
            Space.ACTIVATIONS: ((Op.WRITE,), sizes.activations // WORD_BYTES),
            Space.RESULTS: ((Op.READ,), sizes.results // WORD_BYTES),
        }
        super().__init__({"request": In(request_layout()), "status": Out(Shape.cast(Status))})

    def elaborate(self, platform: object) -> Module:  # noqa: ARG002
        m = Module()
        request = self.request
        offset = request.address[_WORD_SHIFT:SPACE_SHIFT]
        bits = max(words for _, words in self.spaces.values()).bit_length() - 1
        # The last word's index among the payload's and in the space; of account where the rest is right, and the
        # first word is in the largest space.
        last_of_payload = Signal(range(LARGEST_WORDS))
        last = Signal(bits + 1)
        right, near = Signal(), Signal()
        m.d.sync += [
            last_of_payload.eq(request.words - 1),
            last.eq(offset[:bits] + last_of_payload),
            near.eq(~offset[bits:].any()),
            right.eq(
                (request.words != 0) & (request.words <= LARGEST_WORDS) & (request.address[:_WORD_SHIFT] == 0)
            ),
        ]
        inside = Signal(len(self.spaces))
        for index, (space, (ops, words)) in enumerate(self.spaces.items()):
            allowed = Signal(name=f"allowed{index}")
            m.d.sync += [
                allowed.eq((request.address[SPACE_SHIFT:] == space) & sum(request.op == op for op in ops)),
                inside[index].eq(allowed & ~last[words.bit_length() - 1 :].any()),
            ]
        with m.If(~request.intact):
            m.d.sync += self.status.eq(Status.BAD_CHECKSUM)
        with m.Elif(request.op > Op.WRITE):
            m.d.sync += self.status.eq(Status.UNKNOWN_OP)
        with m.Elif(Mux(request.op == Op.HELLO, request.words == 0, right & near & inside.any())):
            m.d.sync += self.status.eq(Status.OK)
        with m.Else():
            m.d.sync += self.status.eq(Status.OUT_OF_BOUNDS)
        return m


class Link(wiring.Component):
    """Carries out the requests that a stream of bytes brings, and answers them.

    Nothing is done before a frame's checksum was found right. A write with the tag of the request that was carried
    out last is answered as it was then and not done again, so a host that lost the answer may ask again.

    Parameters
    ----------
    sizes
        Of the stores.
    silence
        Clock cycles without a byte after which a frame is thrown away.
    silence_characters
        The same in character times, for the host.

    Members
    -------
    rx, tx : In and Out, streams of bytes
    lost : In, a byte was lost on the way to `rx`: throws away the frame at hand
    registers : Out, `RegisterBus`
    stores : Out, `StoreBus`
    active : Out, a request is taken in, carried out or answered
    damaged : Out, the last frame was thrown away, or its checksum was wrong
    """

    def __init__(self, sizes: StoreSizes, *, silence: int, silence_characters: int) -> None:
        if silence < 2:
            raise InputError(f"silence is {silence} clock cycles; it must be 2 or more")
        self.sizes = sizes
        self.silence = silence
        self.silence_characters = silence_characters
        super().__init__(
            {
                "rx": In(stream.Signature(8)),
                "tx": Out(stream.Signature(8)),
                "lost": In(1),
                "registers": Out(RegisterBus()),
                "stores": Out(StoreBus(sizes)),
                "active": Out(1),
                "damaged": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:  # noqa: ARG002
        m = Module()
        m.submodules.receiver = receiver = FrameReceiver(self.silence)
        m.submodules.check = check = RequestCheck(self.sizes)
        m.submodules.access = access = RequestAccess(self.sizes, silence_characters=self.silence_characters)
        m.submodules.sender = sender = FrameSender()
        m.submodules.store_bank = buffer = Memory(shape=8, depth=BUFFER_BYTES, init=[])
        write, read = buffer.write_port(), buffer.read_port()
        # Follows the memory directly, without an enable, for the block memory to take it in.
        fetched = Signal(8, reset_less=True)
        m.d.sync += fetched.eq(read.data)
        wiring.connect(m, wiring.flipped(self.rx), receiver.i)
        wiring.connect(m, wiring.flipped(self.tx), sender.o)
        wiring.connect(m, wiring.flipped(self.registers), access.registers)
        wiring.connect(m, wiring.flipped(self.stores), access.stores)
        request = receiver.o.payload
        walking = Signal()
        # What enters the buffer comes straight from registers, since three blocks drive it.
        writes = Mux(walking, access.buffer_write, receiver.write)
        m.d.sync += [
            write.addr.eq(Mux(walking, access.buffer_address, receiver.address)),
            write.data.eq(Mux(walking, access.buffer_w_data, receiver.data)),
            write.en.eq(writes),
            # Nothing reads while a byte is written, and block memories need not say what that gives.
            read.en.eq(~writes),
            read.addr.eq(Mux(walking, access.buffer_address, sender.address)),
        ]
        m.d.comb += [
            receiver.drop.eq(self.lost),
            check.request.eq(request),
            access.request.eq(request),
            sender.data.eq(fetched),
            access.buffer_r_data.eq(fetched),
            self.active.eq(~receiver.hunting),
        ]
        with m.If(receiver.dropped):
            m.d.sync += self.damaged.eq(1)
        self._answer(m, receiver=receiver, check=check, access=access, sender=sender, walking=walking)
        return m

    def _answer(
        self,
        m: Module,
        *,
        receiver: FrameReceiver,
        check: RequestCheck,
        access: RequestAccess,
        sender: FrameSender,
        walking: Signal,
    ) -> None:
        """Take each request through its check and its access to its answer."""
        request, answer = receiver.o.payload, Signal(answer_layout())
        m.d.comb += sender.i.payload.eq(answer)
        # The tag of the request that was carried out last.
        tag, tag_known, repeated = Signal(8), Signal(), Signal()
        m.d.sync += repeated.eq((request.op == Op.WRITE) & tag_known & (tag == request.tag))
        wait = Signal(range(RequestCheck.LATENCY))
        # A register, since the whole access starts with it.
        m.d.sync += access.start.eq(0)
        with m.FSM():
            with m.State("wait"):
                m.d.sync += wait.eq(RequestCheck.LATENCY - 1)
                with m.If(receiver.o.valid):
                    m.next = "check"
            with m.State("check"):
                m.d.sync += [
                    wait.eq(wait - 1),
                    answer.status.eq(check.status),
                    answer.tag.eq(request.tag),
                    answer.words.eq(0),
                    self.damaged.eq(~request.intact),
                ]
                with m.If(wait == 0):
                    m.next = "answer"
                    with m.If(check.status == Status.OK):
                        with m.If(repeated):
                            m.next = "repeat"
                        with m.Else():
                            m.d.sync += [
                                access.start.eq(1),
                                tag.eq(request.tag),
                                tag_known.eq(request.op != Op.HELLO),
                            ]
                            m.next = "walk"
            with m.State("walk"):
                m.d.comb += walking.eq(1)
                with m.Switch(request.op):
                    with m.Case(Op.HELLO):
                        m.d.sync += answer.words.eq(len(access.greeting))
                    with m.Case(Op.READ):
                        m.d.sync += answer.words.eq(request.words)
                with m.If(access.done):
                    m.next = "repeat"
            with m.State("repeat"):
                m.d.sync += answer.status.eq(Mux(access.unknown, Status.NO_REGISTER, Status.OK))
                m.next = "answer"
            # The next request may use the buffer when the payload is out of it.
            with m.State("answer"):
                m.d.comb += sender.i.valid.eq(1)
                with m.If(sender.i.ready):
                    m.d.comb += receiver.o.ready.eq(1)
                    m.next = "wait"
