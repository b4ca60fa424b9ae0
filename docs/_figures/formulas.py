"""Formulas and sources of the energy accounting, as the program has them."""

import re
from collections.abc import Iterable

from tritforge.energy import accounting, counts, hardware
from tritforge.energy.accounting import EnergyResult, paper_energy
from tritforge.energy.hardware import hardware_energy
from tritforge.energy.scenario import Scenario
from tritforge.energy.technology import default_technology
from tritforge.energy.technology_rules import COMPOSITES
from tritforge.models.shapes import find_shape
from tritforge.rtl.array_report import markdown_table

PAGE = "accounting.md"


def samples() -> list[EnergyResult]:
    """Return results that have every part between them: phases, caches, experts, a recurrence, baselines."""
    dense, experts, recurrent = (
        find_shape(name)
        for name in ("bitnet-b1.58-2B-4T", "mistralai/Mixtral-8x7B-v0.1", "ridger/MMfreeLM-370M")
    )
    narrow = Scenario(kv_bits=4)
    return [
        hardware_energy(dense, narrow),
        hardware_energy(dense, Scenario(attention="int8", phase="decode")),
        hardware_energy(experts, narrow),
        hardware_energy(recurrent),
        *(hardware_energy(dense, narrow, arithmetic=name) for name in ("fp16", "int8")),
    ]


def general(text: str) -> str:
    """Return a formula, or an operation, without the matrices and the sizes that it was applied to."""
    for pattern, plain in (
        (r", \d+ of \d+ x \d+$", ""),
        (r"L N x \d+ for [\w.]+, n = \d+", "each quantised vector of n"),
        (r"level \d+", "each level"),
        (r"^int(?!8\.)\d+\.add$", "intW.add"),
        (r"^sram\.\d+B$", "sram.SIZE"),
        (r"^dram\.\w+$", "dram.TYPE"),
    ):
        text = re.sub(pattern, plain, text)
    return text


def formulas(results: Iterable[EnergyResult]) -> str:
    """Return every formula of some results once, by component and operation."""
    rows: dict[tuple[str, str], dict[str, None]] = {}
    for result in results:
        for entry in result.components:
            found = rows.setdefault((entry.component, general(entry.row.operation)), {})
            found |= dict.fromkeys(general(formula) for formula, _ in entry.terms)
    return markdown_table(
        ("part", "priced as", "count, the sum of"),
        [[part, f"`{operation}`", "<br>".join(found)] for (part, operation), found in rows.items()],
        text=3,
    )


def recipe(parts: dict[str, int]) -> str:
    """Return a function's operations in words."""
    return " + ".join(f"{count} `{name}`" for name, count in parts.items())


def tables() -> dict[str, str]:
    """Return the tables of the page."""
    shape = find_shape("bitnet-b1.58-2B-4T")
    rows = [
        [
            row.node,
            f"`{row.operation}`",
            f"{row.cost.value:g}",
            f"{row.cost.low:g} to {row.cost.high:g}" if row.cost.low != row.cost.high else "",
            row.unit,
            row.obtained,
            row.status,
            row.source + (f"; {row.note}" if row.note else ""),
        ]
        for row in default_technology()
    ]
    composites = [
        [f"`{name}`", recipe(dict(one.value)), recipe(dict(one.low)), recipe(dict(one.high)), one.method]
        for name, one in COMPOSITES.items()
    ]
    symbols = [[f"`{name}`", meaning] for name, meaning in (counts.SYMBOLS | hardware.SYMBOLS).items()]
    return {
        "paper": formulas([paper_energy(shape, 512)]),
        "hardware": formulas(samples()),
        "symbols": markdown_table(("symbol", "stands for"), symbols, text=2),
        "technology": markdown_table(
            ("node", "operation", "value", "bounds", "unit", "obtained", "read", "source and note"),
            rows,
            text=8,
        ),
        "functions": markdown_table(("function", "value", "low", "high", "method"), composites, text=5),
        "paper_omits": "".join(f"- {line}\n" for line in accounting.LEFT_OUT),
        "hardware_omits": "".join(f"- {line}\n" for line in hardware.LEFT_OUT),
    }
