"""The register file does to every word what the map says, and nothing to any other."""

from dataclasses import dataclass, field
from typing import Any

import pytest
from amaranth.sim import Simulator
from control_host import BusHost
from hypothesis import given, settings
from hypothesis import strategies as st

from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.control_config import ControlConfig
from tritforge.accel.errors import InputError
from tritforge.accel.presets import PRESETS
from tritforge.accel.register_file import RegisterFile
from tritforge.accel.register_map import registers
from tritforge.accel.registers import WORD_BITS, Access, Field, Register, RegisterMap

CONTROLS = (
    ControlConfig(results="memory", address_bits=40),
    ControlConfig(results="store", address_bits=17, in_flight=4, queue_depth=2),
    ControlConfig(address_bits=64),
)
WORDS = st.integers(0, (1 << WORD_BITS) - 1)


@dataclass
class Model:
    """What the words hold, by register name, from the map alone."""

    map: RegisterMap
    live: dict[str, int]
    words: dict[str, int] = field(default_factory=dict)
    beyond: dict[str, list[bool]] = field(default_factory=dict)

    def read(self, offset: int) -> tuple[int, int]:
        if offset not in self.map.words:
            return 0, 0
        register, index = self.map.words[offset]
        if register.constant is not None:
            return register.constant, 1
        if register.access is Access.STROBE:
            return 0, 1
        if register.access is Access.READ_ONLY:
            # The bench drives an array's words with their index added.
            return (self.live[register.name] + index if register.count > 1 else self.live[register.name]) & (
                register.mask
            ), 1
        return self.words.get(register.name, 0), 1

    def write(self, offset: int, data: int, strobe: int) -> None:
        if offset not in self.map.words:
            return
        register, _ = self.map.words[offset]
        enabled = sum(0xFF << 8 * byte for byte in range(4) if strobe >> byte & 1)
        before = self.words.get(register.name, 0)
        if register.access is Access.CLEAR:
            self.words[register.name] = before & ~(data & enabled)
        elif register.access is Access.READ_WRITE:
            self.words[register.name] = (before & ~enabled | data & enabled) & register.mask
            flags = self.beyond.setdefault(register.name, [False] * 4)
            for byte in range(4):
                if strobe >> byte & 1:
                    flags[byte] = bool(data & ~register.mask & 0xFF << 8 * byte)


def run(dut: RegisterFile, program: Any) -> None:
    simulator = Simulator(dut)
    simulator.add_clock(1e-8)

    async def main(ctx: Any) -> None:
        await program(ctx, BusHost(ctx, dut.bus, dut.registers))

    simulator.add_testbench(main)
    simulator.run()


def is_live(register: Register) -> bool:
    return register.access is Access.READ_ONLY and register.constant is None


@pytest.mark.parametrize("control", CONTROLS, ids=lambda control: control.results)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_reads_and_writes_do_what_the_map_says(control: ControlConfig, data: st.DataObject) -> None:
    dut = RegisterFile(registers(PRESETS["tiny"], control))
    known = st.sampled_from(sorted(dut.registers.words))
    offsets = st.one_of(known, known, st.integers(0, 1023).map(lambda word: 4 * word))
    accesses = data.draw(
        st.lists(st.tuples(offsets, st.booleans(), WORDS, st.integers(0, 15)), min_size=10, max_size=60)
    )
    live = {name: data.draw(WORDS) & ~0xF for name, register in dut.registers.items() if is_live(register)}
    held = {
        name: data.draw(WORDS) & register.mask
        for name, register in dut.registers.items()
        if register.access is Access.CLEAR
    }

    async def program(ctx: Any, host: BusHost) -> None:
        model = Model(dut.registers, live, words=dict(held))
        for name, word in live.items():
            if dut.registers[name].count == 1:
                ctx.set(getattr(dut, name.lower()).as_value(), word)
        for name, word in held.items():
            ctx.set(getattr(dut, f"{name.lower()}_set").as_value(), word)
        await ctx.tick()
        for name in held:
            ctx.set(getattr(dut, f"{name.lower()}_set").as_value(), 0)
        for offset, write, word, strobe in accesses:
            answer, known = await host.access(offset, write=write, data=word, strobe=strobe)
            expected = model.read(offset)
            assert known == expected[1]
            assert write or answer == expected[0]
            if write:
                model.write(offset, word, strobe)
            for name, flags in model.beyond.items():
                if dut.registers[name].guarded:
                    assert ctx.get(getattr(dut, f"{name.lower()}_beyond")) == any(flags), name
            for name, value in model.words.items():
                assert ctx.get(getattr(dut, name.lower()).as_value()) == value, name

    async def array(ctx: Any) -> None:
        # The word of an array follows its index by a cycle, as that of a memory does.
        for name, word in live.items():
            if dut.registers[name].count > 1:
                while True:
                    *_, index = await ctx.tick().sample(getattr(dut, f"{name.lower()}_index"))
                    ctx.set(getattr(dut, name.lower()).as_value(), word + index)

    simulator = Simulator(dut)
    simulator.add_clock(1e-8)

    async def main(ctx: Any) -> None:
        await program(ctx, BusHost(ctx, dut.bus, dut.registers))

    simulator.add_testbench(array, background=True)
    simulator.add_testbench(main)
    simulator.run()


def test_a_strobe_is_high_for_the_cycle_after_its_write_and_only_where_bytes_are_enabled() -> None:
    dut = RegisterFile(registers(PRESETS["tiny"], ControlConfig()))
    offset = dut.registers["CONTROL"].offset // 4

    async def program(ctx: Any, host: BusHost) -> None:
        for strobe, expected in ((0b0001, 0b111), (0b1110, 0)):
            ctx.set(dut.bus.address, offset)
            ctx.set(dut.bus.w_data, 0xFFFFFFFF)
            ctx.set(dut.bus.w_strb, strobe)
            ctx.set(dut.bus.write, 1)
            assert ctx.get(dut.control.as_value()) == 0
            await ctx.tick()
            ctx.set(dut.bus.write, 0)
            assert ctx.get(dut.control.as_value()) == expected
            await ctx.tick()
            assert ctx.get(dut.control.as_value()) == 0

    run(dut, program)


def test_what_sets_a_bit_wins_over_the_write_that_clears_it() -> None:
    dut = RegisterFile(registers(PRESETS["tiny"], ControlConfig()))

    async def program(ctx: Any, host: BusHost) -> None:
        ctx.set(dut.errors_set.as_value(), 0b10)
        await host.write("ERRORS", 0xFFFFFFFF)
        ctx.set(dut.errors_set.as_value(), 0)
        assert await host.read("ERRORS") == 0b10
        await host.write("ERRORS", 0b01)
        assert await host.read("ERRORS") == 0b10
        await host.write("ERRORS", 0b10)
        assert await host.read("ERRORS") == 0

    run(dut, program)


@pytest.mark.parametrize(("offset", "count"), [(0x44, 16), (0x40, 17)])
def test_an_array_must_start_a_group_of_words(offset: int, count: int) -> None:
    array = Register(
        name="ARRAY",
        offset=offset,
        access=Access.READ_ONLY,
        fields=(Field(name="value", shift=0, width=1, description="value"),),
        description="array",
        count=count,
    )
    with pytest.raises(InputError) as error:
        RegisterFile(RegisterMap((array,)))
    assert str(error.value) == (
        f"array ARRAY of {count} words is at {offset:#x}; it must start a page of 16 words and fit into it"
    )


def test_registers_have_the_fields_of_the_map_as_members() -> None:
    config = AcceleratorConfig(partial_sums=True)
    dut = RegisterFile(registers(config, ControlConfig()))
    assert len(dut.job_m.m) == config.m_max.bit_length()
    assert len(dut.job_flags.accumulate) == 1
    assert len(dut.status.waiting) == 5
    assert not hasattr(dut, "result_stride")
    assert not hasattr(dut, "id")
