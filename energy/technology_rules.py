"""Rules that derive rows which a technology table does not have from rows that it has.

A derived row carries its formula in its note. Three rules:

- additions of integers (``int17.add``): linear in the width between the table's two nearest widths;
- memories of other sizes (``sram.131072B``): the energy of a bit is a power of the size between the table's two
  nearest sizes, and goes with the root of the size beyond the smallest and the largest;
- functions (``fp16.exp``): multiplications and additions of the usual way to compute them.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from math import log

from tritforge.energy.interval import Interval
from tritforge.energy.technology import UNITS, TechnologyRow

_ADDITION = re.compile(r"int(\d+)\.add")
_MEMORY = re.compile(r"sram\.(\d+)B")

Recipe = Mapping[str, int]


@dataclass(frozen=True, kw_only=True)
class Composite:
    """A function as a number of operations: the usual way, the cheapest and the dearest one in use."""

    value: Recipe
    low: Recipe
    high: Recipe
    method: str


_NEWTON = "Newton-Raphson from a table, {} (Muller, Elementary Functions, 3rd edition, 2016)"

#: Functions by operation.
COMPOSITES = {
    "fp16.max": Composite(
        value={"int16.add": 1},
        low={"int16.add": 1},
        high={"int16.add": 1},
        method="comparison of two bit patterns as integers",
    ),
    "fp16.convert": Composite(
        value={"fp16.add": 1},
        low={"int16.add": 1},
        high={"fp16.add": 1},
        method="shift and rounding between FP16 and an integer, which an FP16 addition holds",
    ),
    "fp16.div": Composite(
        value={"fp16.mul": 3, "fp16.add": 1},
        low={"fp16.mul": 1},
        high={"fp16.mul": 5, "fp16.add": 2},
        method=_NEWTON.format("one step to the reciprocal, then a multiplication; none at low, two at high"),
    ),
    "fp16.sqrt": Composite(
        value={"fp16.mul": 5, "fp16.add": 1},
        low={"fp16.mul": 1},
        high={"fp16.mul": 8, "fp16.add": 2},
        method=_NEWTON.format(
            "one step to the reciprocal root, then a multiplication; none at low, two at high"
        ),
    ),
    "fp16.exp": Composite(
        value={"fp16.mul": 4, "fp16.add": 3},
        low={"fp16.mul": 2, "fp16.add": 1},
        high={"fp16.mul": 6, "fp16.add": 5},
        method="range reduction and a polynomial of degree 3; 1 at low, 5 at high "
        "(Muller, Elementary Functions, 3rd edition, 2016)",
    ),
}


def derive(rows: Mapping[str, TechnologyRow], node: str, operation: str) -> TechnologyRow | None:
    """Derive a row of a node.

    Parameters
    ----------
    rows
        The node's rows in the table, by operation.
    node, operation
        What is wanted.

    Returns
    -------
    TechnologyRow or None
        None where no rule leads to the operation, or where the rows that it needs are not there.
    """
    if operation in COMPOSITES:
        return _composite(rows, node, operation)
    for pattern, rule in ((_ADDITION, _addition), (_MEMORY, _memory)):
        wanted = pattern.fullmatch(operation)
        if wanted:
            known = {int(m[1]): row for key, row in rows.items() if (m := pattern.fullmatch(key))}
            return rule(known, node, operation, int(wanted[1])) if known and int(wanted[1]) > 0 else None
    return None


def _row(
    node: str, operation: str, cost: Interval, unit: str, used: list[TechnologyRow], note: str
) -> TechnologyRow:
    # A value is as well known as the worst known one that it comes from.
    ranks = ("verified", "secondary", "recalled")
    sources = "; ".join(
        dict.fromkeys(f"{row.key} = {row.cost.value:g} {row.unit}, {row.source}" for row in used)
    )
    return TechnologyRow(
        node=node,
        operation=operation,
        cost=cost,
        unit=unit,
        source=f"{note}; from {sources}",
        obtained="derived",
        status=max((row.status for row in used), key=ranks.index),
        note=note,
    )


def _picojoules(row: TechnologyRow, end: str) -> float:
    joules: float = getattr(row.joules, end)
    return joules / UNITS["pJ/op"]


def _interval(value: float, *ends: float) -> Interval:
    return Interval(value=value, low=min(value, *ends), high=max(value, *ends))


def _addition(known: Mapping[int, TechnologyRow], node: str, operation: str, width: int) -> TechnologyRow:
    below = max((at for at in known if at < width), default=None)
    above = min((at for at in known if at > width), default=None)
    if below is not None and above is not None:
        low, high = known[below], known[above]
        share = (width - below) / (above - below)
        value = (1 - share) * _picojoules(low, "value") + share * _picojoules(high, "value")
        # A ripple of full adders would be proportional to the width; from either neighbour that is a bound.
        ends = [
            _picojoules(row, end) * width / at
            for at, row in ((below, low), (above, high))
            for end in ("low", "high")
        ]
        note = f"linear in the width between {below} and {above} bits; bounds: proportional to the width from either"
        return _row(node, operation, _interval(value, *ends), "pJ/op", [low, high], note)
    at = below if below is not None else above
    assert at is not None  # noqa: S101
    row = known[at]
    value = _picojoules(row, "value") * width / at
    ends = [_picojoules(row, end) * factor for end in ("low", "high") for factor in (1, width / at)]
    note = f"{width}/{at} of {at} bits; the other bound: the same as {at} bits"
    return _row(node, operation, _interval(value, *ends), "pJ/op", [row], note)


def _memory(known: Mapping[int, TechnologyRow], node: str, operation: str, size: int) -> TechnologyRow:
    below = max((at for at in known if at < size), default=None)
    above = min((at for at in known if at > size), default=None)
    if below is not None and above is not None:
        low, high = known[below], known[above]
        share = log(size / below) / log(above / below)
        value = _picojoules(low, "value") ** (1 - share) * _picojoules(high, "value") ** share
        ends = [_picojoules(low, "low"), _picojoules(high, "high")]
        note = f"power of the size between {below} and {above} bytes; bounds: the two of them"
        return _row(node, operation, _interval(value, *ends), "pJ/bit", [low, high], note)
    at = below if below is not None else above
    assert at is not None  # noqa: S101
    row = known[at]
    # Word and bit lines grow with the root of the size, and with them what an access switches.
    factor = (size / at) ** 0.5
    value = _picojoules(row, "value") * factor
    ends = [_picojoules(row, end) * by for end in ("low", "high") for by in (1.0, factor)]
    note = f"root of {size}/{at} bytes; the other bound: the same as {at} bytes"
    return _row(node, operation, _interval(value, *ends), "pJ/bit", [row], note)


def _composite(rows: Mapping[str, TechnologyRow], node: str, operation: str) -> TechnologyRow | None:
    composite = COMPOSITES[operation]
    recipes = {"value": composite.value, "low": composite.low, "high": composite.high}
    used: dict[str, TechnologyRow] = {}
    for name in dict.fromkeys(name for recipe in recipes.values() for name in recipe):
        found = rows.get(name) or derive(rows, node, name)
        if found is None:
            return None
        used[name] = found
    ends = {
        end: sum(times * _picojoules(used[name], end) for name, times in recipe.items())
        for end, recipe in recipes.items()
    }
    # With a table of one's own the cheapest way need not be the cheapest.
    cost = _interval(ends["value"], ends["low"], ends["high"])
    recipe = " + ".join(f"{times} {name}" for name, times in composite.value.items())
    return _row(node, operation, cost, "pJ/op", list(used.values()), f"{recipe}: {composite.method}")
