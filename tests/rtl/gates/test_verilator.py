"""Transitions of every net against Verilator, with models of the cells that are written in Verilog."""

import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
from gate_cells import CELLS, random_module
from numpy.typing import NDArray

from tritforge.rtl.gates.netlist import GateNetlist
from tritforge.rtl.gates.simulation import Stimulus, pack, simulate
from tritforge.rtl.tools import verilator_environment

STREAMS, CYCLES, WARM_UP, PORTS = 64, 12, 3, 5

MODELS = """
module INV(input A, output Y); assign Y = !A; endmodule
module NAND(input A, B, output Y); nand (Y, A, B); endmodule
module XOR(input A, B, output Y); assign Y = A != B; endmodule
module HALF(input A, B, output CON, SN); assign {CON, SN} = ~({1'b0, A} + {1'b0, B}); endmodule
module MAJ(input A, B, C, output Y); assign Y = A == B ? A : C; endmodule
module DFF(input CLK, CLEAR, D, output reg QN);
    always @(posedge CLK or posedge CLEAR) if (CLEAR) QN <= 0; else QN <= !D;
endmodule
"""

MAIN = """
#include <cstdio>
#include "Vtop.h"

static const unsigned char bits[] = {%s};

int main() {
    Vtop top;
    static long rises[%d], falls[%d];
    const unsigned char* next = bits;
    for (int stream = 0; stream < %d; ++stream) {
        top.clk = 0; top.x = 0; top.clear = 1; top.eval();
        top.clear = 0; top.eval();
        for (int cycle = 0; cycle < %d; ++cycle) {
            auto before = top.nets;
            top.clk = 1; top.eval();
            top.x = *next++; top.eval();
            for (int net = 0; cycle >= %d && net < %d; ++net) {
                const int old = before[net / 32] >> net %% 32 & 1, now = top.nets[net / 32] >> net %% 32 & 1;
                rises[net] += !old && now;
                falls[net] += old && !now;
            }
            top.clk = 0; top.eval();
        }
    }
    for (int net = 0; net < %d; ++net) std::printf("%%ld %%ld\\n", rises[net], falls[net]);
}
"""


def _verilog(content: dict[str, Any], order: list[int | str]) -> str:
    """Return a module whose output holds every net in an order."""
    place = {net: f"nets[{index}]" for index, net in enumerate(order)} | {"0": "1'b0", "1": "1'b1", 2: "clk"}
    lines = [f"module top(input clk, clear, input [{PORTS - 1}:0] x, output [{len(order) - 1}:0] nets);"]
    lines += [f"assign {place[net]} = x[{bit}];" for bit, net in enumerate(content["ports"]["x"]["bits"])]
    for name, cell in content["cells"].items():
        pins = [f".{pin}({place[net]})" for pin, (net,) in cell["connections"].items()]
        pins += [".CLEAR(clear)"] if cell["type"] == "DFF" else []
        lines.append(f"{cell['type']} {name}({', '.join(pins)});")
    return "\n".join((*lines, "endmodule", MODELS))


def _transitions(folder: Path, content: dict[str, Any], order: list[int | str], x: NDArray[np.int64]) -> Any:
    """Return rises and falls of nets as Verilator has them; `x` are the port's values, shape (cycles, streams)."""
    nets = len(order)
    numbers = (", ".join(map(str, x.T.ravel())), nets, nets, STREAMS, CYCLES, WARM_UP, nets, nets)
    (folder / "main.cpp").write_text(MAIN % numbers)
    (folder / "top.v").write_text(_verilog(content, order))
    command = [
        "verilator",
        "--cc",
        "--exe",
        "--build",
        "--Mdir",
        "obj",
        "-CFLAGS",
        "-O0",
        "-Wno-lint",
        "top.v",
    ]
    environment = {**os.environ, **verilator_environment()}
    for step in ([*command, "main.cpp"], ["obj/Vtop"]):
        result = subprocess.run(
            step, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=300
        )
        assert result.returncode == 0, result.stdout + result.stderr
    return np.array([line.split() for line in result.stdout.splitlines()], int)


def test_every_net_has_the_transitions_that_verilator_sees(tmp_path: Path) -> None:
    content = random_module(11, gates=150, flip_flops=20, ports=PORTS)
    design = GateNetlist.from_module(content, name="top", library=CELLS)
    x = np.random.default_rng(11).integers(0, 2**PORTS, (CYCLES, STREAMS))
    bits = x[:, np.newaxis] >> np.arange(PORTS)[:, np.newaxis] & 1
    activity = simulate(design, Stimulus(ports={"x": pack(bits)}, warm_up=WARM_UP)).activity
    numbers: dict[int | str, int] = {}
    for group in design.groups.values():
        for pin, nets in group.nets.items():
            for name, net in zip(group.names, nets, strict=True):
                numbers[content["cells"][name]["connections"][pin][0]] = int(net)
    order = [net for net in numbers if net not in {"0", "1", 2}]
    expected = _transitions(tmp_path, content, order, x)
    places = [numbers[net] for net in order]
    assert np.array_equal(np.stack([activity.rises[places], activity.falls[places]], axis=1), expected)
    # Most nets are alive, so that the comparison says something.
    assert np.count_nonzero(expected.sum(axis=1) > activity.cycles / 20) > 0.7 * len(order)
