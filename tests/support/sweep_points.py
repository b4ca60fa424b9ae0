"""Random legal configurations, and small sweeps."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from hypothesis import assume
from hypothesis import strategies as st
from small_shape import TINY

from tritforge.accel.config import NEGATIONS, PACKINGS, AcceleratorConfig
from tritforge.accel.errors import InputError
from tritforge.energy.scenario import Scenario
from tritforge.explore.devices import TargetDevice
from tritforge.explore.objectives import Request
from tritforge.explore.space import Space
from tritforge.rtl.area_shape import Shapes

FUSED: dict[str, Any] = {"datapath": "fused", "target": "ecp5", "negation": "carry"}


@st.composite
def configs(draw: st.DrawFn, /, **fixed: Any) -> AcceleratorConfig:
    """Draw a legal configuration."""
    values: dict[str, Any] = {
        "lanes": draw(st.sampled_from([2, 4, 6, 8, 12, 16, 24, 64, 96, 256, 1024])),
        "rows": draw(st.integers(1, 24)),
        "tokens_max": draw(st.sampled_from([1, 2, 3, 4, 5, 8, 9, 16, 32])),
        "k_max": draw(st.sampled_from([100, 512, 4096])),
        "act_bits": draw(st.sampled_from([4, 8, 12])),
        "weight_port_bits": 1 << draw(st.integers(5, 12)),
        "act_port_bits": 1 << draw(st.integers(3, 10)),
        "result_port_bits": 1 << draw(st.integers(5, 9)),
        "packing": draw(st.sampled_from(PACKINGS)),
        "negation": draw(st.sampled_from(NEGATIONS)),
        "tree_arity": draw(st.integers(2, 3)),
        "levels_per_register": draw(st.integers(1, 2)),
        "partial_sums": draw(st.booleans()),
        **(FUSED if draw(st.booleans()) else {}),
        **fixed,
    }
    try:
        return AcceleratorConfig(**values)
    except InputError:
        assume(False)
        raise


def columns_of(found: Sequence[AcceleratorConfig]) -> dict[str, Any]:
    """Return configurations as an array for each field."""
    return {name: np.array([getattr(one, name) for one in found]) for name in found[0].to_dict()}


def shapes_of(found: Sequence[AcceleratorConfig]) -> Shapes:
    """Return configurations for what takes arrays."""
    return Shapes(columns_of(found))


def device(**changes: Any) -> TargetDevice:
    """Return a device that bounds little."""
    return TargetDevice(
        **{
            "name": "bench",
            "title": "a bench",
            "family": "ecp5",
            "luts": 80_000,
            "block_ram_bytes": 500_000,
            "memory_gb": 1.0,
            "bandwidth_gbs": 0.1,
            "dram": "DDR4",
            "clock_mhz": 100,
            "clock_source": "a test",
            "source": "a test",
            **changes,
        }
    )


def small_request(**axes: Any) -> Request:
    """Return a sweep over a shape that is small enough to count by hand."""
    chosen = axes or {"lanes": (8, 16, 20), "rows": (2, 4), "packing": ("i2", "s8")}
    return Request(
        space=Space(
            models=(TINY,), devices=(device(), device(name="slow", bandwidth_gbs=0.001)), axes=chosen
        ),
        scenario=Scenario(context=6),
    )
