"""What is taken as given: every number with its mark and source, and fitted constants that are the fit."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tritforge.accel.errors import InputError
from tritforge.energy.published import compare, published_figures
from tritforge.energy.published_inputs import PublishedInput, given, published_inputs, read_inputs
from tritforge.models.shapes import find_shape

HEADER = "key,value,unit,obtained,source,status,note"
ROW = "a,1.5,ms,published,a paper,verified,"


def test_every_input_is_cited_with_how_it_was_come_by() -> None:
    for entry in published_inputs().values():
        assert entry.citation.startswith(f"{entry.key} = {entry.value:g} {entry.unit}, {entry.obtained}: ")
        assert entry.source in entry.citation


def test_the_recalled_vocabulary_says_so() -> None:
    assert published_inputs()["vocabulary"].status == "recalled"
    fitted = {key for key, entry in published_inputs().items() if entry.obtained == "fitted"}
    assert fitted == {"workspace", "batch buffers"}


def test_the_workspace_is_the_least_squares_fit_of_the_published_memory() -> None:
    # Each different figure once: 1.3B and 3B stand in Table 1 and in Figure 2.
    points = {}
    for figure in published_figures():
        if figure.quantity in {"fp16_memory", "ternary_memory"}:
            points[figure.shape, figure.quantity] = figure.value * 1e9
    assert len(points) == 13
    hidden, rest, published = [], [], []
    for (name, quantity), value in points.items():
        shape = find_shape(name)
        bits = 16 if quantity == "fp16_memory" else 2
        known = shape.linear_parameters * bits / 8 + 2 * 32000 * shape.hidden_size * 2
        hidden.append(shape.hidden_size / value)
        rest.append((value - known) / value)
        published.append(value)
    slope = float(np.dot(hidden, rest) / np.dot(hidden, hidden))
    assert given("workspace") == pytest.approx(slope, rel=2e-3)


def test_the_tolerance_of_a_fit_is_the_largest_error_rounded_up() -> None:
    errors = [
        abs(entry.relative_error)
        for entry in compare(published_figures())
        if entry.figure.quantity in {"fp16_memory", "ternary_memory", "memory_ratio"}
    ]
    assert 0.06 < max(errors) < given("fit tolerance") < 0.08


def test_an_unknown_input_is_named() -> None:
    with pytest.raises(InputError) as caught:
        given("luck")
    assert str(caught.value) == f"there is no input 'luck'; there are {', '.join(published_inputs())}"


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (ROW, "f.csv input 2: 'a' is there twice; keep one"),
        (ROW.replace("1.5", "many"), "f.csv input 2: value is 'many'; a number is needed"),
        ("b,1", "f.csv input 2 must have the fields key, value, unit, obtained, source, status, note"),
        ("b,0,ms,published,a paper,verified,", "input 'b' is 0.0; a number above 0 is needed"),
        ("b,nan,ms,published,a paper,verified,", "input 'b' is nan; a number above 0 is needed"),
        (
            "b,1,ms,guessed,a paper,verified,",
            "input 'b': obtained is 'guessed'; it must be one of published, derived, fitted, assumed",
        ),
        (
            "b,1,ms,published,a paper,sure,",
            "input 'b': status is 'sure'; it must be one of verified, secondary, derived, recalled",
        ),
        (
            "b,1,ms,published,,verified,",
            "input 'b' has no source; name the document that it is from",
        ),
    ],
)
def test_a_wrong_file_of_inputs_is_rejected(tmp_path: Path, row: str, message: str) -> None:
    path = tmp_path / "f.csv"
    path.write_text(f"{HEADER}\n{ROW}\n{row}\n")
    with pytest.raises(InputError) as caught:
        read_inputs(path)
    assert str(caught.value) == message


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        read_inputs(tmp_path / "f.csv")
    assert str(caught.value) == (
        f"cannot read {tmp_path / 'f.csv'}: No such file or directory; give a file of inputs"
    )


def test_an_input_with_a_note_cites_it() -> None:
    fields: dict[str, Any] = dict(zip(HEADER.split(","), ROW.split(","), strict=True))
    entry = PublishedInput(**{**fields, "value": 1.5, "note": "read twice"})
    assert entry.citation == "a = 1.5 ms, published: a paper (read twice)"
