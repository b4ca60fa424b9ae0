"""Memory and time of a large checkpoint's commands, from what the benchmark keeps."""

import json
from pathlib import Path

from tritforge.rtl.array_report import markdown_table

PAGE = "checkpoints.md"
KEPT = Path(__file__).resolve().parents[2] / "benchmarks" / "checkpoints.json"


def tables() -> dict[str, str]:
    """Return the tables of the page."""
    kept = json.loads(KEPT.read_text())
    rows = [
        [f"`{name}`", f"{row['peak_mb']} MB", f"{row['cpu_seconds']:.0f} s"]
        for name, row in kept["commands"].items()
    ]
    said = (
        f"A seeded checkpoint of Llama3-8B-1.58's shapes: {kept['weights'] / 1e9:.2f} billion ternary weights, "
        f"four to a byte, embedding and LM head in bfloat16, {kept['bytes'] / 1e9:.1f} GB in all.\n"
    )
    return {"checkpoint": said, "memory": markdown_table(("command", "peak", "time of the processor"), rows)}
