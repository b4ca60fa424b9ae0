"""One clock for all designs: each is mapped with as little effort as meets it, along one and the same ladder."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tritforge.accel.errors import InputError
from tritforge.rtl.gates.liberty import Library
from tritforge.rtl.gates.mapping import MappedDesign, MappingOptions, map_design
from tritforge.rtl.gates.netlist import GateNetlist, WireLoad
from tritforge.rtl.gates.timing import Surroundings, Timing, analyse


@dataclass(frozen=True, kw_only=True)
class Effort:
    """A step of the ladder: options of the mapping that make a design faster, and mostly larger, than the one before.

    Attributes
    ----------
    script, logic_share, ripple_bits
        As in `MappingOptions`; with 0 bits the adders are ``prefix``, whatever was asked for.
    """

    script: str
    logic_share: float
    ripple_bits: int


#: The ladder. ABC knows neither wires nor the flip-flops' delays, and what it says of sizes is an estimate, so the
#: delay that it is given falls until the analysis of the netlist is content.
EFFORTS = (
    Effort(script="area", logic_share=0.85, ripple_bits=24),
    Effort(script="area", logic_share=0.70, ripple_bits=16),
    Effort(script="speed", logic_share=0.70, ripple_bits=12),
    Effort(script="speed", logic_share=0.60, ripple_bits=8),
    Effort(script="speed", logic_share=0.50, ripple_bits=0),
    Effort(script="speed", logic_share=0.35, ripple_bits=0),
)


@dataclass(frozen=True, kw_only=True, eq=False)
class ClosedDesign:
    """A netlist with its timing.

    Attributes
    ----------
    mapped, netlist, timing
        The netlist as a file and in arrays, and its timing.
    effort
        Place of the step of the ladder that it was made with.
    slacks_ps
        Slack after each step that was tried.
    """

    mapped: MappedDesign
    netlist: GateNetlist
    timing: Timing
    effort: int
    slacks_ps: tuple[float, ...]

    @property
    def met(self) -> bool:
        """Whether the clock is met."""
        return self.timing.met


def close_timing(
    source: str,
    *,
    library: Library,
    options: MappingOptions,
    wire_load: WireLoad,
    folder: Path,
    library_folder: Path | None = None,
    surroundings: Surroundings | None = None,
    efforts: Sequence[Effort] = EFFORTS,
    on_step: Callable[[int], None] = lambda _: None,
) -> ClosedDesign:
    """Map a design with the least effort that meets its clock.

    Parameters
    ----------
    source, library, folder, library_folder
        As in `map_design`; each effort has a folder in `folder`.
    options
        Clock, adders and flip-flops; what the ladder names is the ladder's.
    wire_load, surroundings
        As in `tritforge.rtl.gates.timing.analyse`.
    efforts
        The ladder, tried from the start.
    on_step
        Called with the place of each effort before it is tried.

    Returns
    -------
    ClosedDesign
        Of the first effort that meets the clock; where none does, of the one with the most slack: `met` tells.

    Raises
    ------
    InputError
        The ladder is empty, or as `map_design`.
    MissingToolError, SimulationError
        As `map_design`.
    """
    if not efforts:
        raise InputError("the ladder of efforts is empty; name at least one")
    best: ClosedDesign | None = None
    slacks: list[float] = []
    tried: dict[MappingOptions, int] = {}
    for place, effort in enumerate(efforts):
        chosen = replace(
            options,
            script=effort.script,
            logic_share=effort.logic_share,
            # Without chains all adders are prefix adders; what does not differ is not done again.
            adders=options.adders if effort.ripple_bits else "prefix",
            ripple_bits=0 if options.adders == "prefix" else effort.ripple_bits,
        )
        if chosen in tried:
            continue
        tried[chosen] = place
        on_step(place)
        mapped = map_design(
            source,
            library=library,
            options=chosen,
            folder=folder / f"effort{place}",
            library_folder=folder / "library" if library_folder is None else library_folder,
        )
        netlist = GateNetlist.read(mapped.netlist, top="top", library=library.cells)
        timing = analyse(netlist, period_ps=options.period_ps, wire_load=wire_load, surroundings=surroundings)
        slacks.append(timing.slack_ps)
        if best is None or timing.slack_ps > best.timing.slack_ps:
            best = ClosedDesign(mapped=mapped, netlist=netlist, timing=timing, effort=place, slacks_ps=())
        if timing.met:
            break
    assert best is not None  # noqa: S101
    return replace(best, slacks_ps=tuple(slacks))
