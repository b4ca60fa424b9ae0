"""Shares of zeros among the weights of a checkpoint, and among the activation codes that a text made."""

import json
from math import fsum
from pathlib import Path

from tritforge.accel.errors import InputError
from tritforge.models import library
from tritforge.models.checkpoint import Checkpoint

#: Figures that a shipped model carries beside its weights.
METRICS = "metrics.json"


def zero_weights(checkpoint: Checkpoint) -> float:
    """Return the share of zeros among all ternary weights of a checkpoint."""
    weights = sum(matrix.m * matrix.k for matrix in checkpoint.matrices.values())
    return fsum(matrix.shares[1] * matrix.m * matrix.k for matrix in checkpoint.matrices.values()) / weights


def zero_acts(path: Path) -> float:
    """Return the share of zeros among activation codes, each as often as a matrix's outputs use it.

    Parameters
    ----------
    path
        JSON with a list ``matrices`` of objects with ``m``, ``k`` and ``zero_activations``, such as the
        ``metrics.json`` of a shipped model, which was measured on held-out text.

    Raises
    ------
    InputError
        The file cannot be read or does not hold such shares.
    """
    try:
        matrices = json.loads(path.read_text(encoding="utf-8"))["matrices"]
        products = fsum(matrix["m"] * matrix["k"] for matrix in matrices)
        zeros = fsum(matrix["m"] * matrix["k"] * matrix["zero_activations"] for matrix in matrices)
        return zeros / products
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}; give a file of measured shares") from error
    except (ValueError, KeyError, TypeError, ZeroDivisionError) as error:
        raise InputError(
            f"{path} must hold a list 'matrices' of objects with m, k and zero_activations: {error!r}"
        ) from error


def measured_weights(model: str) -> float:
    """Measure the zero weights of a shipped model or of a checkpoint's path.

    Raises
    ------
    InputError
        There is no such checkpoint, or it is damaged.
    """
    return zero_weights(library.load_model(model))


def measured_acts(model: str) -> float:
    """Return the zero activation codes that were measured for a shipped model or a checkpoint.

    Raises
    ------
    InputError
        There is no such checkpoint, or no `METRICS` beside its weights.
    """
    return zero_acts(library.find(model).with_name(METRICS))


def share(text: str, name: str) -> float:
    """Read a share from 0 to 1.

    Raises
    ------
    InputError
        The text is no number.
    """
    try:
        return float(text)
    except ValueError as error:
        raise InputError(f"{name} is {text!r}; a share from 0 to 1 or 'measured' is needed") from error
