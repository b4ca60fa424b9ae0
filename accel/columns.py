"""Column lanes: one accumulator for each output row of a block, fed with columns of weights."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import stream, wiring
from amaranth.lib.data import StructLayout
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from tritforge.accel.codes import TRIT_BITS, WORDS
from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.datapath import extend
from tritforge.accel.decoders import WordDecoder
from tritforge.accel.ecp5 import Adder, Kind, add_chain
from tritforge.accel.job import index_range


def value_layout(config: AcceleratorConfig) -> StructLayout:
    """Layout of an activation that multiplies a column; `end` marks a block's last column."""
    return StructLayout({"value": signed(config.act_bits), "end": 1})


class ColumnLanes(wiring.Component):
    """Multiplies each activation with its column's trits of a row block and adds the products to the rows' sums.

    A column of a block is `column_beats` beats; the lanes serve all of them in turn, so a lane keeps one sum for each
    beat: in a memory, or in a register where a column is one beat. A lane adds ``x``, ``~x`` or 0, and the +1 of a
    negation is its adder's carry-in: a column that is left out owes nothing. After a block's last column its sums
    leave in the order of the rows, `column_chunk` rows a cycle, as entries of the result queue.

    Parameters
    ----------
    config
        Widths.

    Members
    -------
    start, m : In, take a job of `m` output rows; while `busy` is low
    values : In, stream of `value_layout`
    beats : In, stream of `weight_port_bits`: the columns' beats, in the order of the values
    turn : In, sums may leave; held until `finished`
    room : In, the result queue has a place that is not yet spoken for
    reserve : Out, a place in the queue is taken, whose entry is pushed in the next cycle
    sums, push : Out, an entry of the queue
    busy : Out, a job was taken that is not finished
    finished : Out, high for the cycle in which the job's last place is taken
    illegal : Out, high for the cycle in which a beat with an illegal word was taken

    A beat is taken every cycle but for those of a block's end: two for the adder, one for each chunk of rows, and one
    between the rows of two beats.
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self.config = config
        super().__init__(
            {
                "start": In(1),
                "m": In(config.m_max.bit_length()),
                "values": In(stream.Signature(value_layout(config))),
                "beats": In(stream.Signature(config.weight_port_bits)),
                "turn": In(1),
                "room": In(1),
                "reserve": Out(1),
                "sums": Out(config.rows * config.acc_bits),
                "push": Out(1),
                "busy": Out(1),
                "finished": Out(1),
                "illegal": Out(1),
            }
        )

    def add(self, m: Module, index: int, sum_: Value, act: Value, trit: Value, *, cells: bool) -> Value:
        """Return a lane's new sum."""
        width = self.config.acc_bits
        nonzero, neg = trit
        wide = extend(act, width)
        if self.config.target == "ecp5":
            adder = Adder(
                kind=Kind.TERNARY,
                a=sum_,
                b=wide,
                c=neg.replicate(width),
                d=nonzero.replicate(width),
                carry=neg,
            )
            return add_chain(m, [adder], name=f"lane{index}", cells=cells)[0]
        passed = (wide ^ neg.replicate(width)) & nonzero.replicate(width)
        return (Cat(1, sum_) + Cat(neg, passed))[1 : width + 1]

    def _decode(self, m: Module) -> tuple[Value, Value]:
        """Return the trits of the beat at the port, and whether one of its words is illegal."""
        trits, bits = WORDS[self.config.packing]
        decoders = []
        for index in range(-(-self.config.column_lanes // trits)):
            m.submodules[f"decoder{index}"] = decoder = WordDecoder(self.config.packing)
            m.d.comb += decoder.word.eq(self.beats.payload.word_select(index, bits))
            decoders.append(decoder)
        flags = Cat(decoder.illegal for decoder in decoders)
        return Cat(decoder.trits for decoder in decoders), flags.any()

    def _totals(self, m: Module, register: Signal, act: Signal, trits: Signal, *, cells: bool) -> Value:
        """Return the new sums of all lanes."""
        width = self.config.acc_bits
        return Cat(
            self.add(
                m,
                lane,
                register.word_select(lane, width),
                act,
                trits.word_select(lane, TRIT_BITS),
                cells=cells,
            )
            for lane in range(self.config.column_lanes)
        )

    def _store(
        self,
        m: Module,
        register: Signal,
        total: Value,
        phase: Signal,
        *,
        write: Signal,
        load: Value,
        fresh: Signal,
    ) -> None:
        """Keep the sums of each phase in a memory that `register` is loaded from, or from 0 where `fresh`."""
        m.submodules.memory = memory = Memory(shape=len(register), depth=self.config.column_phases, init=[])
        write_port, read_port = memory.write_port(), memory.read_port(domain="comb")
        m.d.sync += write_port.addr.eq(phase)
        m.d.comb += [write_port.data.eq(total), write_port.en.eq(write), read_port.addr.eq(phase)]
        with m.If(load):
            m.d.sync += register.eq(read_port.data)
        # Beside the load, not within it: the flip-flops' reset is then a register's output.
        with m.If(fresh):
            m.d.sync += register.eq(0)

    def _give(self, m: Module, register: Signal, leaving: Signal) -> tuple[Signal, Signal, Signal]:
        """Give the sums of `register` away, chunk by chunk, joined into entries, while `leaving` is high.

        Returns whether a chunk leaves, whether it is the word's last, and whether it is the job's last.
        """
        chunk = self.config.column_chunk
        bits = chunk * self.config.acc_bits
        chunks, parts = self.config.column_lanes // chunk, self.config.rows // chunk
        # One bit for each chunk of the word, of which one is high; ends are known from registers, not from counters
        # that are compared in the cycle that needs them.
        select, part = Signal(chunks, init=1), Signal(index_range(parts))
        # Rows behind this chunk, less one: negative when there are none.
        behind = Signal(signed(max(len(self.m), chunk.bit_length()) + 1))
        leave, full, word_end, job_end = Signal(), Signal(), Signal(), Signal()
        m.d.comb += [
            full.eq((part == parts - 1) | job_end),
            leave.eq(leaving & (self.room | ~full)),
            word_end.eq(select[-1]),
            job_end.eq(behind[-1]),
            self.reserve.eq(leave & full),
            self.finished.eq(leave & job_end),
        ]
        m.d.sync += self.push.eq(self.reserve)
        selected: Value = Const(0, bits)
        for index in range(chunks):
            selected |= register.word_select(index, bits) & select[index].replicate(bits)
        for index in range(parts):
            # Whether the chunk leaves or waits: an entry is looked at behind its last one alone.
            with m.If(part == index):
                m.d.sync += self.sums.word_select(index, bits).eq(selected)
        with m.If(leave):
            m.d.sync += [
                part.eq(Mux(full, 0, part + 1)),
                select.eq(Mux(word_end | job_end, 1, select << 1)),
                behind.eq(behind - chunk),
            ]
        with m.If(self.start):
            m.d.sync += behind.eq(self.m - (chunk + 1))
        return leave, word_end, job_end

    def _states(self, m: Module) -> tuple[Signal, Signal, Signal, Signal]:
        """Return the states of a block, which take turns: columns added, the last one, sums read, sums leaving."""
        adding, ending, loading, leaving = (
            Signal(name=name) for name in ("adding", "ending", "loading", "leaving")
        )
        block_end = self.values.ready & self.values.payload.end
        m.d.sync += ending.eq(block_end)
        with m.If(block_end):
            m.d.sync += adding.eq(0)
        with m.If(ending):
            m.d.sync += loading.eq(1)
        with m.If(loading & self.turn):
            m.d.sync += [loading.eq(0), leaving.eq(1)]
        with m.If(self.start):
            m.d.sync += adding.eq(1)
        m.d.comb += self.busy.eq(adding | ending | loading | leaving)
        return adding, ending, loading, leaving

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self.config
        lanes, phases, width = config.column_lanes, config.column_phases, config.acc_bits

        adding, ending, loading, leaving = self._states(m)
        beat = Signal(index_range(phases))
        taken, column_end = Signal(), Signal()
        m.d.comb += [
            column_end.eq(beat == phases - 1),
            self.beats.ready.eq(adding & self.values.valid),
            taken.eq(self.beats.valid & self.beats.ready),
            self.values.ready.eq(taken & column_end),
        ]

        # Decoded trits and the activation, a cycle behind their beat.
        trits = Signal(lanes * TRIT_BITS, reset_less=True)
        act = Signal(config.act_bits, reset_less=True)
        held = Signal()
        decoded, illegal = self._decode(m)
        m.d.comb += self.illegal.eq(taken & illegal)
        # Registers that follow the ports in every cycle leave the handshake a small fan-out.
        m.d.sync += [held.eq(taken), trits.eq(decoded), act.eq(self.values.payload.value)]
        with m.If(taken):
            m.d.sync += beat.eq(Mux(column_end, 0, beat + 1))

        # What holds sums has no reset, so that a flip-flop's own is free to clear it at a block's start.
        register = Signal(lanes * width, reset_less=True)
        leave, word_out, job_out = self._give(m, register, leaving)
        block_out, begins = Signal(), Signal()
        # The phase of the sums that are read, for a beat or to leave.
        phase, last_word = Signal(index_range(phases)), Signal(init=phases == 1)
        m.d.comb += block_out.eq(word_out & last_word)
        m.d.sync += begins.eq(self.start | (leave & block_out))
        if phases == 1:
            total = self._totals(m, register, act, trits, cells=platform is not None)
            with m.If(held):
                m.d.sync += register.eq(total)
            with m.If(begins):
                m.d.sync += register.eq(0)
        else:
            # Sums are read in the cycle behind the beat and added to in the next: a beat's sums were written by then,
            # since the column before is two beats ahead at least.
            late_trits, late_act = Signal.like(trits), Signal.like(act)
            first, fresh, add = Signal(), Signal(), Signal()
            m.d.sync += [
                late_trits.eq(trits),
                late_act.eq(act),
                fresh.eq(taken & (first | begins)),
                add.eq(held),
            ]
            with m.If(begins):
                m.d.sync += first.eq(1)
            with m.If(self.values.ready):
                m.d.sync += first.eq(0)
            with m.If(taken):
                m.d.sync += phase.eq(beat)
            with m.If(ending):
                m.d.sync += phase.eq(0)
            with m.If(loading & self.turn):
                m.d.sync += [phase.eq(phase + 1), last_word.eq(phase == phases - 1)]
            total = self._totals(m, register, late_act, late_trits, cells=platform is not None)
            self._store(m, register, total, phase, write=add, load=held | loading, fresh=fresh)

        with m.If(leave & (word_out | job_out)):
            m.d.sync += [leaving.eq(0), adding.eq(block_out & ~job_out), loading.eq(~block_out & ~job_out)]
        return m
