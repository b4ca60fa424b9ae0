"""Golden BitLinear: the arithmetic contract in NumPy, bit for bit.

    s_x = (1 / max(max|x|, 1e-5)) * 127        per token, float32, in this order
    Xq  = clip(rint(x * s_x), -128, 127)       ties to even
    A   = Xq @ Wq.T                            exact integers: the line that the hardware computes
    Y   = A / (s_w * s_x)                      float32, the product first, then one division
    Y   = (A / s_x) * (1 / s_w)                where the file holds 1 / s_w instead, as Hugging Face's AutoBitLinear

`127 / absmax` differs from `(1 / absmax) * 127` in the last bit; the latter is what PyTorch evaluates for
``127 / tensor``, hence what published models were trained with.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from tritforge.accel.errors import InputError
from tritforge.models.row_packing import RowSource, as_rows
from tritforge.models.ternary import TernaryMatrix

#: Smallest peak that an activation scale is made from, so that an all-zero token has a finite one.
SMALLEST_PEAK = np.float32(1e-5)
#: Largest magnitude of an activation code.
CODE_BOUND = 128
#: float32 holds every integer up to 2**24, float64 every one up to 2**53.
FLOAT32_EXACT_K = 2**24 // CODE_BOUND
#: The result is int32.
LARGEST_K = (2**31 - 1) // CODE_BOUND

# Tokens that share a conversion of the weights; so many that it is a tenth of the time at most.
_TOKENS = 512
# Weights of a block: 512 KiB of float32 for few tokens, growing with their number up to 8 MiB for many:
# larger ones leave the cache, and smaller ones make BLAS's threads wait for each other more often.
_MANY_TOKENS = 32
_SMALL_BLOCK = 1 << 17
_LARGE_BLOCK = 1 << 21
_LARGE_BLOCK_TOKENS = 64
_UNCOPIED_PRODUCTS = 10**6


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


def ternary_matmul(
    codes_x: npt.NDArray[np.int8], weights: npt.NDArray[np.int8] | RowSource
) -> npt.NDArray[np.int32]:
    """Exact integer product ``codes_x @ codes_w.T`` of weights that stay as they are.

    The product runs on the floating-point BLAS, since NumPy has no fast one for integers, and is exact: codes
    are integers of magnitude 128 at most and trits of 1 at most, so whatever the order of its additions, and
    with fused multiply-adds or without, every partial sum is an integer of magnitude 128 K at most. float32
    holds all integers up to 2**24, thus no addition rounds while K <= 131072; float64 (2**53) serves beyond.
    A matrix unit that works in bfloat16 with float32 sums changes nothing: bfloat16 holds -128 to 128
    exactly.

    Weights become floating-point numbers some rows at a time, in a block that stays in a processor's cache. Beside
    the result, a call takes the memory of 512 tokens in floating point, at most 8 MiB for the block (or one row, if
    that is more), its products and what unpacking takes: under 20 MiB for K = 2560, however many tokens and rows.

    Parameters
    ----------
    codes_x : ndarray of int8, shape (T, K)
        Activation codes, -128 to 127.
    weights : ndarray of int8, shape (M, K), or a source of rows
        -1, 0 or +1 (not checked in an array); or weights as a checkpoint packs them, see
        `tritforge.models.row_packing`.

    Returns
    -------
    ndarray of int32, shape (T, M)

    Raises
    ------
    InputError
        Activations of another type or length, K over 16777215, where sums could leave int32, or packed weights that
        hold what is no trit.
    """
    source = as_rows(weights)
    dtype = _sum_type(source.k)
    _check_activations(codes_x, source.k)
    together = min(len(codes_x), _TOKENS)
    step = max(1, min(source.m, _block_numbers(together) // max(1, source.width)))
    x = np.zeros((together, source.width), dtype=dtype)
    block = np.empty((step, source.width), dtype=dtype)
    products = np.empty((step, together), dtype=dtype)
    sums = np.empty((len(codes_x), source.m), dtype=np.int32)
    for token in range(0, len(codes_x), _TOKENS):
        tokens = codes_x[token : token + _TOKENS]
        x[: len(tokens), : source.k] = tokens
        for first in range(0, source.m, step):
            rows = block[: source.m - first]
            source.fill(first, rows)
            part = np.matmul(rows, x[: len(tokens)].T, out=products[: len(rows), : len(tokens)])
            sums[token : token + _TOKENS, first : first + step] = part.T
    return sums


def _sum_type(k: int) -> type[np.float32 | np.float64]:
    """Return the type whose sums of K products are exact."""
    if k > LARGEST_K:
        raise InputError(f"K is {k}; sums fit 32 bits up to K = {LARGEST_K}")
    return np.float32 if k <= FLOAT32_EXACT_K else np.float64


def _check_activations(codes_x: npt.NDArray[np.int8], k: int) -> None:
    if codes_x.dtype != np.int8 or codes_x.ndim != 2 or codes_x.shape[1] != k:
        raise InputError(
            f"activation codes are {codes_x.dtype} of shape {codes_x.shape}; int8 of shape (tokens, {k}) is needed"
        )


def _block_numbers(tokens: int) -> int:
    """Return how many weights are converted at a time; as measured, see ``benchmarks/bench_host.py``.

    OpenBLAS multiplies without copying its operands first where rows x tokens x K is at most 10**6; for few tokens
    that copy is most of the work.
    """
    if tokens >= _MANY_TOKENS:
        return min(_LARGE_BLOCK, _LARGE_BLOCK // _LARGE_BLOCK_TOKENS * tokens)
    return min(_SMALL_BLOCK, _UNCOPIED_PRODUCTS // max(1, tokens))


def dequantise(
    accumulators: npt.NDArray[np.int32],
    s_w: np.float32 | npt.NDArray[np.float32],
    s_x: npt.NDArray[np.float32],
    scale_kind: str = "divisor",
) -> npt.NDArray[np.float32]:
    """Turn exact sums into activations: ``A / (s_w * s_x)``, or ``(A / s_x) * s_w`` for a multiplier.

    Parameters
    ----------
    accumulators : ndarray of int32, shape (..., M)
        Exact sums.
    s_w : float32, or ndarray of float32 of shape (M,)
        Scale of the matrix, or of each of its rows.
    s_x : ndarray of float32, shape (..., 1)
        Scale of each token.
    scale_kind
        Of `tritforge.models.ternary.SCALE_KINDS`.

    Returns
    -------
    ndarray of float32, shape (..., M)
    """
    sums = accumulators.astype(np.float32)
    result: npt.NDArray[np.float32] = sums / (s_w * s_x) if scale_kind == "divisor" else sums / s_x * s_w
    return result


def bit_linear(
    x: npt.NDArray[np.float32],
    matrix: TernaryMatrix,
    matmul: Callable[[npt.NDArray[np.int8]], npt.NDArray[np.int32]] | None = None,
) -> npt.NDArray[np.float32]:
    """BitLinear without bias: quantise, multiply exactly, dequantise.

    A matrix whose scales differ along its inputs needs the sums of each block of columns apart: each token then
    enters the product once for each of them, with zeros elsewhere. On the accelerator such copies share one pass over
    the weights as tokens do.

    Parameters
    ----------
    x : ndarray of float32, shape (T, K)
        Activations.
    matrix
        Ternary weights of shape (M, K).
    matmul
        Computes ``codes_x @ matrix.codes.T``; the golden model unless given.

    Returns
    -------
    ndarray of float32, shape (T, M)
    """
    codes, s_x = quantise_activations(x)
    multiply = (lambda codes_x: ternary_matmul(codes_x, matrix.codes)) if matmul is None else matmul
    grid = matrix.scale_grid
    scales = np.repeat(grid, matrix.m // len(grid), axis=0) if len(grid) > 1 else grid
    blocks = grid.shape[1]
    if blocks == 1:
        return dequantise(multiply(codes), scales[:, 0], s_x, matrix.scale_kind)
    spread = np.zeros((len(codes), blocks, blocks, matrix.k // blocks), dtype=np.int8)
    for block in range(blocks):
        spread[:, block, block] = codes.reshape(len(codes), blocks, -1)[:, block]
    sums = multiply(spread.reshape(-1, matrix.k)).reshape(len(codes), blocks, matrix.m)
    return sum(
        (dequantise(sums[:, block], scales[:, block], s_x, matrix.scale_kind) for block in range(1, blocks)),
        start=dequantise(sums[:, 0], scales[:, 0], s_x, matrix.scale_kind),
    )
