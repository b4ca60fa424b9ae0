"""A value with its bounds, carried from a technology row to the totals."""

from collections.abc import Iterable
from dataclasses import dataclass
from math import fsum, isfinite

from tritforge.accel.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A value between a low and a high bound, all in one unit.

    Attributes
    ----------
    value, low, high
        ``0 <= low <= value <= high``, finite.

    Raises
    ------
    InputError
        The three are out of order, negative or not finite.
    """

    value: float
    low: float
    high: float

    def __post_init__(self) -> None:
        if not all(isfinite(bound) for bound in (self.low, self.value, self.high)):
            raise InputError(
                f"value {self.value}, low {self.low} and high {self.high} must be finite numbers"
            )
        if not 0 <= self.low <= self.value <= self.high:
            raise InputError(
                f"value {self.value}, low {self.low}, high {self.high} are out of order; "
                "0 <= low <= value <= high is needed"
            )

    def times(self, factor: float) -> "Interval":
        """Scale value and bounds by a factor that is not negative."""
        return Interval(value=self.value * factor, low=self.low * factor, high=self.high * factor)

    @classmethod
    def total(cls, parts: Iterable["Interval"]) -> "Interval":
        """Add values and bounds: all parts may be at their low ends at once, and so at their high ends."""
        listed = list(parts)
        return cls(
            value=fsum(part.value for part in listed),
            low=fsum(part.low for part in listed),
            high=fsum(part.high for part in listed),
        )
