"""The host's end of the link, against a board's end in Python over a line with faults."""

import struct
import zlib

import pytest
from fake_link import CHARACTER, FAULTS, LATENCY, FakeLink, Fault, FaultyLine, Memory
from hypothesis import given
from hypothesis import strategies as st

from tritforge.accel.errors import BoardError
from tritforge.sim.link_protocol import (
    ATTEMPTS,
    LARGEST_GARBAGE,
    SILENCE_CHARACTERS,
    Answer,
    AnswerScanner,
    Link,
    Status,
    encode_answer,
    encode_request,
)

#: Bytes of a greeting, which the numbers of faults count from.
GREETING = len(encode_request(0, 0, 0, 0))
faults = st.builds(Fault, st.booleans(), st.integers(0, 900), st.sampled_from(sorted(FAULTS)))
operations = st.lists(
    st.tuples(st.booleans(), st.integers(0, 99), st.integers(1, 100), st.integers(0, 255)), max_size=6
)


def open_link(*faults: Fault, words: int = 200, tag: int = 7) -> tuple[Link, FaultyLine, Memory]:
    """A link to a memory."""
    memory = Memory(words)
    line = FaultyLine(FakeLink(memory), faults)
    return Link(line, first_tag=tag), line, memory


def test_frames_are_those_of_the_protocol() -> None:
    """Written out once by hand, so that both ends of the other tests cannot be wrong alike."""
    body = bytes([2, 9, 0x10, 0, 0, 0x20, 1, 0, 0xEF, 0xBE, 0xAD, 0xDE])
    assert encode_request(2, 9, 0x2000_0010, 1, bytes([0xEF, 0xBE, 0xAD, 0xDE])) == (
        b"TF" + body + struct.pack("<I", zlib.crc32(body))
    )
    body = bytes([0, 9, 1, 0, 1, 2, 3, 4])
    assert encode_answer(Answer(status=0, tag=9, payload=bytes([1, 2, 3, 4]))) == (
        b"tf" + body + struct.pack("<I", zlib.crc32(body))
    )


@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 255), st.binary(max_size=60)), max_size=5),
    st.lists(st.binary(max_size=12), min_size=6, max_size=6),
    st.integers(1, 40),
)
def test_answers_are_found_whatever_lies_between_them(
    answers: list[tuple[int, int, bytes]], noise: list[bytes], chunk: int
) -> None:
    """Noise without the letters of the sync: with them, it may rightly be taken for the beginning of one."""
    sent = [Answer(status=s, tag=t, payload=p[: len(p) // 4 * 4]) for s, t, p in answers]
    quiet = [part.replace(b"t", b"u") for part in noise]
    data = b"".join(n + encode_answer(a) for n, a in zip(quiet, sent, strict=False)) + quiet[-1]
    scanner, found = AnswerScanner(), []
    for start in range(0, len(data), chunk):
        scanner.feed(data[start : start + chunk])
        while (answer := scanner.next()) is not None:
            found.append(answer)
    assert found == sent
    assert scanner.garbage == sum(map(len, quiet[: len(sent)])) + len(quiet[-1])


@given(st.binary(max_size=300), st.integers(0, 40))
def test_what_looks_like_the_beginning_of_an_answer_hides_none(noise: bytes, cut: int) -> None:
    answer = Answer(status=0, tag=3, payload=b"abcd" * 5)
    scanner = AnswerScanner()
    scanner.feed(encode_answer(answer)[:cut] + noise + b"tf\x00\x00\x40\x00" + encode_answer(answer))
    found = []
    for _ in range(400):
        while (each := scanner.next()) is not None:
            found.append(each)
        scanner.give_up()
    assert found[-1:] == [answer]


@given(operations, st.lists(faults, max_size=8), st.integers(0, 255))
def test_each_write_happens_once_and_each_read_is_right_or_there_is_an_error(
    todo: list[tuple[bool, int, int, int]], broken: list[Fault], tag: int
) -> None:
    memory = Memory(200)
    line = FaultyLine(FakeLink(memory), broken)
    expected, log = [0] * 200, []
    try:
        link = Link(line, first_tag=tag)
        for write, place, count, value in todo:
            if write:
                values = [value + index for index in range(count)]
                log += [(4 * (place + index), each) for index, each in enumerate(values)]
                expected[place : place + count] = values
                link.write(4 * place, struct.pack(f"<{count}I", *values))
            else:
                got = struct.unpack(f"<{count}I", link.read(4 * place, 4 * count))
                assert list(got) == expected[place : place + count]
    except BoardError:
        # What was under way when the link gave up may have happened or not; all before it did, once.
        assert memory.log == log[: len(memory.log)]
        assert len(log) - len(memory.log) <= 100
    else:
        assert memory.log == log
        assert link.counts.garbage == 0 or broken


@pytest.mark.parametrize("kind", sorted(FAULTS))
@pytest.mark.parametrize("up", [False, True])
def test_one_fault_anywhere_is_overcome(kind: str, up: bool) -> None:
    data = struct.pack("<20I", *range(100, 120))
    retries = 0
    for at in range(130):
        link, _, memory = open_link(Fault(up, at, kind))
        link.write(8, data)
        assert link.read(8, len(data)) == data
        assert memory.log == [(8 + 4 * index, 100 + index) for index in range(20)]
        retries += link.counts.retries
    assert retries > 30 or kind in {"inserted", "late"}


def test_a_lost_answer_does_not_make_a_write_happen_twice() -> None:
    quiet, line, _ = open_link()
    before = line.passed[1]
    quiet.write(0, bytes(4))
    size = line.passed[1] - before
    link, _, memory = open_link(*(Fault(True, before + index, "lost") for index in range(2 * size)))
    link.write(0, struct.pack("<I", 5))
    assert memory.log == [(0, 5)]
    assert link.counts.retries == 2


def test_a_greeting_forgets_the_tag_of_an_earlier_program() -> None:
    """Whose last request has the tag of this one's first write."""
    memory = Memory(4)
    board = FakeLink(memory)
    Link(FaultyLine(board), first_tag=9).write(0, struct.pack("<I", 1))
    Link(FaultyLine(board), first_tag=9).write(0, struct.pack("<I", 2))
    assert memory.log == [(0, 1), (0, 2)]


def test_a_frame_that_an_earlier_program_left_broken_harms_nothing() -> None:
    memory = Memory(4)
    line = FaultyLine(FakeLink(memory))
    line.write(encode_request(2, 0, 0, 2, bytes(8))[:9])
    link = Link(line)
    assert link.counts.retries == 0
    link.write(0, struct.pack("<I", 2))
    assert memory.log == [(0, 2)]


@pytest.mark.parametrize("length", [4, 256, 260, 800])
def test_long_transfers_are_cut_and_tell_how_far_they_are(length: int) -> None:
    link, _, _ = open_link()
    data = bytes(index % 251 for index in range(length))
    done: list[int] = []
    link.write(0, data, done.append)
    assert link.read(0, length, done.append) == data
    steps = [*range(256, length, 256), length]
    assert done == steps * 2
    assert link.counts.requests == 1 + 2 * len(steps)


def asked(reason: str, link: Link) -> None:
    """Ask for something that the board refuses."""
    if reason == "outside":
        link.read(4 * 190, 4 * 20)
    elif reason == "askew":
        link.write(2, bytes(4))


@pytest.mark.parametrize(
    ("reason", "what"),
    [("outside", "read 20 words at 0x000002f8"), ("askew", "write 1 words at 0x00000002")],
)
def test_a_refusal_is_said_at_once(reason: str, what: str) -> None:
    link, _, memory = open_link()
    with pytest.raises(BoardError) as caught:
        asked(reason, link)
    assert str(caught.value) == f"the board refused to {what}: address or length is out of its bounds"
    assert (link.counts.retries, memory.log) == (0, [])


def test_a_word_that_is_no_register_is_said() -> None:
    link = Link(FaultyLine(FakeLink(Memory(8, hole=12))))
    assert link.read(0, 12) == bytes(12)
    with pytest.raises(BoardError) as caught:
        link.read(0, 16)
    assert str(caught.value) == (
        "the board refused to read 4 words at 0x00000000: a word of these is no register of it"
    )


def test_a_line_without_a_board_is_one_error_after_stated_attempts() -> None:
    class Dead(FakeLink):
        def take(self, byte: int) -> bytes:
            return b""

    line = FaultyLine(Dead(Memory(1)))
    with pytest.raises(BoardError) as caught:
        Link(line)
    assert str(caught.value) == f"no answer on fake when asked {ATTEMPTS} times to greet; nothing came back"
    # Back-off doubles, and is never shorter than what ends a broken frame.
    assert line.now > 2 ** (ATTEMPTS - 2) * LATENCY + ATTEMPTS * SILENCE_CHARACTERS * CHARACTER
    assert line.now < 2 ** (ATTEMPTS + 1) * LATENCY + 2 * ATTEMPTS * SILENCE_CHARACTERS * CHARACTER


def test_a_device_that_talks_another_language_is_one_error() -> None:
    class Chatter(FakeLink):
        def take(self, byte: int) -> bytes:
            return b"login: " * 20

    line = FaultyLine(Chatter(Memory(1)))
    with pytest.raises(
        BoardError, match=r"^no answer on fake .* bytes came that are no answer: another baud"
    ):
        Link(line)


def test_endless_garbage_ends() -> None:
    class Endless(FaultyLine):
        def read(self, count: int, seconds: float) -> bytes:
            return b"\x55" * count

    with pytest.raises(
        BoardError, match=r"^no answer on fake when asked 6 times to greet; (\d+) bytes"
    ) as caught:
        Link(Endless(FakeLink(Memory(1))))
    assert int(str(caught.value).split("; ")[1].split()[0]) < 3 * ATTEMPTS * LARGEST_GARBAGE


def test_another_version_of_the_protocol_is_refused() -> None:
    line = FaultyLine(FakeLink(Memory(1), version=7))
    with pytest.raises(BoardError) as caught:
        Link(line)
    assert str(caught.value) == (
        "the board on fake speaks version 7 of the link's protocol, and this program version 1; "
        "build its bitstream again"
    )


@pytest.mark.parametrize(
    ("status", "reason"), [(Status.UNKNOWN_OP, "it does not know the operation"), (9, "status 9")]
)
def test_other_answers_say_why_not(status: int, reason: str) -> None:
    class Refusing(FakeLink):
        greeted = False

        def _carry_out(self, *request: object) -> Answer:
            if self.greeted:
                return Answer(status=status, tag=int(str(request[1])))
            self.greeted = True
            return super()._carry_out(*request)  # type: ignore[arg-type]

    link = Link(FaultyLine(Refusing(Memory(1))))
    with pytest.raises(BoardError, match=rf"^the board refused to read 1 words at 0x00000000: {reason}$"):
        link.read(0, 4)


def test_an_answer_of_another_length_is_refused() -> None:
    class Short(FakeLink):
        greeted = False

        def _carry_out(self, *request: object) -> Answer:
            answer = super()._carry_out(*request)  # type: ignore[arg-type]
            short = answer if not self.greeted else Answer(status=0, tag=answer.tag, payload=bytes(4))
            self.greeted = True
            return short

    link = Link(FaultyLine(Short(Memory(4))))
    with pytest.raises(
        BoardError, match=r"^the board answered 1 words when asked to read 2 words at .*; 2 are due$"
    ):
        link.read(0, 8)
