"""One drawing for each model on a device: speed against energy and against area, the front and the choice marked."""

from html import escape

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, LogLocator, MaxNLocator, NullFormatter

from tritforge.energy.plot_style import inline_svg, new_figure, style, tidy
from tritforge.explore.choice import Choice, Wish
from tritforge.explore.devices import TargetDevice
from tritforge.explore.reasons import number, quantity

#: Most points of the cloud that are drawn: every n-th of more.
CLOUD = 4000
#: Colours of `tritforge.energy.plot_style`; the cloud's grey reads on light and on dark ground.
_GREY, _BLUE, _ORANGE, _GREEN = "#8a8a8a", "#0072B2", "#D55E00", "#009E73"
#: What stands for ground, ink and grid in the two schemes of a viewer.
_SCHEMES = (
    "<style>svg{--ground:#fff;--ink:#1a1a1a;--grid:#ddd;background:var(--ground)}"
    "@media(prefers-color-scheme:dark){svg{--ground:#161616;--ink:#e6e6e6;--grid:#4a4a4a}}</style>"
)


def alternative(choice: Choice, wish: Wish) -> str:
    """Return what a drawing shows, in words."""
    phase = wish.phases[0]
    good = choice.rows[choice.within]
    text = f"Speed in {phase} against energy a token and against LUTs, of {len(choice.rows):,} configurations"
    if choice.point is None:
        return f"{text}; none is within all limits"
    row = choice.row(choice.point)
    speed, fronted = f"{phase}_tokens_per_second", choice.rows[choice.front]
    return (
        f"{text}, {len(good):,} of them within all limits. The front has {len(fronted):,}, from "
        f"{number(fronted[speed].min())} tokens/s with {fronted['luts'].min():,} LUTs to "
        f"{number(fronted[speed].max())} with up to {fronted['luts'].max():,}. Recommended: "
        f"{number(row[speed])} tokens/s at {quantity(row[f'{phase}_joules_per_token'], 'J')} a token and "
        f"{row['luts']:,} LUTs"
    )


def draw_choice(choice: Choice, device: TargetDevice, wish: Wish) -> Figure:
    """Draw one choice, in the style that holds: speed against energy, then speed against area in each phase."""
    first = wish.phases[0]
    panels = [(first, f"{first}_joules_per_token"), *((phase, "luts") for phase in wish.phases)]
    figure = new_figure(4.6 * len(panels), 4.2)
    limit = min(device.luts or np.inf, wish.max_luts)
    for axes, (phase, across) in zip(np.ravel(figure.subplots(1, len(panels))), panels, strict=True):
        speed = f"{phase}_tokens_per_second"
        _panel(axes, choice, across, speed)
        area = across == "luts"
        axes.set(
            xlabel="area (LUTs)" if area else f"energy of a token in {phase} (J)",
            ylabel=f"tokens a second in {phase}",
        )
        if area and np.isfinite(limit):
            axes.axvline(
                limit, color=_ORANGE, linestyle=":", linewidth=1.2, label=f"limit: {limit:,.0f} LUTs"
            )
        if wish.min_tokens:
            label = f"limit: {wish.min_tokens:g} tokens/s"
            axes.axhline(wish.min_tokens, color=_ORANGE, linestyle="--", linewidth=1.0, label=label)
    figure.suptitle(f"{choice.model} on {device.title}", fontsize=10.5)
    handles, labels = axes.get_legend_handles_labels()
    legend = figure.legend(
        handles, labels, loc="outside lower center", ncols=len(labels), frameon=False, fontsize=8.5
    )
    for handle in legend.legend_handles:
        if isinstance(handle, PathCollection) and handle.get_sizes()[0] < 14:
            handle.set_sizes([14])
    return figure


def _panel(axes: Axes, choice: Choice, across: str, up: str) -> None:
    """Draw all points over two columns."""
    rows = choice.rows
    for chosen, size, alpha, label in (
        (~choice.within, 2, 0.25, "beyond a limit"),
        (choice.within & ~choice.front, 6, 1.0, "within all limits"),
    ):
        some = rows[chosen].iloc[:: max(1, -(-int(chosen.sum()) // CLOUD))]
        if len(some):
            axes.scatter(
                some[across],
                some[up],
                s=size,
                color=_GREY,
                alpha=alpha,
                linewidths=0,
                label=label,
                rasterized=True,
            )
    fronted = rows[choice.front]
    if len(fronted):
        axes.scatter(fronted[across], fronted[up], s=14, marker="s", color=_BLUE, linewidths=0, label="front")
    for point, marker, size, color, label in (
        (choice.runner_up, "^", 60, _GREEN, "runner-up"),
        (choice.point, "*", 190, _ORANGE, "recommended"),
    ):
        if point is not None:
            row = choice.row(point)
            axes.scatter(
                row[across],
                row[up],
                s=size,
                marker=marker,
                color=color,
                edgecolors="#ffffff",
                linewidths=0.8,
                label=label,
                zorder=3,
            )
    for axis, column in ((axes.xaxis, across), (axes.yaxis, up)):
        ratio = rows[column].max() / rows[column].min()
        if ratio > 5:
            (axes.set_xscale if axis is axes.xaxis else axes.set_yscale)("log")
            axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if ratio < 1000 else (1.0,)))
            axis.set_minor_formatter(NullFormatter())
        else:
            axis.set_major_locator(MaxNLocator(5))
        axis.set_major_formatter(EngFormatter(sep=""))
    tidy(axes)


def plot_choice(choice: Choice, device: TargetDevice, wish: Wish, *, salt: str) -> bytes:
    """Return the drawing as an SVG file that follows a viewer's light or dark scheme, with its text alternative."""
    with style(page=True):
        svg = inline_svg(draw_choice(choice, device, wish), salt=salt)
    text = escape(alternative(choice, wish))
    head, _, rest = svg.partition(">")
    return f"{head}><title>{text}</title>{_SCHEMES}{rest}".encode()
