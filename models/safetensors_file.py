"""Files of named tensors in the safetensors format, read a few rows at a time and without trust in what they say.

A file is the length of its header (8 bytes, little endian), the header (JSON: type, shape and place of every
tensor), and the tensors' bytes. Source: https://huggingface.co/docs/safetensors, section "Format". The package of
that name has no bfloat16 in its NumPy interface and maps files into memory; `tritforge.models.regular_file` says what
is against that.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from types import MappingProxyType
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from tritforge.accel.errors import InputError
from tritforge.models.regular_file import RegularFile
from tritforge.models.strict_json import parse, shown

#: Longest header that is read, in bytes; that of the safetensors library.
HEADER_LIMIT = 100_000_000
#: Key of the free text entries, and bytes of the length before the header.
METADATA, LENGTH_BYTES = "__metadata__", 8
# What an array of NumPy can have: axes (in its version 1), and bytes were it not for axes of length 0.
_AXES, _BYTES = 32, 1 << 62

#: NumPy's types by the format's names, in the order in which the library lays tensors out, the last first. What NumPy
#: has not is read as its bits; types of less than a byte are absent.
DTYPES: Mapping[str, np.dtype[Any]] = MappingProxyType(
    {
        name: np.dtype(kind)
        for name, kind in {
            "BOOL": "u1",
            "U8": "u1",
            "I8": "i1",
            "F8_E5M2": "u1",
            "F8_E4M3": "u1",
            "F8_E8M0": "u1",
            "I16": "<i2",
            "U16": "<u2",
            "F16": "<f2",
            "BF16": "<u2",
            "I32": "<i4",
            "U32": "<u4",
            "F32": "<f4",
            "C64": "<c8",
            "F64": "<f8",
            "I64": "<i8",
            "U64": "<u8",
        }.items()
    }
)
#: Types that `to_float32` takes.
FLOATS = ("F16", "BF16", "F32", "F64")
# What other files begin with, and what to do about them.
_OTHERS = {
    b"PK\x03\x04": "a zip archive, as PyTorch saves pickles; pickles can run code and are never opened: "
    "convert it to safetensors where it is trusted",
    b"\x80": "a Python pickle; pickles can run code and are never opened: "
    "convert it to safetensors where it is trusted",
    b"GGUF": "a GGUF file; give it as such",
    b"version https://git-lfs": "a pointer of Git LFS in place of the file; fetch the file itself (git lfs pull)",
}


@dataclass(frozen=True, kw_only=True)
class TensorPlace:
    """What a file's header says of one tensor.

    Attributes
    ----------
    dtype
        A name of `DTYPES`.
    shape
        Its axes, outermost first; () for a single number.
    offset
        Of its first byte in the file.
    """

    dtype: str
    shape: tuple[int, ...]
    offset: int

    @property
    def nbytes(self) -> int:
        """Its length in bytes."""
        return prod(self.shape) * DTYPES[self.dtype].itemsize


def to_float32(values: npt.NDArray[Any], dtype: str) -> npt.NDArray[np.float32]:
    """Widen numbers of a type in `FLOATS`, exactly but for F64, which is rounded.

    Parameters
    ----------
    values
        Numbers as `SafetensorsFile.read` returns them.
    dtype
        Their type in the file.

    Raises
    ------
    InputError
        The type is not one of `FLOATS`.
    """
    if dtype not in FLOATS:
        raise InputError(f"the type is {dtype}; one of {', '.join(FLOATS)} is needed")
    if dtype == "BF16":
        # The upper half of a float32.
        widened = values.astype(np.uint32)
        widened <<= np.uint32(16)
        return widened.view(np.float32)
    # What is or becomes infinite, or is no number, is refused where finite values are needed.
    with np.errstate(over="ignore", invalid="ignore"):
        return values.astype(np.float32, copy=False)


class SafetensorsFile(RegularFile):
    """An open file whose header has been checked in every point.

    Parameters
    ----------
    path
        The file.

    Attributes
    ----------
    tensors
        Places of the tensors, by name.
    metadata
        The header's free text entries.

    Raises
    ------
    InputError
        The file cannot be read, is something else, or is damaged; the message says how.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        try:
            self.tensors, self.metadata = self._header()
        except BaseException:
            self.close()
            raise

    def read(self, name: str, start: int = 0, stop: int | None = None) -> npt.NDArray[Any]:
        """Read a tensor, or rows `start` to `stop` of its first axis, as the type that it is stored in.

        Raises
        ------
        InputError
            There is no such tensor or no such rows, or the file has been cut short since it was opened.
        """
        place = self.tensors.get(name)
        if place is None:
            raise InputError(f"{self.path}: there is no tensor {shown(name)}")
        rows = place.shape[0] if place.shape else 1
        stop = rows if stop is None else stop
        if not 0 <= start <= stop <= rows:
            raise InputError(
                f"{self.path}: rows {start} to {stop} of {shown(name)} are not within its {rows}"
            )
        shape = (stop - start, *place.shape[1:]) if place.shape else ()
        values = np.empty(shape, dtype=DTYPES[place.dtype])
        row = prod(place.shape[1:]) * values.itemsize
        self._fill(values.reshape(-1).view(np.uint8).data, place.offset + start * row)
        return values

    def rows(self, name: str, start: int = 0, stop: int | None = None) -> npt.NDArray[np.float32]:
        """Read a float tensor, or rows of it, as float32; see `read` and `to_float32`."""
        values = self.read(name, start, stop)
        try:
            return to_float32(values, self.tensors[name].dtype)
        except InputError as error:
            raise InputError(f"{self.path}: {shown(name)}: {error}") from error

    def _fill(self, buffer: memoryview, offset: int) -> None:
        got = self.fill(buffer, offset)
        if got < len(buffer):
            self._refuse(f"it ends at byte {offset + got}")

    def _refuse(self, why: str) -> NoReturn:
        raise InputError(
            f"{self.path}: its {self.size} bytes are not a whole safetensors file ({why}); fetch it again"
        )

    def _header(self) -> tuple[Mapping[str, TensorPlace], Mapping[str, str]]:
        first = bytearray(min(32, self.size))
        self._fill(memoryview(first), 0)
        length = int.from_bytes(first[:LENGTH_BYTES], "little")
        # A file of this format may begin with any bytes; but it then has the room that they announce.
        fits = len(first) > LENGTH_BYTES and length <= min(HEADER_LIMIT, self.size - LENGTH_BYTES)
        if not fits or first[LENGTH_BYTES:][:1] != b"{":
            for magic, what in _OTHERS.items():
                if first.startswith(magic):
                    raise InputError(f"{self.path} is {what}")
        if self.size <= LENGTH_BYTES:
            self._refuse("it is too short for a header")
        if length > HEADER_LIMIT:
            self._refuse(f"it says that its header has {length} bytes; {HEADER_LIMIT} are the limit")
        if length > self.size - LENGTH_BYTES:
            self._refuse(f"it says that its header has {length} bytes, and ends before")
        header = bytearray(length)
        self._fill(memoryview(header), LENGTH_BYTES)
        try:
            document = parse(bytes(header))
        except InputError as error:
            self._refuse(f"of its header: {error}")
        if not isinstance(document, dict) or header[:1] != b"{":
            self._refuse("its header is not a JSON object")
        metadata = document.pop(METADATA, {})
        if not isinstance(metadata, dict) or not all(isinstance(text, str) for text in metadata.values()):
            self._refuse(f"the header's {METADATA} is not an object of texts")
        start = LENGTH_BYTES + length
        spans = []
        places = {}
        for name, entry in document.items():
            try:
                places[name], end = _place(entry, start)
            except InputError as error:
                self._refuse(f"{shown(name)}: {error}")
            spans.append((places[name].offset, end, name))
        self._check_spans(start, sorted(spans))
        return MappingProxyType(places), MappingProxyType(metadata)

    def _check_spans(self, start: int, spans: list[tuple[int, int, str]]) -> None:
        """Refuse tensors that overlap, or bytes that belong to none."""
        reached = start
        for begin, end, name in spans:
            if begin != reached:
                how = "overlaps the tensor before it" if begin < reached else "leaves a hole before it"
                self._refuse(f"{shown(name)} {how}, at byte {begin - start} of the data")
            reached = end
        if reached != self.size:
            self._refuse(f"its tensors end at byte {reached}")


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _place(entry: object, start: int) -> tuple[TensorPlace, int]:
    """Return what an entry of the header says, and the end of the tensor in the file."""
    if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
        raise InputError("dtype, shape and data_offsets are needed, and nothing else")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in DTYPES:
        known = ", ".join(DTYPES)
        raise InputError(f"the type is {shown(repr(dtype))}; one of {known} is needed")
    if not isinstance(shape, list) or len(shape) > _AXES or not all(map(_whole, shape)):
        raise InputError(f"the shape is {shown(repr(shape))}; a list of whole numbers is needed")
    if not isinstance(offsets, list) or len(offsets) != 2 or not all(map(_whole, offsets)):
        raise InputError(f"data_offsets is {shown(repr(offsets))}; two whole numbers are needed")
    place = TensorPlace(dtype=dtype, shape=tuple(shape), offset=start + offsets[0])
    if prod(max(1, axis) for axis in shape) > _BYTES // DTYPES[dtype].itemsize:
        raise InputError(f"the shape is {shown(str(place.shape))}, larger than an array can be")
    if offsets[1] - offsets[0] != place.nbytes:
        raise InputError(
            f"it takes bytes {offsets[0]} to {offsets[1]}; {dtype} of shape {shown(str(place.shape))} "
            f"is {place.nbytes} bytes"
        )
    return place, start + offsets[1]
