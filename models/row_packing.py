"""Ternary matrices as checkpoints hold them, read as floating-point numbers some rows at a time.

A product that needs floating-point weights need not hold them all: `RowSource` says what it asks for, and each class
unpacks one storage form straight into the caller's block.
"""

from typing import Protocol

import numpy as np
import numpy.typing as npt

from tritforge.accel.errors import InputError
from tritforge.models.base3 import TRITS_OF_BYTES, TRITS_PER_BYTE, check_legal, check_length

Floats = npt.NDArray[np.float32 | np.float64]


class RowSource(Protocol):
    """A ternary matrix of M rows and K columns that gives its rows when asked.

    Attributes
    ----------
    m, k
        Its shape.
    width
        Columns of a block, K or more; what stands in those beyond K is any finite number.
    """

    m: int
    k: int
    width: int

    def fill(self, first: int, block: Floats) -> None:
        """Write the rows from `first` on into a block, C-contiguous of shape (rows, width).

        Raises
        ------
        InputError
            The rows hold what is no trit.
        """


class CodeRows:
    """Rows of codes, a byte each.

    Parameters
    ----------
    codes : ndarray of int8, shape (M, K)
        -1, 0 or +1; not checked.
    """

    def __init__(self, codes: npt.NDArray[np.int8]) -> None:
        self.m, self.k = codes.shape
        self.width = self.k
        self._codes = codes

    def fill(self, first: int, block: Floats) -> None:
        np.copyto(block, self._codes[first : first + len(block)])


class Base3Rows:
    """Rows of five trits a byte, see `tritforge.models.base3`.

    Parameters
    ----------
    packed : ndarray of uint8, shape (M, ceil(K / 5))
        Bytes up to 242; checked as rows are read.
    k
        Trits in a row.

    Raises
    ------
    InputError
        A row of another length.
    """

    def __init__(self, packed: npt.NDArray[np.uint8], k: int) -> None:
        check_length(packed, k)
        self.m, self.k = len(packed), k
        self.width = packed.shape[1] * TRITS_PER_BYTE
        self._packed = packed

    def fill(self, first: int, block: Floats) -> None:
        packed = self._packed[first : first + len(block)]
        check_legal(packed, first)
        # Five numbers a look-up: nothing passes through int8. "clip" writes into the block without a copy.
        table = TRITS_OF_BYTES.astype(block.dtype)
        table.take(packed, axis=0, out=block.reshape(*packed.shape, TRITS_PER_BYTE), mode="clip")


class QuarterRows:
    """Four codes a byte, as Hugging Face's BitNet checkpoints have them.

    Bits 2q and 2q + 1 of the byte in row i hold code + 1 of row ``i + q * ceil(M / 4)``.

    Parameters
    ----------
    packed : ndarray of uint8, shape (ceil(M / 4), K)
        Fields of 0, 1 or 2; checked as rows are read.
    m
        Rows of the matrix; four times those of `packed` unless given.

    Raises
    ------
    InputError
        `packed` has not the rows that `m` takes.

    Notes
    -----
    Source: ``unpack_weights`` in ``transformers.integrations.bitnet``.
    """

    def __init__(self, packed: npt.NDArray[np.uint8], m: int | None = None) -> None:
        self.m, self.k = 4 * len(packed) if m is None else m, packed.shape[1]
        if len(packed) != -(-self.m // 4):
            raise InputError(f"{len(packed)} rows of four codes a byte; {self.m} rows take {-(-self.m // 4)}")
        self.width = self.k
        self._packed = packed

    def fill(self, first: int, block: Floats) -> None:
        quarter = max(1, len(self._packed))
        done = 0
        while done < len(block):
            field, start = divmod(first + done, quarter)
            codes = self._packed[start : start + len(block) - done] >> np.uint8(2 * field) & np.uint8(3)
            if codes.size and codes.max() > 2:
                row, column = map(int, np.argwhere(codes > 2)[0])
                raise InputError(
                    f"the field of row {first + done + row}, column {column} is 3; 0, 1 or 2 is needed: "
                    "the file is damaged or not in this packing"
                )
            codes -= np.uint8(1)
            np.copyto(block[done : done + len(codes)], codes.view(np.int8))
            done += len(codes)


def as_rows(weights: npt.NDArray[np.int8] | RowSource) -> RowSource:
    """Return codes as a source of rows; a source as it is."""
    return CodeRows(weights) if isinstance(weights, np.ndarray) else weights
