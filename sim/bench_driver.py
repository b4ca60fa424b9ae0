"""The part of a co-simulation that runs inside the simulator's process, under cocotb.

`serve` is the one cocotb test of a bench: it calls the function that the task names in a thread that may block, and
that function computes ternary products on the hardware through `RtlProduct`.
"""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from inspect import iscoroutinefunction
from itertools import count
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
from tritforge.models.columns import pack_columns
from tritforge.models.image import pack_image
from tritforge.models.operands import order_results, pack_activations, unpack_results
from tritforge.sim.jobs import Job, split_product, token_slices
from tritforge.sim.rtl_protocol import ProductRun
from tritforge.sim.simulator import TASK_VARIABLE
from tritforge.sim.streams import Stalls

#: Largest number of cycles that the bench's watchdog can be given.
LARGEST_LIMIT = (1 << 32) - 1


def slice_name(name: str, index: int) -> str:
    """Return the name of the image of a matrix's slice along K."""
    return f"{name}/{index}" if index else name


def pack_partials(config: AcceleratorConfig, partials: npt.NDArray[np.int32]) -> bytes:
    """Return the beats of a job's partial sums, shape (T, M): the order of its results, padded to whole beats."""
    words = order_results(config, partials)
    padded = np.zeros(-(-words.size // config.results_per_beat) * config.results_per_beat, dtype="<i4")
    padded[: words.size] = words
    return padded.tobytes()


@dataclass(frozen=True, kw_only=True)
class Multiplication:
    """A job with its operands.

    Attributes
    ----------
    name
        Of the loaded matrix.
    m
        Rows of the matrix.
    x : ndarray of integers, shape (T, K)
        Activations.
    partials : ndarray of int32, shape (T, M), or None
        Partial sums that the job adds its own to.
    sparse
        Whether to read the columns of the one token's non-zero activations only.
    """

    name: str
    m: int
    x: npt.NDArray[np.integer]
    partials: npt.NDArray[np.int32] | None = None
    sparse: bool = False

    @property
    def job(self) -> Job:
        """What the core is told."""
        tokens, k = self.x.shape
        return Job(
            m=self.m,
            k=k,
            tokens=tokens,
            accumulate=self.partials is not None,
            nonzero=self.x[0] != 0 if self.sparse else None,
        )


@dataclass(frozen=True, kw_only=True)
class BatchRun:
    """Jobs that ran back to back.

    Attributes
    ----------
    words : list of ndarray of int32
        ``Y[T, M]`` of each job; empty when the watchdog ended the run or not all words came.
    words_received
        Result words that came, of all jobs.
    starts, ends
        Cycles of the bench in which each job was taken and in which its last result beat left.
    timed_out
        The watchdog ended the run.
    error
        The core's `error` output, 0 when it reported nothing.
    """

    words: list[npt.NDArray[np.int32]]
    words_received: int
    starts: list[int]
    ends: list[int]
    timed_out: bool
    error: int

    @property
    def cycles(self) -> int:
        """Cycles from the first job taken to the last result beat, both counted."""
        return max(self.ends, default=self.starts[-1]) - self.starts[0] + 1 if self.starts else 0


class RtlProduct:
    """Ternary products on the simulated core.

    `product` and `run` are called from a thread, which they block until all is done; `multiply` and `run_jobs` do the
    same in the simulator's own thread, where they are awaited.

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
        self._numbers = count()
        self._batch_files = [
            folder / name
            for name in ("jobs.txt", "activations.bin", "partials.bin", "results.bin", "timeline.txt")
        ]
        self._progress = folder / "progress.jsonl"

    @property
    def bench(self) -> Any:
        """The bench's signals, by name."""
        return self._dut

    def report(self, **progress: Any) -> None:
        """Tell the parent process how far the work is."""
        with self._progress.open("a") as file:
            file.write(json.dumps(progress) + "\n")

    def load(self, name: str, codes: npt.NDArray[np.int8]) -> None:
        """Pack a matrix, shape (M, K), and keep its image under a name; K over the bound takes several images."""
        for index, part in enumerate(self.config.k_slices(codes.shape[1])):
            self.image(slice_name(name, index)).write_bytes(pack_image(self.config, codes[:, part]))

    def load_columns(self, name: str, codes: npt.NDArray[np.int8]) -> None:
        """Pack a matrix for sparse jobs, which find its column image under the same name."""
        for index, part in enumerate(self.config.k_slices(codes.shape[1])):
            file = self.image(slice_name(name, index), columns=True)
            file.write_bytes(pack_columns(self.config, codes[:, part]))

    def unload(self, name: str) -> None:
        """Remove the images of a matrix."""
        for each in [each for each in self._images if each == name or each.startswith(f"{name}/")]:
            for columns in (False, True):
                self.image(each, columns=columns).unlink(missing_ok=True)
            del self._images[each]

    def image(self, name: str, *, columns: bool = False) -> Path:
        """Return the file of the image that is loaded, or about to be, under a name."""
        if name not in self._images:
            self._images[name] = next(self._numbers)
        number = self._images[name]
        return self._folder / f"{'columns' if columns else 'weights'}{number}.bin"

    def product(
        self, name: str, m: int, codes_x: npt.NDArray[np.integer], *, sparse: bool = False
    ) -> ProductRun:
        """Compute ``codes_x @ W.T``; see `multiply`."""
        return resume(self.multiply)(name, m, codes_x, sparse=sparse)

    def run(self, todo: Sequence[Multiplication]) -> BatchRun:
        """Run jobs back to back; see `run_jobs`."""
        return resume(self.run_jobs)(todo)

    async def multiply(
        self, name: str, m: int, codes_x: npt.NDArray[np.integer], *, sparse: bool = False
    ) -> ProductRun:
        """Compute ``codes_x @ W.T`` with the matrix loaded under a name.

        Parameters
        ----------
        name
            Of `load`.
        m
            Rows of the matrix.
        codes_x : ndarray of integers, shape (T, K)
            Activation codes. T over the configuration's bound becomes several jobs back to back; so does, with
            `partial_sums`, K: those of a slice add to the words of the slice before.
        sparse
            Whether to run sparse jobs, one a token, on the column image of `load_columns`.

        Raises
        ------
        InputError
            A shape or a value out of the configuration's bounds.
        """
        tokens, k = codes_x.shape
        split_product(self.config, m, k, tokens)  # refuses what does not fit
        parts = [slice(i, i + 1) for i in range(tokens)] if sparse else token_slices(self.config, tokens)
        words: list[npt.NDArray[np.int32]] = []
        runs = []
        for index, inputs in enumerate(self.config.k_slices(k)):
            runs.append(
                await self.run_jobs(
                    [
                        Multiplication(
                            name=slice_name(name, index),
                            m=m,
                            x=codes_x[part, inputs],
                            partials=words[number] if index else None,
                            sparse=sparse,
                        )
                        for number, part in enumerate(parts)
                    ]
                )
            )
            words = runs[-1].words
            if not words:
                break
        return ProductRun(
            words=np.concatenate(words) if words else None,
            words_received=runs[-1].words_received,
            cycles=sum(run.cycles for run in runs),
            timed_out=runs[-1].timed_out,
            error=max(run.error for run in runs),
        )

    async def run_jobs(self, todo: Sequence[Multiplication]) -> BatchRun:
        """Run jobs back to back.

        Raises
        ------
        InputError
            A shape or a value out of the configuration's bounds.
        """
        config = self.config
        lines, activations, partials = [f"{len(todo)}"], [], []
        limit = 10_000
        for each in todo:
            job = each.job
            config.check_job(job.m, job.k, job.tokens)
            activations.append(pack_activations(config, each.x))
            lines.append(f"{job.m} {job.k} {job.tokens} {job.flags} {self._images[each.name]}")
            if each.partials is not None:
                partials.append(pack_partials(config, each.partials))
            size = self.image(each.name, columns=each.sparse).stat().st_size
            beats = size * 8 // config.weight_port_bits * (self.stalls.latency if each.sparse else 1)
            beats += job.tokens * job.k + job.m * job.tokens
            # Far above what any job needs, pauses included: each beat and each token of each tile 64 cycles.
            limit += 64 * (beats + config.row_tiles(job.m) * config.k_tiles(job.k) * job.tokens)
        # Made anew: some file systems write a file that is cut to the disk at once, which takes milliseconds.
        for file in self._batch_files:
            file.unlink(missing_ok=True)
        jobs, activation_file, partial_file, result_file, timeline = self._batch_files
        jobs.write_text("\n".join(lines) + "\n")
        activation_file.write_bytes(b"".join(activations))
        if partials:
            partial_file.write_bytes(b"".join(partials))
        timed_out, error = await self._run_batch(min(limit, LARGEST_LIMIT))
        received = np.frombuffer(result_file.read_bytes(), dtype="<i4")
        stamps = [line.split() for line in timeline.read_text().splitlines()]
        sizes = [each.job.m * each.job.tokens for each in todo]
        words = []
        if not timed_out and received.size == sum(sizes):
            parts = np.split(received, np.cumsum(sizes)[:-1])
            words = [
                unpack_results(config, part, each.job.m, each.job.tokens)
                for part, each in zip(parts, todo, strict=True)
            ]
        return BatchRun(
            words=words,
            words_received=received.size,
            starts=[int(cycle) for what, cycle in stamps if what == "start"],
            ends=[int(cycle) for what, cycle in stamps if what == "end"],
            timed_out=timed_out,
            error=error,
        )

    async def _run_batch(self, cycle_limit: int) -> tuple[bool, int]:
        dut: Any = self._dut
        dut.cycle_limit.value = cycle_limit
        dut.stall_seed.value = self.stalls.seed
        dut.stall.value = self.stalls.packed
        dut.latency.value = self.stalls.latency
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
    call = entry if iscoroutinefunction(entry) else bridge(entry)
    answer = await call(hardware, document["task"])
    (folder / "answer.json").write_text(json.dumps(answer))
