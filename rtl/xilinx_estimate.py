"""What a core takes of an AMD/Xilinx 7-series part by Yosys' count: pip has no place and route for it."""

from dataclasses import dataclass
from pathlib import Path

from tritforge.accel.axi_config import AxiConfig
from tritforge.accel.axi_top import AxiCore
from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.core import Core, StreamCore
from tritforge.accel.errors import InputError
from tritforge.rtl.cell_counts import count_resources
from tritforge.rtl.synthesis import Synthesis, convert, synthesise_source

#: Multipliers may be used: that none is shows that there is nothing to multiply.
COMMANDS = "synth_xilinx -top top -family xc7 -flatten -noiopad -noclkbuf"


@dataclass(frozen=True, kw_only=True)
class XilinxPart:
    """Resources of a part, by the data sheets DS180 (Artix-7) and DS190 (Zynq-7000).

    Attributes
    ----------
    name
        As Vivado knows it, package and speed grade included.
    luts, ffs, block_rams, multipliers
        LUT6, flip-flops, block RAMs of 36 kb, DSP48E1.
    """

    name: str
    luts: int
    ffs: int
    block_rams: int
    multipliers: int


#: Parts by short name.
XILINX_PARTS = {
    "xc7a35t": XilinxPart(name="xc7a35ticsg324-1L", luts=20_800, ffs=41_600, block_rams=50, multipliers=90),
    "xc7a100t": XilinxPart(
        name="xc7a100tcsg324-1", luts=63_400, ffs=126_800, block_rams=135, multipliers=240
    ),
    "xc7z020": XilinxPart(name="xc7z020clg400-1", luts=53_200, ffs=106_400, block_rams=140, multipliers=220),
}


@dataclass(frozen=True, kw_only=True)
class XilinxEstimate:
    """A core's resources after synthesis; placing adds little to LUTs, and Vivado's own synthesis may take fewer.

    Attributes
    ----------
    config
        The core.
    part
        What the shares are of.
    counts
        Resources by the names of `tritforge.rtl.cell_counts.TITLES`.
    block_rams
        In units of 36 kb: one of 18 kb is half of one.
    """

    config: AcceleratorConfig
    part: XilinxPart
    counts: dict[str, int]
    block_rams: float

    @property
    def shares(self) -> dict[str, float]:
        """Share of the part by resource, where the part has a number of it."""
        return {
            "luts": self.counts["luts"] / self.part.luts,
            "ffs": self.counts["ffs"] / self.part.ffs,
            "block_ram": self.block_rams / self.part.block_rams,
            "dsp": self.counts["dsp"] / self.part.multipliers,
        }


def find_xilinx_part(name: str) -> XilinxPart:
    """Return a part by its short name.

    Raises
    ------
    InputError
        There is none of that name.
    """
    if name not in XILINX_PARTS:
        raise InputError(f"part is {name!r}; it must be one of {', '.join(XILINX_PARTS)}")
    return XILINX_PARTS[name]


def check_xilinx(config: AcceleratorConfig) -> None:
    """Refuse a configuration that instantiates another family's cells.

    Raises
    ------
    InputError
        ``fused`` for another target.
    """
    if config.datapath == "fused" and config.target != "xilinx":
        raise InputError(
            f"target is {config.target!r}, whose cells a 7-series part has not; use target xilinx or datapath tree"
        )


def estimate_xilinx(
    config: AcceleratorConfig, *, folder: Path, part: str = "xc7z020", axi: AxiConfig | None = None
) -> XilinxEstimate:
    """Synthesise a core for 7-series and count its cells.

    Parameters
    ----------
    config
        The core; of `fused` datapaths those for ``xilinx``.
    folder
        Takes sources, netlist and log; a netlist that is there already is taken when it came from the same sources.
    part
        One of `XILINX_PARTS`.
    axi
        The bus side: the AXI top is synthesised. Without it, the core with its streams is.

    Raises
    ------
    InputError
        An unknown part, or a configuration of another family.
    MissingToolError
        Yosys is not installed.
    SimulationError
        Yosys failed.
    """
    chosen = find_xilinx_part(part)
    check_xilinx(config)
    top = StreamCore(Core(config)) if axi is None else AxiCore(config, axi)
    synthesis = synthesise_source(convert(top), target="xilinx", folder=folder, commands=COMMANDS)
    return XilinxEstimate(
        config=config,
        part=chosen,
        counts=count_resources(synthesis),
        block_rams=block_rams(synthesis),
    )


def block_rams(synthesis: Synthesis) -> float:
    """Return a netlist's block RAMs in units of 36 kb."""
    size = {"RAMB18": 0.5, "RAMB36": 1.0}
    return sum(number * size.get(kind[:6], 0.0) for kind, number in synthesis.cells.items())
