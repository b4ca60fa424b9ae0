"""The plots of the page: where cycles go, the array's roofline, energy by part, and memory by packing."""

from collections.abc import Sequence
from math import log10
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patches import Patch
from matplotlib.ticker import EngFormatter, FuncFormatter, LogLocator, NullLocator, PercentFormatter

from tritforge.energy.accounting import EnergyResult
from tritforge.energy.plot_style import GROUP_LOOKS, new_figure, tidy
from tritforge.energy.steps import GROUPS, group
from tritforge.report.roofs import ArrayRoof
from tritforge.report.words import number
from tritforge.report.workload import PhaseCycles

#: Fill and hatch of what the lanes do, in the order of `MatrixCycles.parts`.
PART_LOOKS = {
    "working": ("#0072B2", ""),
    "empty lanes": ("#56B4E9", "//"),
    "waiting for weights": ("#D55E00", ""),
    "waiting for activations": ("#E69F00", "\\\\"),
    "waiting for output": ("#CC79A7", "xx"),
    "fill and drain": ("#999999", ".."),
}
#: Colour and marker of a phase.
PHASE_LOOKS = {"prefill": ("#0072B2", "s"), "decode": ("#D55E00", "o")}
#: Parts of a model in memory, with fill and hatch.
MEMORY_LOOKS = {
    "matrices": ("#0072B2", ""),
    "scales": ("#56B4E9", "//"),
    "embedding": ("#E69F00", "\\\\"),
    "lm_head": ("#CC79A7", ""),
    "norms_and_router": ("#009E73", "xx"),
}


def short(name: str) -> str:
    """Return a matrix's name without the part of the layer that it is in."""
    return name.rpartition(".")[2]


def _legend(figure: Figure, looks: dict[str, tuple[str, str]], used: Sequence[str], columns: int) -> None:
    handles = [
        Patch(facecolor=looks[name][0], hatch=looks[name][1], label=name.replace("_", " ")) for name in used
    ]
    figure.legend(
        handles=handles,
        loc="outside lower center",
        ncols=columns,
        frameon=False,
        fontsize=8.5,
        handlelength=1.6,
    )


def _spread(figure: Figure) -> None:
    """Keep the panels of a figure apart, so that the ends of their axes do not touch."""
    engine = figure.get_layout_engine()
    assert isinstance(engine, ConstrainedLayoutEngine)  # noqa: S101 - as of `new_figure`
    engine.set(wspace=0.06)


def draw_cycles(phases: Sequence[PhaseCycles]) -> Figure:
    """Draw, for every matrix of a layer, the share of its cycles by what the lanes do, a panel for each phase."""
    rows = max(len(phase.matrices) for phase in phases) + 1
    figure = new_figure(7.6, 0.32 * rows + 1.25)
    panels = figure.subplots(1, len(phases), squeeze=False, sharey=True)[0]
    for axes, phase in zip(panels, phases, strict=True):
        layer = {part: sum(one.parts[part] for one in phase.matrices) for part in PART_LOOKS}
        bars = [(short(one.name), one.parts) for one in phase.matrices] + [("whole layer", layer)]
        for place, (_, parts) in enumerate(bars):
            left, total = 0.0, sum(parts.values())
            for part, (color, hatch) in PART_LOOKS.items():
                width = parts[part] / total
                axes.barh(place, width, left=left, height=0.7, color=color, hatch=hatch, linewidth=0)
                left += width
        axes.set_yticks(range(len(bars)), [name for name, _ in bars])
        axes.set_xlim(0, 1)
        axes.xaxis.set_major_formatter(PercentFormatter(1))
        tokens = f"{phase.tokens} tokens" if phase.tokens > 1 else "one token"
        axes.set_title(f"{phase.phase}, {tokens}", fontsize=10)
        axes.set_xticks([0, 0.25, 0.5, 0.75, 1])
        axes.set_xlabel("share of the cycles")
        tidy(axes, grid="x")
    panels[0].invert_yaxis()
    _spread(figure)
    used = [
        part for part in PART_LOOKS if any(one.parts[part] > 0 for phase in phases for one in phase.matrices)
    ]
    _legend(figure, PART_LOOKS, used, 3)
    return figure


def draw_roof(roof: ArrayRoof) -> Figure:
    """Draw the array's roofline: operations a cycle against operations for each byte of weights, both logarithmic."""
    figure = new_figure(7.6, 4.2)
    axes = figure.add_subplot()
    places = [point.intensity for point in roof.points] + [roof.ridge, roof.memory_ridge]
    low, high = min(places) / 2.5, max(places) * 2.5
    peak = roof.operations_per_cycle
    ink = axes.xaxis.label.get_color()
    for slope, ridge, label, line in (
        (roof.port_bytes_per_cycle, roof.ridge, "weight port", "-"),
        (roof.memory_bytes_per_cycle, roof.memory_ridge, "memory", "--"),
    ):
        axes.plot(
            [low, ridge, high],
            [slope * low, peak, peak],
            color=ink,
            linestyle=line,
            linewidth=1.4 if line == "-" else 1.1,
            label=f"{label}: {slope:,.3g} bytes a cycle",
        )
    for phase, (color, marker) in PHASE_LOOKS.items():
        points = [point for point in roof.points if point.phase == phase]
        axes.plot(
            [point.intensity for point in points],
            [point.performance for point in points],
            linestyle="none",
            marker=marker,
            markersize=6,
            color=color,
            markerfacecolor="none",
            markeredgewidth=1.4,
            label=f"{phase}, by the cycle model",
        )
    axes.annotate(
        f"lanes: {peak:,} operations a cycle",
        (high, peak),
        xytext=(-4, 5),
        textcoords="offset points",
        ha="right",
        fontsize=8.5,
    )
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(low, high)
    bottom = min(point.performance for point in roof.points)
    axes.set_ylim(
        min(bottom, roof.memory_bytes_per_cycle * min(p.intensity for p in roof.points)) / 2, peak * 2
    )
    for axis in (axes.xaxis, axes.yaxis):
        span = log10(high / low) if axis is axes.xaxis else log10(axes.get_ylim()[1] / axes.get_ylim()[0])
        axis.set_major_locator(LogLocator(subs=(1, 2, 5) if span < 3 else (1,)))
        axis.set_major_formatter(FuncFormatter(lambda value, _: number(value)))
        axis.set_minor_locator(NullLocator())
    axes.set_xlabel("ternary operations for each byte of weights")
    axes.set_ylabel("ternary operations a cycle")
    axes.legend(frameon=False, fontsize=8.5, loc="lower right")
    tidy(axes)
    return figure


def draw_energy_parts(results: Sequence[EnergyResult]) -> Figure:
    """Draw the energy of a token by part with its bounds, a panel for each phase."""
    used = [name for name in GROUPS if any(group(result, name).value for result in results)]
    figure = new_figure(7.6, 0.34 * len(used) + 1.0)
    panels = figure.subplots(1, len(results), squeeze=False, sharey=True)[0]
    for axes, result in zip(panels, results, strict=True):
        _energy_bars(axes, result, used)
    panels[0].invert_yaxis()
    _spread(figure)
    return figure


def _energy_bars(axes: Axes, result: EnergyResult, used: Sequence[str]) -> None:
    for place, name in enumerate(used):
        part = group(result, name)
        value, low, high = (bound / result.tokens for bound in (part.value, part.low, part.high))
        color, hatch = GROUP_LOOKS[name]
        axes.barh(place, value, height=0.68, color=color, hatch=hatch, linewidth=0)
        axes.errorbar(
            value,
            place,
            xerr=[[value - low], [high - value]],
            fmt="none",
            ecolor=axes.xaxis.label.get_color(),
            elinewidth=1.0,
            capsize=3,
        )
        axes.annotate(
            EngFormatter(unit="J", places=1)(value),
            (high, place),
            xytext=(6, 0),
            textcoords="offset points",
            va="center",
            fontsize=8,
        )
    axes.set_yticks(range(len(used)), used)
    axes.xaxis.set_major_formatter(EngFormatter(unit="J"))
    axes.locator_params(axis="x", nbins=5)
    most = max(group(result, name).high for name in used) / result.tokens
    axes.set_xlim(0, 1.3 * most)
    axes.set_title(f"{result.phase}, a token", fontsize=10)
    tidy(axes, grid="x")


def draw_memory(memory: dict[str, Any]) -> Figure:
    """Draw a model's parameters in every packing, stacked, and the cache of a sequence beside them."""
    packings: dict[str, dict[str, float]] = memory["packings"]
    cache = list(memory["cache"].items())
    names = [*packings, f"cache at {int(cache[-1][0]):,}"]
    figure = new_figure(7.6, 0.34 * len(names) + 1.2)
    axes = figure.add_subplot()
    for place, parts in enumerate(packings.values()):
        left = 0.0
        for part, (color, hatch) in MEMORY_LOOKS.items():
            axes.barh(place, parts[part], left=left, height=0.68, color=color, hatch=hatch, linewidth=0)
            left += parts[part]
    axes.barh(len(packings), cache[-1][1], height=0.68, color="#666666", hatch="||", linewidth=0)
    labels = [f"{name} (here)" if name == memory["packing"] else name for name in names]
    axes.set_yticks(range(len(names)), labels)
    axes.invert_yaxis()
    axes.xaxis.set_major_formatter(EngFormatter(unit="B"))
    axes.set_xlim(left=0)
    tidy(axes, grid="x")
    used = [part for part in MEMORY_LOOKS if any(parts[part] for parts in packings.values())]
    _legend(figure, MEMORY_LOOKS, used, len(used))
    return figure
