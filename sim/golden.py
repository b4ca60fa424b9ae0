"""Golden BitLinear: the arithmetic contract in NumPy, bit for bit.

    s_x = (1 / max(max|x|, 1e-5)) * 127        per token, float32, in this order
    Xq  = clip(rint(x * s_x), -128, 127)       ties to even
    A   = Xq @ Wq.T                            exact integers: the line that the hardware computes
    Y   = A / (s_w * s_x)                      float32, the product first, then one division

`127 / absmax` differs from `(1 / absmax) * 127` in the last bit; the latter is what PyTorch evaluates for
``127 / tensor``, hence what published models were trained with.
"""

import numpy as np
import numpy.typing as npt

from tritforge.accel.errors import InputError
from tritforge.models.ternary import TernaryMatrix

#: Smallest peak that an activation scale is made from, so that an all-zero token has a finite one.
SMALLEST_PEAK = np.float32(1e-5)
#: Largest magnitude of an activation code.
CODE_BOUND = 128
#: float32 holds every integer up to 2**24, float64 every one up to 2**53.
FLOAT32_EXACT_K = 2**24 // CODE_BOUND
#: The result is int32.
LARGEST_K = (2**31 - 1) // CODE_BOUND


def quantise_activations(
    x: npt.NDArray[np.float32],
) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.float32]]:
    """Quantise each token by its largest magnitude.

    Parameters
    ----------
    x : ndarray of float32, shape (..., K)
        Activations, a token in each row.

    Returns
    -------
    codes : ndarray of int8, shape (..., K)
        Within -127 to 127, the peak being one of the two.
    s_x : ndarray of float32, shape (..., 1)
        The factor of each token.

    Raises
    ------
    InputError
        An activation that is not finite, or activations of another type.
    """
    if x.dtype != np.float32:
        raise InputError(f"activations are {x.dtype}; float32 is needed")
    peak = np.abs(x).max(axis=-1, keepdims=True)
    if not np.isfinite(peak).all():
        token = int(np.flatnonzero(~np.isfinite(peak))[0])
        raise InputError(f"token {token} holds {peak.ravel()[token]}; finite activations are needed")
    s_x = (np.float32(1) / np.maximum(peak, SMALLEST_PEAK)) * np.float32(127)
    codes = np.clip(np.rint(x * s_x), -CODE_BOUND, CODE_BOUND - 1).astype(np.int8)
    return codes, s_x


class PreparedMatrix:
    """Weight codes in the floating-point form that the exact integer product multiplies with.

    The product runs on the floating-point BLAS, since NumPy has no fast one for integers, and is exact: codes
    are integers of magnitude 128 at most and trits of 1 at most, so whatever the order of its additions, and
    with fused multiply-adds or without, every partial sum is an integer of magnitude 128 K at most. float32
    holds all integers up to 2**24, thus no addition rounds while K <= 131072; float64 (2**53) serves beyond.
    A matrix unit that works in bfloat16 with float32 sums changes nothing: bfloat16 holds -128 to 128
    exactly.

    Parameters
    ----------
    codes : ndarray of int8, shape (M, K)
        -1, 0 or +1.

    Raises
    ------
    InputError
        K over 16777215, where sums could leave int32.
    """

    def __init__(self, codes: npt.NDArray[np.int8]) -> None:
        self.m, self.k = codes.shape
        if self.k > LARGEST_K:
            raise InputError(f"K is {self.k}; sums fit 32 bits up to K = {LARGEST_K}")
        self._transposed: npt.NDArray[np.float32 | np.float64] = np.ascontiguousarray(
            codes.T, dtype=np.float32 if self.k <= FLOAT32_EXACT_K else np.float64
        )

    def product(self, codes_x: npt.NDArray[np.int8]) -> npt.NDArray[np.int32]:
        """Exact ``codes_x @ codes.T``.

        Parameters
        ----------
        codes_x : ndarray of int8, shape (T, K)
            Activation codes, -128 to 127.

        Returns
        -------
        ndarray of int32, shape (T, M)

        Raises
        ------
        InputError
            Activations of another type or length.
        """
        if codes_x.dtype != np.int8 or codes_x.ndim != 2 or codes_x.shape[1] != self.k:
            raise InputError(
                f"activation codes are {codes_x.dtype} of shape {codes_x.shape}; "
                f"int8 of shape (tokens, {self.k}) is needed"
            )
        sums: npt.NDArray[np.float32 | np.float64] = codes_x.astype(self._transposed.dtype) @ self._transposed
        return sums.astype(np.int32)


def ternary_matmul(codes_x: npt.NDArray[np.int8], codes_w: npt.NDArray[np.int8]) -> npt.NDArray[np.int32]:
    """Exact integer product ``codes_x @ codes_w.T``; see `PreparedMatrix` for why it is exact.

    Parameters
    ----------
    codes_x : ndarray of int8, shape (T, K)
        Activation codes, -128 to 127.
    codes_w : ndarray of int8, shape (M, K)
        -1, 0 or +1.

    Returns
    -------
    ndarray of int32, shape (T, M)
    """
    return PreparedMatrix(codes_w).product(codes_x)


def dequantise(
    accumulators: npt.NDArray[np.int32], s_w: np.float32, s_x: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32]:
    """Turn exact sums into activations: ``A / (s_w * s_x)``.

    Parameters
    ----------
    accumulators : ndarray of int32, shape (..., M)
        Exact sums.
    s_w, s_x : float32, and ndarray of float32 of shape (..., 1)
        Scales of the matrix and of each token.

    Returns
    -------
    ndarray of float32, shape (..., M)
    """
    result: npt.NDArray[np.float32] = accumulators.astype(np.float32) / (s_w * s_x)
    return result


def bit_linear(x: npt.NDArray[np.float32], matrix: TernaryMatrix) -> npt.NDArray[np.float32]:
    """BitLinear without bias: quantise, multiply exactly, dequantise.

    Parameters
    ----------
    x : ndarray of float32, shape (T, K)
        Activations.
    matrix
        Ternary weights of shape (M, K).

    Returns
    -------
    ndarray of float32, shape (T, M)
    """
    codes, s_x = quantise_activations(x)
    return dequantise(ternary_matmul(codes, matrix.codes), matrix.scale, s_x)
