"""Co-simulation at size: a full layer of BitNet b1.58 2B-4T on the RTL, and what a single product costs besides.

Run as ``python benchmarks/bench_cosim.py``; ``--json FILE`` keeps the figures. The simulator of the default
configuration is built first, in ``--cache``, and is not counted. Cycles a second are those of all simulators while
they run; the seconds beside them are those of the whole layer: start of the simulators, seeded weights, comparison.
Exit status 1 where a word differs, a cycle count is not the predicted one, the layer takes over 30 s or under 200,000
cycles a second, or a product takes over a millisecond besides its simulation.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

from tritforge.accel.presets import PRESETS
from tritforge.models.library import load_model
from tritforge.sim.accelerator import (
    SIMULATORS,
    Accelerator,
    AcceleratorProduct,
    LoadedMatrix,
    open_accelerator,
)
from tritforge.sim.comparison import Comparison
from tritforge.sim.cosim import CosimTask, cosimulate
from tritforge.sim.decoder import Decoder
from tritforge.sim.operands import Operands, seeded_weights
from tritforge.sim.rtl_accelerator import compile_core

CONFIG = PRESETS["default"]
SHAPE = "bitnet-2b4t"
SECONDS_BOUND = 30.0
RATE_BOUND = 200_000.0
OVERHEAD_BOUND = 1e-3
#: Tokens of the shipped model's loop.
STEPS = 64
#: Products whose time is averaged, and how often.
CALLS, ROUNDS = 60, 5


def layer(jobs: int, cache: Path) -> dict[str, Any]:
    """Run a full-size layer; everything from the task to the verdict counts, the build apart."""
    start = perf_counter()
    task = CosimTask(shape=SHAPE, layers=(0,), tokens=1, seed=0, jobs=jobs)
    result = cosimulate(task, CONFIG, cache=cache)
    seconds = perf_counter() - start
    cycles = sum(matrix["cycles"] for matrix in result["matrices"])
    return {
        "jobs": jobs,
        "seconds": seconds,
        "cycles": cycles,
        "cycles_per_second": cycles * jobs / result["simulation_seconds"],
        "words": sum(matrix["words_compared"] for matrix in result["matrices"]),
        "mismatches": sum(matrix["mismatches"] for matrix in result["matrices"]),
        "as_predicted": all(m["cycles"] == m["predicted_cycles"] for m in result["matrices"]),
        "ok": result["ok"],
    }


def seconds_of(accelerator: Accelerator, matrix: LoadedMatrix, calls: int) -> tuple[float, int]:
    """Return seconds and cycles of a product of one token: the mean of some calls, of the fastest of some rounds."""
    x = np.ones((1, matrix.k), dtype=np.int8)
    cycles = accelerator.matmul(matrix, x).cycles or 0
    seconds = []
    for _ in range(ROUNDS):
        start = perf_counter()
        for _ in range(calls):
            accelerator.matmul(matrix, x)
        seconds.append((perf_counter() - start) / calls)
    return min(seconds), cycles


def overhead(cache: Path) -> dict[str, Any]:
    """Measure what a product takes besides its cycles: a small one less its cycles at a large one's rate."""
    random = np.random.default_rng(0)
    with open_accelerator("rtl", CONFIG, cache=cache) as accelerator:
        small, large = (accelerator.load(seeded_weights(m, k, random)) for m, k in ((8, 64), (2560, 2560)))
        large_seconds, large_cycles = seconds_of(accelerator, large, 1)
        small_seconds, small_cycles = seconds_of(accelerator, small, CALLS)
    besides = small_seconds - small_cycles * large_seconds / large_cycles
    return {"calls": CALLS, "seconds": small_seconds, "cycles": small_cycles, "overhead_seconds": besides}


def loop(back_end: str, cache: Path) -> dict[str, Any]:
    """Run the shipped model token by token, every ternary product on an accelerator."""
    checkpoint = load_model("austen")
    opening = perf_counter()
    with open_accelerator(back_end, CONFIG, cache=cache) as accelerator:
        decoder = Decoder(checkpoint, AcceleratorProduct(accelerator, checkpoint))
        kept = decoder.new_cache()
        token = np.array([ord("T")])
        chosen = []
        start = perf_counter()
        for _ in range(STEPS):
            logits = decoder.forward(token, kept)
            token = logits[-1:].argmax(axis=-1)
            chosen.append(int(token[0]))
        end = perf_counter()
        usage = accelerator.usage
    return {
        "back_end": back_end,
        "opening_seconds": start - opening,
        "seconds": end - start,
        "products": usage.products,
        "cycles": usage.cycles,
        "tokens": chosen,
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, default=SIMULATORS)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(arguments)
    start = perf_counter()
    compiled = compile_core(CONFIG, options.cache)
    built = perf_counter() - start
    # A product by hand, so that nothing of the machine is cold when the clock starts.
    weights = np.ones((8, 64), dtype=np.int8)
    Comparison(
        compiled,
        [Operands(name="first", m=8, k=64, weights=lambda: weights, activations=weights[:1])],
    ).run()
    layers = [layer(jobs, options.cache) for jobs in (1, 2)]
    call = overhead(options.cache)
    loops = [loop(name, options.cache) for name in ("golden", "cycle", "rtl")]
    alike = all(each["tokens"] == loops[0]["tokens"] for each in loops)
    alike = alike and loops[1]["cycles"] == loops[2]["cycles"]
    bounds = {
        "layer": all(each["ok"] and each["seconds"] <= SECONDS_BOUND for each in layers),
        "rate": all(each["cycles_per_second"] >= RATE_BOUND for each in layers),
        "overhead": call["overhead_seconds"] <= OVERHEAD_BOUND,
        "loops": alike,
    }
    console = Console()
    table = Table(
        title=f"a layer of {SHAPE}, 1 token, default configuration (build: {built:.1f} s)",
        box=box.SIMPLE_HEAD,
    )
    for name in ("jobs", "seconds", "cycles", "cycles/s", "words", "differ", "as predicted"):
        table.add_column(name, justify="right")
    for each in layers:
        table.add_row(
            f"{each['jobs']}",
            f"{each['seconds']:.2f}",
            f"{each['cycles']:,}",
            f"{each['cycles_per_second']:,.0f}",
            f"{each['words']:,}",
            f"{each['mismatches']}",
            "yes" if each["as_predicted"] else "no",
        )
    console.print(table)
    console.print(
        f"a product of {call['cycles']} cycles: {call['seconds'] * 1e3:.2f} ms, of it "
        f"{call['overhead_seconds'] * 1e3:.2f} ms besides the simulation"
    )
    for each in loops:
        console.print(
            f"{STEPS} tokens of austen on {each['back_end']}: {each['seconds']:.2f} s, "
            f"{each['products']:,} products, cycles {each['cycles']}; opened in {each['opening_seconds']:.2f} s"
        )
    failed = [name for name, met in bounds.items() if not met]
    console.print(f"not met: {', '.join(failed)}" if failed else "all bounds met")
    if options.json is not None:
        document = {
            "build_seconds": built,
            "layers": layers,
            "product": call,
            "loops": loops,
            "ok": not failed,
        }
        options.json.write_text(json.dumps(document, indent=2) + "\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
