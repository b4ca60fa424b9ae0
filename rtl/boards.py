"""Boards as data: part, clock, preset, serial port, and the memory beside the FPGA.

Pins come from `amaranth-boards`, which is imported when a board is built, not before.
"""

from dataclasses import dataclass
from fractions import Fraction
from importlib import import_module
from typing import Any

from tritforge.accel.errors import InputError, MissingToolError
from tritforge.rtl.parts import PARTS, Part


@dataclass(frozen=True, kw_only=True)
class Memory:
    """DRAM of a board, which bounds what a larger design could read.

    Attributes
    ----------
    name
        Kind and width.
    size_bytes
        Capacity.
    bytes_per_second
        Peak rate of reading: width times the clock's edges that carry data.
    source
        Where width and clock are from.
    """

    name: str
    size_bytes: int
    bytes_per_second: float
    source: str


@dataclass(frozen=True, kw_only=True)
class Board:
    """A board that a bitstream is made for.

    Attributes
    ----------
    name, title
        What the command line and a reader call it.
    part
        Its FPGA.
    module, platform
        Module of `amaranth_boards` and class in it that has the pins.
    reference_mhz
        Clock that the board gives the FPGA.
    clock_mhz
        Clock that the PLL makes of it unless another is asked for.
    preset
        Configuration unless another is asked for.
    baud
        Symbols a second of the serial port.
    memory
        DRAM beside the FPGA, or None; the shipped top leaves it alone.
    load
        Command that loads a bitstream.
    """

    name: str
    title: str
    part: Part
    module: str
    platform: str
    reference_mhz: Fraction
    clock_mhz: Fraction
    preset: str
    baud: int
    memory: Memory | None
    load: str

    def platform_class(self) -> type[Any]:
        """Return the platform of `amaranth-boards`, whose cells a datapath of its family may instantiate.

        Raises
        ------
        MissingToolError
            `amaranth-boards` is not installed.
        """
        from tritforge.accel.datapath import VendorCells

        try:
            module = import_module(f"amaranth_boards.{self.module}")
        except ModuleNotFoundError as error:
            raise MissingToolError(
                "amaranth-boards is not installed; run: pip install 'tritforge[fpga]'"
            ) from error
        return type(
            self.platform,
            (VendorCells, getattr(module, self.platform)),
            {"lut_ram": self.part.family.lut_ram},
        )


#: Boards by name.
BOARDS: dict[str, Board] = {
    board.name: board
    for board in (
        Board(
            name="ulx3s",
            title="Radiona ULX3S-85F",
            part=PARTS["ecp5-85k"],
            module="ulx3s",
            platform="ULX3S_85F_Platform",
            reference_mhz=Fraction(25),
            # What the first of four placements reaches; docs/fpga.md has the figures.
            clock_mhz=Fraction(150),
            preset="ulx3s",
            baud=3_000_000,
            memory=Memory(
                name="SDRAM of 16 bits at 143 MHz",
                size_bytes=32 << 20,
                bytes_per_second=2 * 143e6,
                source="ULX3S README: 32 MB SDRAM of 16 bits; IS42S16160G-7, on newer boards, runs at 143 MHz",
            ),
            load="openFPGALoader --board ulx3s {bitstream}",
        ),
        Board(
            name="icebreaker",
            title="1BitSquared iCEBreaker",
            part=PARTS["ice40-up5k"],
            module="icebreaker",
            platform="ICEBreakerPlatform",
            reference_mhz=Fraction(12),
            clock_mhz=Fraction(24),
            preset="icebreaker",
            baud=1_000_000,
            memory=None,
            load="openFPGALoader --board ice40_generic {bitstream}",
        ),
    )
}


def find_board(name: str) -> Board:
    """Return a board by its name.

    Raises
    ------
    InputError
        There is none of that name.
    """
    if name not in BOARDS:
        raise InputError(f"board is {name!r}; it must be one of {', '.join(BOARDS)}")
    return BOARDS[name]
