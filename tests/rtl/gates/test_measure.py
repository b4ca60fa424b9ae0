"""A design at gates: whose registers are whose, and the whole way in the ASAP7 library."""

import re
from pathlib import Path

import numpy as np
import pytest
from asap7 import asap7_files
from gate_cells import netlist

from tritforge.accel.errors import InputError
from tritforge.rtl.gates.designs import choose, designs
from tritforge.rtl.gates.liberty import load_library
from tritforge.rtl.gates.measure import Conditions, Measurement, measure_design, register_groups, shortened
from tritforge.rtl.gates.operands import random_operands
from tritforge.rtl.gates.simulation import Stimulus
from tritforge.rtl.gates.stimulus import TOKENS


def test_a_register_belongs_to_the_port_that_it_stores() -> None:
    """Through an inverter or not; one that stores what a gate computes is a pipeline's, gates are logic."""
    gates = netlist(
        {"clk": [2], "acts": [3], "a": [4]},
        {"sum": [9]},
        {
            "direct": ("DFF", {"CLK": 2, "D": 3, "QN": 5}),
            "inverter": ("INV", {"A": 4, "Y": 6}),
            "behind": ("DFF", {"CLK": 2, "D": 6, "QN": 7}),
            "gate": ("NAND", {"A": 5, "B": 7, "Y": 8}),
            "late": ("DFF", {"CLK": 2, "D": 8, "QN": 9}),
        },
    )
    groups = register_groups(gates)
    found = dict(zip(gates.groups["DFF"].names, groups["DFF"].tolist(), strict=True))
    assert found == {"direct": "acts", "behind": "operands", "late": "pipeline"}
    assert groups["NAND"].tolist() == groups["INV"].tolist() == ["logic"]


def test_a_simulation_with_delays_takes_the_first_cycles_that_count() -> None:
    ports = {"a": np.arange(40 * 3 * 4, dtype=np.uint64).reshape(40, 3, 4)}
    few = shortened(Stimulus(ports=ports, warm_up=5), Conditions(glitch_streams=128))
    assert few.warm_up == 5
    assert np.array_equal(few.ports["a"], ports["a"][: 5 + TOKENS, :, :2])


def test_designs_are_chosen_by_name_in_their_own_order() -> None:
    names = [design.name for design in designs()]
    assert len(set(names)) == len(names)
    assert [design.name for design in choose(["mul-int8", "ternary-16"])] == ["ternary-16", "mul-int8"]
    assert [design.name for design in choose([])] == names
    message = f"design is 'int4'; it must be one of {', '.join(names)}"
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        choose(["int4"])


@pytest.mark.slow
def test_an_adder_in_asap7_takes_what_its_registers_and_gates_do(tmp_path: Path) -> None:
    """Twice the same, to the last digit; and a clock that it misses is refused."""
    library = load_library(asap7_files("SIMPLE", "INVBUF", "SEQ"), cache=tmp_path / "library")
    (design,) = choose(["add-int8"])
    operands = [random_operands(1, tokens=20, inputs=48)]

    def measured(folder: str, clock: float) -> Measurement:
        conditions = Conditions(clock_mhz=clock, streams=64)
        return measure_design(
            design, library=library, operands=operands, conditions=conditions, folder=tmp_path / folder
        )

    first = measured("first", 1000)
    assert first == measured("second", 1000)
    assert first.flip_flops == 24
    real, random = (first.energies[name] for name in ("real", "random"))
    # 24 flip-flops, each with over 1 fJ inside and some for its pin and wire in every cycle.
    assert 24 < real.parts["clock"] < 48
    assert real.total < random.total < 100
    assert real.wires["0"] < real.wires["0.5"] < real.total < real.wires["2"]
    assert set(real.groups) == {"ports", "operands", "pipeline", "logic"}
    assert sum(map(real.group, real.groups)) == pytest.approx(real.total)
    with pytest.raises(
        InputError, match=r"^add-int8 needs \d+ ps; a clock of 20000 MHz leaves 50: choose \d+ MHz"
    ):
        measured("third", 20_000)
