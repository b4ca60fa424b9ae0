"""The shipped model is what its card says."""

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from tritforge.models.card import render
from tritforge.models.checkpoint import Checkpoint
from tritforge.models.library import find, held_out_text, load_model
from tritforge.models.tokenizer import decode, encode
from tritforge.sim.decoder import Decoder
from tritforge.sim.evaluate import bits_per_character
from tritforge.sim.generate import generate


@pytest.fixture(scope="module")
def austen() -> Checkpoint:
    return load_model("austen")


@pytest.fixture(scope="module")
def folder() -> Path:
    return find("austen").parent


@pytest.fixture(scope="module")
def figures(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "metrics.json").read_text()))


def test_the_files_are_those_of_the_figures(
    austen: Checkpoint, folder: Path, figures: dict[str, Any]
) -> None:
    content = (folder / "model.safetensors").read_bytes()
    assert sha256(content).hexdigest() == figures["model_sha256"]
    assert len(content) == figures["size"]["file"]
    assert austen.to_bytes() == content
    assert sha256((folder / "held_out.txt").read_bytes()).hexdigest() == figures["held_out"]["sha256"]
    assert len(held_out_text("austen")) == figures["held_out"]["characters"] >= 64_000
    assert (folder / "README.md").read_text() == render(figures)


def test_the_shapes_fit_hardware_and_other_formats(austen: Checkpoint, figures: dict[str, Any]) -> None:
    assert all(matrix.k % 256 == 0 and matrix.m % 4 == 0 for matrix in austen.matrices.values())
    count = sum(matrix.codes.size for matrix in austen.matrices.values())
    assert 1_500_000 <= count == figures["size"]["ternary"] <= 4_000_000


def test_shares_of_the_weights_are_those_of_the_card(austen: Checkpoint, figures: dict[str, Any]) -> None:
    assert [row["name"] for row in figures["matrices"]] == list(austen.matrices)
    for row in figures["matrices"]:
        matrix = austen.matrices[row["name"]]
        assert (row["m"], row["k"], tuple(row["weight_shares"])) == (matrix.m, matrix.k, matrix.shares)


def test_the_model_reaches_1_70_bits_per_character(figures: dict[str, Any]) -> None:
    bits = figures["bits_per_character"]
    assert bits["ternary"]["trained"] <= 1.70
    for run in ("ternary", "twin"):
        assert bits[run]["numpy"] == pytest.approx(bits[run]["trained"], abs=1e-3)


def test_a_part_of_the_held_out_text_scores_about_as_the_whole(
    austen: Checkpoint, figures: dict[str, Any]
) -> None:
    """Every 40th window; the whole text is a slow test."""
    text = held_out_text("austen")
    part = "".join(text[start : start + 256] for start in range(0, len(text) - 256, 40 * 256))
    found = bits_per_character(Decoder(austen), part)
    assert found == pytest.approx(figures["bits_per_character"]["ternary"]["numpy"], abs=0.1)


@pytest.mark.slow
def test_the_whole_held_out_text_scores_as_trained(austen: Checkpoint, figures: dict[str, Any]) -> None:
    found = bits_per_character(Decoder(austen), held_out_text("austen"))
    assert found == pytest.approx(figures["bits_per_character"]["ternary"]["trained"], abs=1e-3)


def test_it_writes_words(austen: Checkpoint) -> None:
    """Three quarters of the words that it makes occur in the held-out text."""
    known = set(held_out_text("austen").split())
    made = decode([step.token for step in generate(Decoder(austen), encode("She was "), 300, top_k=3)])
    words = made.split()[1:-1]
    assert len(words) > 30
    assert sum(word in known for word in words) >= 0.75 * len(words)
