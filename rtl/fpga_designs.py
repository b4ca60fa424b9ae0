"""What the flow to a bitstream starts from: a board's top with its pins and clocks, or a core alone."""

from dataclasses import dataclass
from fractions import Fraction

from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.core import Core, StreamCore
from tritforge.accel.errors import InputError
from tritforge.accel.link_top import LinkTop
from tritforge.accel.uart import check_divisor
from tritforge.rtl.board_clock import Pll, solve
from tritforge.rtl.board_top import BoardTop
from tritforge.rtl.boards import Board
from tritforge.rtl.parts import Part
from tritforge.rtl.synthesis import FAST_SCRIPTS, MAPPED_SCRIPTS, convert


@dataclass(frozen=True, kw_only=True)
class FpgaDesign:
    """A design on its way into an FPGA.

    Attributes
    ----------
    name
        Stem of the files.
    title
        What a reader calls it.
    part
        The FPGA.
    config
        The accelerator.
    clock_mhz
        Clock that it is to run at.
    source
        RTLIL, its top module ``top``.
    commands
        What Yosys makes of it, as in `tritforge.rtl.synthesis.MAPPED_SCRIPTS`.
    constraints
        Pins and clocks in the router's format; empty for a core alone.
    board
        The board, or None.
    pll
        What makes the clock on the board, or None.
    baud
        Symbols a second of the serial port, as near as the clock gives it; 0 without a board.
    """

    name: str
    title: str
    part: Part
    config: AcceleratorConfig
    clock_mhz: Fraction
    source: str
    commands: str
    constraints: str = ""
    board: Board | None = None
    pll: Pll | None = None
    baud: Fraction = Fraction(0)


def check_part(config: AcceleratorConfig, part: Part) -> None:
    """Refuse a configuration that instantiates another family's cells.

    Raises
    ------
    InputError
        ``fused`` for a target that is not the part's family.
    """
    family = part.family.name
    if config.datapath == "fused" and config.target != family:
        raise InputError(
            f"target is {config.target!r}, whose cells {part.title} has not; "
            f"use {'target ' + family + ' or ' if family == 'ecp5' else ''}datapath tree"
        )


def core_design(part: Part, config: AcceleratorConfig, *, clock_mhz: Fraction) -> FpgaDesign:
    """Return the stream core alone, to be placed out of context.

    Raises
    ------
    InputError
        The configuration is of another family.
    """
    check_part(config, part)
    return FpgaDesign(
        name="core",
        title=f"stream core alone on {part.title}",
        part=part,
        config=config,
        clock_mhz=clock_mhz,
        source=convert(StreamCore(Core(config))),
        commands=MAPPED_SCRIPTS[part.family.name],
    )


def board_design(
    board: Board,
    config: AcceleratorConfig,
    *,
    clock_mhz: Fraction | None = None,
    baud: int | None = None,
) -> FpgaDesign:
    """Return an accelerator behind a board's serial port.

    Parameters
    ----------
    board
        The board.
    config
        The accelerator, its weights on the chip.
    clock_mhz, baud
        What replaces the board's own.

    Raises
    ------
    InputError
        The configuration is of another family or cannot stand behind the link, or clock or baud rate cannot be made.
    MissingToolError
        `amaranth-boards` is not installed.
    """
    check_part(config, board.part)
    family = board.part.family
    clock = clock_mhz or board.clock_mhz
    pll = solve(family.name, board.reference_mhz, clock)
    divisor = check_divisor(clock * 1_000_000 / (baud or board.baud))
    platform = board.platform_class()()
    top = BoardTop(LinkTop(config, divisor, core_domain="core"), pll)
    plan = platform.prepare(top, "top", emit_src=False, debug_verilog=False)
    files = {name: text if isinstance(text, str) else text.decode() for name, text in plan.files.items()}
    return FpgaDesign(
        name=board.name,
        title=f"{board.title} ({board.part.title})",
        part=board.part,
        config=config,
        clock_mhz=clock,
        source=files["top.il"],
        commands=FAST_SCRIPTS[family.name],
        constraints=files[f"top.{family.constraints}"],
        board=board,
        pll=pll,
        baud=clock * 1_000_000 / divisor,
    )
