"""Which points of a sweep are accelerators at all, and why the others are not."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.errors import InputError
from tritforge.explore.space import Points, widest
from tritforge.rtl.area import estimate
from tritforge.rtl.area_shape import Flags

#: Fields that `AcceleratorConfig` checks against each other; the others it checks alone.
TOGETHER = (
    "lanes",
    "act_bits",
    "act_port_bits",
    "column_beats",
    "datapath",
    "target",
    "negation",
    "chain_length",
)
#: Fields on which it depends whether the area model knows a core.
_AREA = ("datapath", "packing", "negation", "target", "partial_sums", "sparse", "weight_store")


@dataclass(frozen=True, kw_only=True)
class Legal:
    """Points that are accelerators.

    Attributes
    ----------
    points
        These.
    skipped
        Number of the others by reason.
    """

    points: Points
    skipped: dict[str, int]


def distinct(columns: Sequence[npt.NDArray[Any]]) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Return the first place of each combination of values that occurs, and which combination each place has."""
    code = np.zeros(len(columns[0]), dtype=np.int64)
    for values in columns:
        kinds, places = np.unique(values, return_inverse=True)
        # Codes stay small: they are numbered anew after each column.
        _, code = np.unique(code * len(kinds) + places, return_inverse=True)
    _, first = np.unique(code, return_index=True)
    return first, code


def legal(points: Points) -> Legal:
    """Return the points that are accelerators which can run their model and whose area is known."""
    skipped: dict[str, int] = {}
    for refuse in (_by_device, _by_field, _by_configuration, _by_store, _by_model, _by_area):
        if len(points):
            kept = np.ones(len(points), dtype=bool)
            for reason, where in refuse(points):
                count = int((where & kept).sum())
                if count:
                    skipped[reason] = skipped.get(reason, 0) + count
                    kept &= ~where
            points = points.take(kept)
    return Legal(points=points, skipped=skipped)


def _by_device(points: Points) -> Iterable[tuple[str, Flags]]:
    """Refuse cells that a device has not."""
    fused = points.columns["datapath"] == "fused"
    for place, device in enumerate(points.space.devices):
        here = fused & (points.device == place)
        if device.fused_target is None:
            yield f"datapath 'fused' on {device.name}, which has no cells for it", here
            continue
        for target in np.unique(points.columns["target"][here]).tolist():
            if target != device.fused_target:
                yield (
                    f"target {target!r} on {device.name}, whose cells are those of {device.fused_target}",
                    here & (points.columns["target"] == target),
                )


def _refusal(make: Callable[..., object], *arguments: object) -> str | None:
    """Return why a call is refused, or None."""
    try:
        make(*arguments)
    except InputError as error:
        return str(error)
    return None


def _by_field(points: Points) -> Iterable[tuple[str, Flags]]:
    """Refuse values out of a field's own bounds."""
    for name in points.space.named:
        if name in TOGETHER:
            continue
        for value in np.unique(points.columns[name]).tolist():
            reason = _refusal(AcceleratorConfig.from_dict, {name: value})
            if reason:
                yield reason, points.columns[name] == value


def _by_configuration(points: Points) -> Iterable[tuple[str, Flags]]:
    """Refuse values that do not go together."""
    first, kinds = distinct([points.columns[name] for name in TOGETHER])
    for kind, place in enumerate(first.tolist()):
        values = {name: points.columns[name][place].item() for name in TOGETHER}
        reason = _refusal(AcceleratorConfig.from_dict, values)
        if reason:
            yield reason, kinds == kind


def _by_store(points: Points) -> Iterable[tuple[str, Flags]]:
    """Refuse weights on the chip, whose store and whose pieces of matrices no figure of a sweep knows of."""
    stored = points.columns["weight_store"] == "bram"
    yield (
        "weight_store is 'bram'; a sweep's weights come from the memory behind the chip: use 'stream'",
        stored,
    )


def _by_model(points: Points) -> Iterable[tuple[str, Flags]]:
    """Refuse models with matrices beyond what a configuration runs."""
    k_max, m_max = points.columns["k_max"], points.columns["m_max"]
    for place, model in enumerate(points.space.models):
        here = points.model == place
        k, m = widest(model)
        for limit in np.unique(k_max[here]).tolist():
            if k > limit:
                reason = f"K is {k} in {model.name}; k_max {limit} without partial_sums does not run it"
                yield reason, here & (k_max == limit) & ~points.columns["partial_sums"]
        for limit in np.unique(m_max[here]).tolist():
            if m > limit:
                yield f"M is {m} in {model.name}; m_max {limit} does not run it", here & (m_max == limit)


def _by_area(points: Points) -> Iterable[tuple[str, Flags]]:
    """Refuse cores of a kind of which none was measured."""
    first, kinds = distinct([points.columns[name] for name in _AREA])
    for kind, place in enumerate(first.tolist()):
        one = pd.DataFrame({name: values[place : place + 1] for name, values in points.columns.items()})
        reason = _refusal(estimate, one)
        if reason:
            yield reason, kinds == kind
