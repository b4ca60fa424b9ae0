"""Plots of a run at gates, from its record."""

import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tritforge.rtl.gates.page import results_of, sensitivity
from tritforge.rtl.gates.results import PRODUCTS, PUBLISHED_RATIO, ROWS, Results

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Files of the plots within a checkout.
PLOTS = {"products": Path("docs/gates-products.svg"), "ratios": Path("docs/gates-ratios.svg")}
_GRAY = "#7a7f87"
#: Colours that keep their contrast on a light and on a dark page, by group.
_GROUPS = {
    "ports": ("input nets", "#b9bec5"),
    "acts": ("activation registers", "#3a78b5"),
    "weights": ("weight registers", "#7fb0dc"),
    "partial": ("partial sum's register", "#b0762a"),
    "pipeline": ("other registers", "#d9a560"),
    "logic": ("logic, settled", "#0a7d6c"),
    "glitch": ("logic, glitches", "#6fc3b4"),
}


def draw(record: Mapping[str, Any]) -> dict[str, str]:
    """Return the plots as SVG by name: energy of a product by group, and the ratio of FP16 to ternary."""
    results = results_of(record)
    return {"products": _products(record, results), "ratios": _ratios(results)}


def _figure(height: float, paint: Callable[["Axes"], None]) -> str:
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    style: dict[Any, Any] = {
        "svg.hashsalt": "tritforge",
        "font.size": 9,
        "font.family": "DejaVu Sans",
        **dict.fromkeys(
            ("text.color", "axes.labelcolor", "xtick.color", "ytick.color", "axes.edgecolor"), _GRAY
        ),
    }
    with rc_context(style):
        figure = Figure(figsize=(9.6, height), layout="constrained")
        axes = figure.subplots()
        paint(axes)
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(length=0, which="both")
        output = io.StringIO()
        figure.savefig(output, format="svg", transparent=True, metadata={"Date": None})
    return "\n".join(line.rstrip() for line in output.getvalue().splitlines()) + "\n"


def _products(record: Mapping[str, Any], results: Results) -> str:
    names = [design["name"] for design in record["designs"] if design["role"] == "dot"]

    def paint(axes: "Axes") -> None:
        totals = []
        left = [0.0] * len(names)
        for group, (label, color) in _GROUPS.items():
            widths = []
            for name in names:
                m = results.measurements[name]
                energy = m.energies["real"]
                glitch = energy.groups.get("logic", {}).get("glitch", 0.0)
                value = glitch if group == "glitch" else energy.group(group) - glitch * (group == "logic")
                widths.append(value / m.products)
            axes.barh(range(len(names)), widths, left=left, color=color, height=0.66, label=label)
            left = [start + width for start, width in zip(left, widths, strict=True)]
            totals = left
        for place, total in enumerate(totals):
            axes.text(total * 1.01, place, f"{total:,.0f}", va="center", ha="left")
        axes.set_yticks(range(len(names)), names)
        axes.invert_yaxis()
        axes.set_xlim(0, max(totals) * 1.1)
        axes.set_xlabel("fJ a product, real operands, one row")
        axes.legend(frameon=False, fontsize=8, loc="upper right")

    return _figure(1.2 + 0.42 * len(names), paint)


def _ratios(results: Results) -> str:
    ternary, fp16 = PRODUCTS["ternary"], PRODUCTS["fp16"]
    bars: list[tuple[str, float, str]] = [
        ("published: (FP16 multiplication + addition) / INT8 addition", PUBLISHED_RATIO, "#a8485e")
    ]
    bars += [
        (f"a product: {name}", values[fp16] / values[ternary], "#0a7d6c")
        for name, values in sensitivity(results)
        if fp16 in values and ternary in values and not name.startswith("supply")
    ]

    def paint(axes: "Axes") -> None:
        axes.barh(range(len(bars)), [value for _, value, _ in bars], color=[c for *_, c in bars], height=0.66)
        for place, (_, value, _) in enumerate(bars):
            axes.text(value * 1.03, place, f"{value:.1f}", va="center", ha="left")
        axes.set_yticks(range(len(bars)), [name for name, *_ in bars])
        axes.invert_yaxis()
        axes.set_xscale("log")
        axes.set_xlim(1, PUBLISHED_RATIO * 1.5)
        axes.set_xlabel(
            f"FP16 over ternary; {fp16} over {ternary}; {ROWS} rows as in the default configuration"
        )

    return _figure(1.2 + 0.3 * len(bars), paint)
