"""PLLs of Lattice FPGAs: dividers that give a clock exactly, and the cell that holds them.

Frequencies are exact fractions of a MHz: a clock that is only near the one asked for makes a UART's baud rate wrong
and a timing report true of another design.

Ranges and formulas are the vendor's: "ECP5 and ECP5-5G Family Data Sheet" (FPGA-DS-02012) and "ECP5 and ECP5-5G
sysCLOCK PLL/DLL Design and Usage Guide" (FPGA-TN-02200); "iCE40 UltraPlus Family Data Sheet" (FPGA-DS-02008) and
"iCE40 sysCLOCK PLL Design and User Guide" (FPGA-TN-02052).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from math import ceil, floor
from typing import ClassVar

from amaranth.hdl import Const, Instance, Signal, Value

from tritforge.accel.errors import InputError


def megahertz(value: Fraction) -> str:
    """Return a frequency as text, exact for those that decimals can say."""
    return f"{float(value):.10g} MHz"


def _decimal(value: Fraction) -> bool:
    """Return whether four decimals say a frequency exactly, so that it can be typed."""
    return (value * 10_000).denominator == 1


@dataclass(frozen=True, kw_only=True)
class Range:
    """Frequencies from `low` to `high`, MHz."""

    low: Fraction
    high: Fraction

    def __contains__(self, value: Fraction) -> bool:
        return self.low <= value <= self.high

    def __str__(self) -> str:
        return f"{float(self.low):g} to {float(self.high):g} MHz"


@dataclass(frozen=True, kw_only=True)
class Ecp5Pll:
    """EHXPLLL of ECP5, with its output CLKOP as feedback.

    Attributes
    ----------
    input_mhz
        Reference clock, MHz.
    refclk_div, feedback_div, op_div
        CLKI_DIV and CLKFB_DIV (1 to 80) and CLKOP_DIV (1 to 128): CLKOP is ``input / refclk_div * feedback_div``,
        the oscillator (VCO) `op_div` times that.
    os_div
        CLKOS_DIV (1 to 128) where the clock is CLKOS, the VCO over `os_div`; None where it is CLKOP itself.
    """

    input_mhz: Fraction
    refclk_div: int
    feedback_div: int
    op_div: int
    os_div: int | None = None

    INPUT: ClassVar[Range] = Range(low=Fraction(8), high=Fraction(400))
    PFD: ClassVar[Range] = Range(low=Fraction(10), high=Fraction(400))
    VCO: ClassVar[Range] = Range(low=Fraction(400), high=Fraction(800))
    OUTPUT: ClassVar[Range] = Range(low=Fraction(25, 8), high=Fraction(400))

    @property
    def pfd_mhz(self) -> Fraction:
        """Frequency at which the phases are compared."""
        return self.input_mhz / self.refclk_div

    @property
    def vco_mhz(self) -> Fraction:
        """Frequency of the oscillator."""
        return self.pfd_mhz * self.feedback_div * self.op_div

    @property
    def output_mhz(self) -> Fraction:
        """The clock."""
        return self.vco_mhz / (self.os_div or self.op_div)

    @classmethod
    def settings(cls, input_mhz: Fraction) -> Iterator["Ecp5Pll"]:
        """Yield the settings within the ranges, CLKOP as the clock, the highest frequency of comparison first."""
        for refclk_div in range(1, 81):
            pfd = input_mhz / refclk_div
            for feedback_div in range(1, 81):
                output = pfd * feedback_div
                if pfd not in cls.PFD or output not in cls.OUTPUT:
                    continue
                lowest, highest = ceil(cls.VCO.low / output), floor(cls.VCO.high / output)
                for op_div in range(max(1, lowest), min(128, highest) + 1):
                    yield cls(
                        input_mhz=input_mhz,
                        refclk_div=refclk_div,
                        feedback_div=feedback_div,
                        op_div=op_div,
                    )

    def variants(self) -> Iterator["Ecp5Pll"]:
        """Yield the settings that give another clock from the same oscillator."""
        for os_div in range(1, 129):
            if self.vco_mhz / os_div in self.OUTPUT:
                yield replace(self, os_div=os_div)

    def rank(self) -> tuple[bool, int, Fraction]:
        """Return what makes a setting better, least first: a single output, little division, a centred oscillator."""
        middle = (self.VCO.low + self.VCO.high) / 2
        return self.os_div is not None, self.refclk_div, abs(self.vco_mhz - middle)

    def instance(self, reference: Value, clock: Signal, locked: Signal) -> Instance:
        """Return the cell: reference clock in, `clock` and `locked` out."""
        feedback = clock if self.os_div is None else Signal(name="pll_feedback")
        second = {} if self.os_div is None else {"o_CLKOS": clock}
        dividers = {"OP": self.op_div, **({"OS": self.os_div} if self.os_div else {})}
        outputs: dict[str, str | int] = {}
        for name, divider in dividers.items():
            # Phase 0: the edge comes with the last count of the divider.
            outputs |= {
                f"p_CLK{name}_ENABLE": "ENABLED",
                f"p_CLK{name}_DIV": divider,
                f"p_CLK{name}_CPHASE": divider - 1,
                f"p_CLK{name}_FPHASE": 0,
            }
        return Instance(
            "EHXPLLL",
            # Currents and resistors that Lattice's tools set for this range.
            a_ICP_CURRENT="12",
            a_LPF_RESISTOR="8",
            a_MFG_ENABLE_FILTEROPAMP="1",
            a_MFG_GMCREF_SEL="2",
            p_PLLRST_ENA="DISABLED",
            p_INTFB_WAKE="DISABLED",
            p_STDBY_ENABLE="DISABLED",
            p_DPHASE_SOURCE="DISABLED",
            p_FEEDBK_PATH="CLKOP",
            p_CLKI_DIV=self.refclk_div,
            p_CLKFB_DIV=self.feedback_div,
            **outputs,
            **{f"i_{name}": Const(0) for name in ("RST", "STDBY", "PHASESEL0", "PHASESEL1", "PHASEDIR")},
            **{f"i_{name}": Const(0) for name in ("PHASESTEP", "PHASELOADREG", "PLLWAKESYNC", "ENCLKOP")},
            i_CLKI=reference,
            i_CLKFB=feedback,
            o_CLKOP=feedback,
            **second,
            o_LOCK=locked,
        )


@dataclass(frozen=True, kw_only=True)
class Ice40Pll:
    """SB_PLL40_PAD of iCE40 in its simple mode, fed by its own pin.

    Attributes
    ----------
    input_mhz
        Reference clock, MHz.
    divr, divf, divq
        DIVR (0 to 15), DIVF (0 to 127) and DIVQ (1 to 6): the phases are compared at ``input / (divr + 1)``, the
        oscillator runs at `divf` + 1 times that, and the clock is the oscillator over ``2**divq``.
    """

    input_mhz: Fraction
    divr: int
    divf: int
    divq: int

    INPUT: ClassVar[Range] = Range(low=Fraction(10), high=Fraction(133))
    PFD: ClassVar[Range] = Range(low=Fraction(10), high=Fraction(133))
    VCO: ClassVar[Range] = Range(low=Fraction(533), high=Fraction(1066))
    OUTPUT: ClassVar[Range] = Range(low=Fraction(16), high=Fraction(275))
    #: Frequencies of comparison, MHz, up to which the loop filter has range 1, 2, ...; 6 above the last.
    FILTERS: ClassVar[tuple[int, ...]] = (17, 26, 44, 66, 101)

    @property
    def pfd_mhz(self) -> Fraction:
        """Frequency at which the phases are compared."""
        return self.input_mhz / (self.divr + 1)

    @property
    def vco_mhz(self) -> Fraction:
        """Frequency of the oscillator."""
        return self.pfd_mhz * (self.divf + 1)

    @property
    def output_mhz(self) -> Fraction:
        """The clock."""
        return self.vco_mhz / (1 << self.divq)

    @property
    def filter_range(self) -> int:
        """FILTER_RANGE."""
        return 1 + sum(self.pfd_mhz >= limit for limit in self.FILTERS)

    @classmethod
    def settings(cls, input_mhz: Fraction) -> Iterator["Ice40Pll"]:
        """Yield the settings within the ranges, the highest frequency of comparison first."""
        for divr in range(16):
            for divf in range(128):
                for divq in range(1, 7):
                    pll = cls(input_mhz=input_mhz, divr=divr, divf=divf, divq=divq)
                    if pll.pfd_mhz in cls.PFD and pll.vco_mhz in cls.VCO and pll.output_mhz in cls.OUTPUT:
                        yield pll

    def variants(self) -> Iterator["Ice40Pll"]:
        """Yield nothing: the cell has one output."""
        return iter(())

    def rank(self) -> tuple[int]:
        """Return what makes a setting better, least first: the less the reference is divided."""
        return (self.divr,)

    def instance(self, reference: Value, clock: Signal, locked: Signal) -> Instance:
        """Return the cell: reference clock in, `clock` and `locked` out."""
        return Instance(
            "SB_PLL40_PAD",
            p_FEEDBACK_PATH="SIMPLE",
            p_DIVR=Const(self.divr, 4),
            p_DIVF=Const(self.divf, 7),
            p_DIVQ=Const(self.divq, 3),
            p_FILTER_RANGE=Const(self.filter_range, 3),
            i_PACKAGEPIN=reference,
            i_RESETB=Const(1),
            i_BYPASS=Const(0),
            o_PLLOUTGLOBAL=clock,
            o_LOCK=locked,
        )


Pll = Ecp5Pll | Ice40Pll

#: PLLs by FPGA family.
PLLS: dict[str, type[Ecp5Pll] | type[Ice40Pll]] = {"ecp5": Ecp5Pll, "ice40": Ice40Pll}


def solve(family: str, input_mhz: Fraction, output_mhz: Fraction) -> Pll:
    """Return the PLL that makes a clock exactly.

    Parameters
    ----------
    family
        A key of `PLLS`.
    input_mhz, output_mhz
        Reference clock and the clock that is wanted, MHz.

    Raises
    ------
    InputError
        A frequency out of its range, or no dividers give it; the message names the nearest ones that can be had.
    """
    kind = PLLS[family]
    for what, value, allowed in (
        ("reference clock", input_mhz, kind.INPUT),
        ("clock", output_mhz, kind.OUTPUT),
    ):
        if value not in allowed:
            raise InputError(f"the {what} is {megahertz(value)}; the PLL of {family} takes {allowed}")
    plain: list[Pll] = list(kind.settings(input_mhz))
    exact = [pll for pll in plain if pll.output_mhz == output_mhz] or [
        pll for pll in _variants(plain) if pll.output_mhz == output_mhz
    ]
    if exact:
        return min(exact, key=lambda pll: pll.rank())
    reachable = {pll.output_mhz for pll in (*plain, *_variants(plain)) if _decimal(pll.output_mhz)}
    below = max((value for value in reachable if value < output_mhz), default=None)
    above = min((value for value in reachable if value > output_mhz), default=None)
    nearest = [megahertz(value) for value in (below, above) if value]
    raise InputError(
        f"no PLL setting of {family} makes {megahertz(output_mhz)} of {megahertz(input_mhz)} exactly; "
        f"the nearest {'are' if len(nearest) > 1 else 'is'} {' and '.join(nearest)}"
    )


def nearest_below(family: str, input_mhz: Fraction, limit_mhz: float) -> Fraction | None:
    """Return the highest clock of four decimals that the PLL makes and that is not above a limit, or None."""
    plain: list[Pll] = list(PLLS[family].settings(input_mhz))
    clocks = (pll.output_mhz for pll in (*plain, *_variants(plain)))
    return max((clock for clock in clocks if clock <= limit_mhz and _decimal(clock)), default=None)


def _variants(settings: Sequence[Pll]) -> Iterator[Pll]:
    """Yield the settings that give other clocks from the same oscillators."""
    for setting in settings:
        yield from setting.variants()
