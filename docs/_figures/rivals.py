"""Other open engines and other models of accelerators beside this project's, from what benchmarks keep."""

import json
from pathlib import Path

from _models import tables as models

from tritforge.accel.presets import load_config
from tritforge.rtl.array_report import markdown_table

PAGE = "peers.md"
BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


def tables() -> dict[str, str]:
    """Return the tables of the page."""
    rows = []
    designs = json.loads((BENCHMARKS / "fpga.json").read_text())["designs"]
    for preset in ("default", "ecp5"):
        config, counts = load_config(preset), designs[preset][-1]["counts"]
        lanes = config.lanes * config.rows
        holds = (
            "activations in block RAM, accumulators of 16 tokens, streams, control, checks of illegal input"
        )
        rows.append([f"TritForge, preset `{preset}`", holds, str(lanes), f"{counts['luts'] / lanes:.1f}"])
    peers = json.loads((BENCHMARKS / "peers.json").read_text())["peers"]
    rows += [
        [
            f"{peer['repository']}, `{peer['top']}`, commit `{peer['commit'][:8]}`",
            peer["holds"],
            str(peer["lanes"]),
            f"{peer['cells_per_lane']:.1f}",
        ]
        for peer in peers
    ]
    return models() | {
        "cells": markdown_table(("engine", "holds beside its lanes", "lanes", "cells a lane"), rows, text=2)
    }
