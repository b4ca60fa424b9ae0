"""The list of a token's non-zero activations, filled from the activation stream and walked once per row block."""

from amaranth.hdl import Array, Cat, Const, Module, Mux, Shape, Signal, signed
from amaranth.lib import stream, wiring
from amaranth.lib.data import StructLayout
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.job import index_range


def pair_layout(config: AcceleratorConfig) -> StructLayout:
    """Layout of an activation that is not zero and its index along K."""
    return StructLayout({"index": index_range(config.k_max), "value": signed(config.act_bits)})


class NonzeroScanner(wiring.Component):
    """Takes a token's beats and gives away its non-zero activations, one a cycle, in order.

    A beat costs as many cycles as it holds non-zero activations, and one where it holds none. A token without any
    gives one pair of index 0 and value 0, so that a list is never empty.

    Parameters
    ----------
    config
        Widths.

    Members
    -------
    start, k : In, take a token of `k` activations; while `busy` is low
    beats : In, stream of `act_port_bits`
    pair, write : Out, a pair of the list
    busy : Out, the list is not complete
    complete : Out, high for the cycle in which the list's last pair is written, or was written before
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self.config = config
        super().__init__(
            {
                "start": In(1),
                "k": In(config.k_max.bit_length()),
                "beats": In(stream.Signature(config.act_port_bits)),
                "pair": Out(pair_layout(config)),
                "write": Out(1),
                "busy": Out(1),
                "complete": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:  # noqa: ARG002
        m = Module()
        config = self.config
        count = config.acts_per_beat
        k_left = Signal(config.k_max.bit_length())
        # Beats still to come; the beat at hand, its first index, and which of its activations are to be written.
        more, holding, any_yet = Signal(), Signal(), Signal()
        base = Signal(Shape.cast(index_range(config.k_max)).width)
        left = Signal(count)
        place = Signal(index_range(count))
        # Rounded up for a mux without holes.
        acts = Signal(config.act_bits << len(place))

        coming = [
            self.beats.payload.word_select(i, config.act_container_bits)[: config.act_bits]
            for i in range(count)
        ]
        rest = Signal(count)
        done, taken = Signal(), Signal()
        for i in reversed(range(count)):
            with m.If(left[i]):
                m.d.comb += place.eq(i)
        m.d.comb += [
            rest.eq(left & (left - 1)),
            done.eq(holding & (rest == 0)),
            self.beats.ready.eq(more & (~holding | done)),
            taken.eq(self.beats.valid & self.beats.ready),
            self.complete.eq(done & ~more),
            self.busy.eq(more | holding),
            self.pair.index.eq(Mux(left.any(), base + place, 0)),
            self.pair.value.eq(
                Mux(
                    left.any(),
                    Array(acts.word_select(i, config.act_bits) for i in range(1 << len(place)))[place],
                    0,
                )
            ),
            self.write.eq(left.any() | (self.complete & ~any_yet)),
        ]
        m.d.sync += left.eq(rest)
        with m.If(self.write):
            m.d.sync += any_yet.eq(1)
        with m.If(done):
            m.d.sync += [holding.eq(0), base.eq(base + count)]
        with m.If(taken):
            inside = [Const(1, 1) if i == 0 else k_left > i for i in range(count)]
            m.d.sync += [
                acts.eq(Cat(coming)),
                left.eq(Cat(act.any() & valid for act, valid in zip(coming, inside, strict=True))),
                holding.eq(1),
                k_left.eq(k_left - count),
                more.eq(k_left > count),
            ]
        with m.If(self.start):
            m.d.sync += [k_left.eq(self.k), more.eq(1), any_yet.eq(0), base.eq(0)]
        return m


class NonzeroList(wiring.Component):
    """Memory of the non-zero activations, read by two walks: one over the indices, one over the values.

    Each walk goes over the list as often as there are row blocks. It may start while the list is being filled: a pair
    is given away when it is known whether it is the list's last.

    Parameters
    ----------
    config
        Depth and widths.

    Members
    -------
    start, k, m : In, take a token of `k` activations and walk its list for `m` output rows; while `busy` is low
    beats : In, stream of `act_port_bits`
    indices : Out, stream of an index, `end` of the list and `last` of the job
    values : Out, stream of a value and `end` of the list
    scanning : Out, beats of this token are still to come
    busy : Out, the list is not complete or a walk is not at its end
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self.config = config
        super().__init__(
            {
                "start": In(1),
                "k": In(config.k_max.bit_length()),
                "m": In(config.m_max.bit_length()),
                "beats": In(stream.Signature(config.act_port_bits)),
                "indices": Out(
                    stream.Signature(StructLayout({"index": index_range(config.k_max), "end": 1, "last": 1}))
                ),
                "values": Out(stream.Signature(StructLayout({"value": signed(config.act_bits), "end": 1}))),
                "scanning": Out(1),
                "busy": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:  # noqa: ARG002
        m = Module()
        config = self.config
        m.submodules.scanner = scanner = NonzeroScanner(config)
        wiring.connect(m, wiring.flipped(self.beats), scanner.beats)
        # Pairs written, and pairs of which it is known whether they are the last: all but the newest, then all.
        written, known = Signal(range(config.k_max + 1)), Signal(range(config.k_max + 1))
        complete = Signal()
        m.d.comb += [
            scanner.start.eq(self.start),
            scanner.k.eq(self.k),
            self.scanning.eq(scanner.busy),
        ]
        with m.If(scanner.write):
            m.d.sync += [written.eq(written + 1), known.eq(written)]
        with m.If(scanner.complete):
            m.d.sync += [complete.eq(1), known.eq(written + scanner.write)]
        with m.If(self.start):
            m.d.sync += [complete.eq(0), written.eq(0), known.eq(0)]

        walks = []
        for name, walk, field in (("index", self.indices, "index"), ("value", self.values, "value")):
            shape = Shape.cast(pair_layout(config)[field].shape)
            m.submodules[f"{name}_memory"] = memory = Memory(shape=shape, depth=max(2, config.k_max), init=[])
            write, read = memory.write_port(), memory.read_port()
            pointer = Signal(range(config.k_max + 1), name=f"{name}_pointer")
            m_left = Signal(len(self.m), name=f"{name}_m_left")
            active, enable, ends, last = (
                Signal(name=f"{name}_{part}") for part in ("active", "enable", "ends", "last")
            )
            m.d.comb += [
                write.en.eq(scanner.write),
                write.addr.eq(written),
                write.data.eq(getattr(scanner.pair, field)),
                read.addr.eq(pointer),
                enable.eq(active & (pointer != known) & (~walk.valid | walk.ready)),
                read.en.eq(enable),
                ends.eq(complete & (pointer + 1 == known)),
                last.eq(ends & (m_left <= config.column_rows)),
                getattr(walk.payload, field).eq(read.data),
            ]
            with m.If(walk.ready):
                m.d.sync += walk.valid.eq(0)
            with m.If(enable):
                m.d.sync += [
                    walk.valid.eq(1),
                    walk.payload.end.eq(ends),
                    pointer.eq(Mux(ends, 0, pointer + 1)),
                ]
                if name == "index":
                    m.d.sync += walk.payload.last.eq(last)
                with m.If(ends):
                    m.d.sync += [m_left.eq(m_left - config.column_rows), active.eq(~last)]
            with m.If(self.start):
                m.d.sync += [active.eq(1), m_left.eq(self.m), pointer.eq(0)]
            walks.append(walk.valid | active)
        m.d.comb += self.busy.eq(scanner.busy | Cat(walks).any())
        return m
