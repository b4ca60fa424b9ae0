"""Files mutated byte by byte, for readers that must refuse or read rightly whatever they are given."""

from collections.abc import Callable, Sequence
from typing import TypeVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tritforge.accel.errors import InputError

T = TypeVar("T")

#: Number of cases, for ``pytest.mark.parametrize("cases", FUZZ_CASES)``.
FUZZ_CASES = [pytest.param(500, id="500"), pytest.param(10_000, id="10000", marks=pytest.mark.slow)]
#: Bytes that readers stumble over: ends of ranges, digits, JSON's own.
_TELLING = [
    b"\x00",
    b"\xff",
    b"\x80",
    b"\x7f",
    b"0",
    b"9",
    b"-",
    b"[",
    b"]",
    b"{",
    b"}",
    b'"',
    b",",
    b"e",
    b" ",
]


class Mutated(bytes):
    """A mutated file, shown by what was done to it."""

    edits: tuple[tuple[str, int, bytes], ...] = ()

    def __repr__(self) -> str:
        return f"Mutated({len(self)} bytes, {list(self.edits)})"


@st.composite
def mutated(draw: st.DrawFn, content: bytes, areas: Sequence[tuple[int, int]] = ()) -> bytes:
    """Draw a file changed in one to three places.

    Parameters
    ----------
    draw
        Of hypothesis.
    content
        A valid file.
    areas
        Parts of it (start, stop), each as likely as another to be changed, such as the header; the file unless given.
    """
    data = bytearray(content)
    edits = []
    for _ in range(draw(st.integers(1, 3))):
        low, high = draw(st.sampled_from([*areas] or [(0, len(content))]))
        low, high = min(low, len(data)), min(high, len(data))
        at = draw(st.integers(low, max(low, high - 1)))
        kind = draw(st.sampled_from(["flip", "put", "insert", "delete", "repeat", "cut", "number"]))
        put = b""
        match kind:
            case "flip" if at < len(data):
                put = draw(st.integers(1, 255)).to_bytes(1, "little")
                data[at] ^= put[0]
            case "put":
                put = draw(st.sampled_from(_TELLING))
                data[at : at + 1] = put
            case "insert":
                put = draw(st.one_of(st.sampled_from(_TELLING), st.binary(min_size=1, max_size=16)))
                data[at:at] = put
            case "delete":
                put = bytes(data[at : at + draw(st.integers(1, 16))])
                del data[at : at + len(put)]
            case "repeat":
                put = bytes(data[at : at + draw(st.integers(1, 16))])
                data[at:at] = put
            case "cut":
                del data[at:]
            case "number":
                # A 64-bit length or offset at the ends of what it can say, or near the file's own size.
                ends = [0, 1, len(data) - 8, len(data), len(data) + 1, 2**31, 2**63 - 1, 2**64 - 1]
                put = max(0, draw(st.sampled_from(ends))).to_bytes(8, "little")
                data[at : at + 8] = put
        edits.append((kind, at, put))
    result = Mutated(data)
    result.edits = tuple(edits)
    return result


def fuzz(cases: int, files: st.SearchStrategy[bytes], check: Callable[[bytes], None]) -> None:
    """Run a check on so many files."""
    suppressed = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example]
    run = settings(max_examples=cases, suppress_health_check=suppressed)(given(content=files)(check))
    run()


def read_or_refuse(read: Callable[[], T]) -> T | None:
    """Return what a reader reads; None where it refuses in one line, with nothing but an `InputError`."""
    try:
        return read()
    except InputError as error:
        message = str(error)
    assert message.isprintable()  # one line, nothing that a terminal would obey
    assert len(message) < 2000
    return None
