"""Files in the GGUF format, read a few rows at a time and without trust in what they say.

A file is a head (magic, version, numbers of tensors and of entries), entries of key and value, a description of every
tensor, and the tensors' bytes, each aligned. Source: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md.

The ``gguf`` package, which reads this format too, is what the tests compare with. It is not used here: it looks at
every token of a vocabulary (9 seconds and 0.7 GB for that of Llama 3, of which nothing is needed), knows no i2_s, and
takes lengths as a file states them. Here arrays are passed over, and no length is used before it is known to fit.
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from types import MappingProxyType
from typing import NoReturn

import numpy as np
import numpy.typing as npt

from tritforge.accel.errors import InputError
from tritforge.models.gguf_blocks import BLOCK, BLOCK_BYTES, I2S_TAIL
from tritforge.models.regular_file import RegularFile
from tritforge.models.strict_json import shown

MAGIC = b"GGUF"
#: Versions of the format; the first had shorter counts and is not to be met any more.
VERSIONS = (2, 3)
DEFAULT_ALIGNMENT = 32
# More than any model has; what says more is damaged, and would keep a reader busy.
_COUNT_LIMIT = 1 << 20
_HEAD_LIMIT = 1 << 26
_ALIGNMENT_LIMIT = 1 << 20
_AXES = 4
_WINDOW = 1 << 16

#: Tensor types by their numbers: name, weights of a block, bytes of a block. i2_s (bitnet.cpp's) has a tail besides.
TYPES: Mapping[int, tuple[str, int, int]] = MappingProxyType(
    {
        0: ("F32", 1, 4),
        1: ("F16", 1, 2),
        2: ("Q4_0", 32, 18),
        3: ("Q4_1", 32, 20),
        6: ("Q5_0", 32, 22),
        7: ("Q5_1", 32, 24),
        8: ("Q8_0", 32, 34),
        10: ("Q2_K", 256, 84),
        11: ("Q3_K", 256, 110),
        12: ("Q4_K", 256, 144),
        13: ("Q5_K", 256, 176),
        14: ("Q6_K", 256, 210),
        20: ("IQ4_NL", 32, 18),
        23: ("IQ4_XS", 256, 136),
        30: ("BF16", 1, 2),
        34: ("TQ1_0", BLOCK, BLOCK_BYTES["TQ1_0"]),
        35: ("TQ2_0", BLOCK, BLOCK_BYTES["TQ2_0"]),
        36: ("I2_S", 4, 1),
    }
)

# Types of values by their numbers, and those that are one number as `struct` has them.
_UINT32, _FLOAT32, _BOOL, _STRING, _ARRAY, _UINT64 = 4, 6, 7, 8, 9, 10
_CODES = {
    0: "B",
    1: "b",
    2: "H",
    3: "h",
    _UINT32: "I",
    5: "i",
    _FLOAT32: "f",
    _BOOL: "B",
    _UINT64: "Q",
    11: "q",
    12: "d",
}
_SCALARS = {number: struct.Struct(f"<{code}") for number, code in _CODES.items()}


@dataclass(frozen=True, kw_only=True)
class GgufArray:
    """An array among the values, which is passed over.

    Attributes
    ----------
    length
        Number of its elements.
    """

    length: int


#: What an entry may hold. A float32 is the shortest decimal number that rounds to it, as it was meant.
Value = int | float | bool | str | GgufArray


@dataclass(frozen=True, kw_only=True)
class GgufTensor:
    """What a file says of one tensor.

    Attributes
    ----------
    kind
        A name in `TYPES`.
    shape
        Its axes, outermost first.
    offset, nbytes
        First byte in the file, and number of bytes.
    """

    kind: str
    shape: tuple[int, ...]
    offset: int
    nbytes: int

    @property
    def row_bytes(self) -> int:
        """Bytes of one row of the first axis, where rows are whole."""
        return self.nbytes // self.shape[0]


class GgufFile(RegularFile):
    """An open file whose head has been checked in every point.

    Parameters
    ----------
    path
        The file.

    Attributes
    ----------
    version
        Of the format.
    values
        Values of the entries, by key.
    tensors
        Places of the tensors, by name.

    Raises
    ------
    InputError
        The file cannot be read, is something else, or is damaged; the message says how.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        # Where the head may end, where it is being read, and the part of it that is at hand.
        self._end = min(self.size, _HEAD_LIMIT)
        self._at = self._window_at = 0
        self._window = bytearray()
        try:
            self._head()
        except BaseException:
            self.close()
            raise

    def read(self, name: str, start: int = 0, stop: int | None = None) -> npt.NDArray[np.uint8]:
        """Read the bytes of a tensor, or of rows `start` to `stop` of its first axis.

        Raises
        ------
        InputError
            The file cannot be read, or has been cut short since it was opened.
        """
        tensor = self.tensors[name]
        low = start * tensor.row_bytes
        high = tensor.nbytes if stop is None else stop * tensor.row_bytes
        data = np.empty(high - low, dtype=np.uint8)
        if self.fill(data.data, tensor.offset + low) != len(data):
            self._refuse(f"it ends within {shown(name)}")
        return data

    def _refuse(self, why: str) -> NoReturn:
        raise InputError(
            f"{self.path}: its {self.size} bytes are not a whole GGUF file ({why}); fetch it again"
        )

    def _take(self, count: int, what: str) -> bytes:
        """Return so many bytes of the head, which are known to be there."""
        self._check_room(count, what)
        start = self._at - self._window_at
        if start + count > len(self._window):
            self._window = bytearray(min(max(count, _WINDOW), self._end - self._at))
            if self.fill(memoryview(self._window), self._at) != len(self._window):
                self._refuse(f"it ends within {what}")
            self._window_at, start = self._at, 0
        self._at += count
        return bytes(self._window[start : start + count])

    def _check_room(self, count: int, what: str) -> None:
        if count > self._end - self._at:
            limit = f"; {_HEAD_LIMIT} are the limit of a head" if self._end < self.size else ""
            self._refuse(f"{what} takes {count} bytes at byte {self._at}{limit}")

    def _skip(self, count: int, what: str) -> None:
        self._check_room(count, what)
        self._at += count

    def _number(self, kind: int, what: str) -> int | float:
        scalar = _SCALARS[kind]
        number: int | float = scalar.unpack(self._take(scalar.size, what))[0]
        return number

    def _whole(self, kind: int, what: str) -> int:
        return int(self._number(kind, what))

    def _string(self, what: str) -> str:
        length = self._whole(_UINT64, what)
        data = self._take(length, what)
        try:
            return data.decode("utf-8")
        except UnicodeDecodeError:
            self._refuse(f"{what} is not UTF-8")

    def _head(self) -> None:
        magic = self._take(min(4, self.size), "the magic")
        if magic != MAGIC:
            raise InputError(f"{self.path} is not a GGUF file: it begins with {magic!r}, not {MAGIC!r}")
        self.version = self._whole(_UINT32, "the version")
        if self.version not in VERSIONS:
            swapped = self.version & 0xFFFF == 0
            raise InputError(
                f"{self.path} is of GGUF version {self.version}{' (big-endian)' if swapped else ''}; "
                f"little-endian files of version {' or '.join(map(str, VERSIONS))} are read: convert the model again"
            )
        tensors, entries = (self._count(what) for what in ("tensors", "entries"))
        values: dict[str, Value] = {}
        for _ in range(entries):
            key = self._string("a key")
            if key in values:
                self._refuse(f"the key {shown(key)} is there twice")
            values[key] = self._value(f"the value of {shown(key)}")
        self.values: Mapping[str, Value] = MappingProxyType(values)
        alignment = values.get("general.alignment", DEFAULT_ALIGNMENT)
        if type(alignment) is not int or not 0 < alignment <= _ALIGNMENT_LIMIT or alignment & alignment - 1:
            self._refuse(f"the alignment is {shown(str(alignment))}; a power of two is needed")
        infos = [self._tensor() for _ in range(tensors)]
        start = -(-self._at // alignment) * alignment
        self.tensors: Mapping[str, GgufTensor] = MappingProxyType(self._places(infos, start, alignment))

    def _count(self, what: str) -> int:
        count = self._whole(_UINT64, f"the number of {what}")
        if count > min(_COUNT_LIMIT, self.size // 8):
            self._refuse(f"it says that it has {count} {what}")
        return count

    def _value(self, what: str) -> Value:
        kind = self._whole(_UINT32, what)
        if kind == _STRING:
            return self._string(what)
        if kind == _ARRAY:
            return self._array(what)
        if kind not in _SCALARS:
            self._refuse(f"{what} has the unknown type {kind}")
        number = self._number(kind, what)
        if kind == _BOOL:
            if number > 1:
                self._refuse(f"{what} is the truth value {number}")
            return bool(number)
        return float(str(np.float32(number))) if kind == _FLOAT32 else number

    def _array(self, what: str) -> GgufArray:
        kind, length = self._whole(_UINT32, what), self._whole(_UINT64, what)
        if kind in _SCALARS:
            self._skip(length * _SCALARS[kind].size, what)
        elif kind == _STRING:
            if length > (self._end - self._at) // 8:
                self._refuse(f"{what} says that it has {length} elements")
            for _ in range(length):
                self._skip(self._whole(_UINT64, what), what)
        else:
            self._refuse(f"{what} is an array of the unknown type {kind}")
        return GgufArray(length=length)

    def _tensor(self) -> tuple[str, str, tuple[int, ...], int, int]:
        """Return name, type, shape, offset behind the head, and length of the next tensor described."""
        name = self._string("a tensor's name")
        what = f"the description of {shown(name)}"
        axes = self._whole(_UINT32, what)
        if not 1 <= axes <= _AXES:
            self._refuse(f"{shown(name)} has {axes} axes; 1 to {_AXES} are possible")
        shape = tuple(self._whole(_UINT64, what) for _ in range(axes))[::-1]
        number = self._whole(_UINT32, what)
        if number not in TYPES:
            known = ", ".join(kind for kind, _, _ in TYPES.values())
            raise InputError(f"{self.path}: {shown(name)} is of type {number}; known are {known}")
        kind, block, size = TYPES[number]
        if 0 in shape:
            self._refuse(f"{shown(name)} has the shape {shape}, which is empty")
        # bitnet.cpp packs a matrix as a whole, all others row by row.
        if (prod(shape) if kind == "I2_S" else shape[-1]) % block:
            self._refuse(f"{shown(name)} has the shape {shape}; {kind} has blocks of {block}")
        nbytes = prod(shape) // block * size + (I2S_TAIL if kind == "I2_S" else 0)
        return name, kind, shape, self._whole(_UINT64, what), nbytes

    def _places(
        self, infos: list[tuple[str, str, tuple[int, ...], int, int]], start: int, alignment: int
    ) -> dict[str, GgufTensor]:
        places: dict[str, GgufTensor] = {}
        reached = start
        for name, kind, shape, offset, nbytes in sorted(infos, key=lambda info: info[3]):
            if name in places:
                self._refuse(f"the tensor {shown(name)} is there twice")
            if offset % alignment:
                self._refuse(f"{shown(name)} lies at {offset}, which is not a multiple of {alignment}")
            if start + offset < reached:
                self._refuse(f"{shown(name)} overlaps the tensor before it, at byte {offset} of the data")
            reached = start + offset + nbytes
            if reached > self.size:
                self._refuse(f"{shown(name)} ends at byte {reached}")
            places[name] = GgufTensor(kind=kind, shape=shape, offset=start + offset, nbytes=nbytes)
        return places
