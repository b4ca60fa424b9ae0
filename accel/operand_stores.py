"""Activations and results in block memory, between the host link and the core."""

from amaranth.hdl import Array, Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from tritforge.accel.beat_memory import BeatMemory, beat_place
from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.countdown import Countdown
from tritforge.accel.descriptor import RESPONSE_BITS, Response, load_layout, store_layout
from tritforge.accel.job import index_range
from tritforge.accel.partial_sums import beat_layout
from tritforge.accel.store_sizes import WORD_BITS, WORD_BYTES, StoreSizes


class ActivationStore(wiring.Component):
    """Block memory that holds the activations of the largest job; each job reads its own from the start.

    They stay where they are, so jobs that share activations need them written once. The host may write at any time: a
    word takes one cycle, in which no beat is read.

    Parameters
    ----------
    config
        Port and bounds.

    Members
    -------
    address, data, write : In, a word of the host's and its place
    loads : In, stream of `load_layout`
    beats : Out, stream of `act_port_bits`: for each load T tokens of K activations, every token starts a beat
    quiesce : In, forgets all loads and takes none; what is in the memory stays
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self.config = config
        self.bytes = StoreSizes.of(config).activations
        super().__init__(
            {
                "address": In(index_range(self.bytes // WORD_BYTES)),
                "data": In(WORD_BITS),
                "write": In(1),
                "loads": In(stream.Signature(load_layout(config))),
                "beats": Out(stream.Signature(config.act_port_bits)),
                "quiesce": In(1),
            }
        )

    def elaborate(self, platform: object) -> Module:  # noqa: ARG002
        m = Module()
        config = self.config
        depth = self.bytes // (config.act_port_bits // 8)
        m.submodules.memory = memory = BeatMemory(width=config.act_port_bits, depth=depth)
        m.d.comb += [
            memory.address.eq(self.address),
            memory.data.eq(self.data),
            memory.write.eq(self.write),
            memory.clear.eq(self.quiesce),
            self.beats.valid.eq(memory.o.valid),
            self.beats.payload.eq(memory.o.payload.data),
            memory.o.ready.eq(self.beats.ready),
        ]

        load = self.loads.payload
        active = Signal()
        address = Signal(index_range(depth))
        inputs = Countdown("k", config.k_max, config.acts_per_beat)
        tokens = Countdown("tokens", config.tokens_max, 1)
        issued = Signal()
        m.d.comb += [
            memory.reads.valid.eq(active),
            memory.reads.payload.address.eq(address),
            issued.eq(memory.reads.valid & memory.reads.ready),
            self.loads.ready.eq(~active & ~self.quiesce),
        ]
        with m.If(issued):
            m.d.sync += [address.eq(address + 1), active.eq(~(inputs.last & tokens.last))]
            inputs.wrap(m)
            with m.If(inputs.last):
                tokens.advance(m)
        with m.If(self.loads.valid & self.loads.ready):
            m.d.sync += [active.eq(1), address.eq(0)]
            inputs.load(m, load.k)
            tokens.load(m, load.tokens)
        with m.If(self.quiesce):
            m.d.sync += active.eq(0)
        return m


class ResultStore(wiring.Component):
    """Block memory that takes the results of each job, in the order in which they come, from its address on.

    A beat beyond the end of the store is thrown away, and its job reported with `Response.DECERR`.

    Parameters
    ----------
    config
        Port and bounds.
    address_bits
        Width of a job's address, which is a multiple of a beat's bytes.

    Members
    -------
    stores : In, stream of `store_layout`
    results : In, stream of `beat_layout`
    stored : Out, high for a cycle: a job's last beat is in the memory
    store_error : Out, `Response` of the job, with `stored`
    quiesce : In, forgets all jobs; results that come meanwhile are thrown away
    address : In, word that the host reads
    data : Out, that word, three cycles after its address was set
    """

    READ_CYCLES = 3

    def __init__(self, config: AcceleratorConfig, *, address_bits: int) -> None:
        self.config = config
        self.bytes = StoreSizes.of(config).results
        super().__init__(
            {
                "stores": In(stream.Signature(store_layout(config, address_bits))),
                "results": In(stream.Signature(beat_layout(config))),
                "stored": Out(1),
                "store_error": Out(RESPONSE_BITS),
                "quiesce": In(1),
                "address": In(index_range(self.bytes // WORD_BYTES)),
                "data": Out(WORD_BITS),
            }
        )

    def elaborate(self, platform: object) -> Module:  # noqa: ARG002
        m = Module()
        config, beat = self.config, self.results.payload
        banks = config.results_per_beat
        bank_bits = banks.bit_length() - 1
        beat_bytes = banks * WORD_BYTES
        depth = self.bytes // beat_bytes

        # The place of the next beat, whose top bit says that it is beyond the end; and whether one was.
        active, failed = Signal(), Signal()
        place = Signal(depth.bit_length())
        first = beat_place(self.stores.payload.address, beat_bytes=beat_bytes, depth=depth)
        taken, end = Signal(), Signal()
        m.d.comb += [
            self.stores.ready.eq(~active & ~self.quiesce),
            self.results.ready.eq(active | self.quiesce),
            taken.eq(self.results.valid & active),
            end.eq(taken & beat.last),
        ]
        # A beat is in the memory two cycles after it was taken.
        ended, beyond = Signal(), Signal()
        m.d.sync += [
            ended.eq(end),
            beyond.eq(failed | place[-1]),
            self.stored.eq(ended),
            self.store_error.eq(Mux(beyond, Response.DECERR, Response.OKAY)),
        ]
        with m.If(taken):
            m.d.sync += [
                place.eq(Mux(place[-1], place, place + 1)),
                failed.eq(failed | place[-1]),
                active.eq(~beat.last),
            ]
        with m.If(self.stores.valid & self.stores.ready):
            m.d.sync += [active.eq(1), failed.eq(0), place.eq(first)]
        with m.If(self.quiesce):
            m.d.sync += [active.eq(0), ended.eq(0), self.stored.eq(0)]

        # All that enters the memory comes straight from registers, since its blocks are many and far apart.
        entry, written = Signal.like(place), Signal(banks)
        m.d.sync += [entry.eq(place), written.eq(Mux(taken & ~place[-1], beat.keep, 0))]
        words = []
        for bank in range(banks):
            m.submodules[f"store_bank{bank}"] = memory = Memory(shape=WORD_BITS, depth=max(2, depth), init=[])
            write, read = memory.write_port(), memory.read_port()
            entered = Signal(WORD_BITS, name=f"entered{bank}", reset_less=True)
            m.d.sync += entered.eq(beat.words[bank])
            m.d.comb += [
                write.addr.eq(entry),
                write.data.eq(entered),
                write.en.eq(written[bank]),
                read.addr.eq(self.address[bank_bits:]),
            ]
            # A register right behind the memory, which may take it in.
            word = Signal(WORD_BITS, name=f"word{bank}", reset_less=True)
            m.d.sync += word.eq(read.data)
            words.append(word)
        bank = Cat(self.address[:bank_bits])
        m.d.sync += self.data.eq(Array(words)[bank] if banks > 1 else words[0])
        return m
