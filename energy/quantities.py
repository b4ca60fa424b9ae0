"""What is computed for a published figure, by the kind of quantity that it is."""

from collections.abc import Callable, Mapping
from itertools import pairwise
from math import exp, log
from typing import TYPE_CHECKING

from tritforge.accel.errors import InputError
from tritforge.energy.accounting import paper_energy, ratio
from tritforge.energy.counts import COUNTS
from tritforge.energy.published_inputs import given, published_inputs
from tritforge.energy.technology import Technology
from tritforge.models.shapes import ModelShape, find_shape

if TYPE_CHECKING:
    from tritforge.energy.published import PublishedFigure

_Quantity = Callable[["PublishedFigure", Technology], float]

_GB = 1e9
_FP16_BITS = 16


def _energy(arithmetic: str, shape: str) -> _Quantity:
    """Joules of a prefill in the paper accounting, of the shape in one of the figure's two columns."""

    def compute(figure: "PublishedFigure", technology: Technology) -> float:
        result = paper_energy(
            find_shape(getattr(figure, shape)),
            figure.context,
            arithmetic=arithmetic,
            node=figure.node,
            technology=technology,
        )
        return result.energy.value

    return compute


def _energy_ratio(figure: "PublishedFigure", technology: Technology) -> float:
    """FP16 over ternary."""
    fp16, ternary = (
        paper_energy(
            find_shape(figure.shape),
            figure.context,
            arithmetic=arithmetic,
            node=figure.node,
            technology=technology,
        )
        for arithmetic in ("fp16", "ternary")
    )
    return ratio(fp16, ternary).value


def _share(arithmetic: str, operation: str) -> _Quantity:
    """Joules of all multiplications or all additions.

    An FP32 model is the FP16 one with FP32 rows.
    """

    def compute(figure: "PublishedFigure", technology: Technology) -> float:
        counts = COUNTS["ternary" if arithmetic == "ternary" else "fp16"](
            find_shape(figure.shape), figure.context
        )
        joules = 0.0
        for part in counts:
            for name, count in part.operations.items():
                if name.endswith(f".{operation}"):
                    row = f"fp32.{operation}" if arithmetic == "fp32" else name
                    joules += count * technology.row(figure.node, row).joules.value
        return joules

    return compute


def _operation_ratio(figure: "PublishedFigure", technology: Technology) -> float:
    """Energy of an FP16 multiplication and addition over that of an INT8 addition."""
    names = ("fp16.mul", "fp16.add", "int8.add")
    multiplication, addition, small = (technology.row(figure.node, name).joules.value for name in names)
    return (multiplication + addition) / small


def _operation_energy(figure: "PublishedFigure", technology: Technology) -> float:
    """Picojoules of the operation that the row begins with, as in ``INT8 ADD``."""
    kind, operation = figure.row.split()[:2]
    return technology.row(figure.node, f"{kind.lower()}.{operation.lower()}").joules.value * 1e12


def _measured_gb(shape: ModelShape, bits: float) -> float:
    """GB as arXiv:2402.17764 measured them: matrices, two FP16 tables, a fitted workspace."""
    tables = 2 * given("vocabulary") * shape.hidden_size * _FP16_BITS / 8
    return (shape.linear_parameters * bits / 8 + tables + given("workspace") * shape.hidden_size) / _GB


def _fp16_gb(shape: str) -> float:
    return _measured_gb(find_shape(shape), _FP16_BITS)


def _ternary_gb(shape: str) -> float:
    return _measured_gb(find_shape(shape), given("kernel weight"))


def _batch(shape: ModelShape, context: int, *, used_gb: float, cache_bits: float) -> float:
    """Sequences that fit the memory of arXiv:2402.17764, Table 3, rounded down to whole steps."""
    values = 2 * shape.num_hidden_layers * shape.num_key_value_heads * shape.head_dim
    buffers = given("batch buffers") * shape.hidden_size * _FP16_BITS / 8
    sequence_gb = context * (values * cache_bits / 8 + buffers) / _GB
    step = given("batch step")
    return (given("batch memory") - used_gb) / sequence_gb // step * step


def _fp16_batch(figure: "PublishedFigure", _: Technology) -> float:
    shape = find_shape(figure.shape)
    return _batch(shape, figure.context, used_gb=_fp16_gb(figure.shape), cache_bits=given("fp16 batch cache"))


def _ternary_batch(figure: "PublishedFigure", _: Technology) -> float:
    shape = find_shape(figure.shape)
    return _batch(
        shape, figure.context, used_gb=_ternary_gb(figure.shape), cache_bits=given("ternary batch cache")
    )


def _matrices(figure: "PublishedFigure", bits: float) -> float:
    return find_shape(figure.shape).linear_parameters * bits / 8 / _GB


def _gbits(figure: "PublishedFigure", bits: float) -> float:
    """Gigabits of the matrices at a width, and of embedding and LM head in FP16."""
    shape = find_shape(figure.shape)
    return (shape.linear_parameters * bits + 2 * shape.embedding_parameters * _FP16_BITS) / 1e9


def latency(name: str) -> float:
    """Milliseconds per token on the published curve, such as of ``LLaMA 13B``.

    Between two points of a curve the value is interpolated, linear in the logarithms of size and time.

    Raises
    ------
    InputError
        No two points of the curve enclose the size.
    """
    family, _, size = name.rpartition(" ")
    prefix = f"latency {family} "
    if f"latency {name}" in published_inputs():
        return given(f"latency {name}")
    points = sorted(
        (float(key.removeprefix(prefix).removesuffix("B")), entry.value)
        for key, entry in published_inputs().items()
        if key.startswith(prefix)
    )
    wanted = float(size.removesuffix("B"))
    for (low, below), (high, above) in pairwise(points):
        if low < wanted < high:
            share = log(wanted / low) / log(high / low)
            return exp((1 - share) * log(below) + share * log(above))
    raise InputError(f"the latency of {name} is not on a published curve, nor between two of its points")


#: How to compute each quantity of a published figure.
QUANTITIES: Mapping[str, _Quantity] = {
    "ternary_energy": _energy("ternary", "shape"),
    "fp16_energy": _energy("fp16", "shape"),
    "energy_ratio": _energy_ratio,
    "operation_ratio": _operation_ratio,
    "operation_energy": _operation_energy,
    "fp32_mul_energy": _share("fp32", "mul"),
    "fp32_add_energy": _share("fp32", "add"),
    "fp16_mul_energy": _share("fp16", "mul"),
    "fp16_add_energy": _share("fp16", "add"),
    "ternary_mul_energy": _share("ternary", "mul"),
    "ternary_add_energy": _share("ternary", "add"),
    "fp16_memory": lambda figure, _: _fp16_gb(figure.shape),
    "ternary_memory": lambda figure, _: _ternary_gb(figure.shape),
    "memory_ratio": lambda figure, _: _fp16_gb(figure.shape) / _ternary_gb(figure.shape),
    "fp16_matrices": lambda figure, _: _matrices(figure, _FP16_BITS),
    "ternary_matrices": lambda figure, _: _matrices(figure, given("ternary weight")),
    "fp16_bits": lambda figure, _: _gbits(figure, _FP16_BITS),
    "ternary_bits": lambda figure, _: _gbits(figure, given("ternary weight")),
    "fp16_batch": _fp16_batch,
    "ternary_batch": _ternary_batch,
    "batch_ratio": lambda figure, table: _ternary_batch(figure, table) / _fp16_batch(figure, table),
    "energy_claim": lambda figure, table: (
        _energy("ternary", "shape")(figure, table) / _energy("fp16", "against")(figure, table)
    ),
    "memory_claim": lambda figure, _: _ternary_gb(figure.shape) / _fp16_gb(figure.against),
    "latency_claim": lambda figure, _: latency(figure.shape) / latency(figure.against),
}

#: Quantities that the energy model computes: sums over a whole prefill, and their ratios.
ENERGY_QUANTITIES = frozenset(
    name for name in QUANTITIES if name.endswith(("_energy", "energy_ratio")) and name != "operation_energy"
)
