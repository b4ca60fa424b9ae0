"""Writing files in the safetensors format piece by piece, in any order of their tensors.

The bytes are those that the safetensors library writes of the same tensors, but for several entries of metadata,
which the library orders at random.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from tritforge.accel.errors import InputError
from tritforge.models.safetensors_file import DTYPES, LENGTH_BYTES, METADATA, TensorPlace, to_float32

_ORDER = {dtype: -rank for rank, dtype in enumerate(DTYPES)}


@dataclass(frozen=True, kw_only=True)
class TensorType:
    """Type (a name of `DTYPES`) and shape of a tensor to be written."""

    dtype: str
    shape: tuple[int, ...]


def from_float32(values: npt.NDArray[np.float32], dtype: str) -> npt.NDArray[Any]:
    """Return numbers in a float type of the format, from which they can be read back exactly.

    Parameters
    ----------
    values
        Finite numbers.
    dtype
        ``F32``, ``F16`` or ``BF16``.

    Raises
    ------
    InputError
        A number that the type cannot hold.
    """
    if dtype == "BF16":
        stored: npt.NDArray[Any] = (values.view(np.uint32) >> np.uint32(16)).astype(np.uint16)
    else:
        with np.errstate(over="ignore"):
            stored = values.astype(DTYPES[dtype])
    wrong = to_float32(stored, dtype) != values
    if wrong.any():
        raise InputError(f"{dtype} cannot hold {values[wrong][0]!r} exactly; choose F32")
    return stored


class SafetensorsWriter:
    """Writes the header at once and each tensor at its place, a tensor's pieces in order.

    Parameters
    ----------
    file
        Open for writing, at its start.
    tensors
        What will be written.
    metadata
        Free text entries. `finish` may replace them by others of the same length, such as hashes that are known only
        then.
    """

    def __init__(
        self, file: BinaryIO, tensors: Mapping[str, TensorType], metadata: Mapping[str, str] | None = None
    ) -> None:
        self._file = file
        self._entries: dict[str, Any] = {}
        self._places: dict[str, TensorPlace] = {}
        self._written = dict.fromkeys(tensors, 0)
        offset = 0
        for name in sorted(tensors, key=lambda name: (_ORDER[tensors[name].dtype], name.encode())):
            kind = tensors[name]
            place = TensorPlace(dtype=kind.dtype, shape=kind.shape, offset=offset)
            end = offset + place.nbytes
            self._entries[name] = {
                "dtype": kind.dtype,
                "shape": list(kind.shape),
                "data_offsets": [offset, end],
            }
            self._places[name] = place
            offset = end
        #: Bytes of all tensors.
        self.nbytes = offset
        header = self._header(metadata or {})
        self._start = len(header)
        self._file.write(header)

    def write(self, name: str, values: npt.NDArray[Any]) -> None:
        """Write the next rows of a tensor, in the type that it is stored in (see `DTYPES`)."""
        place = self._places[name]
        if values.dtype != DTYPES[place.dtype]:
            raise ValueError(
                f"{name} is {values.dtype}; {DTYPES[place.dtype]} is what {place.dtype} is kept in"
            )
        content = np.ascontiguousarray(values).reshape(-1).view(np.uint8)
        if self._written[name] + content.size > place.nbytes:
            raise ValueError(f"{name} has {place.nbytes} bytes; more were written")
        self._file.seek(self._start + place.offset + self._written[name])
        self._file.write(content.data)
        self._written[name] += content.size

    def finish(self, metadata: Mapping[str, str] | None = None) -> None:
        """Check that everything was written, and replace the metadata if they are given."""
        for name, place in self._places.items():
            if self._written[name] != place.nbytes:
                raise ValueError(f"{name} has {place.nbytes} bytes; {self._written[name]} were written")
        if metadata is not None:
            header = self._header(metadata)
            if len(header) != self._start:
                raise ValueError(f"the header has {self._start} bytes; {len(header)} would replace it")
            self._file.seek(0)
            self._file.write(header)

    def _header(self, metadata: Mapping[str, str]) -> bytes:
        document = {METADATA: dict(metadata)} if metadata else {}
        text = json.dumps(document | self._entries, separators=(",", ":"), ensure_ascii=False).encode()
        # Spaces bring the tensors to a multiple of eight bytes.
        text += b" " * (-len(text) % 8)
        return len(text).to_bytes(LENGTH_BYTES, "little") + text
