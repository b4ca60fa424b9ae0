"""Decoder layers on the RTL: the report, and what it says when the hardware is wrong."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mutants import LaneSign
from small_shape import TINY as SMALL

from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.errors import InputError
from tritforge.accel.presets import PRESETS
from tritforge.models.checkpoint import Checkpoint
from tritforge.models.library import held_out_text
from tritforge.rtl.verilog import generate
from tritforge.sim.cosim import CosimTask, Source, cosimulate, passage
from tritforge.sim.cycles import batch_cycles
from tritforge.sim.jobs import Job
from tritforge.sim.operands import ZERO_SHARE

TINY = PRESETS["tiny"]
MATRICES = ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj"]
MATRICES += ["mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"]
CANNOT = "the accelerator cannot run the model:"


def task(path: Path, /, **changes: Any) -> CosimTask:
    return CosimTask(**{"model": str(path), "layers": (1,), "tokens": 6, "seed": 3, **changes})


def test_a_layer_is_equal_and_as_long_as_predicted(
    tiny_model: Path, tiny_checkpoint: Checkpoint, simulators: Path
) -> None:
    """Six tokens on an accelerator that takes four: every matrix is two jobs."""
    progress: list[dict[str, Any]] = []
    cycles_done: list[tuple[int, int]] = []
    phases: list[str] = []
    result = cosimulate(
        task(tiny_model),
        TINY,
        cache=simulators,
        on_phase=phases.append,
        on_progress=progress.append,
        on_cycles=lambda done, total: cycles_done.append((done, total)),
    )
    assert list(result) == [
        *("model", "operands", "zero_share", "layer", "tokens", "seed", "config", "gate_level"),
        *("verilog_sha256", "matrices", "first_mismatch", "simulation_seconds", "timed_out", "ok"),
    ]
    assert (result["model"], result["operands"], result["zero_share"]) == (
        str(tiny_model),
        "held-out text",
        None,
    )
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
    total = sum(matrix["predicted_cycles"] for matrix in result["matrices"])
    assert [each[1] for each in cycles_done] == [total] * len(cycles_done)
    assert cycles_done == sorted(cycles_done)
    assert cycles_done[-1][0] == total
    assert phases == [
        "preparing the simulator (compiled once per configuration)",
        "running the golden model",
        "simulating",
    ]


def test_several_layers_run_one_after_the_other(tiny_model: Path, simulators: Path) -> None:
    result = cosimulate(task(tiny_model, layers=(0, 1), tokens=1), TINY, cache=simulators)
    assert result["layer"] == [0, 1]
    expected = [f"model.layers.{layer}.{name}" for layer in (0, 1) for name in MATRICES]
    assert [matrix["name"] for matrix in result["matrices"]] == expected
    assert result["ok"]


def test_processes_side_by_side_find_what_one_finds(tiny_model: Path, simulators: Path) -> None:
    alone, two = (cosimulate(task(tiny_model, jobs=jobs), TINY, cache=simulators) for jobs in (1, 2))
    assert alone["ok"]
    assert alone.pop("simulation_seconds") > 0
    assert two.pop("simulation_seconds") > 0
    assert two == alone


def test_a_model_without_a_text_runs_seeded_tokens(
    tiny_checkpoint: Checkpoint, simulators: Path, tmp_path: Path
) -> None:
    path = tmp_path / "model.safetensors"
    tiny_checkpoint.save(path)
    result = cosimulate(task(path, layers=(0,), tokens=2), TINY, cache=simulators)
    assert result["operands"] == "seeded tokens"
    assert result["ok"]


def test_a_shape_runs_on_seeded_operands(simulators: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As at the size of a published model: every word of a layer's seven matrices, two simulators."""
    shape = replace(
        SMALL,
        name="small",
        num_attention_heads=10,
        num_key_value_heads=5,
        head_dim=4,
        hidden_size=40,
        intermediate_size=60,
    )
    monkeypatch.setattr("tritforge.sim.cosim.resolve_shape", {"small": shape}.__getitem__)
    todo = CosimTask(shape="small", layers=(0, 2), tokens=5, seed=8, jobs=2)
    phases: list[str] = []
    result = cosimulate(todo, TINY, cache=simulators, on_phase=phases.append)
    assert phases == ["preparing the simulator (compiled once per configuration)", "simulating"]
    assert (result["model"], result["operands"], result["layer"]) == ("small", "seeded operands", [0, 2])
    assert result["zero_share"] == ZERO_SHARE
    assert [matrix["name"] for matrix in result["matrices"]] == [
        f"model.layers.{layer}.{name}" for layer in (0, 2) for name in MATRICES
    ]
    assert sum(matrix["words_compared"] for matrix in result["matrices"]) == 2 * 5 * (
        40 * 3 + 20 * 2 + 60 * 2
    )
    assert result["ok"]
    spoilt = cosimulate(replace(todo, layers=(2,)), TINY, cache=simulators, core=LaneSign(TINY))
    assert not spoilt["ok"]
    # Each matrix has its own operands: every one shows the bug where it arises.
    assert all(matrix["mismatches"] for matrix in spoilt["matrices"])
    assert (spoilt["first_mismatch"]["name"], spoilt["first_mismatch"]["row"]) == (
        "model.layers.2.self_attn.q_proj",
        1,
    )


@pytest.mark.slow
def test_a_layer_of_bitnet_2b_4t_is_equal_at_full_size(simulators: Path) -> None:
    todo = CosimTask(shape="microsoft/bitnet-b1.58-2B-4T", layers=(0,), tokens=1, seed=0, jobs=2)
    result = cosimulate(todo, PRESETS["default"], cache=simulators)
    assert result["ok"]
    assert sum(matrix["m"] * matrix["k"] for matrix in result["matrices"]) == 69_468_160
    assert sum(matrix["words_compared"] for matrix in result["matrices"]) == 22_784


def test_a_wrong_core_stays_wrong_in_each_matrix_alone(tiny_model: Path, simulators: Path) -> None:
    """Operands are the golden model's, so no matrix is compared on another one's wrong words."""
    result = cosimulate(task(tiny_model), TINY, cache=simulators, core=LaneSign(TINY))
    rows = {matrix["name"]: matrix["m"] for matrix in result["matrices"]}
    for matrix in result["matrices"]:
        # At most every fourth row, those of the array's row 1.
        assert 0 < matrix["mismatches"] <= 6 * -(-rows[matrix["name"]] // 4)


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


def test_what_cannot_run_is_refused_before_anything_is_built(tiny_model: Path, tmp_path: Path) -> None:
    short = AcceleratorConfig.from_dict({"k_max": 47}, base=TINY)
    low = AcceleratorConfig.from_dict({"m_max": 30}, base=TINY)
    for changes, config, message in (
        ({"layers": (2,)}, TINY, f"layer is 2; {tiny_model} has layers 0 to 1"),
        ({"layers": (0, -1)}, TINY, f"layer is -1; {tiny_model} has layers 0 to 1"),
        ({"tokens": 0}, TINY, f"tokens is 0; {tiny_model} takes 1 to 64"),
        ({"tokens": 65}, TINY, f"tokens is 65; {tiny_model} takes 1 to 64"),
        (
            {},
            short,
            f"{CANNOT} mlp.down_proj has K of 48, and k_max is 47: set partial_sums=true, or k_max=48",
        ),
        ({}, low, f"{CANNOT} mlp.gate_proj has M of 48, and m_max is 30: set m_max=48"),
        ({"layers": ()}, TINY, "there are no layers to run; one at least is needed"),
        ({"jobs": 0}, TINY, "jobs is 0; one process at least is needed"),
        ({"seed": -1}, TINY, "seed is -1; zero or more is needed"),
        ({"shape": "bitnet-v2-1.3B"}, TINY, "a model or a shape is needed, one of the two"),
        ({"model": None}, TINY, "a model or a shape is needed, one of the two"),
        (
            {"model": None, "shape": "bitnet-v2-1.3B", "layers": (0,)},
            TINY,
            f"{CANNOT} mlp.gate_proj has M of 8192, and m_max is 256: set m_max=8192",
        ),
    ):
        with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
            cosimulate(task(tiny_model, **changes), config, cache=tmp_path / "cache")
    assert list(tmp_path.iterdir()) == []


def test_a_waveform_takes_one_process(tiny_model: Path, tmp_path: Path) -> None:
    message = "jobs is 2; a waveform is that of one simulator, so 1 is needed with it"
    with pytest.raises(InputError, match=f"^{message}$"):
        cosimulate(task(tiny_model, jobs=2), TINY, cache=tmp_path, trace=tmp_path / "waves.vcd")


def test_tokens_of_a_shape_are_bounded_by_its_positions() -> None:
    for name, tokens, bound in (
        ("microsoft/bitnet-b1.58-2B-4T", 4097, "1 to 4096"),
        ("bitnet-v2-1.3B", 0, "1 or more"),
    ):
        todo = CosimTask(shape=name, layers=(0,), tokens=tokens, seed=0)
        with pytest.raises(InputError) as caught:
            Source.open(todo).check(todo, PRESETS["default"])
        assert str(caught.value) == f"tokens is {tokens}; {name} takes {bound}"


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
