"""One matrix product on SCALE-Sim, in the environment that `bench_models.py` makes for it.

Reads a case as JSON from standard input and writes what SCALE-Sim says of it. A word of SCALE-Sim's is an activation,
a weight or a result, so that bandwidths are given, and traffic is told, in numbers of them.
"""

import contextlib
import csv
import json
import statistics
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

CONFIG = """[general]
run_name = run
[architecture_presets]
ArrayHeight: {rows}
ArrayWidth: {columns}
IfmapSramSzkB: {activation_kb}
FilterSramSzkB: {weight_kb}
OfmapSramSzkB: {result_kb}
IfmapOffset: 0
FilterOffset: 1000000000
OfmapOffset: 2000000000
Bandwidth: {results_per_cycle}
Dataflow: {dataflow}
MemoryBanks: 1
ReadRequestBuffer: 64
WriteRequestBuffer: 64
[layout]
IfmapCustomLayout: False
IfmapSRAMBankBandwidth: {activations_per_cycle}
IfmapSRAMBankNum: {banks}
IfmapSRAMBankPort: 2
FilterCustomLayout: False
FilterSRAMBankBandwidth: {weights_per_cycle}
FilterSRAMBankNum: {banks}
FilterSRAMBankPort: 2
[sparsity]
SparsitySupport: false
[run_presets]
InterfaceBandwidth: USER
UseRamulatorTrace: False
"""


def report(folder: Path, name: str) -> dict[str, float]:
    """Return the one row of a report of SCALE-Sim, by column."""
    with (folder / "run" / name).open() as file:
        heading, row = list(csv.reader(file))[:2]
    return {key.strip(): float(value) for key, value in zip(heading, row, strict=True) if key.strip()}


def run(case: dict, folder: Path) -> dict:
    """Run a case once."""
    from scalesim.scale_sim import scalesim

    (folder / "array.cfg").write_text(CONFIG.format(**case["array"]))
    (folder / "product.csv").write_text("Layer,M,N,K,\nproduct,{tokens},{m},{k},\n".format(**case))
    (folder / "layout.csv").write_text("Layer\nproduct," + "1," * 20 + "\n")
    start = time.process_time()
    with contextlib.redirect_stdout(sys.stderr):
        simulator = scalesim(
            save_disk_space=True,
            verbose=False,
            config=str(folder / "array.cfg"),
            topology=str(folder / "product.csv"),
            layout=str(folder / "layout.csv"),
            input_type_gemm=True,
        )
        simulator.run_scale(top_path=str(folder))
    seconds = time.process_time() - start
    compute, detail = report(folder, "COMPUTE_REPORT.csv"), report(folder, "DETAILED_ACCESS_REPORT.csv")
    return {
        "seconds": seconds,
        "cycles": int(compute["Total Cycles"]),
        "stalls": int(compute["Stall Cycles"]),
        "weights": int(detail["DRAM Filter Reads"]),
        "activations": int(detail["DRAM IFMAP Reads"]),
        "results": int(detail["DRAM OFMAP Writes"]),
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
