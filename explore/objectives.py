"""What a point is judged by: tokens a second, joules a token, area, bandwidth, power, and whether it fits its device.

For each phase, with the cycles C of the step's products (`tritforge.explore.cycles`), the clock f, the bytes D that
the ``hardware`` accounting moves between chip and memory, the memory's bandwidth B, the step's energy E
(`tritforge.explore.energy`) and its tokens N:

- seconds of the step: ``max(C / f, D / B)``: traffic and arithmetic overlap in full;
- tokens a second: ``N / seconds``; joules a token: ``E / N``; watts: ``E / seconds``;
- bytes a second that the array asks for when it never waits: ``D f / C``.

Products run one after the other on an idle core. The host's part of a layer (attention, norms, activation
function, LM head unless ternary) is in the energy and in the traffic, and takes no time; so speeds are bounds from
above.
"""

from dataclasses import dataclass, replace
from functools import reduce
from operator import add
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.errors import InputError
from tritforge.energy.hardware_matrices import head_matrix, layer_matrices
from tritforge.energy.memory import total_bytes
from tritforge.energy.scenario import PHASES, Scenario
from tritforge.energy.technology import Technology
from tritforge.explore.cycles import BOUNDS, PARTS, Work, product_work
from tritforge.explore.energy import by_tokens_max, step_energy
from tritforge.explore.legality import legal
from tritforge.explore.space import Points, Space
from tritforge.models.shapes import ModelShape
from tritforge.rtl.area import area_model, estimate
from tritforge.rtl.area_shape import Shapes

#: What can take most cycles of a step, in the order of `BOUNDS`, and what can take longer than all of it.
ARRAY_BOUNDS = ("lanes", "weight port", "activation port", "result port")
MEMORY_BOUND = "memory"
#: Bytes of a block memory of ECP5, in which the area model counts.
BLOCK_BYTES = 18 * 1024 // 8

#: Most ternary operations of a prefill: no configuration takes more cycles than arrays of 64 bits hold.
OPERATIONS_MAX = 1 << 61

Columns = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True, kw_only=True)
class Request:
    """All that a table of points follows from.

    Attributes
    ----------
    space
        The points.
    scenario
        Context, batch, widths of caches, attention. Phase, configuration and DRAM are those of each point, and
        shares of zeros and `requantise` must be at their defaults.
    node, technology
        Rows of energies; the table of the package unless given.

    Raises
    ------
    InputError
        A prefill whose cycles cannot be counted.
    """

    space: Space
    scenario: Scenario
    node: str = "7nm"
    technology: Technology | None = None

    def __post_init__(self) -> None:
        positions = self.scenario.context * self.scenario.batch
        for model in self.space.models:
            most = OPERATIONS_MAX // model.active_linear_parameters
            if positions > most:
                raise InputError(
                    f"context {self.scenario.context} times batch {self.scenario.batch} is {positions} positions; "
                    f"{most} are the most that can be counted of {model.name}"
                )


def step_work(model: ModelShape, scenario: Scenario, columns: Columns) -> Work:
    """Return the cycles of a step's products on each of some configurations."""
    parts = {name: np.zeros(len(columns["lanes"]), dtype=np.int64) for name in PARTS}
    for chosen, one in by_tokens_max(Shapes(columns), scenario):
        shapes = Shapes({name: values[chosen] for name, values in columns.items()})
        head = head_matrix(model, one)
        work = reduce(
            add,
            (
                product_work(shapes, run.outputs, run.inputs, tokens).times(run.copies * count)
                for run in [*layer_matrices(model, one), *([head] if head else [])]
                for tokens, count in run.groups(one.config.tokens_max).items()
            ),
        )
        for name in PARTS:
            parts[name][chosen] = getattr(work, name)
    return Work(**parts)


def evaluate(points: Points, request: Request) -> pd.DataFrame:
    """Return a row for each of some legal points, in their order.

    Raises
    ------
    InputError
        A node, a DRAM or an activation function that is not known.
    """
    space = request.space
    table: Columns = {
        "point": points.numbers,
        "model": np.array([one.name for one in space.models])[points.model],
        "device": np.array([one.name for one in space.devices])[points.device],
        **{name: points.columns[name] for name in space.named},
    }
    table |= _area(points)
    found = []
    for model in np.unique(points.model).tolist():
        for device in np.unique(points.device[points.model == model]).tolist():
            chosen = np.flatnonzero((points.model == model) & (points.device == device))
            found.append((chosen, _pair(points.take(chosen), request, model, device)))
    for name in found[0][1] if found else ():
        values = np.empty(len(points), dtype=found[0][1][name].dtype)
        for chosen, columns in found:
            values[chosen] = columns[name]
        table[name] = values
    frame = pd.DataFrame(table)
    for limit, need in (("luts", "luts"), ("block_ram_bytes", "block_ram_bytes")):
        bounds = np.array([getattr(one, limit) or np.inf for one in space.devices])[points.device]
        frame[f"fits_{limit.removesuffix('_bytes')}"] = frame[need].to_numpy() <= bounds
    memory = np.array([one.memory_gb * 1e9 for one in space.devices])[points.device]
    frame["fits_memory"] = frame["memory_bytes"].to_numpy() <= memory
    return frame


def _area(points: Points) -> Columns:
    area = estimate(pd.DataFrame(points.columns))
    error = area_model().luts.bound
    luts = area["luts"].to_numpy()
    return {
        "luts": luts,
        "luts_low": np.rint(luts * (1 - error)).astype(np.int64),
        "luts_high": np.rint(luts * (1 + error)).astype(np.int64),
        "ffs": area["ffs"].to_numpy(),
        "block_ram_bytes": area["block_rams"].to_numpy() * BLOCK_BYTES,
        "area_extrapolated": area["extrapolated"].to_numpy(),
    }


def _pair(points: Points, request: Request, model_place: int, device_place: int) -> Columns:
    """Return the columns that depend on model and device."""
    model, device = request.space.models[model_place], request.space.devices[device_place]
    found: Columns = {}
    for phase in PHASES:
        scenario = replace(
            request.scenario, phase=phase, dram=device.dram, config=AcceleratorConfig(), packing="i2"
        )
        work = step_work(model, scenario, points.columns)
        energy = step_energy(
            model, scenario, Shapes(points.columns), node=request.node, technology=request.technology
        )
        array_seconds = work.cycles / device.hertz
        moved = energy.dram_bits / 8
        seconds = np.maximum(array_seconds, moved / device.bytes_per_second)
        slowest = np.argmax([getattr(work, name) for name in BOUNDS], axis=0)
        bound = np.where(seconds > array_seconds, len(ARRAY_BOUNDS), slowest)
        value, low, high = energy.joules / scenario.tokens
        found |= {
            f"{phase}_tokens_per_second": scenario.tokens / seconds,
            f"{phase}_joules_per_token": value,
            f"{phase}_joules_per_token_low": low,
            f"{phase}_joules_per_token_high": high,
            f"{phase}_watts": value * scenario.tokens / seconds,
            f"{phase}_bytes_per_second": moved / array_seconds,
            f"{phase}_cycles": work.cycles,
            f"{phase}_cycles_exact": work.short == 0,
            f"{phase}_bound": np.array([*ARRAY_BOUNDS, MEMORY_BOUND])[bound],
        }
    kinds, places = np.unique(points.columns["packing"], return_inverse=True)
    sizes = [
        total_bytes(
            model,
            packing,
            batch=request.scenario.batch,
            context=request.scenario.context,
            kv_bits=request.scenario.key_bits,
        )
        for packing in kinds.tolist()
    ]
    found["memory_bytes"] = np.array(sizes)[places]
    return found


def evaluate_chunk(request: Request, index: int) -> tuple[pd.DataFrame, dict[str, int]]:
    """Return the rows of a chunk, and how many of its points were left out by reason."""
    found = legal(request.space.chunk(index))
    if not len(found.points):
        return pd.DataFrame(), found.skipped
    return evaluate(found.points, request), found.skipped
