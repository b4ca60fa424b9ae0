"""Axes of a sweep as they are written: ``lanes=16,32,64..512``, or in a TOML file beside models and devices."""

import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from tritforge.accel.errors import InputError
from tritforge.explore.space import TYPES

#: Most values of a range.
VALUES_MAX = 4096


@dataclass(frozen=True, kw_only=True)
class SweepFile:
    """What a file says of a sweep; what it does not say is empty."""

    models: tuple[str, ...]
    devices: tuple[str, ...]
    axes: dict[str, tuple[Any, ...]]


def check_axis(name: str) -> str:
    """Return the name of an axis.

    Raises
    ------
    InputError
        It is no parameter of a configuration; the message has those that come close.
    """
    if name not in TYPES:
        close = get_close_matches(name.casefold(), TYPES, n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(close)}?" if close else f"there are {', '.join(TYPES)}"
        raise InputError(f"axis {name!r} is no parameter of a configuration; {hint}")
    return name


def parse_axis(text: str) -> tuple[str, tuple[Any, ...]]:
    """Read an axis: a name, ``=`` and values with commas between them.

    ``64..512`` stands for 64 and its doubles up to 512, ``64..512:64`` for every 64th number.

    Raises
    ------
    InputError
        No such parameter, no values, or one of a wrong kind.
    """
    name, equals, values = text.partition("=")
    if not equals:
        raise InputError(f"sweep is {text!r}; NAME=VALUE,VALUE,... is needed")
    check_axis(name)
    return name, tuple(
        value for word in values.split(",") if word.strip() for value in _values(name, word.strip())
    )


def _values(name: str, word: str) -> Iterator[Any]:
    """Yield the values of a word of an axis."""
    kind = TYPES[name]
    if kind is bool:
        if word not in {"true", "false"}:
            raise InputError(f"axis {name} has the value {word!r}; it takes true or false")
        yield word == "true"
    elif kind is str:
        yield word
    elif ".." in word:
        yield from _range(name, word)
    else:
        yield _number(name, word)


def _range(name: str, word: str) -> Sequence[int]:
    ends, colon, step = word.partition(":")
    low, high = (_number(name, end) for end in ends.split("..", maxsplit=1))
    width = _number(name, step) if colon else 0
    if not 0 < low <= high or (colon and width < 1):
        raise InputError(
            f"axis {name} has the range {word!r}; LOW..HIGH or LOW..HIGH:STEP is needed, from 1 up"
        )
    count = (high - low) // width + 1 if colon else (high // low).bit_length()
    if count > VALUES_MAX:
        raise InputError(f"axis {name} has {count:,} values in {word!r}; {VALUES_MAX:,} are the most")
    return [low + width * step if colon else low << step for step in range(count)]


def _number(name: str, word: str) -> int:
    try:
        return int(word)
    except ValueError as error:
        raise InputError(f"axis {name} has the value {word!r}; it takes whole numbers") from error


def read_sweep_file(path: Path) -> SweepFile:
    """Read a TOML file with lists ``models`` and ``devices`` and a table ``sweep`` of axes.

    An axis is a list of values, or what `parse_axis` takes behind the equals sign.

    Raises
    ------
    InputError
        The file cannot be read, is no TOML, or says what no sweep has.
    """
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}; give a TOML file") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not TOML: {error}") from error
    unknown = sorted(set(found) - {"models", "devices", "sweep"})
    if unknown:
        raise InputError(f"{path} has the key {unknown[0]!r}; it may have models, devices and sweep")
    names = {}
    for key in ("models", "devices"):
        names[key] = found.get(key, [])
        if not isinstance(names[key], list) or not all(isinstance(one, str) for one in names[key]):
            raise InputError(f"{path}: {key} is {names[key]!r}; a list of names is needed")
    sweep = found.get("sweep", {})
    if not isinstance(sweep, dict):
        raise InputError(f"{path}: sweep is {sweep!r}; a table of axes is needed")
    axes: dict[str, tuple[Any, ...]] = {}
    for name, values in sweep.items():
        if isinstance(values, str):
            axes.update([parse_axis(f"{name}={values}")])
        elif isinstance(values, list):
            axes[check_axis(name)] = tuple(values)
        else:
            raise InputError(f"{path}: axis {name} is {values!r}; a list of values is needed")
    return SweepFile(models=tuple(names["models"]), devices=tuple(names["devices"]), axes=axes)
