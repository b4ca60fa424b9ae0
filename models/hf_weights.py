"""Ternary weights as Hugging Face checkpoints hold them: packed in bytes, or as floats of three values."""

import numpy as np
import numpy.typing as npt

from tritforge.accel.errors import InputError
from tritforge.models.row_packing import QuarterRows
from tritforge.models.ternary import TernaryMatrix

FIELDS = 4
#: Most blocks on an axis of a grid of scales that is looked for. Published models have one for each device that a
#: matrix was spread over in training, six at most.
LARGEST_GRID = 64
#: Fewest weights of a block: any few floats are "ternary" with enough scales.
SMALLEST_BLOCK = 32
# Weights that are looked at together, and the bits of an infinite float32.
_CHUNK, _INFINITY = 1 << 18, np.uint32(0x7F800000)


def packed_rows(m: int) -> int:
    """Rows of bytes that hold m rows of codes."""
    return -(-m // FIELDS)


def unpack_quarters(packed: npt.NDArray[np.uint8], m: int) -> npt.NDArray[np.int8]:
    """Unpack four codes a byte: bits 2q and 2q + 1 of row r hold the code, plus one, of row ``r + q * ceil(m / 4)``.

    Parameters
    ----------
    packed : ndarray of uint8, shape (ceil(m / 4), K)
        Fields of 0 to 2, and 0 in fields beyond the last row.
    m
        Rows of the matrix.

    Returns
    -------
    ndarray of int8, shape (m, K)

    Raises
    ------
    InputError
        A field that is 3, or one beyond the last row that is not 0.

    Notes
    -----
    Source: ``pack_weights`` in ``transformers.integrations.bitnet``.
    """
    source = QuarterRows(packed, m)
    codes = np.empty((m, packed.shape[1]), dtype=np.int8)
    source.fill(0, codes)  # type: ignore[arg-type]  # as good a block as one of floats
    quarter = len(packed)
    for field in range(FIELDS):
        used = min(max(m - field * quarter, 0), quarter)
        beyond = packed[used:] >> np.uint8(2 * field) & np.uint8(3)
        if beyond.any():
            row, column = map(int, np.argwhere(beyond)[0])
            raise InputError(
                f"the field of row {field * quarter + used + row}, column {column} is {beyond[row, column]}, and "
                f"there are {m} rows; 0 is needed: the file is damaged"
            )
    return codes


def pack_quarters(codes: npt.NDArray[np.int8]) -> npt.NDArray[np.uint8]:
    """Pack codes -1, 0 and +1 so that `unpack_quarters` gives them back: shape (M, K) to (ceil(M / 4), K)."""
    quarter = packed_rows(len(codes))
    packed = np.zeros((quarter, codes.shape[1]), dtype=np.uint8)
    for field in range(FIELDS):
        part = codes[field * quarter : (field + 1) * quarter]
        packed[: len(part)] |= (part + np.int8(1)).view(np.uint8) << np.uint8(2 * field)
    return packed


def codes_of_units(values: npt.NDArray[np.float32]) -> npt.NDArray[np.int8]:
    """Turn floats that are exactly -1, 0 or +1 into codes.

    Raises
    ------
    InputError
        Another value.
    """
    codes = _signs(values)
    wrong = codes != values
    if wrong.any():
        row, column = map(int, np.argwhere(wrong)[0])
        raise InputError(
            f"the weight at row {row}, column {column} is {values[row, column]!r}; -1, 0 or 1 is needed, as the "
            "scale is a tensor of its own"
        )
    return codes


def ternary_from_floats(values: npt.NDArray[np.float32]) -> TernaryMatrix | None:
    """Find the smallest grid of blocks in each of which the weights are exactly -s, 0 or +s.

    Parameters
    ----------
    values : ndarray of float32, shape (M, K)
        Weights.

    Returns
    -------
    TernaryMatrix or None
        With the magnitudes s as multipliers; None where no grid does (see `LARGEST_GRID`, `SMALLEST_BLOCK`). A block
        of zeros alone has the scale 1.

    Notes
    -----
    TriLM was trained with a scale for each device that a matrix was spread over: by rows for the projections that a
    layer's input goes to, by columns for the two whose sums are its output (A. Kaushal et al., "Spectra",
    arXiv 2407.12327).
    """
    k = values.shape[1]
    best: npt.NDArray[np.float32] | None = None
    # What the first row with weights needs tells at once that a float model has no grid.
    first = np.abs(values[np.argmax(values.any(axis=1))])
    fewest = max(1, len(np.unique(first[first > 0])))
    for columns in _divisors(k, fewest):
        if best is not None and columns >= best.size:
            break
        scales = _block_scales(values, columns)
        if scales is not None and (best is None or scales.size < best.size):
            best = scales
    if best is None:
        return None
    return TernaryMatrix(codes=_signs(values), scale=best, scale_kind="multiplier")


def _signs(values: npt.NDArray[np.float32]) -> npt.NDArray[np.int8]:
    signs: npt.NDArray[np.int8] = (values > 0).astype(np.int8) - (values < 0).astype(np.int8)
    return signs


def _divisors(size: int, smallest: int = 1) -> list[int]:
    return [blocks for blocks in range(smallest, min(size, LARGEST_GRID) + 1) if size % blocks == 0]


def _block_scales(values: npt.NDArray[np.float32], columns: int) -> npt.NDArray[np.float32] | None:
    """Return the scales of the fewest blocks of rows by so many blocks of columns, or None where there are none."""
    m, k = values.shape
    # Bits of magnitudes order as the magnitudes do. Less one, those of 0 become the largest, so that the smallest is
    # that of a weight; infinities and what is no number stay above all else.
    largest = np.empty((m, columns), dtype=np.uint32)
    smallest = np.empty((m, columns), dtype=np.uint32)
    step = max(1, _CHUNK // k)
    for low in range(0, m, step):
        bits = np.ascontiguousarray(values[low : low + step]).view(np.uint32) & np.uint32(0x7FFFFFFF)
        blocks = bits.reshape(-1, columns, k // columns)
        high = blocks.max(axis=2, out=largest[low : low + step])
        blocks -= np.uint32(1)
        least = blocks.min(axis=2, out=smallest[low : low + step])
        if ((high > 0) & (least != high - np.uint32(1))).any() or high.max() >= _INFINITY:
            return None
    for rows in _divisors(m):
        if rows * columns > 1 and (m // rows) * (k // columns) < SMALLEST_BLOCK:
            break
        high = largest.reshape(rows, m // rows, columns).max(axis=1)
        least = smallest.reshape(rows, m // rows, columns).min(axis=1)
        if ((high == 0) | (least == high - np.uint32(1))).all():
            return np.where(high == 0, np.float32(1), high.view(np.float32))
    return None
