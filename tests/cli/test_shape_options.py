"""The options that say which model is meant."""

import json
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from tritforge.accel.errors import InputError
from tritforge.cli.shape_options import shape_from_options, shape_options


@click.command()
@shape_options
def show(**shape: Any) -> None:
    """Print the shape that the options describe."""
    found = shape_from_options(**shape, default="LLaMA-7B")
    click.echo(f"{found.name} {found.linear_parameters}")


def run(*arguments: str) -> str:
    return CliRunner().invoke(show, arguments, catch_exceptions=False).output


def test_without_options_the_default_is_taken() -> None:
    assert run() == f"LLaMA-7B {32 * (4 * 4096 * 4096 + 3 * 4096 * 11008)}\n"


def test_a_model_is_taken_by_its_name() -> None:
    assert run("--model", "llama-13b").startswith("LLaMA-13B ")


def test_a_model_is_taken_from_its_configuration(tmp_path: Path) -> None:
    fields = {
        "model_type": "llama",
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
    }
    (tmp_path / "config.json").write_text(json.dumps(fields))
    assert run("--model", str(tmp_path)) == f"{tmp_path} {2 * (4 * 64 * 64 + 3 * 64 * 128)}\n"


def test_numbers_make_a_shape() -> None:
    numbers = ("--hidden-size", "64", "--layers", "2", "--heads", "4", "--intermediate-size", "128")
    assert run(*numbers) == f"custom {2 * (4 * 64 * 64 + 3 * 64 * 128)}\n"
    assert run(*numbers, "--no-gated") == f"custom {2 * (4 * 64 * 64 + 2 * 64 * 128)}\n"
    experts = run(*numbers, "--experts", "4", "--active-experts", "1")
    assert experts == f"custom {2 * (4 * 64 * 64 + 4 * 3 * 64 * 128)}\n"


def test_a_model_and_numbers_contradict() -> None:
    with pytest.raises(InputError) as caught:
        run("--model", "LLaMA-7B", "--untied", "--layers", "3")
    assert str(caught.value) == (
        "--model LLaMA-7B and --layers are both given; give a model or the numbers of a shape"
    )


def test_no_model_at_all_is_said_so() -> None:
    with pytest.raises(InputError) as caught:
        shape_from_options(model=None)
    assert str(caught.value) == (
        "no model is given; give --model, or the numbers of a shape from --hidden-size on"
    )


def test_a_size_below_one_is_rejected_by_its_option() -> None:
    assert "Invalid value for '--heads': 0 is not in the range x>=1." in run("--heads", "0")
