"""GGUF files put together field by field, right or wrong as a test wants them."""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

Number = int | float | bool


@dataclass(frozen=True, kw_only=True)
class Tensor:
    """A tensor to be written: number of its type, axes outermost first, bytes, and offset if not where it belongs."""

    name: str
    type: int
    shape: Sequence[int]
    data: bytes
    offset: int | None = None


def text(content: str | bytes) -> bytes:
    data = content.encode() if isinstance(content, str) else content
    return struct.pack("<Q", len(data)) + data


def value(content: Number | str | Sequence[str] | bytes) -> bytes:
    """Type and bytes of an entry's value; bytes are taken as they are."""
    match content:
        case bytes():
            return content
        case bool():
            return struct.pack("<IB", 7, content)
        case int():
            return struct.pack("<II", 4, content)
        case float():
            return struct.pack("<If", 6, content)
        case str():
            return struct.pack("<I", 8) + text(content)
        case _:
            return struct.pack("<IIQ", 9, 8, len(content)) + b"".join(map(text, content))


def gguf_bytes(
    entries: Mapping[str, Number | str | Sequence[str] | bytes],
    tensors: Sequence[Tensor] = (),
    *,
    version: int = 3,
    counts: tuple[int, int] | None = None,
    alignment: int = 32,
) -> bytes:
    """Return a file; `counts` are the numbers of tensors and of entries that it states."""
    head = b"GGUF" + struct.pack("<I", version)
    head += struct.pack("<QQ", *(counts or (len(tensors), len(entries))))
    head += b"".join(text(key) + value(content) for key, content in entries.items())
    data = b""
    for tensor in tensors:
        data += bytes(-len(data) % alignment)
        offset = len(data) if tensor.offset is None else tensor.offset
        head += text(tensor.name) + struct.pack("<I", len(tensor.shape))
        head += struct.pack(f"<{len(tensor.shape)}Q", *reversed(tensor.shape))
        head += struct.pack("<IQ", tensor.type, offset)
        data += tensor.data
    return head + bytes(-len(head) % alignment) + data
