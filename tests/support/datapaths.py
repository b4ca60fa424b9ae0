"""Driving a datapath in Amaranth's simulator: operands a cycle later for each position, sums as they come."""

from typing import Any

import numpy as np
import numpy.typing as npt
from amaranth.sim import Simulator

from tritforge.accel.codes import I2_CODES, TRIT_BITS
from tritforge.accel.datapath import Datapath


def joined(values: npt.NDArray[Any], bits: int) -> int:
    """Put signed values side by side, the first in the low bits."""
    return sum((int(value) & ((1 << bits) - 1)) << (bits * index) for index, value in enumerate(values))


def skewed(values: npt.NDArray[np.int64], positions: int) -> npt.NDArray[np.int64]:
    """Delay the lanes at position p by p cycles; shape (cycles, lanes) becomes (cycles + positions - 1, lanes)."""
    cycles, lanes = values.shape
    late = np.zeros((cycles + positions - 1, lanes), dtype=np.int64)
    for position in range(positions):
        part = slice(position * lanes // positions, (position + 1) * lanes // positions)
        late[position : position + cycles, part] = values[:, part]
    return late


def run_datapath(
    datapath: Datapath, acts: npt.NDArray[np.int64], trits: npt.NDArray[np.int64]
) -> tuple[list[int], list[int]]:
    """Feed operands, one set a cycle; return `sum` and `carry`, each the latency after its operands."""
    config = datapath.config
    latency = config.datapath_latency
    codes = np.array([[I2_CODES[int(trit)] for trit in row] for row in trits])
    acts_in, codes_in = skewed(acts, config.positions), skewed(codes, config.positions)
    sums: list[int] = []
    carries: list[int] = []

    async def drive(ctx: Any) -> None:
        for cycle in range(len(acts) + latency):
            if cycle < len(acts_in):
                ctx.set(datapath.acts, joined(acts_in[cycle], config.act_bits))
                ctx.set(datapath.trits, joined(codes_in[cycle], TRIT_BITS))
            if cycle >= latency:
                sums.append(ctx.get(datapath.sum))
                carries.append(ctx.get(datapath.carry))
            await ctx.tick()

    simulator = Simulator(datapath)
    simulator.add_clock(1e-8)
    simulator.add_testbench(drive)
    simulator.run()
    return sums, carries
