"""Products on the RTL beside the golden model: every word compared, over one or several simulator processes."""

from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, Executor, ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import Lock
from time import perf_counter
from typing import Any

import numpy as np
import numpy.typing as npt

from tritforge.accel.config import AcceleratorConfig
from tritforge.sim.cycles import total_cycles
from tritforge.sim.golden import ternary_matmul
from tritforge.sim.operands import Operands
from tritforge.sim.rtl_accelerator import RtlAccelerator
from tritforge.sim.rtl_protocol import ProductRun
from tritforge.sim.served_simulation import CompiledDesign


@dataclass(frozen=True, kw_only=True)
class Mismatch:
    """The first word of a product that differs.

    Attributes
    ----------
    name
        Of the matrix.
    token, row
        Place of the word.
    expected, got
        The golden model's word and the hardware's.
    """

    name: str
    token: int
    row: int
    expected: int
    got: int


@dataclass(frozen=True, kw_only=True)
class MatrixResult:
    """What the comparison of one product found.

    Attributes
    ----------
    name
        Of the matrix.
    m, k, tokens
        Shape of the product.
    words_compared, words_received, words_expected
        Words; none is compared when not all came.
    mismatches
        Compared words that differ.
    cycles, predicted_cycles
        Simulated, and of the cycle model.
    utilisation
        Share of the lanes' operations in these cycles that the product asked for.
    timed_out
        The watchdog ended the run.
    error
        The core's `error` output, 0 when it reported nothing.
    first
        The first word that differs.
    """

    name: str
    m: int
    k: int
    tokens: int
    words_compared: int
    words_received: int
    words_expected: int
    mismatches: int
    cycles: int
    predicted_cycles: int
    utilisation: float
    timed_out: bool
    error: int
    first: Mismatch | None

    @property
    def complete(self) -> bool:
        """Whether all words came."""
        return self.words_compared == self.words_expected

    @property
    def ok(self) -> bool:
        """Whether all words came and are equal, in the predicted cycles and without an error."""
        return (
            self.complete
            and self.mismatches == 0
            and self.cycles == self.predicted_cycles
            and not self.timed_out
            and self.error == 0
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the figures by name, without the first mismatch."""
        figures = asdict(self)
        del figures["first"]
        return figures


def compare(
    config: AcceleratorConfig, operands: Operands, run: ProductRun, expected: npt.NDArray[np.int32]
) -> MatrixResult:
    """Compare what the hardware did with what it should have done.

    Parameters
    ----------
    config
        The accelerator.
    operands
        Of the product.
    run
        What the hardware did.
    expected : ndarray of int32, shape (T, M)
        The golden model's words.
    """
    m, k, tokens = operands.m, operands.k, operands.tokens
    wrong = np.argwhere(run.words != expected) if run.words is not None else np.empty((0, 2))
    first = None
    if run.words is not None and len(wrong):
        token, row = (int(place) for place in wrong[0])
        first = Mismatch(
            name=operands.name,
            token=token,
            row=row,
            expected=int(expected[token, row]),
            got=int(run.words[token, row]),
        )
    return MatrixResult(
        name=operands.name,
        m=m,
        k=k,
        tokens=tokens,
        words_compared=0 if run.words is None else run.words.size,
        words_received=run.words_received,
        words_expected=m * tokens,
        mismatches=len(wrong),
        cycles=run.cycles,
        predicted_cycles=predicted_cycles(config, operands),
        utilisation=m * k * tokens / (run.cycles * config.lanes * config.rows) if run.cycles else 0.0,
        timed_out=run.timed_out,
        error=run.error,
        first=first,
    )


def predicted_cycles(config: AcceleratorConfig, operands: Operands) -> int:
    """Return the cycles of a product by the cycle model."""
    return total_cycles(config, operands.m, operands.k, operands.tokens)


class Comparison:
    """Runs products on simulators side by side and compares them.

    The first product whose words do not all come is the last to be started: a core that hangs would hang again, and
    each time until its watchdog.

    Parameters
    ----------
    compiled
        The simulator.
    todo
        The products.
    jobs
        Number of simulator processes. With several, the longest products come first.
    trace
        Where to write a waveform; takes one process, and a core that was compiled for it.
    on_cycles
        Called with the predicted cycles of what is done so far, from whatever thread.
    on_result
        Called with each product's result as it is known, from whatever thread.
    """

    def __init__(
        self,
        compiled: CompiledDesign,
        todo: Sequence[Operands],
        *,
        jobs: int = 1,
        trace: Path | None = None,
        on_cycles: Callable[[int], None] | None = None,
        on_result: Callable[[MatrixResult], None] | None = None,
    ) -> None:
        self._compiled = compiled
        self._todo = todo
        self._predicted = [predicted_cycles(compiled.config, each) for each in todo]
        self._jobs = min(jobs, len(todo))
        self._trace = trace
        self._on_cycles = on_cycles
        self._on_result = on_result
        self._lock = Lock()
        self._waiting = list(range(len(todo)))
        if self._jobs > 1:
            self._waiting.sort(key=self._predicted.__getitem__, reverse=True)
        #: Seconds in which products ran, of all processes.
        self.seconds = 0.0
        self._done = [0.0] * len(todo)
        self._results: dict[int, MatrixResult] = {}
        self._simulators: list[RtlAccelerator] = []

    def run(self) -> list[MatrixResult]:
        """Run all products; return their results in the order in which they were given.

        Raises
        ------
        SimulationError
            A simulator ended early.
        """
        with (
            ThreadPoolExecutor(max_workers=self._jobs) as golden,
            ThreadPoolExecutor(max_workers=self._jobs) as workers,
        ):
            running = [workers.submit(self._work, golden) for _ in range(self._jobs)]
            try:
                wait(running, return_when=FIRST_EXCEPTION)
                for each in running:
                    if each.done():
                        each.result()
            finally:
                self._stop()
        return [self._results[index] for index in sorted(self._results)]

    def _stop(self) -> None:
        """Start nothing more, and end the simulators that still run."""
        with self._lock:
            self._waiting.clear()
            for simulator in self._simulators:
                simulator.abort()

    def _work(self, golden: Executor) -> None:
        """Run products on one simulator until none is left."""
        with RtlAccelerator(self._compiled, trace=self._trace) as simulator:
            with self._lock:
                self._simulators.append(simulator)
            while (index := self._next()) is not None:
                self._run_one(simulator, golden, index)
            with self._lock:
                self._simulators.remove(simulator)

    def _next(self) -> int | None:
        with self._lock:
            return self._waiting.pop(0) if self._waiting else None

    def _run_one(self, simulator: RtlAccelerator, golden: Executor, index: int) -> None:
        operands = self._todo[index]
        weights = operands.weights()
        # While the simulator runs, this process has nothing else to do.
        expected = golden.submit(ternary_matmul, operands.activations, weights)
        words = operands.m * operands.tokens
        matrix = simulator.load(weights)
        start = perf_counter()
        run = simulator.product(
            matrix, operands.activations, on_words=lambda count: self._say(index, min(count / words, 1.0))
        )
        seconds = perf_counter() - start
        simulator.unload(matrix)
        result = compare(simulator.config, operands, run, expected.result())
        with self._lock:
            self._results[index] = result
            self.seconds += seconds
            if not result.complete:
                self._waiting.clear()
            if self._on_result is not None:
                self._on_result(result)
        self._say(index, 1.0)

    def _say(self, index: int, share: float) -> None:
        """Report how far a product is."""
        with self._lock:
            self._done[index] = share
            if self._on_cycles is not None:
                cycles = sum(a * b for a, b in zip(self._done, self._predicted, strict=True))
                self._on_cycles(round(cycles))
