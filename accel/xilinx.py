"""Adders in the LUTs and carry chains of AMD/Xilinx 7-series; UltraScale takes the same cells.

A carry chain holds a bit per LUT: where the bit's propagate signal S is 1 the carry goes on, where it is 0 the carry
out is DI, and the sum is S exclusive-or the carry in. S is the output O6 of a LUT of six inputs; DI is the same LUT's
O5, which sees the lower half of its table, so five inputs, or a wire from elsewhere. Three adders follow from that:

- Two ternary lanes: S is the exclusive-or of both products, six inputs. With the second lane's nonzero as sixth input
  the lower half of the table is the first product, and that is what DI must be where the products are equal.
- Two operands: S their exclusive-or, DI one of them.
- Three operands: O5 is the majority of a column's bits, which enters the next column beside the exclusive-or of the
  bits there. The lowest column has no such neighbour and takes a +1 in its place, besides the chain's carry-in.

The cells are used as a slice wires them: the input beside a LUT feeds either the chain's carry-in or the lowest DI,
so the lowest LUT of three operands gives its DI, and another LUT its majority. (The highest LUT has an output to
spare, but it sees a carry that comes from that majority: a loop for every tool that does not look into tables.)
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from amaranth.hdl import Cat, Const, Instance, Module, Signal, Value

#: An output of a LUT by its inputs.
Function = Callable[[Sequence[int]], int]
#: Bits of a carry cell.
CARRY_BITS = 4


@dataclass(frozen=True, kw_only=True)
class Bit:
    """One bit of an operand: a net, its inverse, or a constant where there is no net.

    LUTs absorb inverters and constants.
    """

    net: Value | None = None
    inverted: bool = False


def bits_of(value: Value, offset: int = 0) -> tuple[Bit, ...]:
    """Return the bits of an unsigned value plus a constant.

    The constant is a multiple of the value's highest bit, which alone therefore selects the bits above.

    Raises
    ------
    ValueError
        It is not.
    """
    low = len(value) - 1
    if offset % (1 << low):
        raise ValueError(f"offset {offset} is not a multiple of {1 << low}")
    clear = offset >> low
    top = value[low]
    bits = [Bit(net=value[index]) for index in range(low)]
    for index in range((clear + 1).bit_length()):
        if_clear, if_set = clear >> index & 1, (clear + 1) >> index & 1
        constant = if_clear == if_set
        bits.append(Bit(net=None if constant else top, inverted=bool(if_clear)))
    return tuple(bits)


def lut(
    m: Module,
    nets: Sequence[Value],
    o6: Function,
    o5: Function | None = None,
) -> tuple[Value, Value]:
    """Instantiate a LUT6_2 and return its outputs (O6, O5).

    Parameters
    ----------
    m
        The module that takes the cell.
    nets
        Inputs, five at most where `o5` is given; six else.
    o6, o5
        The functions, of a bit for each input; without `o5` that output is `o6` with the sixth input at 0.

    Raises
    ------
    ValueError
        Too many inputs.
    """
    limit = 6 if o5 is None else 5
    if len(nets) > limit:
        raise ValueError(f"{len(nets)} inputs; a LUT of these outputs has {limit}")
    init = 0
    for index in range(64):
        function = o5 if o5 is not None and index < 32 else o6
        init |= function([index >> place & 1 for place in range(len(nets))]) << index
    inputs = [*nets, *[Const(0, 1)] * (limit - len(nets)), *[Const(1, 1)] * (6 - limit)]
    out6, out5 = Signal(), Signal()
    m.submodules += Instance(
        "LUT6_2",
        p_INIT=Const(init, 64),
        **{f"i_I{place}": net for place, net in enumerate(inputs)},
        o_O6=out6,
        o_O5=out5,
    )
    return out6, out5


class SharedLuts:
    """Functions of few inputs, two to a LUT where their inputs together are five at most.

    They should be of the same pipeline stage: a tool that does not look into the table sees a path from every input
    to both outputs.
    """

    def __init__(self) -> None:
        self._wanted: list[tuple[Sequence[Value], Function, Signal]] = []

    def add(self, nets: Sequence[Value], function: Function) -> Signal:
        """Ask for a function of some nets and return its output."""
        output = Signal()
        self._wanted.append((nets, function, output))
        return output

    def place(self, m: Module) -> None:
        """Instantiate the LUTs, the functions of many inputs with the first that still fit."""
        rest = sorted(self._wanted, key=lambda wanted: -len(wanted[0]))
        while rest:
            nets, function, output = rest.pop(0)
            fitting = next(
                (index for index, (others, *_) in enumerate(rest) if len(nets) + len(others) <= 5), None
            )
            if fitting is None:
                m.d.comb += output.eq(lut(m, nets, function)[0])
                continue
            others, other, second = rest.pop(fitting)
            o6, o5 = lut(m, [*nets, *others], function, _behind(len(nets), other))
            m.d.comb += [output.eq(o6), second.eq(o5)]


def _behind(count: int, function: Function) -> Function:
    """Return a function of the inputs behind the first `count`."""
    return lambda bits: function(bits[count:])


def carry_chain(m: Module, propagate: Sequence[Value], generate: Sequence[Value], carry: Value) -> Value:
    """Return the sum of a carry chain, and behind its last bit the carry out."""
    width = len(propagate)
    total, last = Signal(width), carry
    for start in range(0, width, CARRY_BITS):
        part = slice(start, start + CARRY_BITS)
        out, carries = Signal(CARRY_BITS), Signal(CARRY_BITS)
        m.submodules += Instance(
            "CARRY4",
            i_CI=last if start else Const(0, 1),
            i_CYINIT=Const(0, 1) if start else last,
            i_DI=_filled(generate[part]),
            i_S=_filled(propagate[part]),
            o_O=out,
            o_CO=carries,
        )
        used = min(CARRY_BITS, width - start)
        m.d.comb += total[part].eq(out[:used])
        last = carries[used - 1]
    return Cat(total, last)


def _filled(nets: Sequence[Value]) -> Value:
    return Cat(*nets, Const(0, CARRY_BITS - len(nets)))


@dataclass(frozen=True, kw_only=True)
class Lane:
    """A ternary lane: activation, nonzero and neg; it passes ``x``, ``~x`` or 0."""

    act: Value
    nonzero: Value
    neg: Value

    def passed(self) -> Value:
        """Return what the lane passes, as bits."""
        width = len(self.act)
        return (self.act ^ self.neg.replicate(width)) & self.nonzero.replicate(width)


def add_lanes(m: Module, shared: SharedLuts, first: Lane, second: Lane, *, invert_top: bool) -> Value:
    """Add two lanes and the first one's +1 in a LUT a bit.

    Parameters
    ----------
    m
        The module that takes the cells.
    shared
        Takes the sign.
    first, second
        The lanes.
    invert_top
        Whether the sum's highest bit, the sign, comes inverted.
    """

    def both(bits: Sequence[int]) -> int:
        x1, neg1, nonzero1, x2, neg2, nonzero2 = bits
        return (x1 ^ neg1) & nonzero1 ^ (x2 ^ neg2) & nonzero2

    cells = [
        lut(m, [x1, first.neg, first.nonzero, x2, second.neg, second.nonzero], both)
        for x1, x2 in zip(first.act, second.act, strict=True)
    ]
    total = carry_chain(m, [o6 for o6, _ in cells], [o5 for _, o5 in cells], first.neg)
    # Both sign bits and the carry into them.
    sign = shared.add([cells[-1][0], total[-1]], lambda bits: bits[0] ^ bits[1] ^ invert_top)
    return Cat(total[:-1], sign)


def add(
    m: Module, operands: Sequence[Sequence[Bit]], carries: Sequence[Value], width: int, *, invert_top: bool
) -> Value:
    """Add two or three unsigned operands, and a +1 for each but one.

    Parameters
    ----------
    m
        The module that takes the cells.
    operands
        Bits of each, lowest first.
    carries
        The +1s.
    width
        Bits of the sum, which hold it.
    invert_top
        Whether the sum's highest bit comes inverted.
    """
    columns: list[list[Bit]] = [[] for _ in range(width)]
    for operand in operands:
        for column, bit in zip(columns, operand, strict=False):
            if bit.net is not None or bit.inverted:
                column.append(bit)
    if len(operands) == 2:
        return _add_two(m, columns, carries, invert_top=invert_top)
    return _add_three(m, columns, carries, invert_top=invert_top)


def _nets(column: Sequence[Bit]) -> list[Value]:
    return [bit.net for bit in column if bit.net is not None]


def _parity(column: Sequence[Bit], inputs: int, *, flip: bool = False) -> Function:
    """Return the exclusive-or of a LUT's first inputs: the column's nets, and a net beside them if there is one."""
    constant = flip + sum(bit.inverted for bit in column)
    return lambda bits: (sum(bits[:inputs]) + constant) & 1


def _majority(column: Sequence[Bit]) -> Function:
    """Return whether two or three of a column's bits are 1, its nets being a LUT's first inputs."""

    def function(bits: Sequence[int]) -> int:
        nets = iter(bits)
        return sum(bit.inverted if bit.net is None else next(nets) ^ bit.inverted for bit in column) >> 1

    return function


def _chained(columns: Sequence[Sequence[Bit]], *, invert_top: bool) -> int:
    """Return how many columns need a place in the chain: where the highest is empty, it is the carry out."""
    return len(columns) if columns[-1] or invert_top else len(columns) - 1


def _add_two(
    m: Module, columns: Sequence[Sequence[Bit]], carries: Sequence[Value], *, invert_top: bool
) -> Value:
    width, cells = len(columns), []
    for index, column in enumerate(columns[: _chained(columns, invert_top=invert_top)]):
        nets, flip = _nets(column), invert_top and index == width - 1
        # Where both bits are equal the carry is either of them: their AND as well as one of the two.
        cells.append(lut(m, nets, _parity(column, len(nets), flip=flip), _majority(column)))
    return carry_chain(m, [o6 for o6, _ in cells], [o5 for _, o5 in cells], carries[0])[:width]


def _add_three(
    m: Module, columns: Sequence[Sequence[Bit]], carries: Sequence[Value], *, invert_top: bool
) -> Value:
    lowest, width = _nets(columns[0]), len(columns)
    # The +1 beside the lowest column is its DI as well, which it reaches through the LUT.
    o6, o5 = lut(m, [*lowest, carries[1]], _parity(columns[0], len(lowest) + 1), lambda bits: bits[-1])
    propagate: list[Value] = [o6]
    generate: list[Value] = [o5]
    beside: list[Value] = [lut(m, lowest, _majority(columns[0]))[0]]
    for index, column in enumerate(columns[1:], start=1):
        if index == width - 1 and not beside and _chained(columns, invert_top=invert_top) < width:
            break
        nets, flip = [*_nets(column), *beside], invert_top and index == width - 1
        o6, o5 = lut(m, nets, _parity(column, len(nets), flip=flip), _majority(column))
        propagate.append(o6)
        generate.append(beside[0] if beside else Const(0, 1))
        beside = [o5] if len(column) > 1 else []
    return carry_chain(m, propagate, generate, carries[0])[:width]
