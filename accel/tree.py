"""Dot product of a ternary weight row with activations: the portable adder tree."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from amaranth.hdl import Module, Shape, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from tritforge.accel.config import AcceleratorConfig

#: Bits of one ternary weight as a lane reads it, ``{neg, nonzero}``: 0 is ``00``, +1 is ``01``, -1 is ``11``.
TRIT_BITS = 2


class DotTree(wiring.Component):
    """Sum of lanes, each passing ``x``, ``~x`` or 0.

    A lane masks and complements its activation; the adders that follow widen by one bit a level and have a
    register each, so synthesis keeps their carry chains. A lane of weight -1 passes ``~x = -x - 1``: whoever
    uses the sum adds the number of -1 weights (the row bias).

    Parameters
    ----------
    config
        Number of lanes and width of an activation.

    Members
    -------
    acts : In, `lanes` activations side by side, lane 0 in the low bits
    trits : In, `lanes` trits side by side
    sum : Out, signed, `config.dot_bits` wide

    The latency is ``ceil(log2(lanes))`` cycles, the throughput one sum a cycle.
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self.config = config
        super().__init__(
            {
                "acts": In(config.lanes * config.act_bits),
                "trits": In(config.lanes * TRIT_BITS),
                "sum": Out(signed(config.dot_bits)),
            }
        )

    @staticmethod
    def model(acts: npt.ArrayLike, trits: npt.ArrayLike) -> npt.NDArray[np.int64]:
        """Return what the tree computes: ``x``, ``~x`` or 0 summed over the last axis."""
        x, w = np.asarray(acts, dtype=np.int64), np.asarray(trits)
        return np.where(w == 0, 0, np.where(w < 0, ~x, x)).sum(axis=-1, dtype=np.int64)

    def lane(self, index: int) -> Value:
        """Return the signed value that one lane passes."""
        act = self.acts.word_select(index, self.config.act_bits)
        nonzero, neg = self.trits.word_select(index, TRIT_BITS)
        return ((act ^ neg.replicate(len(act))) & nonzero.replicate(len(act))).as_signed()

    def add(self, a: Value, b: Value, level: int, index: int) -> Value:  # noqa: ARG002
        """Return the sum of two neighbours; `level` and `index` say which adder of the tree this is."""
        return a + b

    def elaborate(self, platform: object) -> Module:  # noqa: ARG002
        m = Module()
        values: Sequence[Value] = [self.lane(index) for index in range(self.config.lanes)]
        level = 0
        while len(values) > 1:
            registers = []
            for index in range(0, len(values), 2):
                pair = values[index : index + 2]
                total = self.add(pair[0], pair[1], level, index // 2) if len(pair) == 2 else pair[0]
                register = Signal(Shape(len(total), signed=True), name=f"level{level}_{index // 2}")
                m.d.sync += register.eq(total)
                registers.append(register)
            values = registers
            level += 1
        m.d.comb += self.sum.eq(values[0])
        return m
