"""Everything that a page tells, computed; `to_dict` is what `--json` writes."""

from dataclasses import asdict, dataclass, replace
from typing import Any

from tritforge.accel.errors import InputError
from tritforge.energy.report import ModelReport, report_hardware
from tritforge.energy.roofline import Step
from tritforge.report.memory import Store, model_memory, on_chip
from tritforge.report.recorded import Recorded
from tritforge.report.roofs import ArrayRoof, array_roof, system_steps
from tritforge.report.subject import Subject
from tritforge.report.verification import Verification
from tritforge.report.words import rate
from tritforge.report.workload import PhaseCycles, notes, phase_cycles
from tritforge.rtl.area import Area, AreaModel, area_model, area_of


@dataclass(frozen=True, kw_only=True)
class Resources:
    """What a configuration takes of an FPGA.

    Attributes
    ----------
    measured
        What the repository has recorded of it, or None.
    estimated
        What the area model says of its stream core, or None.
    model
        That model, with its errors.
    refused
        Why there is no estimate; empty where there is one.
    """

    measured: Recorded | None
    estimated: Area | None
    model: AreaModel
    refused: str

    @classmethod
    def of(cls, subject: Subject) -> "Resources":
        """Look up and estimate."""
        estimated, refused = None, ""
        try:
            estimated = area_of(subject.config)
        except InputError as error:
            refused = str(error)
        return cls(measured=subject.recorded, estimated=estimated, model=area_model(), refused=refused)

    def to_dict(self) -> dict[str, Any]:
        """Return the figures by name."""
        errors = {
            name: {
                "median": fit.median_error,
                "worst": fit.worst_error,
                "held_out_median": fit.held_out_median,
                "held_out_worst": fit.held_out_worst,
            }
            for name, fit in (("luts", self.model.luts), ("ffs", self.model.ffs))
        }
        return {
            "measured": None if self.measured is None else asdict(self.measured),
            "estimated": None if self.estimated is None else asdict(self.estimated),
            "estimate_errors": errors,
            "not_estimated": self.refused,
        }


@dataclass(frozen=True, kw_only=True)
class Results:
    """What a page tells.

    Attributes
    ----------
    subject
        Model and accelerator.
    resources
        Of an FPGA.
    phases
        Cycles of a block of a prefill and of a decoded token.
    cycle_notes
        What those leave out or assume.
    roof, steps
        Rooflines of the array, and of the whole model.
    energy
        Hardware accounting of prefill and decode.
    stores, memory
        On the chip, and of the model.
    verification
        What was simulated for the page; None where nothing was.
    """

    subject: Subject
    resources: Resources
    phases: tuple[PhaseCycles, PhaseCycles]
    cycle_notes: tuple[str, ...]
    roof: ArrayRoof
    steps: tuple[Step, ...]
    energy: tuple[ModelReport, ModelReport]
    stores: tuple[Store, ...]
    memory: dict[str, Any]
    verification: Verification | None = None

    def with_verification(self, done: Verification) -> "Results":
        """Return the same with what was simulated."""
        return replace(self, verification=done)

    def summary(self) -> str:
        """Say in a line what came out."""
        prefill, decode = self.phases
        clock = self.subject.clock.value
        done = self.verification
        if done is None:
            checked = "nothing simulated"
        else:
            verdict = (
                f"equal: all {done.words:,} words"
                if done.ok
                else f"NOT EQUAL: {done.mismatches:,} words differ"
            )
            checked = (
                f"{verdict}, {done.cycles:,} cycles, {done.predicted_cycles:,} predicted (seed {done.seed})"
            )
        return (
            f"{self.subject.shape.name} on {self.subject.config_name} at {clock:g} MHz: prefill "
            f"{rate(prefill.tokens_per_second(clock))}, decode {rate(decode.tokens_per_second(clock))} "
            f"tokens/s of the array; {checked}"
        )

    @property
    def ok(self) -> bool:
        """Whether what was simulated is equal; true where nothing was."""
        return self.verification is None or self.verification.ok

    @property
    def on_chip(self) -> bool:
        """Whether the store on the chip holds all matrices of the model."""
        config = self.subject.config
        return config.weight_store == "bram" and self.phases[1].weight_bytes <= config.weight_store_bytes

    def memory_tokens_per_second(self, phase: PhaseCycles) -> float:
        """Return the rate of a phase whose weights come from where they lie, and all else overlaps."""
        clock = self.subject.clock.value
        if self.on_chip:
            return phase.tokens_per_second(clock)
        return phase.memory_tokens_per_second(clock, self.subject.memory.value)

    def to_dict(self) -> dict[str, Any]:
        """Return all figures by name."""
        subject = self.subject
        return {
            "ok": self.ok,
            "model": subject.shape.name,
            "config": subject.config.to_dict(),
            "context": subject.context,
            "clock_mhz": asdict(subject.clock),
            "memory_bytes_per_second": asdict(subject.memory),
            "resources": self.resources.to_dict(),
            "cycles": [
                phase.to_dict()
                | {
                    "tokens_per_second": phase.tokens_per_second(subject.clock.value),
                    "memory_tokens_per_second": self.memory_tokens_per_second(phase),
                }
                for phase in self.phases
            ],
            "notes": list(self.cycle_notes),
            "roofline": self.roof.to_dict() | {"whole_model": [step.to_dict() for step in self.steps]},
            "energy": [report.to_dict() for report in self.energy],
            "on_chip": [store.to_dict() for store in self.stores],
            "memory": self.memory,
            "verification": None if self.verification is None else self.verification.to_dict(),
        }


def compute(subject: Subject) -> Results:
    """Compute what a page tells.

    Raises
    ------
    InputError
        A configuration that cannot hold a piece of a matrix, or a choice that the energy does not know.
    """
    phases = (phase_cycles(subject, "prefill"), phase_cycles(subject, "decode"))
    return Results(
        subject=subject,
        resources=Resources.of(subject),
        phases=phases,
        cycle_notes=tuple(notes(subject)),
        roof=array_roof(subject, phases),
        steps=system_steps(subject),
        energy=(
            report_hardware(subject.shape, subject.scenario("prefill")),
            report_hardware(subject.shape, subject.scenario("decode")),
        ),
        stores=tuple(on_chip(subject.config)),
        memory=model_memory(subject),
    )
