"""Generation on an accelerator, its figures and its comparison with the golden model."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tritforge.accel.presets import PRESETS
from tritforge.models.checkpoint import Checkpoint
from tritforge.sim.accelerator import CycleAccelerator, GoldenAccelerator, LoadedMatrix, open_accelerator
from tritforge.sim.cycles import product_cycles
from tritforge.sim.decoder import Decoder
from tritforge.sim.generate import generate
from tritforge.sim.measured_generation import Difference, MeasuredGeneration, Request

TINY = PRESETS["tiny"]
REQUEST = Request(prompt=(70, 71, 72), count=5, seed=4, temperature=1.5, top_k=20)


def measured(checkpoint: Checkpoint, accelerator: CycleAccelerator | GoldenAccelerator) -> MeasuredGeneration:
    run = MeasuredGeneration(checkpoint=checkpoint, accelerator=accelerator, request=REQUEST)
    assert [made.step.token for made in run] == run.tokens
    return run


def test_the_tokens_are_those_of_plain_generation(tiny_checkpoint: Checkpoint) -> None:
    run = measured(tiny_checkpoint, GoldenAccelerator(TINY))
    plain = generate(Decoder(tiny_checkpoint), np.array(REQUEST.prompt), 5, seed=4, temperature=1.5, top_k=20)
    assert run.tokens == [step.token for step in plain]


def test_every_step_has_the_cycles_of_its_products(tiny_checkpoint: Checkpoint) -> None:
    run = measured(tiny_checkpoint, CycleAccelerator(TINY))

    def cycles(tokens: int) -> int:
        return sum(
            sum(batch.total for batch in product_cycles(TINY, matrix.m, matrix.k, tokens))
            for matrix in tiny_checkpoint.matrices.values()
        )

    assert [made.usage.cycles for made in run.steps] == [cycles(3), *[cycles(1)] * 4]
    assert run.cycles_per_token == cycles(1)
    assert [made.usage.products for made in run.steps] == [len(tiny_checkpoint.matrices)] * 5
    assert run.accelerator.usage.cycles == cycles(3) + 4 * cycles(1)
    assert all(made.host_seconds > 0 and made.product_seconds > 0 for made in run.steps)


def test_figures_that_there_are_none_of_are_none(tiny_checkpoint: Checkpoint) -> None:
    golden = measured(tiny_checkpoint, GoldenAccelerator(TINY))
    assert golden.cycles_per_token is None
    assert golden.host_seconds_per_token is not None
    single = MeasuredGeneration(
        checkpoint=tiny_checkpoint, accelerator=CycleAccelerator(TINY), request=replace(REQUEST, count=1)
    )
    assert len(list(single)) == 1
    assert single.cycles_per_token is None
    assert single.host_seconds_per_token is None


def test_an_equal_run_has_no_difference(tiny_checkpoint: Checkpoint) -> None:
    assert measured(tiny_checkpoint, CycleAccelerator(TINY)).difference() is None
    assert measured(tiny_checkpoint, GoldenAccelerator(TINY)).difference() is None


class Faulty(CycleAccelerator):
    """Errs in one product: in a word, or in its cycles."""

    def __init__(self, product: int, *, word: int = 0, cycles: int = 0) -> None:
        super().__init__(TINY)
        self.product, self.word, self.extra = product, word, cycles

    def _matmul(
        self, matrix: LoadedMatrix, activations: npt.NDArray[np.int8]
    ) -> tuple[npt.NDArray[np.int32], int | None]:
        words, cycles = super()._matmul(matrix, activations)
        if self.usage.products == self.product:
            words[-1, 0] += self.word
            cycles = (cycles or 0) + self.extra
        return words, cycles


def test_a_wrong_word_shows_in_the_logits_of_its_step(tiny_checkpoint: Checkpoint) -> None:
    """The first product after the prompt's fourteen and those of two more tokens."""
    run = measured(tiny_checkpoint, Faulty(3 * len(tiny_checkpoint.matrices), word=1))
    found = run.difference()
    assert found is not None
    assert (found.position, found.what) == (3, "logits")
    assert found.expected != found.got
    assert found.got in run.steps[3].step.logits


def test_the_next_float32_of_a_logit_is_a_difference(tiny_checkpoint: Checkpoint) -> None:
    run = measured(tiny_checkpoint, GoldenAccelerator(TINY))
    logits = run.steps[2].step.logits.copy()
    expected, logits[9] = float(logits[9]), np.nextafter(logits[9], np.float32(np.inf))
    run.steps[2] = replace(run.steps[2], step=replace(run.steps[2].step, logits=logits))
    assert run.difference() == Difference(position=2, what="logits", expected=expected, got=float(logits[9]))


def test_a_wrong_cycle_shows_in_its_step(tiny_checkpoint: Checkpoint) -> None:
    run = measured(tiny_checkpoint, Faulty(len(tiny_checkpoint.matrices), cycles=1))
    expected = float(run.steps[2].usage.cycles or 0)
    assert run.difference() == Difference(position=1, what="cycles", expected=expected, got=expected + 1)


def test_a_wrong_choice_shows_as_a_token(tiny_checkpoint: Checkpoint) -> None:
    run = measured(tiny_checkpoint, GoldenAccelerator(TINY))
    right = run.steps[1].step.token
    run.steps[1] = replace(run.steps[1], step=replace(run.steps[1].step, token=right ^ 1))
    assert run.difference() == Difference(position=1, what="token", expected=right, got=right ^ 1)


def test_the_rtl_writes_what_the_golden_model_writes(tiny_checkpoint: Checkpoint, simulators: Path) -> None:
    with open_accelerator("rtl", TINY, cache=simulators) as accelerator:
        run = MeasuredGeneration(checkpoint=tiny_checkpoint, accelerator=accelerator, request=REQUEST)
        assert len(list(run)) == 5
        assert run.difference() is None
        assert accelerator.usage.products == 5 * len(tiny_checkpoint.matrices)
    assert run.tokens == measured(tiny_checkpoint, GoldenAccelerator(TINY)).tokens
