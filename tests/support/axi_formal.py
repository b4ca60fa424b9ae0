"""What the proofs of the AXI adapters share: jobs that are legal, a memory's memory of bursts, planted faults."""

from dataclasses import replace
from typing import Any

from amaranth.hdl import Module, Signal, Value
from formal import FormalBench

from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.presets import PRESETS

TINY = replace(
    PRESETS["tiny"],
    lanes=8,
    rows=2,
    tokens_max=2,
    k_max=16,
    m_max=5,
    weight_port_bits=32,
    result_port_bits=64,
)
OKAY, SLVERR = 0, 2
BOUNDARY = 4096


def legal(config: AcceleratorConfig, job: Any) -> Value:
    """Whether a job's shape is within bounds, as the registers see to."""
    inside = (job.m != 0) & (job.m <= config.m_max)
    for name, high in (("k", config.k_max), ("tokens", config.tokens_max)):
        if name in job.shape().members:
            inside &= (job[name] != 0) & (job[name] <= high)
    return inside


def aligned(address: Value, port_bits: int) -> Value:
    """Whether a byte address is that of a beat; a remainder would be a divider to the solver."""
    return address[: (port_bits // 8).bit_length() - 1] == 0


class Lengths:
    """The beats of the bursts that a memory was asked for, oldest first."""

    def __init__(
        self, bench: FormalBench, m: Module, *, push: Value, length: Value, pop: Value, places: int
    ) -> None:
        self.count = Signal(range(places + 2), name="bursts_under_way")
        entries = [Signal(8, name=f"length{index}") for index in range(places)]
        self.front = entries[0]
        bench.check(m, ~push | (self.count < places) | pop)
        m.d.sync += self.count.eq(self.count + push - pop)
        with m.If(pop):
            m.d.sync += [entries[index].eq(entries[index + 1]) for index in range(places - 1)]
        with m.If(push):
            for index, entry in enumerate(entries):
                with m.If(self.count - pop == index):
                    m.d.sync += entry.eq(length)


def planted(bench: type[FormalBench], component: type[Any]) -> type[FormalBench]:
    """Return the bench with another component."""

    class Planted(bench):  # type: ignore[misc,valid-type]
        def make(self) -> Any:
            return component(*((self.config, self.axi) if hasattr(self, "axi") else ()))

    return Planted
