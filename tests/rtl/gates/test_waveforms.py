"""Waveforms: which pulses get through, and when nets may change."""

import re

import numpy as np
import pytest
from gate_cells import netlist
from gate_reference import without_narrow_pulses
from hypothesis import given, settings
from hypothesis import strategies as st

from tritforge.accel.errors import InputError
from tritforge.rtl.gates.netlist import GateNetlist
from tritforge.rtl.gates.simulation import pack, unpack
from tritforge.rtl.gates.waveforms import WaveformPlan, drop_pulses


@given(st.integers(1, 40), st.integers(1, 9), st.floats(0.02, 0.98), st.integers(0, 2**32 - 1))
@settings(max_examples=15, deadline=None)
def test_pulses_are_dropped_as_one_by_one(steps: int, widest: int, share: float, seed: int) -> None:
    random = np.random.default_rng(seed)
    # Changes rather than values, so that there are pulses of all widths.
    waves = np.cumsum(random.random((3, steps, 64)) < share, axis=1) % 2
    width = random.integers(1, widest + 1, 3)
    result = unpack(drop_pulses(pack(waves), width))
    for instance in range(3):
        for stream in range(0, 64, 4):
            expected = without_narrow_pulses(waves[instance, :, stream].tolist(), int(width[instance]))
            assert result[instance, :, stream].tolist() == expected


def _chain() -> GateNetlist:
    """Return a flip-flop, two inverters in a row and an exclusive or of both ends; the delays are in `DELAYS`."""
    return netlist(
        {"clk": [2], "x": [3]},
        {"y": [7]},
        {
            "r": ("DFF", {"CLK": 2, "D": 7, "QN": 4}),
            "i": ("INV", {"A": 4, "Y": 5}),
            "j": ("INV", {"A": 5, "Y": 6}),
            "g": ("XOR", {"A": 4, "B": 6, "Y": 7}),
        },
    )


#: The inverters i and j take 10 and 14 ps, the mean of their edges.
DELAYS = {
    "DFF": {("CLK", "QN"): np.array([[38.0, 42.0]])},
    "INV": {("A", "Y"): np.array([[8.0, 12.0], [np.nan, 14.0]])},
    "XOR": {("A", "Y"): np.array([[20.0, 20.0]]), ("B", "Y"): np.array([[30.0, 30.0]])},
}


def test_a_waveform_spans_the_time_in_which_its_net_may_change() -> None:
    design = _chain()
    plan = WaveformPlan(design, DELAYS, period_ps=200, step_ps=2, arrival_ps=None)
    lengths = {int(net): output.block.length for output in plan.outputs for net in output.block.nets}
    (i, j), (g,) = design.groups["INV"].nets["Y"], design.groups["XOR"].nets["Y"]
    # One change at 50 ps and at 64 ps; from 40 + 20 to 64 + 30 ps, and the row before.
    assert lengths == {i: 2, j: 2, g: (94 - 60) // 2 + 2}
    assert plan.rows == sum(lengths.values()) + 2 + 2 * (
        2 + design.inputs["clk"].size + design.inputs["x"].size
    )
    # The shorter of the two delays of the last gate.
    assert plan.outputs[-1].width.tolist() == [10]


def test_the_clock_falls_in_the_middle_of_the_period() -> None:
    (data,) = WaveformPlan(_chain(), DELAYS, period_ps=160, step_ps=2, arrival_ps=None).flip_flops
    # Row 0 is before 60 ps; changes from 60 to 78 ps come while the clock is high, those up to 94 ps later.
    high = (data.is_high[0, :, 0] != 0).tolist()
    assert high == [True] * 10 + [False] * 8
    # What holds at 80 ps: the row of 11 steps from 60 ps.
    assert data.at_fall["D"] == [data.rows["D"][0, 0] + 11]


def test_logic_must_settle_in_the_period() -> None:
    message = (
        "top settles 94 ps after the clock's edge, later than its period of 93 ps; choose a slower clock"
    )
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        WaveformPlan(_chain(), DELAYS, period_ps=93, step_ps=2, arrival_ps=None)
    WaveformPlan(_chain(), DELAYS, period_ps=94, step_ps=2, arrival_ps=None)


@pytest.mark.parametrize("missing", [{}, {("A", "Y"): np.array([[1.0, 1.0], [np.nan, np.nan]])}])
def test_every_arc_needs_a_delay(missing: dict[tuple[str, str], np.ndarray]) -> None:
    message = "there is no delay from A to Y of INV; the library must have every arc"
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        WaveformPlan(_chain(), {**DELAYS, "INV": missing}, period_ps=200, step_ps=2, arrival_ps=None)
