"""Rotary positions, grouped-query attention and its cache, in float32 NumPy.

Conventions are those of Hugging Face's ``bitnet`` architecture, so that its checkpoints fit.
"""

import numpy as np
import numpy.typing as npt

from tritforge.accel.errors import InputError
from tritforge.models.config import DecoderConfig

Floats = npt.NDArray[np.float32]


def rotary_tables(config: DecoderConfig, positions: int | None = None) -> tuple[Floats, Floats]:
    """Cosines and sines of the first positions, or of all.

    Frequencies and angles are float32 as in the reference, where a last-bit difference would grow with
    the position; powers, cosines and sines are computed in float64 and rounded once.

    Returns
    -------
    cosines, sines : ndarray of float32, shape (positions, head_dim)
    """
    exponents = np.arange(0, config.head_dim, 2, dtype=np.float32) / np.float32(config.head_dim)
    powers = np.power(np.float64(config.rope_theta), exponents.astype(np.float64)).astype(np.float32)
    numbers = np.arange(positions or config.max_position_embeddings, dtype=np.float32)
    half = np.outer(numbers, np.float32(1) / powers).astype(np.float64)
    angles = np.concatenate((half, half), axis=-1)
    return np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)


def rotate(x: Floats, cosines: Floats, sines: Floats) -> Floats:
    """Rotate each pair (x[i], x[i + D / 2]) by its position's angle.

    Parameters
    ----------
    x : ndarray of float32, shape (..., T, D)
        Queries or keys.
    cosines, sines : ndarray of float32, shape (T, D)
        Rows of `rotary_tables` for the T positions.
    """
    low, high = np.split(x, 2, axis=-1)
    return x * cosines + np.concatenate((-high, low), axis=-1) * sines


class LayerCache:
    """Keys and values of the positions that one layer has seen.

    Parameters
    ----------
    capacity
        Positions that fit.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.length = 0
        self._keys: Floats | None = None
        self._values: Floats | None = None

    def extend(self, keys: Floats, values: Floats) -> tuple[Floats, Floats]:
        """Add new positions and return those of all so far.

        Parameters
        ----------
        keys, values : ndarray of float32, shape (..., heads, T, D)
            Of the new positions.

        Raises
        ------
        InputError
            The positions do not fit.
        """
        end = self.length + keys.shape[-2]
        if end > self.capacity:
            raise InputError(f"{end} positions are over the cache's {self.capacity}; use a shorter text")
        if self._keys is None or self._values is None or end > self._keys.shape[-2]:
            # Twice what is needed: so each position is copied about once, and no text pays for the longest one.
            shape = (*keys.shape[:-2], min(2 * end, self.capacity), keys.shape[-1])
            self._keys, self._values = _grown(self._keys, shape), _grown(self._values, shape)
        self._keys[..., self.length : end, :] = keys
        self._values[..., self.length : end, :] = values
        self.length = end
        return self._keys[..., :end, :], self._values[..., :end, :]


def _grown(values: Floats | None, shape: tuple[int, ...]) -> Floats:
    """Return an array with more positions, which begins with those that there were."""
    grown: Floats = np.empty(shape, np.float32)
    if values is not None:
        grown[..., : values.shape[-2], :] = values
    return grown


def attend(queries: Floats, keys: Floats, values: Floats) -> Floats:
    """Causal attention of the last T of S positions, each key head serving a group of query heads.

    Parameters
    ----------
    queries : ndarray of float32, shape (..., H, T, D)
        Of the last T positions.
    keys, values : ndarray of float32, shape (..., G, S, D)
        Of all positions; H is a multiple of G.

    Returns
    -------
    ndarray of float32, shape (..., H, T, D)
    """
    *lead, heads, length, width = queries.shape
    groups, total = keys.shape[-3], keys.shape[-2]
    grouped = queries.reshape(*lead, groups, heads // groups, length, width)
    scores: Floats = (grouped @ np.swapaxes(keys, -1, -2)[..., None, :, :]) * np.float32(width**-0.5)
    if length > 1:
        future = np.triu(np.ones((length, total), dtype=bool), k=total - length + 1)
        scores[..., future] = -np.inf
    scores -= scores.max(axis=-1, keepdims=True)
    np.exp(scores, out=scores)
    scores /= scores.sum(axis=-1, keepdims=True)
    mixed: Floats = scores @ values[..., None, :, :]
    return mixed.reshape(queries.shape)
