"""Tables of a run at gates, in Markdown, from its record."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tritforge.rtl.array_report import fill_sections, markdown_table
from tritforge.rtl.gates.measure import GROUPS, PARTS, Measurement
from tritforge.rtl.gates.results import EXTENTS, PRODUCTS, ROWS, Results, from_record

#: Places of the kept files within a checkout.
PAGE = Path("docs/gates.md")
RECORD = Path("benchmarks/gates.json")

Record = Mapping[str, Any]


def results_of(record: Record) -> Results:
    """Return the measurements of a record."""
    return Results.of(from_record(design["measurement"]) for design in record["designs"])


def tables(record: Record) -> dict[str, str]:
    """Return the tables of the page, by name."""
    results = results_of(record)
    by_role: dict[str, list[Record]] = {}
    for design in record["designs"]:
        by_role.setdefault(design["role"], []).append(design)
    return {
        "tools": _tools(record),
        "products": _products(results, by_role.get("dot", [])),
        "parts": _parts(results, by_role.get("dot", [])),
        "groups": _groups(results, by_role.get("dot", [])),
        "operations": _operations(record),
        "ratios": markdown_table(
            ("ratio", "value"), [[row["ratio"], f"{row['value']:.2f}"] for row in record["ratios"]]
        ),
        "variants": _variants(results, by_role.get("variant", [])),
        "sensitivity": _sensitivity(results),
        "models": _models(record),
        "technology": _technology(record),
        "netlists": _netlists(record, results),
    }


def fill_page(page: str, record: Record) -> str:
    """Return the page with its tables made anew; what stands between them stays.

    Raises
    ------
    InputError
        The page lacks the place of a table.
    """
    return fill_sections(page, tables(record), name=PAGE)


def render(record: Record) -> str:
    """Return all tables of a run under headings, for a folder of results."""
    lines = ["# Measured at gates", ""]
    for name, text in tables(record).items():
        if text.count("\n") > 2 or name == "tools":
            lines += [f"## {name.capitalize()}", "", text]
    return "\n".join(lines)


def _tools(record: Record) -> str:
    library, conditions = record["library"], record["conditions"]
    versions = ", ".join(f"{tool} {number}" for tool, number in record["tools"].items())
    wires = conditions["wire_load"]
    return (
        f"TritForge {record['tritforge']}, {versions}; {', '.join(library['names'])}: {library['voltage']:g} V, "
        f"{library['temperature']:g} degrees Celsius, SHA-256 of the files {library['sha256'][:12]}; clock "
        f"{conditions['clock_mhz']:g} MHz, wires {wires['base_fF']:g} fF and {wires['per_sink_fF']:g} fF a pin, "
        f"seed {conditions['seed']}, {conditions['streams']:,} rows.\n"
    )


def _titles(designs: Sequence[Record]) -> list[tuple[str, str]]:
    return [(design["name"], design["title"]) for design in designs]


def _products(results: Results, designs: Sequence[Record]) -> str:
    rows = []
    for name, title in _titles(designs):
        m = results.measurements[name]
        dequantised = f"{m.per_product('dequantised'):.1f}" if "dequantised" in m.energies else ""
        rows.append(
            [
                f"`{name}`",
                title,
                str(m.products),
                f"{m.area_um2 / m.products:.1f}",
                f"{m.flip_flops / m.products:.1f}",
                f"{m.per_product('real'):.1f}",
                f"{m.per_product('random'):.1f}",
                dequantised,
                f"{m.per_product('real', rows=ROWS):.1f}",
            ]
        )
    headings = ("design", "what", "products a cycle", "µm²", "flip-flops", "fJ, real", "fJ, random")
    return markdown_table((*headings, "fJ, dequantised", f"fJ, real, {ROWS} rows"), rows, text=2)


def _parts(results: Results, designs: Sequence[Record]) -> str:
    rows = []
    for name, _ in _titles(designs):
        m = results.measurements[name]
        parts = m.energies["real"].parts
        rows.append([f"`{name}`", *(f"{parts[part] / m.products:.2f}" for part in PARTS)])
    return markdown_table(("design", *PARTS), rows)


def _groups(results: Results, designs: Sequence[Record]) -> str:
    shown = [group for group in GROUPS if group != "operands"]
    rows = []
    for name, _ in _titles(designs):
        m = results.measurements[name]
        energy = m.energies["real"]
        rows.append([f"`{name}`", *(f"{energy.group(group) / m.products:.2f}" for group in shown)])
    return markdown_table(("design", *shown), rows)


def _operations(record: Record) -> str:
    rows = []
    for row in record["operations"]:
        measured, factor, published = row["measured_fj"], row["factor"], row["published_pj"]
        cells = [row["operation"], "" if published is None else f"{published * 1000:g}"]
        for activity in ("random", "real"):
            cells += [f"{measured[f'{activity}.{extent}']:.1f}" for extent in EXTENTS]
        cells.append(f"{factor['random.logic']:.2f} to {factor['random.registered']:.2f}" if factor else "")
        rows.append(cells)
    headings = [f"{activity}: {extent}" for activity in ("random", "real") for extent in EXTENTS]
    return markdown_table(("operation", "published", *headings, "measured / published"), rows)


def _variants(results: Results, designs: Sequence[Record]) -> str:
    rows = []
    for name, title in _titles(designs):
        m = results.measurements[name]
        base = results.measurements.get(PRODUCTS[_arithmetic(name)])
        if base is None:
            continue
        mine, other = m.per_product("real"), base.per_product("real")
        rows.append(
            [
                f"`{name}`",
                title,
                f"{m.clock_mhz:g}",
                f"{m.area_um2 / m.products:.1f}",
                f"{m.energies['real'].parts['clock'] / m.products:.1f}",
                f"{mine:.1f}",
                f"{mine / other - 1:+.1%}",
            ]
        )
    return markdown_table(
        ("design", "what differs", "MHz", "µm²", "fJ of the clock", "fJ, real", "against the base"),
        rows,
        text=2,
    )


def _arithmetic(design: str) -> str:
    return design.split("-", maxsplit=1)[0]


#: Scales of the energy with the supply, at the same activity: the square of it, for 10 % either way.
_SUPPLIES = {"supply 0.63 V (energies by its square)": 0.81, "supply 0.77 V (energies by its square)": 1.21}


def sensitivity(results: Results) -> list[tuple[str, dict[str, float]]]:
    """Return fJ a product of the compared designs as assumptions change, one at a time."""
    chosen = {name: results.measurements[name] for name in PRODUCTS.values() if name in results.measurements}

    def each(value: Any) -> dict[str, float]:
        return {name: value(m) for name, m in chosen.items()}

    def wires(m: Measurement, scale: str) -> float:
        energy = m.energies["real"]
        return m.per_product("real") * energy.wires[scale] / energy.total

    def gated(m: Measurement) -> float:
        weights = m.energies["real"].groups["weights"]
        # A weight is written once in 16 cycles; gated, its clock runs in that cycle alone.
        return m.per_product("real") - weights["clock"] * 15 / 16 / m.products

    rows = [
        ("as assumed", each(lambda m: m.per_product("real"))),
        ("random operands", each(lambda m: m.per_product("random"))),
        (
            "ternary weights in FP16 and INT8 too",
            each(lambda m: m.per_product("dequantised" if "dequantised" in m.energies else "real")),
        ),
        ("no glitches", each(lambda m: m.per_product("real", glitches=False))),
        ("no wires", each(lambda m: wires(m, "0"))),
        ("half the wires", each(lambda m: wires(m, "0.5"))),
        ("twice the wires", each(lambda m: wires(m, "2"))),
        ("clock of the weights' registers gated", each(gated)),
        (f"{ROWS} rows share the activations' registers", each(lambda m: m.per_product("real", rows=ROWS))),
        (
            "half as much again for a clock tree",
            each(lambda m: m.per_product("real") + m.energies["real"].parts["clock"] / 2 / m.products),
        ),
        *((name, each(lambda m, s=scale: m.per_product("real") * s)) for name, scale in _SUPPLIES.items()),
    ]
    for suffix, name in (("plain-flops", "flip-flops of dfflibmap"), ("slow", "half the clock")):
        other = {base: results.measurements.get(f"{base}-{suffix}") for base in chosen}
        if all(m is not None for m in other.values()):
            rows.append((name, {base: m.per_product("real") for base, m in other.items() if m is not None}))
    return rows


def _sensitivity(results: Results) -> str:
    rows = []
    for name, values in sensitivity(results):
        ternary = values.get(PRODUCTS["ternary"])
        cells = [name, *(f"{values[design]:.1f}" if design in values else "" for design in PRODUCTS.values())]
        for arithmetic in ("int8", "fp16"):
            other = values.get(PRODUCTS[arithmetic])
            cells.append(f"{other / ternary:.2f}" if other and ternary else "")
        rows.append(cells)
    headings = ("assumption", *(f"{name}, fJ" for name in PRODUCTS), "INT8 / ternary", "FP16 / ternary")
    return markdown_table(headings, rows)


def _models(record: Record) -> str:
    rows = [
        [
            row["model"],
            row["accounting"],
            *(
                f"{row[name]['value']:.4g}" if name in row else ""
                for name in ("ternary_j", "int8_j", "fp16_j")
            ),
            f"{row['ratio']['value']:.2f} ({row['ratio']['low']:.2f} to {row['ratio']['high']:.2f})",
            "" if row["published_ratio"] is None else f"{row['published_ratio']:g}",
        ]
        for row in record["models"]
    ]
    headings = ("ternary, J", "INT8, J", "FP16, J", "FP16 / ternary", "published")
    return markdown_table(("model", "accounting", *headings), rows, text=2)


def _technology(record: Record) -> str:
    columns = ("operation", "value", "low", "high", "unit")
    return markdown_table(columns, [[row[column] for column in columns] for row in record["technology"]])


def _netlists(record: Record, results: Results) -> str:
    rows = []
    for design in record["designs"]:
        m = results.measurements[design["name"]]
        checked = sum(energy.vectors for energy in m.energies.values())
        adders = sum(number for kind, number in m.kinds.items() if kind.startswith(("FA", "HA")))
        rows.append(
            [
                f"`{m.design}`",
                f"{m.cells:,}",
                f"{m.flip_flops:,}",
                f"{adders:,}",
                f"{m.area_um2:,.1f}",
                str(m.latency),
                str(m.effort),
                f"{m.clock_mhz:g}",
                f"{m.slack_ps:.0f}",
                f"{checked:,}",
                f"{max(energy.glitch_cycles for energy in m.energies.values()):,}",
            ]
        )
    headings = ("cells", "flip-flops", "full and half adders", "µm²", "latency", "effort", "MHz", "slack, ps")
    return markdown_table(("design", *headings, "results compared", "cycles with delays"), rows)
