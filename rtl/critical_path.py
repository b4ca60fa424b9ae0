"""The slowest path of a routed design, from nextpnr's report, told in words.

A step of a path is a delay within a cell (``clk-to-q``, ``logic``, ``setup``) or on wires (``routing``). What a cell
is follows from its ports; which block it belongs to follows from the names of registers and memories.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from typing import Any

from tritforge.accel.errors import SimulationError

#: Blocks by the names of their instances; the outermost one that is known names the place of a register.
BLOCKS = {
    "port": "job port",
    "buffer": "activation buffer",
    "loader": "weight loader",
    "sequencer": "sequencer",
    "array": "array",
    "queue": "result queue",
    "uart": "UART",
    "link": "link",
    "frames": "link's frames",
    "weights": "weight store",
    "activations": "activation store",
    "results": "result store",
    "registers": "registers",
    "control": "control",
}
#: What Yosys and the routers add to a register's name.
_ADDED = re.compile(r"(\\TRELLIS_|_TRELLIS_|_SB_|_LUT4_|_CCU2C_|_LC$|\$).*$")
_MEMORY = re.compile(r"(\.\d+)+(_[A-Z].*)?$")
_MEMORY_PORT = re.compile(
    r"(DO[AB]\d|AD[AB]\d|DI[AB]\d|CE[AB]|OCE[AB]|WE[AB]|RST[AB]|[RW]ADDR|[RW]DATA|[RW]CLKE|RE|WE)"
)
_SINGLE_PORT = re.compile(r"(ADDRESS|DATAIN|DATAOUT|MASKWREN|WREN|CHIPSELECT)")
_LUT_MEMORY = re.compile(r"\$(RAMW|DPRAM)")
#: Ports of a register that are not its data.
_CONTROLS = {"CE": "clock enable", "CEN": "clock enable", "LSR": "reset", "SR": "reset"}


@dataclass(frozen=True, kw_only=True)
class End:
    """Where a path starts or ends.

    Attributes
    ----------
    block
        The block of the design, in words where it has them.
    name
        Register or memory, with the names of the instances that it lies in.
    kind
        ``register``, ``block RAM``, ``single-port RAM`` or ``LUT RAM``.
    port
        ``clock enable`` or ``reset`` of a register; empty for its data.
    """

    block: str
    name: str
    kind: str
    port: str = ""

    def __str__(self) -> str:
        port = f"the {self.port} of " if self.port else ""
        return f"{port}{self.kind} {self.name} ({self.block})"


@dataclass(frozen=True, kw_only=True)
class CriticalPath:
    """The slowest path of a clock.

    Attributes
    ----------
    clock
        Its net.
    start, end
        What holds the data before and after.
    stages
        What the data passes, in order: ``LUT``, or the bits of a carry chain.
    logic_ns, routing_ns
        Delay of the cells, the start's and the end's included, and of the wires.
    """

    clock: str
    start: End
    end: End
    stages: tuple[str, ...]
    logic_ns: float
    routing_ns: float

    @property
    def delay_ns(self) -> float:
        """The whole."""
        return self.logic_ns + self.routing_ns

    def __str__(self) -> str:
        return (
            f"from {self.start} {_through(self.stages)}to {self.end}: {self.delay_ns:.2f} ns, "
            f"{self.logic_ns:.2f} ns in cells and {self.routing_ns:.2f} ns on wires"
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the path by names, and in words."""
        return asdict(self) | {"delay_ns": round(self.delay_ns, 3), "words": str(self)}


def _through(stages: Sequence[str]) -> str:
    words = []
    for stage, same in groupby(stages):
        number = len(list(same))
        words.append(f"{number} {stage}s" if number > 1 else f"a {stage}")
    return f"through {', '.join(words)} " if words else ""


def block_of(name: str) -> str:
    """Return the words for the block that a register or memory lies in."""
    *instances, _ = name.split(".")
    known = [BLOCKS[instance] for instance in instances if instance in BLOCKS]
    # The core lies in the link, so the innermost of those two tells more; within the core the outermost does.
    inner = [block for block in known if block != BLOCKS["link"]]
    return (inner or known or [".".join(instances) or "top"])[0]


def _end(place: Mapping[str, str]) -> End:
    """Return what a path starts or ends at."""
    cell, port = place["cell"], place["port"]
    if _LUT_MEMORY.search(cell):
        kind = "LUT RAM"
    elif _SINGLE_PORT.match(port):
        kind = "single-port RAM"
    elif _MEMORY_PORT.match(port):
        kind = "block RAM"
    else:
        kind = "register"
    name = _ADDED.sub("", cell).rstrip(".")
    if kind != "register":
        name = _MEMORY.sub("", name)
    if not name:
        return End(block="unnamed logic", name=cell, kind=kind, port=_CONTROLS.get(port, ""))
    return End(block=block_of(name), name=name, kind=kind, port=_CONTROLS.get(port, ""))


def _stages(steps: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield what the steps within cells pass."""
    logic = [step for step in steps if step["type"] == "logic"]
    carries = [
        step["to"]["port"] in ("FCO", "COUT") or step["from"]["port"] in ("FCI", "CIN") for step in logic
    ]
    for carry, group in groupby(carries):
        number = len(list(group))
        if carry:
            yield f"carry chain of {number} bits"
        else:
            yield from ["LUT"] * number


def critical_path(report: Mapping[str, Any], clock: str) -> CriticalPath:
    """Return the slowest path between registers of a clock.

    Parameters
    ----------
    report
        What nextpnr's ``--report`` wrote.
    clock
        A key of its ``fmax``.

    Raises
    ------
    SimulationError
        The report holds no such path.
    """
    edges = {f"posedge {clock}", f"negedge {clock}"}
    paths = [path for path in report["critical_paths"] if {path["from"], path["to"]} <= edges]
    if not paths:
        raise SimulationError(f"nextpnr's report has no path of clock {clock}; look into its log")
    steps = max((path["path"] for path in paths), key=lambda steps: sum(step["delay"] for step in steps))
    routing = sum(step["delay"] for step in steps if step["type"] == "routing")
    return CriticalPath(
        clock=clock,
        start=_end(steps[0]["to"]),
        end=_end(steps[-1]["to"]),
        stages=tuple(_stages(steps)),
        logic_ns=sum(step["delay"] for step in steps) - routing,
        routing_ns=routing,
    )
