"""Words are put together and taken apart by their fields; a map has no two registers at one place."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tritforge.accel.errors import InputError
from tritforge.accel.registers import WORD_BITS, Access, Field, Register, RegisterMap


def make(
    name: str = "WORD", offset: int = 0, fields: tuple[tuple[str, int, int], ...] = (), count: int = 1
) -> Register:
    return Register(
        name=name,
        offset=offset,
        access=Access.READ_WRITE,
        fields=tuple(
            Field(name=name, shift=shift, width=width, description="") for name, shift, width in fields
        ),
        description="",
        count=count,
    )


WORD = make(fields=(("low", 0, 4), ("flag", 7, 1), ("high", 20, 12)))


@given(low=st.integers(0, 15), flag=st.integers(0, 1), high=st.integers(0, 4095))
def test_decode_is_the_inverse_of_encode(low: int, flag: int, high: int) -> None:
    values = {"low": low, "flag": flag, "high": high}
    assert WORD.decode(WORD.encode(**values)) == values


@given(word=st.integers(0, (1 << WORD_BITS) - 1))
def test_encode_gives_back_the_bits_of_the_fields_alone(word: int) -> None:
    assert WORD.encode(**WORD.decode(word)) == word & WORD.mask


def test_fields_that_are_not_named_are_zero() -> None:
    assert WORD.encode(flag=1) == 0x80
    assert WORD.set_names(0x80 | 1 << 10 | 3) == ["low", "flag"]
    assert WORD.set_names(1 << 10) == []


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"low": 16}, "low of WORD is 16; its 4 bits hold 0 to 15"),
        ({"flag": -1}, "flag of WORD is -1; its 1 bits hold 0 to 1"),
        ({"other": 0}, "register WORD has no field 'other'; its fields are low, flag, high"),
    ],
)
def test_values_that_do_not_fit_are_refused(values: dict[str, int], message: str) -> None:
    with pytest.raises(InputError) as error:
        WORD.encode(**values)
    assert str(error.value) == message


def test_a_register_without_fields_says_so() -> None:
    with pytest.raises(InputError, match=r"^register WORD has no field 'x'; its fields are none$"):
        make()["x"]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ((("a", 0, 4), ("b", 3, 1)), "field b of register WORD overlaps another one"),
        ((("a", 30, 3),), "field a lies in bits 30 to 32; a word has bits 0 to 31"),
        ((("a", 0, 0),), "field a lies in bits 0 to -1; a word has bits 0 to 31"),
    ],
)
def test_fields_that_do_not_fit_a_word_are_refused(
    fields: tuple[tuple[str, int, int], ...], message: str
) -> None:
    with pytest.raises(InputError) as error:
        make(fields=fields)
    assert str(error.value) == message


def test_an_offset_is_that_of_a_word() -> None:
    with pytest.raises(InputError, match=r"^register WORD is at 0x6; a multiple of 4 is needed$"):
        make(offset=6)


def test_a_map_is_ordered_by_offsets_and_knows_every_word() -> None:
    late, early = make("LATE", 0x20, count=3), make("EARLY", 0x1C)
    registers = RegisterMap((late, early))
    assert list(registers) == ["EARLY", "LATE"]
    assert registers["LATE"] is late
    assert registers.words == {0x1C: (early, 0), 0x20: (late, 0), 0x24: (late, 1), 0x28: (late, 2)}
    assert list(late.offsets) == [0x20, 0x24, 0x28]


def test_a_map_has_one_register_at_a_place_and_of_a_name() -> None:
    with pytest.raises(InputError, match=r"^registers A and B overlap$"):
        RegisterMap((make("A", 0x20, count=2), make("B", 0x24)))
    with pytest.raises(InputError, match=r"^two registers have the same name$"):
        RegisterMap((make("A", 0x20), make("A", 0x24)))
