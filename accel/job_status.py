"""How jobs ended: causes gathered job by job while several are under way, counts, and the last jobs' words."""

from amaranth.hdl import Array, Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from tritforge.accel.control_config import NUMBERS, ControlConfig
from tritforge.accel.descriptor import NUMBER_BITS, RESPONSE_BITS, Response
from tritforge.accel.register_map import (
    ABORTED,
    DONE,
    ILLEGAL_TRIT,
    JOB_CAUSES,
    STORE_DECERR,
    STORE_SLVERR,
    WEIGHT_DECERR,
    WEIGHT_SLVERR,
)
from tritforge.accel.registers import WORD_BITS

#: Causes that come with weight beats, in the order of `WeightCauses.causes`.
BEAT_CAUSES = (ILLEGAL_TRIT, WEIGHT_SLVERR, WEIGHT_DECERR)
_CAUSE_BITS = max(JOB_CAUSES) + 1
#: Cycles from a weight beat to the loader's flag of an illegal word in it.
ILLEGAL_LATENCY = 3


class WeightCauses(wiring.Component):
    """Gathers what is wrong with the weight beats of each job.

    The loader goes on with the next job's beats while the results of those before leave, so each job under way has
    flags of its own.

    Parameters
    ----------
    control
        Jobs that can be under way.

    Members
    -------
    begun : In, the beats from the next cycle on are the next job's
    taken, error : In, a beat is taken, with this `Response`
    illegal : In, the beat of `ILLEGAL_LATENCY` cycles before had an illegal word
    restart, next : In, the next job to begin is number `next`
    number : In, the job asked about
    causes : Out, its causes so far, by `BEAT_CAUSES`; those of a beat show a cycle after its flag
    clear : In, forget them
    """

    def __init__(self, control: ControlConfig) -> None:
        self.control = control
        super().__init__(
            {
                "begun": In(1),
                "taken": In(1),
                "error": In(RESPONSE_BITS),
                "illegal": In(1),
                "restart": In(1),
                "next": In(NUMBER_BITS),
                "number": In(NUMBER_BITS),
                "causes": Out(len(BEAT_CAUSES)),
                "clear": In(1),
            }
        )

    def elaborate(self, platform: object) -> Module:  # noqa: ARG002
        m = Module()
        slots = [Signal(len(BEAT_CAUSES), name=f"slot{index}") for index in range(self.control.in_flight)]
        bits = (len(slots) - 1).bit_length()
        begun = Signal(NUMBER_BITS, init=NUMBERS - 1)
        m.d.sync += begun.eq(Mux(self.restart, self.next - 1, begun + self.begun))
        # The beat's own flags wait for that of its words, with its job's number.
        slave_error, decode_error = Signal(), Signal()
        m.d.comb += [
            slave_error.eq(self.taken & (self.error == Response.SLVERR)),
            decode_error.eq(self.taken & (self.error == Response.DECERR)),
        ]
        beat = Cat(slave_error, decode_error, begun)
        for stage in range(ILLEGAL_LATENCY):
            delayed = Signal(len(beat), name=f"beat{stage}")
            m.d.sync += delayed.eq(Mux(self.restart, 0, beat))
            beat = delayed
        of_beat = beat[2:]
        found = Cat(self.illegal, beat[:2])
        for index, slot in enumerate(slots):
            with m.If(self.restart | (self.clear & (self.number[:bits] == index))):
                m.d.sync += slot.eq(0)
            with m.Elif(of_beat[:bits] == index):
                m.d.sync += slot.eq(slot | found)
        m.d.comb += self.causes.eq(Array(slots)[self.number[:bits]])
        return m


class JobStatus(wiring.Component):
    """Ends jobs in the order of their starts, and keeps the word of each of the last 16.

    Members
    -------
    ended : In, high for a cycle: the oldest job's results have left
    causes : In, what is wrong with its weights, by `BEAT_CAUSES`, in the same cycle
    store_error : In, the `Response` to its results
    aborted : In, with `ended`: the job was aborted
    oldest : Out, number of the oldest job that has not ended
    completed : Out, high for a cycle, the next one after `ended`: the job counts as completed with the next cycle
    word : Out, with `completed`: its causes by the bits of JOB_STATUS; zero in other cycles
    number : In, the number that the next job gets
    in_flight : In, jobs started and not completed
    index : In, slot to read
    status : Out, its word, a cycle later: as JOB_STATUS
    """

    def __init__(self) -> None:
        super().__init__(
            {
                "ended": In(1),
                "causes": In(len(BEAT_CAUSES)),
                "store_error": In(RESPONSE_BITS),
                "aborted": In(1),
                "oldest": Out(NUMBER_BITS),
                "completed": Out(1),
                "word": Out(_CAUSE_BITS),
                "number": In(NUMBER_BITS),
                "in_flight": In(range(NUMBERS + 1)),
                "index": In(NUMBER_BITS),
                "status": Out(WORD_BITS),
            }
        )

    def elaborate(self, platform: object) -> Module:  # noqa: ARG002
        m = Module()
        m.submodules.words = words = Memory(shape=_CAUSE_BITS, depth=NUMBERS, init=[])
        write, read = words.write_port(), words.read_port()
        number = Signal(NUMBER_BITS)

        flags = {
            **{bit: self.causes[index] for index, bit in enumerate(BEAT_CAUSES)},
            STORE_SLVERR: self.store_error == Response.SLVERR,
            STORE_DECERR: self.store_error == Response.DECERR,
            ABORTED: self.aborted,
        }
        m.d.sync += [
            self.oldest.eq(self.oldest + self.ended),
            self.completed.eq(self.ended),
            number.eq(self.oldest),
            self.word.eq(Cat(flags.get(bit, 0) & self.ended for bit in range(_CAUSE_BITS))),
        ]
        m.d.comb += [
            write.addr.eq(number),
            write.data.eq(self.word),
            write.en.eq(self.completed),
            read.addr.eq(self.index),
        ]

        # A slot is of a job that was completed if one was started in it, and its last one is not under way.
        wrapped, wrapped_before, done = Signal(), Signal(), Signal()
        number_before, age = Signal(NUMBER_BITS), Signal(NUMBER_BITS)
        m.d.comb += [
            wrapped.eq(wrapped_before | (number_before.all() & ~self.number.any())),
            # Jobs started since the slot's last one, modulo 16 and less one; those under way are the youngest.
            age.eq(self.number - 1 - self.index),
        ]
        m.d.sync += [
            number_before.eq(self.number),
            wrapped_before.eq(wrapped),
            done.eq((wrapped | (self.index < self.number)) & (age >= self.in_flight)),
        ]
        m.d.comb += self.status.eq(Mux(done, read.data | 1 << DONE, 0))
        return m
