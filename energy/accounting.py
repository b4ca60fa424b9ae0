"""Energy of a model under a named accounting: operation counts times technology rows, part by part."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from math import fsum
from typing import Any

from tritforge.accel.errors import InputError
from tritforge.energy.counts import COUNTS, ComponentCount, Term
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
        Operations, bits or bit mm, as the row has it.
    row
        Technology row that prices one of them.
    terms
        What the count is the sum of: each formula with its number.
    """

    component: str
    count: int
    row: TechnologyRow
    terms: tuple[Term, ...] = ()

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
            "unit": self.row.counted,
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
        What was counted: ``paper`` is the counting of the published figures, ``hardware`` that of
        `tritforge.energy.hardware`, ``measured`` that of `tritforge.energy.measured`.
    arithmetic
        ``ternary``, ``fp16`` or ``int8``.
    node
        Technology node of all rows.
    phase
        ``prefill``: all positions of a context; ``decode``: one position that sees the context.
    context, batch
        Positions of a sequence, and sequences.
    components
        The parts; the energy is their sum.
    options
        What else was chosen, by name.
    symbols
        Numbers that the formulas of the components speak of, by symbol.
    notes
        What was assumed where the shape does not say, and what could not be counted.
    """

    model: str
    accounting: str
    arithmetic: str
    node: str
    phase: str
    context: int
    batch: int
    components: tuple[ComponentEnergy, ...]
    options: Mapping[str, Any] = field(default_factory=dict)
    symbols: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @cached_property
    def energy(self) -> Interval:
        """Sum of the components in joules."""
        # Without an interval for every component, which would take most of the time of a sweep over models.
        priced = [(entry.count, entry.row.joules) for entry in self.components]
        return Interval(
            value=fsum(count * joules.value for count, joules in priced),
            low=fsum(count * joules.low for count, joules in priced),
            high=fsum(count * joules.high for count, joules in priced),
        )

    @property
    def tokens(self) -> int:
        """Tokens that the energy is for: every position of a prefill, one of each sequence in decoding."""
        return self.batch * (self.context if self.phase == "prefill" else 1)

    @property
    def per_token(self) -> Interval:
        """Joules per token."""
        return self.energy.times(1 / self.tokens)

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
            "options": dict(self.options),
            "notes": list(self.notes),
        }


def price(
    counts: Iterable[ComponentCount], row_of: Callable[[str], TechnologyRow]
) -> tuple[ComponentEnergy, ...]:
    """Give every counted operation its technology row.

    Parameters
    ----------
    counts
        Operations by component.
    row_of
        Returns the row of an operation, or raises InputError where there is none.
    """
    return tuple(
        ComponentEnergy(
            component=part.name,
            count=count,
            row=row_of(operation),
            terms=tuple(part.terms.get(operation, ())),
        )
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
        components=price(COUNTS[arithmetic](shape, context), partial(table.row, node)),
        symbols={
            "S": context,
            "L": shape.num_hidden_layers,
            "H": shape.num_attention_heads,
            "d": shape.head_dim,
        },
    )


def ratio(numerator: EnergyResult, denominator: EnergyResult) -> Interval:
    """Energy of one result over that of another, with bounds; see `ratio_of`."""
    return ratio_of(numerator.components, denominator.components, name=denominator.model)


def ratio_of(
    numerator: Iterable[ComponentEnergy], denominator: Iterable[ComponentEnergy], *, name: str
) -> Interval:
    """Energy of some components over that of others, with bounds.

    Both may use the same rows, so low is not low over high: a row has one true value on both sides. Each row's
    energy enters numerator and denominator linearly, so the ratio is extreme at a corner, where every row is at
    one of its ends. At the highest ratio r a row stands high exactly where it has more than r times the count
    above that it has below; so rows are sorted by that quotient, and the highest is among the n + 1 corners that
    have the first of them high and the rest low. The lowest is found the other way round.

    Raises
    ------
    InputError
        The denominator is zero at a corner, or a row differs between the two.
    """
    rows: dict[str, TechnologyRow] = {}
    counts: dict[str, list[int]] = {}
    for side, entries in enumerate((numerator, denominator)):
        for entry in entries:
            key = entry.row.key
            if rows.setdefault(key, entry.row) != entry.row:
                raise InputError(f"row {key} differs between the two results; use one technology table")
            counts.setdefault(key, [0, 0])[side] += entry.count
    if fsum(below * rows[key].joules.low for key, (_, below) in counts.items()) == 0:
        raise InputError(f"the energy of {name} is 0 at a bound, so no ratio to it exists")

    def at(joules: Mapping[str, float]) -> float:
        above = fsum(count[0] * joules[key] for key, count in counts.items())
        return above / fsum(count[1] * joules[key] for key, count in counts.items())

    def leaning(key: str) -> float:
        above, below = counts[key]
        return above / below if below else float("inf")

    high = {key: row.joules.low for key, row in rows.items()}
    low = {key: row.joules.high for key, row in rows.items()}
    value = at({key: row.joules.value for key, row in rows.items()})
    bounds = [value, at(high), at(low)]
    for key in sorted(rows, key=leaning, reverse=True):
        high[key], low[key] = rows[key].joules.high, rows[key].joules.low
        if rows[key].joules.low < rows[key].joules.high:
            bounds += [at(high), at(low)]
    return Interval(value=value, low=min(bounds), high=max(bounds))
