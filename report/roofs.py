"""Rooflines: the array's own, in operations a cycle against operations a byte of weights, and the whole model's."""

from dataclasses import dataclass
from typing import Any

from tritforge.energy.devices import Device
from tritforge.energy.memory import total_bytes
from tritforge.energy.roofline import Step, decode_step, prefill_step
from tritforge.report.subject import Subject
from tritforge.report.workload import PhaseCycles


@dataclass(frozen=True, kw_only=True)
class Point:
    """A matrix under the array's roof.

    Attributes
    ----------
    phase, name
        Which.
    intensity
        Ternary operations for each byte through the weight port.
    performance, roof
        Operations a cycle by the cycle model, and what the array and its port allow.
    """

    phase: str
    name: str
    intensity: float
    performance: float
    roof: float


@dataclass(frozen=True, kw_only=True)
class ArrayRoof:
    """What bounds the array.

    Attributes
    ----------
    operations_per_cycle
        Its lanes times its rows.
    port_bytes_per_cycle, memory_bytes_per_cycle
        Weights that the port takes, and those that the memory gives at the clock.
    points
        The matrices.
    """

    operations_per_cycle: int
    port_bytes_per_cycle: float
    memory_bytes_per_cycle: float
    points: tuple[Point, ...]

    @property
    def ridge(self) -> float:
        """Operations a byte from which on the lanes are the bound, not the port."""
        return self.operations_per_cycle / self.port_bytes_per_cycle

    @property
    def memory_ridge(self) -> float:
        """The same of the memory."""
        return self.operations_per_cycle / self.memory_bytes_per_cycle

    def to_dict(self) -> dict[str, Any]:
        """Return the figures by name."""
        return {
            "operations_per_cycle": self.operations_per_cycle,
            "port_bytes_per_cycle": self.port_bytes_per_cycle,
            "memory_bytes_per_cycle": self.memory_bytes_per_cycle,
            "points": [vars(point) for point in self.points],
        }


def array_roof(subject: Subject, phases: tuple[PhaseCycles, ...]) -> ArrayRoof:
    """Place a model's matrices under the array's roof."""
    config = subject.config
    peak, port = config.lanes * config.rows, config.weight_port_bits / 8
    points = []
    for phase in phases:
        for one in phase.matrices:
            intensity = one.operations / one.weight_bytes
            points.append(
                Point(
                    phase=phase.phase,
                    name=one.name,
                    intensity=intensity,
                    performance=one.operations / one.cycles,
                    roof=min(peak, port * intensity),
                )
            )
    return ArrayRoof(
        operations_per_cycle=peak,
        port_bytes_per_cycle=port,
        memory_bytes_per_cycle=subject.memory.value / (subject.clock.value * 1e6),
        points=tuple(points),
    )


def system_steps(subject: Subject) -> tuple[Step, ...]:
    """Bound a prefill and a decoding step of the whole model, every operation at the array's rate.

    The array does the ternary products alone, so this is a bound from above on any system around it.
    """
    config, shape, packing = subject.config, subject.shape, subject.config.packing
    options = {"context": subject.context, "kv_bits": subject.kv_bits}
    device = Device(
        name="the array and its memory",
        bandwidth_gbs=subject.memory.value / 1e9,
        rate_tops=2 * config.lanes * config.rows * subject.clock.value * 1e6 / 1e12,
        memory_gb=total_bytes(shape, packing, **options) / 1e9,
        source="the configuration and this page's clock and memory",
    )
    return (
        prefill_step(shape, packing, device, **options),
        decode_step(shape, packing, device, **options),
    )
