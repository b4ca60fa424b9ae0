"""Figures and page of a routed design: counts from nextpnr's report, rates by hand, advice that can be followed."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from tritforge.accel.errors import VerificationError
from tritforge.accel.presets import PRESETS
from tritforge.rtl.board_clock import solve
from tritforge.rtl.boards import BOARDS
from tritforge.rtl.fpga import FpgaBuild
from tritforge.rtl.fpga_designs import FpgaDesign
from tritforge.rtl.fpga_page import render, si
from tritforge.rtl.fpga_report import ModelBytes, figures, resources, timing_advice, token_rates
from tritforge.rtl.parts import PARTS
from tritforge.rtl.synthesis import Synthesis

START = {"cell": "link.core.core.loader.left[3]\\TRELLIS_FF", "port": "Q"}
END = {"cell": "link.core.core.sequencer.address[0]\\TRELLIS_FF", "port": "DI"}


def nextpnr_report(fmax: float, wanted: float, used: dict[str, int]) -> dict[str, Any]:
    """A report with one clock and one path."""
    available = {
        "TRELLIS_COMB": 83640, "TRELLIS_FF": 83640, "TRELLIS_RAMW": 10455, "DP16KD": 208, "MULT18X18D": 156,
        "EHXPLLL": 4, "TRELLIS_IO": 365, "ICESTORM_LC": 5280, "ICESTORM_RAM": 30, "ICESTORM_SPRAM": 4,
        "ICESTORM_DSP": 8, "ICESTORM_PLL": 1, "SB_IO": 39,
    }  # fmt: skip
    steps = [
        {"type": "clk-to-q", "delay": 0.5, "from": START, "to": START},
        {"type": "routing", "delay": 2.0, "from": START, "to": END},
        {"type": "setup", "delay": 0.1, "from": END, "to": END},
    ]
    return {
        "utilization": {
            kind: {"used": used.get(kind, 0), "available": number} for kind, number in available.items()
        },
        "fmax": {"clk": {"achieved": fmax, "constraint": wanted}},
        "critical_paths": [{"from": "posedge clk", "to": "posedge clk", "path": steps}],
    }


def make_build(name: str = "ulx3s", *, fmax: float = 160.0, dsp: int = 0, seeds: int = 1) -> FpgaBuild:
    """A board's design as if it had been routed."""
    board = BOARDS[name]
    clock = Fraction(150) if name == "ulx3s" else board.clock_mhz
    family = board.part.family
    used = {"TRELLIS_COMB": 20910, "TRELLIS_FF": 9000, "DP16KD": 104, "EHXPLLL": 1, "MULT18X18D": dsp}
    used |= {"ICESTORM_LC": 2640, "ICESTORM_RAM": 3, "ICESTORM_DSP": dsp}
    kinds = (
        {"CCU2C": 2091, "TRELLIS_FF": 9000} if family.name == "ecp5" else {"SB_CARRY": 528, "SB_DFF": 1320}
    )
    return FpgaBuild(
        design=FpgaDesign(
            name=name,
            title=f"{board.title} ({board.part.title})",
            part=board.part,
            config=PRESETS[name],
            clock_mhz=clock,
            source="",
            commands="",
            constraints="pins",
            board=board,
            pll=solve(family.name, board.reference_mhz, clock),
            baud=Fraction(board.baud),
        ),
        folder=Path("out"),
        synthesis=Synthesis(target=family.name, cells=kinds, netlist=Path("out/x.json")),
        report=nextpnr_report(fmax, float(clock), used),
        seed=1,
        tried={seed: fmax - seed + 1 for seed in range(1, seeds + 1)},
        bitstream=Path("out/x.bit") if fmax >= clock else None,
    )


def test_resources_are_those_of_the_routed_design_in_percent_of_the_part() -> None:
    found = {one.name: one for one in resources(make_build())}
    assert list(found)[:3] == ["LUTs", "carry cells", "FFs"]
    assert (found["LUTs"].used, found["LUTs"].total, found["LUTs"].percent) == (20910, 83640, 25.0)
    assert (found["carry cells"].used, found["carry cells"].total) == (2091, 41820)
    assert found["block RAMs"].percent == 50.0
    assert found["DSP multipliers"].used == 0
    ice = {one.name: one for one in resources(make_build("icebreaker", fmax=30))}
    assert (ice["LUTs"].percent, ice["carry cells"].percent, ice["FFs"].percent) == (50.0, 10.0, 25.0)


@pytest.mark.parametrize(("name", "kind"), [("ulx3s", "MULT18X18D"), ("icebreaker", "ICESTORM_DSP")])
def test_a_multiplier_in_the_design_is_an_error(name: str, kind: str) -> None:
    with pytest.raises(VerificationError, match=f"takes 2 {kind}; a ternary array needs none"):
        resources(make_build(name, dsp=2))


def test_rates_follow_from_clock_lanes_and_port() -> None:
    build = make_build()
    document = figures(build, [])
    assert document["ok"] is True
    assert document["ternary_operations_per_second"] == 64 * 8 * 150e6
    assert document["weight_bytes_per_second"] == 16 * 150e6
    assert document["multipliers"]["of_the_part"] == 156
    assert document["multipliers"]["ratio"] == pytest.approx(512 / 156, abs=1e-3)
    assert document["clock"]["reference_mhz"] == 25
    assert document["critical_path"]["end"]["block"] == "sequencer"


def test_figures_of_a_clock_that_does_not_close_are_at_what_it_reaches() -> None:
    document = figures(make_build(fmax=140.0), [])
    assert document["ok"] is False
    assert document["bitstream"] is None
    assert document["ternary_operations_per_second"] == 512 * 140e6


def test_tokens_are_bound_by_the_source_and_by_the_port() -> None:
    build = make_build()
    memory = BOARDS["ulx3s"].memory
    assert memory is not None
    models = [
        ModelBytes(name="small", bytes_per_token=50_000),
        ModelBytes(name="large", bytes_per_token=520_000_000),
    ]
    fast = replace(memory, name="fast", bytes_per_second=1e12, size_bytes=1 << 40)
    rates = {(rate.model, rate.source): rate for rate in token_rates(build, models, memories=[memory, fast])}
    store = "weight store on the chip"
    serial = "serial port at 3,000,000 baud"
    assert rates["small", store].tokens_per_second == 2.4e9 / 50_000
    assert ("large", store) not in rates
    assert rates["large", serial].tokens_per_second == pytest.approx(300_000 / 520e6)
    sdram = rates["large", memory.name]
    assert sdram.tokens_per_second == pytest.approx(286e6 / 520e6)
    assert not sdram.fits
    assert rates["small", memory.name].fits
    # The weight port takes no more than its width.
    assert rates["large", "fast"].tokens_per_second == pytest.approx(2.4e9 / 520e6)


def test_advice_says_by_how_much_where_and_what_to_change() -> None:
    assert timing_advice(make_build(fmax=139.9)) == (
        "timing fails on Radiona ULX3S-85F (LFE5U-85F speed grade 6): 139.9 MHz of 150 MHz, 0.48 ns too long in the "
        "sequencer; try more placements (--seeds 8), --freq 137.5 or fewer lanes (--set lanes=32)"
    )
    tried = timing_advice(make_build(fmax=140.0, seeds=8))
    assert "--seeds" not in tried
    board = make_build(fmax=140.0)
    core = replace(
        board, design=replace(board.design, board=None, pll=None, title="core", part=PARTS["ecp5-85k"])
    )
    assert "--freq 140 or fewer" in timing_advice(core)


def test_the_clock_that_advice_names_can_be_made() -> None:
    line = timing_advice(make_build("icebreaker", fmax=21.7))
    clock = Fraction(line.split("--freq ")[1].split()[0])
    assert clock <= Fraction("21.7")
    assert solve("ice40", Fraction(12), clock).output_mhz == clock


def test_the_page_tells_the_assumptions() -> None:
    build = make_build()
    memory = BOARDS["ulx3s"].memory
    assert memory is not None
    rates = token_rates(build, [ModelBytes(name="large", bytes_per_token=520_000_000)], memories=[memory])
    page = render(build, rates, memories=[memory])
    lines = page.splitlines()
    assert (
        "Clock: 150 MHz from the board's 25 MHz through the PLL; the routed design reaches 160.0 MHz: timing closes."
        in lines
    )
    (operations,) = [
        line for line in lines if line.startswith("Ternary operations: 512 a cycle (64 lanes x 8 rows")
    ]
    assert operations.endswith(", 76.8 Gop/s.")
    assert any("156 a cycle: the array does 3.28 times that." in line for line in lines)
    assert any(memory.source in line and "does not use it" in line for line in lines)
    (row,) = [line for line in lines if line.startswith("| large | SDRAM")]
    assert row.split("|")[-2].strip() == "0.55 *"
    assert "`*` The memory is too small for the model: this is the bound of its bandwidth alone." in lines
    assert lines[-1].startswith("From register link.core.core.loader.left[3] (weight loader) to register")
    # Every table is one: as many cells in each row.
    widths = [len(row) for row in lines if row.startswith("|")]
    assert len(set(widths)) <= 2


@pytest.mark.parametrize(
    ("value", "text"), [(76.8e9, "76.8 Gop/s"), (512, "512 op/s"), (1e3, "1 kop/s"), (2.5e12, "2.5 Top/s")]
)
def test_rates_have_decimal_prefixes(value: float, text: str) -> None:
    assert si(value, "op/s") == text
