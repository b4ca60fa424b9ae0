"""Comparing what the hardware did with what it should have done, and what becomes of runs that fail."""

import threading
from typing import Any, ClassVar

import numpy as np
import pytest

from tritforge.accel.errors import SimulationError
from tritforge.accel.presets import PRESETS
from tritforge.sim import comparison
from tritforge.sim.comparison import Comparison, MatrixResult, compare, predicted_cycles
from tritforge.sim.golden import ternary_matmul
from tritforge.sim.operands import Operands, seeded_weights
from tritforge.sim.rtl_protocol import ProductRun

TINY = PRESETS["tiny"]


def operands(name: str = "matrix", m: int = 9, k: int = 20, tokens: int = 3, seed: int = 0) -> Operands:
    random = np.random.default_rng(seed)
    weights = seeded_weights(m, k, random)
    x = random.integers(-128, 128, (tokens, k)).astype(np.int8)
    return Operands(name=name, m=m, k=k, weights=lambda: weights, activations=x)


def right(todo: Operands, **changes: Any) -> ProductRun:
    """What hardware without a bug does."""
    words = ternary_matmul(todo.activations, todo.weights())
    answer = {"words": words, "words_received": words.size, "cycles": predicted_cycles(TINY, todo)}
    return ProductRun(**{**answer, "timed_out": False, "error": 0, **changes})


def result(todo: Operands, run: ProductRun) -> MatrixResult:
    return compare(TINY, todo, run, ternary_matmul(todo.activations, todo.weights()))


def test_equal_words_in_the_predicted_cycles_are_ok() -> None:
    todo = operands()
    found = result(todo, right(todo))
    assert found.ok
    assert found.first is None
    assert (found.words_compared, found.mismatches) == (27, 0)
    assert found.utilisation == pytest.approx(9 * 20 * 3 / (found.cycles * 32))


def test_the_first_of_several_differing_words_is_kept() -> None:
    todo = operands()
    words = right(todo).words
    assert words is not None
    wrong = words.copy()
    wrong[1, 3] += 1
    wrong[2, 0] -= 5
    found = result(todo, right(todo, words=wrong))
    assert not found.ok
    assert found.mismatches == 2
    assert found.first is not None
    assert (found.first.name, found.first.token, found.first.row) == ("matrix", 1, 3)
    assert (found.first.expected, found.first.got) == (words[1, 3], words[1, 3] + 1)
    assert "first" not in found.to_dict()


@pytest.mark.parametrize("timed_out", [True, False])
def test_missing_words_count_as_not_compared(timed_out: bool) -> None:
    todo = operands()
    found = result(todo, right(todo, words=None, words_received=7, cycles=0, timed_out=timed_out))
    assert not found.ok
    assert not found.complete
    assert (found.words_compared, found.words_received, found.words_expected) == (0, 7, 27)
    assert (found.mismatches, found.utilisation, found.timed_out) == (0, 0.0, timed_out)


@pytest.mark.parametrize("changes", [{"cycles": 1}, {"error": 2}])
def test_other_cycles_and_a_reported_error_are_not_ok(changes: dict[str, int]) -> None:
    todo = operands()
    found = result(todo, right(todo, **changes))
    assert found.complete
    assert found.mismatches == 0
    assert not found.ok


class FakeAccelerator:
    """Stands for a simulator: right unless a test spoils it."""

    spoil: ClassVar[dict[str, dict[str, Any]]]
    log: ClassVar[list[str]]
    opened = 0

    def __init__(self, compiled: Any, *, trace: object = None) -> None:
        type(self).opened += 1
        self.config = TINY
        self.aborted = threading.Event()

    def __enter__(self) -> "FakeAccelerator":
        return self

    def __exit__(self, *_: object) -> None:
        self.log.append("closed")

    def abort(self) -> None:
        self.log.append("aborted")
        self.aborted.set()

    def load(self, codes: Any) -> Any:
        return codes

    def unload(self, codes: Any) -> None:
        pass

    def product(self, codes: Any, activations: Any, on_words: Any) -> ProductRun:
        todo = Operands(
            name="", m=len(codes), k=codes.shape[1], weights=lambda: codes, activations=activations
        )
        name = f"{todo.m}"
        self.log.append(name)
        on_words(1)
        changes = self.spoil.get(name, {})
        if changes.get("hangs"):
            self.aborted.wait(20)
            raise SimulationError("aborted")
        if "meets" in changes:
            changes["meets"].wait(20)
            changes = {}
        if changes.get("dies"):
            raise SimulationError("the simulation failed; rust")
        return right(todo, **changes)


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> type[FakeAccelerator]:
    class Fake(FakeAccelerator):
        spoil: ClassVar[dict[str, dict[str, Any]]] = {}
        log: ClassVar[list[str]] = []

    monkeypatch.setattr(comparison, "RtlAccelerator", Fake)
    return Fake


class Compiled:
    config = TINY


def run(sizes: list[int], **options: Any) -> list[MatrixResult]:
    compiled: Any = Compiled()
    return Comparison(compiled, [operands(f"m{m}", m=m) for m in sizes], **options).run()


def test_results_are_in_the_order_given_and_the_longest_runs_first(fake: type[FakeAccelerator]) -> None:
    found = run([8, 40, 16, 80], jobs=1)
    assert [each.name for each in found] == ["m8", "m40", "m16", "m80"]
    assert fake.log == ["8", "40", "16", "80", "closed"]
    fake.log.clear()
    # The two longest only end together: each is the first of its process.
    together = threading.Barrier(2)
    fake.spoil |= {name: {"meets": together} for name in ("80", "40")}
    found = run([8, 40, 16, 80], jobs=2)
    assert [each.name for each in found] == ["m8", "m40", "m16", "m80"]
    assert set(fake.log[:2]) == {"80", "40"}


def test_there_are_no_more_processes_than_products(fake: type[FakeAccelerator]) -> None:
    assert len(run([8, 16], jobs=9)) == 2
    assert fake.opened == 2


def test_nothing_is_started_after_missing_words(fake: type[FakeAccelerator]) -> None:
    fake.spoil = {"16": {"words": None, "words_received": 0, "timed_out": True}}
    found = run([8, 16, 24])
    assert [each.name for each in found] == ["m8", "m16"]
    assert fake.log == ["8", "16", "closed"]


def test_a_simulator_that_dies_ends_the_others(fake: type[FakeAccelerator]) -> None:
    fake.spoil = {"80": {"dies": True}, "40": {"hangs": True}}
    with pytest.raises(SimulationError, match=r"^the simulation failed; rust$"):
        run([8, 40, 80], jobs=2)
    assert "aborted" in fake.log
    assert "8" not in fake.log


def test_progress_is_weighed_by_cycles_and_ends_at_all_of_them(fake: type[FakeAccelerator]) -> None:
    done: list[int] = []
    reported: list[str] = []
    found = run([8, 80], on_cycles=done.append, on_result=lambda each: reported.append(each.name))
    assert fake.log[-1] == "closed"
    assert reported == ["m8", "m80"]
    assert done == sorted(done)
    assert done[-1] == sum(each.predicted_cycles for each in found)
    assert found[0].predicted_cycles in done
