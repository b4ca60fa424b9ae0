"""Formulas and sources of the energy accounting, as the program has them."""

import re

from tritforge.accel.presets import load_config
from tritforge.energy import accounting, counts, hardware
from tritforge.energy.accounting import EnergyResult, paper_energy
from tritforge.energy.hardware import hardware_energy
from tritforge.energy.scenario import Scenario
from tritforge.energy.technology import default_technology
from tritforge.energy.technology_rules import COMPOSITES
from tritforge.models.shapes import find_shape
from tritforge.rtl.array_report import markdown_table

PAGE = "accounting.md"


def general(formula: str) -> str:
    """Return a formula without the matrices and the sizes that it was applied to."""
    formula = re.sub(r", \d+ of \d+ x \d+$", "", formula)
    return re.sub(r"L N x \d+ for [\w.]+, n = \d+", "each quantised vector of n", formula)


def formulas(result: EnergyResult) -> str:
    """Return every formula of a result once, by component and operation."""
    rows: dict[tuple[str, str, str], None] = {}
    for entry in result.components:
        for formula, _ in entry.terms:
            rows[entry.component, entry.row.operation, general(formula)] = None
    return markdown_table(
        ("part", "priced as", "count"), [[part, f"`{row}`", term] for part, row, term in rows], text=3
    )


def recipe(parts: dict[str, int]) -> str:
    """Return a function's operations in words."""
    return " + ".join(f"{count} `{name}`" for name, count in parts.items())


def tables() -> dict[str, str]:
    """Return the tables of the page."""
    shape = find_shape("bitnet-b1.58-2B-4T")
    config = load_config("default")
    # Both phases of one scenario; INT8 attention and narrow caches have rows of their own.
    sample = hardware_energy(shape, Scenario(config=config, kv_bits=4))
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
        "paper": formulas(paper_energy(shape, 512)),
        "hardware": formulas(sample),
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
