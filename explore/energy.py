"""Joules and bytes of many configurations at once: the ``hardware`` accounting with an array for every count.

The accounting is the sum of what the array does for each matrix, which depends on most of a configuration and is
written here for arrays, and of what surrounds it, which depends on three fields and is counted by
`tritforge.energy.hardware` once for each combination of them that occurs. Both take their prices from the same rows,
so that a point's energy is that of `hardware_energy` but for the rounding of sums.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from tritforge.accel.codes import BIAS_WORD_BITS, WORDS
from tritforge.accel.config import AcceleratorConfig
from tritforge.energy.baselines import datapath
from tritforge.energy.hardware import SURROUNDING, activation_memory, count_surroundings
from tritforge.energy.hardware_array import FLOAT_BITS, PARTIAL_BITS, Tally, tree_levels
from tritforge.energy.hardware_matrices import MatrixRun, head_matrix, layer_matrices
from tritforge.energy.scenario import Scenario
from tritforge.energy.technology import Technology, default_technology
from tritforge.models.shapes import ModelShape
from tritforge.rtl.area_shape import Shapes, ceil_div

Floats = npt.NDArray[np.float64]
#: Bits of a ternary weight in a register of the array.
_REGISTER_BITS = 2


@dataclass(frozen=True, kw_only=True)
class StepEnergy:
    """What one step takes: a prefill, or a token of each sequence.

    Attributes
    ----------
    joules : ndarray of float, shape (3, n)
        Value, low and high bound.
    dram_bits : ndarray of float, shape (n,)
        Bits that pass between the chip and the memory behind it.
    """

    joules: Floats
    dram_bits: Floats


class _Prices:
    """Prices of operations at a node, in joules: value, low and high as a column.

    Parameters
    ----------
    table, node
        Rows.
    """

    def __init__(self, table: Technology, node: str) -> None:
        self._table, self._node = table, node

    def of(self, operation: str) -> Floats:
        """Return the price of an operation, of shape (3, 1)."""
        cost = self._table.row(self._node, operation).joules
        return np.array([[cost.value], [cost.low], [cost.high]])

    def each(self, form: str, numbers: npt.NDArray[Any]) -> Floats:
        """Return the prices of operations whose names have a number in them, of shape (3, n)."""
        distinct, places = np.unique(numbers, return_inverse=True)
        return np.hstack([self.of(form.format(number)) for number in distinct.tolist()])[:, places]


def by_tokens_max(shapes: Shapes, scenario: Scenario) -> Iterable[tuple[npt.NDArray[np.intp], Scenario]]:
    """Yield which configurations have each ``tokens_max`` that occurs, and the scenario with it."""
    for value in np.unique(shapes.tokens_max).tolist():
        config = replace(scenario.config, tokens_max=value)
        yield np.flatnonzero(shapes.tokens_max == value), replace(scenario, config=config)


def step_energy(
    model: ModelShape,
    scenario: Scenario,
    shapes: Shapes,
    *,
    node: str = "7nm",
    technology: Technology | None = None,
) -> StepEnergy:
    """Return the energy of a step on each of some configurations.

    Parameters
    ----------
    model
        Shape of the model.
    scenario
        What runs; its configuration and packing are replaced by those of `shapes`, and shares of zeros and
        `requantise` must be at their defaults.
    shapes
        The configurations.
    node, technology
        Rows; the table of the package unless given.

    Raises
    ------
    InputError
        A node, a DRAM or an activation function that is not known.
    """
    prices = _Prices(technology or default_technology(), node)
    joules, dram_bits = np.zeros((3, len(shapes))), np.zeros(len(shapes))
    array = _ArrayPrices(prices, scenario, shapes)
    for chosen, one in by_tokens_max(shapes, scenario):
        part = array.at(chosen, prices.of(activation_memory(model, one)))
        head = head_matrix(model, one)
        for run in [*layer_matrices(model, one), *([head] if head else [])]:
            energy, bits = part.matrix(run)
            joules[:, chosen] += energy
            dram_bits[chosen] += bits
    around, bits = _surroundings(model, scenario, shapes, node=node, technology=technology)
    return StepEnergy(joules=joules + around, dram_bits=dram_bits + bits)


@dataclass(frozen=True, kw_only=True)
class _ArrayPart:
    """Configurations of one ``tokens_max``, with what a count of each kind costs them, of shape (3, n) each."""

    shape: dict[str, npt.NDArray[Any]]
    wire_mm: float
    issue: Floats
    partial: Floats
    weight: Floats
    load: Floats
    output: Floats
    tile_output: Floats
    dram: Floats
    wire: Floats

    def matrix(self, run: MatrixRun) -> tuple[Floats, Floats]:
        """Return joules and bits from DRAM of some matrices."""
        s = self.shape
        rows, lanes = s["rows"], s["lanes"]
        row_tiles = ceil_div(run.outputs, rows).astype(np.float64)
        whole, rest = np.divmod(run.inputs, s["k_max"])
        tiles = whole * ceil_div(s["k_max"], lanes) + ceil_div(rest, lanes)
        jobs = whole + (rest > 0)
        issues = run.copies * run.tokens * row_tiles * tiles
        outputs = float(run.copies * run.tokens * run.outputs)
        weights = run.copies * run.loads * row_tiles * tiles * rows * lanes
        bits = np.ceil(weights * s["word_bits"] / s["word_trits"])
        bits += s["bias"] * (run.copies * run.loads * row_tiles * jobs * rows * BIAS_WORD_BITS)
        loaded = run.copies * run.tokens * run.inputs * ceil_div(run.outputs, s["m_max"]) * s["container"]
        energy = (
            issues * self.issue
            + (jobs - 1) * outputs * self.partial
            + weights * self.weight
            + bits * self.dram
            + loaded * self.load
            + outputs * self.output
            + run.copies * run.tokens * jobs * row_tiles * self.tile_output
            + np.round((bits + loaded) * self.wire_mm) * self.wire
        )
        return energy, bits


class _ArrayPrices:
    """What an issue, a weight and a result of the array cost each of some configurations.

    Parameters
    ----------
    prices, scenario, shapes
        As of `step_energy`.
    """

    def __init__(self, prices: _Prices, scenario: Scenario, shapes: Shapes) -> None:
        s = shapes
        container, acc_bits = s.act_container_bits, s.acc_bits
        buffer = prices.each("sram.{}B", s.buffer_words * s.lanes * container // 8)
        sums = prices.each("sram.{}B", np.maximum(1, s.tokens_max * acc_bits // 8))
        queue = prices.each("sram.{}B", np.maximum(1, s.result_entries * s.rows * acc_bits // 8))
        # A token that meets a tile: trees, accumulators with their memories, and the word of the lanes.
        row = _trees(prices, s) + prices.each("int{}.add", acc_bits) + 2 * acc_bits * sums
        self._issue = s.rows * row + s.lanes * container * buffer
        self._buffer = buffer
        self._tile_output = 2 * s.rows * acc_bits * queue
        self._shape = {
            "rows": s.rows,
            "lanes": s.lanes,
            "k_max": s.k_max,
            "m_max": s.m_max,
            "container": container,
            "bias": s.bias,
            "word_bits": s.picked({name: bits for name, (_, bits) in WORDS.items()}, "packing"),
            "word_trits": s.picked({name: trits for name, (trits, _) in WORDS.items()}, "packing"),
        }
        self._prices, self._scenario = prices, scenario

    def at(self, chosen: npt.NDArray[np.intp], memory: Floats) -> _ArrayPart:
        """Return those of some configurations, whose activations lie in one kind of memory."""
        prices = self._prices
        return _ArrayPart(
            shape={name: values[chosen] for name, values in self._shape.items()},
            wire_mm=self._scenario.wire_mm,
            issue=self._issue[:, chosen],
            partial=prices.of("int32.add") + 2 * PARTIAL_BITS * memory,
            weight=2 * _REGISTER_BITS * prices.of("register"),
            load=memory + self._buffer[:, chosen],
            output=FLOAT_BITS * memory,
            tile_output=self._tile_output[:, chosen],
            dram=prices.of(f"dram.{self._scenario.dram}"),
            wire=prices.of("wire"),
        )


def _trees(prices: _Prices, shapes: Shapes) -> Floats:
    """Return what one sum of a row's lanes costs."""
    kinds, places = np.unique(np.stack([shapes.lanes, shapes.act_bits]), axis=1, return_inverse=True)
    costs = [
        sum(
            (level.adders * prices.of(level.operation) for level in tree_levels(lanes, bits)),
            np.zeros((3, 1)),
        )
        for lanes, bits in kinds.T.tolist()
    ]
    return np.hstack(costs)[:, places.ravel()]


def _surroundings(
    model: ModelShape, scenario: Scenario, shapes: Shapes, *, node: str, technology: Technology | None
) -> tuple[Floats, Floats]:
    """Return joules and bits from DRAM of all but the matrices on the array."""
    columns = np.stack([getattr(shapes, name) for name in SURROUNDING])
    kinds, places = np.unique(columns, axis=1, return_inverse=True)
    found = []
    for values in kinds.T.tolist():
        config = AcceleratorConfig(**dict(zip(SURROUNDING, values, strict=True)))
        # The packing is that of the matrices; any will do.
        found.append(_surrounding(model, replace(scenario, config=config), node, technology))
    table = np.array(found).T[:, places.ravel()]
    return table[:3], table[3]


@lru_cache(maxsize=4096)
def _surrounding(
    model: ModelShape, scenario: Scenario, node: str, technology: Technology | None
) -> tuple[float, float, float, float]:
    """Return value, low, high and bits from DRAM of all but the matrices on the array of one configuration."""
    table = technology or default_technology()
    tally = Tally()
    count_surroundings(tally, model, scenario, datapath(model, scenario, "ternary"))
    value = low = high = bits = 0.0
    for part in tally.components():
        for operation, count in part.operations.items():
            joules = table.row(node, operation).joules
            value += count * joules.value
            low += count * joules.low
            high += count * joules.high
            bits += count * operation.startswith("dram.")
    return value, low, high, bits
