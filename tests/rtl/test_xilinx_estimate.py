"""Area estimates for 7-series: what is counted, shares of a part, and no multiplier."""

import re
from pathlib import Path

import pytest

from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.errors import InputError
from tritforge.accel.presets import PRESETS
from tritforge.rtl.cell_counts import count_resources, growth
from tritforge.rtl.synthesis import Synthesis
from tritforge.rtl.xilinx_estimate import (
    XILINX_PARTS,
    XilinxEstimate,
    block_rams,
    estimate_xilinx,
    find_xilinx_part,
)

FUSED = AcceleratorConfig.from_dict(
    {"datapath": "fused", "target": "xilinx", "negation": "carry", "rows": 2, "k_max": 16384, "lanes": 16},
    base=PRESETS["tiny"],
)


def test_resources_are_counted_by_kind_in_every_family() -> None:
    xilinx = {"LUT3": 2, "LUT6_2": 1, "CARRY4": 5, "RAM32M": 1, "RAMB36E1": 2, "RAMB18E1": 1, "FDRE": 7}
    synthesis = Synthesis(target="xilinx", cells=xilinx | {"DSP48E1": 3}, netlist=Path("none"))
    assert count_resources(synthesis) == {
        "luts": 7,
        "ffs": 7,
        "carry": 5,
        "lut_ram": 1,
        "block_ram": 3,
        "dsp": 3,
    }
    assert block_rams(synthesis) == 2.5
    ice40 = {"SB_LUT4": 4, "SB_DFFE": 3, "SB_CARRY": 2, "SB_RAM40_4K": 5, "SB_SPRAM256KA": 1, "SB_MAC16": 1}
    assert count_resources(Synthesis(target="ice40", cells=ice40, netlist=Path("none"))) == {
        "luts": 4,
        "ffs": 3,
        "carry": 2,
        "block_ram": 5,
        "single_port_ram": 1,
        "dsp": 1,
    }
    ecp5 = {"LUT4": 1, "CCU2C": 2, "TRELLIS_FF": 3, "TRELLIS_DPR16X4": 1, "DP16KD": 5, "MULT18X18D": 6}
    assert count_resources(Synthesis(target="ecp5", cells=ecp5, netlist=Path("none"))) == {
        "luts": 9,
        "ffs": 3,
        "carry": 2,
        "lut_ram": 1,
        "block_ram": 5,
        "dsp": 6,
    }


def test_growth_names_what_grew_by_more_than_the_share() -> None:
    assert growth({"luts": 100, "ffs": 10}, {"luts": 103, "ffs": 11, "dsp": 0}, limit=0.03) == {
        "ffs": (10, 11)
    }
    assert growth({}, {"dsp": 1}, limit=0.03) == {"dsp": (0, 1)}


def test_shares_are_of_the_part() -> None:
    estimate = XilinxEstimate(
        config=FUSED,
        part=XILINX_PARTS["xc7a35t"],
        counts={"luts": 2080, "ffs": 4160, "dsp": 9},
        block_rams=2.5,
    )
    assert estimate.shares == pytest.approx({"luts": 0.1, "ffs": 0.1, "block_ram": 0.05, "dsp": 0.1})


@pytest.mark.slow
def test_a_fused_core_takes_its_lanes_in_luts_of_six_and_nothing_multiplies(tmp_path: Path) -> None:
    """Two lanes of eight bits are eight LUT6_2; the activations of K 16,384 go into block RAM."""
    estimate = estimate_xilinx(FUSED, folder=tmp_path)
    print(estimate.counts, estimate.block_rams)
    assert estimate.part.name == "xc7z020clg400-1"
    assert estimate.counts["dsp"] == 0
    assert estimate.block_rams >= 4 * 16384 * 8 / 36864
    lanes = FUSED.lanes * FUSED.rows
    assert 4 * lanes <= estimate.counts["luts"] <= 60 * lanes
    assert estimate.counts["carry"] > lanes
    assert (tmp_path / "xilinx.yosys.log").is_file()


def test_an_unknown_part_and_cells_of_another_family_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^part is 'vu9p'; it must be one of xc7a35t, xc7a100t, xc7z020$"):
        find_xilinx_part("vu9p")
    message = "target is 'ecp5', whose cells a 7-series part has not; use target xilinx or datapath tree"
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        estimate_xilinx(PRESETS["ecp5"], folder=tmp_path)
