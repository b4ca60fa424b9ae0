"""What is simulated for a page, on the generated Verilog."""

from pathlib import Path

import numpy as np
import pytest

from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.presets import PRESETS
from tritforge.report.subject import Subject
from tritforge.report.verification import layer_slice, verify
from tritforge.sim.cycles import total_cycles


def test_every_word_and_cycle_of_the_configuration_is_compared(simulators: Path) -> None:
    phases: list[str] = []
    subject = Subject.of("bitnet-2b4t", PRESETS["tiny"])
    done = verify(subject, seed=3, cache=simulators, lists=8, on_phase=phases.append)
    print(f"seed 3: {done.words} words, {done.cycles} cycles")
    assert done.ok
    assert (done.mismatches, done.cycles) == (0, done.predicted_cycles)
    assert len(done.lists) == 8
    assert len(done.slices) == len(done.whole) == 7
    assert min(one["words"] for one in done.lists) > 0
    assert phases[-2:] == ["simulating random jobs", "simulating a part of the model's first layer"]
    document = done.to_dict()
    assert (document["seed"], document["ok"], document["words_compared"]) == (3, True, done.words)


@pytest.mark.parametrize("model", ["austen", "bitnet-2b4t", "mistralai/Mixtral-8x7B-v0.1"])
@pytest.mark.parametrize("preset", ["default", "icebreaker", "wide"])
def test_a_slice_is_within_the_bounds_and_short(model: str, preset: str) -> None:
    config = PRESETS[preset]
    subject = Subject.of(model, config)
    operands, source = layer_slice(subject, 0)
    whole = {linear.name: (linear.outputs, linear.inputs) for linear in subject.shape.linears}
    assert [one.name for one in operands] == list(whole)
    for one in operands:
        assert one.weights().shape == (one.m, one.k)
        assert one.activations.shape == (min(config.tokens_max, 16), one.k)
        assert one.m <= whole[one.name][0]
        assert one.k == min(whole[one.name][1], config.k_max)
    assert sum(total_cycles(config, one.m, one.k, one.tokens) for one in operands) < 250_000
    assert ("held-out" in source) == (model == "austen")


def test_the_seed_chooses_the_operands_and_narrow_activations_fit() -> None:
    subject = Subject.of("bitnet-2b4t", AcceleratorConfig(act_bits=4, k_max=512))
    first, again, other = (layer_slice(subject, seed)[0][0] for seed in (1, 1, 2))
    assert np.array_equal(first.activations, again.activations)
    assert np.array_equal(first.weights(), again.weights())
    assert not np.array_equal(first.weights(), other.weights())
    assert (first.activations.min(), first.activations.max()) == (-8, 7)
