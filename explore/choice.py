"""Which point to take of a model on a device: limits, a goal, the choice, and what stands in the way of a better one.

A goal is an order of objectives. The choice is the best in the first; of those within 1 % of it, the best in the
second, and so on, since memory often makes many configurations equally fast; of what is still alike, the first.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import inf
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from tritforge.accel.errors import InputError
from tritforge.explore.pareto import OBJECTIVES, Objective, on_front

#: Values within this share of the best count as alike.
ALIKE = 0.01
#: Orders of objectives by goal, each by the end of its column.
GOALS = {
    "speed": ("tokens_per_second", "joules_per_token", "luts"),
    "energy": ("joules_per_token", "tokens_per_second", "luts"),
    "area": ("luts", "tokens_per_second", "joules_per_token"),
}


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What a designer asks for.

    Attributes
    ----------
    phase
        The phase that matters: ``decode``, ``prefill`` or ``both``, of which decode comes first.
    goal
        One of `GOALS`.
    max_watts, min_tokens, max_luts
        Limits: power in every phase that matters, tokens a second in each of them, LUTs.

    Raises
    ------
    InputError
        A name outside its list, or a limit that is not above 0.
    """

    phase: str = "both"
    goal: str = "speed"
    max_watts: float = inf
    min_tokens: float = 0.0
    max_luts: float = inf

    def __post_init__(self) -> None:
        for name, allowed in (("phase", OBJECTIVES), ("goal", GOALS)):
            if getattr(self, name) not in allowed:
                raise InputError(f"{name} is {getattr(self, name)!r}; it must be one of {', '.join(allowed)}")
        for name in ("max_watts", "min_tokens", "max_luts"):
            value = getattr(self, name)
            if not (0 <= value < inf if name == "min_tokens" else value > 0):
                raise InputError(f"{name} is {value}; a number above 0 is needed")

    @property
    def phases(self) -> tuple[str, ...]:
        """Phases that matter, the first first."""
        return ("decode", "prefill") if self.phase == "both" else (self.phase,)

    @property
    def objectives(self) -> tuple[Objective, ...]:
        """Objectives of the front."""
        return OBJECTIVES[self.phase]

    @property
    def order(self) -> tuple[Objective, ...]:
        """Objectives in the order of the goal."""
        kinds = GOALS[self.goal]
        return tuple(one for kind in kinds for one in self.objectives if one.column.endswith(kind))


@dataclass(frozen=True, kw_only=True)
class Barrier:
    """A limit without which there would be something better.

    Attributes
    ----------
    name
        Of `barriers`.
    point
        Number of the point that could be taken then; None where even then nothing could.
    """

    name: str
    point: int | None


@dataclass(frozen=True, kw_only=True)
class Choice:
    """The choice for a model on a device.

    Attributes
    ----------
    model, device
        Names.
    rows
        All points of the two, by number.
    within : ndarray of bool
        Which of them are within all limits.
    front : ndarray of bool
        Which of those no other beats.
    point, runner_up
        Numbers of the chosen one and of the next that beats it in something; None where there is none.
    barriers
        Limits that cost something, or, without a choice, those that are in the way.
    """

    model: str
    device: str
    rows: pd.DataFrame
    within: npt.NDArray[np.bool_]
    front: npt.NDArray[np.bool_]
    point: int | None
    runner_up: int | None
    barriers: tuple[Barrier, ...]

    def row(self, number: int) -> dict[str, Any]:
        """Return a point by its number."""
        found = self.rows.loc[number]
        return {
            str(name): getattr(value, "item", lambda value=value: value)() for name, value in found.items()
        }


def worst(rows: pd.DataFrame, wish: Wish) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return the most watts and the fewest tokens a second of each row in the phases that matter."""
    watts = np.max([rows[f"{phase}_watts"].to_numpy() for phase in wish.phases], axis=0)
    tokens = np.min([rows[f"{phase}_tokens_per_second"].to_numpy() for phase in wish.phases], axis=0)
    return watts, tokens


def barriers(rows: pd.DataFrame, wish: Wish) -> Mapping[str, npt.NDArray[np.bool_]]:
    """Return which rows each limit lets through, by the limit's name."""
    watts, tokens = worst(rows, wish)
    return {
        "luts": rows["fits_luts"].to_numpy(),
        "block_ram": rows["fits_block_ram"].to_numpy(),
        "memory": rows["fits_memory"].to_numpy(),
        "max_watts": watts <= wish.max_watts,
        "min_tokens": tokens >= wish.min_tokens,
        "max_luts": rows["luts"].to_numpy() <= wish.max_luts,
    }


def best(rows: pd.DataFrame, wish: Wish) -> int | None:
    """Return the number of the best of some rows; None where there are none."""
    if rows.empty:
        return None
    values = {one: rows[one.column].to_numpy() for one in wish.order}
    left = np.arange(len(rows))
    for one in wish.order:
        found = values[one][left]
        limit = found.max() * (1 - ALIKE) if one.more else found.min() * (1 + ALIKE)
        left = left[found >= limit] if one.more else left[found <= limit]
    return int(rows.index[left[0]])


def choose(table: pd.DataFrame, wish: Wish) -> Iterator[Choice]:
    """Yield the choice for each model on each device.

    Parameters
    ----------
    table
        As `tritforge.explore.run.sweep` makes it.
    wish
        What is asked for.
    """
    for (model, device), rows in table.groupby(["model", "device"], sort=False):
        yield _choose(str(model), str(device), rows.set_index("point"), wish)


def _choose(model: str, device: str, rows: pd.DataFrame, wish: Wish) -> Choice:
    through = barriers(rows, wish)
    within = np.logical_and.reduce(list(through.values()))
    good = rows[within]
    fronted = np.zeros(len(rows), dtype=bool)
    fronted[within] = on_front(good, wish.objectives)
    point = best(good, wish)
    return Choice(
        model=model,
        device=device,
        rows=rows,
        within=within,
        front=fronted,
        point=point,
        runner_up=None if point is None else best(rows[fronted & (rows.index != point)], wish),
        barriers=tuple(_in_the_way(rows, through, wish, point)),
    )


def _in_the_way(
    rows: pd.DataFrame, through: Mapping[str, npt.NDArray[np.bool_]], wish: Wish, point: int | None
) -> Iterator[Barrier]:
    """Yield the limits without which the first objective would be better, or anything could be taken at all."""
    first = wish.order[0]
    for name, allowed in through.items():
        if allowed.all():
            continue
        without = np.logical_and.reduce([other for key, other in through.items() if key != name])
        found = best(rows[without], wish)
        if point is None:
            yield Barrier(name=name, point=found)
        elif found is not None and found != point:
            there, here = (float(rows[first.column].loc[number]) for number in (found, point))
            ratio = there / here
            if (ratio if first.more else 1 / ratio) > 1 + ALIKE:
                yield Barrier(name=name, point=found)
