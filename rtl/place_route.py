"""Placing and routing with nextpnr: with a board's pins and clocks, or out of context, the design alone."""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from tritforge.accel.files import write_atomically
from tritforge.rtl.block_ram import register_outputs
from tritforge.rtl.netlist import CarryEnds, open_carry_ends
from tritforge.rtl.parts import PARTS, Part
from tritforge.rtl.synthesis import ToolRunner, find_tool, run_tool, tool_version

#: Where arrays are measured.
PART = PARTS["ecp5-45k"]
DEVICE_NAME = PART.title
#: Clock that nextpnr works towards, MHz.
TARGET_MHZ = 250
#: Weight of timing in the placement of an array, 10 by default: three times that gave the fused array 20 MHz more.
TIMING_WEIGHT = 30


@dataclass(frozen=True, kw_only=True)
class Placement:
    """How a netlist is placed and routed.

    Attributes
    ----------
    part
        The FPGA.
    seed
        Seed of the placement.
    target_mhz
        Clock that nextpnr works towards where the constraints name none.
    constraints
        File of pins and clocks; without one the design is placed out of context.
    keep
        Whether the routed design is written, as the packer takes it.
    timing_weight
        Weight of timing against length of wires.
    extra
        Further options.
    """

    part: Part = PART
    seed: int = 1
    target_mhz: float = TARGET_MHZ
    constraints: Path | None = None
    keep: bool = False
    timing_weight: int = TIMING_WEIGHT
    extra: tuple[str, ...] = ()

    @property
    def options(self) -> list[str]:
        """Options of nextpnr, those that name other files than the constraints apart."""
        family = self.part.family
        where = (
            [f"--{family.constraints}", self.constraints.name] if self.constraints else ["--out-of-context"]
        )
        return [
            *self.part.options,
            *where,
            "--freq",
            f"{self.target_mhz:g}",
            "--timing-allow-fail",
            "--placer-heap-timingweight",
            str(self.timing_weight),
            "--seed",
            str(self.seed),
            *self.extra,
        ]

    def key(self, netlist: Path) -> str:
        """Return a hash of all that the result follows from."""
        tool, package = self.tool, self.part.family.package
        words = f"{tool} {tool_version(package)} {' '.join(self.options)}"
        pins = self.constraints.read_bytes() if self.constraints else b""
        return sha256(netlist.read_bytes() + pins + words.encode()).hexdigest()

    @property
    def tool(self) -> str:
        """Path of nextpnr."""
        return find_tool(self.part.family.router, self.part.family.package)

    def report(self, netlist: Path) -> Path:
        """Return the file that nextpnr's report is written to."""
        return netlist.with_name(f"{netlist.stem}.seed{self.seed}.report.json")

    def routed(self, netlist: Path) -> Path:
        """Return the file that the routed design is written to."""
        return netlist.with_name(f"{netlist.stem}.seed{self.seed}.{self.part.family.routed[0]}")


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
    """Write a netlist that nextpnr makes the most of; see `tritforge.rtl.netlist` and `tritforge.rtl.block_ram`."""
    document = json.loads(netlist.read_text())
    register_outputs(document["modules"]["top"])
    ends = open_carry_ends(document["modules"]["top"])
    write_atomically(output, json.dumps(document, separators=(",", ":")))
    return ends


def _run_router(
    netlist: Path,
    placement: Placement,
    *,
    watch: Callable[[str], None] | None,
    runner: ToolRunner | None,
) -> dict[str, Any]:
    """Run nextpnr in the folder of a netlist, and return its report.

    What it writes has other names until it has ended: an interrupted run leaves nothing that looks like a result.
    """
    routed = placement.routed(netlist)
    report, design = (path.with_name(f"partial.{path.name}") for path in (placement.report(netlist), routed))
    keep = [placement.part.family.routed[1], design.name] if placement.keep else []
    read = [path.name for path in (netlist, placement.constraints) if path]
    inputs: dict[str, Any] = {"inputs": read} if runner else {}
    try:
        (runner or run_tool)(
            [placement.tool, *placement.options, *keep, "--json", netlist.name, "--report", report.name],
            log=netlist.with_name(f"{netlist.stem}.seed{placement.seed}.log"),
            **({"watch": watch} if watch else {}),
            **inputs,
        )
        found: dict[str, Any] = json.loads(report.read_text())
        if placement.keep:
            design.replace(routed)
    finally:
        report.unlink(missing_ok=True)
        design.unlink(missing_ok=True)
    return found


def _stored(result: Path, key: str) -> dict[str, Any] | None:
    """Return what a file of results holds where it came from what `key` is the hash of."""
    try:
        stored: dict[str, Any] = json.loads(result.read_text()) if result.is_file() else {}
    except ValueError:
        # A part of a report, of a run that something ended before results had names of their own.
        return None
    return stored if stored.get("key") == key else None


def route(
    netlist: Path,
    placement: Placement,
    *,
    watch: Callable[[str], None] | None = None,
    runner: ToolRunner | None = None,
) -> dict[str, Any]:
    """Place and route a netlist, and return nextpnr's report: utilisation, clocks and critical paths.

    The report, the log and, where `placement` keeps it, the routed design stay beside the netlist. A result that is
    there already is taken when it came from the same netlist, constraints, tool and options.

    Parameters
    ----------
    netlist
        What ``write_json`` wrote, in the cells of the part's family.
    placement
        Part, seed, clock and constraints.
    watch
        Called with each line of nextpnr's log.
    runner
        Runs nextpnr; None runs it here.

    Raises
    ------
    MissingToolError
        nextpnr is not installed.
    SimulationError
        nextpnr failed, as for a design that does not fit.
    """
    key, result = placement.key(netlist), placement.report(netlist)
    stored = _stored(result, key)
    if stored and (placement.routed(netlist).is_file() or not placement.keep):
        return dict(stored["report"])
    # A report vouches for the routed design beside it, which is replaced first.
    result.unlink(missing_ok=True)
    report = _run_router(netlist, placement, watch=watch, runner=runner)
    write_atomically(result, json.dumps({"key": key, "report": report}) + "\n")
    return report


def place_and_route(netlist: Path, *, seed: int, runner: ToolRunner | None = None) -> Routed:
    """Place and route a netlist on ECP5 out of context, and keep the report's figures in its place.

    Parameters
    ----------
    netlist
        What ``write_json`` wrote, in the cells of ECP5.
    seed
        Seed of the placement.
    runner
        As in `route`.

    Raises
    ------
    MissingToolError, SimulationError
        As of `route`.
    """
    placement = Placement(seed=seed)
    key, result = placement.key(netlist), netlist.with_name(f"{netlist.stem}.seed{seed}.json")
    if stored := _stored(result, key):
        return Routed(**stored["routed"])
    routed = Routed.from_report(route(netlist, placement, runner=runner), seed)
    write_atomically(result, json.dumps({"key": key, "routed": asdict(routed)}, indent=2) + "\n")
    placement.report(netlist).unlink()
    return routed
