"""The cycle model beside SCALE-Sim and ZigZag, from what ``benchmarks/bench_models.py`` keeps."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tritforge.rtl.array_report import markdown_table

KEPT = Path(__file__).resolve().parents[2] / "benchmarks" / "models.json"
#: Columns of the tables: what is kept, and what it is.
KINDS = {
    "zigzag_given": "ZigZag, given",
    "zigzag_search": "ZigZag, searched",
    "scalesim_os": "SCALE-Sim, outputs",
    "scalesim_ws": "SCALE-Sim, weights",
}
#: Models as the tables call them.
SHORT = {
    "austen": "austen",
    "microsoft/bitnet-b1.58-2B-4T": "2B-4T",
    "HF1BitLLM/Llama3-8B-1.58-100B-tokens": "8B",
}
#: Bits of the words that SCALE-Sim counts.
WORDS = {"weights": 2, "activations": 8, "results": 32}
SIZE = "M x K x tokens"
TRAFFIC = ("weight_bits", "activation_bits", "result_bits")


def product(row: Mapping[str, Any]) -> list[str]:
    """Return the cells that name a product."""
    # Spaces that do not break.
    size = f"{row['m']} x {row['k']} x {row['tokens']}".replace(" ", "\u00a0")
    return [f"{SHORT[row['model']]} {row['matrix']}", size]


def over(found: Mapping[str, Any]) -> str:
    """Return what stands in the place of a run that was ended, or not begun."""
    return f"over {found['over']} s" if found.get("begun", True) else "not begun"


def cycles(rows: list[Any]) -> str:
    """Return the table of cycles of the core, with the distance from the Verilog's."""
    lines = []
    for row in rows:
        truth = row["rtl"]["cycles"]
        cells = [f"{truth:,}", f"{row['cycle_model']['cycles'] - truth:+d}"]
        for kind in ("zigzag_given", "zigzag_search"):
            found = row[kind]["cycles"]
            cells.append(f"{found:,} ({100 * (found / truth - 1):+.1f} %)")
        lines.append([*product(row), *cells])
    headings = ("product", SIZE, "Verilog", "this model", KINDS["zigzag_given"], KINDS["zigzag_search"])
    return markdown_table(headings, lines, text=2)


def systolic(rows: list[Any]) -> str:
    """Return the table of SCALE-Sim's arrays, with their stalls, for what was begun."""
    lines = []
    for row in rows:
        if not any(row[kind].get("begun", True) for kind in ("scalesim_os", "scalesim_ws")):
            continue
        cells = [f"{row['rtl']['cycles']:,}"]
        for kind in ("scalesim_os", "scalesim_ws"):
            found = row[kind]
            cells += (
                [over(found), ""] if "over" in found else [f"{found['cycles']:,}", f"{found['stalls']:,}"]
            )
        lines.append([*product(row), *cells])
    headings = ("product", SIZE, "this core", "outputs stay", "stalls", "weights stay", "stalls")
    return markdown_table(headings, lines, text=2)


def seconds(rows: list[Any]) -> str:
    """Return the table of run times: milliseconds of the cycle model, and how many times that the others take."""
    lines = []
    for row in rows:
        own = row["cycle_model"]["seconds"]
        cells = [f"{1e3 * own:.2f}"]
        for kind in (*KINDS, "rtl"):
            found = row[kind]
            cells.append(over(found) if "over" in found else f"{found['seconds'] / own:,.0f}")
        lines.append([*product(row), *cells])
    headings = ("product", SIZE, "this model, ms", *KINDS.values(), "Verilog")
    return markdown_table(headings, lines, text=2)


def traffic(rows: list[Any]) -> str:
    """Return the table of what is moved, and of the energy."""
    lines = []
    for row in rows:
        own, given, stays = row["cycle_model"], row["zigzag_given"], row["scalesim_os"]
        cells = [" / ".join(f"{found[name] / 1e6:.2f}" for name in TRAFFIC) for found in (own, given)]
        cells.append(
            over(stays)
            if "over" in stays
            else " / ".join(f"{stays[name] * bits / 1e6:.2f}" for name, bits in WORDS.items())
        )
        cells += [f"{found['energy_pj'] / 1e6:.2f}" for found in (own, given)]
        lines.append([*product(row), *cells])
    headings = (
        "product",
        SIZE,
        "this model",
        KINDS["zigzag_given"],
        KINDS["scalesim_os"],
        "energy here, µJ",
        "ZigZag's, µJ",
    )
    return markdown_table(headings, lines, text=2)


def tables() -> dict[str, str]:
    """Return the tables that stand on the page of the peers."""
    kept = json.loads(KEPT.read_text())
    rows = sorted(kept["products"], key=lambda row: (row["tokens"], row["m"] * row["k"]))
    versions = {name: number for found in kept["peers"].values() for name, number in found.items()}
    numpy = ", ".join(f"{name} with NumPy {found['numpy']}" for name, found in kept["peers"].items())
    tools = (
        f"TritForge {kept['tritforge']}, Amaranth {kept['tools']['amaranth']}, Verilator "
        f"{kept['tools']['verilator']}; scalesim {versions['scalesim']}, zigzag-dse {versions['zigzag-dse']} "
        f"({numpy}); preset `{kept['preset']}`; a run of a peer ends after {kept['limit']} CPU seconds.\n"
    )
    return {
        "models_tools": tools,
        "models_cycles": cycles(rows),
        "models_systolic": systolic(rows),
        "models_seconds": seconds(rows),
        "models_traffic": traffic(rows),
    }
