"""Operation counts of the ``paper`` accounting: what the published energy figures count, and no more.

The rules reproduce the published energies of arXiv 2310.11453 (whose Equation 18 gives the scales), of
arXiv 2402.17764 and of arXiv 2504.12285. For every matrix of n inputs and p outputs over S positions:

- an FP16 model does ``S n p`` multiplications and ``S (n - 1) p`` additions in FP16;
- a ternary model does ``S (n - 1) p`` additions in INT8, and ``S p + S n`` multiplications in FP16 (scales).

Attention is alike in both: two products, each counted as ``H S S d`` multiplications and ``H S S (d - 1)``
additions in FP16, with no causal mask. (Scores times values adds S terms, so that it really takes
``H S (S - 1) d`` additions; the published figures count both products as the first.) Grouped queries shrink
the key and value matrices, not the products. In a mixture of experts a token passes through its active
experts; the router is not counted.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from tritforge.accel.errors import InputError
from tritforge.models.shapes import ModelShape

#: Products in attention: queries with keys, and scores with values.
ATTENTION_PRODUCTS = 2

#: A formula in the symbols of its accounting, and the number that it came to.
Term = tuple[str, int]

#: Symbols of this accounting's formulas.
SYMBOLS = {
    "S": "positions of the sequence",
    "L": "layers",
    "H": "query heads",
    "d": "width of a head",
    "n": "inputs of a matrix",
    "p": "outputs of a matrix",
}


@dataclass(frozen=True, kw_only=True)
class ComponentCount:
    """Operations of one part of a model.

    Attributes
    ----------
    name
        The part: ``linears``, ``scaling`` or ``attention``.
    operations
        Count by operation; the names are those of the technology table.
    terms
        What a count is the sum of, by operation: each formula with its number.
    """

    name: str
    operations: Mapping[str, int]
    terms: Mapping[str, Sequence[Term]] = field(default_factory=dict)


def _component(name: str, counts: Mapping[str, tuple[str, int]]) -> ComponentCount:
    """Make a component of one formula an operation."""
    return ComponentCount(
        name=name,
        operations={operation: count for operation, (_, count) in counts.items()},
        terms={operation: (term,) for operation, term in counts.items()},
    )


def _check_context(context: int) -> None:
    if isinstance(context, bool) or not isinstance(context, int) or context < 1:
        raise InputError(f"context is {context!r}; a whole number of 1 or more positions is needed")


def _products(shape: ModelShape, context: int) -> int:
    """Multiplications in the matrices: every input with every output."""
    return context * shape.active_linear_parameters


def _additions(shape: ModelShape, context: int) -> int:
    """Additions in the matrices: n products take n - 1."""
    per_layer = sum(linear.active * (linear.inputs - 1) * linear.outputs for linear in shape.linears)
    return context * shape.num_hidden_layers * per_layer


def _attention(shape: ModelShape, context: int) -> tuple[ComponentCount, ...]:
    if shape.mixer != "attention":
        return ()
    dots = ATTENTION_PRODUCTS * shape.num_hidden_layers * shape.num_attention_heads * context * context
    return (
        _component(
            "attention",
            {
                "fp16.mul": ("2 L H S S d", dots * shape.head_dim),
                "fp16.add": ("2 L H S S (d - 1)", dots * (shape.head_dim - 1)),
            },
        ),
    )


def count_fp16(shape: ModelShape, context: int) -> tuple[ComponentCount, ...]:
    """Count the operations of a model whose weights and activations are FP16.

    Parameters
    ----------
    shape
        Shape of the model; the kind of its weights does not matter.
    context
        Positions S that are processed at once (prefill, one sequence).

    Returns
    -------
    tuple of ComponentCount
        ``linears``, and ``attention`` where the model has it.

    Raises
    ------
    InputError
        The context is not a positive whole number.
    """
    _check_context(context)
    linears = _component(
        "linears",
        {
            "fp16.mul": ("L sum over matrices of S n p", _products(shape, context)),
            "fp16.add": ("L sum over matrices of S (n - 1) p", _additions(shape, context)),
        },
    )
    return (linears, *_attention(shape, context))


def count_ternary(shape: ModelShape, context: int) -> tuple[ComponentCount, ...]:
    """Count the operations of a model whose matrices are ternary (or binary) and whose activations are INT8.

    Parameters
    ----------
    shape
        Shape of the model; the kind of its weights does not matter.
    context
        Positions S that are processed at once (prefill, one sequence).

    Returns
    -------
    tuple of ComponentCount
        ``linears``, ``scaling``, and ``attention`` where the model has it.

    Raises
    ------
    InputError
        The context is not a positive whole number.
    """
    _check_context(context)
    scales = sum(linear.active * (linear.inputs + linear.outputs) for linear in shape.linears)
    return (
        _component(
            "linears", {"int8.add": ("L sum over matrices of S (n - 1) p", _additions(shape, context))}
        ),
        _component(
            "scaling",
            {"fp16.mul": ("L sum over matrices of S (n + p)", context * shape.num_hidden_layers * scales)},
        ),
        *_attention(shape, context),
    )


#: Counting function by the arithmetic of the matrices.
COUNTS: Mapping[str, Callable[[ModelShape, int], tuple[ComponentCount, ...]]] = {
    "ternary": count_ternary,
    "fp16": count_fp16,
}
