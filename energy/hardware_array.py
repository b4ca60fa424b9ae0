"""What the array does for a matrix: adders by level, accumulators, and the bits that it moves.

The array is that of `AcceleratorConfig`: R rows of W lanes. It walks a matrix in tiles of R outputs and W inputs; in
every cycle one position meets one tile, which takes the ``W - 1`` adders of each row's tree and its accumulator.
Lanes and rows that the matrix does not fill are clocked like the others, so they are charged. The width of an adder
is that of its sum: one bit more at every level, and an accumulator has the width that the configuration gives it.
A row's bias is what the first tile adds to, so that it takes no addition of its own.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from math import ceil

from tritforge.accel.codes import BIAS_WORD_BITS
from tritforge.accel.config import AcceleratorConfig
from tritforge.energy.counts import ComponentCount, Term
from tritforge.energy.scenario import Scenario

#: Bits of an activation between the matrices.
FLOAT_BITS = 16
#: Bits of a partial sum that leaves the array when a job is split along its inputs.
PARTIAL_BITS = 32


class Tally:
    """Counts by component and operation, each with the formulas that it is the sum of."""

    def __init__(self) -> None:
        self._terms: dict[str, dict[str, list[Term]]] = {}

    def add(self, component: str, operation: str, count: int, formula: str) -> None:
        """Add to a count; nothing is noted of a count of zero."""
        if count:
            self._terms.setdefault(component, {}).setdefault(operation, []).append((formula, count))

    def components(self) -> tuple[ComponentCount, ...]:
        """Return the counts in the order in which their components came up."""
        return tuple(
            ComponentCount(
                name=name,
                operations={key: sum(count for _, count in terms) for key, terms in operations.items()},
                terms=operations,
            )
            for name, operations in self._terms.items()
        )


@dataclass(frozen=True, kw_only=True)
class AdderLevel:
    """Adders of one width in the tree of a row.

    Attributes
    ----------
    operation
        Addition that one of them does.
    adders
        How many there are.
    half
        Lanes below each of the two operands.
    """

    operation: str
    adders: int
    half: int


@dataclass(frozen=True, kw_only=True)
class Datapath:
    """What one row of the array is made of.

    Attributes
    ----------
    name
        ``ternary``, ``fp16`` or ``int8``.
    multiply
        Operation of a lane, or None where a lane only selects.
    levels
        Adders of the tree.
    accumulate, acc_bits
        Addition of an accumulator, and the bits that it stores.
    weight_bits
        Bits of a weight in memory.
    register_bits, act_bits
        Bits of a weight, and of an activation, as a lane takes it.
    biased
        A bias for each row comes with the weights.
    quantised
        Activations are quantised before the array and sums dequantised after it.
    zero_products
        Share of lanes whose product is zero.
    at_gates
        Products are counted as a whole, each with its part of the tree, of the accumulator's addition and of the
        registers around them, as they are measured at gates; `multiply`, `levels` and `accumulate` then do not count.
    """

    name: str
    multiply: str | None
    levels: tuple[AdderLevel, ...]
    accumulate: str
    acc_bits: int
    weight_bits: Fraction
    register_bits: int
    act_bits: int
    biased: bool
    quantised: bool
    zero_products: float
    at_gates: bool = False


@lru_cache(maxsize=256)
def tree_levels(lanes: int, lane_bits: int | None) -> tuple[AdderLevel, ...]:
    """Adders of a tree, level by level.

    Parameters
    ----------
    lanes
        Operands.
    lane_bits
        Width of an operand; None for floating point, where all additions are alike.
    """
    levels = []
    left, width, half = lanes, lane_bits, 1
    while left > 1:
        # An operand without a neighbour waits in a register; its sum is as narrow as it was, never wider than this.
        width = None if width is None else width + 1
        operation = "fp16.add" if width is None else f"int{width}.add"
        levels.append(AdderLevel(operation=operation, adders=left // 2, half=half))
        left, half = left - left // 2, 2 * half
    return tuple(levels)


def ternary_datapath(
    config: AcceleratorConfig, weight_bits: Fraction, zero_products: float = 0.0
) -> Datapath:
    """Return the rows of this accelerator: lanes that pass ``x``, ``~x`` or 0, a tree, an accumulator."""
    return Datapath(
        name="ternary",
        multiply=None,
        levels=tree_levels(config.lanes, config.act_bits),
        accumulate=f"int{config.acc_bits}.add",
        acc_bits=config.acc_bits,
        weight_bits=weight_bits,
        register_bits=2,
        act_bits=config.act_container_bits,
        biased=config.negation == "bias",
        quantised=True,
        zero_products=zero_products,
    )


def tiles_along(config: AcceleratorConfig, inputs: int) -> tuple[int, int]:
    """Tiles along a matrix's inputs, and the jobs that they are split into where the inputs exceed ``k_max``."""
    whole, rest = divmod(inputs, config.k_max)
    tiles = whole * config.k_tiles(config.k_max) + (config.k_tiles(rest) if rest else 0)
    return tiles, whole + (rest > 0)


def gated(count: int, zero_products: float, half: int) -> int:
    """Additions that are left of `count` when those with a zero operand are held still."""
    if not zero_products:
        return count
    operand: float = 1 - zero_products**half
    return round(count * operand * operand)


def count_matrix(
    tally: Tally,
    scenario: Scenario,
    datapath: Datapath,
    memory: str,
    *,
    shape: tuple[int, int],
    tokens: int,
    loads: int,
    copies: int,
    names: Sequence[str] = ("matrices", "weights"),
) -> None:
    """Count what the array does for some matrices of one shape.

    Parameters
    ----------
    tally
        Takes the counts.
    scenario, datapath
        Choices, and what the rows are made of.
    memory
        Operation of a bit in the activation memory.
    shape
        Inputs n and outputs p.
    tokens
        Positions that pass through one copy.
    loads
        Times that one copy comes from memory.
    copies
        Matrices.
    names
        Components of the arithmetic and of the weights.
    """
    config = scenario.config
    n, p = shape
    arithmetic, weights = names
    row_tiles = config.row_tiles(p)
    tiles, jobs = tiles_along(config, n)
    issues = copies * tokens * row_tiles * tiles
    lanes, rows = config.lanes, config.rows
    which = f", {copies} of {n} x {p}"
    if datapath.at_gates:
        _count_products(tally, datapath, arithmetic, issues, scenario, which)
    elif datapath.multiply:
        useful = 1 - datapath.zero_products
        count = issues * rows * lanes
        tally.add(
            arithmetic, datapath.multiply, round(count * useful) if useful < 1 else count, "i R W" + which
        )
    for level in () if datapath.at_gates else datapath.levels:
        count = gated(issues * rows * level.adders, datapath.zero_products, level.half)
        tally.add(arithmetic, level.operation, count, _LEVEL[level.half] + which)
    if not datapath.at_gates:
        tally.add("accumulators", datapath.accumulate, issues * rows, "i R" + which)
    outputs = copies * tokens * p
    if jobs > 1:
        partial = "int32.add" if datapath.quantised else "fp32.add"
        tally.add("accumulators", partial, (jobs - 1) * outputs, "(jobs - 1) N p" + which)
        tally.add(
            "partial_sums", memory, 2 * PARTIAL_BITS * (jobs - 1) * outputs, "2 x 32 (jobs - 1) N p" + which
        )

    tile_weights = copies * loads * row_tiles * tiles * rows * lanes
    bits = ceil(tile_weights * datapath.weight_bits)
    tally.add(weights, f"dram.{scenario.dram}", bits, "X rt kt R W bits per weight" + which)
    if datapath.biased:
        biases = copies * loads * row_tiles * jobs * rows * BIAS_WORD_BITS
        tally.add(weights, f"dram.{scenario.dram}", biases, "X rt jobs R 16" + which)
        bits += biases
    # Once into the register in which a tile is assembled, once into that of the tile at work, which is part of the
    # lanes where these are measured at gates.
    writes = 1 if datapath.at_gates else 2
    tally.add(
        "weight_registers",
        "register",
        writes * datapath.register_bits * tile_weights,
        f"{writes} X rt kt R W bits" + which,
    )

    splits = -(-p // config.m_max)
    loaded = copies * tokens * n * splits * datapath.act_bits
    tally.add("activations", memory, loaded, "N n bits out of the activation memory" + which)
    buffer = f"sram.{config.buffer_words * lanes * datapath.act_bits // 8}B"
    tally.add("activations", buffer, loaded, "N n bits into the array's buffer" + which)
    tally.add(
        "activations",
        buffer,
        issues * lanes * datapath.act_bits,
        "i W bits out of the array's buffer" + which,
    )
    tally.add("activations", memory, outputs * FLOAT_BITS, "16 N p into the activation memory" + which)

    accumulators = f"sram.{max(1, config.tokens_max * datapath.acc_bits // 8)}B"
    stored = 2 * issues * rows * datapath.acc_bits
    tally.add(
        "partial_sums", accumulators, stored, "2 i R bits, a read and a write of each accumulator" + which
    )
    queue = f"sram.{max(1, config.result_entries * rows * datapath.acc_bits // 8)}B"
    queued = 2 * copies * tokens * jobs * row_tiles * rows * datapath.acc_bits
    tally.add("partial_sums", queue, queued, "2 N jobs rt R bits through the result queue" + which)
    tally.add(
        "wires", "wire", round((bits + loaded) * scenario.wire_mm), "(weight bits + N n bits) mm" + which
    )


def _count_products(
    tally: Tally, datapath: Datapath, arithmetic: str, issues: int, scenario: Scenario, which: str
) -> None:
    """Count products with all that is measured with them, and apart what the rows share: activations' registers."""
    config = scenario.config
    tally.add(arithmetic, f"{datapath.name}.mac", issues * config.rows * config.lanes, "i R W" + which)
    tally.add(arithmetic, f"{datapath.name}.act", issues * config.lanes, "i W" + which)


_LEVEL = {1 << level: f"i R x adders of level {level + 1}" for level in range(11)}
