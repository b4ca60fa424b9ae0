"""What ternary lanes are compared with: a textbook ternary array, an INT8 array, FP16 lanes.

They have the boundary of the accelerator's array: activation register, active and shadow weights, arithmetic, and
sums of several tokens in work at a time. They are there to be synthesised, not to be used.
"""

from amaranth.hdl import Cat, Module, Mux, Shape, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.data import ArrayLayout
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from tritforge.accel.codes import TRIT_BITS
from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.errors import InputError
from tritforge.accel.float16 import FP16, FloatAdder, FloatFormat, FloatMultiplier
from tritforge.accel.sequencer import issue_layout

#: Bits of a weight by kind of lane.
WEIGHT_BITS = {"naive": TRIT_BITS, "int8": 8}


def _shadowed(m: Module, load: Value, data: Value, swap: Value, bits: int) -> Signal:
    """Return the active weights: a shift register that fills beat by beat, and the register it is copied to."""
    shadow = Signal(bits)
    active = Signal(bits)
    with m.If(load):
        m.d.sync += shadow.eq(Cat(shadow, data)[len(data) :] if len(data) < bits else data[:bits])
    with m.If(swap):
        m.d.sync += active.eq(shadow)
    return active


class MultiplyArray(wiring.Component):
    """`rows` dot products of `lanes` inputs a cycle with textbook arithmetic.

    Each lane multiplies, an adder tree sums the products with a register behind every adder, and an accumulator adds
    the sums along K, those of a token that comes again in the next cycle forwarded.

    Parameters
    ----------
    config
        Widths; `datapath`, `packing` and `negation` have no meaning here.
    kind
        ``naive``: the weight is a trit ``{neg, nonzero}`` that selects ``x``, ``-x`` or 0 before the tree's first
        adder. ``int8``: the weight has 8 bits and meets the activation in a multiplier with a register behind it.

    Members
    -------
    load : In, a beat of weights comes in the next cycle
    beat : In, weights for the shadow register, row by row, lane 0 in the low bits
    swap : In, the shadow weights are active for the token that enters in the next cycle
    issue : In, the token that enters
    word : In, its activations
    sums : Out, sums of the rows
    sums_valid : Out, high when `sums` are those of the last tile along K

    The latency from `issue` to `sums` is `latency` cycles; the throughput is one token a cycle.

    Raises
    ------
    InputError
        An unknown kind.
    """

    def __init__(self, config: AcceleratorConfig, kind: str) -> None:
        if kind not in WEIGHT_BITS:
            raise InputError(f"kind is {kind!r}; it must be one of {', '.join(WEIGHT_BITS)}")
        self.config = config
        self.kind = kind
        self.weight_bits = WEIGHT_BITS[kind]
        # -x of the lowest activation needs a bit more than x; a product of 8 bits grows by 8.
        self.product_bits = config.act_bits + (1 if kind == "naive" else self.weight_bits)
        depth = max(1, (config.lanes - 1).bit_length())
        self.dot_bits = self.product_bits + depth
        self.acc_bits = self.product_bits + (config.k_max - 1).bit_length()
        self.latency = (kind == "int8") + depth + 2
        super().__init__(
            {
                "load": In(1),
                "beat": In(config.weight_port_bits),
                "swap": In(1),
                "issue": In(issue_layout(config)),
                "word": In(config.lanes * config.act_bits),
                "sums": Out(ArrayLayout(signed(self.acc_bits), config.rows)),
                "sums_valid": Out(1),
            }
        )

    def _products(self, m: Module, acts: Signal, weights: Value, row: int) -> list[Value]:
        products: list[Value] = []
        for lane in range(self.config.lanes):
            act = acts.word_select(lane, self.config.act_bits).as_signed()
            weight = weights.word_select(lane, self.weight_bits)
            if self.kind == "naive":
                products.append(Mux(weight[0], Mux(weight[1], -act, act), 0))
            else:
                product = Signal(signed(self.product_bits), name=f"product{row}_{lane}")
                m.d.sync += product.eq(act * weight.as_signed())
                products.append(product)
        return products

    def _tree(self, m: Module, values: list[Value], row: int) -> Value:
        level = 0
        while len(values) > 1:
            sums: list[Value] = []
            for index in range(0, len(values), 2):
                total = sum(values[index : index + 2][1:], values[index])
                register = Signal(Shape(len(total), signed=True), name=f"sum{row}_{level}_{index // 2}")
                m.d.sync += register.eq(total)
                sums.append(register)
            values, level = sums, level + 1
        return values[0]

    def elaborate(self, platform: object) -> Module:  # noqa: ARG002
        m = Module()
        config = self.config
        row_bits = config.lanes * self.weight_bits
        load = Signal(name="load_late")
        swap = Signal(name="swap_late")
        m.d.sync += [load.eq(self.load), swap.eq(self.swap)]
        active = _shadowed(m, load, self.beat, swap, config.rows * row_bits)
        acts = Signal(len(self.word))
        m.d.sync += acts.eq(self.word)

        stage = [Signal(issue_layout(config), name=f"stage{index}") for index in range(self.latency)]
        m.d.sync += [after.eq(before) for before, after in zip([self.issue, *stage], stage, strict=False)]
        fetch, add, out = stage[-3], stage[-2], stage[-1]
        forward = Signal()
        m.d.sync += forward.eq(add.valid & (add.token == fetch.token))
        for row in range(config.rows):
            products = self._products(m, acts, active.word_select(row, row_bits), row)
            dot = self._tree(m, products, row)
            memory = Memory(shape=signed(self.acc_bits), depth=config.tokens_max, init=[])
            m.submodules[f"memory{row}"] = memory
            write, read = memory.write_port(), memory.read_port(domain="comb")
            stored, register, total = (
                Signal(signed(self.acc_bits), name=f"{name}{row}") for name in ("stored", "register", "total")
            )
            m.d.comb += [
                read.addr.eq(fetch.token),
                total.eq(Mux(add.first, 0, Mux(forward, register, stored)) + dot),
                write.addr.eq(add.token),
                write.data.eq(total),
                write.en.eq(add.valid),
                self.sums[row].eq(register),
            ]
            m.d.sync += [stored.eq(read.data), register.eq(total)]
        m.d.comb += self.sums_valid.eq(out.valid & out.last)
        return m


class FloatLanes(wiring.Component):
    """Lanes of one FP16 multiplier and one FP16 adder each, pipelined.

    A lane's sum goes round through its adder, so as many tokens as the adder has cycles are in work at a time, and
    their sums need no memory.

    Parameters
    ----------
    lanes
        How many.
    form
        Format of activations, weights and sums.

    Members
    -------
    load : In, a weight comes in the next cycle
    beat : In, a weight for the shadow register
    swap : In, the shadow weights are active for the activations of the next cycle
    first : In, with `word`: the token's sums start anew
    word : In, an activation for each lane
    sums : Out, the lanes' sums, `latency` cycles after the activations
    """

    def __init__(self, lanes: int, form: FloatFormat = FP16) -> None:
        self.lanes = lanes
        self.form = form
        self.tokens = FloatAdder.latency
        self.latency = 1 + FloatMultiplier.latency + FloatAdder.latency
        bits = form.bits
        super().__init__(
            {
                "load": In(1),
                "beat": In(bits),
                "swap": In(1),
                "first": In(1),
                "word": In(lanes * bits),
                "sums": Out(lanes * bits),
            }
        )

    def elaborate(self, platform: object) -> Module:  # noqa: ARG002
        m = Module()
        bits = self.form.bits
        load = Signal(name="load_late")
        swap = Signal(name="swap_late")
        m.d.sync += [load.eq(self.load), swap.eq(self.swap)]
        active = _shadowed(m, load, self.beat, swap, self.lanes * bits)
        acts = Signal(self.lanes * bits)
        first = Signal(1 + FloatMultiplier.latency)
        m.d.sync += [acts.eq(self.word), first.eq(Cat(self.first, first))]
        for lane in range(self.lanes):
            m.submodules[f"multiplier{lane}"] = multiplier = FloatMultiplier(self.form)
            m.submodules[f"adder{lane}"] = adder = FloatAdder(self.form)
            m.d.comb += [
                multiplier.a.eq(acts.word_select(lane, bits)),
                multiplier.b.eq(active.word_select(lane, bits)),
                adder.a.eq(multiplier.product),
                adder.b.eq(Mux(first[-1], 0, adder.sum)),
                self.sums.word_select(lane, bits).eq(adder.sum),
            ]
        return m
