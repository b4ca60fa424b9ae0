"""Whether two checkpoints are equal: every code, scale and float32 number, a matrix or some rows at a time."""

from collections.abc import Callable
from dataclasses import fields
from math import lcm

import numpy as np
import numpy.typing as npt

from tritforge.accel.errors import VerificationError
from tritforge.models.reader import CheckpointReader, counting
from tritforge.models.ternary import TernaryMatrix

_FLOAT16_BITS = 11


def verify_equal(
    source: CheckpointReader,
    copy: CheckpointReader,
    *,
    scale_bits: int | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> None:
    """Compare a copy with its source.

    Parameters
    ----------
    source, copy
        The two.
    scale_bits
        Scales may differ as rounding to floats of so many bits (11 of float16, 24 of float32) makes them, and may be
        multipliers where they were divisors. Every scale must be equal unless it is given.
    on_progress
        Called with numbers compared and numbers in all.

    Raises
    ------
    VerificationError
        They differ; the message names the first field, or tensor and place.
    InputError
        One of them is damaged.
    """
    for field in fields(source.config):
        wanted, found = getattr(source.config, field.name), getattr(copy.config, field.name)
        if wanted != found:
            raise VerificationError(f"{field.name} is {found!r}, in the source {wanted!r}")
    advance = counting(source.weights + source.float_numbers, on_progress)
    for name in source.matrices:
        original, written = source.matrix(name), copy.matrix(name)
        _same(original.codes, written.codes, name, "the code")
        if scale_bits is not None:
            _near(original, written, name, scale_bits)
        else:
            if original.scale_kind != written.scale_kind:
                raise VerificationError(
                    f"{name}: the scale is a {written.scale_kind}; the source has a {original.scale_kind}"
                )
            _same(original.scale_grid, written.scale_grid, name, "the scale")
        advance(original.codes.size)
    for name in source.tensors:
        row = 0
        # Both are cut alike, since their shapes are the same.
        for ours, theirs in zip(source.chunks(name), copy.chunks(name), strict=True):
            _same(ours, theirs, name, "the number", row)
            row += len(ours)
            advance(ours.size)


def _same(
    wanted: npt.NDArray[np.int8 | np.float32],
    found: npt.NDArray[np.int8 | np.float32],
    where: str,
    what: str,
    first_row: int = 0,
) -> None:
    """Compare numbers, a zero's sign included; `first_row` is the number of their first row."""
    if wanted.shape != found.shape:
        raise VerificationError(f"{where} has {what}s of shape {found.shape}, the source of {wanted.shape}")
    kind = np.uint8 if wanted.dtype == np.int8 else np.uint32
    if np.array_equal(wanted.view(kind), found.view(kind)):
        return
    place = np.unravel_index(int(np.argmax(wanted.view(kind) != found.view(kind))), wanted.shape)
    at = ", ".join(str(int(index) + (0 if axis else first_row)) for axis, index in enumerate(place))
    raise VerificationError(f"{where}: {what} at ({at}) is {found[place]}, in the source {wanted[place]}")


def _near(original: TernaryMatrix, written: TernaryMatrix, where: str, bits: int) -> None:
    """Compare scales as factors, within the rounding to floats of so many bits."""
    rows, columns = (
        lcm(*sizes) for sizes in zip(original.scale_grid.shape, written.scale_grid.shape, strict=True)
    )
    ours, theirs = (_factors(matrix, rows, columns) for matrix in (original, written))
    # Half a unit in the last place; below its normal numbers, from 2**-14 on, float16 has steps of 2**-24. The last
    # factor leaves room for the reciprocal of a divisor, which is rounded before.
    most = np.maximum(ours * 2.0**-bits, 2.0**-25 if bits == _FLOAT16_BITS else 0) * (1 + 2.0**-10)
    wrong = np.abs(theirs - ours) > most
    if wrong.any():
        row, column = map(int, np.argwhere(wrong)[0])
        raise VerificationError(
            f"{where}: the scale at ({row}, {column}) is {theirs[row, column]:.9g}, "
            f"in the source {ours[row, column]:.9g}: more than rounding to {bits} bits"
        )


def _factors(matrix: TernaryMatrix, rows: int, columns: int) -> npt.NDArray[np.float64]:
    """Return a matrix's scales as multipliers, repeated to a finer grid."""
    grid = matrix.scale_grid.astype(np.float64)
    factors = 1 / grid if matrix.scale_kind == "divisor" else grid
    return factors.repeat(rows // len(grid), axis=0).repeat(columns // grid.shape[1], axis=1)
