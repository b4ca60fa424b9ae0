"""Ternary matrices: codes -1, 0, +1 and their scales, and absmean quantisation of float weights."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tritforge.accel.errors import InputError

#: Smallest mean of |W| that a scale is made from, so that an all-zero matrix has a finite one.
SMALLEST_MEAN = np.float32(1e-5)
# Weights that are quantised at a time.
_CHUNK = 1 << 20

#: What a scale does to the exact sums: they are divided by s_w, or multiplied with 1 / s_w, which a file may store.
SCALE_KINDS = ("divisor", "multiplier")


@dataclass(frozen=True, kw_only=True, eq=False)
class TernaryMatrix:
    """Weights of a ternary layer: ``W`` is about ``codes / scale``, or ``codes * scale`` by `scale_kind`.

    Checkpoints hold one of the two, and the reciprocal of a float32 is another number after rounding: a scale is kept
    as it was stored, with what it is.

    Attributes
    ----------
    codes : ndarray of int8, shape (M, K)
        -1, 0 or +1; kept as a read-only copy.
    scale : float32, or ndarray of float32, shape (R, C)
        Of the whole matrix, or of R x C blocks of equal size, M / R rows by K / C columns each. A grid of equal
        scales becomes the one scale that it means.
    scale_kind
        One of `SCALE_KINDS`: ``divisor``, the factor s_w that float weights are multiplied with before rounding, or
        ``multiplier``, the mean magnitude.

    Raises
    ------
    InputError
        Codes of another type or shape or with another value; a scale that is not positive and finite, or a grid that
        does not divide the matrix.
    """

    codes: npt.NDArray[np.int8]
    scale: np.float32 | npt.NDArray[np.float32]
    scale_kind: str = "divisor"

    def __post_init__(self) -> None:
        if self.codes.dtype != np.int8 or self.codes.ndim != 2 or 0 in self.codes.shape:
            raise InputError(
                f"codes are {self.codes.dtype} of shape {self.codes.shape}; "
                "int8 of two axes is needed, neither of them empty"
            )
        illegal = first_illegal(self.codes)
        if illegal is not None:
            row, column = illegal
            raise InputError(
                f"the code at row {row}, column {column} is {self.codes[row, column]}; -1, 0 or 1 is needed"
            )
        if self.scale_kind not in SCALE_KINDS:
            raise InputError(f"scale_kind is {self.scale_kind!r}; one of {', '.join(SCALE_KINDS)} is needed")
        object.__setattr__(self, "scale", _checked_scale(self.scale, self.codes.shape))
        codes = np.array(self.codes, order="C")
        codes.setflags(write=False)
        object.__setattr__(self, "codes", codes)

    @property
    def m(self) -> int:
        """Number of outputs."""
        return int(self.codes.shape[0])

    @property
    def k(self) -> int:
        """Number of inputs."""
        return int(self.codes.shape[1])

    @property
    def scale_grid(self) -> npt.NDArray[np.float32]:
        """Scales by block, shape (R, C); (1, 1) for a matrix with one scale."""
        return np.atleast_2d(np.asarray(self.scale, dtype=np.float32))

    @property
    def shares(self) -> tuple[float, float, float]:
        """Shares of -1, 0 and +1 among the codes."""
        counts = [int(np.count_nonzero(self.codes == trit)) for trit in (-1, 0, 1)]
        return counts[0] / self.codes.size, counts[1] / self.codes.size, counts[2] / self.codes.size


def first_illegal(codes: npt.NDArray[np.int8]) -> tuple[int, int] | None:
    """Return row and column of the first code that is not -1, 0 or +1; None where all are."""
    # As unsigned bytes, -1, 0 and 1 are 255, 0 and 1: one more makes them the three smallest.
    if (codes.view(np.uint8) + np.uint8(1)).max() <= 2:
        return None
    row, column = np.argwhere((codes < -1) | (codes > 1))[0]
    return int(row), int(column)


def _checked_scale(
    scale: np.float32 | npt.NDArray[np.float32], shape: tuple[int, ...]
) -> np.float32 | npt.NDArray[np.float32]:
    """Return one scale, or a read-only grid of scales that differ."""
    if isinstance(scale, np.float32):
        if not 0 < scale < np.inf:
            raise InputError(f"the scale is {scale!r}; a positive, finite float32 is needed")
        return scale
    if not isinstance(scale, np.ndarray):
        raise InputError(f"the scale is {scale!r}; a positive, finite float32 is needed")
    if scale.dtype != np.float32 or scale.ndim != 2 or 0 in scale.shape:
        raise InputError(
            f"the scales are {scale.dtype} of shape {scale.shape}; float32 of two axes is needed, neither empty"
        )
    if shape[0] % scale.shape[0] or shape[1] % scale.shape[1]:
        raise InputError(f"a grid of {scale.shape} scales does not divide a matrix of shape {shape}")
    wrong = np.argwhere(~((scale > 0) & (scale < np.inf)))
    if wrong.size:
        row, column = map(int, wrong[0])
        raise InputError(
            f"the scale at ({row}, {column}) is {scale[row, column]!r}; a positive, finite float32 is needed"
        )
    if (scale == scale[0, 0]).all():
        return np.float32(scale[0, 0])
    kept = np.array(scale, order="C")
    kept.setflags(write=False)
    return kept


def weight_scale(weights: npt.NDArray[np.float32]) -> np.float32:
    """Absmean scale s_w = 1 / max(mean(abs(W)), 1e-5).

    The mean is taken in float64 and rounded once to float32: a float32 mean would depend on the order of
    its additions.

    Raises
    ------
    InputError
        A weight that is not finite.
    """
    mean = np.float32(np.abs(weights).mean(dtype=np.float64))
    if not np.isfinite(mean):
        raise InputError(f"the mean of the weights' magnitudes is {mean}; finite weights are needed")
    return np.float32(np.float32(1) / np.maximum(mean, SMALLEST_MEAN))


def quantise_weights(weights: npt.NDArray[np.float32]) -> TernaryMatrix:
    """Quantise a float matrix: codes = clip(rint(W * s_w), -1, +1), ties to even.

    Parameters
    ----------
    weights : ndarray of float32, shape (M, K)
        Master weights.

    Raises
    ------
    InputError
        Weights of another type or shape, or not finite.

    Notes
    -----
    Source: S. Ma et al., "The Era of 1-bit LLMs", arXiv 2402.17764, equations 1 to 3; the reciprocal is
    taken first, as in the weights' published training code.
    """
    if weights.dtype != np.float32 or weights.ndim != 2 or 0 in weights.shape:
        raise InputError(
            f"weights are {weights.dtype} of shape {weights.shape}; "
            "float32 of two axes is needed, neither of them empty"
        )
    scale = weight_scale(weights)
    codes = np.empty(weights.shape, dtype=np.int8)
    # Some rows at a time: temporaries of the whole matrix would be several times its size.
    step = max(1, _CHUNK // weights.shape[1])
    for low in range(0, len(weights), step):
        part = weights[low : low + step] * scale
        np.clip(np.rint(part, out=part), -1, 1, out=codes[low : low + step], casting="unsafe")
    return TernaryMatrix(codes=codes, scale=scale)
