"""How long commands take to explain themselves, from what the benchmark keeps."""

import json
from pathlib import Path

from tritforge.rtl.array_report import markdown_table

PAGE = "cli.md"
RECORD = Path(__file__).resolve().parents[2] / "benchmarks" / "startup.json"


def tables() -> dict[str, str]:
    """Return the table of the page."""
    record = json.loads(RECORD.read_text())
    (bare, least), *commands = record["seconds"].items()
    rows = [[f"`{bare}`, Python {record['python']}", f"{1e3 * least:.0f}", "1"]]
    rows += [[f"`{name}`", f"{1e3 * seconds:.0f}", f"{seconds / least:.1f}"] for name, seconds in commands]
    return {"start": markdown_table(("command", "ms", "times bare Python"), rows, text=1)}
