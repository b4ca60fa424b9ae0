"""A store on the chip: the host writes words, what reads it takes beats, one a cycle, whenever it likes."""

from amaranth.hdl import Cat, Module, Mux, ResetInserter, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.data import StructLayout
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from tritforge.accel.datapath import COPIES, copy
from tritforge.accel.job import index_range
from tritforge.accel.prefetch_queue import PrefetchQueue
from tritforge.accel.store_sizes import WORD_BITS

#: What Yosys should know of the memories named ``store_bank`` before it maps them. They need no initial values, which
#: large memories of iCE40 do not have: what is read was written before. And what a bank gives while a word of it is
#: written is used by nobody, so block memories need no logic for that case: a host does not read results that are to
#: come.
YOSYS_PREPARATION = """\
delete t:$meminit_v2 r:MEMID=*store_bank* %i
setparam -set COLLISION_X_MASK 1'1 t:$memrd_v2 r:MEMID=*store_bank* %i"""

#: Places behind the memory: as many beats as are on their way from the request of one until it is known to have left.
_PLACES = 8


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

    All that enters the memory comes straight from registers, since its blocks are many and far apart. A register
    follows it directly, without an enable, for block memories to take it in; the next one is halfway to the places
    for the beats that are on their way: one is only asked for when a place is sure. Reading pauses while a word is
    written.

    Parameters
    ----------
    width
        Bits of a beat: words of 32.
    depth
        Number of beats, a power of two.

    Members
    -------
    address, data, write : In, a word and its place; a beat asked for later has it
    reads : In, stream of `read_layout`
    o : Out, stream of `marked_layout`, the first one `LATENCY` cycles after its address was taken
    clear : In, forgets what was read; reads nothing

    The throughput is a beat a cycle.
    """

    LATENCY = 6

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
        # Beats before the places: asked for, in the memory's own output, in the registers behind it.
        stages = [Signal(2, name=name) for name in ("asked", "fetched", "left_memory", "arrived")]
        memory_data, arrived_data = (
            Signal(self.width, name=f"{stage}_data", reset_less=True) for stage in ("memory", "arrived")
        )
        claimed, room, taken = Signal(range(_PLACES + 1)), Signal(init=1), Signal()
        left = Signal.like(claimed)
        issued = self.reads.valid & self.reads.ready
        m.d.comb += [
            self.reads.ready.eq(room & ~self.write),
            left.eq(claimed + issued - taken),
        ]
        m.d.sync += [claimed.eq(left), room.eq(left != _PLACES), taken.eq(self.o.valid & self.o.ready)]

        # What enters the memory; the address, from a register for each of up to four banks.
        wanted = Mux(self.write, self.address[bank_bits:], self.reads.payload.address)
        places = [copy(m, wanted, bank, "place") for bank in range(min(self.banks, COPIES // 2))]
        word, chosen = Signal(WORD_BITS, reset_less=True), Signal(self.banks)
        m.d.sync += [word.eq(self.data), chosen.eq(Mux(self.write, 1 << self.address[:bank_bits], 0))]
        outputs = []
        for bank in range(self.banks):
            m.submodules[f"store_bank{bank}"] = memory = Memory(shape=WORD_BITS, depth=self.depth, init=[])
            write, read = memory.write_port(), memory.read_port()
            place = places[bank % len(places)]
            m.d.comb += [
                write.addr.eq(place),
                read.addr.eq(place),
                write.data.eq(word),
                # Read all the time: an enable would be one register for all blocks, with logic behind it.
                write.en.eq(chosen[bank]),
            ]
            outputs.append(read.data)
        flags = Cat(issued, self.reads.payload.beyond)
        for stage, before in zip(stages, [flags, *stages], strict=False):
            m.d.sync += stage.eq(before)
        m.d.sync += [memory_data.eq(Cat(outputs)), arrived_data.eq(memory_data)]

        arrived, beyond = stages[-1]
        m.submodules.places = places = ResetInserter(self.clear)(
            PrefetchQueue(marked_layout(self.width), depth=_PLACES)
        )
        wiring.connect(m, places.o, wiring.flipped(self.o))
        m.d.comb += [
            places.i.payload.data.eq(Mux(beyond, 0, arrived_data)),
            places.i.payload.beyond.eq(beyond),
            places.i.valid.eq(arrived),
        ]
        with m.If(self.clear):
            m.d.sync += [claimed.eq(0), room.eq(1), taken.eq(0)]
            m.d.sync += [stage.eq(0) for stage in stages]
        return m
