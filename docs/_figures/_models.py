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
TRAFFIC = ("weight_bits", "activation_bits", "result_bits")


def product(row: Mapping[str, Any]) -> list[str]:
    """Return the cells that name a product."""
    return [f"{SHORT[row['model']]} {row['matrix']}", f"{row['m']} x {row['k']}", f"{row['tokens']}"]


def over(found: Mapping[str, Any]) -> str:
    """Return what stands in the place of a run that was ended, or not begun."""
    return f"over {found['over']} s" if found.get("begun", True) else "not begun"


def cycles(rows: list[Any]) -> str:
    """Return the table of cycles, with the distance from the Verilog's where the machine is the same."""
    lines = []
    for row in rows:
        truth = row["rtl"]["cycles"]
        cells = [f"{truth:,}", f"{row['cycle_model']['cycles'] - truth:+d}"]
        for kind in KINDS:
            found = row[kind]
            if "over" in found:
                cells.append(over(found))
            elif kind.startswith("zigzag"):
                cells.append(f"{found['cycles']:,} ({100 * (found['cycles'] / truth - 1):+.1f} %)")
            else:
                stalls = f" ({found['stalls']:,})" if found["stalls"] else ""
                cells.append(f"{found['cycles']:,}{stalls}")
        lines.append([*product(row), *cells])
    headings = ("product", "M x K", "tokens", "Verilog", "this model", *KINDS.values())
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
    headings = ("product", "M x K", "tokens", "this model, ms", *KINDS.values(), "Verilog")
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
        "M x K",
        "tokens",
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
        "models_seconds": seconds(rows),
        "models_traffic": traffic(rows),
    }
