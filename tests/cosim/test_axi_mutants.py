"""AXI tops with one planted bug each: the random jobs must find every one."""

from dataclasses import asdict, replace
from pathlib import Path

import pytest
from axi_bench import axi_bench
from axi_mutants import MEMORY_MUTANTS, STREAM_MUTANTS

from tritforge.accel.axi_config import AxiConfig
from tritforge.accel.axi_top import AxiCore
from tritforge.accel.errors import SimulationError
from tritforge.accel.presets import PRESETS
from tritforge.rtl.verilog import convert
from tritforge.sim.simulator import compile_bench, run

TINY = PRESETS["tiny"]
STREAM = AxiConfig(burst_beats=16, outstanding=2)
#: The product's own top first in each list.
TOPS: dict[str, tuple[AxiConfig, tuple[type[AxiCore], ...]]] = {
    "stream": (STREAM, (AxiCore, *STREAM_MUTANTS)),
    "memory": (replace(STREAM, write_master=True), (AxiCore, *MEMORY_MUTANTS)),
}
JOBS = 400
SEED = 3


@pytest.mark.slow
@pytest.mark.parametrize("results", TOPS)
def test_every_planted_bug_is_found_and_the_top_itself_is_clean(results: str, simulators: Path) -> None:
    axi, tops = TOPS[results]
    cores = [convert(top(TINY, axi), name=top.__name__) for top in tops]
    folder = compile_bench(axi_bench(cores, axi), simulators)
    found = {}
    for number, top in enumerate(tops):
        task = {"seed": SEED, "axi": asdict(axi), "jobs": JOBS, "top": number}
        print(f"{top.__name__} {task}")
        try:
            answer = run(folder, "axi_entries:random_jobs", task, config=TINY.to_dict())
            found[top] = answer["faults"][0] if answer["faults"] else ""
            print(f"  after {answer['counts'].get('jobs', 0)} jobs: {found[top]}")
        except SimulationError as error:
            # cocotbext-axi refuses what a memory cannot make sense of.
            found[top] = str(error) if "AssertionError" in str(error) else ""
    assert {top.__name__ for top, fault in found.items() if not fault} == {"AxiCore"}
