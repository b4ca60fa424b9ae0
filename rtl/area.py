"""Area of a stream core from its configuration, for very many at once, by a model that is fitted to packed netlists.

The terms (`tritforge.rtl.area_terms`) are counts of a core's structure, their costs those of ``data/area.json``,
which ``benchmarks/bench_area.py`` measures and fits. `docs/area.md` has the terms, the cores and the errors.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.errors import InputError
from tritforge.accel.parameters import check_choice, check_names
from tritforge.rtl.area_shape import FLAGS, NAMES, NUMBERS, Flags, Shapes
from tritforge.rtl.area_structure import Structure
from tritforge.rtl.area_terms import RESOURCES

#: Families that the model knows.
FAMILIES = ("ecp5",)
#: Fields that a core does not depend on, by datapath; the weight store is a part of the tops.
_STORE = ("weight_store", "weight_store_bytes")
UNUSED = {
    "tree": (*_STORE, "chain_length", "adders_per_chain"),
    "fused": (*_STORE, "tree_arity", "levels_per_register"),
}


@dataclass(frozen=True, kw_only=True)
class ResourceModel:
    """What the things cost that a core is made of, in LUTs or in flip-flops, and how well that fits.

    Attributes
    ----------
    costs
        By term; `fitted` names those that were fitted, the others are sizes of known cells.
    fitted
        Names of terms.
    median_error, worst_error
        Sizes of the relative errors at the measured cores, each left out of the fit that it is held against.
    worst_core
        The core of `worst_error`.
    held_out_median, held_out_worst
        The same at the cores that are in no fit, which differ from each other in many parameters at once.
    """

    costs: Mapping[str, float]
    fitted: tuple[str, ...]
    median_error: float
    worst_error: float
    worst_core: str
    held_out_median: float
    held_out_worst: float

    @property
    def bound(self) -> float:
        """Largest relative error at any measured core by a model that did not see it."""
        return max(self.worst_error, self.held_out_worst)


@dataclass(frozen=True, kw_only=True)
class AreaModel:
    """The model of a family of FPGAs.

    Attributes
    ----------
    family
        Its name.
    cores, held_out
        Number of cores that it is fitted to, and of those that it is only held against.
    tools
        Versions that measured them.
    luts, ffs
        What is fitted.
    seen
        By datapath, the ``ranges`` of numbers, the ``flags`` and the ``names`` of the measured cores.
    """

    family: str
    cores: int
    held_out: int
    tools: Mapping[str, str]
    luts: ResourceModel
    ffs: ResourceModel
    seen: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Area:
    """What a core takes.

    Attributes
    ----------
    luts
        LUTs after packing, those of carry cells and LUT RAMs included: TRELLIS_COMB on ECP5.
    ffs
        Flip-flops.
    lut_rams
        LUT RAMs of 16 x 4 bits; their LUTs are among `luts`.
    block_rams
        Block memories: DP16KD on ECP5.
    extrapolated
        Whether a parameter lies outside of those of the measured cores, so that the stated errors do not hold.
    """

    luts: int
    ffs: int
    lut_rams: int
    block_rams: int
    extrapolated: bool


@cache
def area_model(family: str = "ecp5") -> AreaModel:
    """Return the model of a family, its errors included.

    Raises
    ------
    InputError
        There is none.
    """
    check_choice("family", family, FAMILIES)
    text = files("tritforge.rtl").joinpath("data/area.json").read_text()
    data = json.loads(text)[family]
    resources = {
        name: ResourceModel(**data[name] | {"fitted": tuple(data[name]["fitted"])}) for name in RESOURCES
    }
    named = {name: data[name] for name in ("cores", "held_out", "tools", "seen")}
    return AreaModel(family=family, **(named | resources))


def area_of(config: AcceleratorConfig, family: str = "ecp5") -> Area:
    """Return what a configuration's stream core takes.

    Raises
    ------
    InputError
        As of `estimate`.
    """
    row = estimate(pd.DataFrame([config.to_dict()]), family).iloc[0]
    return Area(
        **{name: int(row[name]) for name in ("luts", "ffs", "lut_rams", "block_rams")},
        extrapolated=bool(row["extrapolated"]),
    )


def estimate(columns: pd.DataFrame, family: str = "ecp5") -> pd.DataFrame:
    """Return what the stream cores of many configurations take.

    Parameters
    ----------
    columns
        A configuration in each row: columns are fields of `AcceleratorConfig`, and one that is missing has the
        field's default. Rows are taken for legal configurations; what the model cannot know is refused, all else
        that `AcceleratorConfig` checks is not checked again.
    family
        One of `FAMILIES`.

    Returns
    -------
    pandas.DataFrame
        The fields of `Area`, with the index of `columns`.

    Raises
    ------
    InputError
        An unknown family or column; a column of a wrong type; a datapath for another family; a flag or a name that no
        measured core of the datapath has.
    """
    model = area_model(family)
    arrays = _as_arrays(columns)
    _check(arrays, model)
    structure = Structure(Shapes(arrays))
    used = {}
    for name, resource in RESOURCES.items():
        costs = getattr(model, name).costs
        terms = resource.terms(structure)
        used[name] = np.rint(sum(cost * terms[term] for term, cost in costs.items())).astype(np.int64)
    lut_rams, _, block_rams = structure.memories
    return pd.DataFrame(
        used | {"lut_rams": lut_rams, "block_rams": block_rams, "extrapolated": _outside(arrays, model)},
        index=columns.index,
    )


def _as_arrays(columns: pd.DataFrame) -> dict[str, npt.NDArray[Any]]:
    """Return an array for each field.

    Raises
    ------
    InputError
        An unknown column, or one of a wrong type.
    """
    check_names(AcceleratorConfig, columns.columns, what="column")
    arrays: dict[str, npt.NDArray[Any]] = {}
    for name, default in asdict(AcceleratorConfig()).items():
        column = columns.get(name)
        if column is None:
            arrays[name] = np.full(len(columns), default)
            continue
        kinds = {int: ("i", "u"), bool: ("b",), str: ("O", "U", "T")}[type(default)]
        if np.asarray(column.to_numpy()).dtype.kind not in kinds and len(column):
            raise InputError(f"column {name} is of {column.dtype}; it must be of {type(default).__name__}")
        arrays[name] = column.to_numpy().astype({int: np.int64, bool: np.bool_, str: np.str_}[type(default)])
    return arrays


def _datapaths(arrays: Mapping[str, npt.NDArray[Any]]) -> Iterator[tuple[str, Flags]]:
    """Yield each datapath of some configurations, and which of them have it."""
    for datapath in np.unique(arrays["datapath"]):
        yield str(datapath), np.asarray(arrays["datapath"] == datapath)


def _check(arrays: Mapping[str, npt.NDArray[Any]], model: AreaModel) -> None:
    """Refuse what no measured core has.

    Raises
    ------
    InputError
        There is such a thing.
    """
    for datapath, here in _datapaths(arrays):
        check_choice("datapath", datapath, model.seen)
        seen = model.seen[datapath]
        for name in NAMES:
            if name in UNUSED[datapath]:
                continue
            for value in np.unique(arrays[name][here]):
                if value not in seen["names"][name]:
                    raise InputError(
                        f"{name} is {str(value)!r} with datapath {datapath!r}, of which no core was measured on "
                        f"{model.family}; the area model knows {', '.join(seen['names'][name])}"
                    )
        for name in FLAGS:
            if name not in seen["flags"] and arrays[name][here].any():
                raise InputError(
                    f"{name} is true with datapath {datapath!r}, of which no core was measured on {model.family}"
                )


def _outside(arrays: Mapping[str, npt.NDArray[Any]], model: AreaModel) -> Flags:
    """Return which configurations have a number outside of those of the measured cores."""
    outside = np.zeros(len(arrays["lanes"]), dtype=bool)
    numbers = {name: arrays[name] for name in NUMBERS} | {"products": arrays["lanes"] * arrays["rows"]}
    for datapath, here in _datapaths(arrays):
        for name, values in numbers.items():
            if name not in UNUSED[datapath]:
                low, high = model.seen[datapath]["ranges"][name]
                outside |= here & ((values < low) | (values > high))
    return outside
