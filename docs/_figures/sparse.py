"""Bits and cycles of sparse decode, as the benchmark computes them."""

from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

from tritforge.rtl.array_report import markdown_table

PAGE = "sparse.md"
BENCHMARK = Path(__file__).resolve().parents[2] / "benchmarks" / "bench_sparse.py"


def tables() -> dict[str, str]:
    """Return the tables of the page."""
    spec = spec_from_file_location("bench_sparse", BENCHMARK)
    if spec is None or spec.loader is None:
        raise ImportError(f"{BENCHMARK} is no module")
    benchmark = module_from_spec(spec)
    spec.loader.exec_module(benchmark)
    return {
        "shape": markdown_table(benchmark.SHAPE_HEADINGS, benchmark.shape_rows()),
        "model": markdown_table(benchmark.MODEL_HEADINGS, benchmark.model_rows(), text=3),
    }
