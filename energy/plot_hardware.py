"""Plots of the hardware accounting: parts as stacked bars, the steps of a ratio, and sweeps over the context."""

from collections.abc import Sequence
from dataclasses import replace

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import EngFormatter, FixedLocator, FuncFormatter, NullLocator

from tritforge.energy.baselines import ARITHMETICS
from tritforge.energy.hardware import hardware_energy
from tritforge.energy.plot_style import GROUP_LOOKS, LOOKS, new_figure, tidy
from tritforge.energy.report import ModelReport, format_joules
from tritforge.energy.scenario import PHASES, Scenario
from tritforge.energy.steps import GROUPS, Step, group
from tritforge.energy.technology import Technology
from tritforge.models.shapes import ModelShape

#: Contexts of a sweep.
CONTEXTS = tuple(1 << power for power in range(5, 16))


def draw_breakdown(reports: Sequence[ModelReport]) -> Figure:
    """Draw the parts of each result as stacked bars, joules a token, a panel for each report.

    Parameters
    ----------
    reports
        Of one shape under the hardware accounting, such as its prefill and a decoding step.
    """
    figure = new_figure(7.2, 4.4)
    panels = figure.subplots(1, len(reports), squeeze=False)[0]
    for axes, report in zip(panels, reports, strict=True):
        _bars(axes, report)
    panels[0].set_ylabel("energy of a token")
    used = [
        name for name in GROUPS if any(group(result, name).value for r in reports for result in r.results)
    ]
    handles = [
        Patch(facecolor=GROUP_LOOKS[name][0], hatch=GROUP_LOOKS[name][1], label=name)
        for name in reversed(used)
    ]
    figure.legend(handles=handles, loc="outside right center", frameon=False, fontsize=8.5)
    return figure


def _bars(axes: Axes, report: ModelReport) -> None:
    for place, result in enumerate(report.results):
        bottom = 0.0
        for name in GROUPS:
            height = group(result, name).value / result.tokens
            color, hatch = GROUP_LOOKS[name]
            axes.bar(place, height, bottom=bottom, width=0.7, color=color, hatch=hatch, linewidth=0)
            bottom += height
        total = result.per_token
        # The bounds of the total, in the colour of the text on either ground.
        axes.errorbar(
            place,
            total.value,
            yerr=[[total.value - total.low], [total.high - total.value]],
            fmt="none",
            ecolor=axes.xaxis.label.get_color(),
            elinewidth=1.0,
            capsize=3,
        )
    axes.set_xticks(range(len(report.results)), [LOOKS[result.arithmetic].label for result in report.results])
    axes.yaxis.set_major_formatter(EngFormatter(unit="J"))
    axes.set_ylim(bottom=0)
    ternary = report.ternary
    what = (
        f"prefill of {ternary.context}"
        if ternary.phase == "prefill"
        else f"decode at context {ternary.context}"
    )
    axes.set_title(what, fontsize=10)
    tidy(axes)


def draw_steps(steps: Sequence[Step]) -> Figure:
    """Draw how the ratio of FP16 to ternary changes with what is counted, a bar a step, from top to bottom."""
    # The first bar is whole, those of the steps hang between two ratios, and the last is whole again.
    ratios = [step.ratio for step in steps] + [steps[-1].ratio]
    names = ["one operation", *(f"+ {step.name}" for step in steps[1:]), "whole system"]
    figure = new_figure(7.2, 0.42 * len(names) + 0.9)
    axes = figure.add_subplot()
    ink = axes.xaxis.label.get_color()
    for place, now in enumerate(ratios):
        before = ratios[max(place - 1, 0)].value
        if place in {0, len(names) - 1}:
            left, right, color, hatch = 0.0, now.value, LOOKS["ternary"].color, ""
        else:
            left, right = sorted((before, now.value))
            falls = now.value < before
            color, hatch = (LOOKS["fp16"].color, "//") if falls else (LOOKS["int8"].color, "xx")
        axes.barh(
            place, max(right - left, 0.15), left=left, height=0.62, color=color, hatch=hatch, linewidth=0
        )
        if place:
            axes.plot([before, before], [place - 1, place], color=ink, linewidth=0.6, linestyle=":")
        if now.low < now.high:
            axes.errorbar(
                now.value,
                place,
                xerr=[[now.value - now.low], [now.high - now.value]],
                fmt="none",
                ecolor=ink,
                elinewidth=0.9,
                capsize=2.5,
            )
        axes.annotate(
            f"{now.value:.1f}×",
            (max(right, now.high), place),
            xytext=(6, 0),
            textcoords="offset points",
            va="center",
            fontsize=9,
        )
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.set_xlim(0, max(interval.high for interval in ratios) * 1.12)
    axes.set_xlabel("energy in FP16 over energy with ternary matrices, of all that is counted so far")
    tidy(axes, grid="x")
    return figure


def contexts_of(shape: ModelShape) -> tuple[int, ...]:
    """Return the contexts of `CONTEXTS` that a model has positions for; all where the shape does not say."""
    limit = shape.max_position_embeddings or CONTEXTS[-1]
    return tuple(context for context in CONTEXTS if context <= limit) or CONTEXTS[:1]


def draw_contexts(
    shape: ModelShape,
    scenario: Scenario,
    *,
    node: str = "7nm",
    technology: Technology | None = None,
    inverse: bool = False,
) -> Figure:
    """Draw joules a token, or tokens a joule, against the context: prefill and decoding apart.

    Parameters
    ----------
    shape, scenario, node, technology
        As of `tritforge.energy.hardware.hardware_energy`; phase and context are swept.
    inverse
        Tokens a joule instead.
    """
    contexts = contexts_of(shape)
    figure = new_figure(7.2, 3.6)
    panels = figure.subplots(1, len(PHASES), sharey=True)
    for axes, phase in zip(panels, PHASES, strict=True):
        for arithmetic in ARITHMETICS:
            look = LOOKS[arithmetic]
            costs = [
                hardware_energy(
                    shape,
                    replace(scenario, phase=phase, context=context),
                    arithmetic=arithmetic,
                    node=node,
                    technology=technology,
                ).per_token
                for context in contexts
            ]
            low, value, high = (
                [1 / getattr(cost, end) if inverse else getattr(cost, end) for cost in costs]
                for end in ("low", "value", "high")
            )
            axes.plot(
                contexts,
                value,
                color=look.color,
                linestyle=look.linestyle,
                marker=look.marker,
                markersize=4,
                linewidth=1.6,
                label=look.label,
            )
            axes.fill_between(contexts, low, high, color=look.color, alpha=0.15, linewidth=0)
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
        axes.xaxis.set_major_locator(FixedLocator(contexts[::2]))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(
            FuncFormatter(lambda value, _: f"{value / 1024:g}k" if value >= 1024 else f"{value:g}")
        )
        axes.yaxis.set_major_formatter(
            FuncFormatter(lambda value, _: f"{value:g}") if inverse else EngFormatter(unit="J")
        )
        axes.set_title(f"{phase}, {scenario.batch} sequence{'s' if scenario.batch > 1 else ''}", fontsize=10)
        axes.set_xlabel("context, tokens")
        tidy(axes)
    panels[0].set_ylabel("tokens a joule" if inverse else "energy of a token")
    panels[0].legend(frameon=False, fontsize=8.5, handlelength=3)
    return figure


def describe(report: ModelReport) -> str:
    """Say the totals of a report in a sentence, for those who do not see the plots."""
    parts = [
        f"{LOOKS[result.arithmetic].label} {format_joules(result.per_token)}" for result in report.results
    ]
    return f"Energy of a token in {report.ternary.phase}: {', '.join(parts)}."
