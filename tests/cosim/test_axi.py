"""The AXI top in Verilator behind AXI masters and slaves that nobody here wrote."""

from pathlib import Path
from typing import Any

from axi_bench import axi_bench

from tritforge.accel.axi_config import AxiConfig
from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.presets import PRESETS
from tritforge.rtl.verilog import generate
from tritforge.sim.simulator import compile_bench, run

TINY = PRESETS["tiny"]
SEED = 21
#: Short bursts, so that small images take several.
AXI = AxiConfig(burst_beats=16)


def simulate(
    simulators: Path, config: AcceleratorConfig, axi: AxiConfig, entry: str, **task: Any
) -> dict[str, Any]:
    """Compile an AXI top, or find it compiled, and run an entry beside it."""
    print(f"{entry} {axi} {task}")
    bench = axi_bench([generate(config, axi=axi)], axi)
    folder = compile_bench(bench, simulators)
    parameters = {
        "burst_beats": axi.burst_beats,
        "address_bits": axi.address_bits,
        "outstanding": axi.outstanding,
    }
    parameters |= {"queue_depth": axi.queue_depth, "write_master": axi.write_master}
    task = {"seed": SEED, "axi": parameters} | task
    return run(folder, f"axi_entries:{entry}", task, config=config.to_dict())
