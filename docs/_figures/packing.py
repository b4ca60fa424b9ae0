"""Two bits or five trits a byte: what a decoder costs beside what it saves."""

import json
from fractions import Fraction
from pathlib import Path

from tritforge.accel.codes import WORDS
from tritforge.energy.hardware import hardware_energy
from tritforge.energy.report import format_joules
from tritforge.energy.scenario import Scenario
from tritforge.models.shapes import find_shape
from tritforge.rtl.array_report import markdown_table

PAGE = "questions/packing.md"
HISTORY = Path(__file__).resolve().parents[2] / "benchmarks" / "array.json"
PORT = 128
#: Data bits of an ECP5 block RAM (Lattice FPGA-DS-02012), and the block RAMs of an LFE5U-85F.
BLOCK_BITS, BLOCKS = 18432, 208
MODEL = "microsoft/bitnet-b1.58-2B-4T"


def trits_a_beat(packing: str) -> int:
    """Return how many trits whole words of a packing bring in a beat."""
    trits, bits = WORDS[packing]
    return PORT // bits * trits


def tables() -> dict[str, str]:
    """Return the tables of the page."""
    designs = json.loads(HISTORY.read_text())["runs"][-1]["designs"]
    array = next(row for row in designs if row["role"] == "array" and row["datapath"] == "fused")
    decoders = {row["name"]: row for row in designs if row["role"] == "decoder"}
    lanes = array["lanes"] * array["rows"]
    cost = []
    for packing, (trits, bits) in WORDS.items():
        word = decoders[f"ecp5-decoder-{packing}"]["luts"]
        flagged = decoders[f"ecp5-decoder-{packing}-flag"]
        total = flagged["luts"] * flagged["decoders"]
        cost.append(
            [
                f"`{packing}`",
                f"{float(Fraction(bits, trits)):.3f}",
                str(word),
                str(trits_a_beat(packing)),
                str(total),
                f"{100 * total / array['cells']:.1f}",
                f"{trits_a_beat(packing) / trits_a_beat('i2'):.3f}",
                f"{BLOCKS * BLOCK_BITS * trits // bits / 1e6:.2f}",
            ]
        )
    shape, energy = find_shape(MODEL), []
    for packing in WORDS:
        result = hardware_energy(shape, Scenario(phase="decode", context=2048, packing=packing))
        energy.append(
            [
                f"`{packing}`",
                format_joules(result.part("weights")),
                format_joules(result.energy),
                f"{100 * result.part('weights').value / result.energy.value:.1f}",
            ]
        )
    return {
        "cost": markdown_table(
            (
                "packing",
                "bits a trit",
                "LUT4 a word",
                f"trits in {PORT} bits",
                "LUT4 of all decoders",
                f"% of a {lanes}-lane array",
                "weights a second, `i2` = 1",
                "million trits in an LFE5U-85F's block RAM",
            ),
            cost,
        ),
        "energy": markdown_table(("packing", "weights", "all of a token", "weights, %"), energy),
    }
