"""Numbers that the comparison with published figures takes as given: read, fitted or assumed, each said so."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tritforge.accel.errors import InputError
from tritforge.energy.records import read_table

#: How a number was come by.
OBTAINED = ("published", "derived", "fitted", "assumed")

#: How far its source can be trusted.
STATUSES = ("verified", "secondary", "derived", "recalled")


@dataclass(frozen=True, kw_only=True)
class PublishedInput:
    """A number that is taken as given.

    Attributes
    ----------
    key
        What it is.
    value, unit
        The number.
    obtained
        One of `OBTAINED`: ``fitted`` was adjusted to published figures, ``assumed`` was chosen.
    source, status, note
        Where it is from, one of `STATUSES`, and what else a reader should know.

    Raises
    ------
    InputError
        A number that is not above 0, a mark outside its list, or no source.
    """

    key: str
    value: float
    unit: str
    obtained: str
    source: str
    status: str
    note: str = ""

    def __post_init__(self) -> None:
        if not self.value > 0:
            raise InputError(f"input {self.key!r} is {self.value}; a number above 0 is needed")
        for field, allowed in (("obtained", OBTAINED), ("status", STATUSES)):
            value = getattr(self, field)
            if value not in allowed:
                raise InputError(
                    f"input {self.key!r}: {field} is {value!r}; it must be one of {', '.join(allowed)}"
                )
        if not self.source.strip():
            raise InputError(f"input {self.key!r} has no source; name the document that it is from")

    @property
    def citation(self) -> str:
        """The input in one line."""
        note = f" ({self.note})" if self.note else ""
        return f"{self.key} = {self.value:g} {self.unit}, {self.obtained}: {self.source}{note}"


def read_inputs(path: Path) -> dict[str, PublishedInput]:
    """Read a file of inputs: CSV with the fields of `PublishedInput` as columns.

    Raises
    ------
    InputError
        The file cannot be read, or an input is wrong or there twice.
    """
    return read_table(path, PublishedInput, what="input", key="key", numbers=("value",))


@cache
def published_inputs() -> dict[str, PublishedInput]:
    """Return the inputs that come with the package, by key."""
    return read_inputs(Path(__file__).parent / "data" / "published_inputs.csv")


def given(key: str) -> float:
    """Return the value of an input.

    Raises
    ------
    InputError
        There is no such input.
    """
    inputs = published_inputs()
    if key not in inputs:
        raise InputError(f"there is no input {key!r}; there are {', '.join(inputs)}")
    return inputs[key].value
