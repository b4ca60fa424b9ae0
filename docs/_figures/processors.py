"""What an accelerator gains over a CPU or GPU, and where it does not."""

from _svg import bars

from tritforge.energy.accounting import ratio
from tritforge.energy.devices import find_device
from tritforge.energy.hardware import hardware_energy
from tritforge.energy.report import format_joules, format_ratio
from tritforge.energy.roofline import decode_step, prefill_step
from tritforge.energy.scenario import Scenario
from tritforge.models.shapes import find_shape
from tritforge.rtl.array_report import markdown_table

PAGE = "questions/processors.md"
MODEL = "microsoft/bitnet-b1.58-2B-4T"
LARGE = "bitnet-b1.58-figure3-70B"
CONTEXT = 2048


def tables() -> dict[str, str]:
    """Return the tables of the page."""
    device, roofline, energy = find_device("a100-80gb"), [], []
    for name in (MODEL, LARGE):
        shape = find_shape(name)
        for packing in ("fp16", "int8", "int4", "i2", "s8"):
            one, many, prefill = (
                decode_step(shape, packing, device, context=CONTEXT),
                decode_step(shape, packing, device, batch=64, context=CONTEXT),
                prefill_step(shape, packing, device, context=CONTEXT),
            )
            roofline.append(
                [
                    shape.name,
                    f"`{packing}`",
                    *(f"{step.tokens_per_second:,.0f}" for step in (one, many, prefill)),
                    prefill.bound,
                ]
            )
    for name in (MODEL, LARGE):
        for phase in ("prefill", "decode"):
            for dram in ("LPDDR4", "HBM2"):
                scenario = Scenario(phase=phase, context=CONTEXT, packing="s8", dram=dram)
                ternary, fp16, int8 = (
                    hardware_energy(find_shape(name), scenario, arithmetic=one)
                    for one in ("ternary", "fp16", "int8")
                )
                arithmetic = ternary.part("matrices").value + ternary.part("accumulators").value
                energy.append(
                    [
                        name.rsplit("/", 1)[-1],
                        phase,
                        dram,
                        format_joules(ternary.per_token),
                        format_ratio(ratio(fp16, ternary)),
                        format_ratio(ratio(int8, ternary)),
                        f"{100 * arithmetic / ternary.energy.value:.1f}",
                        f"{100 * ternary.part('weights').value / ternary.energy.value:.1f}",
                    ]
                )
    return {
        "roofline": markdown_table(
            ("model", "weights", "decode", "decode, batch 64", f"prefill of {CONTEXT:,}", "prefill's bound"),
            roofline,
            text=2,
        ),
        "energy": markdown_table(
            (
                "model",
                "phase",
                "memory",
                "a token",
                "FP16 over ternary",
                "INT8 over ternary",
                "the array, %",
                "weights from memory, %",
            ),
            energy,
            text=3,
        ),
    }


def plots() -> dict[str, str]:
    """Return the pictures of the page."""
    rows = []
    for phase in ("prefill", "decode"):
        scenario = Scenario(phase=phase, context=CONTEXT, packing="s8")
        for arithmetic in ("ternary", "int8", "fp16"):
            result = hardware_energy(find_shape(MODEL), scenario, arithmetic=arithmetic)
            per = result.per_token.value / result.energy.value
            weights, array = (
                per * sum(result.part(name).value for name in names)
                for names in (("weights",), ("matrices", "accumulators"))
            )
            rest = result.per_token.value - weights - array
            value = format_joules(result.per_token).split(" (")[0]
            rows.append((phase, arithmetic, [array, weights, rest], value))
    # Decoding takes tens of times a prefill's energy: each phase has its own whole, the FP16 bar.
    whole = {phase: sum(parts) for phase, arithmetic, parts, _ in rows if arithmetic == "fp16"}
    drawn = [
        (f"{phase}, {arithmetic}", [100 * part / whole[phase] for part in parts], value)
        for phase, arithmetic, parts, value in rows
    ]
    title = "Energy a token of BitNet b1.58 2B-4T with ternary, INT8 and FP16 arrays, FP16 as a whole bar"
    series = ("the array", "matrices from memory", "all else")
    return {"processors.svg": bars(title, series, drawn, full=100.0)}
