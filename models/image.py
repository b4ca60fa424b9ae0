"""The accelerator's weight image: a ternary matrix in the order in which the hardware takes it."""

import numpy as np
import numpy.typing as npt

from tritforge.accel.codes import BIAS_WORD_BITS, I2_CODES
from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.errors import InputError


def pack_image(config: AcceleratorConfig, codes: npt.NDArray[np.int8]) -> bytes:
    """Pack a ternary matrix for the weight stream.

    For each row tile: the biases of its rows (counts of -1, 16 bits little-endian, padded to whole beats), then its
    tiles along K, each ``rows x lanes`` trits of two bits, lane by lane within a row, padded to whole beats. Rows
    and lanes beyond the matrix hold zeros.

    Parameters
    ----------
    config
        Tile and port.
    codes : ndarray, shape (M, K)
        Weights in -1, 0, +1.

    Returns
    -------
    bytes
        The beats one behind the other, lowest byte first.

    Raises
    ------
    InputError
        Not a matrix, a value that is not ternary, or a shape out of the configuration's bounds.
    """
    codes = np.asarray(codes)
    if codes.ndim != 2:
        raise InputError(f"weights have {codes.ndim} dimensions; a matrix of 2 is needed")
    m, k = codes.shape
    config.check_job(m, k, 1)
    bad = np.argwhere((codes < -1) | (codes > 1))
    if bad.size:
        row, column = bad[0]
        raise InputError(
            f"weight {codes[row, column]} at row {row}, column {column} is not ternary; -1, 0 or +1 is needed"
        )
    row_tiles, k_tiles = config.row_tiles(m), config.k_tiles(k)
    padded = np.zeros((row_tiles * config.rows, k_tiles * config.lanes), dtype=np.int8)
    padded[:m, :k] = codes

    beat_bytes = config.weight_port_bits // 8
    bias = np.zeros((row_tiles, config.bias_beats * beat_bytes * 8 // BIAS_WORD_BITS), dtype="<u2")
    bias[:, : config.rows] = (padded == -1).sum(axis=1).reshape(row_tiles, config.rows)

    table = np.zeros(3, dtype=np.uint8)
    for trit, code in I2_CODES.items():
        table[trit] = code
    tiles = table[padded.reshape(row_tiles, config.rows, k_tiles, config.lanes).transpose(0, 2, 1, 3)]
    bits = np.stack([tiles & 1, tiles >> 1], axis=-1).reshape(row_tiles, k_tiles, -1)
    packed = np.packbits(bits, axis=-1, bitorder="little")
    beats = np.zeros((row_tiles, k_tiles, config.tile_beats * beat_bytes), dtype=np.uint8)
    beats[:, :, : packed.shape[-1]] = packed
    return np.concatenate(
        [bias.view(np.uint8).reshape(row_tiles, -1), beats.reshape(row_tiles, -1)], axis=1
    ).tobytes()


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
