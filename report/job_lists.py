"""Random lists of jobs under random pauses on the simulated core; `run_lists` runs in the simulator's process.

Words are compared with plain integer arithmetic, and the cycles in which every job starts and ends with the cycle
model, which is told the same pauses.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from tritforge.accel.config import AcceleratorConfig
from tritforge.sim.bench_driver import Multiplication, RtlProduct
from tritforge.sim.cycles import batch_cycles
from tritforge.sim.streams import Stalls

#: Where the simulator's process finds what it runs.
ENTRY = "tritforge.report.job_lists:run_lists"
#: Bounds on a job, in row tiles and in tiles along K, that keep a run short.
_ROW_TILES, _K_TILES = 4, 3
#: Streams that pause, and the largest share of 256 cycles in which they do.
_PAUSING, _PAUSES = ("jobs", "activations", "weights", "results"), 128
#: What fills a matrix or its activations, one of which a job draws.
_WEIGHTS = ("random", "random", "all +1", "all -1")
_ACTIVATIONS = ("random", "random", "lowest", "highest")


def draw_operands(
    config: AcceleratorConfig, random: np.random.Generator
) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.int64]]:
    """Draw a job within a configuration's bounds: weight codes, shape (M, K), and activations, shape (T, K).

    M and K rarely fill their last tile; a quarter of the matrices are all +1, another all -1, a quarter of the
    activations are all the lowest code, another all the highest.
    """
    m = int(random.integers(1, min(_ROW_TILES * config.rows, config.m_max) + 1))
    k = int(random.integers(1, min(_K_TILES * config.lanes, config.k_max) + 1))
    tokens = int(random.choice([1, int(random.integers(1, config.tokens_max + 1))]))
    limit = 1 << (config.act_bits - 1)
    kind = _WEIGHTS[int(random.integers(len(_WEIGHTS)))]
    codes = (
        random.integers(-1, 2, (m, k)).astype(np.int8)
        if kind == "random"
        else np.full((m, k), 1 if kind == "all +1" else -1, dtype=np.int8)
    )
    kind = _ACTIVATIONS[int(random.integers(len(_ACTIVATIONS)))]
    activations = (
        random.integers(-limit, limit, (tokens, k))
        if kind == "random"
        else np.full((tokens, k), -limit if kind == "lowest" else limit - 1, dtype=np.int64)
    )
    return codes, activations


def run_lists(hardware: RtlProduct, task: dict[str, Any]) -> dict[str, Any]:
    """Run lists of jobs.

    Parameters
    ----------
    hardware
        The core.
    task
        ``seed``, and ``lists``: their number.

    Returns
    -------
    dict
        ``lists``: of each ``jobs, words, mismatches, cycles, predicted_cycles, timed_out, error, on_time`` (whether
        every job started and ended when the model says).
    """
    config = hardware.config
    random = np.random.default_rng(task["seed"])
    done = []
    for _ in range(task["lists"]):
        todo, expected = [], []
        for number in range(int(random.integers(1, 5))):
            codes, activations = draw_operands(config, random)
            name = f"matrix{number}"
            hardware.load(name, codes)
            partials = None
            words = activations @ codes.T.astype(np.int64)
            if config.partial_sums and random.random() < 0.5:
                partials = random.integers(-(1 << 30), 1 << 30, words.shape).astype(np.int32)
                words += partials
            todo.append(Multiplication(name=name, m=len(codes), x=activations, partials=partials))
            expected.append(words)
        shares = {
            stream: int(random.integers(0, _PAUSES)) * int(random.integers(0, 2)) for stream in _PAUSING
        }
        hardware.stalls = Stalls(seed=int(random.integers(1 << 31)), **shares)
        ran = hardware.run(todo)
        model = batch_cycles(config, [each.job for each in todo], hardware.stalls)
        starts, ends = ([getattr(job, end) for job in model.jobs] for end in ("start", "end"))
        pairs = zip(ran.words, expected, strict=True) if ran.words else ()
        done.append(
            {
                "jobs": len(todo),
                "words": sum(words.size for words in expected) if ran.words else 0,
                "words_expected": sum(words.size for words in expected),
                "mismatches": sum(int((got != wanted).sum()) for got, wanted in pairs),
                "cycles": ran.cycles,
                "predicted_cycles": model.total,
                "timed_out": ran.timed_out,
                "error": ran.error,
                "on_time": (ran.starts, ran.ends) == (starts, ends),
            }
        )
        hardware.report(done=len(done))
    hardware.stalls = Stalls()
    return {"lists": done}
