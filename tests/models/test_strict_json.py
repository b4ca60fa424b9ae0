"""JSON from files that are not trusted."""

import pytest

from tritforge.accel.errors import InputError
from tritforge.models.strict_json import parse, shown


def test_json_is_parsed() -> None:
    assert parse('{"a": [1, 2.5, null, {"a": "\\u00e4"}]}') == {"a": [1, 2.5, None, {"a": "ä"}]}
    assert parse("ä".join('""').encode()) == "ä"


def test_the_last_of_keys_that_are_there_twice_counts_where_they_are_asked_for() -> None:
    repeated: list[str] = []
    assert parse('{"a": 1, "b": {"c": 2, "c": 3}, "a": 4}', repeated=repeated) == {"a": 4, "b": {"c": 3}}
    assert repeated == ["c", "a"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ('{"a": 1, "b": {"c": 1, "c": 2}}', "it is not JSON: the key c is there twice"),
        ("[NaN]", "it is not JSON: NaN is no number"),
        ("[-Infinity]", "it is not JSON: -Infinity is no number"),
        ("[" * 100_000, "it is nested too deeply"),
        ("[1,]", "it is not JSON: Expecting value|it is not JSON: Illegal trailing comma"),
        (b"\xff", "it is not JSON: 'utf-8' codec can't decode"),
        ("1" * 5000, "it is not JSON: Exceeds the limit"),
    ],
)
def test_what_is_not_strict_json_is_refused(content: str | bytes, reason: str) -> None:
    with pytest.raises(InputError, match=f"^({reason})"):
        parse(content)


def test_a_name_is_shown_in_one_line_of_bounded_length() -> None:
    assert shown("model.norm.weight") == "model.norm.weight"
    assert shown("a\nb") == r"'a\nb'"
    assert len(shown("x" * 1000)) == 120
