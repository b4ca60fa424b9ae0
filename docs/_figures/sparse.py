"""Bits and cycles of sparse decode, as the benchmark computes them, and its cells, as the other one keeps them."""

import json
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

from tritforge.rtl.array_report import markdown_table

PAGE = "sparse.md"
BENCHMARK = Path(__file__).resolve().parents[2] / "benchmarks" / "bench_sparse.py"

AREA = BENCHMARK.with_name("sparse_area.json")


def cells() -> list[list[str]]:
    """Return the rows of the column lanes' cells."""
    return [
        [
            row["packing"],
            str(row["beats"]),
            str(row["lanes"]),
            f"{row['cells']:,}",
            f"{row['cells'] / row['lanes']:.1f}",
            f"{row['ffs'] / row['lanes']:.1f}",
        ]
        for row in json.loads(AREA.read_text())["lanes"]
    ]


def tables() -> dict[str, str]:
    """Return the tables of the page."""
    spec = spec_from_file_location("bench_sparse", BENCHMARK)
    if spec is None or spec.loader is None:
        raise ImportError(f"{BENCHMARK} is no module")
    benchmark = module_from_spec(spec)
    spec.loader.exec_module(benchmark)
    return {
        "shape": markdown_table(benchmark.SHAPE_HEADINGS, benchmark.shape_rows()),
        "cells": markdown_table(
            ("packing", "beats a column", "lanes", "cells", "cells a lane", "FFs a lane"), cells()
        ),
        "model": markdown_table(benchmark.MODEL_HEADINGS, benchmark.model_rows(), text=3),
    }
