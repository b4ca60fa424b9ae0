"""Functions that run in the simulator's process beside the core; cocotb's bench imports them by name."""

from dataclasses import asdict
from typing import Any

import cocotb
import numpy as np
import numpy.typing as npt
from cocotb.task import resume
from cocotb.triggers import RisingEdge

from tritforge.sim.bench_driver import Multiplication, RtlProduct
from tritforge.sim.cycles import batch_cycles
from tritforge.sim.streams import STREAMS, Stalls

#: Weight pattern, activation extreme, ragged tail and stall: what the functional coverage crosses.
WEIGHTS = ("zero", "plus", "minus", "random", "sparse")
ACTIVATIONS = ("-128", "127", "0", "random")
TAILS = ("none", "K", "M", "both")
STALLS = ("none", "jobs", "activations", "weights", "results", "all")


def weights(pattern: str, generator: np.random.Generator, m: int, k: int) -> npt.NDArray[np.int8]:
    """Return a matrix of a pattern."""
    if pattern in {"zero", "plus", "minus"}:
        return np.full((m, k), {"zero": 0, "plus": 1, "minus": -1}[pattern], dtype=np.int8)
    matrix = generator.integers(-1, 2, (m, k)).astype(np.int8)
    if pattern == "sparse":
        matrix *= generator.random((m, k)) < 0.1
    return matrix


def activations(pattern: str, generator: np.random.Generator, tokens: int, k: int) -> npt.NDArray[np.int8]:
    """Return tokens of a pattern."""
    if pattern == "random":
        return generator.integers(-128, 128, (tokens, k)).astype(np.int8)
    return np.full((tokens, k), int(pattern), dtype=np.int8)


def dimensions(tail: str, generator: np.random.Generator, hardware: RtlProduct) -> tuple[int, int]:
    """Return M and K that do, or do not, fill the last tile."""
    config = hardware.config
    m = config.rows * int(generator.integers(1, 9))
    k = config.lanes * int(generator.integers(1, min(4, config.k_max // config.lanes) + 1))
    if tail in {"M", "both"}:
        m -= int(generator.integers(1, config.rows))
    if tail in {"K", "both"}:
        k -= int(generator.integers(1, config.lanes))
    return m, k


def stalls(pattern: str, seed: int) -> Stalls:
    """Return pauses in about 40 % of the cycles of one stream or of all."""
    streams = ("jobs", "activations", "weights", "results")
    chosen = streams if pattern == "all" else tuple(stream for stream in streams if stream == pattern)
    return Stalls(seed=seed, **dict.fromkeys(chosen, 100))


def compare(
    hardware: RtlProduct, name: str, w: npt.NDArray[np.int8], x: npt.NDArray[np.int8]
) -> dict[str, Any]:
    """Run a product and compare every word with plain integer arithmetic."""
    hardware.load(name, w)
    ran = hardware.product(name, len(w), x)
    expected = x.astype(np.int64) @ w.astype(np.int64).T
    return {
        "words_expected": int(expected.size),
        "words_received": ran.words_received,
        "mismatches": None if ran.words is None else int((ran.words != expected).sum()),
        "cycles": ran.cycles,
        "timed_out": ran.timed_out,
        "error": ran.error,
    }


def cover(hardware: RtlProduct, task: dict[str, Any]) -> dict[str, Any]:
    """Run a job in every bin of the crossed coverage."""
    generator = np.random.default_rng(task["seed"])
    bins = []
    for weight in WEIGHTS:
        for activation in ACTIVATIONS:
            for tail in TAILS:
                for stall in STALLS:
                    m, k = dimensions(tail, generator, hardware)
                    tokens = int(generator.integers(1, hardware.config.tokens_max + 1))
                    hardware.stalls = stalls(stall, int(generator.integers(1 << 31)))
                    w = weights(weight, generator, m, k)
                    x = activations(activation, generator, tokens, k)
                    outcome = compare(hardware, "matrix", w, x)
                    shape = {"m": m, "k": k, "tokens": tokens}
                    paused = {"stalls": asdict(hardware.stalls)}
                    bins.append({"bin": [weight, activation, tail, stall], **shape, **paused, **outcome})
    return {"bins": bins}


def pace(hardware: RtlProduct, task: dict[str, Any]) -> dict[str, Any]:
    """Run one product under several stalls; return its words and cycles under each."""
    generator = np.random.default_rng(task["seed"])
    m, k, tokens = task["shape"]
    hardware.load("matrix", weights("random", generator, m, k))
    x = activations("random", generator, tokens, k)
    answer = []
    for parameters in task["stalls"]:
        hardware.stalls = Stalls(**parameters)
        ran = hardware.product("matrix", m, x)
        answer.append({"words": None if ran.words is None else ran.words.tolist(), "cycles": ran.cycles})
    return {"runs": answer}


def starve(hardware: RtlProduct, task: dict[str, Any]) -> dict[str, Any]:
    """Let a job wait for weights that never come, then run one that gets all it needs."""
    generator = np.random.default_rng(task["seed"])
    w, x = weights("random", generator, 9, 20), activations("random", generator, 2, 20)
    hardware.load("short", w)
    image = hardware.image("short")
    image.write_bytes(image.read_bytes()[: -hardware.config.weight_port_bits // 8])
    starved = hardware.product("short", 9, x)
    return {
        "starved": [starved.timed_out, starved.words is None, starved.words_received],
        "next": compare(hardware, "whole", w, x),
    }


def fail(hardware: RtlProduct, task: dict[str, Any]) -> dict[str, Any]:
    """Raise what the task says."""
    raise RuntimeError(task["message"])


def answer_list(hardware: RtlProduct, task: dict[str, Any]) -> Any:
    """Return what is no dictionary."""
    return [task]


async def _select(dut: Any, number: int) -> None:
    dut.dut.chosen.value = number
    dut.reset_request.value = 1
    for _ in range(3):
        await RisingEdge(dut.aclk)
    dut.reset_request.value = 0
    for _ in range(3):
        await RisingEdge(dut.aclk)


def mutants(hardware: RtlProduct, task: dict[str, Any]) -> dict[str, Any]:
    """Run the same products on every core of a bench of several until one is not right."""
    outcomes = []
    for number in range(task["cores"]):
        resume(_select)(hardware._dut, number)
        generator = np.random.default_rng(task["seed"])
        jobs = []
        for index in range(task["jobs"]):
            tail = TAILS[index % len(TAILS)]
            m, k = dimensions(tail, generator, hardware)
            tokens = index // 2 % hardware.config.tokens_max + 1
            hardware.stalls = stalls(STALLS[index % len(STALLS)], index + 1)
            activation = ACTIVATIONS[3 if index % 3 else index // 3 % 2]
            x = activations(activation, generator, tokens, k)
            w = weights(WEIGHTS[3 if index % 3 else 2], generator, m, k)
            jobs.append(compare(hardware, "matrix", w, x))
            if jobs[-1]["mismatches"] != 0:
                break
        outcomes.append(jobs)
    return {"outcomes": outcomes, "simulator": cocotb.SIM_NAME}


def random_stalls(generator: np.random.Generator) -> Stalls:
    """Return pauses: none, of one stream, or of all, from rare to almost always."""
    names = [name for name in STREAMS if generator.random() < 0.5] if generator.random() < 0.7 else []
    shares = {name: int(generator.choice([16, 64, 128, 200, 240])) for name in names}
    return Stalls(seed=int(generator.integers(1 << 32)), **shares)


def predicted(hardware: RtlProduct, task: dict[str, Any]) -> dict[str, Any]:
    """Run random lists of jobs and compare words with integer arithmetic, cycles with the model."""
    config = hardware.config
    generator = np.random.default_rng(task["seed"])
    cases = []
    for _ in range(task["lists"]):
        todo, expected = [], []
        # Shapes of a list are all small, or of any size, so that short jobs chase each other.
        largest = int(generator.choice([2 * config.rows, 6 * config.rows, config.m_max]))
        deepest = int(generator.choice([config.lanes, config.k_max]))
        for number in range(int(generator.integers(1, 5))):
            m = int(generator.integers(1, min(largest, config.m_max) + 1))
            k = int(generator.integers(1, min(deepest, config.k_max) + 1))
            tokens = int(generator.integers(1, config.tokens_max + 1))
            limit = 1 << (config.act_bits - 1)
            x = generator.integers(-limit, limit, (tokens, k))
            w = weights("random", generator, m, k)
            hardware.load(f"matrix{number}", w)
            partials = None
            if config.partial_sums and generator.random() < 0.5:
                partials = generator.integers(-(1 << 31), 1 << 31, (tokens, m)).astype(np.int32)
            todo.append(Multiplication(name=f"matrix{number}", m=m, x=x, partials=partials))
            words = x @ w.T.astype(np.int64) + (0 if partials is None else partials.astype(np.int64))
            expected.append(words.astype(np.int32))
        hardware.stalls = random_stalls(generator)
        ran = hardware.run(todo)
        model = batch_cycles(config, [each.job for each in todo], hardware.stalls)
        cases.append(
            {
                "jobs": [asdict(each.job) for each in todo],
                "stalls": asdict(hardware.stalls),
                "mismatches": sum(int((a != b).sum()) for a, b in zip(ran.words, expected, strict=True))
                if ran.words
                else None,
                "timed_out": ran.timed_out,
                "error": ran.error,
                "starts": ran.starts,
                "ends": ran.ends,
                "predicted_starts": [job.start for job in model.jobs],
                "predicted_ends": [job.end for job in model.jobs],
            }
        )
    return {"cases": cases}


def sequence(hardware: RtlProduct, task: dict[str, Any]) -> dict[str, Any]:
    """Run matrices back to back for some numbers of tokens; return the cycles of each run."""
    generator = np.random.default_rng(task["seed"])
    matrices = [weights("random", generator, m, k) for m, k in task["matrices"]]
    for number, w in enumerate(matrices):
        hardware.load(f"{number}", w)
    answer = []
    for tokens in task["tokens"]:
        todo = [
            Multiplication(name=f"{number}", m=len(w), x=activations("random", generator, tokens, w.shape[1]))
            for number, w in enumerate(matrices)
        ]
        ran = hardware.run(todo)
        wrong = [
            int((words != each.x.astype(np.int64) @ w.astype(np.int64).T).sum())
            for words, each, w in zip(ran.words, todo, matrices, strict=True)
        ]
        answer.append({"cycles": ran.cycles, "mismatches": wrong, "error": ran.error})
    return {"runs": answer}


def over_the_buffer(hardware: RtlProduct, task: dict[str, Any]) -> dict[str, Any]:
    """Run products whose inner dimension and tokens are over the bounds, and extremes among them."""
    generator = np.random.default_rng(task["seed"])
    runs = []
    for m, k, tokens in task["shapes"]:
        for pattern, act in (("random", "random"), ("minus", "-128"), ("plus", "-128")):
            hardware.stalls = random_stalls(generator) if task["stalls"] else Stalls()
            w, x = weights(pattern, generator, m, k), activations(act, generator, tokens, k)
            runs.append({"shape": [m, k, tokens]} | compare(hardware, "matrix", w, x))
    return {"runs": runs}
