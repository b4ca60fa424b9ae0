"""The host link over a stream of bytes: every frame that is right, every one that is not, and what lies between."""

import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import link_host as host
import pytest
from amaranth.sim import Simulator
from hypothesis import given, settings
from hypothesis import strategies as st
from link_host import ACTIVATIONS, OK, READ, REGISTERS, RESULTS, WEIGHTS, WRITE, Answer, Answers, request

from tritforge.accel.errors import InputError
from tritforge.accel.link import Link
from tritforge.accel.link_access import StoreBus
from tritforge.accel.store_sizes import StoreSizes

SIZES = StoreSizes(weights=4096, activations=1024, results=512)
SILENCE = 24
SILENCE_CHARACTERS = 77
KNOWN_REGISTERS = 24
#: Cycles within which every answer begins and ends, with a byte taken each cycle.
ANSWER_CYCLES = 2000
#: Watchdog of a test.
CYCLES = 60_000
#: What the stores get when nothing was done.
NOTHING: list[tuple[str, int, int]] = []


@dataclass
class Board:
    """A link with registers and stores around it that write down what they are asked."""

    pause: float = 0.0
    seed: int = 0
    writes: list[tuple[str, int, int]] = field(default_factory=list)
    answers: Answers = field(default_factory=Answers)

    def __post_init__(self) -> None:
        self.link = Link(SIZES, silence=SILENCE, silence_characters=SILENCE_CHARACTERS)
        self.registers = [0] * KNOWN_REGISTERS
        self.results = [random.Random(self.seed + at).getrandbits(32) for at in range(SIZES.results // 4)]  # noqa: S311
        self.choose = random.Random(self.seed)  # noqa: S311

    async def serve_registers(self, ctx: Any) -> None:
        bus = self.link.registers
        async for *_, read, write, address, data, strobe in ctx.tick().sample(
            bus.read, bus.write, bus.address, bus.w_data, bus.w_strb
        ):
            assert not (read and write)
            known = address < KNOWN_REGISTERS
            # Of account in the cycle after a strobe alone.
            ctx.set(bus.known, known if read or write else self.choose.randrange(2))
            ctx.set(bus.r_data, (self.registers[address] if known else 0) if read else 0xDEADBEEF)
            if write:
                assert strobe == 0xF
                self.writes.append(("register", address, data))
                if known:
                    self.registers[address] = data

    async def serve_stores(self, ctx: Any) -> None:
        bus = self.link.stores
        delayed = [0] * (StoreBus.READ_CYCLES - 1)
        async for *_, address, data, weights, activations in ctx.tick().sample(
            bus.address, bus.w_data, bus.write_weights, bus.write_activations
        ):
            delayed.append(address)
            ctx.set(bus.r_data, self.results[delayed.pop(0) % len(self.results)])
            if weights:
                self.writes.append(("weights", address, data))
            if activations:
                self.writes.append(("activations", address, data))

    async def listen(self, ctx: Any) -> None:
        tx = self.link.tx
        held: Any = None
        while True:
            ctx.set(tx.ready, self.choose.random() >= self.pause)
            *_, valid, ready, payload = await ctx.tick().sample(tx.valid, tx.ready, tx.payload)
            assert held is None or (valid and payload == held), "a byte changed before it was taken"
            held = payload if valid and not ready else None
            if valid and ready:
                self.answers.take(payload)

    async def send(self, ctx: Any, data: bytes) -> None:
        for byte in data:
            while self.choose.random() < self.pause:
                await ctx.tick()
            await host.put_byte(ctx, self.link.rx, byte)

    async def answer(self, ctx: Any) -> Answer | None:
        """Return the next answer, or None when there is none for so long that none is to come."""
        for _ in range(int(ANSWER_CYCLES / (1 - self.pause) ** 2)):
            if self.answers.found:
                return self.answers.found.pop(0)
            await ctx.tick()
        return None

    async def ask(self, ctx: Any, data: bytes) -> Answer | None:
        await self.send(ctx, data)
        return await self.answer(ctx)

    async def silence(self, ctx: Any) -> None:
        """Wait until whatever was begun is over, the answer to it included."""
        await ctx.tick().repeat(SILENCE // 2)
        while ctx.get(self.link.active) or ctx.get(self.link.tx.valid):
            await ctx.tick()
        await ctx.tick()

    def run(self, script: Callable[["Board", Any], Awaitable[None]]) -> None:
        print(f"simulation seed {self.seed}")
        simulator = Simulator(self.link)
        simulator.add_clock(host.PERIOD)
        for process in (self.serve_registers, self.serve_stores, self.listen):
            simulator.add_testbench(process, background=True)

        async def bench(ctx: Any) -> None:
            await script(self, ctx)
            await ctx.tick().repeat(20)

        simulator.add_testbench(bench)
        simulator.add_testbench(host.watchdog(CYCLES), background=True)
        simulator.run()
        assert not self.answers.found, "an answer came that nobody asked for"
        assert not self.answers.rest


@pytest.mark.parametrize("pause", [0.0, 0.4])
def test_words_that_are_written_are_read_back(pause: float) -> None:
    async def script(board: Board, ctx: Any) -> None:
        words = [board.choose.getrandbits(32) for _ in range(7)]
        payload = host.bytes_of(words)
        assert await board.ask(ctx, request(WRITE, 1, REGISTERS + 8, payload=payload)) == Answer(OK, 1)
        assert board.registers[2:9] == words
        assert await board.ask(ctx, request(READ, 2, REGISTERS + 8, 7)) == Answer(OK, 2, tuple(words))
        assert board.writes == [("register", 2 + at, word) for at, word in enumerate(words)]

    Board(pause=pause, seed=3).run(script)


@pytest.mark.parametrize("count", [1, 64])
def test_each_space_takes_payloads_of_every_length_up_to_its_last_word(count: int) -> None:
    async def script(board: Board, ctx: Any) -> None:
        for tag, (name, space, size) in enumerate(
            (("weights", WEIGHTS, SIZES.weights), ("activations", ACTIVATIONS, SIZES.activations))
        ):
            words = [board.choose.getrandbits(32) for _ in range(count)]
            first = size // 4 - count
            payload = host.bytes_of(words)
            assert await board.ask(ctx, request(WRITE, tag, space + 4 * first, payload=payload)) == Answer(
                OK, tag
            )
            assert board.writes == [(name, first + at, word) for at, word in enumerate(words)]
            board.writes.clear()
        first = SIZES.results // 4 - count
        answer = await board.ask(ctx, request(READ, 9, RESULTS + 4 * first, count))
        assert answer == Answer(OK, 9, tuple(board.results[first:]))

    Board(seed=count).run(script)


def test_a_greeting_says_version_payload_and_silence() -> None:
    async def script(board: Board, ctx: Any) -> None:
        assert await board.ask(ctx, request(host.HELLO, 200)) == Answer(
            OK, 200, (1, 64, SILENCE_CHARACTERS, 0)
        )
        assert await board.ask(ctx, request(host.HELLO, 200, words=1)) == Answer(host.OUT_OF_BOUNDS, 200)

    Board().run(script)


@pytest.mark.parametrize(
    ("op", "address", "words", "status"),
    [
        (WRITE, WEIGHTS, 0, host.OUT_OF_BOUNDS),
        (WRITE, WEIGHTS, 65, host.OUT_OF_BOUNDS),
        (WRITE, WEIGHTS, 300, host.OUT_OF_BOUNDS),
        (READ, RESULTS, 0, host.OUT_OF_BOUNDS),
        (READ, RESULTS, 65, host.OUT_OF_BOUNDS),
        (READ, RESULTS, 0xFFFF, host.OUT_OF_BOUNDS),
        (READ, RESULTS + 2, 1, host.OUT_OF_BOUNDS),
        (WRITE, WEIGHTS + 1, 1, host.OUT_OF_BOUNDS),
        (READ, RESULTS + SIZES.results, 1, host.OUT_OF_BOUNDS),
        (WRITE, WEIGHTS + SIZES.weights, 1, host.OUT_OF_BOUNDS),
        (WRITE, WEIGHTS + (1 << 27), 1, host.OUT_OF_BOUNDS),
        (READ, RESULTS + SIZES.results - 4, 2, host.OUT_OF_BOUNDS),
        (WRITE, WEIGHTS + SIZES.weights - 4, 2, host.OUT_OF_BOUNDS),
        (WRITE, ACTIVATIONS + SIZES.activations, 1, host.OUT_OF_BOUNDS),
        (WRITE, ACTIVATIONS + 0x0FFF_FFFC, 2, host.OUT_OF_BOUNDS),
        (READ, REGISTERS + 4096 - 4, 2, host.OUT_OF_BOUNDS),
        (READ, WEIGHTS, 1, host.OUT_OF_BOUNDS),
        (READ, ACTIVATIONS, 1, host.OUT_OF_BOUNDS),
        (WRITE, RESULTS, 1, host.OUT_OF_BOUNDS),
        (READ, 0x4000_0000, 1, host.OUT_OF_BOUNDS),
        (WRITE, 0xF000_0000, 1, host.OUT_OF_BOUNDS),
        (3, REGISTERS, 1, host.UNKNOWN_OP),
        (0xFF, REGISTERS, 0, host.UNKNOWN_OP),
    ],
)
def test_a_request_that_cannot_be_does_nothing(op: int, address: int, words: int, status: int) -> None:
    """Its tag is not kept: the same tag with a right request is carried out."""

    async def script(board: Board, ctx: Any) -> None:
        payload = board.choose.randbytes(4 * words) if op == WRITE else b""
        assert await board.ask(ctx, request(op, 5, address, words, payload)) == Answer(status, 5)
        assert board.writes == NOTHING
        assert await board.ask(ctx, request(WRITE, 5, WEIGHTS, payload=b"abcd")) == Answer(OK, 5)
        assert board.writes == [("weights", 0, int.from_bytes(b"abcd", "little"))]

    Board(seed=words).run(script)


def test_registers_that_are_not_there_read_as_zero_and_are_told() -> None:
    """The others of the frame are written; asked again the answer is the same."""

    async def script(board: Board, ctx: Any) -> None:
        board.registers[-1] = 77
        address = REGISTERS + 4 * (KNOWN_REGISTERS - 1)
        assert await board.ask(ctx, request(READ, 1, address, 3)) == Answer(host.NO_REGISTER, 1, (77, 0, 0))
        assert await board.ask(ctx, request(READ, 2, address, 1)) == Answer(OK, 2, (77,))
        write = request(WRITE, 3, address, payload=host.bytes_of([1, 2]))
        for _ in range(2):
            assert await board.ask(ctx, write) == Answer(host.NO_REGISTER, 3)
        assert board.registers[-1] == 1
        assert len(board.writes) == 2

    Board().run(script)


def test_a_write_that_is_asked_again_is_done_once() -> None:
    async def script(board: Board, ctx: Any) -> None:
        start = request(WRITE, 40, REGISTERS, payload=host.bytes_of([1]))
        for _ in range(3):
            assert await board.ask(ctx, start) == Answer(OK, 40)
        assert len(board.writes) == 1
        # A read may be done again, and its tag is the last one then.
        for _ in range(2):
            assert await board.ask(ctx, request(READ, 41, REGISTERS, 1)) == Answer(OK, 41, (1,))
        assert await board.ask(ctx, start) == Answer(OK, 40)
        assert len(board.writes) == 2
        # A greeting forgets the tag: another host does not know it.
        assert await board.ask(ctx, request(host.HELLO, 40)) == Answer(OK, 40, (1, 64, SILENCE_CHARACTERS, 0))
        assert await board.ask(ctx, start) == Answer(OK, 40)
        assert len(board.writes) == 3

    Board().run(script)


def test_the_first_write_after_reset_is_done_whatever_its_tag() -> None:
    async def script(board: Board, ctx: Any) -> None:
        assert await board.ask(ctx, request(WRITE, 0, WEIGHTS, payload=b"wxyz")) == Answer(OK, 0)
        assert len(board.writes) == 1

    Board().run(script)


@pytest.mark.parametrize("flip", [1, 0x8000_0000, 0xFFFF_FFFF])
def test_a_wrong_checksum_does_nothing_and_is_answered(flip: int) -> None:
    async def script(board: Board, ctx: Any) -> None:
        spoiled = request(WRITE, 7, WEIGHTS, payload=b"12345678", flip=flip)
        assert await board.ask(ctx, spoiled) == Answer(host.BAD_CHECKSUM, 7)
        assert board.writes == NOTHING
        assert ctx.get(board.link.damaged) == 1
        assert await board.ask(ctx, request(WRITE, 7, WEIGHTS, payload=b"12345678")) == Answer(OK, 7)
        assert len(board.writes) == 2
        assert ctx.get(board.link.damaged) == 0

    Board().run(script)


def test_any_flipped_bit_behind_the_sync_keeps_a_write_from_being_done() -> None:
    """A bit of the length may make the frame end early or wait for more, which silence ends."""

    async def script(board: Board, ctx: Any) -> None:
        frame = request(WRITE, 9, ACTIVATIONS + 16, payload=b"\x00\x11\x22\x33")
        for bit in range(16, 8 * len(frame), 3):
            spoiled = bytearray(frame)
            spoiled[bit // 8] ^= 1 << bit % 8
            await board.send(ctx, bytes(spoiled))
            await board.silence(ctx)
            for answer in board.answers.found:
                assert answer.status == host.BAD_CHECKSUM, f"bit {bit}"
            board.answers.found.clear()
            assert board.writes == NOTHING, f"bit {bit}"
        assert await board.ask(ctx, frame) == Answer(OK, 9)

    Board().run(script)


@pytest.mark.parametrize("length", range(1, 26, 3))
def test_a_frame_that_breaks_off_is_thrown_away_after_the_silence(length: int) -> None:
    async def script(board: Board, ctx: Any) -> None:
        frame = request(WRITE, 9, WEIGHTS, payload=b"0123456789ab")
        await board.send(ctx, frame[:length])
        await board.silence(ctx)
        assert ctx.get(board.link.active) == 0
        assert ctx.get(board.link.damaged) == 1
        assert await board.ask(ctx, frame) == Answer(OK, 9)
        assert len(board.writes) == 3

    Board().run(script)


@pytest.mark.parametrize("length", [1, 5, 14, 25])
def test_a_pause_below_the_silence_breaks_no_frame(length: int) -> None:
    async def script(board: Board, ctx: Any) -> None:
        frame = request(WRITE, 9, WEIGHTS, payload=b"0123456789ab")
        await board.send(ctx, frame[:length])
        await ctx.tick().repeat(SILENCE - 3)
        assert await board.ask(ctx, frame[length:]) == Answer(OK, 9)

    Board().run(script)


@pytest.mark.parametrize("length", [1, 2, 9, 14, 25])
def test_a_byte_that_is_lost_on_the_way_ends_the_frame_at_once(length: int) -> None:
    async def script(board: Board, ctx: Any) -> None:
        frame = request(WRITE, 9, WEIGHTS, payload=b"0123456789ab")
        await board.send(ctx, frame[:length])
        ctx.set(board.link.lost, 1)
        await ctx.tick()
        ctx.set(board.link.lost, 0)
        assert await board.ask(ctx, frame) == Answer(OK, 9)
        assert len(board.writes) == 3

    Board().run(script)


def test_sync_bytes_are_data_inside_a_frame_and_found_behind_garbage() -> None:
    async def script(board: Board, ctx: Any) -> None:
        inner = request(WRITE, 1, REGISTERS, payload=b"TFTF")
        frame = request(WRITE, 2, WEIGHTS, payload=inner + b"TF")
        assert await board.ask(ctx, b"TTT\x00T\x46"[:4] + b"TT" + frame[1:]) == Answer(OK, 2)
        assert len(board.writes) == len(inner + b"TF") // 4
        assert {name for name, *_ in board.writes} == {"weights"}

    Board().run(script)


def test_garbage_inside_a_frame_spoils_that_frame_alone() -> None:
    async def script(board: Board, ctx: Any) -> None:
        frame = request(WRITE, 2, WEIGHTS, payload=b"payload!")
        assert await board.ask(ctx, frame[:12] + b"\xa5" + frame[12:]) == Answer(host.BAD_CHECKSUM, 2)
        assert board.writes == NOTHING
        assert await board.ask(ctx, frame) == Answer(OK, 2)

    Board().run(script)


@settings(max_examples=20, deadline=None)
@given(garbage=st.lists(st.sampled_from(b"TF\x00\x01\x02\x10tf\xff"), max_size=40), seed=st.integers(0, 999))
def test_a_frame_after_garbage_and_silence_is_answered(garbage: list[int], seed: int) -> None:
    """Whatever the garbage began is over by then, answered with an error or not at all."""

    async def script(board: Board, ctx: Any) -> None:
        await board.send(ctx, bytes(garbage))
        await board.silence(ctx)
        assert all(answer.status != OK for answer in board.answers.found)
        board.answers.found.clear()
        assert board.writes == NOTHING
        assert await board.ask(ctx, request(WRITE, 3, WEIGHTS + 4, payload=b"ends")) == Answer(OK, 3)
        assert len(board.writes) == 1

    Board(seed=seed, pause=0.1).run(script)


@settings(max_examples=8, deadline=None)
@given(data=st.data(), seed=st.integers(0, 999))
def test_a_host_that_asks_again_gets_every_write_done_once_and_in_order(
    data: st.DataObject, seed: int
) -> None:
    """Bytes of requests are lost or spoiled at random; an answer may be missed, so requests come more than once."""

    async def script(board: Board, ctx: Any) -> None:
        expected = []
        for tag in range(4):
            words = [board.choose.getrandbits(32) for _ in range(board.choose.randrange(1, 5))]
            first = board.choose.randrange(100)
            expected += [("weights", first + at, word) for at, word in enumerate(words)]
            frame = request(WRITE, tag, WEIGHTS + 4 * first, payload=host.bytes_of(words))
            faults = data.draw(st.lists(st.sampled_from(["lose", "spoil", "miss"]), max_size=2))
            for fault in [*faults, "none"]:
                sent = bytearray(frame)
                at = board.choose.randrange(len(sent))
                if fault == "lose":
                    del sent[at]
                elif fault == "spoil":
                    sent[at] ^= board.choose.randrange(1, 256)
                await board.send(ctx, bytes(sent))
                await board.silence(ctx)
                answers, board.answers.found = board.answers.found, []
                if fault in ("miss", "none"):
                    assert answers == [Answer(OK, tag)]
        assert board.writes == expected

    Board(seed=seed).run(script)


def test_a_silence_that_is_none_is_refused() -> None:
    with pytest.raises(InputError) as caught:
        Link(SIZES, silence=1, silence_characters=1)
    assert str(caught.value) == "silence is 1 clock cycles; it must be 2 or more"
