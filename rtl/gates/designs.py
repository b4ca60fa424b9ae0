"""The designs that are measured at gates, as data: what each is, how it is mapped, and what it is compared for."""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace

from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.dot_units import DotUnit, FusedFloatDot, IntegerDot, RoundedDot, TernaryDot
from tritforge.accel.errors import InputError
from tritforge.accel.float_format import FP16, FP32
from tritforge.accel.lone_unit import LoneUnit
from tritforge.rtl.gates.mapping import MappingOptions

#: Lanes of the dot products that are compared with each other.
LANES = 16
#: Registers of the floating-point units, as few as the default clock allows.
MULTIPLIER_REGISTERS = ("multiply", "round")
ADDER_REGISTERS = ("add", "round")
WIDE_ADDER_REGISTERS = ("align", "add", "move", "round")
DOT_REGISTERS = ("multiply", "compare", "align", "sum", "magnitude", "move", "round")


@dataclass(frozen=True, kw_only=True)
class GateDesign:
    """A design and how it is mapped.

    Attributes
    ----------
    name
        Unique; letters, digits and hyphens.
    arithmetic
        ``ternary``, ``int8``, ``fp16``; of a unit alone its operation as in a technology table, such as ``fp16.mul``.
    role
        ``dot``: compared with each other. ``unit``: an operation alone. ``variant``: of a dot product, what another
        choice costs.
    title
        What it is, in a few words.
    build
        Makes it.
    adders, flip_flops
        As in `MappingOptions`.
    clock_factor
        Its clock in parts of the run's.
    """

    name: str
    arithmetic: str
    role: str
    title: str
    build: Callable[[], DotUnit | LoneUnit]
    adders: str = "cells"
    flip_flops: str = "small"
    clock_factor: float = 1.0

    def options(self, clock_mhz: float) -> MappingOptions:
        """Return how it is mapped in a run at a clock."""
        return MappingOptions(
            clock_mhz=clock_mhz * self.clock_factor, adders=self.adders, flip_flops=self.flip_flops
        )


def ternary_config(lanes: int = LANES, k_max: int = 8192, levels_per_register: int = 4) -> AcceleratorConfig:
    """Return a configuration of the accelerator: only what a row is made of matters."""
    return AcceleratorConfig(lanes=lanes, k_max=k_max, levels_per_register=levels_per_register)


def _ternary(lanes: int = LANES, k_max: int = 8192, levels: int = 4) -> Callable[[], TernaryDot]:
    return lambda: TernaryDot(ternary_config(lanes, k_max, levels))


def _int8(lanes: int = LANES) -> Callable[[], IntegerDot]:
    return lambda: IntegerDot(lanes, levels_per_register=4)


def _fused(lanes: int) -> Callable[[], FusedFloatDot]:
    return lambda: FusedFloatDot(lanes, registers=DOT_REGISTERS)


def _rounded(lanes: int, *, wide: bool = False) -> Callable[[], RoundedDot]:
    return lambda: RoundedDot(
        lanes,
        form=FP32 if wide else FP16,
        multiplier_registers=MULTIPLIER_REGISTERS,
        adder_registers=WIDE_ADDER_REGISTERS if wide else ADDER_REGISTERS,
    )


def _float_unit(operation: str, registers: Collection[str], *, wide: bool = False) -> Callable[[], LoneUnit]:
    return lambda: LoneUnit(operation, form=FP32 if wide else FP16, registers=registers)


def _dots() -> list[GateDesign]:
    return [
        GateDesign(
            name="ternary-16",
            arithmetic="ternary",
            role="dot",
            title="ternary, INT8 activations, 22-bit accumulator",
            build=_ternary(),
        ),
        GateDesign(
            name="int8-16",
            arithmetic="int8",
            role="dot",
            title="INT8 products, INT32 accumulator",
            build=_int8(),
        ),
        GateDesign(
            name="fp16-fused-16",
            arithmetic="fp16",
            role="dot",
            title="FP16 products aligned once, FP32 accumulator",
            build=_fused(LANES),
            adders="prefix",
        ),
        GateDesign(
            name="fp16-rounded-4",
            arithmetic="fp16",
            role="dot",
            title="FP16 multipliers, tree of FP16 adders, FP16 accumulator",
            build=_rounded(4),
            adders="prefix",
        ),
        GateDesign(
            name="fp16-fma",
            arithmetic="fp16",
            role="dot",
            title="FP16 fused multiply-add, FP32 accumulator, one lane",
            build=_fused(1),
            adders="prefix",
        ),
        GateDesign(
            name="fp16-mul-add16",
            arithmetic="fp16",
            role="dot",
            title="FP16 multiplier and FP16 accumulator, one lane",
            build=_rounded(1),
            adders="prefix",
        ),
        GateDesign(
            name="fp16-mul-add32",
            arithmetic="fp16",
            role="dot",
            title="FP16 multiplier, exact product, FP32 accumulator, one lane",
            build=_rounded(1, wide=True),
            adders="prefix",
        ),
    ]


def _units() -> list[GateDesign]:
    whole = [
        GateDesign(
            name=f"{operation}-int{bits}",
            arithmetic=f"int{bits}.{operation}",
            role="unit",
            title=f"INT{bits} {word}",
            build=lambda operation=operation, bits=bits: LoneUnit(operation, bits=bits),  # type: ignore[misc]
        )
        for operation, bits, word in (
            ("add", 8, "adder"),
            ("add", 16, "adder"),
            ("add", 32, "adder"),
            ("mul", 8, "multiplier"),
        )
    ]
    return [
        *whole,
        GateDesign(
            name="add-fp16",
            arithmetic="fp16.add",
            role="unit",
            title="FP16 adder",
            build=_float_unit("add", ADDER_REGISTERS),
            adders="prefix",
        ),
        GateDesign(
            name="mul-fp16",
            arithmetic="fp16.mul",
            role="unit",
            title="FP16 multiplier",
            build=_float_unit("mul", MULTIPLIER_REGISTERS),
            adders="prefix",
        ),
        GateDesign(
            name="add-fp32",
            arithmetic="fp32.add",
            role="unit",
            title="FP32 adder",
            build=_float_unit("add", WIDE_ADDER_REGISTERS, wide=True),
            adders="prefix",
        ),
    ]


def _variants() -> list[GateDesign]:
    base = {design.name: design for design in _dots()}
    ternary, int8 = base["ternary-16"], base["int8-16"]

    def variant(design: GateDesign, suffix: str, title: str, **changes: object) -> GateDesign:
        return replace(
            design,
            name=f"{design.name}-{suffix}",
            role="variant",
            title=title,
            **changes,  # type: ignore[arg-type]
        )

    return [
        variant(ternary, "registered", "a register behind every adder", build=_ternary(levels=1)),
        variant(ternary, "ripple", "full adders in gates", adders="ripple"),
        variant(ternary, "prefix", "parallel prefix adders", adders="prefix"),
        variant(ternary, "plain-flops", "flip-flops of dfflibmap", flip_flops="plain"),
        variant(ternary, "17", "17-bit accumulator (K up to 256)", build=_ternary(k_max=256)),
        variant(ternary, "24", "24-bit accumulator (K up to 32,768)", build=_ternary(k_max=32768)),
        replace(ternary, name="ternary-32", role="variant", title="32 lanes", build=_ternary(32)),
        replace(ternary, name="ternary-64", role="variant", title="64 lanes", build=_ternary(64)),
        variant(ternary, "slow", "half the clock", clock_factor=0.5),
        variant(int8, "prefix", "parallel prefix adders", adders="prefix"),
        variant(int8, "plain-flops", "flip-flops of dfflibmap", flip_flops="plain"),
        variant(int8, "slow", "half the clock", clock_factor=0.5),
    ]


def designs() -> tuple[GateDesign, ...]:
    """Return all designs: dot products, units alone, variants."""
    return (*_dots(), *_units(), *_variants())


def choose(names: Iterable[str]) -> tuple[GateDesign, ...]:
    """Return designs by name, in the order of `designs`; all where no name is given.

    Raises
    ------
    InputError
        A name that is no design's.
    """
    names = list(names)
    known = {design.name: design for design in designs()}
    for name in names:
        if name not in known:
            raise InputError(f"design is {name!r}; it must be one of {', '.join(known)}")
    return tuple(design for design in known.values() if not names or design.name in names)
