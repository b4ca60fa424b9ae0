"""What `tritforge bench array` keeps: a history of runs, tables and a plot, all from the same figures."""

import io
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tritforge.accel.errors import InputError

Figures = Sequence[Mapping[str, Any]]

#: Places of the kept files within a checkout.
HISTORY = Path("benchmarks/array.json")
PAGE = Path("docs/array.md")
PLOT = Path("docs/array.svg")

_SECTION = re.compile(r"(<!-- table (?P<name>\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def label(row: Mapping[str, Any]) -> str:
    """Return what a design is called in tables and plots."""
    size = f"{row['lanes']} x {row['rows']}"
    if row["role"] == "baseline":
        names = {
            "naive": f"naive: select(0, x, -x), {size}",
            "int8": f"INT8 multiply lanes, no DSP, {size}",
            "fp16": f"FP16 multiply-add lanes, {row['lanes']}",
        }
        return names[row["datapath"]]
    parts = [row["datapath"]]
    if row["datapath"] == "tree":
        parts.append(f"negation by {row['negation']}")
    if row["role"] == "datapath":
        parts.append("dot product alone")
    elif row["tokens_max"] != 16:
        parts.append(f"{row['tokens_max']} token" + ("s" if row["tokens_max"] > 1 else ""))
    parts.append(size)
    return ", ".join(parts)


def _number(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:,.{digits}f}"


def markdown_table(headings: Sequence[str], rows: Sequence[Sequence[str]], text: int = 1) -> str:
    """Return a table whose first `text` columns are text and whose others are numbers."""
    marks = ["---"] * text + ["---:"] * (len(headings) - text)
    lines = [headings, marks, *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


ARRAY_HEADINGS = (
    "design",
    "cells",
    "cells a lane",
    "FFs a lane",
    "Fmax (MHz)",
    "seeds",
    "Gop/s per 1,000 cells",
    "latency",
)


def array_rows(designs: Figures) -> list[list[str]]:
    """Return the rows of the routed designs."""
    return [
        [
            label(row),
            _number(row["cells"], 0),
            _number(row["cells_per_lane"], 2),
            _number(row["ffs_per_lane"], 1),
            _number(row["fmax_mhz"], 1),
            str(len(row["routed"])),
            _number(row["giga_products_per_second_per_thousand_cells"], 2),
            str(row["latency"]),
        ]
        for row in designs
        if row["routed"]
    ]


COUNT_HEADINGS = ("design", "family", "LUTs", "LUTs a lane", "FFs a lane", "latency")


def count_rows(designs: Figures) -> list[list[str]]:
    """Return the rows of the designs that were counted alone, decoders apart."""
    return [
        [
            label(row),
            {"ecp5": "ECP5", "ice40": "iCE40", "xilinx": "Xilinx 7"}[row["target"]],
            _number(row["luts"], 0),
            _number(row["cells_per_lane"], 2),
            _number(row["ffs_per_lane"], 1),
            str(row["latency"]),
        ]
        for row in designs
        if not row["routed"] and row["role"] != "decoder"
    ]


DECODER_HEADINGS = ("packing", "trits a word", "LUT4 a word", "with its flag", "words a beat", "LUT4 a lane")


def decoder_rows(designs: Figures) -> list[list[str]]:
    """Return the rows of the packings' decoders: one word, and all at the weight port over the array's lanes."""
    rows = []
    found = {row["name"]: row for row in designs if row["role"] == "decoder"}
    for name, row in found.items():
        flagged = found.get(f"{name}-flag")
        if flagged is not None:
            rows.append(
                [
                    row["packing"],
                    str(row["products_per_cycle"]),
                    str(row["luts"]),
                    str(flagged["luts"]),
                    str(row["decoders"]),
                    _number(flagged["luts"] * row["decoders"] / (row["lanes"] * row["rows"]), 2),
                ]
            )
    return rows


SWEEP_HEADINGS = (
    "datapath",
    "structure",
    "LUTs a lane, counted",
    "cells a lane, routed",
    "FFs a lane",
    "Fmax (MHz)",
    "latency",
)


def sweep_rows(sweep: Figures) -> list[list[str]]:
    """Return the rows of the sweep, the fewest LUTs of each datapath first."""
    names = {
        "chain_length": "chains of {}",
        "adders_per_chain": "{} adders a carry chain",
        "tree_arity": "{} operands an adder",
        "levels_per_register": "{} levels a register",
    }
    return [
        [
            row["datapath"],
            ", ".join(names[name].format(value) for name, value in row["structure"].items()),
            _number(row["luts"] / row["products_per_cycle"], 2),
            _number(row["cells_per_lane"], 2) if row["routed"] else "",
            _number(row["ffs_per_lane"], 1),
            _number(row["fmax_mhz"], 1),
            str(row["latency"]),
        ]
        for row in sorted(sweep, key=lambda row: (row["datapath"], row["luts"]))
    ]


def tables(run: Mapping[str, Any]) -> dict[str, str]:
    """Return the tables of the page, by name."""
    versions = ", ".join(f"{tool} {number}" for tool, number in run["tools"].items())
    designs, sweep = run["designs"], run["sweep"]
    return {
        "tools": f"TritForge {run['tritforge']}, {versions}; {run['device']}, medians over the seeds.\n",
        "arrays": markdown_table(ARRAY_HEADINGS, array_rows(designs)),
        "counts": markdown_table(COUNT_HEADINGS, count_rows(designs), text=2),
        "decoders": markdown_table(DECODER_HEADINGS, decoder_rows(designs)),
        "sweep": markdown_table(SWEEP_HEADINGS, sweep_rows(sweep), text=2),
    }


def fill_page(page: str, run: Mapping[str, Any]) -> str:
    """Return a page with its tables made anew; what stands between them stays.

    Raises
    ------
    InputError
        The page lacks the place of a table.
    """
    return fill_sections(page, tables(run), name=PAGE)


def fill_sections(page: str, contents: Mapping[str, str], *, name: Path) -> str:
    """Return a page with contents between its marks ``<!-- table NAME -->`` and ``<!-- end -->``.

    Raises
    ------
    InputError
        The page, which is called `name`, lacks the place of one.
    """
    places = {match["name"] for match in _SECTION.finditer(page)}
    missing = sorted(set(contents) - places)
    if missing:
        raise InputError(
            f"{name} has no place for table {missing[0]!r}; add <!-- table {missing[0]} --> and <!-- end -->"
        )
    return _SECTION.sub(lambda match: f"{match[1]}{contents.get(match['name'], '')}{match[3]}", page)


def add_run(history: str | None, run: Mapping[str, Any]) -> str:
    """Return a history with a run added; one of the same versions is replaced."""
    runs = json.loads(history)["runs"] if history else []
    same = [old for old in runs if (old["tritforge"], old["tools"]) == (run["tritforge"], run["tools"])]
    kept = [old for old in runs if old not in same]
    return json.dumps({"runs": [*kept, run]}, indent=1) + "\n"


#: Colours of the plot; they keep their contrast on a light and on a dark page.
_COLORS = {"fused": "#0a7d6c", "tree": "#3a78b5", "naive": "#8a8f98", "int8": "#b0762a", "fp16": "#a8485e"}


def draw(run: Mapping[str, Any]) -> str:
    """Return the plot as SVG: cells a lane, and products a second by a thousand cells."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    rows = [row for row in run["designs"] if row["routed"] and row["role"] in ("array", "baseline")]
    rows.sort(key=lambda row: row["cells_per_lane"])
    gray = "#7a7f87"
    style: dict[Any, Any] = {
        "svg.hashsalt": "tritforge",
        "font.size": 9,
        "font.family": "DejaVu Sans",
        **dict.fromkeys(
            ("text.color", "axes.labelcolor", "xtick.color", "ytick.color", "axes.edgecolor"), gray
        ),
    }
    with rc_context(style):
        figure = Figure(figsize=(9.6, 0.9 + 0.34 * len(rows)), layout="constrained")
        panels = figure.subplots(1, 2, sharey=True)
        for axes, key, title in (
            (panels[0], "cells_per_lane", "ECP5 cells a lane, routed"),
            (panels[1], "giga_products_per_second_per_thousand_cells", "G products/s by 1,000 cells"),
        ):
            values = [row[key] for row in rows]
            axes.barh(range(len(rows)), values, color=[_COLORS[row["datapath"]] for row in rows], height=0.68)
            axes.set_xscale("log")
            axes.set_xlim(min(values) / 1.6, max(values) * 2.2)
            for place, value in enumerate(values):
                axes.text(value * 1.06, place, f"{value:.3g}", va="center", ha="left")
            axes.set_title(title, fontsize=9.5)
            axes.spines[["top", "right"]].set_visible(False)
            axes.tick_params(length=0, which="both")
        panels[0].set_yticks(range(len(rows)), [label(row) for row in rows])
        panels[0].invert_yaxis()
        output = io.StringIO()
        figure.savefig(output, format="svg", transparent=True, metadata={"Date": None})
    return "\n".join(line.rstrip() for line in output.getvalue().splitlines()) + "\n"
