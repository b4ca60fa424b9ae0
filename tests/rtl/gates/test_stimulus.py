"""What designs at gates are driven with is a row of a product at its place, in its time."""

import numpy as np
import numpy.typing as npt
import pytest

from tritforge.accel.codes import I2_CODES
from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.dot_units import FusedFloatDot, IntegerDot, TernaryDot
from tritforge.accel.errors import InputError
from tritforge.accel.float_format import FP16
from tritforge.accel.lone_unit import LoneUnit
from tritforge.rtl.gates.operands import ProductOperands, random_operands
from tritforge.rtl.gates.simulation import port_values
from tritforge.rtl.gates.stimulus import TILES, TOKENS, DrivenDesign, drive_dot, drive_unit, patterns

CONFIG = AcceleratorConfig(lanes=4, act_port_bits=32, k_max=64)
STREAMS = 64
OPERANDS = [
    random_operands(1, tokens=20, inputs=24, outputs=5),
    random_operands(2, tokens=18, inputs=12, outputs=7),
]


def lanes_of(driven: DrivenDesign, port: str, width: int) -> npt.NDArray[np.int64]:
    """Patterns of a port's lanes in the order of time, shape (cycles, lanes, streams)."""
    bits = driven.stimulus.ports[port]
    return np.stack(
        [port_values(bits[:, start : start + width]) for start in range(0, bits.shape[1], width)], axis=1
    )


def find_row(
    operands: list[ProductOperands], weights: npt.NDArray[np.int64], lanes: int
) -> tuple[int, int, int]:
    """Matrix, row and first tile whose trits are those of two tiles of a stream; shape of weights (2, lanes)."""
    places = [
        (index, row, tile)
        for index, matrix in enumerate(operands)
        for row in range(len(matrix.trits))
        for tile in range(matrix.trits.shape[1] // lanes - TILES + 1)
        if np.array_equal(
            matrix.trits[row, tile * lanes : (tile + TILES) * lanes].reshape(TILES, lanes), weights
        )
    ]
    assert len(places) == 1
    return places[0]


def test_a_stream_is_a_row_with_the_sums_of_its_tiles_before() -> None:
    unit = TernaryDot(CONFIG)
    driven = drive_dot(unit, OPERANDS, streams=STREAMS, seed=3)
    cycles = TILES * TOKENS
    assert driven.stimulus.cycles == cycles + unit.latency
    assert driven.stimulus.warm_up == unit.latency == driven.latency
    acts = (lanes_of(driven, "acts", 8)[:cycles] ^ 128) - 128
    decode = {code: trit for trit, code in I2_CODES.items()}
    weights = np.vectorize(decode.__getitem__)(lanes_of(driven, "weights", 2)[:cycles])
    late = np.arange(cycles) + unit.partial_delay
    partial = port_values(driven.stimulus.ports["partial"], signed=True)[late]
    used = set()
    for stream in range(STREAMS):
        held = weights[:, :, stream].reshape(TILES, TOKENS, 4)
        assert np.array_equal(held, np.broadcast_to(held[:, :1], held.shape))
        index, row, tile = find_row(OPERANDS, held[:, 0], 4)
        used.add((index, row))
        matrix = OPERANDS[index]
        here = acts[:, :, stream].reshape(TILES, TOKENS, 4)
        starts = [
            token
            for token in range(len(matrix.codes) - TOKENS + 1)
            if np.array_equal(matrix.codes[token : token + TOKENS, tile * 4 : tile * 4 + 4], here[0])
        ]
        assert len(starts) == 1
        codes = matrix.codes[starts[0] : starts[0] + TOKENS].astype(int)
        for step in range(TILES):
            end = (tile + step) * 4
            exact = codes[:, :end] @ matrix.trits[row, :end].astype(int)
            # What the lanes owe has come with the bias; what later lanes will owe is in it already.
            ahead = (matrix.trits[row, end:] < 0).sum()
            assert np.array_equal(partial[step * TOKENS : (step + 1) * TOKENS, stream], exact + ahead)
    assert {index for index, _ in used} == {0, 1}
    assert len(used) > 8


def test_expected_sums_are_the_products() -> None:
    unit = IntegerDot(4)
    driven = drive_dot(unit, OPERANDS[:1], streams=STREAMS, seed=4)
    cycles = TILES * TOKENS
    acts = (lanes_of(driven, "acts", 8)[:cycles] ^ 128) - 128
    weights = (lanes_of(driven, "weights", 8)[:cycles] ^ 128) - 128
    late = np.arange(cycles) + unit.partial_delay
    partial = port_values(driven.stimulus.ports["partial"], signed=True)[late]
    signed = (driven.expected ^ (1 << 31)) - (1 << 31)
    assert np.array_equal(signed, partial + (acts * weights).sum(axis=1))
    assert np.abs(weights).max() == 127


def test_operands_come_round_again() -> None:
    unit = FusedFloatDot(2)
    driven = drive_dot(unit, OPERANDS[:1], streams=STREAMS, seed=5)
    for port, delay in (("acts", 0), ("weights", 0), ("partial", unit.partial_delay)):
        bits = driven.stimulus.ports[port]
        period = TILES * TOKENS
        again = bits[period + delay : period + unit.latency]
        assert np.array_equal(bits[delay : unit.latency], again)


@pytest.mark.parametrize(
    ("operation", "bits", "product"), [("mul", 8, True), ("add", 8, False), ("add", 32, False)]
)
def test_a_whole_unit_alone_meets_operands_of_a_row(operation: str, bits: int, product: bool) -> None:
    unit = LoneUnit(operation, bits=bits)
    driven = drive_unit(unit, OPERANDS, streams=STREAMS, seed=6, fresh=False)
    a, b = (port_values(driven.stimulus.ports[name], signed=True)[: TILES * TOKENS] for name in "ab")
    exact = a * b if product else a + b
    assert np.array_equal(driven.expected, exact & ((1 << unit.result_bits) - 1))
    if product:
        assert np.array_equal(b[:TOKENS], np.broadcast_to(b[:1], (TOKENS, STREAMS)))
    if bits == 32:
        assert np.abs(a).max() > 1 << 14
    assert np.unique(a).size > 40


def test_a_float_unit_alone_meets_rounded_sums() -> None:
    unit = LoneUnit("add", form=FP16, registers=("round",))
    driven = drive_unit(unit, OPERANDS[:1], streams=STREAMS, seed=7, fresh=False)
    a, b = (
        port_values(driven.stimulus.ports[name])[: TILES * TOKENS].astype(np.uint16).view(np.float16)
        for name in "ab"
    )
    expected = driven.expected.astype(np.uint16).view(np.float16)
    assert np.array_equal(expected, a + b)
    # A stream's second tile begins with the sum that its first one ended with.
    assert np.array_equal(a[TOKENS:], expected[:TOKENS])


def test_fresh_operands_are_new_in_every_cycle() -> None:
    driven = drive_unit(LoneUnit("add", bits=8), OPERANDS, streams=STREAMS, seed=8, fresh=True)
    a = port_values(driven.stimulus.ports["a"], signed=True)
    assert (a.min(), a.max()) == (-128, 127)
    assert (a[1] != a[0]).mean() > 0.9


def test_patterns_are_numpys() -> None:
    numbers = np.array([1.0, -2.5, 1e-7, 70000.0])
    with np.errstate(over="ignore"):
        assert patterns(numbers, FP16).tolist() == numbers.astype(np.float16).view(np.uint16).tolist()


def test_a_matrix_that_is_too_small_is_refused() -> None:
    message = "random has 24 inputs and 20 tokens; 16 lanes need 32 and 16 or more"
    with pytest.raises(InputError, match=f"^{message}$"):
        drive_dot(IntegerDot(16), OPERANDS[:1], streams=STREAMS, seed=9)
