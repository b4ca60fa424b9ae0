"""The Verilog of the AXI top: accepted by the tools, grouped by port names, described by its side-car."""

import json
import re
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from verilog_lint import assert_clean, lint

from tritforge.accel.axi_config import AxiConfig
from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.core import Core
from tritforge.accel.errors import InputError
from tritforge.accel.presets import PRESETS
from tritforge.rtl.verilog import GeneratedCore, generate, write

TINY = PRESETS["tiny"]
#: Corners of the bus side, with accelerators whose ports fit it.
TOPS = {
    "default": (PRESETS["default"], AxiConfig()),
    "to memory": (TINY, AxiConfig(write_master=True)),
    "least": (
        replace(TINY, weight_port_bits=32, result_port_bits=32, tokens_max=1, rows=1),
        AxiConfig(burst_beats=2, outstanding=1, queue_depth=2, write_master=True),
    ),
    "most": (
        replace(TINY, weight_port_bits=512, result_port_bits=512, partial_sums=True, packing="s5"),
        AxiConfig(address_bits=64, burst_beats=256, outstanding=16, queue_depth=16, write_master=True),
    ),
    "fused": (replace(PRESETS["ecp5"], lanes=16, rows=2), AxiConfig(write_master=True)),
}


@pytest.fixture(scope="module")
def top() -> GeneratedCore:
    config, axi = TOPS["to memory"]
    return generate(config, axi=axi)


@pytest.mark.parametrize("name", TOPS)
def test_verilator_accepts_it_without_a_warning(name: str, tmp_path: Path) -> None:
    config, axi = TOPS[name]
    files = write(generate(config, axi=axi), tmp_path / "top.v")
    assert_clean(lint(files[0], *(path for path in files if path.name == "top_cells.v")))


def test_the_template_connects_every_port(top: GeneratedCore, tmp_path: Path) -> None:
    files = write(top, tmp_path / "top.v")
    assert [file.name for file in files] == ["top.v", "top.json", "top_template.v"]
    wrapped = tmp_path / "system.v"
    wrapped.write_text(f"module system;\n{files[2].read_text()}endmodule\n")
    assert_clean(lint(wrapped, files[0], top="system"))


def test_the_side_car_describes_the_bus_side(top: GeneratedCore) -> None:
    sidecar = top.sidecar()
    assert sidecar["axi"] == asdict(TOPS["to memory"][1])
    assert AcceleratorConfig.from_dict(sidecar["config"]) == TINY
    assert "axi" not in generate(TINY).sidecar()
    assert json.dumps(sidecar)


def interfaces(generated: GeneratedCore) -> dict[str, set[str]]:
    """Names of the signals of each interface, as tools group them: what comes before the last underscore."""
    found: dict[str, set[str]] = {}
    for port in generated.ports:
        interface, _, signal = port["name"].rpartition("_")
        found.setdefault(interface, set()).add(signal)
    return found


def test_ports_are_named_as_tools_group_them(top: GeneratedCore) -> None:
    address = {"id", "addr", "len", "size", "burst", "lock", "cache", "prot", "qos", "valid", "ready"}
    assert interfaces(top) == {
        "": {"aclk", "aresetn", "irq"},
        "s_axi_control": {
            *(
                f"{channel}{signal}"
                for channel in ("aw", "ar")
                for signal in ("addr", "prot", "valid", "ready")
            ),
            *(f"w{signal}" for signal in ("data", "strb", "valid", "ready")),
            *(f"b{signal}" for signal in ("resp", "valid", "ready")),
            *(f"r{signal}" for signal in ("data", "resp", "valid", "ready")),
        },
        "m_axi_weights": {
            *(f"ar{signal}" for signal in address),
            *(f"r{signal}" for signal in ("id", "data", "resp", "last", "valid", "ready")),
        },
        "m_axi_results": {
            *(f"aw{signal}" for signal in address),
            *(f"w{signal}" for signal in ("data", "strb", "last", "valid", "ready")),
            *(f"b{signal}" for signal in ("id", "resp", "valid", "ready")),
        },
        "s_axis_activations": {"tvalid", "tready", "tdata"},
    }
    streams = interfaces(generate(replace(TINY, partial_sums=True), axi=AxiConfig()))
    assert streams["m_axis_results"] == {"tvalid", "tready", "tdata", "tkeep", "tlast"}
    assert streams["s_axis_partials"] == {"tvalid", "tready", "tdata"}
    assert "m_axi_results" not in streams


def test_widths_follow_from_the_configuration() -> None:
    config, axi = TOPS["most"]
    widths = {port["name"]: port["width"] for port in generate(config, axi=axi).ports}
    assert widths["m_axi_weights_araddr"] == widths["m_axi_results_awaddr"] == 64
    assert widths["m_axi_weights_rdata"] == widths["m_axi_results_wdata"] == 512
    assert widths["m_axi_results_wstrb"] == 64
    assert (widths["s_axi_control_araddr"], widths["s_axi_control_wdata"]) == (12, 32)


def test_the_text_says_what_it_is_and_keeps_to_its_name(top: GeneratedCore) -> None:
    assert "ternary matrix product behind AXI, 8 lanes x 4 rows." in top.text.splitlines()[0]
    mine = generate(TINY, axi=AxiConfig(), name="mine").text
    names = re.findall(r"^module \\?([^\s(]+)", mine, flags=re.MULTILINE)
    assert len(names) > 20
    assert all(name == "mine" or name.startswith("mine.") for name in names)
    assert not re.search(r"\[-1:0\]", mine)


def test_another_core_goes_into_the_top(top: GeneratedCore) -> None:
    """A planted fault must reach the Verilog; the core must let the registers watch it."""
    config, axi = TOPS["to memory"]
    assert generate(config, axi=axi, core=Core(config, observed=True)).sha256 == top.sha256
    with pytest.raises(InputError, match="the core to control is another one"):
        generate(config, axi=axi, core=Core(config))


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"sparse": True}, "sparse is true; the AXI top runs dense jobs: use the stream core for columns"),
        ({"weight_port_bits": 1024}, "weight_port_bits is 1024; the AXI masters take 32 to 512 bits"),
    ],
)
def test_what_cannot_stand_behind_axi_is_refused(change: dict[str, Any], line: str) -> None:
    with pytest.raises(InputError, match=f"^{re.escape(line)}$"):
        generate(AcceleratorConfig.from_dict(change, base=TINY), axi=AxiConfig())
