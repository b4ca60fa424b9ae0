"""nextpnr's paths in words: registers, LUTs, carry chains, memories, and delays that add up."""

import re
from typing import Any

import pytest

from tritforge.accel.errors import SimulationError
from tritforge.rtl.critical_path import block_of, critical_path


def step(kind: str, delay: float, start: str, end: str) -> dict[str, Any]:
    """A step of a path; `start` and `end` are ``cell:port``."""

    def place(text: str) -> dict[str, str]:
        cell, port = text.rsplit(":", 1)
        return {"cell": cell, "port": port}

    return {"type": kind, "delay": delay, "from": place(start), "to": place(end)}


def report(steps: list[dict[str, Any]], clock: str = "clk") -> dict[str, Any]:
    edge = f"posedge {clock}"
    return {"critical_paths": [{"from": edge, "to": edge, "path": steps}], "fmax": {clock: {}}}


START = "link.core.array.acc0.forward[2]\\TRELLIS_FF"
END = "link.core.array.acc3.$signal$8[14]\\TRELLIS_FF"
ECP5 = [
    step("clk-to-q", 0.5, f"{START}:Q", f"{START}:Q"),
    step("routing", 1.0, f"{START}:Q", "$abc$1:D"),
    step("logic", 0.2, "$abc$1:D", "$abc$1:F"),
    step("routing", 0.5, "$abc$1:F", "$abc$2:A"),
    step("logic", 0.2, "$abc$2:A", "$abc$2:F"),
    step("routing", 1.2, "$abc$2:F", "alu$CCU2_COMB0:A"),
    step("logic", 0.4, "alu$CCU2_COMB0:A", "alu$CCU2_COMB0:FCO"),
    step("routing", 0.0, "alu$CCU2_COMB0:FCO", "alu$CCU2_COMB1:FCI"),
    step("logic", 0.1, "alu$CCU2_COMB1:FCI", "alu$CCU2_COMB1:FCO"),
    step("routing", 0.0, "alu$CCU2_COMB1:FCO", "alu2$CCU2_COMB0:FCI"),
    step("logic", 0.4, "alu2$CCU2_COMB0:FCI", "alu2$CCU2_COMB0:F"),
    step("routing", 0.1, "alu2$CCU2_COMB0:F", f"{END}:DI"),
    step("setup", 0.0, f"{END}:DI", f"{END}:DI"),
]  # fmt: skip


def test_a_path_through_luts_and_a_carry_chain_is_told_from_register_to_register() -> None:
    path = critical_path(report(ECP5), "clk")
    assert path.stages == ("LUT", "LUT", "carry chain of 3 bits")
    assert path.logic_ns == pytest.approx(1.8)
    assert path.routing_ns == pytest.approx(2.8)
    assert str(path) == (
        "from register link.core.array.acc0.forward[2] (array) through 2 LUTs, a carry chain of 3 bits to "
        "register link.core.array.acc3 (array): 4.60 ns, 1.80 ns in cells and 2.80 ns on wires"
    )
    document = path.to_dict()
    assert document["words"] == str(path)
    assert document["delay_ns"] == 4.6
    assert document["start"]["block"] == "array"


def test_block_memories_and_controls_of_registers_are_named() -> None:
    steps = [
        step("clk-to-q", 5.7, "core.buffer.memory.0.0:DOA3", "core.buffer.memory.0.0:DOA3"),
        step("routing", 1.0, "core.buffer.memory.0.0:DOA3", "core.loader.full\\TRELLIS_FF:CE"),
        step("setup", 0.1, "core.loader.full\\TRELLIS_FF:CE", "core.loader.full\\TRELLIS_FF:CE"),
    ]
    path = critical_path(report(steps), "clk")
    assert path.start.kind == "block RAM"
    assert path.start.name == "core.buffer.memory"
    assert str(path).startswith(
        "from block RAM core.buffer.memory (activation buffer) to the clock enable of register core.loader.full "
        "(weight loader): 6.80 ns"
    )


def test_ice40_logic_cells_keep_the_register_s_name() -> None:
    cell = "link.core.sequencer.rest_SB_DFFSR_Q_23_D_SB_LUT4_O_LC"
    steps = [
        step("clk-to-q", 1.4, f"{cell}:O", f"{cell}:O"),
        step("routing", 1.8, f"{cell}:O", "a_LC:I2"),
        step("logic", 0.6, "a_LC:I2", "a_LC:COUT"),
        step("routing", 0.0, "a_LC:COUT", "b_LC:CIN"),
        step("logic", 0.3, "b_LC:CIN", "b_LC:COUT"),
        step("routing", 0.7, "b_LC:COUT", "core.queue.store_SB_SPRAM256KA:ADDRESS_3"),
        step("setup", 0.2, "core.queue.store_SB_SPRAM256KA:ADDRESS_3", "core.queue.store_SB_SPRAM256KA:ADDRESS_3"),
    ]  # fmt: skip
    path = critical_path(report(steps), "clk")
    assert (path.start.name, path.start.block) == ("link.core.sequencer.rest", "sequencer")
    assert (path.end.kind, path.end.block) == ("single-port RAM", "result queue")
    assert path.stages == ("carry chain of 2 bits",)


def test_a_register_without_a_name_is_told_by_its_cell() -> None:
    steps = [
        step("clk-to-q", 0.5, "$auto$ff.cc:337:slice$12:Q", "$auto$ff.cc:337:slice$12:Q"),
        step("setup", 0.0, "x\\TRELLIS_FF:DI", "x\\TRELLIS_FF:DI"),
    ]
    path = critical_path(report(steps), "clk")
    assert str(path.start) == "register $auto$ff.cc:337:slice$12 (unnamed logic)"
    assert str(path.end) == "register x (top)"


@pytest.mark.parametrize(
    ("name", "block"),
    [
        ("link.core.core.array.acc0.sum", "array"),
        ("link.uart.count", "UART"),
        ("link.state", "link"),
        ("link.unknown.state", "link"),
        ("some.where.state", "some.where"),
        ("state", "top"),
    ],
)
def test_the_block_is_the_outermost_that_is_known(name: str, block: str) -> None:
    assert block_of(name) == block


def test_the_slowest_of_several_paths_counts_and_other_clocks_do_not() -> None:
    slow = report(ECP5)
    fast = report(ECP5[:1] + ECP5[-1:])
    other = report([*ECP5, ECP5[1], ECP5[1]], clock="other")
    slow["critical_paths"] = fast["critical_paths"] + slow["critical_paths"] + other["critical_paths"]
    assert critical_path(slow, "clk").delay_ns == pytest.approx(4.6)


def test_a_report_without_the_clock_is_an_error() -> None:
    line = "nextpnr's report has no path of clock fast; look into its log"
    with pytest.raises(SimulationError, match=f"^{re.escape(line)}$"):
        critical_path(report(ECP5), "fast")
