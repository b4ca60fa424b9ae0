"""Registers as data: names, offsets, fields, and how words are put together and taken apart.

Imports neither Amaranth nor NumPy: hardware, C header, documentation and driver share it.
"""

import enum
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from tritforge.accel.errors import InputError

WORD_BITS = 32
WORD_BYTES = WORD_BITS // 8


class Access(enum.Enum):
    """What reading and writing a register does."""

    READ_ONLY = "RO"
    READ_WRITE = "RW"
    #: Writing 1 clears a bit; what sets it in the same cycle wins.
    CLEAR = "W1C"
    #: Writing 1 starts something; reads as zero.
    STROBE = "WO"


@dataclass(frozen=True, kw_only=True)
class Field:
    """Bits of a register.

    Attributes
    ----------
    name
        Lower-case name.
    shift, width
        Place of the lowest bit, and number of bits.
    description
        What it says, a sentence without its full stop.
    names
        What values stand for, where they have names: the name of value i at place i.
    """

    name: str
    shift: int
    width: int
    description: str
    names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.shift < 0 or self.width < 1 or self.shift + self.width > WORD_BITS:
            raise InputError(
                f"field {self.name} lies in bits {self.shift} to {self.shift + self.width - 1}; "
                f"a word has bits 0 to {WORD_BITS - 1}"
            )

    @property
    def mask(self) -> int:
        """Its bits in the word."""
        return ((1 << self.width) - 1) << self.shift


@dataclass(frozen=True, kw_only=True)
class Register:
    """A word, or an array of them.

    Attributes
    ----------
    name
        Upper-case name.
    offset
        Byte address in the page, a multiple of 4.
    access
        What reading and writing do.
    fields
        Its fields, lowest first; other bits read as zero, and what is written to them has no effect.
    description
        What it is for.
    constant
        The word that it always reads, where that is known when the hardware is generated.
    count
        Words of an array; the word at index i lies at ``offset + 4 * i``.
    guarded
        Whether the hardware remembers that a bit outside of the fields was written as 1: a start is then refused.
    """

    name: str
    offset: int
    access: Access
    fields: tuple[Field, ...]
    description: str
    constant: int | None = None
    count: int = 1
    guarded: bool = False

    def __post_init__(self) -> None:
        if self.offset % WORD_BYTES:
            raise InputError(f"register {self.name} is at {self.offset:#x}; a multiple of 4 is needed")
        used = 0
        for field in self.fields:
            if used & field.mask:
                raise InputError(f"field {field.name} of register {self.name} overlaps another one")
            used |= field.mask

    @property
    def mask(self) -> int:
        """Bits of all fields."""
        return sum(field.mask for field in self.fields)

    @property
    def offsets(self) -> range:
        """Byte addresses of its words."""
        return range(self.offset, self.offset + WORD_BYTES * self.count, WORD_BYTES)

    def __getitem__(self, name: str) -> Field:
        """Return a field by name."""
        for field in self.fields:
            if field.name == name:
                return field
        raise InputError(
            f"register {self.name} has no field {name!r}; its fields are "
            f"{', '.join(field.name for field in self.fields) or 'none'}"
        )

    def decode(self, word: int) -> dict[str, int]:
        """Return the fields of a word by name."""
        return {field.name: (word & field.mask) >> field.shift for field in self.fields}

    def encode(self, **values: int) -> int:
        """Return the word whose fields have these values, those not named being zero.

        Raises
        ------
        InputError
            No such field, or a value that does not fit it.
        """
        word = 0
        for name, value in values.items():
            field = self[name]
            if not 0 <= value < 1 << field.width:
                raise InputError(
                    f"{name} of {self.name} is {value}; its {field.width} bits hold 0 to {(1 << field.width) - 1}"
                )
            word |= value << field.shift
        return word

    def set_names(self, word: int) -> list[str]:
        """Return the names of the fields that are not zero in a word."""
        return [name for name, value in self.decode(word).items() if value]


class RegisterMap(Mapping[str, Register]):
    """Registers by name, in the order of their offsets.

    Raises
    ------
    InputError
        Two registers of one name or at one address.
    """

    def __init__(self, registers: tuple[Register, ...]) -> None:
        ordered = sorted(registers, key=lambda register: register.offset)
        self._registers = {register.name: register for register in ordered}
        if len(self._registers) != len(registers):
            raise InputError("two registers have the same name")
        #: Register and index in it, by byte address.
        self.words: dict[int, tuple[Register, int]] = {}
        for register in ordered:
            for index, offset in enumerate(register.offsets):
                if offset in self.words:
                    raise InputError(f"registers {self.words[offset][0].name} and {register.name} overlap")
                self.words[offset] = (register, index)

    def __getitem__(self, name: str) -> Register:
        return self._registers[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._registers)

    def __len__(self) -> int:
        return len(self._registers)
