"""Fit of the area's model: what each term costs, and how far the model is off where it did not see a core.

What a thing costs that synthesis maps to a known cell is set; the rest is fitted by least squares of the relative
error, no cost below 0.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tritforge.accel.config import AcceleratorConfig
from tritforge.rtl.area_shape import FLAGS, NAMES, NUMBERS, Shapes
from tritforge.rtl.area_structure import Structure
from tritforge.rtl.area_terms import RESOURCES, Resource

Floats = npt.NDArray[np.float64]
#: A measured core, as a line of ``benchmarks/area.json``.
Core = Mapping[str, Any]
#: A cost whose gradient is below this is no better than 0.
_TOLERANCE = 1e-9


def non_negative_least_squares(a: Floats, b: Floats) -> Floats:
    """Return the x of no negative element with the least ``|a @ x - b|``.

    The active-set method of Lawson and Hanson, "Solving Least Squares Problems" (1974), chapter 23. NumPy has no such
    function, and SciPy, which has, is not needed for anything else.

    Parameters
    ----------
    a, b
        Shapes (rows, columns) and (rows,).
    """
    columns = a.shape[1]
    x, free = np.zeros(columns), np.zeros(columns, dtype=bool)
    for _ in range(10 * columns):
        gradient = np.where(free, -np.inf, a.T @ (b - a @ x))
        best = int(np.argmax(gradient))
        if gradient[best] < _TOLERANCE:
            return x
        free[best] = True
        while True:
            wanted = np.zeros(columns)
            wanted[free] = np.linalg.lstsq(a[:, free], b, rcond=None)[0]
            below = free & (wanted <= 0)
            if not below.any():
                break
            step = np.min(x[below] / (x[below] - wanted[below]))
            x += step * (wanted - x)
            free &= x > _TOLERANCE
        x = wanted
    raise ArithmeticError(f"no fit in {10 * columns} steps; two terms may be one")


@dataclass(frozen=True, kw_only=True)
class Fit:
    """What each term of a resource costs, and the errors.

    Attributes
    ----------
    costs
        By term.
    fitted
        Names of those that were fitted; the others were set.
    errors
        Relative error at each core, by a fit that did not have the core.
    """

    costs: dict[str, float]
    fitted: tuple[str, ...]
    errors: Floats

    @property
    def median(self) -> float:
        """Median of the errors' sizes."""
        return float(np.median(np.abs(self.errors)))

    @property
    def worst(self) -> float:
        """Largest of the errors' sizes."""
        return float(np.abs(self.errors).max())


def _solve(free: Floats, rest: Floats, used: Floats) -> Floats:
    """Return the costs of the terms `free` for what is left of `used`, with errors relative to `used`."""
    scale = np.maximum(free.max(axis=0), 1)
    return np.asarray(non_negative_least_squares(free / scale / used[:, None], rest / used) / scale)


def fit(resource: Resource, structure: Structure, used: Floats) -> Fit:
    """Fit the costs of a resource's terms.

    Parameters
    ----------
    resource
        Its terms, and the costs that are set.
    structure
        Of the cores.
    used
        What each of them takes.
    """
    terms = resource.terms(structure)
    fitted = tuple(name for name, counts in terms.items() if name not in resource.known and counts.any())
    known: Floats = sum(
        (cost * terms[name].astype(float) for name, cost in resource.known.items()), np.zeros(len(used))
    )
    free, rest = np.stack([terms[name] for name in fitted], axis=1).astype(float), used - known
    costs = _solve(free, rest, used)
    errors = np.empty(len(used))
    for index in range(len(used)):
        others = np.arange(len(used)) != index
        without = _solve(free[others], rest[others], used[others])
        errors[index] = (known[index] + free[index] @ without) / used[index] - 1
    return Fit(
        costs=dict(resource.known) | {name: float(cost) for name, cost in zip(fitted, costs, strict=True)},
        fitted=fitted,
        errors=errors,
    )


def as_columns(cores: Sequence[Core]) -> dict[str, npt.NDArray[Any]]:
    """Return the configurations of measured cores as columns; a parameter newer than a core has its default."""
    configs = [AcceleratorConfig.from_dict(core["config"]).to_dict() for core in cores]
    return {name: np.array([config[name] for config in configs]) for name in (*NUMBERS, *FLAGS, *NAMES)}


def parted(cores: Sequence[Core]) -> tuple[list[Core], list[Core]]:
    """Return the measured cores that a model is fitted to, and those that it is only held against."""
    return [core for core in cores if not core.get("held_out")], [
        core for core in cores if core.get("held_out")
    ]


def held_out_errors(found: Fit, cores: Sequence[Core], resource: str) -> Floats:
    """Return the relative error of a fit at each of some cores that it did not have."""
    terms = RESOURCES[resource].terms(Structure(Shapes(as_columns(cores))))
    used = np.array([core["used"][resource] for core in cores], dtype=float)
    return np.asarray(sum(cost * terms[name] for name, cost in found.costs.items()) / used - 1)


def fit_columns(cores: Sequence[Core], resource: str) -> Fit:
    """Return the fit of a resource to measured cores.

    Parameters
    ----------
    cores
        As of `fit_family`.
    resource
        One of `RESOURCES`.
    """
    structure = Structure(Shapes(as_columns(cores)))
    return fit(
        RESOURCES[resource], structure, np.array([core["used"][resource] for core in cores], dtype=float)
    )


def fit_family(cores: Sequence[Core]) -> dict[str, Any]:
    """Return the model of a family, as `tritforge.rtl.area` reads it.

    Parameters
    ----------
    cores
        Each with its ``name``, ``config``, what it ``used``, and whether it is ``held_out`` of the fit, as
        ``benchmarks/area.json`` has them.
    """
    cores, others = parted(cores)
    columns = as_columns(cores)
    model: dict[str, Any] = {"cores": len(cores), "held_out": len(others), "tools": cores[0]["tools"]}
    for name in RESOURCES:
        found = fit_columns(cores, name)
        worst = int(np.abs(found.errors).argmax())
        apart = np.abs(held_out_errors(found, others, name))
        model[name] = {
            "costs": {term: round(cost, 4) for term, cost in found.costs.items()},
            "fitted": list(found.fitted),
            "median_error": round(found.median, 5),
            "worst_error": round(found.worst, 5),
            "worst_core": cores[worst]["name"],
            "held_out_median": round(float(np.median(apart)), 5),
            "held_out_worst": round(float(apart.max()), 5),
        }
    model["seen"] = {
        datapath: {
            "ranges": {
                name: [int(columns[name][here].min()), int(columns[name][here].max())] for name in NUMBERS
            }
            | {"products": [int(value) for value in _bounds((columns["lanes"] * columns["rows"])[here])]},
            "flags": [name for name in FLAGS if columns[name][here].any()],
            "names": {name: sorted({str(value) for value in columns[name][here]}) for name in NAMES},
        }
        for datapath in sorted(set(columns["datapath"]))
        for here in [columns["datapath"] == datapath]
    }
    return model


def _bounds(values: npt.NDArray[Any]) -> tuple[int, int]:
    return values.min(), values.max()
