"""Operands of all products of a decoder in held-out text, for designs at gates."""

import numpy as np
import numpy.typing as npt

from tritforge.models.checkpoint import Checkpoint
from tritforge.rtl.gates.operands import ProductOperands, latent_weights
from tritforge.sim.decoder import Decoder
from tritforge.sim.golden import quantise_activations

Floats = npt.NDArray[np.float32]


class _RecordingDecoder(Decoder):
    """A decoder that keeps the inputs of its matrices."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        super().__init__(checkpoint)
        self.inputs: dict[str, Floats] = {}

    def linear(self, name: str, x: Floats) -> Floats:
        self.inputs[name] = x.reshape(-1, x.shape[-1])
        return super().linear(name, x)


def model_operands(
    checkpoint: Checkpoint, tokens: npt.NDArray[np.int64], *, seed: int
) -> list[ProductOperands]:
    """Run a model on tokens and return the operands of all its matrices, in the order of their use.

    Activations are those of the golden model, in float32 before they are quantised, and their codes. Ternary weights
    are the model's; weights in full precision are drawn as `latent_weights` says, with a generator for each matrix.

    Parameters
    ----------
    checkpoint
        The model.
    tokens : ndarray of int64, shape (T,)
        Token ids.
    seed
        Of the drawn weights.
    """
    decoder = _RecordingDecoder(checkpoint)
    decoder.forward(tokens)
    result = []
    for place, (name, x) in enumerate(decoder.inputs.items()):
        matrix = checkpoint.matrices[name]
        scale = float(np.mean(matrix.scale_grid))
        mean = 1 / scale if matrix.scale_kind == "divisor" else scale
        result.append(
            ProductOperands(
                name=name,
                codes=quantise_activations(x)[0],
                activations=x,
                trits=matrix.codes,
                weights=latent_weights(matrix.codes, mean, np.random.default_rng((seed, 1, place))),
            )
        )
    return result
