"""Simulation without delays: against streams simulated one by one, and the order of what happens in a cycle."""

import re
from typing import Any

import numpy as np
import pytest
from gate_cells import CELLS, netlist, random_module
from gate_reference import Reference
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tritforge.accel.errors import InputError
from tritforge.rtl.gates.activity import power_tables
from tritforge.rtl.gates.netlist import GateNetlist
from tritforge.rtl.gates.simulation import Stimulus, pack, port_bits, port_values, simulate, unpack


@given(st.integers(1, 3), st.integers(0, 2**32 - 1))
@settings(max_examples=20, deadline=None)
def test_words_hold_the_streams_bits(words: int, seed: int) -> None:
    bits = np.random.default_rng(seed).integers(0, 2, (3, 5, 64 * words)).astype(bool)
    packed = pack(bits)
    assert packed.shape == (3, 5, words)
    assert packed[1, 2, words - 1] >> np.uint64(5) & np.uint64(1) == bits[1, 2, 64 * (words - 1) + 5]
    assert np.array_equal(unpack(packed), bits)


@pytest.mark.parametrize("streams", [0, 1, 63, 65])
def test_streams_fill_words(streams: int) -> None:
    with pytest.raises(InputError, match=f"^there are {streams} streams; give a multiple of 64$"):
        pack(np.zeros((1, streams), bool))


def test_a_port_holds_lanes_side_by_side() -> None:
    values = np.random.default_rng(1).integers(-8, 8, (5, 3, 64))
    bits = port_bits(values, 4)
    assert bits.shape == (5, 12, 1)
    for lane in range(3):
        assert np.array_equal(port_values(bits[:, 4 * lane : 4 * lane + 4], signed=True), values[:, lane])
    assert np.array_equal(port_values(bits[:, :4]), values[:, 0] % 16)
    assert np.array_equal(port_bits(values[:, 0], 4), bits[:, :4])


def _references(
    content: dict[str, Any], bits: NDArray[np.int64], warm_up: int
) -> tuple[list[Reference], list[list[tuple[dict[Any, int], dict[Any, int]]]]]:
    """Simulate streams one by one; return the values before and after each cycle that is counted."""
    references = [Reference(content) for _ in range(bits.shape[2])]
    cycles = []
    for cycle in range(bits.shape[0]):
        steps = [
            reference.step({"x": bits[cycle, :, stream].tolist()})
            for stream, reference in enumerate(references)
        ]
        if cycle >= warm_up:
            cycles.append([(before, dict(after)) for before, after in steps])
    return references, cycles


@pytest.mark.parametrize("seed", range(4))
def test_every_transition_equals_that_of_streams_simulated_one_by_one(seed: int) -> None:
    content = random_module(seed, gates=60, flip_flops=6)
    design = GateNetlist.from_module(content, name="top", library=CELLS)
    bits = np.random.default_rng(seed).integers(0, 2, (7, 4, 64))
    run = simulate(design, Stimulus(ports={"x": pack(bits)}, warm_up=2))
    references, cycles = _references(content, bits, 2)
    activity = run.activity
    assert activity.cycles == 5 * 64
    for kind, group in design.groups.items():
        for key, nets in group.nets.items():
            for place, name in enumerate(group.names):
                net = content["cells"][name]["connections"][key][0]
                if key == "CLK":
                    continue
                pairs = [(before[net], after[net]) for steps in cycles for before, after in steps]
                assert activity.rises[nets[place]] == pairs.count((0, 1)), (kind, name, key)
                assert activity.falls[nets[place]] == pairs.count((1, 0)), (kind, name, key)
                assert activity.high[nets[place]] == sum(after for _, after in pairs) / activity.cycles
    assert activity.rises[design.clock] == activity.falls[design.clock] == activity.cycles
    y = content["ports"]["y"]["bits"]
    last = [[reference.values[net] for reference in references] for net in y]
    assert np.array_equal(unpack(run.outputs["y"][-1]), np.array(last, bool))
    assert run.outputs["y"].shape == (7, 4, 1)


def _events(
    cells: dict[str, Any], x: list[list[int]], kind: str, *, warm_up: int = 0
) -> dict[Any, tuple[int, int]]:
    """Return by pin, related pin and place how often the tables of a cell are candidates, in each of 64 streams."""
    ports = {"x": list(range(3, 3 + len(x[0])))}
    design = netlist({"clk": [2], **ports} if kind == "DFF" else ports, {}, cells)
    bits = np.repeat(np.array(x)[:, :, np.newaxis], 64, axis=2)
    activity = simulate(design, Stimulus(ports={"x": pack(bits)}, warm_up=warm_up)).activity
    counts = activity.groups[kind].tables[:, :, 0]
    assert not np.any(counts % 64)
    return {
        (table.pin, table.related, index): (int(rise) // 64, int(fall) // 64)
        for index, (table, (rise, fall)) in enumerate(zip(power_tables(CELLS[kind]), counts, strict=True))
        if rise or fall
    }


def test_an_input_without_an_effect_is_an_event_of_its_own() -> None:
    """x = (A, B): B stays 0 while A rises and falls; then both rise, and the output falls for both."""
    x = [[0, 0], [1, 0], [0, 0], [1, 1]]
    events = _events({"g": ("NAND", {"A": 3, "B": 4, "Y": 5})}, x, "NAND")
    # The last step has an output that falls, so that no input changes without an effect.
    assert events == {("Y", "A", 0): (0, 1), ("Y", "B", 1): (0, 1), ("A", None, 2): (1, 1)}


def test_conditions_are_those_before_the_transition() -> None:
    """A rises where B is 0 and falls where it is 1; with both at once the output does not change."""
    x = [[1, 0], [1, 1], [0, 1], [1, 0]]
    events = _events({"g": ("XOR", {"A": 3, "B": 4, "Y": 5})}, x, "XOR")
    assert events == {("Y", "A", 1): (1, 0), ("Y", "B", 2): (0, 1), ("Y", "A", 0): (1, 0)}


def test_a_flip_flop_sees_the_clock_rise_the_data_change_and_the_clock_fall() -> None:
    """The data goes 0, 1, 1, 0 and QN, its complement a cycle later, shows 1, 1, 0, 0."""
    events = _events({"r": ("DFF", {"CLK": 2, "D": 3, "QN": 4})}, [[0], [1], [1], [0]], "DFF")
    assert events == {
        # At power-up QN shows 0, and rises with the first edge; the data's 1 makes it fall with the third.
        ("QN", "CLK", 0): (1, 1),
        # CLK rises with D, QN = 00, 01, 11, 10, where only the second and the fourth leave QN alone (tables 3 and 2).
        # It falls with 01, 11, 10, 00.
        ("CLK", None, 1): (0, 1),
        ("CLK", None, 2): (1, 1),
        ("CLK", None, 3): (1, 1),
        ("CLK", None, 4): (0, 1),
        # The data changes while the clock is high.
        ("D", None, 5): (1, 1),
    }


def test_states_of_leakage_share_the_time() -> None:
    design = netlist(
        {"clk": [2], "x": [3]},
        {},
        {"r": ("DFF", {"CLK": 2, "D": 3, "QN": 4}), "i": ("INV", {"A": 3, "Y": 5})},
    )
    bits = np.zeros((2, 1, 64), int)
    bits[1, 0, :16] = 1
    activity = simulate(design, Stimulus(ports={"x": pack(bits)})).activity
    assert activity.groups["INV"].states[:, 0].tolist() == [0.25, 0.75]
    assert activity.groups["DFF"].states[:, 0].tolist() == [0.125, 0.125]


def test_progress_is_told_cycle_by_cycle() -> None:
    design = netlist({"x": [2]}, {"y": [3]}, {"i": ("INV", {"A": 2, "Y": 3})})
    seen: list[int] = []
    simulate(design, Stimulus(ports={"x": pack(np.zeros((3, 1, 64)))}), progress=seen.append)
    assert seen == [1, 2, 3]


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "a missing port": ({"z": (3, 1, 1)}, "the stimulus has ports z; top needs x"),
    "another width": ({"x": (3, 2, 1)}, "bits of port x have shape (2, 1); top needs (1, 1)"),
    "no ports": ({}, "the stimulus has no ports; give every input but the clock"),
    "no cycles": ({"x": (0, 1, 1)}, "bits of port x have shape (0, 1, 1); it must be (cycles, width, words)"),
    "other cycles": (
        {"x": (3, 1, 1), "y": (4, 1, 1)},
        "bits of the ports have shapes {'x': (3, 1, 1), 'y': (4, 1, 1)}; cycles and words must be the same for all",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_a_stimulus_that_does_not_fit_is_refused(name: str) -> None:
    shapes, message = BAD[name]
    design = netlist({"clk": [2], "x": [3]}, {}, {"r": ("DFF", {"CLK": 2, "D": 3, "QN": 4})})
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        simulate(design, Stimulus(ports={port: np.zeros(shape, np.uint64) for port, shape in shapes.items()}))


@pytest.mark.parametrize("warm_up", [-1, 3])
def test_a_cycle_must_be_left_after_the_warm_up(warm_up: int) -> None:
    message = f"warm_up is {warm_up}; it must be 0 to 2, below the number of cycles"
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        Stimulus(ports={"x": np.zeros((3, 1, 1), np.uint64)}, warm_up=warm_up)
