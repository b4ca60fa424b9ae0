"""What the repository has measured of its presets, carried into the package; `python -m tritforge.report.recorded`.

``data/resources.json`` is the newest row of each design in ``benchmarks/fpga.json``, which an installed package does
not have; a test holds one to the other.
"""

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.files import write_atomically
from tritforge.accel.presets import PRESETS
from tritforge.rtl.boards import BOARDS

DATA = Path(__file__).parent / "data" / "resources.json"
_BOARD = "board "
_KEPT = ("title", "part", "clock_mhz", "tools", "counts", "fmax_mhz")


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """A measured design.

    Attributes
    ----------
    preset, board
        Its preset, and the board where it is a board's whole design rather than the stream core alone.
    title, part
        What was measured, and on what.
    clock_mhz, fmax_mhz
        Clock that was asked for, and median of what placements reached; None where nothing was routed.
    counts
        Cells of the netlist, by the names of `tritforge.rtl.cell_counts.TITLES`.
    placed
        LUTs after placement; None where nothing was.
    seeds
        Placements.
    tools
        Versions.
    """

    preset: str
    board: str | None
    title: str
    part: str
    clock_mhz: float
    fmax_mhz: float | None
    counts: Mapping[str, int]
    placed: int | None
    seeds: int
    tools: Mapping[str, str]


def extract(history: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the package carries of ``benchmarks/fpga.json``: the newest row of each design, in short."""
    kept = {}
    for name, rows in history["designs"].items():
        row = rows[-1]
        luts = sorted(one["used"]["LUTs"] for one in row["routed"])
        kept[name] = {key: row[key] for key in _KEPT} | {
            "seeds": len(row["routed"]),
            "placed": luts[len(luts) // 2] if luts else None,
        }
    return {"designs": kept}


@cache
def _designs() -> dict[str, Recorded]:
    """Return the measured designs by preset; of a board's preset, the board's."""
    found = {}
    for name, row in json.loads(DATA.read_text(encoding="utf-8"))["designs"].items():
        board = name.removeprefix(_BOARD) if name.startswith(_BOARD) else None
        preset = BOARDS[board].preset if board else name
        if board or preset not in found:
            found[preset] = Recorded(preset=preset, board=board, **row)
    return found


def recorded(config: AcceleratorConfig) -> Recorded | None:
    """Return what was measured of a configuration; None unless it is a preset that was."""
    for preset, design in _designs().items():
        if PRESETS.get(preset) == config:
            return design
    return None


def main(history: str) -> None:
    """Write the package's data anew from a ``fpga.json``."""
    kept = extract(json.loads(Path(history).read_text(encoding="utf-8")))
    write_atomically(DATA, json.dumps(kept, indent=1) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:] or ["benchmarks/fpga.json"])
