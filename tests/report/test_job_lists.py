"""Random lists of jobs: what is drawn, and that a fault of the hardware is seen."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from tritforge.accel.config import AcceleratorConfig
from tritforge.report.job_lists import draw_operands, run_lists
from tritforge.report.verification import list_ok
from tritforge.sim.bench_driver import BatchRun, Multiplication
from tritforge.sim.cycles import batch_cycles
from tritforge.sim.streams import Stalls

CONFIG = AcceleratorConfig(
    lanes=8, rows=4, tokens_max=4, k_max=64, m_max=64, act_port_bits=32, partial_sums=True
)


class Hardware:
    """A core that does what it should, but for what a test does to its runs."""

    def __init__(self, fault: str = "") -> None:
        self.config, self.stalls, self._fault = CONFIG, Stalls(), fault
        self._loaded: dict[str, npt.NDArray[np.int8]] = {}
        self.reports: list[dict[str, int]] = []

    def load(self, name: str, codes: npt.NDArray[np.int8]) -> None:
        self._loaded[name] = codes

    def report(self, **progress: int) -> None:
        self.reports.append(progress)

    def run(self, todo: Sequence[Multiplication]) -> BatchRun:
        model = batch_cycles(self.config, [each.job for each in todo], self.stalls)
        words = [
            (
                each.x @ self._loaded[each.name].T.astype(np.int64)
                + (0 if each.partials is None else each.partials)
            )
            for each in todo
        ]
        run = BatchRun(
            words=[each.astype(np.int32) for each in words],
            words_received=sum(each.size for each in words),
            starts=[job.start for job in model.jobs],
            ends=[job.end for job in model.jobs],
            timed_out=False,
            error=0,
        )
        if self._fault == "word":
            run.words[-1][0, 0] += 1
        elif self._fault == "late":
            run.ends[0] += 1
        elif self._fault == "silent":
            return replace(run, words=[], timed_out=True)
        elif self._fault == "error":
            return replace(run, error=3)
        return run


def lists(fault: str = "", count: int = 6) -> list[dict[str, Any]]:
    hardware = Hardware(fault)
    found: list[dict[str, Any]] = run_lists(hardware, {"seed": 4, "lists": count})["lists"]  # type: ignore[arg-type]
    assert hardware.reports[-1] == {"done": count}
    return found


def test_a_core_that_does_as_it_should_passes() -> None:
    found = lists()
    assert all(map(list_ok, found))
    assert found == lists()
    assert all(one["words"] == one["words_expected"] > 0 for one in found)


@pytest.mark.parametrize("fault", ["word", "late", "silent", "error"])
def test_a_fault_is_seen(fault: str) -> None:
    assert not any(map(list_ok, lists(fault)))


def test_operands_are_within_the_bounds_and_reach_the_extremes() -> None:
    random = np.random.default_rng(0)
    drawn = [draw_operands(CONFIG, random) for _ in range(200)]
    assert all(w.shape[0] <= CONFIG.m_max and w.shape[1] <= CONFIG.k_max for w, _ in drawn)
    assert {len(x) for _, x in drawn} == set(range(1, CONFIG.tokens_max + 1))
    assert min(x.min() for _, x in drawn) == -128
    assert max(x.max() for _, x in drawn) == 127
    sums = [x @ w.T.astype(np.int64) for w, x in drawn]
    widest = max(w.shape[1] for w, _ in drawn)
    assert max(each.max() for each in sums) == 128 * widest
    assert any(w.shape[1] % CONFIG.lanes for w, _ in drawn)
