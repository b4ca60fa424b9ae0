"""Decoder layers on the RTL: the report, and what it says when the hardware is wrong."""

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from mutants import LaneSign

from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.errors import InputError
from tritforge.accel.presets import PRESETS
from tritforge.models.checkpoint import Checkpoint
from tritforge.models.library import held_out_text
from tritforge.rtl.verilog import generate
from tritforge.sim.cosim import ComparedProduct, CosimTask, cosimulate, passage
from tritforge.sim.cycles import batch_cycles, product_cycles
from tritforge.sim.decoder import GoldenProduct
from tritforge.sim.jobs import Job

TINY = PRESETS["tiny"]
MATRICES = ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj"]
MATRICES += ["mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"]


def task(model: Path, **changes: Any) -> CosimTask:
    return CosimTask(**{"model": str(model), "layers": (1,), "tokens": 6, "seed": 3, **changes})


def test_a_layer_is_equal_and_as_long_as_predicted(
    tiny_model: Path, tiny_checkpoint: Checkpoint, simulators: Path
) -> None:
    """Six tokens on an accelerator that takes four: every matrix is two jobs."""
    progress: list[dict[str, Any]] = []
    phases: list[str] = []
    result = cosimulate(
        task(tiny_model),
        TINY,
        cache=simulators,
        on_phase=phases.append,
        on_progress=progress.append,
    )
    assert list(result) == [
        *("model", "layer", "tokens", "seed", "config", "verilog_sha256"),
        *("matrices", "first_mismatch", "timed_out", "ok"),
    ]
    assert result["model"] == str(tiny_model)
    assert (result["layer"], result["tokens"], result["seed"]) == (1, 6, 3)
    assert AcceleratorConfig.from_dict(result["config"]) == TINY
    assert result["verilog_sha256"] == generate(TINY).sha256
    assert (result["first_mismatch"], result["timed_out"], result["ok"]) == (None, False, True)
    assert [matrix["name"] for matrix in result["matrices"]] == [f"model.layers.1.{m}" for m in MATRICES]
    for matrix in result["matrices"]:
        m, k = tiny_checkpoint.matrices[matrix["name"]].codes.shape
        cycles = batch_cycles(TINY, [Job(m=m, k=k, tokens=tokens) for tokens in (4, 2)]).total
        assert matrix == {
            "name": matrix["name"],
            "m": m,
            "k": k,
            "tokens": 6,
            "words_compared": 6 * m,
            "words_received": 6 * m,
            "words_expected": 6 * m,
            "mismatches": 0,
            "cycles": cycles,
            "predicted_cycles": cycles,
            "utilisation": pytest.approx(m * k * 6 / (cycles * 32)),
            "timed_out": False,
            "error": 0,
        }
    assert progress == result["matrices"]
    assert phases == ["building the simulator (once per configuration)", "simulating"]


def test_several_layers_run_one_after_the_other(tiny_model: Path, simulators: Path) -> None:
    result = cosimulate(task(tiny_model, layers=(0, 1), tokens=1), TINY, cache=simulators)
    assert result["layer"] == [0, 1]
    expected = [f"model.layers.{layer}.{name}" for layer in (0, 1) for name in MATRICES]
    assert [matrix["name"] for matrix in result["matrices"]] == expected
    assert result["ok"]


def test_one_build_serves_every_layer(tiny_model: Path, simulators: Path) -> None:
    before = set(simulators.iterdir()) if simulators.exists() else set()
    for seed in (1, 2):
        assert cosimulate(task(tiny_model, seed=seed, tokens=2), TINY, cache=simulators)["ok"]
    new = set(simulators.iterdir()) - before
    assert len([path for path in new if (path / "complete").exists()]) <= 1


def test_a_wrong_lane_is_reported_with_the_first_word(
    tiny_model: Path, tiny_checkpoint: Checkpoint, simulators: Path
) -> None:
    result = cosimulate(task(tiny_model), TINY, cache=simulators, core=LaneSign(TINY))
    assert not result["ok"]
    assert not result["timed_out"]
    assert result["verilog_sha256"] != generate(TINY).sha256
    first = result["first_mismatch"]
    assert set(first) == {"name", "token", "row", "expected", "got"}
    assert first["name"] == "model.layers.1.self_attn.q_proj"
    # The bug is in row 1 of the array, so rows 1, 5, 9 ... of the matrix are wrong.
    assert (first["token"], first["row"]) == (0, 1)
    assert first["expected"] != first["got"]
    assert result["matrices"][0]["mismatches"] > 0
    assert result["matrices"][0]["words_compared"] == result["matrices"][0]["words_expected"]


class FakeHardware:
    """Products by the golden model, spoilt as a test wants it."""

    def __init__(self, config: AcceleratorConfig, checkpoint: Checkpoint, **spoil: Any) -> None:
        self.config = config
        self.reported: list[dict[str, Any]] = []
        self._golden = GoldenProduct(checkpoint)
        self._spoil = spoil

    def load(self, name: str, codes: Any) -> None:
        self.loaded = name, codes.shape

    def report(self, **progress: Any) -> None:
        self.reported.append(progress)

    def product(self, name: str, m: int, codes_x: Any) -> Any:
        words = self._golden(name, codes_x)
        (batch,) = product_cycles(self.config, m, codes_x.shape[1], len(codes_x))
        answer = {
            "words": words,
            "words_received": words.size,
            "cycles": batch.total,
            "timed_out": False,
            "error": 0,
        }
        return SimpleNamespace(**answer | self._spoil.get("answer", lambda words: {})(words))


def compared(checkpoint: Checkpoint, **spoil: Any) -> tuple[ComparedProduct, FakeHardware]:
    hardware: Any = FakeHardware(TINY, checkpoint, **spoil)
    return ComparedProduct(hardware, checkpoint, (0,)), hardware


NAME = "model.layers.0.self_attn.q_proj"


def test_the_first_of_several_differing_words_is_kept(tiny_checkpoint: Checkpoint) -> None:
    def spoil(words: Any) -> dict[str, Any]:
        wrong = words.copy()
        wrong[1, 3] += 1
        wrong[2, 0] -= 5
        return {"words": wrong}

    product, hardware = compared(tiny_checkpoint, answer=spoil)
    x = np.arange(120, dtype=np.int8).reshape(3, 40)
    words = product(NAME, x)
    expected = GoldenProduct(tiny_checkpoint)(NAME, x)
    assert product.first_mismatch == {
        "name": NAME,
        "token": 1,
        "row": 3,
        "expected": int(expected[1, 3]),
        "got": int(expected[1, 3]) + 1,
    }
    assert product.matrices[0]["mismatches"] == 2
    # The hardware's word goes on into the next matrix, so that the error propagates.
    assert words[1, 3] == expected[1, 3] + 1
    product(NAME, -x)
    assert product.first_mismatch["token"] == 1
    assert hardware.reported == product.matrices


@pytest.mark.parametrize("timed_out", [True, False])
def test_missing_words_end_the_comparison_and_count_as_not_compared(
    tiny_checkpoint: Checkpoint, timed_out: bool
) -> None:
    answer = {"words": None, "words_received": 7, "cycles": 0, "timed_out": timed_out}
    product, _ = compared(tiny_checkpoint, answer=lambda words: answer)
    x = np.ones((2, 40), dtype=np.int8)
    words = product(NAME, x)
    np.testing.assert_array_equal(words, GoldenProduct(tiny_checkpoint)(NAME, x))
    assert (product.stopped, product.timed_out) == (True, timed_out)
    (matrix,) = product.matrices
    assert (matrix["words_compared"], matrix["words_expected"], matrix["mismatches"]) == (0, 80, 0)
    assert matrix["utilisation"] == 0
    product(NAME, x)
    assert len(product.matrices) == 1


def test_other_layers_stay_on_the_golden_model(tiny_checkpoint: Checkpoint) -> None:
    product, hardware = compared(tiny_checkpoint)
    product("model.layers.1.self_attn.q_proj", np.ones((2, 40), dtype=np.int8))
    assert product.matrices == hardware.reported == []


def test_what_cannot_run_is_refused_before_anything_is_built(tiny_model: Path, tmp_path: Path) -> None:
    short = AcceleratorConfig.from_dict({"k_max": 47}, base=TINY)
    low = AcceleratorConfig.from_dict({"m_max": 30}, base=TINY)
    for changes, config, message in (
        ({"layers": (2,)}, TINY, f"layer is 2; {tiny_model} has layers 0 to 1"),
        ({"layers": (0, -1)}, TINY, f"layer is -1; {tiny_model} has layers 0 to 1"),
        ({"tokens": 0}, TINY, f"tokens is 0; {tiny_model} takes 1 to 64"),
        ({"tokens": 65}, TINY, f"tokens is 65; {tiny_model} takes 1 to 64"),
        ({}, short, "mlp.down_proj does not fit the accelerator: K is 48; this configuration runs 1 to 47"),
        ({}, low, "self_attn.q_proj does not fit the accelerator: M is 40; this configuration runs 1 to 30"),
    ):
        with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
            cosimulate(task(tiny_model, **changes), config, cache=tmp_path / "cache")
    assert list(tmp_path.iterdir()) == []


def test_a_passage_is_chosen_by_its_seed_and_lies_within_the_text(tiny_model: Path) -> None:
    text = held_out_text(tiny_model)
    starts = set()
    for seed in range(40):
        tokens = passage(text, 10, seed)
        assert tokens.shape == (10,)
        np.testing.assert_array_equal(tokens, passage(text, 10, seed))
        found = text.find(bytes(tokens.astype(np.uint8)).decode())
        assert found >= 0
        starts.add(found)
    assert len(starts) > 10
    assert len(passage(text, len(text), 0)) == len(text)
