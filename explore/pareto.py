"""Pareto fronts: points that no other beats in one objective without being worse in another."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from tritforge.accel.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Objective:
    """One thing that a point is judged by.

    Attributes
    ----------
    column
        Of the table.
    more
        Whether more of it is better.
    title, unit
        For readers.
    """

    column: str
    more: bool
    title: str
    unit: str


def _phase(phase: str) -> tuple[Objective, ...]:
    return (
        Objective(column=f"{phase}_tokens_per_second", more=True, title=f"{phase} speed", unit="tokens/s"),
        Objective(column=f"{phase}_joules_per_token", more=False, title=f"{phase} energy", unit="J/token"),
    )


#: Objectives of a front, by the phases that matter.
OBJECTIVES = {
    "decode": (*_phase("decode"), Objective(column="luts", more=False, title="area", unit="LUTs")),
    "prefill": (*_phase("prefill"), Objective(column="luts", more=False, title="area", unit="LUTs")),
}
OBJECTIVES["both"] = (*OBJECTIVES["decode"][:2], *OBJECTIVES["prefill"])


def front(values: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """Return which rows are not dominated.

    Parameters
    ----------
    values : ndarray of float, shape (n, objectives)
        Less is better in every column. Rows that are equal are on the front together, or none of them is.

    Returns
    -------
    ndarray of bool, shape (n,)
    """
    if not len(values):
        return np.zeros(0, dtype=bool)
    distinct, places = np.unique(values, axis=0, return_inverse=True)
    # Rows are in lexical order now, so that none is dominated by one that follows.
    kept = np.ones(len(distinct), dtype=bool)
    left = np.arange(len(distinct))
    while len(left):
        first, left = left[0], left[1:]
        beaten = (distinct[left] >= distinct[first]).all(axis=1)
        kept[left[beaten]] = False
        left = left[~beaten]
    return np.asarray(kept[places.ravel()])


def on_front(table: pd.DataFrame, objectives: Sequence[Objective]) -> npt.NDArray[np.bool_]:
    """Return which rows of a table are on its front.

    Raises
    ------
    InputError
        The table lacks an objective.
    """
    missing = [one.column for one in objectives if one.column not in table]
    if missing:
        raise InputError(f"the table has no column {missing[0]!r}; it has {', '.join(table.columns)}")
    columns = [table[one.column].to_numpy(dtype=float) * (-1 if one.more else 1) for one in objectives]
    return front(np.column_stack(columns))
