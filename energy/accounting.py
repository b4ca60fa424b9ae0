"""Energy of a model under a named accounting: operation counts times technology rows, part by part."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product
from math import fsum
from typing import Any

from tritforge.accel.errors import InputError
from tritforge.energy.counts import COUNTS, ComponentCount
from tritforge.energy.interval import Interval
from tritforge.energy.technology import Technology, TechnologyRow, default_technology
from tritforge.models.shapes import ModelShape

#: What the ``paper`` accounting leaves out, for whoever reads its totals.
LEFT_OUT = (
    "memory: weight, activation and KV-cache traffic, on the chip and off it",
    "LM head, embedding, norms, softmax, rotary embedding, activation function, residuals, router of experts",
    "quantisation of activations (absmax and rounding; only the multiplications by the scales are counted)",
    "the width of exact sums: 17 bits for 256 inputs and 23 for 28,672, where INT8 additions are counted",
    "the causal mask, which would halve attention; decoding token by token; control, clocks and idle power",
)


@dataclass(frozen=True, kw_only=True)
class ComponentEnergy:
    """Energy of one operation in one part of a model.

    Attributes
    ----------
    component
        Part of the model, such as ``linears``.
    count
        Operations.
    row
        Technology row that prices one of them.
    """

    component: str
    count: int
    row: TechnologyRow

    @property
    def name(self) -> str:
        """Part and operation, as in ``linears/int8.add``."""
        return f"{self.component}/{self.row.operation}"

    @property
    def energy(self) -> Interval:
        """Energy in joules."""
        return self.row.joules.times(self.count)

    def to_dict(self) -> dict[str, Any]:
        """Return name, count, unit, energies in joules and sources."""
        energy = self.energy
        return {
            "name": self.name,
            "count": self.count,
            "unit": "operations",
            "energy_j": energy.value,
            "low_j": energy.low,
            "high_j": energy.high,
            "sources": [self.row.citation],
        }


@dataclass(frozen=True, kw_only=True)
class EnergyResult:
    """Energy of one model in one phase.

    Attributes
    ----------
    model
        Name of the shape.
    accounting
        What was counted: ``paper`` is the counting of the published figures.
    arithmetic
        ``ternary`` or ``fp16``.
    node
        Technology node of all rows.
    phase
        ``prefill``: all positions at once.
    context, batch
        Positions of a sequence, and sequences.
    components
        The parts; the energy is their sum.
    """

    model: str
    accounting: str
    arithmetic: str
    node: str
    phase: str
    context: int
    batch: int
    components: tuple[ComponentEnergy, ...]

    @property
    def energy(self) -> Interval:
        """Sum of the components in joules."""
        return Interval.total(component.energy for component in self.components)

    def part(self, component: str) -> Interval:
        """Sum over the operations of one part of the model, in joules."""
        return Interval.total(entry.energy for entry in self.components if entry.component == component)

    @property
    def parts(self) -> tuple[str, ...]:
        """Parts of the model, in order."""
        return tuple(dict.fromkeys(entry.component for entry in self.components))

    def to_dict(self) -> dict[str, Any]:
        """Return the result with plain values, energies in joules."""
        energy = self.energy
        return {
            "model": self.model,
            "accounting": self.accounting,
            "arithmetic": self.arithmetic,
            "node": self.node,
            "phase": self.phase,
            "context": self.context,
            "batch": self.batch,
            "components": [component.to_dict() for component in self.components],
            "energy_j": energy.value,
            "low_j": energy.low,
            "high_j": energy.high,
        }


def price(counts: Iterable[ComponentCount], technology: Technology, node: str) -> tuple[ComponentEnergy, ...]:
    """Give every counted operation its technology row.

    Raises
    ------
    InputError
        The table has no such node, or lacks one of the operations in it.
    """
    return tuple(
        ComponentEnergy(component=part.name, count=count, row=technology.row(node, operation))
        for part in counts
        for operation, count in part.operations.items()
    )


def paper_energy(
    shape: ModelShape,
    context: int,
    *,
    arithmetic: str = "ternary",
    node: str = "7nm",
    technology: Technology | None = None,
) -> EnergyResult:
    """Energy of a prefill of one sequence, counted as the published figures count it.

    Parameters
    ----------
    shape
        Shape of the model.
    context
        Positions of the sequence.
    arithmetic
        ``ternary``: INT8 additions in the matrices; ``fp16``: the same shape as an FP16 model.
    node
        Technology node.
    technology
        Table of rows; the one of the package unless given.

    Raises
    ------
    InputError
        An arithmetic or a node that is not known, or a context that is not positive.
    """
    if arithmetic not in COUNTS:
        raise InputError(f"arithmetic is {arithmetic!r}; it must be one of {', '.join(COUNTS)}")
    table = default_technology() if technology is None else technology
    return EnergyResult(
        model=shape.name,
        accounting="paper",
        arithmetic=arithmetic,
        node=node,
        phase="prefill",
        context=context,
        batch=1,
        components=price(COUNTS[arithmetic](shape, context), table, node),
    )


def ratio(numerator: EnergyResult, denominator: EnergyResult) -> Interval:
    """Energy of one result over that of another, with bounds.

    Both may use the same rows, so low is not low over high: a row has one true value on both sides. Each
    row's energy enters numerator and denominator linearly, so the ratio is extreme where every row is at
    one of its ends, and those corners are tried.

    Raises
    ------
    InputError
        The denominator is zero at a corner.
    """
    rows: dict[str, TechnologyRow] = {}
    for entry in (*numerator.components, *denominator.components):
        if rows.setdefault(entry.row.key, entry.row) != entry.row:
            raise InputError(f"row {entry.row.key} differs between the two results; use one technology table")
    ends = [sorted({row.joules.low, row.joules.high}) for row in rows.values()]
    corners = [dict(zip(rows, corner, strict=True)) for corner in product(*ends)]
    middle = {key: row.joules.value for key, row in rows.items()}

    def at(joules: dict[str, float]) -> float:
        below = _weigh(denominator.components, joules)
        if below == 0:
            raise InputError(f"the energy of {denominator.model} is 0 at a bound, so no ratio to it exists")
        return _weigh(numerator.components, joules) / below

    values = [at(corner) for corner in corners]
    value = at(middle)
    return Interval(value=value, low=min([*values, value]), high=max([*values, value]))


def _weigh(components: Sequence[ComponentEnergy], joules: dict[str, float]) -> float:
    return fsum(entry.count * joules[entry.row.key] for entry in components)
