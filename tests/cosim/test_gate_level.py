"""The co-simulation's bench on the netlist that goes to place and route, every cell by its model."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.presets import PRESETS
from tritforge.rtl.gate_netlist import GateNetlist, gate_netlist
from tritforge.sim.cosim import CosimTask, cosimulate
from tritforge.sim.simulator import CORE_NAME, build, run

SEED, LISTS = 20266, 25
TINY = PRESETS["tiny"]
#: K that takes block RAM for the activations.
CONFIGS = {
    "fused": replace(
        TINY,
        rows=2,
        k_max=2048,
        datapath="fused",
        target="ecp5",
        negation="carry",
        chain_length=4,
        packing="s5",
    ),
    "tree": replace(TINY, rows=2, k_max=2048),
}


def simulate(netlist: GateNetlist, simulators: Path, lists: int = LISTS) -> list[dict[str, Any]]:
    """Run random lists of jobs with random pauses on a netlist."""
    folder = build(netlist, simulators)
    print(f"seed {SEED}, {lists} lists of jobs on {dict(netlist.cells)}")
    task = {"seed": SEED, "lists": lists}
    answer = run(folder, "bench_entries:predicted", task, config=netlist.config.to_dict())
    cases: list[dict[str, Any]] = answer["cases"]
    assert len(cases) == lists
    return cases


def wrong(case: dict[str, Any]) -> bool:
    """Whether a word, or the cycle in which a job began or ended, was not as predicted."""
    return bool(
        case["mismatches"] != 0
        or case["timed_out"]
        or case["error"]
        or (case["starts"], case["ends"]) != (case["predicted_starts"], case["predicted_ends"])
    )


def check_cells(netlist: GateNetlist) -> None:
    """Hold a netlist to what it must be made of: carry chains, memories of both kinds, and no multiplier."""
    assert min(netlist.cells[kind] for kind in ("LUT4", "CCU2C", "TRELLIS_FF", "DP16KD")) > 0
    assert netlist.cells["TRELLIS_DPR16X4"] > 0


@pytest.fixture(scope="module")
def fused(simulators: Path) -> GateNetlist:
    return gate_netlist(CONFIGS["fused"], folder=simulators / "netlist-fused", name=CORE_NAME)


def test_a_fused_core_of_gates_gives_every_word_in_the_cycle_of_the_model(
    fused: GateNetlist, simulators: Path
) -> None:
    """Carry cells, block RAM and LUT RAM, decoders of s5; 25 lists of one to four jobs."""
    check_cells(fused)
    assert not [case for case in simulate(fused, simulators) if wrong(case)]


def test_a_fault_in_one_cell_is_found(fused: GateNetlist, simulators: Path) -> None:
    """A carry cell's propagate table, one of a hundred, inverted."""
    places = list(re.finditer(r"\.INIT1\(16'h(\w{4})\)", fused.text))
    assert len(places) > 50
    adders = [place for place in places if place[1] == "96aa"]
    place = adders[len(adders) // 2]
    table = int(place[1], 16) ^ 0xFFFF
    text = f"{fused.text[: place.start(1)]}{table:04x}{fused.text[place.end(1) :]}"
    cases = simulate(replace(fused, text=text), simulators, lists=5)
    assert any(case["mismatches"] or case["timed_out"] for case in cases)


def test_a_tree_of_gates_gives_every_word_in_the_cycle_of_the_model(simulators: Path) -> None:
    netlist = gate_netlist(CONFIGS["tree"], folder=simulators / "netlist-tree", name=CORE_NAME)
    check_cells(netlist)
    assert not [case for case in simulate(netlist, simulators) if wrong(case)]


@pytest.mark.slow
@pytest.mark.parametrize("preset", ["ecp5", "ulx3s"])
def test_a_layer_of_the_shipped_model_runs_on_the_gates_of_a_preset(preset: str, simulators: Path) -> None:
    """Every word of the seven matrices, and every cycle count."""
    config: AcceleratorConfig = PRESETS[preset]
    task = CosimTask(model="austen", layers=(0,), tokens=16, seed=SEED)
    phases: list[str] = []
    result = cosimulate(task, config, cache=simulators, gate_level=True, on_phase=phases.append)
    assert phases[0].startswith("synthesising for ECP5")
    assert result["ok"], result["first_mismatch"]
    assert result["gate_level"]
    assert sum(matrix["words_compared"] for matrix in result["matrices"]) == 32_768
    assert all(matrix["cycles"] == matrix["predicted_cycles"] for matrix in result["matrices"])
