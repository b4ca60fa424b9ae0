"""Cores with each datapath on the RTL, every vendor cell by its model, over the crossed coverage of the bench."""

from pathlib import Path
from typing import Any

import pytest
from bench_entries import ACTIVATIONS, STALLS, TAILS, WEIGHTS

from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.presets import PRESETS
from tritforge.rtl.verilog import generate
from tritforge.sim.simulator import CORE_NAME, build, run

SEED = 20261
#: Small, with several positions, chains and tiles; `decode`'s one-beat tiles make the chains' weights wait.
DATAPATHS: dict[str, dict[str, Any]] = {
    "tree, carry": {"negation": "carry"},
    "tree of threes, two levels a register": {"tree_arity": 3, "levels_per_register": 2},
    "ecp5": {"datapath": "fused", "target": "ecp5", "negation": "carry", "chain_length": 4},
    "ecp5, one-beat tiles": {
        "datapath": "fused",
        "target": "ecp5",
        "negation": "carry",
        "chain_length": 4,
        "weight_port_bits": 64,
    },
    "xilinx": {"datapath": "fused", "target": "xilinx", "negation": "carry"},
}


def configured(name: str) -> AcceleratorConfig:
    return AcceleratorConfig.from_dict(DATAPATHS[name], base=PRESETS["tiny"])


@pytest.mark.parametrize("name", DATAPATHS)
def test_a_datapath_gives_the_golden_words(name: str, simulators: Path) -> None:
    config = configured(name)
    folder = build(generate(config, name=CORE_NAME), simulators)
    print(f"seed {SEED}")
    answer = run(folder, "bench_entries:cover", {"seed": SEED}, config=config.to_dict())
    bins = answer["bins"]
    assert len(bins) == len(WEIGHTS) * len(ACTIVATIONS) * len(TAILS) * len(STALLS)
    assert [b for b in bins if b["mismatches"] != 0 or b["timed_out"] or b["error"]] == []
    assert all(b["words_received"] == b["words_expected"] for b in bins)
