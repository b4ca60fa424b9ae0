"""A store on the chip: the host writes words, what reads it takes beats, one a cycle, whenever it likes."""

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.data import StructLayout
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from tritforge.accel.job import index_range
from tritforge.accel.store_sizes import WORD_BITS

#: What Yosys should know of the memories named ``store_bank`` before it maps them. They need no initial values, which
#: large memories of iCE40 do not have: what is read was written before. And nothing reads a word while it is written,
#: so block memories need no logic that gives the old one: no bank is enabled for both, but for that of results, and
#: a host does not read those that are to come.
YOSYS_PREPARATION = """\
delete t:$meminit_v2 r:MEMID=*store_bank* %i
setparam -set COLLISION_X_MASK 1'1 t:$memrd_v2 r:MEMID=*store_bank* %i"""

#: Places behind the memory: as many as keep its pace.
_PLACES = 3


def read_layout(depth: int) -> StructLayout:
    """Layout of what to read: a beat's address, or a beat of zeros in place of it, which is marked."""
    return StructLayout({"address": index_range(depth), "beyond": 1})


def marked_layout(width: int) -> StructLayout:
    """Layout of a beat and its mark."""
    return StructLayout({"data": width, "beyond": 1})


def beat_place(address: Value, *, beat_bytes: int, depth: int) -> Value:
    """Return the beat of a byte address in a store of `depth` beats; the top bit says that it is beyond the end."""
    index = address >> (beat_bytes.bit_length() - 1)
    bits = depth.bit_length() - 1
    return Cat(index[:bits], index[bits:].any())


class BeatMemory(wiring.Component):
    """A memory with one address for both sides, so that a single-ported one can hold it; the host goes first.

    A register follows the memory directly, without an enable, for block memories to take it in. Behind it are places
    for the beats that were on their way when the reader stopped. Reading pauses in the cycles in which a word is
    written, and only the memory's own enable depends on the reader.

    Parameters
    ----------
    width
        Bits of a beat: words of 32.
    depth
        Number of beats, a power of two.

    Members
    -------
    address, data, write : In, a word and its place; written in the cycle of `write`
    reads : In, stream of `read_layout`
    o : Out, stream of `marked_layout`, the first one three cycles after its address was taken
    clear : In, forgets what was read; reads nothing

    The throughput is a beat a cycle.
    """

    LATENCY = 3

    def __init__(self, *, width: int, depth: int) -> None:
        self.width = width
        self.depth = depth
        self.banks = width // WORD_BITS
        super().__init__(
            {
                "address": In(index_range(depth * self.banks)),
                "data": In(WORD_BITS),
                "write": In(1),
                "reads": In(stream.Signature(read_layout(depth))),
                "o": Out(stream.Signature(marked_layout(width))),
                "clear": In(1),
            }
        )

    def elaborate(self, platform: object) -> Module:  # noqa: ARG002
        m = Module()
        bank_bits = self.banks.bit_length() - 1
        # Beats behind the places: in the memory's own output, in the register.
        fetched, arrived = Signal(), Signal()
        beyond, arrived_beyond = Signal(), Signal()
        arrived_data = Signal(self.width, reset_less=True)
        held = Signal(range(_PLACES + 1))
        room = Signal()
        m.d.comb += [room.eq(held + arrived < _PLACES), self.reads.ready.eq(room & ~self.write)]

        address = Mux(self.write, self.address[bank_bits:], self.reads.payload.address)
        outputs = []
        for bank in range(self.banks):
            m.submodules[f"store_bank{bank}"] = memory = Memory(shape=WORD_BITS, depth=self.depth, init=[])
            write, read = memory.write_port(), memory.read_port()
            m.d.comb += [
                write.addr.eq(address),
                read.addr.eq(address),
                write.data.eq(self.data),
                write.en.eq(self.write & (self.address[:bank_bits] == bank)),
                read.en.eq(room & ~self.write),
            ]
            outputs.append(read.data)
        m.d.sync += [
            arrived_data.eq(Cat(outputs)),
            arrived_beyond.eq(beyond),
            arrived.eq(fetched & room),
        ]
        with m.If(room):
            m.d.sync += [
                fetched.eq(self.reads.valid & self.reads.ready),
                beyond.eq(self.reads.payload.beyond),
            ]
        self._places(m, held, arrived, Cat(Mux(arrived_beyond, 0, arrived_data), arrived_beyond))
        with m.If(self.clear):
            m.d.sync += [fetched.eq(0), arrived.eq(0), held.eq(0)]
        return m

    def _places(self, m: Module, held: Signal, arrived: Signal, beat: Value) -> None:
        """Place a queue of registers, whose first is the output."""
        places = [Signal(self.width + 1, name=f"place{index}", reset_less=True) for index in range(_PLACES)]
        taken, left = Signal(), Signal.like(held)
        m.d.comb += [
            self.o.valid.eq(held != 0),
            self.o.payload.eq(places[0]),
            taken.eq(self.o.valid & self.o.ready),
            left.eq(held - taken),
        ]
        m.d.sync += held.eq(left + arrived)
        for index, (place, following) in enumerate(zip(places, [*places[1:], beat], strict=True)):
            with m.If(left <= index):
                m.d.sync += place.eq(beat)
            with m.Elif(taken):
                m.d.sync += place.eq(following)
