"""One ASCII character, one token."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tritforge.accel.errors import InputError
from tritforge.models.tokenizer import SUBSTITUTE, decode, encode


@given(st.text(st.characters(max_codepoint=127)))
def test_decoding_reverses_encoding(text: str) -> None:
    tokens = encode(text)
    assert tokens.tolist() == [ord(character) for character in text]
    assert decode(tokens) == text


@given(st.text())
def test_replacing_keeps_the_length_and_the_ascii_characters(text: str) -> None:
    expected = "".join(c if ord(c) < 128 else SUBSTITUTE for c in text)
    assert decode(encode(text, errors="replace")) == expected


def test_a_foreign_character_is_named_with_its_position() -> None:
    message = (
        r"^character '£' at position 4 is not in the vocabulary: the model knows the 128 ASCII characters$"
    )
    with pytest.raises(InputError, match=message):
        encode("ten £")


def test_bytes_that_were_no_text_are_foreign_characters() -> None:
    text = b"a\xff".decode(errors="surrogateescape")
    with pytest.raises(InputError, match=r"^character '\\udcff' at position 1 is not in the vocabulary"):
        encode(text)
    assert decode(encode(text, errors="replace")) == "a" + SUBSTITUTE


@pytest.mark.parametrize("token", [-1, 128])
def test_a_token_outside_the_vocabulary_is_named(token: int) -> None:
    with pytest.raises(InputError, match=rf"^token {token} is outside 0 to 127$"):
        decode([65, token, 66])
