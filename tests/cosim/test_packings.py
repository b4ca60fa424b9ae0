"""Cores with each packing on the RTL: the golden words over the crossed coverage, and illegal words reported."""

from pathlib import Path
from typing import Any

import pytest

from tritforge.accel.beats import beat_words
from tritforge.accel.codes import WORDS
from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.job import Error
from tritforge.accel.presets import PRESETS
from tritforge.rtl.verilog import generate
from tritforge.sim.simulator import CORE_NAME, build, run

SEED = 3
#: `s5` with a whole block, whose last beat brings a striped word, and a short one.
CONFIGS: dict[str, dict[str, Any]] = {
    "i2": {"rows": 3},
    "s5": {"rows": 7, "weight_port_bits": 16},
    "s8": {"rows": 5, "negation": "carry"},
}
#: Bits of an illegal word: the escape alone, an escape in B and c, and both escapes and c.
ILLEGAL = {"i2": (1,), "s5": (3, 4), "s8": (1, 3, 4)}


def illegal_bits(config: AcceleratorConfig) -> list[list[int]]:
    """Bits of an image of one tile that make each of its words illegal in turn."""
    port = config.weight_port_bits
    bits = WORDS[config.packing][1]
    start = port * config.bias_beats
    places: list[list[int]] = []
    for beat in range(config.tile_beats):
        here = beat_words(config, beat)
        places += [
            [start + port * beat + bits * word + bit for bit in range(bits)]
            for word in range(len(here.whole))
        ]
        places += [
            [start + port * (beat - bits + 1 + bit) + port - port % bits + stripe for bit in range(bits)]
            for stripe in range(len(here.striped))
        ]
    return [[place[bit] for bit in ILLEGAL[config.packing]] for place in places]


@pytest.mark.parametrize("packing", CONFIGS)
def test_a_packing_gives_the_golden_words_and_reports_illegal_ones(packing: str, simulators: Path) -> None:
    config = AcceleratorConfig.from_dict({"packing": packing, **CONFIGS[packing]}, base=PRESETS["tiny"])
    if packing == "s5":
        assert [len(beat_words(config, beat).striped) for beat in range(config.tile_beats)] == [
            0,
            0,
            0,
            0,
            1,
            0,
        ]
    illegal = illegal_bits(config)
    assert len(illegal) == -(-config.rows * config.lanes // WORDS[packing][0])
    print(f"seed {SEED}")
    folder = build(generate(config, name=CORE_NAME), simulators)
    task = {"seed": SEED, "illegal": illegal}
    answer = run(folder, "packing_entries:words", task, config=config.to_dict())
    assert len(answer["bins"]) == 480
    assert [job for job in answer["bins"] if job["mismatches"] != 0 or job["timed_out"] or job["error"]] == []
    # All words of the result still come, so that what reads them does not hang.
    assert answer["errors"] == [[Error.ILLEGAL_TRIT, False, 2 * config.rows]] * len(illegal)
    assert [job["mismatches"] for job in answer["right"]] == [0, 0]
    assert answer["right"][1]["error"] == 0
