"""Arrays that a ternary one is compared with: the same dataflow with FP16 or INT8 multipliers.

Both walk the same tiles with as many lanes and rows, under the same scenario, so that a ratio says what ternary
weights buy and nothing else: everything outside the matrices (attention, KV cache, norms, LM head) is alike.

- ``fp16``: FP16 products and tree, FP32 accumulators, weights and activations of 16 bits, nothing quantised.
- ``int8``: INT8 products of 16 bits, a tree that widens from there, exact accumulators, weights of 8 bits;
  activations are quantised and sums dequantised as for ternary weights.
"""

from fractions import Fraction
from functools import lru_cache

from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.errors import InputError
from tritforge.energy.hardware_array import Datapath, ternary_datapath, tree_levels
from tritforge.energy.scenario import PACKINGS, Scenario
from tritforge.models.shapes import ModelShape

#: Arithmetics of the matrices, ternary first.
ARITHMETICS = ("ternary", "fp16", "int8")


def fp16_datapath(config: AcceleratorConfig) -> Datapath:
    """Return rows of FP16 multipliers, an FP16 tree and an FP32 accumulator."""
    return Datapath(
        name="fp16",
        multiply="fp16.mul",
        levels=tree_levels(config.lanes, None),
        accumulate="fp32.add",
        acc_bits=32,
        weight_bits=Fraction(16),
        register_bits=16,
        act_bits=16,
        biased=False,
        quantised=False,
        zero_products=0.0,
    )


def int8_datapath(config: AcceleratorConfig, zero_products: float = 0.0) -> Datapath:
    """Return rows of INT8 multipliers, an exact tree and exact accumulators."""
    # A product lies within 2**14 in magnitude and has 16 bits; k_max of them fit in the bits that their bound needs.
    acc_bits = (config.k_max << 14).bit_length() + 1
    return Datapath(
        name="int8",
        multiply="int8.mul",
        levels=tree_levels(config.lanes, 16),
        accumulate=f"int{acc_bits}.add",
        acc_bits=acc_bits,
        weight_bits=Fraction(8),
        register_bits=8,
        act_bits=8,
        biased=False,
        quantised=True,
        zero_products=zero_products,
    )


def weight_bits(shape: ModelShape, packing: str) -> Fraction:
    """Bits of a ternary weight in memory; ``ideal`` is the information in one, a bit for binary weights."""
    bits = PACKINGS[packing]
    if bits is not None:
        return bits
    # A shape that is not ternary is taken as if it were.
    information = shape.weight_bits if shape.weights != "float16" else 1.584962500721156
    return Fraction(information).limit_denominator(1_000_000)


@lru_cache(maxsize=256)
def _datapath(
    arithmetic: str, config: AcceleratorConfig, bits: Fraction, weights: float, acts: float
) -> Datapath:
    if arithmetic == "fp16":
        return fp16_datapath(config)
    if arithmetic == "int8":
        return int8_datapath(config, acts)
    return ternary_datapath(config, bits, 1 - (1 - weights) * (1 - acts))


def datapath(shape: ModelShape, scenario: Scenario, arithmetic: str) -> Datapath:
    """Return the rows of an array for a scenario.

    Zero weights count for ternary weights alone; zero activation codes for ternary and INT8 weights.

    Raises
    ------
    InputError
        The arithmetic is not one of `ARITHMETICS`.
    """
    if arithmetic not in ARITHMETICS:
        raise InputError(f"arithmetic is {arithmetic!r}; it must be one of {', '.join(ARITHMETICS)}")
    bits = weight_bits(shape, scenario.packing)
    return _datapath(arithmetic, scenario.config, bits, scenario.zero_weights, scenario.zero_acts)
