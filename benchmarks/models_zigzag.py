"""One matrix product on ZigZag, in the environment that `bench_models.py` makes for it.

Reads a case as JSON from standard input and writes what ZigZag says of it. The machine is this project's core in
ZigZag's terms: lanes along the inputs and rows along the outputs, a weight register of two tiles in each lane,
accumulators beside each row and a queue behind them, an activation buffer, and a stream on each side with its width.
"""

import contextlib
import json
import logging
import statistics
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

#: Bits of a stream's memory: none of these products fills it.
ENDLESS = 10**13


def memory(operand: str, size: int, cost: float, served: list[str], **ports: int) -> dict[str, Any]:
    """Return a memory of one operand; `ports` are widths in bits by what they move, an access costs the same on all.

    ``fh`` is a write from above, ``tl`` a read for below, ``fl`` a write from below, ``th`` a read for above.
    """
    kinds = {"fh": "write", "fl": "write", "tl": "read", "th": "read"}
    return {
        "size": size,
        "r_cost": cost,
        "w_cost": cost,
        "area": 0,
        "latency": 1,
        "operands": [operand],
        "ports": [
            {
                "name": f"{kinds[move][0]}_port_{number}",
                "type": kinds[move],
                "bandwidth_min": bits,
                "bandwidth_max": bits,
                "allocation": [f"{operand}, {move}"],
            }
            for number, (move, bits) in enumerate(ports.items(), start=1)
        ],
        "served_dimensions": served,
    }


def accelerator(array: dict[str, Any]) -> dict[str, Any]:
    """Return the core in ZigZag's terms; energies are picojoules an access."""
    both, word, act = ["D1", "D2"], array["acc_bits"], array["act_bits"]
    tile = array["lanes"] * act
    register = memory("I2", 2 * array["weight_bits"], array["register_pj"], [], tl=2, fh=2)
    # The tile at work and the one that is being loaded.
    register |= {"force_double_buffering": True}
    sums = memory(
        "O",
        2 * word * array["tokens_max"],
        array["accumulator_pj"],
        ["D1"],
        tl=word,
        th=word,
        fh=word,
        fl=word,
    )
    # A row tile's results leave, through the result queue, while the next one's are summed.
    sums |= {"force_double_buffering": True}
    buffer = memory("I1", array["buffer_bits"], array["buffer_pj"], both, tl=tile, fh=array["act_port_bits"])
    return {
        "name": "core",
        "memories": {
            "weight_registers": register,
            "accumulators": sums,
            "activation_buffer": buffer,
            "weights": memory("I2", ENDLESS, array["weights_pj"], both, tl=array["weight_port_bits"]),
            "activations": memory("I1", ENDLESS, array["activations_pj"], both, tl=array["act_port_bits"]),
            "results": memory(
                "O",
                ENDLESS,
                array["results_pj"],
                both,
                tl=array["result_port_bits"],
                fl=array["result_port_bits"],
            ),
        },
        "operational_array": {
            "unit_energy": array["operation_pj"],
            "unit_area": 1.0,
            "dimensions": ["D1", "D2"],
            "sizes": [array["lanes"], array["rows"]],
        },
    }


def workload(case: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the product: B tokens, C inputs, K outputs."""
    array = case["array"]
    return [
        {
            "id": 0,
            "operator_type": "Gemm",
            "equation": "O[b][k]+=I[b][c]*W[c][k]",
            "dimension_relations": [],
            "loop_dims": ["B", "C", "K"],
            "loop_sizes": [case["tokens"], case["k"], case["m"]],
            "operand_precision": {
                "W": array["weight_bits"],
                "I": array["act_bits"],
                "O": array["acc_bits"],
                "O_final": array["result_bits"],
            },
            "operand_source": {"I": 0, "W": 0},
        }
    ]


def mapping(case: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the mapping: this project's order of loops, or only what is unrolled, and ZigZag searches the order."""
    array = case["array"]
    found: dict[str, Any] = {
        "name": "default",
        "spatial_mapping": {"D1": [f"C, {array['lanes']}"], "D2": [f"K, {array['rows']}"]},
        "memory_operand_links": {"O": "O", "W": "I2", "I": "I1"},
    }
    if case["order"] == "given":
        loops = [["B", case["tokens"]], ["C", case["k"] // array["lanes"]], ["K", case["m"] // array["rows"]]]
        found["temporal_ordering"] = [loop for loop in loops if loop[1] > 1]
    return [found]


def run(case: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Run a case once."""
    import yaml
    from zigzag.api import get_hardware_performance_zigzag

    logging.disable(logging.CRITICAL)
    (folder / "core.yaml").write_text(yaml.safe_dump(accelerator(case["array"]), sort_keys=False))
    (folder / "mapping.yaml").write_text(yaml.safe_dump(mapping(case), sort_keys=False))
    start = time.process_time()
    with contextlib.redirect_stdout(sys.stderr):
        energy, cycles, _ = get_hardware_performance_zigzag(
            workload=workload(case),
            accelerator=str(folder / "core.yaml"),
            mapping=str(folder / "mapping.yaml"),
            opt="latency",
            dump_folder=str(folder / "out"),
            pickle_filename=str(folder / "out.pickle"),
            loma_show_progress_bar=False,
        )
    seconds = time.process_time() - start
    said = json.loads((folder / "out" / "Layer0_complete.json").read_text())["outputs"]
    # The last level of each operand is its stream; an access is as wide as the port.
    reads = {name: levels[-1] for name, levels in said["memory"]["word_accesses"].items()}
    array = case["array"]
    return {
        "seconds": seconds,
        "cycles": int(cycles),
        "energy_pj": energy,
        "weight_bits": reads["W"]["rd_out_to_low"] * array["weight_port_bits"],
        "activation_bits": reads["I"]["rd_out_to_low"] * array["act_port_bits"],
        "result_bits": reads["O"]["wr_in_by_low"] * array["result_port_bits"],
        "weights_pj": said["energy"]["memory_energy_breakdown_per_level"]["W"][-1],
    }


def main() -> None:
    """Run the case of standard input as often as it says."""
    case = json.load(sys.stdin)
    with TemporaryDirectory() as name:
        runs = [run(case, Path(name)) for _ in range(case["repeats"])]
    seconds = [one.pop("seconds") for one in runs]
    json.dump(runs[0] | {"seconds": statistics.median(seconds), "repeats": len(seconds)}, sys.stdout)


if __name__ == "__main__":
    main()
