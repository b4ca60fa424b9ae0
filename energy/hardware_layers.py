"""What surrounds the matrices: quantisation, norms, rotary positions, attention, the feed-forward network's middle.

All of it is FP16, a scalar operation a number, as the NumPy model computes it; changes of a sign are free, and so are
magnitudes. Numbers between two steps go through the activation memory: each step reads its operands there and writes
its result.
"""

from tritforge.accel.errors import InputError
from tritforge.energy.hardware_array import FLOAT_BITS, Tally
from tritforge.energy.scenario import Scenario
from tritforge.models.shapes import ModelShape

#: Operations of an activation function on one number.
ACTIVATIONS: dict[str, dict[str, int]] = {
    "relu": {"fp16.max": 1},
    "relu2": {"fp16.max": 1, "fp16.mul": 1},
    "silu": {"fp16.exp": 1, "fp16.add": 1, "fp16.div": 1},
    # x sigmoid(2 c (x + a x^3)), which is the form with tanh.
    "gelu": {"fp16.mul": 4, "fp16.add": 2, "fp16.exp": 1, "fp16.div": 1},
}
ACTIVATIONS |= {
    "swish": ACTIVATIONS["silu"],
    "gelu_new": ACTIVATIONS["gelu"],
    "gelu_pytorch_tanh": ACTIVATIONS["gelu"],
    "gelu_fast": ACTIVATIONS["gelu"],
}

#: Of the gated recurrence of MMfreeLM (HGRN), a number of the state each: gates f and i, the update, the output gate.
RECURRENCE = {"fp16.exp": 3, "fp16.div": 3, "fp16.add": 5, "fp16.mul": 4}


def activation_name(shape: ModelShape) -> tuple[str, str | None]:
    """Return the activation function to count, and a note where it had to be assumed.

    Raises
    ------
    InputError
        The shape names one that is not known.
    """
    if shape.hidden_act is None:
        assumed = "silu" if shape.ffn_gated else "gelu"
        return assumed, f"hidden_act is unknown; {assumed} is counted"
    if shape.hidden_act not in ACTIVATIONS:
        raise InputError(
            f"shape {shape.name!r}: hidden_act is {shape.hidden_act!r}; "
            f"its operations are known for {', '.join(ACTIVATIONS)}"
        )
    return shape.hidden_act, None


def count_quantise(
    tally: Tally,
    memory: str,
    vectors: int,
    n: int,
    symbols: str,
    *,
    component: str = "quantisation",
    bits: int = 8,
) -> None:
    """Count the quantisation of vectors of n numbers to codes: largest magnitude, scale, product, rounding."""
    tally.add(component, "fp16.max", vectors * n, f"{symbols}: n - 1 to the peak, 1 to its floor")
    tally.add(component, "fp16.div", vectors, f"{symbols}: reciprocal of the peak")
    tally.add(component, "fp16.mul", vectors * (n + 1), f"{symbols}: scale, and n products")
    tally.add(component, "fp16.convert", vectors * n, f"{symbols}: n roundings")
    moved = vectors * n * (2 * FLOAT_BITS + bits)
    tally.add("activations", memory, moved, f"{symbols}: two reads of 16, a write of {bits}")


def count_dequantise(tally: Tally, vectors: int, n: int, symbols: str) -> None:
    """Count the dequantisation of vectors of n sums: a product of scales, then a division a number."""
    tally.add("dequantisation", "fp16.mul", vectors, f"{symbols}: product of the scales")
    tally.add("dequantisation", "fp16.convert", vectors * n, f"{symbols}: n sums to floating point")
    tally.add("dequantisation", "fp16.div", vectors * n, f"{symbols}: n divisions")


def count_norm(tally: Tally, memory: str, vectors: int, n: int, symbols: str) -> None:
    """Count root-mean-square norms of vectors of n numbers, each times its gain."""
    tally.add("norms", "fp16.mul", 3 * vectors * n, f"{symbols}: squares, scale, gain")
    tally.add("norms", "fp16.add", vectors * n, f"{symbols}: n - 1 of the mean, 1 of epsilon")
    tally.add("norms", "fp16.div", 2 * vectors, f"{symbols}: mean, reciprocal of the root")
    tally.add("norms", "fp16.sqrt", vectors, f"{symbols}: root")
    tally.add("activations", memory, 3 * FLOAT_BITS * vectors * n, f"{symbols}: two reads, a write of 16")


def count_attention(tally: Tally, shape: ModelShape, scenario: Scenario, memory: str) -> None:
    """Count rotary positions, scores, softmax, their products with the values, and the cache."""
    layers, heads, groups, d = (
        shape.num_hidden_layers,
        shape.num_attention_heads,
        shape.num_key_value_heads,
        shape.head_dim,
    )
    queries = layers * scenario.tokens * heads
    stored = layers * scenario.tokens * 2 * groups
    pairs = layers * scenario.pairs * heads
    keyed = layers * scenario.keys_read * 2 * groups
    rows, whole = scenario.config.rows, scenario.attention == "int8"
    operand = 8 if whole else FLOAT_BITS

    rotated = queries + stored // 2
    tally.add("rope", "fp16.mul", 2 * rotated * d, "L N (H + G) 2 d")
    tally.add("rope", "fp16.add", rotated * d, "L N (H + G) d")
    tally.add("activations", memory, 2 * FLOAT_BITS * rotated * d, "rope: a read and a write of 16")

    multiply = "int8.mul" if whole else "fp16.mul"
    score = f"int{16 + (d - 1).bit_length()}.add" if whole else "fp16.add"
    mix = f"int{16 + (scenario.context - 1).bit_length()}.add" if whole else "fp16.add"
    tally.add("attention", multiply, 2 * pairs * d, "2 L P H d")
    tally.add("attention", score, pairs * (d - 1), "L P H (d - 1), queries with keys")
    tally.add("attention", mix, (pairs - queries) * d, "L H (P - N) d, scores with values")
    tally.add("attention", "fp16.mul", pairs, "L P H, scores by the root of d")
    if whole:
        count_quantise(tally, memory, queries, d, "queries L N H, n = d", component="attention")
        tally.add(
            "attention", "fp16.convert", 2 * pairs + queries * d, "L P H scores, L P H shares, L N H d sums"
        )
        tally.add("attention", "fp16.mul", pairs + queries * d, "L P H shares, L N H d sums to their scales")

    tally.add("softmax", "fp16.max", pairs - queries, "L H (P - N)")
    tally.add("softmax", "fp16.add", 2 * pairs - queries, "L P H less the peak, L H (P - N) of the sum")
    tally.add("softmax", "fp16.exp", pairs, "L P H")
    tally.add("softmax", "fp16.div", pairs, "L P H")

    # Keys and values stand in the array as weights do; queries and shares stream past its rows.
    tally.add("weight_registers", "register", 2 * operand * keyed * d, "2 L K 2 G d bits of keys and values")
    tally.add("activations", memory, operand * -(-pairs * d // rows), "attention: L P H d / R queries")
    tally.add("activations", memory, operand * pairs * -(-d // rows), "attention: L P H d / R shares")
    tally.add(
        "activations", memory, 3 * FLOAT_BITS * pairs, "attention: scores written, read, shares written"
    )
    tally.add("activations", memory, FLOAT_BITS * queries * d, "attention: L N H d written")
    _count_cache(tally, scenario, memory, stored, keyed, d)


def _count_cache(tally: Tally, scenario: Scenario, memory: str, stored: int, keyed: int, d: int) -> None:
    bits, dram = scenario.key_bits, f"dram.{scenario.dram}"
    scale = 0
    if bits < FLOAT_BITS:
        scale = FLOAT_BITS
        count_quantise(tally, memory, stored, d, "keys and values L N 2 G, n = d", component="kv_codes")
        if scenario.attention == "fp16":
            tally.add("kv_codes", "fp16.convert", keyed * d, "L K 2 G d read")
            tally.add("kv_codes", "fp16.mul", keyed * d, "L K 2 G d to their scale")
    tally.add("kv_cache", dram, stored * (d * bits + scale), "L N 2 G (d bits + scale) written")
    tally.add("kv_cache", dram, keyed * (d * bits + scale), "L K 2 G (d bits + scale) read")


def count_recurrence(tally: Tally, shape: ModelShape, scenario: Scenario, memory: str) -> None:
    """Count the gated recurrence that stands in the place of attention, and its state."""
    numbers = shape.num_hidden_layers * scenario.tokens * shape.hidden_size
    for operation, times in RECURRENCE.items():
        tally.add("recurrence", operation, times * numbers, f"{times} L N h")
    tally.add("activations", memory, 5 * FLOAT_BITS * numbers, "recurrence: four reads, a write of 16")
    # A sequence's state waits behind the chip while other blocks run.
    visits = shape.num_hidden_layers * scenario.batch
    if scenario.phase == "prefill":
        visits *= -(-scenario.context // scenario.config.tokens_max)
    bits = 2 * FLOAT_BITS * visits * shape.hidden_size
    tally.add("kv_cache", f"dram.{scenario.dram}", bits, "2 x 16 L h a sequence and block, state")


def count_feed_forward(tally: Tally, shape: ModelShape, tokens: int, memory: str) -> None:
    """Count activation function and gate."""
    numbers = shape.num_hidden_layers * tokens * shape.num_experts_per_tok * shape.intermediate_size
    for operation, times in ACTIVATIONS[activation_name(shape)[0]].items():
        tally.add("activation", operation, times * numbers, f"{times} L N k f")
    reads = 1
    if shape.ffn_gated:
        tally.add("activation", "fp16.mul", numbers, "L N k f, gate")
        reads = 2
    moved = (reads + 1) * FLOAT_BITS * numbers
    tally.add("activations", memory, moved, "L N k f, activation: reads and a write of 16")


def count_residuals(tally: Tally, shape: ModelShape, tokens: int, memory: str) -> None:
    """Count the two sums with the residual stream in a layer."""
    numbers = 2 * shape.num_hidden_layers * tokens * shape.hidden_size
    tally.add("residuals", "fp16.add", numbers, "2 L N h")
    tally.add("activations", memory, 3 * FLOAT_BITS * numbers, "2 L N h, residuals: two reads, a write of 16")


def count_router(tally: Tally, shape: ModelShape, tokens: int) -> None:
    """Count the choice of experts: scores, the k best, softmax over them, and the weighted sum of their outputs."""
    h, experts, active = shape.hidden_size, shape.num_local_experts, shape.num_experts_per_tok
    positions = shape.num_hidden_layers * tokens
    tally.add("router", "fp16.mul", positions * experts * h, "L N E h, scores")
    tally.add("router", "fp16.add", positions * experts * (h - 1), "L N E (h - 1), scores")
    compared = sum(experts - 1 - chosen for chosen in range(active))
    tally.add("router", "fp16.max", positions * compared, "L N k searches among those left")
    tally.add("router", "fp16.exp", positions * active, "L N k")
    tally.add("router", "fp16.add", positions * (2 * active - 1), "L N (2 k - 1), softmax")
    tally.add("router", "fp16.div", positions * active, "L N k")
    tally.add("router", "fp16.mul", positions * active * h, "L N k h, outputs by their shares")
    tally.add("router", "fp16.add", positions * (active - 1) * h, "L N (k - 1) h, sum of the outputs")
