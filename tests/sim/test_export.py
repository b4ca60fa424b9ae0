"""The shipped model's folder, made of two small runs."""

import json
import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from click.testing import CliRunner
from safetensors.numpy import save_file

from tritforge.accel.errors import InputError
from tritforge.models.checkpoint import Checkpoint
from tritforge.models.corpus import Split
from tritforge.models.tokenizer import encode
from tritforge.sim.decoder import Decoder, GoldenProduct
from tritforge.sim.evaluate import bits_per_character
from tritforge.sim.export import CountingProduct, FloatDecoder, Run, export, main

Master = dict[str, npt.NDArray[np.float32]]
TEXT = Split(train="x" * 1000, held_out="Elinor was then at liberty to think and be wretched. " * 3)
RECIPE: dict[str, Any] = {
    "steps": 3,
    "batch": 2,
    "matrix_rate": 0.02,
    "vector_rate": 0.003,
    "weight_decay": 0.1,
    "second_stage": 0.6,
    "warmup": 1,
    "seed": 1,
    "ternary": True,
}


@pytest.fixture
def runs(tiny_checkpoint: Checkpoint, tiny_master: Master, tmp_path: Path) -> Path:
    """Two finished runs, of positions enough for a window, in the layout of the training code."""
    config = asdict(tiny_checkpoint.config) | {"max_position_embeddings": 256}
    for name, bits in (("ternary", 1.5), ("twin", 1.25)):
        folder = tmp_path / name
        folder.mkdir()
        save_file(tiny_master, folder / "master.safetensors")
        recipe = RECIPE | {"ternary": name == "ternary"}
        document = {"held_out_bits_per_character": bits, "recipe": recipe, "config": config}
        (folder / "metrics.json").write_text(json.dumps(document))
    return tmp_path


def test_the_folder_holds_what_was_measured(runs: Path) -> None:
    ternary, twin = Run.read(runs / "ternary"), Run.read(runs / "twin")
    output = runs / "out" / "tiny"
    document = export(ternary, twin, TEXT, output)
    checkpoint = Checkpoint.load(output / "model.safetensors")
    assert (output / "held_out.txt").read_text() == TEXT.held_out
    assert json.loads((output / "metrics.json").read_text())["bits_per_character"] == {
        "ternary": {"trained": 1.5, "numpy": bits_per_character(Decoder(checkpoint), TEXT.held_out)},
        "twin": {
            "trained": 1.25,
            "numpy": bits_per_character(FloatDecoder(twin.config, twin.tensors), TEXT.held_out),
        },
    }
    card = (output / "README.md").read_text()
    assert card.startswith("# tiny: ")
    assert f"SHA-256 of `held_out.txt`: `{TEXT.held_out_sha256}`" in card
    assert "| 1.5000 | " in card
    assert "| 1.2500 | " in card
    row = document["matrices"][-1]
    shares = " | ".join(f"{100 * share:.2f}" for share in (*row["weight_shares"], row["zero_activations"]))
    assert f"| `layers.1.mlp.down_proj` | 40 × 48 | {shares} |" in card
    assert card.count("_proj` | ") == 14


def test_zeros_are_counted_for_each_matrix(tiny_checkpoint: Checkpoint) -> None:
    codes: dict[str, npt.NDArray[np.int8]] = {}
    golden = GoldenProduct(tiny_checkpoint)

    def recording(name: str, codes_x: npt.NDArray[np.int8], /) -> npt.NDArray[np.int32]:
        codes[name] = codes_x
        return golden(name, codes_x)

    tokens = encode("Elinor was then at liberty")
    product = CountingProduct(tiny_checkpoint)
    expected = Decoder(tiny_checkpoint, recording).forward(tokens)
    assert np.array_equal(Decoder(tiny_checkpoint, product).forward(tokens), expected)
    for name, found in codes.items():
        assert product.zero_share(name) == np.mean(found == 0)
    assert product.zero_share("model.layers.0.mlp.down_proj") > 0.3  # the squared ReLU


def test_the_twin_multiplies_with_its_float_weights(tiny_checkpoint: Checkpoint, tiny_master: Master) -> None:
    x = np.random.default_rng(0).standard_normal((3, 48), dtype=np.float32)
    name = "model.layers.0.mlp.down_proj"
    found = FloatDecoder(tiny_checkpoint.config, tiny_master).linear(name, x)
    assert np.array_equal(found, x @ tiny_master[f"{name}.weight"].T)


def test_a_twin_of_another_recipe_is_refused(runs: Path) -> None:
    path = runs / "twin" / "metrics.json"
    path.write_text(path.read_text().replace('"steps": 3', '"steps": 4'))
    with pytest.raises(
        InputError, match=r"^the twin's recipe \{'steps': 4, .*\} is not that of \{'steps': 3, "
    ):
        export(Run.read(runs / "ternary"), Run.read(runs / "twin"), TEXT, runs / "out")
    assert not (runs / "out").exists()


def test_runs_given_the_wrong_way_round_are_refused(runs: Path) -> None:
    message = "the runs are not a ternary model and its full-precision twin of the same shapes"
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        export(Run.read(runs / "twin"), Run.read(runs / "ternary"), TEXT, runs / "out")


def test_a_run_that_has_not_finished_is_refused(runs: Path) -> None:
    (runs / "twin" / "metrics.json").unlink()
    with pytest.raises(
        InputError, match=f"^{re.escape(str(runs / 'twin'))} holds no finished training run: "
    ):
        Run.read(runs / "twin")


@pytest.mark.parametrize("damage", ["{", "{}", "[]"])
def test_a_damaged_run_is_refused(runs: Path, damage: str) -> None:
    (runs / "twin" / "metrics.json").write_text(damage)
    with pytest.raises(InputError, match=f"^{re.escape(str(runs / 'twin'))} holds a damaged training run: "):
        Run.read(runs / "twin")


def test_the_command_answers_bad_input_with_status_2(runs: Path) -> None:
    corpus = runs / "novels.deb"
    corpus.write_bytes(b"no package")
    result = CliRunner().invoke(
        main,
        ["--ternary", str(runs / "ternary"), "--twin", str(runs / "twin"), "--corpus", str(corpus)],
    )
    assert result.exit_code == 2
    assert "not a Debian package with a member data.tar.xz" in result.output
