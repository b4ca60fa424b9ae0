"""What every datapath has in common: operands in, a dot product out, and who owes the +1 of a negation."""

import numpy as np
import numpy.typing as npt
from amaranth.hdl import Cat, Module, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from tritforge.accel.codes import TRIT_BITS
from tritforge.accel.config import AcceleratorConfig

#: Registers of one value that synthesis can be made to keep apart.
COPIES = 8


class VendorCells:
    """Platform for which a datapath instantiates the cells of its target.

    Elaborated for no platform, as Amaranth's simulator does, a datapath describes the same behaviour with operators.
    """


class Datapath(wiring.Component):
    """Sum of ternary products over the lanes, one a cycle.

    A lane of weight -1 passes ``~x = -x - 1``. With ``negation = "bias"`` whoever uses the sum adds the number of
    -1 weights (the row bias). With ``"carry"`` every adder takes the +1 of one lane as its carry-in; of n lanes n - 1
    are taken, so that one +1 is always left over, that of the last lane, and leaves as `carry`. A sum that lacks one
    +1 lies in the interval of the bare complements, so `carry` needs no wider adders.

    Parameters
    ----------
    config
        Lanes, widths and structure.

    Members
    -------
    acts : In, `lanes` activations side by side, lane 0 in the low bits
    trits : In, `lanes` trits side by side
    sum : Out, signed, `config.dot_bits` wide
    carry : Out, the +1 that `sum` lacks; 0 with ``negation = "bias"``

    The operands of the lanes at position p of `config.positions` come p cycles after those of position 0; the sum
    comes `config.datapath_latency` cycles after those of position 0. The throughput is one sum a cycle.
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self.config = config
        super().__init__(
            {
                "acts": In(config.lanes * config.act_bits),
                "trits": In(config.lanes * TRIT_BITS),
                "sum": Out(signed(config.dot_bits)),
                "carry": Out(1),
            }
        )

    @classmethod
    def stage_bits(cls, config: AcceleratorConfig) -> list[int]:
        """Return the width of the widest sum in each stage of registers, the lanes' own width first."""
        raise NotImplementedError

    @staticmethod
    def model(
        acts: npt.ArrayLike, trits: npt.ArrayLike, negation: str = "bias"
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Return `sum` and `carry` for operands of shape (..., lanes)."""
        x, w = np.asarray(acts, dtype=np.int64), np.asarray(trits)
        passed = np.where(w == 0, 0, np.where(w < 0, ~x, x)).sum(axis=-1, dtype=np.int64)
        if negation == "bias":
            return passed, np.zeros_like(passed)
        negative = w < 0
        return passed + negative[..., :-1].sum(axis=-1), negative[..., -1].astype(np.int64)

    def act(self, index: int) -> Value:
        """Return a lane's activation."""
        return self.acts.word_select(index, self.config.act_bits)

    def trit(self, index: int) -> tuple[Value, Value]:
        """Return a lane's trit as (nonzero, neg)."""
        nonzero, neg = self.trits.word_select(index, TRIT_BITS)
        return nonzero, neg

    def masked(self, index: int) -> Value:
        """Return a lane's bits as they are added: ``x``, ``~x`` or 0."""
        act, (nonzero, neg) = self.act(index), self.trit(index)
        return (act ^ neg.replicate(len(act))) & nonzero.replicate(len(act))


def extend(value: Value, width: int) -> Value:
    """Sign-extend the bits of a value to a width.

    The extension is spelled out: synthesis merges adders whose operands are each other's whole outputs into one
    sum of many operands, which costs twice the cells of carry chains.
    """
    bits = value.as_unsigned()
    return Cat(bits, bits[-1].replicate(width - len(bits)))


def register(m: Module, value: Value, name: str) -> Signal:
    """Return a register that follows a value, as bits; like all that holds data it has no reset."""
    signal = Signal(len(value), name=name, reset_less=True)
    m.d.sync += signal.eq(value)
    return signal


def copies(config: AcceleratorConfig) -> int:
    """Return how many registers may share the work of one: none of it on a generic target, whose tools decide."""
    return 1 if config.target == "generic" else COPIES


def copy(m: Module, value: Value, index: int, name: str) -> Value:
    """Return a value through one of up to `COPIES` registers, each to drive a part of what reads it.

    Synthesis merges registers that are alike, and one that drives the whole array is the array's slowest net. These
    differ in what they hold after a reset and in polarity, so they are not alike; what reads them must not mind what
    they hold at first.
    """
    inverted, variant = divmod(index, COPIES // 2)
    init = -(variant & 1) & ((1 << len(value)) - 1)
    signal = Signal(len(value), name=f"{name}_{index}", init=init, reset_less=variant >= COPIES // 4)
    m.d.sync += signal.eq(~value if inverted else value)
    return ~signal if inverted else signal
