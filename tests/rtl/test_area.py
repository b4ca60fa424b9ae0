"""The area model: arrays equal to configurations, costs equal to their fit, errors equal to what is stated."""

import importlib.util
import json
import random
from dataclasses import replace
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tritforge.accel import datapath
from tritforge.accel.beats import striped_words, waiting_cycles
from tritforge.accel.codes import TRIT_BITS
from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.errors import InputError
from tritforge.accel.presets import PRESETS
from tritforge.rtl import area_terms
from tritforge.rtl.area import FAMILIES, Area, area_model, area_of, estimate
from tritforge.rtl.area_fit import as_columns, fit_columns, fit_family, non_negative_least_squares, parted
from tritforge.rtl.area_shape import Shapes
from tritforge.rtl.area_structure import Structure
from tritforge.rtl.area_terms import RESOURCES
from tritforge.rtl.fpga_history import HISTORY
from tritforge.rtl.place_route import route

CHECKOUT = Path(__file__).resolve().parents[2]
MEASURED: list[dict[str, Any]] = json.loads((CHECKOUT / "benchmarks/area.json").read_text())["cores"]
CORES, HELD_OUT = parted(MEASURED)
FUSED: dict[str, Any] = {"datapath": "fused", "target": "ecp5", "negation": "carry"}


def bench() -> Any:
    spec = importlib.util.spec_from_file_location("bench_area", CHECKOUT / "benchmarks/bench_area.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def some_configs(count: int, seed: int) -> list[AcceleratorConfig]:
    """Return legal configurations of every kind."""
    pick = random.Random(seed)  # noqa: S311 - not for cryptography
    configs: list[AcceleratorConfig] = []
    while len(configs) < count:
        values: dict[str, Any] = {
            "lanes": pick.choice((8, 16, 24, 32, 48, 64, 96, 128, 256, 512)),
            "rows": pick.choice((1, 2, 3, 4, 6, 8, 16)),
            "tokens_max": pick.choice((1, 2, 3, 8, 17, 64)),
            "k_max": pick.choice((64, 100, 2048, 6912, 32768)),
            "m_max": pick.choice((64, 1000, 65536)),
            "act_bits": pick.choice((2, 4, 8, 12)),
            "weight_port_bits": pick.choice((16, 64, 128, 1024)),
            "act_port_bits": pick.choice((16, 64, 256)),
            "result_port_bits": pick.choice((32, 64, 256)),
            "packing": pick.choice(("i2", "s5", "s8")),
            "partial_sums": pick.random() < 0.3,
            "sparse": pick.random() < 0.3,
            "column_beats": pick.choice((0, 1, 2, 8)),
        }
        if pick.random() < 0.5:
            values |= FUSED | {
                "chain_length": pick.choice((2, 4, 8, 16, 32)),
                "adders_per_chain": pick.choice((1, 2, 3)),
            }
        else:
            values |= {
                "negation": pick.choice(("bias", "carry")),
                "tree_arity": pick.choice((2, 3, 4)),
                "levels_per_register": pick.choice((1, 2, 3)),
            }
        try:
            configs.append(AcceleratorConfig(**values))
        except InputError:
            continue
    return configs


def table(configs: list[AcceleratorConfig]) -> pd.DataFrame:
    return pd.DataFrame([config.to_dict() for config in configs])


def used(resource: str) -> Any:
    return np.array([core["used"][resource] for core in CORES], dtype=float)


# Structure


def test_widths_and_depths_are_those_of_the_configuration() -> None:
    """Arrays repeat the configuration's formulas for many at once; here every one that both have is held to it."""
    configs = some_configs(400, seed=1)
    shapes = Shapes(as_columns([{"config": config.to_dict()} for config in configs]))
    names = [
        name
        for name, value in vars(AcceleratorConfig).items()
        if isinstance(value, property) and hasattr(Shapes, name)
    ]
    assert {"acc_bits", "tile_beats", "buffer_words", "tree_levels", "datapath_latency"} <= set(names)
    for name in names:
        assert getattr(shapes, name).tolist() == [getattr(config, name) for config in configs], name
    assert shapes.striped_words.tolist() == [striped_words(config) for config in configs]
    assert shapes.waiting_bits.tolist() == [
        sum(waiting_cycles(config, position) for position in range(config.positions))
        * config.rows
        * (config.lanes // config.positions)
        * TRIT_BITS
        for config in configs
    ]


def test_an_ecp5_chain_has_the_carry_cells_of_its_adders() -> None:
    """Two chains of two lanes of 8 bits, two adders a chain: nine bits and a carry-in each, then ten and one."""
    config = AcceleratorConfig(**FUSED, lanes=8, rows=1, chain_length=2, act_port_bits=8)
    structure = Structure(Shapes(as_columns([{"config": config.to_dict()}])))
    positions, joins = 2 * 20, 22 + 12
    assert structure.carry.tolist() == [positions + joins]


@pytest.mark.parametrize(
    ("change", "adders", "carry", "compressed"),
    [
        ({}, 7, 4 * 10 + 2 * 10 + 12, 0),
        ({"tree_arity": 4}, 2 * 2 + 1, 4 * 10 + 12, 2 * 10),
        ({"levels_per_register": 2}, 2 + 1, 2 * 10 + 12, 2 * 2 * 10),
        ({"tree_arity": 3}, 2 * 2 + 1 + 2, 5 * 10 + 2 * 12, 0),
    ],
)
def test_a_tree_has_the_adders_of_its_operands(
    change: dict[str, Any], adders: int, carry: int, compressed: int
) -> None:
    """Eight lanes of 8 bits: sums of two are 9 bits wide, which take whole cells of two, of four 10, of eight 11."""
    config = AcceleratorConfig(lanes=8, rows=1, act_port_bits=8, **change)
    structure = Structure(Shapes(as_columns([{"config": config.to_dict()}])))
    assert structure.adders.tolist() == [adders]
    assert structure.carry.tolist() == [carry]
    assert structure.compressed.tolist() == [compressed]


def test_copies_are_as_many_as_in_the_hardware() -> None:
    assert area_terms.COPIES == datapath.COPIES


@pytest.mark.parametrize("resource", ["lut_rams", "block_rams"])
def test_memories_are_counted_exactly(resource: str) -> None:
    """Which memories become block RAM follows from Yosys' own costs; nothing about them is fitted."""
    found = estimate(table([AcceleratorConfig(**core["config"]) for core in MEASURED]))
    assert found[resource].tolist() == [core["used"][resource] for core in MEASURED]


# Fit


def test_least_squares_without_negative_elements_meets_its_conditions() -> None:
    """No element below 0; the gradient is 0 where one is above 0 and upwards elsewhere (Karush, Kuhn, Tucker)."""
    random_numbers = np.random.default_rng(7)
    bound = 0
    for _ in range(50):
        a, b = random_numbers.normal(size=(12, 6)), random_numbers.normal(size=12)
        x = non_negative_least_squares(a, b)
        gradient = a.T @ (a @ x - b)
        assert (x >= 0).all()
        assert np.abs(gradient[x > 0]).max(initial=0) < 1e-9
        assert (gradient[x == 0] > -1e-8).all()
        bound += int((x == 0).sum())
    assert bound > 50


def test_the_packaged_costs_are_the_fit_of_the_measured_cores() -> None:
    packaged = json.loads((CHECKOUT / "rtl/data/area.json").read_text())
    assert packaged == {"ecp5": fit_family(MEASURED)}, "run: python benchmarks/bench_area.py --fit"
    assert tuple(packaged) == FAMILIES


def test_every_core_of_the_benchmark_was_measured() -> None:
    assert bench().missing(MEASURED, None) == []


@pytest.mark.parametrize("resource", RESOURCES)
def test_an_error_is_that_of_a_model_that_did_not_see_the_core(resource: str) -> None:
    """Held against a fit of the other cores by the same function, and the summary against the errors."""
    found = fit_columns(CORES, resource)
    terms = RESOURCES[resource].terms(Structure(Shapes(as_columns(CORES))))
    for index in range(0, len(CORES), 9):
        without = fit_columns([core for core in CORES if core is not CORES[index]], resource)
        expected = sum(cost * terms[name][index] for name, cost in without.costs.items())
        assert found.errors[index] == pytest.approx(expected / used(resource)[index] - 1, abs=1e-9)
    stated = getattr(area_model(), resource)
    assert stated.median_error == pytest.approx(np.median(np.abs(found.errors)), abs=1e-5)
    assert stated.worst_error == pytest.approx(np.abs(found.errors).max(), abs=1e-5)
    assert stated.worst_core == CORES[int(np.abs(found.errors).argmax())]["name"]


@pytest.mark.parametrize("resource", RESOURCES)
def test_cores_that_are_held_out_are_in_no_fit_and_their_errors_are_stated(resource: str) -> None:
    """By the estimates themselves, whose whole numbers and rounded costs differ a little from the fit."""
    assert len(HELD_OUT) >= 6
    assert {str(core["name"]) for core in HELD_OUT} == {name for name, _ in bench().held_out()}
    configs = [AcceleratorConfig(**core["config"]) for core in HELD_OUT]
    found = estimate(table(configs))
    assert not found["extrapolated"].any()
    errors = [
        abs(row / core["used"][resource] - 1) for row, core in zip(found[resource], HELD_OUT, strict=True)
    ]
    stated = getattr(area_model(), resource)
    assert stated.held_out_median == pytest.approx(np.median(errors), abs=3e-4)
    assert stated.held_out_worst == pytest.approx(max(errors), abs=3e-4)
    assert stated.bound == max(stated.worst_error, stated.held_out_worst)


def test_the_errors_are_small() -> None:
    """The bounds that docs/area.md promises."""
    model = area_model()
    for resource in (model.luts, model.ffs):
        assert resource.median_error < 0.03
        assert resource.held_out_median < 0.03
        assert resource.bound < 0.10


def test_a_routed_core_six_times_as_large_is_met() -> None:
    """`ecp5-3072` was placed and routed and is not among the cores of the fit: two per cent are allowed."""
    routed = json.loads((CHECKOUT / HISTORY).read_text())["designs"]["ecp5-3072"][-1]["routed"][0]["used"]
    found = area_of(PRESETS["ecp5-3072"])
    assert found.luts == pytest.approx(routed["LUTs"], rel=0.02)
    assert found.ffs == pytest.approx(routed["FFs"], rel=0.02)
    assert (found.lut_rams, found.block_rams) == (routed["LUT RAM writers"], routed["block RAMs"])
    assert found.extrapolated


# Estimates


def test_many_at_once_are_what_each_is_alone() -> None:
    configs = some_configs(60, seed=2)
    found = estimate(table(configs))
    for config, row in list(zip(configs, found.to_dict("records"), strict=True))[::3]:
        assert area_of(config) == Area(**{str(name): value for name, value in row.items()})


def test_a_hundred_thousand_configurations_take_less_than_a_second() -> None:
    rows = pd.concat([table(some_configs(200, seed=3))] * 500, ignore_index=True)
    start = process_time()
    found = estimate(rows)
    assert process_time() - start < 1.0
    assert len(found) == 100_000


@pytest.mark.parametrize("kind", [{}, FUSED])
def test_more_lanes_or_rows_take_more(kind: dict[str, Any]) -> None:
    for packing in ("i2", "s5", "s8"):
        for fixed, grown in (("rows", "lanes"), ("lanes", "rows")):
            sizes = (16, 32, 64, 128, 256) if grown == "lanes" else (1, 2, 4, 8, 16)
            start = 4 if fixed == "rows" else 64
            found = estimate(
                pd.DataFrame([{**kind, "packing": packing, fixed: start, grown: size} for size in sizes])
            )
            assert (found["luts"].diff().dropna() > 0).all(), (packing, grown)
            assert (found["ffs"].diff().dropna() > 0).all(), (packing, grown)


def test_missing_columns_have_the_defaults_and_the_index_stays() -> None:
    found = estimate(pd.DataFrame({"lanes": [32, 64]}, index=["small", "large"]))
    assert found.index.tolist() == ["small", "large"]
    assert found.loc["large", "luts"] == area_of(AcceleratorConfig()).luts


def test_no_configurations_take_nothing() -> None:
    assert len(estimate(pd.DataFrame({"lanes": []}, dtype=np.int64))) == 0


def test_the_weight_store_is_not_a_part_of_the_core() -> None:
    config = AcceleratorConfig(weight_store="bram", weight_store_bytes=1 << 20)
    assert area_of(config) == area_of(AcceleratorConfig())


@pytest.mark.parametrize(
    ("change", "outside"),
    [({}, False), ({"lanes": 512}, True), ({"k_max": 64, "m_max": 16}, True), ({"chain_length": 64}, False)],
)
def test_numbers_beyond_the_measured_cores_are_flagged(change: dict[str, Any], outside: bool) -> None:
    """A parameter that the datapath does not have is not looked at."""
    assert area_of(replace(AcceleratorConfig(), **change)).extrapolated is outside


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"lane": [64]}, "unknown column 'lane'; the parameters are lanes, rows"),
        ({"lanes": [64.5]}, "column lanes is of float64; it must be of int"),
        ({"sparse": [1]}, "column sparse is of int64; it must be of bool"),
        ({"datapath": ["adder"]}, "datapath is 'adder'; it must be one of fused, tree"),
        (
            {"datapath": ["tree", "fused"], "target": ["generic", "xilinx"], "negation": ["bias", "carry"]},
            "target is 'xilinx' with datapath 'fused', of which no core was measured on ecp5; the area model",
        ),
        (
            {"target": ["xilinx"]},
            "target is 'xilinx' with datapath 'tree', of which no core was measured on ecp5; the area model",
        ),
    ],
)
def test_what_no_core_was_measured_of_is_refused(columns: dict[str, list[Any]], message: str) -> None:
    with pytest.raises(InputError) as caught:
        estimate(pd.DataFrame(columns))
    assert str(caught.value).startswith(message)


def test_a_family_without_cores_is_refused() -> None:
    with pytest.raises(InputError, match="family is 'ice40'; it must be one of ecp5"):
        area_of(AcceleratorConfig(), family="ice40")


# Tools


def test_the_figures_are_those_of_the_present_hardware() -> None:
    """The smallest core anew: hardware that has changed asks for the benchmark again."""
    module = bench()
    name, config = next(module.designs())
    core = next(core for core in CORES if core["name"] == name)
    found = module.measure(config)
    for kind, number in core["used"].items():
        assert found[kind] == pytest.approx(number, rel=0.03), (
            f"{kind} of {name!r}; run: python benchmarks/bench_area.py --again ''"
        )


@pytest.mark.slow
@pytest.mark.fpga
def test_packed_cells_are_placed_and_routed_ones(tmp_path: Path) -> None:
    """Neither placing nor routing adds a cell or takes one away."""
    module = bench()
    _, config = next(module.designs())
    given = module.netlist(config, tmp_path)
    packed, routed = (
        route(given.netlist, placement) for placement in (module.packing(given), given.placement(1))
    )
    assert packed["fmax"] == {}
    assert routed["fmax"] != {}
    assert packed["utilization"] == routed["utilization"]
