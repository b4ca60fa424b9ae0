"""The points of a sweep: every combination of models, devices and values of a configuration's fields, by number."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.errors import InputError
from tritforge.explore.devices import TargetDevice
from tritforge.models.shapes import ModelShape

Column = npt.NDArray[Any]
#: Points of a chunk, which is the unit that is computed, stored and counted.
CHUNK_POINTS = 8192
#: Most points of a sweep.
POINTS_MAX = 2_000_000
#: Largest number of an axis, beyond all that a configuration takes: arrays hold it.
NUMBER_MAX = 2**31 - 1

#: Fields that follow others unless they are given: a model's widest matrices, and a datapath's cells on a device.
FOLLOWING = ("k_max", "m_max", "target", "negation")

#: Axes where none is given.
DEFAULT_AXES: dict[str, tuple[Any, ...]] = {
    "lanes": (16, 32, 64, 128, 256, 512),
    "rows": (2, 4, 8, 16, 32, 64),
    "tokens_max": (1, 4, 16, 64),
    "packing": ("i2", "s5", "s8"),
    "weight_port_bits": (128, 256, 512, 1024),
    "act_port_bits": (64, 256),
    "result_port_bits": (64, 256),
    "datapath": ("tree", "fused"),
}

#: Type of each field.
TYPES: dict[str, Any] = {each.name: each.type for each in fields(AcceleratorConfig)}


def widest(model: ModelShape) -> tuple[int, int]:
    """Return the most inputs and the most outputs of a model's matrices on the array."""
    inputs = [linear.inputs for linear in model.linears]
    outputs = [linear.outputs for linear in model.linears]
    if model.lm_head_ternary and model.vocab_size is not None:
        inputs.append(model.hidden_size)
        outputs.append(model.vocab_size)
    return max(inputs), max(outputs)


def fitting(model: ModelShape) -> dict[str, int]:
    """Return the smallest powers of two that hold a model's inner dimensions and output rows."""
    k, m = widest(model)
    return {"k_max": 1 << (k - 1).bit_length(), "m_max": 1 << (m - 1).bit_length()}


def _check_axis(name: str, values: tuple[Any, ...]) -> None:
    """Refuse an axis that is no field, is empty, or has a value twice or of a wrong kind."""
    if name not in TYPES:
        raise InputError(f"axis {name!r} is no parameter of a configuration; use {', '.join(TYPES)}")
    if not values:
        raise InputError(f"axis {name} has no values; give one at least")
    wrong = [value for value in values if type(value) is not TYPES[name]]
    if wrong:
        kind = {int: "whole numbers", bool: "true or false", str: "names"}[TYPES[name]]
        raise InputError(f"axis {name} has the value {wrong[0]!r}; it takes {kind}")
    large = [value for value in values if TYPES[name] is int and abs(value) > NUMBER_MAX]
    if large:
        raise InputError(f"axis {name} has the value {large[0]}; {NUMBER_MAX} is the most")
    if len(set(values)) < len(values):
        raise InputError(f"axis {name} has a value twice: {', '.join(map(str, values))}")


@dataclass(frozen=True, kw_only=True)
class Space:
    """Models, devices and axes of a sweep.

    Attributes
    ----------
    models, devices
        What is combined with each configuration.
    axes
        Fields of `AcceleratorConfig`, each with its values.
    base
        All other fields.
    following
        Fields of `FOLLOWING` that follow model, device and datapath where they are no axes.

    Raises
    ------
    InputError
        Nothing to combine, a wrong axis, or too many points.
    """

    models: tuple[ModelShape, ...]
    devices: tuple[TargetDevice, ...]
    axes: Mapping[str, tuple[Any, ...]] = field(default_factory=lambda: dict(DEFAULT_AXES))
    base: AcceleratorConfig = field(default_factory=AcceleratorConfig)
    following: tuple[str, ...] = FOLLOWING

    def __post_init__(self) -> None:
        for name, found in (("model", self.models), ("device", self.devices)):
            if not found:
                raise InputError(f"no {name} is given; name one at least")
            names = [one.name for one in found]
            if len(set(names)) < len(names):
                raise InputError(f"a {name} is given twice among {', '.join(names)}; keep one")
        for name, values in self.axes.items():
            _check_axis(name, values)
        if len(self) > POINTS_MAX:
            raise InputError(
                f"the axes have {len(self):,} combinations; a sweep has {POINTS_MAX:,} points at most"
            )

    def __len__(self) -> int:
        return len(self.models) * len(self.devices) * prod(map(len, self.axes.values()))

    @property
    def chunks(self) -> int:
        """Number of chunks."""
        return -(-len(self) // CHUNK_POINTS)

    @property
    def named(self) -> tuple[str, ...]:
        """Fields that may differ between points, in the order of a table's columns."""
        return (*self.axes, *(name for name in self.following if name not in self.axes))

    def chunk(self, index: int) -> "Points":
        """Return the points of a chunk."""
        low = index * CHUNK_POINTS
        return self.points(np.arange(low, min(low + CHUNK_POINTS, len(self))))

    def points(self, numbers: npt.NDArray[np.int64]) -> "Points":
        """Return points by their numbers; the last axis changes fastest, the model slowest."""
        places: dict[str, npt.NDArray[np.int64]] = {}
        left = numbers
        for name, values in reversed(list(self.axes.items())):
            left, places[name] = np.divmod(left, len(values))
        model, device = np.divmod(left, len(self.devices))
        columns: dict[str, Column] = {
            name: np.full(len(numbers), value) for name, value in self.base.to_dict().items()
        }
        columns |= {name: np.array(values)[places[name]] for name, values in self.axes.items()}
        columns |= self._followers(model, device, columns["datapath"])
        return Points(space=self, numbers=numbers, model=model, device=device, columns=columns)

    def _followers(
        self, model: npt.NDArray[np.int64], device: npt.NDArray[np.int64], datapath: Column
    ) -> dict[str, Column]:
        fits = [fitting(one) for one in self.models]
        fused = datapath == "fused"
        targets = np.array([one.fused_target or "generic" for one in self.devices])
        found: dict[str, Column] = {
            **{name: np.array([fit[name] for fit in fits])[model] for name in ("k_max", "m_max")},
            "target": np.where(fused, targets[device], "generic"),
            "negation": np.where(fused, "carry", self.base.negation),
        }
        return {
            name: values for name, values in found.items() if name in self.following and name not in self.axes
        }


@dataclass(frozen=True, kw_only=True)
class Points:
    """Some points of a space.

    Attributes
    ----------
    space
        Where they are from.
    numbers
        Which they are.
    model, device
        Places in the space's models and devices.
    columns
        An array for each field of `AcceleratorConfig`.
    """

    space: Space
    numbers: npt.NDArray[np.int64]
    model: npt.NDArray[np.int64]
    device: npt.NDArray[np.int64]
    columns: dict[str, Column]

    def __len__(self) -> int:
        return len(self.numbers)

    def take(self, chosen: npt.NDArray[Any]) -> "Points":
        """Return some of them, by place or by flag."""
        return Points(
            space=self.space,
            numbers=self.numbers[chosen],
            model=self.model[chosen],
            device=self.device[chosen],
            columns={name: values[chosen] for name, values in self.columns.items()},
        )
