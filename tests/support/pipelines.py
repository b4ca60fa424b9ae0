"""Drives a pipeline that takes operands in every cycle and gives a result in every cycle."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from amaranth.hdl import Value
from amaranth.lib import wiring
from amaranth.sim import Simulator, SimulatorContext


def pack(values: Sequence[int] | npt.NDArray[np.int64], bits: int) -> int:
    """Return numbers side by side, the first in the low bits."""
    return sum((int(value) & ((1 << bits) - 1)) << bits * place for place, value in enumerate(values))


def results_of(
    unit: wiring.Component,
    operands: Mapping[str, Sequence[int]],
    result: Value,
    *,
    latency: int,
    delays: Mapping[str, int] | None = None,
) -> npt.NDArray[np.int64]:
    """Return what leaves a pipeline.

    Parameters
    ----------
    unit
        The pipeline.
    operands
        Words by port, one for each cycle; after the last the port stays as it is.
    result
        The port whose word counts, from cycle `latency` on.
    latency
        Cycles from operands to their result.
    delays
        Cycles by which a port's words come later than the others.
    """
    late = delays or {}
    found = []
    (count,) = {len(words) for words in operands.values()}

    async def bench(context: SimulatorContext) -> None:
        for cycle in range(count + latency):
            for port, words in operands.items():
                if 0 <= cycle - late.get(port, 0) < count:
                    context.set(getattr(unit, port), words[cycle - late.get(port, 0)])
            if cycle >= latency:
                found.append(context.get(result))
            await context.tick()

    simulator = Simulator(unit)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    return np.array(found)
