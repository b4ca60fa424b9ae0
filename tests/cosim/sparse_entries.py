"""Sparse jobs on the simulated core; cocotb's bench imports these functions by name."""

from typing import Any

import numpy as np
import numpy.typing as npt
from bench_entries import weights

from tritforge.models.library import held_out_text, load_model
from tritforge.sim.bench_driver import BatchRun, Multiplication, RtlProduct
from tritforge.sim.cosim import passage
from tritforge.sim.cycles import batch_cycles
from tritforge.sim.decoder import Decoder, GoldenProduct
from tritforge.sim.jobs import Job
from tritforge.sim.streams import STREAMS, Stalls

#: Share of activations that are not zero.
DENSITIES = (0.0, 0.02, 0.2, 1.0)


def outcome(
    hardware: RtlProduct, todo: list[Multiplication], expected: list[npt.NDArray[np.int32]], ran: BatchRun
) -> dict[str, Any]:
    """Compare words with what was expected and cycles with the model."""
    jobs: list[Job] = [each.job for each in todo]
    model = batch_cycles(hardware.config, jobs, hardware.stalls)
    wrong = sum(int((a != b).sum()) for a, b in zip(ran.words, expected, strict=True)) if ran.words else None
    return {
        "jobs": [[job.m, job.k, job.tokens, job.accumulate, job.sparse] for job in jobs],
        "mismatches": wrong,
        "timed_out": ran.timed_out,
        "error": ran.error,
        "starts": ran.starts,
        "ends": ran.ends,
        "predicted_starts": [job.start for job in model.jobs],
        "predicted_ends": [job.end for job in model.jobs],
    }


def mixed(hardware: RtlProduct, task: dict[str, Any]) -> dict[str, Any]:
    """Run random lists of dense and sparse jobs back to back."""
    config = hardware.config
    generator = np.random.default_rng(task["seed"])
    cases = []
    for _ in range(task["lists"]):
        todo, expected = [], []
        largest = int(generator.choice([2 * config.rows, config.column_rows, config.m_max]))
        for number in range(int(generator.integers(1, 6))):
            sparse = bool(generator.random() < 0.5)
            m = int(generator.integers(1, min(largest, config.m_max) + 1))
            k = int(generator.integers(1, config.k_max + 1))
            tokens = 1 if sparse else int(generator.integers(1, config.tokens_max + 1))
            limit = 1 << (config.act_bits - 1)
            x = generator.integers(-limit, limit, (tokens, k))
            x *= generator.random((tokens, k)) < generator.choice(DENSITIES)
            w = weights("random", generator, m, k)
            (hardware.load_columns if sparse else hardware.load)(f"matrix{number}", w)
            partials = None
            if config.partial_sums and generator.random() < 0.5:
                partials = generator.integers(-(1 << 31), 1 << 31, (tokens, m)).astype(np.int32)
            todo.append(Multiplication(name=f"matrix{number}", m=m, x=x, partials=partials, sparse=sparse))
            words = x @ w.T.astype(np.int64) + (0 if partials is None else partials.astype(np.int64))
            expected.append(words.astype(np.int32))
        share = int(generator.choice([0, 0, 60, 160]))
        shares = {name: int(generator.integers(share + 1)) for name in STREAMS}
        hardware.stalls = Stalls(
            seed=int(generator.integers(1 << 32)), latency=int(generator.choice([1, 3, 25])), **shares
        )
        cases.append(outcome(hardware, todo, expected, hardware.run(todo)))
    return {"cases": cases}


def down_projections(hardware: RtlProduct, task: dict[str, Any]) -> dict[str, Any]:
    """Run `down_proj` of each layer of a model on its own activations for one token, dense and sparse."""
    checkpoint = load_model(task["model"])
    golden = GoldenProduct(checkpoint)
    seen: dict[str, npt.NDArray[np.int8]] = {}

    def product(name: str, codes_x: npt.NDArray[np.int8], /) -> npt.NDArray[np.int32]:
        seen[name] = codes_x
        return golden(name, codes_x)

    decoder = Decoder(checkpoint, product)
    decoder.forward(passage(held_out_text(task["model"]), task["context"], task["seed"]))
    hardware.stalls = Stalls(latency=task["latency"])
    cases = []
    for name in (name for name in seen if name.endswith("down_proj")):
        x = seen[name][-1:]
        codes = checkpoint.matrices[name].codes
        hardware.load(name, codes)
        hardware.load_columns(name, codes)
        for sparse in (False, True):
            todo = [Multiplication(name=name, m=len(codes), x=x, sparse=sparse)]
            case = outcome(hardware, todo, [golden(name, x)], hardware.run(todo))
            cases.append(case | {"name": name, "sparse": sparse, "nonzero": int((x != 0).sum())})
    return {"cases": cases}
