"""Measurements with round numbers, as `tritforge gates` would have made them."""

from typing import Any

from tritforge.rtl.gates.designs import GateDesign, choose
from tritforge.rtl.gates.measure import PARTS, ActivityEnergy, Measurement

#: fJ a product or operation by design, everything together; what is not here takes 100.
TOTALS = {"ternary-16": 50.0, "int8-16": 150.0, "fp16-fused-16": 400.0, "add-int8": 20.0}


def parts(total: float) -> dict[str, float]:
    """Return a total by part: 3/10 switching, 2/10 internal, 3/10 the clock, 2/10 glitches."""
    return dict(zip(PARTS, (0.3 * total, 0.2 * total, 0.3 * total, 0.2 * total, 0.0), strict=True))


def energy(activity: str, total: float, *, unit: bool) -> ActivityEnergy:
    """Return an energy in fJ a cycle: half of it the logic's, a quarter the operands' registers'."""
    shares = (
        {"operands": 0.25, "pipeline": 0.25, "logic": 0.5}
        if unit
        else {"acts": 0.25, "weights": 0.25, "logic": 0.5}
    )
    return ActivityEnergy(
        activity=activity,
        vectors=1000,
        glitch_cycles=100,
        parts=parts(total),
        groups={group: parts(share * total) for group, share in shares.items()},
        wires={"0": 0.8 * total, "0.5": 0.9 * total, "2": 1.2 * total},
    )


def measurement(design: GateDesign) -> Measurement:
    """Return a measurement of a design; random operands take a tenth more, dequantised weights a tenth less."""
    products = 1 if design.role == "unit" or design.name.startswith("fp16-mul") else 16
    total = TOTALS.get(design.name, 100.0) * products
    activities = {"real": 1.0} if design.role == "variant" else {"real": 1.0, "random": 1.1}
    if design.role == "dot" and design.arithmetic != "ternary":
        activities["dequantised"] = 0.9
    return Measurement(
        design=design.name,
        products=products,
        act_bits=8,
        weight_bits=8,
        sum_bits=32,
        latency=3,
        effort=0,
        clock_mhz=1000.0,
        slack_ps=5.0,
        overloaded=0,
        cells=100,
        flip_flops=32,
        area_um2=64.0,
        kinds={"DFF": 32, "FAx1": 8, "NAND": 60},
        energies={
            name: energy(name, total * factor, unit=design.role == "unit")
            for name, factor in activities.items()
        },
    )


def record() -> dict[str, Any]:
    """Return the record of a run of all designs, without the energies of models."""
    from tritforge.rtl.gates.results import Results, to_record

    designs = choose([])
    measurements = [measurement(design) for design in designs]
    results = Results.of(measurements)
    return {
        "ok": True,
        "tritforge": "0.1",
        "tools": {"numpy": "2"},
        "seed": 0,
        "model": "austen",
        "tokens": 64,
        "conditions": {
            "clock_mhz": 1000.0,
            "wire_load": {"base_fF": 0.2, "per_sink_fF": 0.2},
            "streams": 512,
            "seed": 0,
        },
        "library": {"names": ["cells"], "voltage": 0.7, "temperature": 25.0, "sha256": "ab" * 32},
        "designs": [
            {
                "name": design.name,
                "role": design.role,
                "arithmetic": design.arithmetic,
                "title": design.title,
                "measurement": to_record(one),
            }
            for design, one in zip(designs, measurements, strict=True)
        ],
        "operations": results.operations(),
        "ratios": results.ratios(),
        "technology": results.technology_rows(1000.0, "test"),
        "models": [],
    }
