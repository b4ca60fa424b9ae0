"""Activations in, results out: the order in which the hardware takes and gives them."""

import numpy as np
import numpy.typing as npt

from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.errors import InputError


def pack_activations(config: AcceleratorConfig, codes: npt.NDArray[np.integer]) -> bytes:
    """Pack activations for the activation stream: whole bytes, lane 0 first, each token padded to whole beats.

    Parameters
    ----------
    config
        Widths and port.
    codes : ndarray, shape (T, K)
        Signed activations.

    Raises
    ------
    InputError
        A shape or a value out of the configuration's bounds.
    """
    codes = np.asarray(codes)
    if codes.ndim != 2:
        raise InputError(f"activations have {codes.ndim} dimensions; a matrix of 2 is needed")
    tokens, k = codes.shape
    config.check_job(1, k, tokens)
    limit = 1 << (config.act_bits - 1)
    if codes.min() < -limit or codes.max() >= limit:
        worst = codes.min() if codes.min() < -limit else codes.max()
        raise InputError(
            f"activation {worst} does not fit {config.act_bits} bits; {-limit} to {limit - 1} is needed"
        )
    beats = -(-k // config.acts_per_beat)
    padded = np.zeros((tokens, beats * config.acts_per_beat), dtype=f"<i{config.act_container_bits // 8}")
    padded[:, :k] = codes
    return padded.tobytes()


def unpack_results(
    config: AcceleratorConfig, words: npt.NDArray[np.int32], m: int, tokens: int
) -> npt.NDArray[np.int32]:
    """Put result words, in the order (row tile, token, row), into ``Y[T, M]``.

    Raises
    ------
    InputError
        There are not exactly M x T words.
    """
    if words.size != m * tokens:
        raise InputError(f"{words.size} result words; M x T = {m} x {tokens} = {m * tokens} are needed")
    result = np.empty((tokens, m), dtype=np.int32)
    start = 0
    for low in range(0, m, config.rows):
        high = min(low + config.rows, m)
        count = (high - low) * tokens
        result[:, low:high] = words[start : start + count].reshape(tokens, high - low)
        start += count
    return result


def order_results(config: AcceleratorConfig, result: npt.NDArray[np.integer]) -> npt.NDArray[np.int32]:
    """Put ``Y[T, M]`` into the order in which the words leave: the inverse of `unpack_results`."""
    return np.concatenate(
        [
            result[:, low : low + config.rows].astype(np.int32).ravel()
            for low in range(0, result.shape[1], config.rows)
        ]
    )
