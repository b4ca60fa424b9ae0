"""The ``hardware`` accounting: what this accelerator, and what surrounds it, does for a model.

Unlike ``paper`` it counts all that a token needs: the adders of the configured tree with their widths, accumulators,
quantisation and dequantisation, norms, rotary positions, attention with a cache, the feed-forward network's middle,
residuals, router, LM head and embedding, and every bit that moves: weights from DRAM as they are packed, activations
and partial sums through on-chip memory, keys and values, registers and wires.

Dataflow: positions pass through all layers in blocks of ``tokens_max``, so that every block streams the
weights once and activations stay on the chip; keys and values lie in DRAM, and a block of queries reads those
that it sees once for all heads of a group. Experts share the positions of a block as evenly as can be: a block
of t positions meets ``min(E, t k)`` experts.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial

from tritforge.energy.accounting import EnergyResult, price
from tritforge.energy.baselines import datapath
from tritforge.energy.counts import ComponentCount
from tritforge.energy.hardware_array import FLOAT_BITS, Datapath, Tally
from tritforge.energy.hardware_layers import (
    activation_name,
    count_attention,
    count_dequantise,
    count_feed_forward,
    count_norm,
    count_quantise,
    count_recurrence,
    count_residuals,
    count_router,
)
from tritforge.energy.hardware_matrices import head_matrix, layer_matrices
from tritforge.energy.scenario import Scenario
from tritforge.energy.technology import Technology, TechnologyRow, default_technology
from tritforge.models.shapes import ModelShape

#: What the ``hardware`` accounting leaves out, for whoever reads its totals.
LEFT_OUT = (
    "control, clock tree, leakage and idle power, and DRAM refresh: time does not enter",
    "stalls: an array that waits is charged nothing",
    "sampling of the next token, and text to and from tokens",
    "rotary tables, and the scales of the matrices (one number each)",
    "how the bits of real data switch: a row is the energy of an average operation",
)

#: Fields of a configuration that what surrounds ternary matrices depends on.
SURROUNDING = ("tokens_max", "rows", "act_bits")

#: Symbols of the formulas, with what they stand for.
SYMBOLS = {
    "L": "layers",
    "N": "positions that pass through the layers",
    "P": "positions times the positions that each sees",
    "K": "cached positions that are read, over all sequences and blocks",
    "X": "passes over the weights (blocks)",
    "Z": "positions at which the LM head is computed",
    "h": "hidden size",
    "f": "intermediate size",
    "H": "query heads",
    "G": "key and value heads",
    "d": "width of a head",
    "V": "vocabulary",
    "E": "experts",
    "k": "experts that a token passes through",
    "R": "rows of the array",
    "W": "lanes of a row",
    "T": "positions of a block",
}


def activation_memory(shape: ModelShape, scenario: Scenario) -> str:
    """Name the memory of activations: a block's widest input and output, up to a power of two of bytes."""
    widest = max(shape.hidden_size, shape.intermediate_size, shape.num_attention_heads * shape.head_dim)
    size = 2 * scenario.config.tokens_max * widest * FLOAT_BITS // 8
    return f"sram.{1 << (size - 1).bit_length()}B"


def count_hardware(
    shape: ModelShape, scenario: Scenario, arithmetic: str = "ternary", *, at_gates: bool = False
) -> tuple[ComponentCount, ...]:
    """Count operations and moved bits.

    Parameters
    ----------
    shape
        Shape of the model; the kind of its weights does not matter.
    scenario
        What runs, and on what.
    arithmetic
        ``ternary``, ``fp16`` or ``int8`` matrices.
    at_gates
        Count the array's products as a whole, for rows that are measured at gates.

    Raises
    ------
    InputError
        An arithmetic or an activation function that is not known.
    """
    rows = replace(datapath(shape, scenario, arithmetic), at_gates=at_gates)
    tally = Tally()
    memory = activation_memory(shape, scenario)
    for matrix in layer_matrices(shape, scenario):
        matrix.count(tally, scenario, rows, memory)
    count_surroundings(tally, shape, scenario, rows)
    head = head_matrix(shape, scenario) if rows.name != "fp16" else None
    if head:
        head.count(tally, scenario, rows, memory)
    return tally.components()


def count_surroundings(tally: Tally, shape: ModelShape, scenario: Scenario, rows: Datapath) -> None:
    """Count all but the matrices on the array; of a ternary accelerator, it depends on ``SURROUNDING`` alone."""
    memory = activation_memory(shape, scenario)
    tokens, layers, h = scenario.tokens, shape.num_hidden_layers, shape.hidden_size
    if rows.quantised:
        _count_scaling(tally, shape, scenario, memory, rows.act_bits)
    if shape.mixer == "attention":
        count_attention(tally, shape, scenario, memory)
    else:
        count_recurrence(tally, shape, scenario, memory)
    count_norm(tally, memory, 2 * layers * tokens, h, "2 L N, n = h")
    gains = 2 * h
    if shape.sub_norms:
        mixed = h if shape.mixer == "hgrn" else shape.num_attention_heads * shape.head_dim
        count_norm(tally, memory, layers * tokens, mixed, "L N, n = H d")
        inner = shape.num_experts_per_tok
        count_norm(tally, memory, layers * tokens * inner, shape.intermediate_size, "L N k, n = f")
        gains += mixed + shape.intermediate_size
    count_feed_forward(tally, shape, tokens, memory)
    count_residuals(tally, shape, tokens, memory)
    if shape.num_local_experts > 1:
        count_router(tally, shape, tokens)
        gains += shape.num_local_experts * h
    dram = f"dram.{scenario.dram}"
    tally.add(
        "weights", dram, FLOAT_BITS * layers * scenario.blocks * gains, "16 L X gains of norms, and router"
    )
    _count_head(tally, shape, scenario, rows, memory)


def _count_scaling(tally: Tally, shape: ModelShape, scenario: Scenario, memory: str, bits: int) -> None:
    positions = shape.num_hidden_layers * scenario.tokens
    # Inputs by what they are the input of: q, k and v (or the gates) share one, gate and up another.
    shared: dict[tuple[str, int], int] = {}
    for linear in shape.linears:
        last = linear.name.endswith(("o_proj", "down_proj"))
        group = linear.name if last else linear.name.split(".", maxsplit=1)[0]
        again = scenario.requantise or (group, linear.inputs) not in shared
        # Every expert of a token takes the same input, but each makes its own for the matrix that follows.
        vectors = linear.active if last or scenario.requantise else 1
        shared[group, linear.inputs] = shared.get((group, linear.inputs), 0) + vectors * again
    for (group, n), vectors in shared.items():
        what = f"L N x {vectors} for {group}, n = {n}"
        count_quantise(tally, memory, positions * vectors, n, what, bits=bits)
    outputs = sum(linear.active * linear.outputs for linear in shape.linears)
    matrices = sum(linear.active for linear in shape.linears)
    tally.add("dequantisation", "fp16.mul", positions * matrices, "L N matrices: product of the scales")
    tally.add("dequantisation", "fp16.convert", positions * outputs, "L N sum of p: sums to floating point")
    tally.add("dequantisation", "fp16.div", positions * outputs, "L N sum of p: divisions")


def _count_head(tally: Tally, shape: ModelShape, scenario: Scenario, rows: Datapath, memory: str) -> None:
    positions, h = scenario.logit_positions, shape.hidden_size
    count_norm(tally, memory, positions, h, "Z, n = h")
    dram = f"dram.{scenario.dram}"
    if shape.vocab_size is None:
        return
    vocabulary = shape.vocab_size
    tally.add("embedding", dram, FLOAT_BITS * scenario.tokens * h, "16 N h")
    if shape.lm_head_ternary and rows.name != "fp16":
        count_quantise(tally, memory, positions, h, "Z, n = h")
        count_dequantise(tally, positions, vocabulary, "Z, n = V")
        return
    passes = -(-positions // scenario.config.tokens_max)
    tally.add("lm_head", "fp16.mul", positions * vocabulary * h, "Z V h")
    tally.add("lm_head", "fp16.add", positions * vocabulary * (h - 1), "Z V (h - 1)")
    weights = FLOAT_BITS * passes * vocabulary * h
    tally.add("lm_head_weights", dram, weights, "16 V h for each block of Z")
    tally.add("weight_registers", "register", 2 * weights, "2 x 16 V h for each block of Z, LM head")
    moved = positions * (h * scenario.config.row_tiles(vocabulary) + vocabulary)
    tally.add("activations", memory, FLOAT_BITS * moved, "16 Z (h V / R + V), LM head")
    tally.add("wires", "wire", round(weights * scenario.wire_mm), "16 V h mm for each block of Z, LM head")


def notes(shape: ModelShape, scenario: Scenario) -> tuple[str, ...]:
    """Say what was assumed where the shape does not say, and what could not be counted."""
    found = [activation_name(shape)[1]]
    if shape.max_position_embeddings and scenario.context > shape.max_position_embeddings:
        found.append(
            f"the context of {scenario.context} exceeds the model's {shape.max_position_embeddings} positions"
        )
    if shape.vocab_size is None:
        found.append("vocab_size is unknown; LM head and embedding are not counted")
    if shape.act_bits and scenario.config.act_bits not in shape.act_bits:
        published = " or ".join(str(bits) for bits in shape.act_bits)
        found.append(
            f"the model is published with activations of {published} bits; {scenario.config.act_bits} run"
        )
    if shape.weights != "ternary":
        found.append(f"the model's weights are {shape.weights}; the same shape is counted with ternary ones")
    if scenario.config.datapath != "tree":
        found.append(
            f"the datapath is {scenario.config.datapath}; its additions are counted as those of the tree"
        )
    jobs = -(-max(linear.inputs for linear in shape.linears) // scenario.config.k_max)
    if jobs > 1:
        found.append(
            f"inputs exceed the k_max of {scenario.config.k_max}: up to {jobs} jobs a matrix, "
            "their sums added outside"
        )
    return tuple(note for note in found if note)


def symbols(shape: ModelShape, scenario: Scenario) -> dict[str, float]:
    """Return the numbers behind the symbols of the formulas."""
    values: dict[str, float] = {
        "L": shape.num_hidden_layers,
        "N": scenario.tokens,
        "P": scenario.pairs,
        "K": scenario.keys_read,
        "X": scenario.blocks,
        "Z": scenario.logit_positions,
        "h": shape.hidden_size,
        "f": shape.intermediate_size,
        "H": shape.num_attention_heads,
        "G": shape.num_key_value_heads,
        "d": shape.head_dim,
        "E": shape.num_local_experts,
        "k": shape.num_experts_per_tok,
        "R": scenario.config.rows,
        "W": scenario.config.lanes,
        "T": scenario.config.tokens_max,
    }
    return values | ({"V": shape.vocab_size} if shape.vocab_size else {})


def hardware_energy(
    shape: ModelShape,
    scenario: Scenario | None = None,
    *,
    arithmetic: str = "ternary",
    node: str = "7nm",
    technology: Technology | None = None,
) -> EnergyResult:
    """Energy of a model on the accelerator, or on a baseline of the same dataflow.

    Parameters
    ----------
    shape
        Shape of the model.
    scenario
        What runs, and on what; a prefill of 512 tokens on the default configuration unless given.
    arithmetic
        ``ternary``, or the baselines ``fp16`` and ``int8``.
    node
        Technology node.
    technology
        Table of rows; the one of the package unless given.

    Returns
    -------
    EnergyResult
        Of the whole prefill, or of one decoding step for every sequence of the batch.

    Raises
    ------
    InputError
        An arithmetic, a node, a DRAM or an activation function that is not known.
    """
    scenario = scenario or Scenario()
    table = technology or default_technology()
    counts = count_hardware(shape, scenario, arithmetic)
    return hardware_result(
        shape, scenario, arithmetic, counts, accounting="hardware", node=node, row_of=partial(table.row, node)
    )


def hardware_result(
    shape: ModelShape,
    scenario: Scenario,
    arithmetic: str,
    counts: Iterable[ComponentCount],
    *,
    accounting: str,
    node: str,
    row_of: Callable[[str], TechnologyRow],
) -> EnergyResult:
    """Return the result of an accounting of this dataflow.

    Parameters
    ----------
    shape, scenario, arithmetic
        What was counted.
    counts
        Of `count_hardware`.
    accounting, node
        What the result is called.
    row_of
        Returns the row of an operation, as `price` takes it.
    """
    return EnergyResult(
        model=shape.name,
        accounting=accounting,
        arithmetic=arithmetic,
        node=node,
        phase=scenario.phase,
        context=scenario.context,
        batch=scenario.batch,
        components=price(counts, row_of),
        options=scenario.to_dict(),
        symbols=symbols(shape, scenario),
        notes=notes(shape, scenario),
    )
