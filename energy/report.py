"""What is said about one model under one accounting: both arithmetics, their ratio, and what was left out."""

from dataclasses import dataclass
from typing import Any

from tritforge.energy import hardware, measured
from tritforge.energy.accounting import LEFT_OUT, EnergyResult, paper_energy, ratio
from tritforge.energy.baselines import ARITHMETICS
from tritforge.energy.interval import Interval
from tritforge.energy.scenario import Scenario
from tritforge.energy.technology import Technology, TechnologyRow
from tritforge.models.shapes import STATUSES, ModelShape

_PREFIXES = ((1.0, ""), (1e-3, "m"), (1e-6, "µ"), (1e-9, "n"), (1e-12, "p"))


#: What each accounting leaves out.
OMISSIONS = {"paper": LEFT_OUT, "hardware": hardware.LEFT_OUT, "measured": measured.LEFT_OUT}


@dataclass(frozen=True, kw_only=True)
class ModelReport:
    """Energy of a shape with ternary matrices, and of the same shape with others.

    Attributes
    ----------
    shape
        The shape that all are of.
    ternary, fp16
        Energies under one accounting, node and scenario.
    int8
        The same with INT8 matrices; None under the ``paper`` accounting, which has no such model.
    technology
        Table that they were computed with; that of the package where None.
    """

    shape: ModelShape
    ternary: EnergyResult
    fp16: EnergyResult
    int8: EnergyResult | None = None
    technology: Technology | None = None

    @property
    def accounting(self) -> str:
        """Name of the accounting."""
        return self.ternary.accounting

    @property
    def results(self) -> tuple[EnergyResult, ...]:
        """The results, ternary matrices first."""
        return (self.ternary, self.fp16, *([self.int8] if self.int8 else []))

    @property
    def rows(self) -> dict[str, TechnologyRow]:
        """Technology rows that the results rest on, by key, in the order in which they come up."""
        return {entry.row.key: entry.row for result in self.results for entry in result.components}

    @property
    def left_out(self) -> tuple[str, ...]:
        """What the accounting leaves out."""
        return OMISSIONS[self.accounting]

    @property
    def saving(self) -> Interval:
        """Energy in FP16 over energy with ternary matrices, bounds from the rows that both share."""
        return ratio(self.fp16, self.ternary)

    def to_dict(self) -> dict[str, Any]:
        """Return the ternary result with the FP16 one as its ``baseline``, their ratio, and the sources."""
        return self.ternary.to_dict() | {
            "baseline": self.fp16.to_dict(),
            "baselines": {result.arithmetic: result.to_dict() for result in self.results[1:]},
            "ratio": _plain(self.saving),
            "ratios": {result.arithmetic: _plain(ratio(result, self.ternary)) for result in self.results[1:]},
            "per_token_j": _plain(self.ternary.per_token),
            "shape": {"source": self.shape.source, "status": self.shape.status, "note": self.shape.note},
            "left_out": list(self.left_out),
        }


def _plain(interval: Interval) -> dict[str, float]:
    return {"value": interval.value, "low": interval.low, "high": interval.high}


def report_model(
    shape: ModelShape, context: int, *, node: str = "7nm", technology: Technology | None = None
) -> ModelReport:
    """Compute both energies of a shape under the ``paper`` accounting.

    Raises
    ------
    InputError
        The node is not known, or the context is not positive.
    """
    ternary, fp16 = (
        paper_energy(shape, context, arithmetic=arithmetic, node=node, technology=technology)
        for arithmetic in ("ternary", "fp16")
    )
    return ModelReport(shape=shape, ternary=ternary, fp16=fp16, technology=technology)


def report_hardware(
    shape: ModelShape,
    scenario: Scenario | None = None,
    *,
    node: str = "7nm",
    technology: Technology | None = None,
) -> ModelReport:
    """Compute all energies of a shape under the ``hardware`` accounting.

    Raises
    ------
    InputError
        A node, a DRAM or an activation function that is not known.
    """
    results = {
        arithmetic: hardware.hardware_energy(
            shape, scenario, arithmetic=arithmetic, node=node, technology=technology
        )
        for arithmetic in ARITHMETICS
    }
    return ModelReport(shape=shape, technology=technology, **results)


def report_measured(
    shape: ModelShape, scenario: Scenario | None = None, *, technology: Technology | None = None
) -> ModelReport:
    """Compute all energies of a shape under the ``measured`` accounting.

    Raises
    ------
    InputError
        A DRAM or an activation function that is not known, or a table without the measured rows.
    """
    results = {
        arithmetic: measured.measured_energy(shape, scenario, arithmetic=arithmetic, technology=technology)
        for arithmetic in ARITHMETICS
    }
    return ModelReport(shape=shape, technology=technology, **results)


def describe_source(shape: ModelShape) -> str:
    """Say in one line where a shape is from and how far it can be trusted."""
    recalled = f"; recalled: {', '.join(shape.recalled)}" if shape.recalled else ""
    return f"{shape.source} ({STATUSES[shape.status]}{recalled})"


def format_joules(energy: Interval) -> str:
    """Write an energy with four digits and a prefix, and with its bounds where they differ.

    Examples
    --------
    >>> format_joules(Interval(value=0.0173022, low=0.0173022, high=0.0173022))
    '17.30 mJ'
    """
    scale, prefix = next(((s, p) for s, p in _PREFIXES if energy.value >= s), _PREFIXES[-1])
    value, low, high = (f"{_four_digits(bound / scale)}" for bound in (energy.value, energy.low, energy.high))
    bounds = f" ({low} to {high})" if energy.low < energy.high else ""
    return f"{value} {prefix}J{bounds}"


def total_cells(result: EnergyResult, ternary: EnergyResult) -> list[str]:
    """Write a result for a table: energy, that of a token, tokens a joule, and the ratio to the ternary one."""
    return [
        format_joules(result.energy),
        format_joules(result.per_token),
        format_rate(1 / result.per_token.value),
        format_ratio(ratio(result, ternary)),
    ]


def format_ratio(value: Interval) -> str:
    """Write a ratio with its bounds where they differ."""
    bounds = f" ({value.low:.2f} to {value.high:.2f})" if value.low < value.high else ""
    return f"{value.value:.2f}x{bounds}"


def format_rate(value: float) -> str:
    """Write a number of tokens a joule with four digits, or whole where it has more."""
    return f"{value:,.0f}" if value >= 1000 else f"{value:.4g}"


def _four_digits(value: float) -> str:
    # Four significant digits without an exponent, for values that a prefix has brought near one.
    whole = len(str(int(value)))
    return f"{value:.{max(0, 4 - whole)}f}"
