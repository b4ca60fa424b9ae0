"""What designs at gates are driven with, and what they must answer.

Dot products run as the accelerator's array does: a tile of weights stays for `TOKENS` cycles, one for each token,
then the next tile of the same row follows. A stream is one row of one matrix from some tile on, so that weights,
activations and partial sums are those of that row at that place. Rows are drawn in proportion to the products that
their matrices take, so that the mean over the streams is the mean over the model.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tritforge.accel.codes import I2_CODES
from tritforge.accel.dot_units import DotUnit, FusedFloatDot, IntegerDot, RoundedDot, TernaryDot
from tritforge.accel.errors import InputError
from tritforge.accel.float16 import FloatMultiplier
from tritforge.accel.float_format import FP16, FloatFormat
from tritforge.accel.lone_unit import LoneUnit
from tritforge.rtl.gates.operands import ProductOperands
from tritforge.rtl.gates.simulation import Stimulus, port_bits

#: Cycles that a tile of weights stays: tokens that share a pass over the weights, as in the default configuration.
TOKENS = 16
#: Tiles of a stream.
TILES = 2

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, eq=False)
class DrivenDesign:
    """Stimulus and expected answer.

    Attributes
    ----------
    stimulus
        Bits of the ports.
    output
        Port that is compared.
    expected
        Patterns of that port from cycle `latency` on, shape (cycles, streams).
    latency
        Cycles before the first of them: those that are not counted.
    """

    stimulus: Stimulus
    output: str
    expected: Integers
    latency: int


def patterns(numbers: npt.ArrayLike, form: FloatFormat) -> Integers:
    """Return numbers as patterns of a format, rounded to nearest even."""
    numbers = np.asarray(numbers)
    if form == FP16:
        return numbers.astype(np.float16).view(np.uint16).astype(np.int64)
    return numbers.astype(np.float32).view(np.uint32).astype(np.int64)


@dataclass(frozen=True, kw_only=True)
class _Place:
    """Where a stream begins: matrix, row, first tile, first token."""

    matrix: int
    row: int
    tile: int
    token: int


def _places(
    operands: Sequence[ProductOperands], lanes: int, streams: int, random: np.random.Generator
) -> list[_Place]:
    products = np.array([matrix.trits.size for matrix in operands], dtype=float)
    chosen = random.choice(len(operands), streams, p=products / products.sum())
    places = []
    for index in chosen:
        matrix = operands[index]
        tiles, tokens = matrix.trits.shape[1] // lanes, len(matrix.codes)
        if tiles < TILES or tokens < TOKENS:
            raise InputError(
                f"{matrix.name} has {matrix.trits.shape[1]} inputs and {tokens} tokens; "
                f"{lanes} lanes need {TILES * lanes} and {TOKENS} or more"
            )
        places.append(
            _Place(
                matrix=int(index),
                row=int(random.integers(len(matrix.trits))),
                tile=int(random.integers(tiles - TILES + 1)),
                token=int(random.integers(tokens - TOKENS + 1)),
            )
        )
    return places


def _arrays(unit: DotUnit, matrix: ProductOperands) -> tuple[Integers, Integers]:
    """Return activations and weights as a unit's model takes them."""
    if isinstance(unit, TernaryDot):
        return matrix.codes.astype(np.int64), matrix.trits.astype(np.int64)
    if isinstance(unit, IntegerDot):
        return matrix.codes.astype(np.int64), matrix.int8_weights.astype(np.int64)
    return patterns(matrix.activations, FP16), patterns(matrix.weights, FP16)


def drive_dot(unit: DotUnit, operands: Sequence[ProductOperands], *, streams: int, seed: int) -> DrivenDesign:
    """Drive a dot product.

    Parameters
    ----------
    unit
        The design; its model gives the partial sums and the answer.
    operands
        Products to draw rows from.
    streams
        Rows, a multiple of 64.
    seed
        Of the draw: the same rows for designs with as many lanes.

    Returns
    -------
    DrivenDesign
        Of ``TILES * TOKENS`` cycles, and as many before as the pipeline takes to fill, which are not counted.
        Expected are the sums of those that are counted.

    Raises
    ------
    InputError
        A matrix that is too small for the lanes.
    """
    places = _places(operands, unit.lanes, streams, np.random.default_rng((seed, 2)))
    arrays = [_arrays(unit, matrix) for matrix in operands]
    lanes = unit.lanes
    acts, weights = np.empty((2, TILES, TOKENS, streams, lanes), dtype=np.int64)
    partial = np.empty((TILES, TOKENS, streams), dtype=np.int64)
    running = np.broadcast_to(
        [_first_partial(unit, arrays[place.matrix][1][place.row]) for place in places], (TOKENS, streams)
    ).astype(np.int64)
    first = np.array([place.tile for place in places])
    # All rows from their first tile on, side by side: partial sums come from there.
    for tile in range(int(first.max()) + TILES):
        live = np.flatnonzero(first + TILES > tile)
        here = slice(tile * lanes, (tile + 1) * lanes)
        x = np.stack([arrays[places[s].matrix][0][places[s].token :][:TOKENS, here] for s in live], axis=1)
        w = np.stack([arrays[places[s].matrix][1][places[s].row, here] for s in live])
        w = np.broadcast_to(w, x.shape)
        counted = first[live] <= tile
        step = tile - first[live][counted], slice(None), live[counted]
        # An index array, a slice and an index array: the arrays' axis comes first.
        acts[step], weights[step] = x[:, counted].swapaxes(0, 1), w[:, counted].swapaxes(0, 1)
        partial[step] = running[:, live[counted]].T
        running[:, live] = _signed(unit, unit.model(x, w, running[:, live]))
    cycles = TILES * TOKENS
    acts, weights = acts.reshape(cycles, streams, lanes), weights.reshape(cycles, streams, lanes)
    partials = partial.reshape(cycles, streams)
    answer = unit.model(acts, weights, partials)
    if isinstance(unit, TernaryDot):
        weights = np.array([I2_CODES[-1], I2_CODES[0], I2_CODES[1]], dtype=np.int64)[weights + 1]
    return _driven(
        {"acts": (acts, unit.act_bits, 0), "weights": (weights, unit.weight_bits, 0)}
        | {"partial": (partials, unit.sum_bits, unit.partial_delay)},
        "sum",
        answer,
        unit.latency,
    )


def _first_partial(unit: DotUnit, weights: Integers) -> int:
    """Return what the first tile adds to: the row's bias where the -1 weights owe their ones."""
    biased = isinstance(unit, TernaryDot) and unit.config.negation == "bias"
    return int((weights < 0).sum()) if biased else 0


def _signed(unit: DotUnit, values: Integers) -> Integers:
    """Return patterns as the model takes partial sums: integers signed."""
    if isinstance(unit, (RoundedDot, FusedFloatDot)):
        return values
    half = 1 << (unit.sum_bits - 1)
    return (values ^ half) - half


def _driven(
    ports: dict[str, tuple[Integers, int, int]], output: str, answer: Integers, latency: int
) -> DrivenDesign:
    """Lay operands out in time, each port behind the first by its delay.

    The operands come round again while the pipeline fills, so that what is counted is one whole turn: every operand
    once at every stage.
    """
    cycles = len(answer)
    times = np.arange(cycles + latency)
    bits = {}
    for name, (values, width, delay) in ports.items():
        turned = values[(times - delay) % cycles]
        bits[name] = port_bits(np.moveaxis(turned, -1, 1) if turned.ndim == 3 else turned, width)
    return DrivenDesign(
        stimulus=Stimulus(ports=bits, warm_up=latency), output=output, expected=answer, latency=latency
    )


def drive_unit(
    unit: LoneUnit, operands: Sequence[ProductOperands], *, streams: int, seed: int, fresh: bool
) -> DrivenDesign:
    """Drive an operation alone with operands that it meets in a dot product, or with fresh random ones.

    A multiplication takes activation and weight of one input of a row, whose weight stays for `TOKENS` cycles. An
    addition takes a partial sum and the product that is added to it: activation or 0 and its complement in 8 bits,
    products and sums of INT8 weights in more, FP16 products and rounded sums in floating point.

    Parameters
    ----------
    unit
        The design.
    operands
        Products to draw rows from.
    streams, seed
        As in `drive_dot`.
    fresh
        Both operands uniform and new in every cycle in place of that: all integers, or numbers between -1 and 1.
    """
    random = np.random.default_rng((seed, 3))
    shape = (TILES * TOKENS, streams)
    if fresh and unit.form is None:
        half = 1 << (unit.operand_bits - 1)
        a, b = random.integers(-half, half, (2, *shape))
    elif fresh:
        assert unit.form is not None  # noqa: S101
        a, b = (patterns(random.uniform(-1, 1, shape), unit.form) for _ in range(2))
    else:
        a, b = _met(unit, operands, streams, seed)
    answer = unit.model(a, b)
    width = unit.operand_bits
    return _driven({"a": (a, width, 0), "b": (b, width, 0)}, "result", answer, unit.latency)


def _met(
    unit: LoneUnit, operands: Sequence[ProductOperands], streams: int, seed: int
) -> tuple[Integers, Integers]:
    """Return the operands that a unit meets in a row that is summed one product at a time, token after token."""
    places = _places(operands, 1, streams, np.random.default_rng((seed, 2)))
    shape = (TILES, TOKENS, streams)
    ternary, wide = unit.form is None and unit.operand_bits == 8, unit.form is None
    floating = [] if wide else [(patterns(m.activations, FP16), patterns(m.weights, FP16)) for m in operands]
    a, b = np.empty((2, *shape), dtype=np.int64)
    for stream, place in enumerate(places):
        matrix = operands[place.matrix]
        tokens, inputs = slice(place.token, place.token + TOKENS), slice(place.tile, place.tile + TILES)
        if wide:
            chosen = matrix.trits if ternary and unit.operation == "add" else matrix.int8_weights
            x, w = matrix.codes[tokens].T.astype(np.int64), chosen[place.row, :, np.newaxis].astype(np.int64)
            products = x * w
            before = np.concatenate([np.zeros((1, TOKENS), np.int64), np.cumsum(products, axis=0)])[inputs]
            pair = (x[inputs], np.broadcast_to(w[inputs], (TILES, TOKENS)))
            # Two neighbouring lanes meet in 8 bits; wider adders take the sum so far.
            before = products[np.arange(place.tile, place.tile + TILES) - 1] if ternary else before
            a[:, :, stream], b[:, :, stream] = pair if unit.operation == "mul" else (before, products[inputs])
            continue
        x, w = floating[place.matrix]
        pair = (x[tokens, inputs].T, np.broadcast_to(w[place.row, inputs, np.newaxis], (TILES, TOKENS)))
        a[:, :, stream], b[:, :, stream] = (
            pair if unit.operation == "mul" else _summed(unit, x[tokens], w, place)
        )
    return a.reshape(-1, streams), b.reshape(-1, streams)


def _summed(unit: LoneUnit, x: Integers, w: Integers, place: _Place) -> tuple[Integers, Integers]:
    """Return rounded sums and the products that are added to them, from the row's first input on."""
    form = unit.form
    assert form is not None  # noqa: S101
    end = place.tile + TILES
    products = FloatMultiplier(FP16, form).model(x[:, :end].T, w[place.row, :end, np.newaxis])
    running, before = np.zeros(TOKENS, dtype=np.int64), []
    for product in products:
        before.append(running)
        running = unit.model(running, product)
    return np.array(before[place.tile :]), products[place.tile :]
