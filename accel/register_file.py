"""The hardware of a register map: every register that `tritforge.accel.register_map` names, with its access."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.data import Field as LayoutField
from amaranth.lib.data import FlexibleLayout
from amaranth.lib.wiring import In, Out

from tritforge.accel.errors import InputError
from tritforge.accel.register_bus import RegisterBus
from tritforge.accel.registers import WORD_BITS, WORD_BYTES, Access, Register, RegisterMap

#: Words that one multiplexer chooses from, a power of two; the groups are joined after a register.
_GROUP_WORDS = 4
#: Words that an array may have, a power of two.
_ARRAY_WORDS = 16
_GROUP_BITS = _GROUP_WORDS.bit_length() - 1
_ARRAY_BITS = _ARRAY_WORDS.bit_length() - 1


def word_layout(register: Register) -> FlexibleLayout:
    """Layout of a register's word: its fields where the map has them."""
    return FlexibleLayout(
        WORD_BITS, {field.name: LayoutField(field.width, field.shift) for field in register.fields}
    )


def index_name(register: Register) -> str:
    """Name of the member that says which word of an array is read."""
    return f"{register.name.lower()}_index"


class RegisterFile(wiring.Component):
    """Registers behind a `RegisterBus`.

    Parameters
    ----------
    registers
        The map. Arrays are read-only, of 16 words or fewer; each has a page of 16 words of its own.

    Raises
    ------
    InputError
        An array that does not start such a page, or is longer.

    Members
    -------
    bus : In, `RegisterBus`
    others : named as the registers, in lower case, with the fields of the map:
        read-only and no constant : In, what is read; for an array that of the word at `..._index` in the cycle
        before, which is an Out
        read-write : Out, what was written; and with `guarded` an Out `..._beyond`, whether a bit outside of the
        fields was last written as 1
        write 1 to clear : Out, the bits; and an In `..._set`, which sets them
        strobe : Out, bits that are high in the cycle after that in which they were written
    """

    def __init__(self, registers: RegisterMap) -> None:
        self.registers = registers
        members: dict[str, Any] = {"bus": In(RegisterBus())}
        for register in registers.values():
            if register.constant is not None:
                continue
            name, layout = register.name.lower(), word_layout(register)
            members[name] = In(layout) if register.access is Access.READ_ONLY else Out(layout)
            if register.count > 1:
                if register.offset % (WORD_BYTES * _ARRAY_WORDS) or register.count > _ARRAY_WORDS:
                    raise InputError(
                        f"array {register.name} of {register.count} words is at {register.offset:#x}; "
                        f"it must start a page of {_ARRAY_WORDS} words and fit into it"
                    )
                members[index_name(register)] = Out(range(register.count))
            if register.access is Access.CLEAR:
                members[f"{name}_set"] = In(layout)
            if register.guarded:
                members[f"{name}_beyond"] = Out(1)
        super().__init__(members)

    def elaborate(self, platform: object) -> Module:  # noqa: ARG002
        m = Module()
        bus = self.bus
        # What a written word's bytes that are enabled cover.
        enabled = Signal(WORD_BITS)
        m.d.comb += enabled.eq(Cat(strobe.replicate(8) for strobe in bus.w_strb))
        groups: dict[int, dict[int, Any]] = {}
        arrays: list[tuple[int, Register]] = []
        for offset, (register, index) in self.registers.words.items():
            word = offset // WORD_BYTES
            if register.count > 1:
                if index == 0:
                    arrays.append((word, register))
                continue
            groups.setdefault(word // _GROUP_WORDS, {})[word % _GROUP_WORDS] = self._value(register)
            written = bus.write & (bus.address == word)
            self._write(m, register, written, enabled)

        answers = []
        for group, values in groups.items():
            answer = Signal(WORD_BITS, name=f"answer{group}", reset_less=True)
            chosen = Signal(WORD_BITS, name=f"chosen{group}")
            with m.Switch(bus.address[:_GROUP_BITS]):
                for place, value in values.items():
                    with m.Case(place):
                        m.d.comb += chosen.eq(value)
                # Lint tools miss a default, here and below.
                with m.Default():
                    m.d.comb += chosen.eq(0)
            here = bus.address[_GROUP_BITS:] == group
            m.d.sync += answer.eq(Mux(here, chosen, 0))
            answers.append(answer)
        for word, register in arrays:
            here = Signal(name=f"{register.name.lower()}_here")
            m.d.sync += here.eq(bus.address[_ARRAY_BITS:] == word // _ARRAY_WORDS)
            m.d.comb += getattr(self, index_name(register)).eq(bus.address)
            answers.append(self._value(register) & here.replicate(WORD_BITS))
        for answer in answers[1:]:
            answers[0] = answers[0] | answer
        m.d.comb += bus.r_data.eq(answers[0])

        known = Signal()
        with m.Switch(bus.address):
            with m.Case(*(offset // WORD_BYTES for offset in self.registers.words)):
                m.d.comb += known.eq(1)
            with m.Default():
                m.d.comb += known.eq(0)
        m.d.sync += bus.known.eq(known & (bus.read | bus.write))
        return m

    def _value(self, register: Register) -> Any:
        """Return what a register reads."""
        if register.constant is not None:
            return register.constant
        if register.access is Access.STROBE:
            return 0
        # Bits outside of the fields are zero, whatever drives them.
        return getattr(self, register.name.lower()).as_value() & register.mask

    def _write(self, m: Module, register: Register, written: Any, enabled: Any) -> None:
        """Do what a write to a register does; `written` is high in its cycle."""
        if register.access is Access.READ_ONLY:
            return
        name, data = register.name.lower(), self.bus.w_data
        value = getattr(self, name).as_value()
        if register.access is Access.STROBE:
            m.d.sync += value.eq(data & enabled & register.mask & written.replicate(WORD_BITS))
        elif register.access is Access.CLEAR:
            cleared = data & enabled & written.replicate(WORD_BITS)
            m.d.sync += value.eq((value & ~cleared | getattr(self, f"{name}_set").as_value()) & register.mask)
        else:
            beyond = Signal(WORD_BYTES, name=f"{name}_beyond_bytes")
            for byte in range(WORD_BYTES):
                bits = slice(8 * byte, 8 * byte + 8)
                inside = register.mask >> 8 * byte & 0xFF
                with m.If(written & self.bus.w_strb[byte]):
                    m.d.sync += value[bits].eq(data[bits] & inside)
                    if register.guarded and inside != 0xFF:
                        m.d.sync += beyond[byte].eq((data[bits] & (0xFF ^ inside)).any())
            if register.guarded:
                m.d.comb += getattr(self, f"{name}_beyond").eq(beyond.any())
