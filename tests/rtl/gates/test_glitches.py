"""Activity with delays: glitches by hand, and every waveform against streams simulated one by one."""

import re
from typing import Any

import numpy as np
import pytest
from gate_cells import CELLS, netlist, random_module
from gate_reference import Reference, transitions
from numpy.typing import NDArray

from tritforge.accel.errors import InputError
from tritforge.rtl.gates.glitches import DelayedRun, simulate_delays
from tritforge.rtl.gates.netlist import GateNetlist, WireLoad
from tritforge.rtl.gates.power import OperatingPoint, estimate_power
from tritforge.rtl.gates.simulation import Stimulus, pack, simulate


def _equal_streams(x: list[list[int]]) -> Stimulus:
    return Stimulus(ports={"x": pack(np.repeat(np.array(x)[:, :, np.newaxis], 64, axis=2))})


def _pulse(delay_ps: float, **options: Any) -> tuple[GateNetlist, DelayedRun]:
    """Run x ^ !x, whose second input is late by an inverter: a pulse as long as its delay; the gate takes 20 ps."""
    design = netlist(
        {"x": [3]}, {"y": [5]}, {"i": ("INV", {"A": 3, "Y": 4}), "g": ("XOR", {"A": 3, "B": 4, "Y": 5})}
    )
    delays = {
        "INV": {("A", "Y"): np.array([[delay_ps, delay_ps]])},
        "XOR": {(pin, "Y"): np.array([[20.0, 20.0]]) for pin in "AB"},
    }
    return design, simulate_delays(design, _equal_streams([[1], [0], [0]]), delays, period_ps=500, **options)


@pytest.mark.parametrize(("delay_ps", "inertial"), [(18.0, 0), (20.0, 2)])
def test_a_pulse_narrower_than_the_gate_is_dropped_by_inertial_delays_alone(
    delay_ps: float, inertial: int
) -> None:
    """The output is 1 in every settled state and drops for a moment in the two cycles in which x changes."""
    design, run = _pulse(delay_ps)
    (y,) = design.groups["XOR"].nets["Y"]
    assert run.settled.rises[y] == run.settled.falls[y] == 0
    assert run.delayed["transport"].rises[y] == run.delayed["transport"].falls[y] == 2 * 64
    assert run.delayed["inertial"].rises[y] == run.delayed["inertial"].falls[y] == inertial * 64
    for activity in (run.settled, *run.delayed.values()):
        assert activity.cycles == 3 * 64
        assert activity.high[y] == 1


def test_the_energy_of_a_glitch_by_hand() -> None:
    """Every change of x makes Y fall and rise.

    A = x, B = !x. x rises: A rises where B is 1: Y falls, 2 fJ; then B falls where A is 1: Y rises, 16. x falls: A
    falls where B is 0: Y falls, 8; then B rises where A is 0: Y rises, 64. Nothing loads Y.
    """
    design, run = _pulse(30.0, modes=["transport"])
    point = OperatingPoint(
        voltage=1.0,
        period_ps=500.0,
        loads=design.loads(WireLoad(base_fF=0, per_sink_fF=0)),
        slews=np.full((design.size, 2), 10.0),
    )
    report = estimate_power(design, run.delayed["transport"], point, settled=run.settled)
    assert report.energy.glitch == pytest.approx((2 + 16 + 8 + 64) / 3 * 1e-15, rel=1e-12)
    # The inverter's two transitions, 1.0 and 0.5, are no glitches.
    assert report.energy.internal == pytest.approx(1.5 / 3 * 1e-15, rel=1e-12)


def _random_delays(design: GateNetlist, seed: int) -> tuple[dict[str, Any], dict[Any, int]]:
    """Return delays of 1 to 6 steps of 2 ps in arrays and by instance; flip-flops take 10 to 15."""
    random = np.random.default_rng(seed)
    arrays: dict[str, Any] = {}
    steps: dict[Any, int] = {}
    for kind, group in design.groups.items():
        first = 10 if group.cell.flip_flop else 1
        for output in group.cell.outputs:
            for pin in ["CLK"] if group.cell.flip_flop else group.cell.inputs:
                values = random.integers(first, first + 6, group.size)
                arrays.setdefault(kind, {})[pin, output] = np.stack(
                    [2.0 * values - 0.5, 2.0 * values + 0.5], axis=1
                )
                steps |= {
                    (name, pin, output): int(value) for name, value in zip(group.names, values, strict=True)
                }
    return arrays, steps


@pytest.mark.parametrize("seed", range(2))
def test_every_transition_equals_that_of_streams_simulated_one_by_one(seed: int) -> None:
    """Four streams, each of them sixteen times."""
    content = random_module(seed, gates=30, flip_flops=5)
    design = GateNetlist.from_module(content, name="top", library=CELLS)
    arrays, steps = _random_delays(design, seed)
    bits = np.random.default_rng(seed).integers(0, 2, (3, 4, 4))
    stimulus = Stimulus(ports={"x": pack(np.tile(bits, 16))}, warm_up=1)
    run = simulate_delays(design, stimulus, arrays, period_ps=1000.0, arrival_ps=13.0)
    settled = simulate(design, stimulus).activity
    assert np.array_equal(run.settled.toggles, settled.toggles)
    sums = [
        activity.toggles.sum() for activity in (settled, run.delayed["inertial"], run.delayed["transport"])
    ]
    assert sums[0] < sums[1] < sums[2]
    for mode, activity in run.delayed.items():
        counts = _count_one_by_one(content, bits, steps, inertial=mode == "inertial")
        for group in design.groups.values():
            for pin, nets in group.nets.items():
                for net, name in zip(nets, group.names, strict=True):
                    expected = (
                        counts[content["cells"][name]["connections"][pin][0]] if pin != "CLK" else (8, 8)
                    )
                    assert [activity.rises[net], activity.falls[net]] == [16 * count for count in expected]


def _count_one_by_one(
    content: dict[str, Any], bits: NDArray[np.int64], steps: dict[Any, int], *, inertial: bool
) -> dict[Any, NDArray[np.int64]]:
    """Return rises and falls of every net after the first cycle."""
    counts: dict[Any, NDArray[np.int64]] = {}
    for stream in range(bits.shape[2]):
        reference = Reference(content)
        for cycle in range(bits.shape[0]):
            before, after = reference.step({"x": bits[cycle, :, stream].tolist()})
            # 13 ps are 6.5 steps, and rounded to even.
            waves = reference.waveforms(before, after, steps, steps=120, arrival=6, inertial=inertial)
            for net, wave in waves.items():
                assert wave[-1] == after[net]
                if cycle:
                    counts[net] = counts.get(net, np.zeros(2, np.int64)) + transitions(wave)
    return counts


def test_without_skew_the_activity_is_that_without_delays() -> None:
    """All paths of a chain are equal: events of the cells and of the flip-flops are those of zero delays."""
    cells: dict[str, Any] = {
        "r": ("DFF", {"CLK": 2, "D": 6, "QN": 4}),
        "i": ("INV", {"A": 4, "Y": 5}),
        "j": ("NAND", {"A": 5, "B": "1", "Y": 6}),
    }
    design = netlist({"clk": [2], "x": [3]}, {}, cells)
    delays = {
        "DFF": {("CLK", "QN"): np.array([[40.0, 40.0]])},
        "INV": {("A", "Y"): np.array([[10.0, 10.0]])},
        "NAND": {(pin, "Y"): np.array([[10.0, 10.0]]) for pin in "AB"},
    }
    run = simulate_delays(design, _equal_streams([[0]] * 6), delays, period_ps=500)
    for activity in run.delayed.values():
        assert np.array_equal(activity.rises, run.settled.rises)
        for kind in cells.values():
            assert np.array_equal(activity.groups[kind[0]].tables, run.settled.groups[kind[0]].tables)


def test_data_that_comes_after_the_clock_falls_is_charged_so() -> None:
    """D changes 60 ps after the edge: the clock of 200 ps is high then, that of 100 ps is low."""
    design = netlist({"clk": [2], "x": [3]}, {}, {"r": ("DFF", {"CLK": 2, "D": 3, "QN": 4})})
    delays = {"DFF": {("CLK", "QN"): np.array([[40.0, 40.0]])}}
    stimulus = _equal_streams([[1], [0]])
    for period_ps, expected in ((200.0, [[1, 1], [0, 0]]), (100.0, [[0, 0], [1, 1]])):
        run = simulate_delays(
            design, stimulus, delays, period_ps=period_ps, arrival_ps=60, modes=["transport"]
        )
        tables = run.delayed["transport"].groups["DFF"].tables[:, :, 0] // 64
        assert tables[5:].tolist() == expected
        # The clock falls in both cycles, with the data of this cycle or of the last.
        assert tables[1:5, 1].sum() == 2


def test_wrong_options_are_refused() -> None:
    with pytest.raises(
        InputError, match=re.escape("mode 'ideal' of delays is unknown; choose from transport, inertial")
    ):
        _pulse(10, modes=["ideal"])
    with pytest.raises(InputError, match=r"^step_ps is 0; it must be above 0$"):
        _pulse(10, step_ps=0)


def test_progress_is_told_cycle_by_cycle() -> None:
    seen: list[int] = []
    _pulse(10, progress=seen.append)
    assert seen == [1, 2, 3]
