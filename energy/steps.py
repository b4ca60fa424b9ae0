"""Where the ratio of two operations goes, step by step, until it is the ratio of two systems."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tritforge.energy.accounting import ComponentEnergy, EnergyResult, ratio_of
from tritforge.energy.interval import Interval
from tritforge.energy.report import ModelReport
from tritforge.energy.technology import default_technology

#: Components of both accountings by group, in the order of a report's bars.
GROUPS: dict[str, tuple[str, ...]] = {
    "matrices": ("linears", "matrices", "accumulators"),
    "scaling": ("scaling", "quantisation", "dequantisation"),
    "attention": ("attention", "softmax", "rope", "kv_codes", "recurrence"),
    "norms and rest": ("norms", "activation", "residuals", "router"),
    "LM head": ("lm_head",),
    "on-chip memory": ("activations", "partial_sums", "weight_registers", "wires"),
    "DRAM: weights": ("weights", "embedding"),
    "DRAM: LM head": ("lm_head_weights",),
    "DRAM: KV cache": ("kv_cache",),
}

#: Components that come in at each step after the operations, in order.
_STEPS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("adders at their widths", ("matrices",)),
    ("accumulators", ("accumulators",)),
    ("scaling", GROUPS["scaling"]),
    ("attention", GROUPS["attention"]),
    ("norms and rest", GROUPS["norms and rest"]),
    ("LM head", GROUPS["LM head"]),
    ("on-chip memory", GROUPS["on-chip memory"]),
    ("DRAM: weights", GROUPS["DRAM: weights"]),
    ("DRAM: LM head", GROUPS["DRAM: LM head"]),
    ("DRAM: KV cache", GROUPS["DRAM: KV cache"]),
)


@dataclass(frozen=True, kw_only=True)
class Step:
    """One step from the operations to the system.

    Attributes
    ----------
    name
        What comes in here.
    ternary, fp16
        Energy of all that has come in so far, in joules; of one operation at the first step.
    ratio
        FP16 over ternary, of all that has come in so far.
    """

    name: str
    ternary: Interval
    fp16: Interval
    ratio: Interval

    def to_dict(self) -> dict[str, Any]:
        """Return the step with plain values."""
        return {
            "name": self.name,
            "ternary_j": self.ternary.value,
            "fp16_j": self.fp16.value,
            "ratio": self.ratio.value,
            "low": self.ratio.low,
            "high": self.ratio.high,
        }


def group(result: EnergyResult, name: str) -> Interval:
    """Energy of one of `GROUPS` in a result, in joules."""
    return Interval.total(entry.energy for entry in result.components if entry.component in GROUPS[name])


def ratio_steps(report: ModelReport) -> tuple[Step, ...]:
    """Follow the ratio of FP16 to ternary from the operations to the whole system.

    The first step is an FP16 multiplication and addition over an INT8 addition, which is the 71.4x of
    arXiv 2402.17764, Figure 3. Each further step adds the same components to both sides; the last one is the ratio of
    the two results.

    Parameters
    ----------
    report
        Under the ``hardware`` accounting.
    """
    table = report.technology or default_technology()
    node = report.ternary.node

    def one(*operations: str) -> list[ComponentEnergy]:
        return [ComponentEnergy(component="one", count=1, row=table.row(node, name)) for name in operations]

    def step(name: str, ternary: Sequence[ComponentEnergy], fp16: Sequence[ComponentEnergy]) -> Step:
        return Step(
            name=name,
            ternary=Interval.total(entry.energy for entry in ternary),
            fp16=Interval.total(entry.energy for entry in fp16),
            ratio=ratio_of(fp16, ternary, name=report.shape.name),
        )

    steps = [step("one operation", one("int8.add"), one("fp16.mul", "fp16.add"))]
    within: set[str] = set()
    for name, components in _STEPS:
        within |= set(components)
        sides = [
            [entry for entry in result.components if entry.component in within]
            for result in (report.ternary, report.fp16)
        ]
        if any(
            entry.component in components
            for side in (report.ternary, report.fp16)
            for entry in side.components
        ):
            steps.append(step(name, *sides))
    return tuple(steps)
