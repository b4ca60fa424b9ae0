"""The `rtl` back end: its process, and what becomes of it."""

import os
import signal
import subprocess
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from mutants import BufferNotReleased, LaneSign

from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.errors import InputError, SimulationError
from tritforge.accel.presets import PRESETS
from tritforge.sim.accelerator import LoadedMatrix
from tritforge.sim.cycles import product_cycles
from tritforge.sim.rtl_accelerator import RtlAccelerator, compile_core
from tritforge.sim.served_simulation import CompiledDesign

TINY = PRESETS["tiny"]


@pytest.fixture(scope="module")
def compiled(simulators: Path) -> CompiledDesign:
    """The `tiny` preset's simulator."""
    return compile_core(TINY, simulators)


def operands(m: int, k: int, tokens: int) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.int8]]:
    random = np.random.default_rng(m + k)
    w = random.integers(-1, 2, (m, k)).astype(np.int8)
    return w, random.integers(-128, 128, (tokens, k)).astype(np.int8)


def repeat(rtl: RtlAccelerator, matrix: LoadedMatrix, x: npt.NDArray[np.int8], times: int) -> None:
    """Run the same product again and again."""
    for _ in range(times):
        rtl.matmul(matrix, x)


def children() -> set[int]:
    """Simulators that this process has started and that have not ended."""
    listed = subprocess.run(
        ["ps", "-o", "pid=,comm=", "--ppid", str(os.getpid())], capture_output=True, text=True, check=False
    )
    return {int(line.split()[0]) for line in listed.stdout.splitlines() if line.split()[1] == "bench"}


def test_one_process_serves_all_products_and_ends_with_the_context(compiled: CompiledDesign) -> None:
    before = children()
    with RtlAccelerator(compiled) as rtl:
        (process,) = children() - before
        for m, k, tokens in ((9, 20, 3), (256, 64, 1), (3, 1, 9)):
            w, x = operands(m, k, tokens)
            product = rtl.matmul(w, x)
            np.testing.assert_array_equal(product.words, x.astype(int) @ w.T.astype(int))
            assert product.cycles == sum(batch.total for batch in product_cycles(TINY, m, k, tokens))
        assert children() - before == {process}
        files = rtl._simulation.files
        assert list(files.glob("weights*")) == []
        rtl.load(w)
        assert len(list(files.glob("weights*"))) == 1
    assert children() == before
    assert not files.exists()
    with pytest.raises(InputError, match=r"^the rtl accelerator is closed; open another one$"):
        rtl.matmul(w, x)


def test_slices_along_k_have_images_that_are_given_back(simulators: Path) -> None:
    config = AcceleratorConfig.from_dict({"partial_sums": True}, base=TINY)
    w, x = operands(10, 150, 2)
    with RtlAccelerator(compile_core(config, simulators)) as rtl:
        matrix = rtl.load(w)
        files = rtl._simulation.files
        assert len(list(files.glob("weights*"))) == 3
        np.testing.assert_array_equal(rtl.matmul(matrix, x).words, x.astype(int) @ w.T.astype(int))
        other = rtl.load(w[:, :64])
        rtl.unload(matrix)
        assert len(list(files.glob("weights*"))) == 1
        np.testing.assert_array_equal(
            rtl.matmul(other, x[:, :64]).words, x[:, :64].astype(int) @ w[:, :64].T.astype(int)
        )


def test_a_matrix_is_given_back_alone(compiled: CompiledDesign) -> None:
    """Of a dozen, so that the number of one begins with that of another."""
    with RtlAccelerator(compiled) as rtl:
        pairs = [operands(3, 8 + number, 1) for number in range(12)]
        loaded = [rtl.load(w) for w, _ in pairs]
        rtl.unload(loaded[1])
        for number in (0, 2, 10, 11):
            w, x = pairs[number]
            np.testing.assert_array_equal(
                rtl.matmul(loaded[number], x).words, x.astype(int) @ w.T.astype(int)
            )


def test_two_side_by_side_do_not_touch_each_other(compiled: CompiledDesign) -> None:
    w, x = operands(64, 64, 4)
    wrong: list[int] = []

    def work(rtl: RtlAccelerator, sign: int) -> None:
        matrix = rtl.load(w * np.int8(sign))
        expected = sign * (x.astype(int) @ w.T)
        wrong.extend(int((rtl.matmul(matrix, x).words != expected).sum()) for _ in range(20))

    with RtlAccelerator(compiled) as first, RtlAccelerator(compiled) as second:
        threads = [threading.Thread(target=work, args=each) for each in ((first, 1), (second, -1))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert wrong == [0] * 40
    assert first.usage == second.usage


def test_progress_counts_the_words_that_are_written(compiled: CompiledDesign) -> None:
    w, x = operands(256, 64, 400)
    seen: list[int] = []
    with RtlAccelerator(compiled) as rtl:
        run = rtl.product(rtl.load(w), x, on_words=seen.append)
    assert run.words is not None
    assert seen == sorted(seen)
    assert seen
    assert 0 <= seen[-1] <= run.words.size


def test_a_simulator_that_is_killed_is_one_error_and_leaves_nothing(compiled: CompiledDesign) -> None:
    before = children()
    w, x = operands(256, 64, 4)
    with RtlAccelerator(compiled) as rtl:
        matrix = rtl.load(w)
        (process,) = children() - before
        files = rtl._simulation.files
        os.kill(process, signal.SIGKILL)
        with pytest.raises(SimulationError, match=r"^the simulation failed; the end of its log:\n"):
            rtl.matmul(matrix, x)
        assert not files.exists()
        with pytest.raises(InputError, match=r"^the rtl accelerator is closed; open another one$"):
            rtl.matmul(matrix, x)
    assert children() == before


def test_a_product_can_be_ended_from_another_thread(compiled: CompiledDesign) -> None:
    w, x = operands(256, 64, 2000)
    with RtlAccelerator(compiled) as rtl:
        matrix = rtl.load(w)
        threading.Timer(0.3, rtl.abort).start()
        with pytest.raises(SimulationError, match=r"^the simulation failed; "):
            repeat(rtl, matrix, x, 100)


def test_an_interrupt_in_the_middle_of_a_product_ends_the_process(
    compiled: CompiledDesign, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At once, and with it the accelerator: the answer still to come must not pass for that of a later product."""
    before = children()
    w, x = operands(256, 64, 2000)

    def interrupt(count: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("tritforge.sim.served_simulation._LOOK", 0.01)
    with RtlAccelerator(compiled) as rtl:
        matrix = rtl.load(w)
        started = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            rtl.product(matrix, x, on_words=interrupt)
        assert children() == before
        assert time.monotonic() - started < 20
        with pytest.raises(InputError, match=r"^the rtl accelerator is closed; open another one$"):
            rtl.matmul(matrix, x)


def test_a_wrong_lane_gives_other_words(simulators: Path) -> None:
    w, x = operands(16, 32, 2)
    with RtlAccelerator(compile_core(TINY, simulators, core=LaneSign(TINY))) as rtl:
        words = rtl.matmul(w, x).words
    wrong = np.flatnonzero((words != x.astype(int) @ w.T).any(axis=0))
    assert wrong.size
    assert set(wrong % 4) == {1}


def test_words_beside_a_reported_error_are_not_given_out(
    compiled: CompiledDesign, monkeypatch: pytest.MonkeyPatch
) -> None:
    w, x = operands(9, 20, 1)
    run = RtlAccelerator._run
    monkeypatch.setattr(RtlAccelerator, "_run", lambda self, *given: replace(run(self, *given), error=3))
    with RtlAccelerator(compiled) as rtl:
        with pytest.raises(SimulationError, match=r"^the core reported error 3 during a product$"):
            rtl.matmul(w, x)
        assert rtl.usage.products == 0


def test_a_core_that_hangs_is_one_error_and_can_be_asked_on(simulators: Path) -> None:
    """`BufferNotReleased` runs until its buffer is full; then the watchdog ends every product."""
    w, x = operands(250, 64, 4)
    with RtlAccelerator(compile_core(TINY, simulators, core=BufferNotReleased(TINY))) as rtl:
        matrix = rtl.load(w)
        message = r"^the core sent \d+ of 1000 words of a product, and then nothing until the watchdog ended the run$"
        with pytest.raises(SimulationError, match=message):
            repeat(rtl, matrix, x, 10)
        before = rtl.usage
        run = rtl.product(matrix, x)
        assert rtl.usage == before
        # The time-out reset the core: the first job fits its buffer again.
        assert (run.timed_out, run.words_received) == (False, 1000)
