"""Published figures that the model computes, and how close it comes to each."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import ROUND_DOWN, Decimal, InvalidOperation
from functools import cache
from pathlib import Path
from typing import Any

from tritforge.accel.errors import InputError
from tritforge.energy.published_inputs import given
from tritforge.energy.quantities import ENERGY_QUANTITIES, QUANTITIES
from tritforge.energy.records import read_records
from tritforge.energy.technology import Technology, default_technology

#: Relative error within which a point read off a printed curve is met.
CURVE_TOLERANCE = 1e-4

#: Verdicts, from best to worst.
VERDICTS = {
    "exact": "equal in every published digit; of a claim: it holds",
    "rounding": "within the last published digit, or within the reading of a curve",
    "fit": "near, with constants that were fitted to the publication; of a claim: it holds by such a fit",
    "fails": "further away; of a claim: it does not hold",
}

_CHOICES = {
    "reading": ("truncated", "rounded", "curve", "bound"),
    "quantity": tuple(QUANTITIES),
    "basis": ("formula", "fit"),
    "expected": tuple(VERDICTS),
    "status": ("verified", "secondary", "recalled"),
}


@dataclass(frozen=True, kw_only=True)
class PublishedFigure:
    """One number of a paper.

    Attributes
    ----------
    paper, figure, row, unit
        Where it stands, and what it is measured in.
    published
        The number with its digits as published.
    reading
        ``truncated``: a printed label, cut after its last digit; ``rounded``: a printed number;
        ``curve``: read off a curve; ``bound``: a claim that the computed ratio lies below it.
    quantity
        What is computed for it: one of `QUANTITIES`.
    shape, against
        Name of the model shape, and of the one that a claim compares it with; empty where there is none.
    context, node
        Positions, 0 where they do not matter; technology node, empty where it does not.
    basis
        ``formula``, or ``fit`` where a constant of the model was fitted to the publication.
    expected
        Verdict on record: another one is a change that somebody has to look at.
    source, status, note
        Document; whether it was read there; what else a reader should know.

    Raises
    ------
    InputError
        A value outside its list, a number that is none, or no source.
    """

    paper: str
    figure: str
    row: str
    unit: str
    published: str
    reading: str
    quantity: str
    shape: str
    against: str
    context: int
    node: str
    basis: str
    expected: str
    source: str
    status: str
    note: str = ""

    def __post_init__(self) -> None:
        where = f"{self.paper} {self.figure} {self.row}"
        for field, allowed in _CHOICES.items():
            if getattr(self, field) not in allowed:
                raise InputError(
                    f"{where}: {field} is {getattr(self, field)!r}; it must be one of {', '.join(allowed)}"
                )
        try:
            positive = Decimal(self.published) > 0
        except InvalidOperation as error:
            raise InputError(f"{where}: published is {self.published!r}; a number is needed") from error
        if not positive:
            raise InputError(f"{where}: published is {self.published}; a number above 0 is needed")
        if not self.source.strip():
            raise InputError(f"{where} has no source; name the document that it is from")

    @property
    def value(self) -> float:
        """The published number."""
        return float(self.published)

    @property
    def title(self) -> str:
        """Where it stands, in one line."""
        return f"{self.paper} {self.figure}, {self.row}"

    @property
    def is_energy(self) -> bool:
        """Whether the energy model computes it."""
        return self.quantity in ENERGY_QUANTITIES


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """A published figure beside its computed value, with the verdict of `judge`."""

    figure: PublishedFigure
    computed: float
    verdict: str

    @property
    def relative_error(self) -> float:
        """Computed over published, less one."""
        return self.computed / self.figure.value - 1

    def to_dict(self) -> dict[str, Any]:
        """Return the comparison with plain values."""
        figure = self.figure
        return {
            "paper": figure.paper,
            "figure": figure.figure,
            "row": figure.row,
            "unit": figure.unit,
            "published": figure.value,
            "computed": self.computed,
            "relative_error": self.relative_error,
            "verdict": self.verdict,
            "source": figure.source,
        }


def judge(figure: PublishedFigure, computed: float) -> str:
    """Say how close a computed value comes to a published one.

    - A label that was cut is met when the computed value, cut after as many decimals, equals it; one unit
      of the last decimal away is rounding.
    - A printed number is met when the computed value rounds to it; cut to it instead, that is rounding.
    - A point of a curve is met when the computed value rounds to it, and within `CURVE_TOLERANCE` it is as
      close as the curve can be read.
    - A claim is met when the computed ratio lies below its bound.
    - Where constants were fitted, within the tolerance on record all of these are a fit.

    Returns
    -------
    str
        One of `VERDICTS`.
    """
    if figure.reading == "bound":
        if not computed < figure.value:
            return "fails"
        return "fit" if figure.basis == "fit" else "exact"
    if figure.basis == "fit":
        return "fit" if abs(computed / figure.value - 1) <= given("fit tolerance") else "fails"
    # Through its shortest decimal form, or 18.7, which lies just below itself in binary, would be cut to 18.6.
    published, value = Decimal(figure.published), Decimal(repr(computed))
    digit = Decimal(1).scaleb(int(published.as_tuple().exponent))
    cut = value.quantize(digit, rounding=ROUND_DOWN) == published
    rounded = value.quantize(digit) == published
    if figure.reading == "truncated":
        exact, close = cut, abs(value - published) <= digit
    elif figure.reading == "rounded":
        exact, close = rounded, cut
    else:
        exact, close = rounded, abs(value - published) <= published * Decimal(str(CURVE_TOLERANCE))
    if exact:
        return "exact"
    return "rounding" if close else "fails"


def compute(figure: PublishedFigure, technology: Technology | None = None) -> float:
    """Compute the value that a figure publishes, in the figure's unit.

    Raises
    ------
    InputError
        The shape, the node or an operation is not known.
    """
    table = default_technology() if technology is None else technology
    return QUANTITIES[figure.quantity](figure, table)


def compare(
    figures: Iterable[PublishedFigure], technology: Technology | None = None
) -> tuple[Comparison, ...]:
    """Set figures beside their computed values."""
    comparisons = []
    for figure in figures:
        computed = compute(figure, technology)
        comparisons.append(Comparison(figure=figure, computed=computed, verdict=judge(figure, computed)))
    return tuple(comparisons)


def _figure(record: Mapping[str, str]) -> PublishedFigure:
    context = record["context"] or "0"
    if not context.isdecimal():
        raise InputError(f"context is {context!r}; a whole number is needed")
    return PublishedFigure(**{**record, "context": int(context)})  # type: ignore[arg-type]


def read_figures(path: Path) -> tuple[PublishedFigure, ...]:
    """Read a file of published figures: CSV with the fields of `PublishedFigure` as columns.

    Raises
    ------
    InputError
        The file cannot be read, or a figure is wrong or there twice.
    """
    figures: dict[tuple[str, str, str], PublishedFigure] = {}
    for where, record in read_records(path, "figure", tuple(PublishedFigure.__dataclass_fields__)):
        try:
            figure = _figure(record)
        except InputError as error:
            raise InputError(f"{where}: {error}") from error
        key = (figure.paper, figure.figure, figure.row)
        if key in figures:
            raise InputError(f"{where}: {' '.join(key)} is there twice; keep one")
        figures[key] = figure
    return tuple(figures.values())


@cache
def published_figures() -> tuple[PublishedFigure, ...]:
    """Return the figures that come with the package."""
    return read_figures(Path(__file__).parent / "data" / "published.csv")


def figure_3() -> tuple[PublishedFigure, ...]:
    """Return the figures of arXiv 2402.17764, Figure 3: energy of FP16 and ternary models, and its labels."""
    return tuple(f for f in published_figures() if (f.paper, f.figure) == ("arXiv:2402.17764", "Figure 3"))
