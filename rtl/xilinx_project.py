"""A folder that Vivado takes: Verilog, constraints, scripts for synthesis to routing and for an IP-XACT package.

The scripts are written for Vivado 2020.1 and later. There is no Vivado where they are tested: the tests run them in a
Tcl interpreter whose Vivado commands only record how they were called.
"""

from dataclasses import dataclass
from fractions import Fraction
from importlib.metadata import version
from pathlib import Path

from tritforge.accel.axi_config import AxiConfig
from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.errors import InputError
from tritforge.accel.files import write_atomically
from tritforge.rtl.verilog import GeneratedCore, generate
from tritforge.rtl.xilinx_estimate import check_xilinx

#: Share of a clock period that is left to what is outside, before an input and behind an output.
IO_SHARE = Fraction(3, 10)
_ADDRESS_BLOCK_BYTES = 4096


@dataclass(frozen=True, kw_only=True)
class XilinxProject:
    """What is written.

    Attributes
    ----------
    core
        The Verilog.
    part
        Part as Vivado knows it.
    clock_mhz
        Clock to reach.
    """

    core: GeneratedCore
    part: str
    clock_mhz: Fraction

    @property
    def period_ns(self) -> Fraction:
        return Fraction(1000) / self.clock_mhz

    @property
    def interfaces(self) -> tuple[str, ...]:
        """Names of the AXI interfaces, in the order of the ports."""
        names = [
            port["name"].rpartition("_")[0]
            for port in self.core.ports
            if port["name"].startswith(("s_axi", "m_axi"))
        ]
        return tuple(dict.fromkeys(names))

    def constraints(self) -> str:
        """Return the clock and the time at the ports, for a run out of context."""
        outside = float(self.period_ns * IO_SHARE)
        return f"""\
# {self.core.name} alone at {float(self.clock_mhz):g} MHz; a design around it has its own constraints.
create_clock -name aclk -period {float(self.period_ns):.3f} [get_ports aclk]
set inputs [get_ports -filter {{DIRECTION == IN && NAME != "aclk"}}]
set_input_delay -clock aclk {outside:.3f} $inputs
set_output_delay -clock aclk {outside:.3f} [get_ports -filter {{DIRECTION == OUT}}]
"""

    def build_script(self) -> str:
        """Return the script from synthesis to a routed checkpoint."""
        name = self.core.name
        return f"""\
# vivado -mode batch -source build.tcl
# Synthesis, placing and routing of {name} out of context; reports and the checkpoint go to build/.
set here [file dirname [file normalize [info script]]]
set out [file join $here build]
file mkdir $out
set_part {self.part}
read_verilog [file join $here {name}.v]
read_xdc -mode out_of_context [file join $here {name}.xdc]

synth_design -top {name} -part {self.part} -mode out_of_context
report_utilization -file [file join $out synthesis_utilization.rpt]
# The datapath has nothing to multiply.
set multipliers [llength [get_cells -quiet -hierarchical -filter {{REF_NAME =~ DSP48*}}]]
if {{$multipliers != 0}} {{
    error "$multipliers DSP blocks where none is expected"
}}

opt_design
place_design
phys_opt_design
route_design
report_utilization -file [file join $out utilization.rpt]
report_timing_summary -file [file join $out timing.rpt]
report_drc -file [file join $out drc.rpt]
write_checkpoint -force [file join $out {name}.dcp]

set slack [get_property SLACK [get_timing_paths -max_paths 1 -nworst 1 -setup]]
puts "slack $slack ns of a period of {float(self.period_ns):.3f} ns"
if {{$slack < 0}} {{
    error "{float(self.clock_mhz):g} MHz missed by [expr {{-$slack}}] ns: lower the clock or the lanes of a row"
}}
"""

    def package_script(self) -> str:
        """Return the script that packages the top as IP-XACT, with a component.xml that the IP integrator takes."""
        name = self.core.name
        clocked = ":".join(self.interfaces)
        lines = [
            f"""\
# vivado -mode batch -source package_ip.tcl
# Packages {name} as IP-XACT in ip/: interfaces by the names of their ports, clock, reset and, where there are
# registers, their address block.
set here [file dirname [file normalize [info script]]]
set ip [file join $here ip]
create_project -force -part {self.part} package_{name} [file join $here package_project]
add_files -norecurse [file join $here {name}.v]
set_property top {name} [current_fileset]
update_compile_order -fileset sources_1
ipx::package_project -root_dir $ip -vendor tritforge -library accelerator -taxonomy /UserIP -import_files -force
set core [ipx::current_core]
set_property name {name} $core
set_property display_name {{TritForge {self.core.config.lanes} x {self.core.config.rows}}} $core
set_property version {".".join(version("tritforge").split(".")[:2])} $core
set_property supported_families {{artix7 Production kintex7 Production virtex7 Production zynq Production \\
    zynquplus Production kintexu Production kintexuplus Production virtexu Production virtexuplus Production}} $core
"""
        ]
        lines += ["ipx::infer_bus_interface aclk xilinx.com:signal:clock_rtl:1.0 $core\n"]
        lines += ["ipx::infer_bus_interface aresetn xilinx.com:signal:reset_rtl:1.0 $core\n"]
        for interface in self.interfaces:
            lines.append(f"ipx::associate_bus_interfaces -busif {interface} -clock aclk $core\n")
        lines.append("ipx::associate_bus_interfaces -clock aclk -reset aresetn $core\n")
        if "s_axi_control" in self.interfaces:
            lines.append(
                f"""\
if {{[llength [ipx::get_memory_maps -quiet s_axi_control -of_objects $core]] == 0}} {{
    ipx::add_memory_map s_axi_control $core
    set_property slave_memory_map_ref s_axi_control [ipx::get_bus_interfaces s_axi_control -of_objects $core]
    ipx::add_address_block registers [ipx::get_memory_maps s_axi_control -of_objects $core]
}}
foreach block [ipx::get_address_blocks -of_objects [ipx::get_memory_maps s_axi_control -of_objects $core]] {{
    set_property range {_ADDRESS_BLOCK_BYTES} $block
}}
ipx::infer_bus_interface irq xilinx.com:signal:interrupt_rtl:1.0 $core
"""
            )
        lines.append(
            f"""\
# Every interface must be there before the package is: a port that Vivado did not group is a wire to be drawn by hand.
foreach interface {{{clocked.replace(":", " ")}}} {{
    if {{[llength [ipx::get_bus_interfaces -quiet $interface -of_objects $core]] == 0}} {{
        error "interface $interface was not found among the ports"
    }}
}}
ipx::update_checksums $core
ipx::check_integrity $core
ipx::save_core $core
close_project
"""
        )
        return "".join(lines)


def write_project(
    config: AcceleratorConfig,
    folder: Path,
    *,
    part: str,
    clock_mhz: Fraction = Fraction(200),
    axi: AxiConfig | None = None,
) -> list[Path]:
    """Write a project for Vivado.

    Parameters
    ----------
    config
        The core; of `fused` datapaths those for ``xilinx``.
    folder
        Takes NAME.v, NAME.xdc, build.tcl and package_ip.tcl.
    part
        Part as Vivado knows it, as in `tritforge.rtl.xilinx_estimate.XILINX_PARTS`.
    clock_mhz
        Clock to reach.
    axi
        The bus side: the top is ``tritforge_axi``. Without it, the core with its streams, ``tritforge_core``.

    Returns
    -------
    list of Path
        The files.

    Raises
    ------
    InputError
        A configuration of another family, a clock that is none, or a folder that cannot be written.
    """
    check_xilinx(config)
    if clock_mhz <= 0:
        raise InputError(f"clock is {float(clock_mhz):g} MHz; more than 0 is needed")
    name = "tritforge_core" if axi is None else "tritforge_axi"
    project = XilinxProject(
        core=generate(config, name=name, axi=axi),
        part=part,
        clock_mhz=clock_mhz,
    )
    files = {
        f"{name}.v": project.core.text,
        f"{name}.xdc": project.constraints(),
        "build.tcl": project.build_script(),
        "package_ip.tcl": project.package_script(),
    }
    for file, text in files.items():
        write_atomically(folder / file, text)
    return [folder / file for file in files]
