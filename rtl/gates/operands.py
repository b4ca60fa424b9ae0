"""Operands of matrix products in every arithmetic: a model's own, or random ones.

One product is kept in the numbers that it comes in, so that each arithmetic takes the same product its own way:
ternary codes and INT8 activation codes, INT8 weights, FP16 weights and activations.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tritforge.accel.errors import InputError

#: Mean magnitude of a normal number with a standard deviation of 1.
_MEAN_MAGNITUDE = (2 / np.pi) ** 0.5
#: Weights are drawn by inverting the normal distribution, tabulated on this many points up to `_LONGEST`.
_POINTS, _LONGEST = 1 << 14, 6.0


@dataclass(frozen=True, kw_only=True, eq=False)
class ProductOperands:
    """Activations and weights of one matrix product.

    Attributes
    ----------
    name
        Of the matrix.
    codes : ndarray of int8, shape (T, K)
        Activation codes of consecutive tokens.
    activations : ndarray of float32, shape (T, K)
        The activations that the codes were made of.
    trits : ndarray of int8, shape (M, K)
        Ternary weights.
    weights : ndarray of float32, shape (M, K)
        Weights in full precision that these trits are the rounding of.

    Raises
    ------
    InputError
        Shapes that do not belong together.
    """

    name: str
    codes: npt.NDArray[np.int8]
    activations: npt.NDArray[np.float32]
    trits: npt.NDArray[np.int8]
    weights: npt.NDArray[np.float32]

    def __post_init__(self) -> None:
        """Check the shapes."""
        acts, weights = self.codes.shape, self.trits.shape
        if self.activations.shape != acts or self.weights.shape != weights or acts[-1] != weights[-1]:
            raise InputError(
                f"{self.name}: codes have shape {acts}, activations {self.activations.shape}, trits {weights}, "
                f"weights {self.weights.shape}; (T, K) twice and (M, K) twice are needed"
            )

    @property
    def int8_weights(self) -> npt.NDArray[np.int8]:
        """Weights as INT8 codes, the matrix's largest magnitude being 127."""
        peak = np.abs(self.weights).max()
        codes: npt.NDArray[np.int8] = np.rint(self.weights * (np.float32(127) / peak)).astype(np.int8)
        return codes


def latent_weights(
    trits: npt.NDArray[np.int8], mean: float, random: np.random.Generator
) -> npt.NDArray[np.float32]:
    """Draw weights in full precision whose ternary rounding is given.

    A checkpoint of ternary weights does not hold the weights that they were rounded from. These are normal numbers
    with the mean magnitude that the codes were made with, each drawn under the condition that it rounds to its code:
    below half of the mean in magnitude for 0, above it and of the code's sign for -1 and +1.

    Parameters
    ----------
    trits : ndarray of int8
        Codes.
    mean
        Mean magnitude, ``1 / s_w``.
    random
        Source of the numbers.

    Returns
    -------
    ndarray of float32
        Of the codes' shape.
    """
    # Magnitudes in units of the standard deviation, through a table of the cumulative distribution.
    grid = np.linspace(0, _LONGEST, _POINTS)
    density = np.exp(-(grid**2) / 2)
    cumulative = np.concatenate([[0], np.cumsum((density[1:] + density[:-1]) / 2)])
    cumulative /= cumulative[-1]
    bound = np.interp(_MEAN_MAGNITUDE / 2, grid, cumulative)
    share = random.random(trits.shape)
    zero = trits == 0
    magnitude = np.interp(np.where(zero, share * bound, bound + share * (1 - bound)), cumulative, grid)
    sign = np.where(zero, random.integers(0, 2, trits.shape) * 2 - 1, trits)
    weights: npt.NDArray[np.float32] = (sign * magnitude * (mean / _MEAN_MAGNITUDE)).astype(np.float32)
    return weights


def dequantised(operands: ProductOperands) -> ProductOperands:
    """Return the same product with the ternary weights in place of those in full precision."""
    mean = np.float32(np.abs(operands.weights).mean())
    return ProductOperands(
        name=operands.name,
        codes=operands.codes,
        activations=operands.activations,
        trits=operands.trits,
        weights=operands.trits * mean,
    )


def random_operands(seed: int, *, tokens: int = 64, inputs: int = 512, outputs: int = 64) -> ProductOperands:
    """Return uniform operands: all INT8 codes but -128, all three trits, numbers between -1 and 1.

    Raises
    ------
    InputError
        A negative seed.
    """
    if seed < 0:
        raise InputError(f"seed is {seed}; zero or more is needed")
    random = np.random.default_rng((seed, 0))
    return ProductOperands(
        name="random",
        codes=random.integers(-127, 128, (tokens, inputs)).astype(np.int8),
        activations=random.uniform(-1, 1, (tokens, inputs)).astype(np.float32),
        trits=random.integers(-1, 2, (outputs, inputs)).astype(np.int8),
        weights=random.uniform(-1, 1, (outputs, inputs)).astype(np.float32),
    )
