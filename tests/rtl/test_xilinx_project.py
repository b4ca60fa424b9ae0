"""The project for Vivado: whole files, and scripts that run in a Tcl interpreter with Vivado's commands stubbed."""

import re
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from tritforge.accel.axi_config import AxiConfig
from tritforge.accel.errors import InputError
from tritforge.accel.presets import PRESETS
from tritforge.rtl.verilog import generate
from tritforge.rtl.xilinx_estimate import XILINX_PARTS
from tritforge.rtl.xilinx_project import write_project

TINY = PRESETS["tiny"]
FUSED = type(TINY).from_dict({"datapath": "fused", "target": "xilinx", "negation": "carry"}, base=TINY)
PART = XILINX_PARTS["xc7z020"].name
#: Commands of Vivado that the scripts may use; the interpreter knows no other beside Tcl's own.
COMMANDS = (
    *(
        "set_part",
        "read_verilog",
        "read_xdc",
        "synth_design",
        "opt_design",
        "place_design",
        "phys_opt_design",
    ),
    *("route_design", "report_utilization", "report_timing_summary", "report_drc", "write_checkpoint"),
    *("get_cells", "get_timing_paths", "get_property", "set_property", "get_ports", "create_clock"),
    *("set_input_delay", "set_output_delay", "create_project", "add_files", "current_fileset"),
    *("update_compile_order", "close_project"),
    *(
        f"ipx::{name}"
        for name in (
            *("package_project", "current_core", "infer_bus_interface", "associate_bus_interfaces"),
            *("get_memory_maps", "add_memory_map", "get_bus_interfaces", "add_address_block"),
            *("get_address_blocks", "update_checksums", "check_integrity", "save_core"),
        )
    ),
)


def run_tcl(script: Path, answers: dict[str, str] | None = None) -> list[tuple[str, ...]]:
    """Run a script and return the calls of Vivado's commands in order; a command answers what the test says."""
    tkinter = pytest.importorskip("tkinter", reason="Python has no Tcl interpreter here")
    tcl: Any = tkinter.Tcl()
    calls: list[tuple[str, ...]] = []
    replies = {"get_cells": "", "get_property": "0.25", "ipx::get_bus_interfaces": "found"} | (answers or {})
    tcl.eval("namespace eval ipx {}")

    def command(name: str) -> Any:
        def called(*arguments: str) -> str:
            calls.append((name, *map(str, arguments)))
            return replies.get(name, name)

        return called

    for name in COMMANDS:
        tcl.createcommand(f"::{name}", command(name))
    tcl.eval(f"source {{{script}}}")
    return calls


@pytest.fixture(scope="module")
def core(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("core")
    write_project(FUSED, folder, part=PART, clock_mhz=Fraction(250))
    return folder


@pytest.fixture(scope="module")
def axi(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("axi")
    write_project(TINY, folder, part=PART, axi=AxiConfig(write_master=True))
    return folder


def test_a_project_holds_the_verilog_that_the_generator_writes(core: Path, axi: Path) -> None:
    assert sorted(path.name for path in core.iterdir()) == [
        "build.tcl",
        "package_ip.tcl",
        "tritforge_core.v",
        "tritforge_core.xdc",
    ]
    assert (core / "tritforge_core.v").read_text() == generate(FUSED).text
    expected = generate(TINY, name="tritforge_axi", axi=AxiConfig(write_master=True)).text
    assert (axi / "tritforge_axi.v").read_text() == expected
    # Vivado has these cells: a model of them beside would replace them by logic.
    assert not re.search(r"^module (LUT6_2|CARRY4)\b", (core / "tritforge_core.v").read_text(), re.MULTILINE)


def test_constraints_are_the_clock_and_three_tenths_of_its_period_at_the_ports(core: Path) -> None:
    calls = run_tcl(core / "tritforge_core.xdc")
    assert ("create_clock", "-name", "aclk", "-period", "4.000", "get_ports") in calls
    delays = [call for call in calls if call[0].endswith("put_delay")]
    assert [(name, delay) for name, _, _, delay, _ in delays] == [
        ("set_input_delay", "1.200"),
        ("set_output_delay", "1.200"),
    ]
    ports = [call[1:] for call in calls if call[0] == "get_ports"]
    assert ports == [
        ("aclk",),
        ("-filter", 'DIRECTION == IN && NAME != "aclk"'),
        ("-filter", "DIRECTION == OUT"),
    ]


def test_the_build_script_goes_from_the_sources_to_a_routed_checkpoint(core: Path) -> None:
    calls = run_tcl(core / "build.tcl")
    names = [call[0] for call in calls]
    flow = [
        "synth_design",
        "opt_design",
        "place_design",
        "phys_opt_design",
        "route_design",
        "write_checkpoint",
    ]
    assert [name for name in names if name in flow] == flow
    assert ("set_part", PART) in calls
    reads = [call for call in calls if call[0].startswith("read_")]
    assert reads == [
        ("read_verilog", str(core / "tritforge_core.v")),
        ("read_xdc", "-mode", "out_of_context", str(core / "tritforge_core.xdc")),
    ]
    assert all(Path(call[-1]).is_file() for call in reads)


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        (
            {"get_property": "-0.31"},
            "250 MHz missed by 0.31 ns: lower the clock or the lanes of a row",
        ),
        ({"get_cells": "one two"}, "2 DSP blocks where none is expected"),
    ],
)
def test_the_build_script_ends_in_an_error_where_it_must(
    core: Path, answers: dict[str, str], message: str
) -> None:
    tkinter = pytest.importorskip("tkinter", reason="Python has no Tcl interpreter here")
    with pytest.raises(tkinter.TclError, match=f"^{re.escape(message)}$"):
        run_tcl(core / "build.tcl", answers)


def test_the_package_has_every_interface_on_the_clock(axi: Path) -> None:
    calls = run_tcl(axi / "package_ip.tcl")
    clocked = [
        call[2] for call in calls if call[0] == "ipx::associate_bus_interfaces" and call[1] == "-busif"
    ]
    assert clocked == ["s_axi_control", "m_axi_weights", "s_axis_activations", "m_axi_results"]
    assert ("set_property", "range", "4096", "ipx::get_address_blocks") in calls
    assert [call for call in calls if call[0] == "ipx::save_core"]
    names = [call[0] for call in calls]
    assert names.index("ipx::check_integrity") < names.index("ipx::save_core")


def test_the_package_of_a_core_has_its_streams_and_no_registers(core: Path) -> None:
    calls = run_tcl(core / "package_ip.tcl")
    clocked = [
        call[2] for call in calls if call[0] == "ipx::associate_bus_interfaces" and call[1] == "-busif"
    ]
    assert clocked == ["s_axis_job", "s_axis_activations", "s_axis_weights", "m_axis_results"]
    assert not [call for call in calls if call[0] == "ipx::get_address_blocks"]


def test_an_interface_that_was_not_found_ends_the_package(axi: Path) -> None:
    tkinter = pytest.importorskip("tkinter", reason="Python has no Tcl interpreter here")
    with pytest.raises(tkinter.TclError, match=r"^interface s_axi_control was not found among the ports$"):
        run_tcl(axi / "package_ip.tcl", {"ipx::get_bus_interfaces": ""})


def test_cells_of_ecp5_and_a_clock_of_nothing_are_refused(tmp_path: Path) -> None:
    message = "^target is 'ecp5', whose cells a 7-series part has not; use target xilinx or datapath tree$"
    with pytest.raises(InputError, match=message):
        write_project(PRESETS["ecp5"], tmp_path, part=PART)
    with pytest.raises(InputError, match=r"^clock is 0 MHz; more than 0 is needed$"):
        write_project(TINY, tmp_path, part=PART, clock_mhz=Fraction(0))
