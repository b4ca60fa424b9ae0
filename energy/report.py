"""What is said about one model under one accounting: both arithmetics, their ratio, and what was left out."""

from dataclasses import dataclass
from typing import Any

from tritforge.energy.accounting import LEFT_OUT, EnergyResult, paper_energy, ratio
from tritforge.energy.interval import Interval
from tritforge.energy.technology import Technology
from tritforge.models.shapes import STATUSES, ModelShape

_PREFIXES = ((1.0, ""), (1e-3, "m"), (1e-6, "µ"), (1e-9, "n"), (1e-12, "p"))


@dataclass(frozen=True, kw_only=True)
class ModelReport:
    """Energy of a shape with ternary matrices, and of the same shape in FP16.

    Attributes
    ----------
    shape
        The shape that both are of.
    ternary, fp16
        Energies under one accounting, node and context.
    """

    shape: ModelShape
    ternary: EnergyResult
    fp16: EnergyResult

    @property
    def saving(self) -> Interval:
        """Energy in FP16 over energy with ternary matrices, bounds from the rows that both share."""
        return ratio(self.fp16, self.ternary)

    def to_dict(self) -> dict[str, Any]:
        """Return the ternary result with the FP16 one as its ``baseline``, their ratio, and the sources."""
        saving = self.saving
        return self.ternary.to_dict() | {
            "baseline": self.fp16.to_dict(),
            "ratio": {"value": saving.value, "low": saving.low, "high": saving.high},
            "shape": {"source": self.shape.source, "status": self.shape.status, "note": self.shape.note},
            "left_out": list(LEFT_OUT),
        }


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
    return ModelReport(shape=shape, ternary=ternary, fp16=fp16)


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


def _four_digits(value: float) -> str:
    # Four significant digits without an exponent, for values that a prefix has brought near one.
    whole = len(str(int(value)))
    return f"{value:.{max(0, 4 - whole)}f}"
