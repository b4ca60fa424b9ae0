"""The part of a co-simulation that runs inside the simulator's process, under cocotb.

`serve` is the one cocotb test of a bench: it calls the function that the task names in a thread that may block, and
that function computes ternary products on the hardware through `RtlProduct`.
"""

import json
import os
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import cocotb
import numpy as np
import numpy.typing as npt
from cocotb.clock import Clock
from cocotb.handle import HierarchyObject
from cocotb.task import bridge, resume
from cocotb.triggers import FallingEdge, RisingEdge

from tritforge.accel.config import AcceleratorConfig
from tritforge.models.image import pack_activations, pack_image, unpack_results
from tritforge.sim.simulator import TASK_VARIABLE


@dataclass(frozen=True, kw_only=True)
class Stalls:
    """Random pauses of the four streams, as shares of 256, and the seed of the generators."""

    seed: int = 1
    jobs: int = 0
    activations: int = 0
    weights: int = 0
    results: int = 0

    @property
    def packed(self) -> int:
        """The four shares, a byte each, as the bench reads them."""
        return self.jobs | self.activations << 8 | self.weights << 16 | self.results << 24


@dataclass(frozen=True, kw_only=True)
class ProductRun:
    """One product on the hardware.

    Attributes
    ----------
    words : ndarray of int32, or None
        ``Y[T, M]``; None when the watchdog ended the run or words were missing.
    words_received
        Result words that came.
    cycles
        From the first job taken to the last result beat, both counted; of all jobs, when T is over the bound.
    timed_out
        The watchdog ended the run.
    error
        The core's `error` output, 0 when it reported nothing.
    """

    words: npt.NDArray[np.int32] | None
    words_received: int
    cycles: int
    timed_out: bool
    error: int


class RtlProduct:
    """Ternary products on the simulated core, called from a thread that blocks until they are done.

    Parameters
    ----------
    dut
        The bench.
    config
        The core's configuration.
    folder
        Where the bench finds and leaves its files.
    """

    def __init__(self, dut: HierarchyObject, config: AcceleratorConfig, folder: Path) -> None:
        self.config = config
        self.stalls = Stalls()
        self._dut = dut
        self._folder = folder
        self._images: dict[str, int] = {}
        self._progress = folder / "progress.jsonl"

    def report(self, **progress: Any) -> None:
        """Tell the parent process how far the work is."""
        with self._progress.open("a") as file:
            file.write(json.dumps(progress) + "\n")

    def load(self, name: str, codes: npt.NDArray[np.int8]) -> None:
        """Pack a matrix, shape (M, K), and keep its image under a name."""
        number = self._images.setdefault(name, len(self._images))
        (self._folder / f"weights{number}.bin").write_bytes(pack_image(self.config, codes))

    def product(self, name: str, m: int, codes_x: npt.NDArray[np.int8]) -> ProductRun:
        """Compute ``codes_x @ W.T`` with the matrix loaded under a name.

        Parameters
        ----------
        name
            Of `load`.
        m
            Rows of the matrix.
        codes_x : ndarray of int8, shape (T, K)
            Activation codes; T over the configuration's bound is split into jobs.
        """
        parts = [
            self._job(name, m, codes_x[start : start + self.config.tokens_max])
            for start in range(0, len(codes_x), self.config.tokens_max)
        ]
        words = [part.words for part in parts if part.words is not None]
        return ProductRun(
            words=np.concatenate(words) if len(words) == len(parts) else None,
            words_received=sum(part.words_received for part in parts),
            cycles=sum(part.cycles for part in parts),
            timed_out=any(part.timed_out for part in parts),
            error=max(part.error for part in parts),
        )

    def _job(self, name: str, m: int, codes_x: npt.NDArray[np.int8]) -> ProductRun:
        tokens, k = codes_x.shape
        self.config.check_job(m, k, tokens)
        (self._folder / "activations.bin").write_bytes(pack_activations(self.config, codes_x))
        (self._folder / "jobs.txt").write_text(f"1\n{m} {k} {tokens} {self._images[name]}\n")
        weights = (self._folder / f"weights{self._images[name]}.bin").stat().st_size
        beats = weights * 8 // self.config.weight_port_bits + tokens * k + m * tokens
        # Far above what any job needs, pauses included: each beat and each token of each tile 64 cycles.
        limit = 64 * (beats + self.config.row_tiles(m) * self.config.k_tiles(k) * tokens) + 10_000
        timed_out, error = resume(self._run_batch)(limit)
        received = np.fromfile(self._folder / "results.bin", dtype="<i4")
        timeline = [line.split() for line in (self._folder / "timeline.txt").read_text().splitlines()]
        stamps = [int(cycle) for _, cycle in timeline]
        complete = not timed_out and received.size == m * tokens
        return ProductRun(
            words=unpack_results(self.config, received, m, tokens) if complete else None,
            words_received=received.size,
            cycles=stamps[-1] - stamps[0] + 1 if stamps else 0,
            timed_out=timed_out,
            error=error,
        )

    async def _run_batch(self, cycle_limit: int) -> tuple[bool, int]:
        dut: Any = self._dut
        dut.cycle_limit.value = cycle_limit
        dut.stall_seed.value = self.stalls.seed
        dut.stall.value = self.stalls.packed
        dut.go.value = 1
        await RisingEdge(dut.done)
        outcome = bool(dut.timed_out.value), int(dut.error_seen.value)
        dut.go.value = 0
        # After a time-out the core is in the middle of a job: only a reset brings it back.
        dut.reset_request.value = int(outcome[0])
        await FallingEdge(dut.done)
        dut.reset_request.value = 0
        return outcome


@cocotb.test()
async def serve(dut: HierarchyObject) -> None:
    """Run the task's function with the hardware at hand and leave its answer in a file."""
    document = json.loads(Path(os.environ[TASK_VARIABLE]).read_text())
    folder = Path(document["folder"])
    module, function = document["entry"].split(":")
    entry = getattr(import_module(module), function)
    hardware = RtlProduct(dut, AcceleratorConfig.from_dict(document["config"]), folder)
    # The simulator's own clock: one that Python drives is many times slower.
    bench: Any = dut
    Clock(bench.aclk, 2, unit="ns", impl="gpi").start()
    bench.reset_request.value = 0
    answer = await bridge(entry)(hardware, document["task"])
    (folder / "answer.json").write_text(json.dumps(answer))
