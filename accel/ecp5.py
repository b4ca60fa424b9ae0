"""Adders in the carry cells of Lattice ECP5, with what a plain ``+`` leaves unused put to work.

A CCU2C holds two bits. Each has a LUT of four inputs whose output is the bit's propagate signal, and a LUT of the
first two (the others at 0) that generates the carry. Three facts make a ternary adder cost its width plus one:

- With the generate LUT passing A, the propagate LUT may be any ``A ^ g(B, C, D)`` with ``g(B, 0, 0) = 0``: so mask
  and complement of a lane's activation fit into the adder that sums it.
- A bit whose propagate LUT is 0 and whose generate LUT is A starts a carry from the fabric. nextpnr puts a cell of
  two such bits before every chain whose carry-in is connected, even to a constant, and one behind every chain
  whose carry-out is connected, even to nothing. Here the first bit of an adder is that start, so a netlist may leave
  the chain's ends open (`tritforge.rtl.netlist` does), and several adders may follow each other in one chain.
- The start bit is a free carry-in: it takes the +1 of a negation.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum

from amaranth.hdl import Const, Instance, Module, Signal, Value


def _table(function: Callable[[int, int, int, int], int]) -> int:
    """Return the LUT contents of a function of (A, B, C, D)."""
    return sum(function(i & 1, i >> 1 & 1, i >> 2 & 1, i >> 3 & 1) << i for i in range(16))


class Kind(Enum):
    """What a bit of an adder adds to A; the value is the contents of its LUT."""

    #: The masked and complemented B: C complements, D lets pass.
    TERNARY = _table(lambda a, b, c, d: a ^ (d & (b ^ c)))
    #: B where C, else D.
    CHOICE = _table(lambda a, b, c, d: a ^ (b if c else d))
    #: B; C and D are high, since the generate LUT sees them low.
    PLAIN = _table(lambda a, b, c, d: a ^ b if c & d else a)


#: Starts a carry of A; C and D are high.
START = _table(lambda a, _, c, d: 0 if c & d else a)
_HIGH = Const(1, 1)


@dataclass(frozen=True, kw_only=True)
class Adder:
    """One adder of a chain: ``sum = a + g(b, c, d) + carry``, bit by bit by its kind.

    Attributes
    ----------
    kind
        The function g.
    a, b, c, d
        Operands, each as wide as the sum; `c` and `d` are not read by `Kind.PLAIN`.
    carry
        Carry-in.
    """

    kind: Kind
    a: Value
    b: Value
    c: Value
    d: Value
    carry: Value

    def __post_init__(self) -> None:
        widths = [len(operand) for operand in (self.a, self.b, self.c, self.d)]
        if len(set(widths)) > 1:
            raise ValueError(f"operands of {', '.join(map(str, widths))} bits; equal widths are needed")

    def operand(self) -> Value:
        """Return what is added to `a` besides the carry."""
        if self.kind is Kind.TERNARY:
            return self.d & (self.b ^ self.c)
        if self.kind is Kind.CHOICE:
            return (self.b & self.c) | (self.d & ~self.c)
        return self.b


def plain(a: Value, b: Value, carry: Value) -> Adder:
    """Return the adder of two operands."""
    high = Const(-1, len(a))
    return Adder(kind=Kind.PLAIN, a=a, b=b, c=high, d=high, carry=carry)


def add_chain(m: Module, adders: Sequence[Adder], *, name: str, cells: bool) -> list[Value]:
    """Place adders one behind the other in one carry chain and return their sums.

    Parameters
    ----------
    m
        The module that takes the cells.
    adders
        What to add; adders of even width end with half a cell that the next one starts in.
    name
        Prefix of the cells' names.
    cells
        Whether to instantiate CCU2C; otherwise the same sums are written with operators.
    """
    if not cells:
        return [(adder.a + adder.operand() + adder.carry)[: len(adder.a)] for adder in adders]
    bits: list[tuple[int, Value, Value, Value, Value, Value | None]] = []
    sums = []
    for index, adder in enumerate(adders):
        total = Signal(len(adder.a), name=f"{name}_{index}")
        bits.append((START, adder.carry, _HIGH, _HIGH, _HIGH, None))
        bits.extend(
            (adder.kind.value, adder.a[i], adder.b[i], adder.c[i], adder.d[i], total[i])
            for i in range(len(total))
        )
        sums.append(total)
    if len(bits) % 2:
        bits.append((START, Const(0, 1), _HIGH, _HIGH, _HIGH, None))
    carry: Value = Const(0, 1)  # ignored by the start bit; kept for tools that ask for every input
    for index in range(0, len(bits), 2):
        ports: dict[str, Value] = {"i_CIN": carry}
        parameters: dict[str, Const | str] = {}
        for half in (0, 1):
            table, a, b, c, d, out = bits[index + half]
            parameters |= {f"p_INIT{half}": Const(table, 16), f"p_INJECT1_{half}": "NO"}
            ports |= {f"i_A{half}": a, f"i_B{half}": b, f"i_C{half}": c, f"i_D{half}": d}
            ports[f"o_S{half}"] = out if out is not None else Signal(name=f"{name}_open{index + half}")
        carry = Signal(name=f"{name}_carry{index // 2}")
        ports["o_COUT"] = carry
        m.submodules[f"{name}_cell{index // 2}"] = Instance("CCU2C", **parameters, **ports)
    return sums
