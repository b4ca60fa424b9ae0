"""Cores with one planted bug each: the co-simulation must find every one, in the data or by a time-out."""

from pathlib import Path
from typing import Any

import pytest
from mutants import MUTANTS

from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.core import Core
from tritforge.rtl.verilog import GeneratedCore, generate
from tritforge.sim.runner import QUICK_COMPILE
from tritforge.sim.simulator import CORE_NAME, compile_bench, run, stream_bench

#: As small as tails, several tiles, several tokens and a full result queue allow.
CONFIG = AcceleratorConfig(
    lanes=4,
    rows=3,
    tokens_max=3,
    k_max=16,
    m_max=24,
    weight_port_bits=32,
    act_port_bits=32,
    result_port_bits=32,
)
#: The product's own core first.
CORES: tuple[type[Core], ...] = (Core, *MUTANTS)
JOBS = 48
SEED = 5


def together(cores: list[GeneratedCore]) -> GeneratedCore:
    """Put cores into one module of a core's ports, of which one at a time is fed and heard.

    One simulator for all compiles several times faster than one for each.
    """
    first = cores[0]
    bits = (len(cores) - 1).bit_length()
    ports = ",\n".join(
        f"    {port['dir']}put wire [{port['width'] - 1}:0] {port['name']}" for port in first.ports
    )
    lines = [
        f"module {CORE_NAME} (\n{ports}\n);",
        f"reg [{bits - 1}:0] chosen /* verilator public_flat_rw */ = 0;",
    ]
    outputs = [port for port in first.ports if port["dir"] == "out"]
    lines += [f"wire [{port['width'] - 1}:0] {port['name']}_of [0:{len(cores) - 1}];" for port in outputs]
    lines += [f"assign {port['name']} = {port['name']}_of[chosen];" for port in outputs]
    for number, core in enumerate(cores):
        chosen = f"chosen == {bits}'d{number}"
        wires = {port["name"]: port["name"] for port in core.ports}
        valids = [name for name in wires if name.startswith("s_") and name.endswith("tvalid")]
        wires |= {name: f"{name} && {chosen}" for name in valids}
        wires |= {port["name"]: f"{port['name']}_of[{number}]" for port in outputs}
        connections = ", ".join(f".{name}({wire})" for name, wire in wires.items())
        lines.append(f"{core.name} {core.name}_i ({connections});")
    lines.append("endmodule\n")
    text = "".join(core.text for core in cores) + "\n".join(lines)
    return GeneratedCore(name=CORE_NAME, config=first.config, text=text, ports=first.ports)


@pytest.fixture(scope="module")
def outcomes(simulators: Path) -> dict[str, list[dict[str, Any]]]:
    """What each core did, job by job, up to the first that went wrong."""
    cores = [generate(CONFIG, name=core.__name__, core=core(CONFIG)) for core in CORES]
    folder = compile_bench(stream_bench(together(cores)), simulators, make_options=QUICK_COMPILE)
    task = {"seed": SEED, "cores": len(cores), "jobs": JOBS}
    answer = run(folder, "bench_entries:mutants", task, config=CONFIG.to_dict())
    assert answer["simulator"].startswith("Verilator")
    return dict(zip((core.__name__ for core in CORES), answer["outcomes"], strict=True))


def test_the_core_without_a_bug_passes(outcomes: dict[str, list[dict[str, Any]]]) -> None:
    jobs = outcomes["Core"]
    assert len(jobs) == JOBS
    for job in jobs:
        assert (job["mismatches"], job["timed_out"], job["error"]) == (0, False, 0)
        assert job["words_received"] == job["words_expected"]


@pytest.mark.parametrize("name", [mutant.__name__ for mutant in MUTANTS])
def test_a_planted_bug_is_found(outcomes: dict[str, list[dict[str, Any]]], name: str) -> None:
    """By words that differ, by a wrong number of them, or by the watchdog; all jobs before were right."""
    *before, last = outcomes[name]
    assert all(job["mismatches"] == 0 for job in before)
    print(f"{name}: job {len(before)} of {JOBS} (seed {SEED}): {last}")
    assert last["mismatches"] or last["timed_out"] or last["words_received"] != last["words_expected"]


def test_there_are_enough_mutants() -> None:
    names = [core.__name__ for core in MUTANTS]
    assert len(set(names)) == len(names) >= 8
