"""How far nextpnr is, read off its log."""

import re
from collections.abc import Callable

#: Called with what is done now, and how many steps more are done.
Step = Callable[[str, int], None]

#: What happens when a tool runs for the first time on a machine.
WARM_UP = "its first run compiles it, which takes about a minute"
#: How a tool from pip says so itself.
_PREPARING = "Preparing to run"
#: How a step ends that comes again and again while a design is routed.
ARCS_LEFT = " arcs left"
#: What nextpnr is at, by the line with which it begins.
_PHASES = {
    "Packing": "packing cells",
    "Creating initial": "placing",
    "Running simulated annealing": "refining the placement",
    "Routing": "routing",
    "Critical path report": "timing",
}
_ROUTED = re.compile(r"^Info:\s+\d+ \|\s+\d+\s+\d+ \|\s+\d+\s+\d+ \|\s+(?P<left>\d+)")


def watching(step: Step, seed: int) -> Callable[[str], None]:
    """Return what turns lines of nextpnr's log into steps of a seed."""
    said: list[str] = []

    def watch(line: str) -> None:
        text = line.removeprefix("Info: ")
        if line.startswith(_PREPARING):
            step(f"nextpnr, seed {seed}: {WARM_UP}", 0)
        for begin, phase in _PHASES.items():
            if text.startswith(begin) and phase not in said:
                said.append(phase)
                step(f"nextpnr, seed {seed}: {phase}", 0)
        progress = _ROUTED.match(line)
        if progress:
            step(f"nextpnr, seed {seed}: routing, {int(progress['left']):,}{ARCS_LEFT}", 0)

    return watch
