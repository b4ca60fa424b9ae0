"""Operands of a decoder layer's ternary products: those that a model meets in a text, or seeded ones of a shape."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from tritforge.accel.errors import InputError
from tritforge.models import base3
from tritforge.models.checkpoint import Checkpoint
from tritforge.models.shapes import ModelShape
from tritforge.sim.decoder import Decoder, GoldenProduct
from tritforge.sim.golden import quantise_activations

#: Share of zeros among seeded weights: "about 42 %" of the weights of a trained BitNet b1.58, arXiv:2603.05168
#: (Sparse-BitNet), figure 1; read in a secondary copy.
ZERO_SHARE = 0.42


@dataclass(frozen=True, kw_only=True, eq=False)
class Operands:
    """One product that is to be computed.

    Attributes
    ----------
    name
        Full name of the matrix, such as ``model.layers.0.self_attn.q_proj``.
    m, k
        Its shape.
    weights
        Returns its codes, int8 of shape (M, K): made when they are needed, since all those of a large model's layer
        take much memory.
    activations : ndarray of int8, shape (T, K)
        Activation codes.
    """

    name: str
    m: int
    k: int
    weights: Callable[[], npt.NDArray[np.int8]]
    activations: npt.NDArray[np.int8]

    @property
    def tokens(self) -> int:
        """Number of tokens T."""
        return len(self.activations)


@dataclass(frozen=True, eq=False)
class PackedWeights:
    """Codes of K columns as they travel to another process, five trits in a byte."""

    packed: npt.NDArray[np.uint8]
    k: int

    def __call__(self) -> npt.NDArray[np.int8]:
        return base3.unpack(self.packed, self.k)


@dataclass(frozen=True)
class SeededWeights:
    """Codes of shape (M, K) as they travel to another process: the seed of their generator."""

    m: int
    k: int
    seed: tuple[int, ...]

    def __call__(self) -> npt.NDArray[np.int8]:
        return seeded_weights(self.m, self.k, np.random.default_rng(self.seed))


def portable(operands: Operands) -> Operands:
    """Return operands that another process can be sent, the weights as small as they get."""
    if isinstance(operands.weights, SeededWeights):
        return operands
    return replace(operands, weights=PackedWeights(base3.pack(operands.weights()), operands.k))


class _RecordingProduct(GoldenProduct):
    """The golden model's ternary product of a decoder, which keeps the activations of some layers' matrices."""

    def __init__(self, checkpoint: Checkpoint, layers: Sequence[int]) -> None:
        super().__init__(checkpoint)
        self.recorded: dict[str, npt.NDArray[np.int8]] = {}
        self._prefixes = tuple(f"model.layers.{layer}." for layer in layers)

    def __call__(self, name: str, codes_x: npt.NDArray[np.int8], /) -> npt.NDArray[np.int32]:
        if name.startswith(self._prefixes):
            self.recorded[name] = codes_x
        return super().__call__(name, codes_x)


def recorded_operands(
    checkpoint: Checkpoint, layers: Sequence[int], tokens: npt.NDArray[np.int64]
) -> list[Operands]:
    """Run a model's decoder on tokens and keep the operands of some layers' products, in the order of their use.

    Parameters
    ----------
    checkpoint
        The model.
    layers
        The layers; those up to the last of them are run.
    tokens : ndarray of int64, shape (T,)
        Token ids.

    Raises
    ------
    InputError
        A layer or a token that the model does not have.
    """
    product = _RecordingProduct(checkpoint, layers)
    decoder = Decoder(checkpoint, product)
    hidden = decoder.embed(tokens)
    for layer in range(max(layers) + 1):
        hidden = decoder.layer(layer, hidden)
    shapes = checkpoint.config.matrices
    return [
        Operands(
            name=name,
            m=shapes[name.split(".", 3)[3]][0],
            k=codes_x.shape[1],
            weights=lambda name=name: checkpoint.matrices[name].codes,  # type: ignore[misc]
            activations=codes_x,
        )
        for name, codes_x in product.recorded.items()
    ]


def seeded_tokens(checkpoint: Checkpoint, count: int, seed: int) -> npt.NDArray[np.int64]:
    """Return random token ids, shape (T,), for a model that comes without a text."""
    return np.random.default_rng(seed).integers(0, checkpoint.config.vocab_size, count)


def seeded_weights(
    m: int, k: int, random: np.random.Generator, *, zeros: float = ZERO_SHARE
) -> npt.NDArray[np.int8]:
    """Return random ternary weights, int8 of shape (M, K), with a share of zeros, -1 and +1 alike.

    Parameters
    ----------
    m, k
        Shape.
    random
        Their source.
    zeros
        From 0 to 1; it is met to 2**-15, but for chance.
    """
    numbers = random.integers(0, 1 << 16, (m, k), dtype=np.uint16)
    # An even bound leaves as many even numbers above it as odd ones: the signs.
    bound = round(zeros * (1 << 15)) * 2
    signs = (numbers & 1).astype(np.int8) * np.int8(2) - np.int8(1)
    return np.where(numbers >= bound, signs, np.int8(0))


def seeded_operands(shape: ModelShape, layers: Sequence[int], tokens: int, seed: int) -> list[Operands]:
    """Return random operands for the matrices of some layers of a model's shape.

    Weights are ternary with `ZERO_SHARE` zeros; activations are normal numbers, quantised as a model's are. Each
    matrix has a generator of its own, so its operands depend on the seed, its layer and its place there alone. Of
    experts, one is taken.

    Raises
    ------
    InputError
        The shape's weights are not ternary.
    """
    if shape.weights != "ternary":
        raise InputError(f"shape {shape.name} has {shape.weights} weights; ternary ones are needed")
    todo = []
    for layer in layers:
        for index, linear in enumerate(shape.linears):
            place = (seed, layer, index)
            activations = np.random.default_rng((*place, 1)).standard_normal(
                (tokens, linear.inputs), dtype=np.float32
            )
            todo.append(
                Operands(
                    name=f"model.layers.{layer}.{linear.name}",
                    m=linear.outputs,
                    k=linear.inputs,
                    weights=SeededWeights(linear.outputs, linear.inputs, (*place, 0)),
                    activations=quantise_activations(activations)[0],
                )
            )
    return todo
