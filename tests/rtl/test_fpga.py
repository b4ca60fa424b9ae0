"""The flow through the tools: a board's bitstream, a core alone, what is kept, and what stops it."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.errors import InputError, SimulationError
from tritforge.accel.presets import PRESETS
from tritforge.rtl import fpga, place_route, synthesis
from tritforge.rtl.boards import BOARDS
from tritforge.rtl.fpga import FpgaBuild, build, closes, steps
from tritforge.rtl.fpga_designs import board_design, core_design
from tritforge.rtl.fpga_report import resources
from tritforge.rtl.parts import PARTS

#: As small as a core on carry cells is.
CORE = AcceleratorConfig(
    lanes=8,
    rows=2,
    tokens_max=2,
    k_max=64,
    m_max=64,
    weight_port_bits=32,
    act_port_bits=32,
    result_port_bits=32,
    datapath="fused",
    target="ecp5",
    negation="carry",
    chain_length=4,
)
#: As small as an accelerator behind the link is.
LINK = replace(
    PRESETS["icebreaker"], lanes=4, rows=1, k_max=64, m_max=64, act_port_bits=32, weight_store_bytes=1024
)


@pytest.fixture(scope="module")
def core(tmp_path_factory: pytest.TempPathFactory) -> tuple[FpgaBuild, list[tuple[str, int]]]:
    """A core alone, routed for a clock that it reaches, and the steps that were reported."""
    said: list[tuple[str, int]] = []
    design = core_design(PARTS["ecp5-25k"], CORE, clock_mhz=Fraction(50))
    found = build(
        design,
        folder=tmp_path_factory.mktemp("core"),
        seeds=(2, 3),
        step=lambda description, advance: said.append((description, advance)),
    )
    return found, said


def test_a_core_alone_is_routed_and_counted(core: tuple[FpgaBuild, list[tuple[str, int]]]) -> None:
    found, said = core
    assert found.closes
    assert found.bitstream is None
    assert (found.seed, list(found.tried)) == (2, [2])  # the first seed was fast enough
    assert found.fmax_mhz == found.tried[2] > 50
    used = {one.name: one for one in resources(found)}
    assert used["LUTs"].used >= 2 * used["carry cells"].used > 0
    assert used["LUTs"].total == 24288
    assert used["DSP multipliers"].used == 0
    assert used["DSP multipliers"].total == PARTS["ecp5-25k"].multipliers
    # The one seed that was not needed is no step.
    assert sum(advance for _, advance in said) == steps((2, 3)) - 1
    warned = "Yosys: synthesis (its first run compiles it, which takes about a minute)"
    assert {warned, "nextpnr, seed 2: placing", "nextpnr, seed 2: routing"} <= {what for what, _ in said}


def test_the_slowest_path_names_registers_of_the_core(core: tuple[FpgaBuild, list[tuple[str, int]]]) -> None:
    path = core[0].path
    assert path.delay_ns == pytest.approx(1000 / core[0].fmax_mhz, rel=0.02)
    assert path.start.name.startswith("core.")
    assert "unnamed" not in str(path)


def test_logs_of_all_tools_stay(core: tuple[FpgaBuild, list[tuple[str, int]]]) -> None:
    folder = core[0].folder
    assert "Executing SYNTH" in (folder / "ecp5.yosys.log").read_text()
    assert "Program finished normally" in (folder / "core.seed2.log").read_text()


def test_what_is_there_is_not_made_again(
    core: tuple[FpgaBuild, list[tuple[str, int]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = core[0]

    def refuse(command: list[str], **_options: Any) -> None:
        pytest.fail(f"ran {command[0]} again")

    monkeypatch.setattr(synthesis, "run_tool", refuse)
    monkeypatch.setattr(place_route, "run_tool", refuse)
    assert build(first.design, folder=first.folder, seeds=(2,)) == replace(first, report=first.report)


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> FpgaBuild:
    """An accelerator for the iCEBreaker, from configuration to bitstream."""
    design = board_design(BOARDS["icebreaker"], LINK, clock_mhz=Fraction(18))
    return build(design, folder=tmp_path_factory.mktemp("board"))


def test_a_board_gets_a_bitstream(board: FpgaBuild) -> None:
    assert board.closes
    assert board.bitstream is not None
    content = board.bitstream.read_bytes()
    # iCE40's preamble stands behind the comment.
    assert b"\x7e\xaa\x99\x7e" in content[:64]
    assert len(content) > 100_000
    assert (board.folder / "icebreaker.pack.log").is_file()
    assert list(board.folder.glob(".*")) == []
    # The PLL's clock is what is timed, and no other.
    ((_, clock),) = board.report["fmax"].items()
    assert clock["constraint"] == pytest.approx(18, rel=1e-3)
    used = {one.name: one.used for one in resources(board)}
    assert used["PLLs"] == 1
    assert used["single-port RAMs"] == 0 or used["block RAMs"] > 0
    assert used["pins"] == 5  # clock, two of the serial port, two LEDs


def test_the_reset_lasts_until_the_pll_locks(board: FpgaBuild) -> None:
    module = json.loads((board.folder / "icebreaker.json").read_text())["modules"]["top"]
    cells = module["cells"].values()
    (pll,) = [cell for cell in cells if cell["type"] == "SB_PLL40_PAD"]
    (locked,) = pll["connections"]["LOCK"]
    inverters = [
        cell for cell in cells if cell["type"] == "SB_LUT4" and [locked] in cell["connections"].values()
    ]
    assert len(inverters) == 1
    (unlocked,) = inverters[0]["connections"]["O"]
    # Registers that it holds without a clock: those of the reset. Which value they have then is up to Yosys.
    held = [cell for cell in cells if [unlocked] in (cell["connections"].get(pin) for pin in ("R", "S"))]
    assert [cell["type"].rstrip("RS") for cell in held] == ["SB_DFF", "SB_DFF"]


def test_a_clock_that_fails_leaves_no_bitstream(
    board: FpgaBuild, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = {"clk": {"achieved": 15.0, "constraint": 18.0}}
    tried: list[int] = []

    def route(netlist: Path, placement: Any, *, watch: Callable[[str], None]) -> dict[str, Any]:
        tried.append(placement.seed)
        placement.routed(netlist).write_text("routed")
        speed = 14.0 + placement.seed / 10
        return {**board.report, "fmax": {"clk": slow["clk"] | {"achieved": speed}}}

    monkeypatch.setattr(fpga, "route", route)
    monkeypatch.setattr(fpga, "synthesise_source", lambda *_a, **_k: board.synthesis)
    packed: list[str] = []

    def pack(command: list[str], *, log: Path) -> None:
        packed.append(command[-2])
        (log.parent / command[-1]).write_text("bits")

    monkeypatch.setattr(fpga, "run_tool", pack)
    stale = tmp_path / "icebreaker.bin"
    stale.write_text("of another design")
    found = build(board.design, folder=tmp_path, seeds=(1, 2, 3))
    assert tried == [1, 2, 3]
    assert (found.seed, found.fmax_mhz, found.closes, found.bitstream) == (3, 14.3, False, None)
    assert not stale.exists()
    assert packed == []
    found = build(board.design, folder=tmp_path, seeds=(1, 2, 3), allow_slow=True)
    assert found.bitstream == stale
    assert stale.read_text() == "bits"
    assert packed == ["icebreaker.seed3.asc"]


def test_every_clock_has_to_close() -> None:
    fast = {"achieved": 200.0, "constraint": 150.0}
    report = {"fmax": {"a": fast, "b": {"achieved": 20.0, "constraint": 25.0}}}
    assert not closes(report)
    assert fpga.slowest_clock(report) == "b"
    assert closes({"fmax": {"a": fast}})


def test_a_design_that_does_not_fit_ends_with_the_router_s_words(tmp_path: Path) -> None:
    # Twice the memory of the part: of a beat's 32 bits the small tile takes half a single-port RAM's width.
    design = board_design(BOARDS["icebreaker"], replace(LINK, weight_store_bytes=1 << 19))
    with pytest.raises(SimulationError, match=re.escape(str(tmp_path / "icebreaker.seed1.log"))):
        build(design, folder=tmp_path)


def test_cells_of_another_family_are_refused() -> None:
    line = "target is 'xilinx', whose cells LFE5U-85F speed grade 6 has not; use target ecp5 or datapath tree"
    with pytest.raises(InputError, match=f"^{line}$"):
        core_design(PARTS["ecp5-85k"], replace(CORE, target="xilinx"), clock_mhz=Fraction(100))


@pytest.mark.slow
@pytest.mark.fpga
def test_the_ulx3s_closes_at_its_clock(tmp_path: Path) -> None:
    """The shipped preset, placed and routed through the board's PLL; minutes."""
    board = BOARDS["ulx3s"]
    found = build(board_design(board, PRESETS[board.preset]), folder=tmp_path, seeds=range(1, 5))
    assert found.closes
    assert found.fmax_mhz >= 150
    assert found.bitstream is not None
    assert found.bitstream.read_bytes()[:2] == b"\xff\x00"
