"""What follows from measurements at gates: energies of operations, ratios beside the published ones, technology rows.

All of it is computed from the plain record of a run, as it is written to JSON, so that a kept record gives the same
page, plots and rows again.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from tritforge.rtl.gates.measure import ActivityEnergy, Measurement

#: Rows that share an activation register in the accelerator's default configuration.
ROWS = 8
#: Published energies at 7 nm in pJ that the measured ones are set beside, by operation. The first four are of
#: arXiv:2310.11453v1 Table 2, all are of Jouppi et al., Ten Lessons From Three Generations Shaped Google's TPUv4i,
#: ISCA 2021, Table 2.
PUBLISHED = {
    "int8.add": 0.007,
    "int8.mul": 0.07,
    "fp16.add": 0.16,
    "fp16.mul": 0.34,
    "int32.add": 0.03,
    "fp32.add": 0.38,
}
#: Ratio of an FP16 multiplication and addition to an INT8 addition in arXiv:2402.17764, Figure 3.
PUBLISHED_RATIO = (PUBLISHED["fp16.mul"] + PUBLISHED["fp16.add"]) / PUBLISHED["int8.add"]
#: How much of a unit alone counts: its logic; its own registers too; the registers of its operands too.
EXTENTS = ("logic", "unit", "registered")
#: Designs that stand for a product in each arithmetic in the technology rows.
PRODUCTS = {"ternary": "ternary-16", "int8": "int8-16", "fp16": "fp16-fused-16"}
#: Designs that the operations of the technology rows are measured on.
UNITS = {
    "int8.add": "add-int8",
    "int16.add": "add-int16",
    "int32.add": "add-int32",
    "int8.mul": "mul-int8",
    "fp16.add": "add-fp16",
    "fp16.mul": "mul-fp16",
    "fp32.add": "add-fp32",
}
#: Scales of the wire load whose energies bound a technology row.
_LOW_WIRES, _HIGH_WIRES = "0.5", "2"
_PICO = 1e-3

Record = Mapping[str, Any]


def to_record(measurement: Measurement) -> dict[str, Any]:
    """Return a measurement in the types of JSON."""
    return asdict(measurement)


def from_record(record: Record) -> Measurement:
    """Return the measurement that `to_record` gave."""
    energies = {name: ActivityEnergy(**energy) for name, energy in record["energies"].items()}
    return Measurement(**{**record, "energies": energies})


@dataclass(frozen=True, kw_only=True)
class Results:
    """Measurements of a run by the name of their design."""

    measurements: Mapping[str, Measurement]

    @classmethod
    def of(cls, measurements: Iterable[Measurement]) -> "Results":
        """Gather measurements."""
        return cls(measurements={measurement.design: measurement for measurement in measurements})

    def unit(self, operation: str, activity: str, extent: str, *, glitches: bool = True) -> float:
        """Return fJ of an operation alone.

        Parameters
        ----------
        operation
            One of `UNITS`.
        activity
            ``real`` or ``random``.
        extent
            One of `EXTENTS`.
        glitches
            Whether they count.
        """
        energy = self.measurements[UNITS[operation]].energies[activity]
        counted = {"logic": ("logic",), "unit": ("logic", "pipeline")}.get(extent, tuple(energy.groups))
        return sum(
            sum(value for part, value in energy.groups.get(group, {}).items() if glitches or part != "glitch")
            for group in counted
        )

    def has(self, designs: Iterable[str]) -> bool:
        """Whether all of some designs were measured."""
        return all(design in self.measurements for design in designs)

    def operations(self) -> list[dict[str, Any]]:
        """Return the operations alone beside the published ones: fJ by activity and extent, and factors."""
        rows = []
        for operation, design in UNITS.items():
            if design not in self.measurements:
                continue
            published = PUBLISHED.get(operation)
            measured = {
                f"{activity}.{extent}": self.unit(operation, activity, extent)
                for activity in ("real", "random")
                for extent in EXTENTS
            }
            factors = {key: value * _PICO / published for key, value in measured.items()} if published else {}
            rows.append(
                {
                    "operation": operation,
                    "published_pj": published,
                    "measured_fj": measured,
                    "factor": factors,
                }
            )
        return rows

    def ratios(self) -> list[dict[str, Any]]:
        """Return FP16 over ternary, and what it is in between, each with what it is the ratio of."""
        rows: list[dict[str, Any]] = [
            {"ratio": "published: (fp16.mul + fp16.add) / int8.add", "value": PUBLISHED_RATIO}
        ]
        if self.has(UNITS[name] for name in ("fp16.mul", "fp16.add", "int8.add")):
            rows += [
                {
                    "ratio": f"(fp16.mul + fp16.add) / int8.add, {extent}, {activity} operands",
                    "value": sum(self.unit(f"fp16.{name}", activity, extent) for name in ("mul", "add"))
                    / self.unit("int8.add", activity, extent),
                }
                for activity in ("random", "real")
                for extent in EXTENTS
            ]
        base = self.measurements.get(PRODUCTS["ternary"])
        if base is not None:
            rows += [
                {
                    "ratio": f"{other.design} / {base.design}, a product, {rows_shared} row"
                    f"{'s' if rows_shared > 1 else ''}, {activity} operands",
                    "value": other.per_product(activity, rows=rows_shared)
                    / base.per_product(activity, rows=rows_shared),
                }
                for other in self.measurements.values()
                if other.design in {"int8-16", "fp16-fused-16", "fp16-rounded-4", "fp16-fma"}
                for activity in ("random", "real")
                for rows_shared in (1, ROWS)
            ]
        return rows

    def technology_rows(self, clock_mhz: float, where: str) -> list[dict[str, str]]:
        """Return rows of a technology table for what was measured, node ``asap7-measured``.

        A product, ``ternary.mac``, is all of its dot product but what the rows of an array share, which is
        ``ternary.act``: the activations' registers inside and at the clock. An operation alone is its logic and its
        own registers, not those of its operands. The value is that of real operands, glitches and the assumed wires;
        the low end is without glitches at half the wires, the high end that of random operands with twice the wires,
        the extremes of both taken where they lie the other way.

        Parameters
        ----------
        clock_mhz
            Clock of the run.
        where
            What the source column says of library and corner.
        """
        rows = []
        for arithmetic, design in PRODUCTS.items():
            if design not in self.measurements:
                continue
            measurement = self.measurements[design]
            source = f"{where}, design {design} at {clock_mhz:g} MHz"
            shared = {name: _shared(energy) for name, energy in measurement.energies.items()}
            low, value, high = _ends(measurement, shared)
            rows.append(_row(f"{arithmetic}.mac", low, value, high, source, measurement.products, _MAC))
            acts = [shared["real"], shared["random"]]
            rows.append(
                _row(f"{arithmetic}.act", min(acts), acts[0], max(acts), source, measurement.products, _ACT)
            )
        for operation, design in UNITS.items():
            if design not in self.measurements:
                continue
            measurement = self.measurements[design]
            rest = {
                activity: energy.total - self.unit(operation, activity, "unit")
                for activity, energy in measurement.energies.items()
            }
            low, value, high = _ends(measurement, rest)
            source = f"{where}, design {design} at {clock_mhz:g} MHz"
            rows.append(_row(operation, low, value, high, source, 1, _UNIT))
        if UNITS["int32.add"] in self.measurements:
            rows.append(self._register(clock_mhz, where))
        return rows

    def _register(self, clock_mhz: float, where: str) -> dict[str, str]:
        """Return the row of a flip-flop's bit for a cycle, from the registers of the 32-bit adder's operands."""
        measurement = self.measurements[UNITS["int32.add"]]
        bits = 2 * measurement.act_bits
        found = {name: energy.group("operands") for name, energy in measurement.energies.items()}
        clock = min(energy.groups["operands"]["clock"] for energy in measurement.energies.values())
        random = measurement.energies["random"]
        high = found["random"] * random.wires[_HIGH_WIRES] / random.total
        source = f"{where}, design {measurement.design} at {clock_mhz:g} MHz"
        return _row("register", clock, found["real"], high, source, bits, _REGISTER, unit="fJ/bit")


_MAC = "a product with its part of tree, accumulator's addition and registers; those of activations: the .act row"
_ACT = "an activation in a register for one cycle, which all rows of an array share"
_UNIT = "logic and the unit's own registers; those of the operands are not included"
_REGISTER = "a flip-flop's bit for one cycle, with the net that it drives; low: the clock alone"


def _shared(energy: ActivityEnergy) -> float:
    acts = energy.groups["acts"]
    return acts["internal"] + acts["clock"]


def _ends(measurement: Measurement, less: Mapping[str, float]) -> tuple[float, float, float]:
    """Return low, value and high of a design less what is counted elsewhere, in fJ a cycle."""
    real, random = measurement.energies["real"], measurement.energies["random"]
    value = real.total - less["real"]
    ends = [
        (real.settled - less["real"]) * real.wires[_LOW_WIRES] / real.total,
        value,
        (random.total - less["random"]) * random.wires[_HIGH_WIRES] / random.total,
        value * real.wires[_HIGH_WIRES] / real.total,
    ]
    return min(ends), value, max(ends)


def _row(
    operation: str,
    low: float,
    value: float,
    high: float,
    source: str,
    products: int,
    note: str,
    *,
    unit: str = "fJ/op",
) -> dict[str, str]:
    numbers = {"value": value, "low": low, "high": high}
    return (
        {"node": "asap7-measured", "operation": operation}
        | {name: f"{number / products:.4g}" for name, number in numbers.items()}
        | {"unit": unit, "source": source, "obtained": "measured", "status": "verified", "note": note}
    )


def product_rows(results: Results, designs: Sequence[str]) -> list[dict[str, Any]]:
    """Return what a product takes in designs, by activity: fJ alone and in an array, area, flip-flops."""
    rows = []
    for name in designs:
        measurement = results.measurements.get(name)
        if measurement is None:
            continue
        energies = {
            activity: {
                "fj": measurement.per_product(activity),
                "without_glitches_fj": measurement.per_product(activity, glitches=False),
                "in_array_fj": measurement.per_product(activity, rows=ROWS),
                "clock_fj": energy.parts["clock"] / measurement.products,
            }
            for activity, energy in measurement.energies.items()
        }
        rows.append(
            {
                "design": name,
                "products": measurement.products,
                "area_um2": measurement.area_um2 / measurement.products,
                "flip_flops": measurement.flip_flops / measurement.products,
                "energies": energies,
            }
        )
    return rows
