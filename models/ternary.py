"""Ternary matrices: absmean quantisation of float weights to codes -1, 0, +1 and one scale."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tritforge.accel.errors import InputError

#: Smallest mean of |W| that a scale is made from, so that an all-zero matrix has a finite one.
SMALLEST_MEAN = np.float32(1e-5)


@dataclass(frozen=True, kw_only=True, eq=False)
class TernaryMatrix:
    """Weights of a ternary layer: ``W`` is about ``codes / scale``.

    Attributes
    ----------
    codes : ndarray of int8, shape (M, K)
        -1, 0 or +1; kept as a read-only copy.
    scale : float32
        The factor s_w that float weights are multiplied with before rounding.

    Raises
    ------
    InputError
        Codes of another type or shape or with another value; a scale that is not positive and finite.
    """

    codes: npt.NDArray[np.int8]
    scale: np.float32

    def __post_init__(self) -> None:
        if self.codes.dtype != np.int8 or self.codes.ndim != 2 or 0 in self.codes.shape:
            raise InputError(
                f"codes are {self.codes.dtype} of shape {self.codes.shape}; "
                "int8 of two axes is needed, neither of them empty"
            )
        wrong = np.argwhere(np.abs(self.codes.astype(np.int16)) > 1)
        if wrong.size:
            row, column = map(int, wrong[0])
            raise InputError(
                f"the code at row {row}, column {column} is {self.codes[row, column]}; -1, 0 or 1 is needed"
            )
        if not isinstance(self.scale, np.float32) or not 0 < self.scale < np.inf:
            raise InputError(f"the scale is {self.scale!r}; a positive, finite float32 is needed")
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
    def shares(self) -> tuple[float, float, float]:
        """Shares of -1, 0 and +1 among the codes."""
        counts = [int(np.count_nonzero(self.codes == trit)) for trit in (-1, 0, 1)]
        return counts[0] / self.codes.size, counts[1] / self.codes.size, counts[2] / self.codes.size


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
    codes = np.clip(np.rint(weights * scale), -1, 1).astype(np.int8)
    return TernaryMatrix(codes=codes, scale=scale)
