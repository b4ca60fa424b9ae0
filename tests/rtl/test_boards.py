"""Boards: their clock, pins and preset agree with `amaranth-boards`, the parts' tools and the command line."""

import sys

import pytest

from tritforge.accel.errors import InputError, MissingToolError
from tritforge.accel.link_top import LinkTop
from tritforge.accel.presets import PRESETS
from tritforge.cli import fpga as command
from tritforge.rtl.board_clock import solve
from tritforge.rtl.boards import BOARDS, find_board
from tritforge.rtl.parts import OUT_OF_CONTEXT


@pytest.mark.parametrize("name", BOARDS)
def test_a_board_is_what_its_platform_says(name: str) -> None:
    board = BOARDS[name]
    platform = board.platform_class()()
    assert platform.default_clk_frequency == board.reference_mhz * 1_000_000
    assert f"LFE5U-{board.part.title[6:8]}F" == platform.device or platform.device == board.part.title
    # nextpnr must place for the package whose pins the constraints name.
    package = platform.package.lower().replace("bg", "cabga", 1)
    assert board.part.options[-1].lower() == package
    assert {("uart", 0), ("led", 0), ("led", 1)} <= set(platform.resources)


@pytest.mark.parametrize("name", BOARDS)
def test_a_board_s_preset_stands_behind_the_link_at_its_clock(name: str) -> None:
    board = BOARDS[name]
    pll = solve(board.part.family.name, board.reference_mhz, board.clock_mhz)
    assert pll.output_mhz == board.clock_mhz
    top = LinkTop(PRESETS[board.preset], board.clock_mhz * 1_000_000 / board.baud, core_domain="core")
    # The host's side is exact as well: common adapters divide their clocks by whole numbers.
    assert top.divisor == board.clock_mhz * 1_000_000 / board.baud


def test_the_command_line_names_the_boards_and_parts_that_there_are() -> None:
    assert tuple(BOARDS) == command.BOARDS
    assert OUT_OF_CONTEXT == command.PARTS


def test_an_unknown_board_is_refused() -> None:
    with pytest.raises(InputError, match=r"^board is 'ulx4'; it must be one of ulx3s, icebreaker$"):
        find_board("ulx4")


def test_without_the_package_of_pins_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "amaranth_boards.ulx3s", None)
    line = r"^amaranth-boards is not installed; run: pip install 'tritforge\[fpga\]'$"
    with pytest.raises(MissingToolError, match=line):
        find_board("ulx3s").platform_class()
