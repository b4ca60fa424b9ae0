"""Checks of the parameters of a configuration, and the words in which they are refused."""

from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import Any

from tritforge.accel.errors import InputError


def is_whole(value: object) -> bool:
    """Return whether a value is a whole number; true and false are not."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_power_of_two(value: int) -> bool:
    """Return whether a number over 0 is a power of two."""
    return not value & (value - 1)


def check_flag(name: str, value: object) -> None:
    """Refuse a parameter that is neither true nor false.

    Raises
    ------
    InputError
        It is something else, a number among them.
    """
    if not isinstance(value, bool):
        raise InputError(f"{name} is {value!r}; true or false is needed")


def check_choice(name: str, value: object, choices: Iterable[str]) -> None:
    """Refuse a parameter that is none of its choices.

    Raises
    ------
    InputError
        It is another.
    """
    known = tuple(choices)
    if value not in known:
        raise InputError(f"{name} is {value!r}; it must be one of {', '.join(known)}")


def check_ranges(config: object, ranges: Mapping[str, tuple[int, int]]) -> None:
    """Refuse attributes that are no whole numbers within their bounds, both of which they may reach.

    Raises
    ------
    InputError
        One is not.
    """
    for name, (low, high) in ranges.items():
        value = getattr(config, name)
        if not is_whole(value) or not low <= value <= high:
            raise InputError(f"{name} is {value!r}; a whole number in {low} to {high} is needed")


def check_names(kind: Any, values: Iterable[str], *, what: str = "parameter") -> None:
    """Refuse names that are no fields of a dataclass.

    Parameters
    ----------
    kind
        The dataclass.
    values
        The names.
    what
        What such a name is called.

    Raises
    ------
    InputError
        There is none of that name.
    """
    known = [field.name for field in fields(kind)]
    for name in values:
        if name not in known:
            raise InputError(f"unknown {what} {name!r}; the parameters are {', '.join(known)}")
