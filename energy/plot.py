"""Energy against model size, with the published points on the computed curves."""

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, FuncFormatter, LogLocator, NullLocator

from tritforge.accel.errors import InputError
from tritforge.accel.files import write_atomically
from tritforge.energy.plot_style import LOOKS, new_figure, style, tidy
from tritforge.energy.published import PublishedFigure, figure_3
from tritforge.energy.report import ModelReport, report_model
from tritforge.models.shapes import ModelShape, find_shape

#: File types that a plot can be written as.
SUFFIXES = (".png", ".svg")

_LABELS = {"fp16": "FP16", "ternary": "ternary (INT8 additions)"}


def _size(value: float) -> str:
    """Write a number of parameters, such as 1.3B or 1.77M."""
    for scale, letter in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if value >= scale:
            return f"{value / scale:.3g}{letter}"
    return f"{value:.3g}"


def _saving(axes: Axes, report: ModelReport, name: str) -> None:
    """Name a model below its two points and write their ratio between them."""
    low, high = report.ternary.energy.value, report.fp16.energy.value
    size = report.shape.linear_parameters
    axes.plot([size, size], [low * 1.3, high / 1.3], color="0.6", linewidth=0.8, zorder=0)
    axes.annotate(
        f"{report.saving.value:.2f}×",
        (size, (low * high) ** 0.5),
        ha="center",
        va="center",
        fontsize=8,
        bbox={"boxstyle": "round,pad=0.15", "facecolor": mpl.rcParams["axes.facecolor"], "edgecolor": "none"},
    )
    axes.annotate(
        name, (size, low), xytext=(0, -9), textcoords="offset points", ha="center", va="top", fontsize=8
    )


def _curves(axes: Axes, reports: Sequence[ModelReport]) -> None:
    sizes = [report.shape.linear_parameters for report in reports]
    for arithmetic, label in _LABELS.items():
        look = LOOKS[arithmetic]
        axes.plot(
            sizes,
            [getattr(report, arithmetic).energy.value for report in reports],
            color=look.color,
            linestyle=look.linestyle,
            linewidth=1.6,
            marker=look.marker,
            markersize=4,
            label=f"{label}, computed",
        )
    for report in reports:
        _saving(axes, report, report.shape.name.rpartition("-")[2])


def _points(axes: Axes, figures: Sequence[PublishedFigure]) -> None:
    for arithmetic, label in _LABELS.items():
        look = LOOKS[arithmetic]
        there = [figure for figure in figures if figure.quantity == f"{arithmetic}_energy"]
        if not there:
            continue
        axes.plot(
            [find_shape(figure.shape).linear_parameters for figure in there],
            [figure.value for figure in there],
            linestyle="none",
            marker=look.marker,
            markersize=10,
            markerfacecolor="none",
            markeredgecolor=mpl.rcParams["text.color"],
            markeredgewidth=1.0,
            label=f"{label}, published",
        )


def _extra(axes: Axes, report: ModelReport) -> None:
    """One model more, with a marker of its own."""
    for arithmetic in _LABELS:
        look = LOOKS[arithmetic]
        axes.plot(
            [report.shape.linear_parameters],
            [getattr(report, arithmetic).energy.value],
            linestyle="none",
            marker="*",
            markersize=11,
            markerfacecolor=look.color,
            markeredgecolor=mpl.rcParams["text.color"],
            markeredgewidth=0.6,
        )
    # Its name and ratio stand in the legend, since it may lie close to another model.
    name = report.shape.name.rpartition("/")[2]
    label = f"{name}: {report.saving.value:.2f}×"
    axes.plot([], [], linestyle="none", marker="*", markersize=11, color="0.4", label=label)


def _scales(axes: Axes, sizes: Sequence[int]) -> None:
    axes.set_xscale("log")
    axes.set_yscale("log")
    # Over a few decades the decades alone leave too few ticks.
    steps = (1.0, 2.0, 5.0) if max(sizes) < 1000 * min(sizes) else (1.0,)
    axes.xaxis.set_major_locator(LogLocator(subs=steps))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _size(value)))
    axes.yaxis.set_major_formatter(EngFormatter(unit="J"))
    axes.margins(x=0.07, y=0.1)


def draw_energy(*, context: int = 512, node: str = "7nm", extra: ModelShape | None = None) -> Figure:
    """Draw energy against the parameters of the matrices for the shapes of arXiv 2402.17764, Figure 3.

    Parameters
    ----------
    context
        Positions of a prefill; the published points are drawn where it is theirs.
    node
        Technology node; the published points are drawn where it is theirs.
    extra
        A model to mark beside those of the figure.

    Returns
    -------
    Figure
        Not tied to a window; both axes logarithmic.

    Raises
    ------
    InputError
        The node is not known, or the context is not positive.
    """
    figures = figure_3()
    names = dict.fromkeys(figure.shape for figure in figures if figure.shape)
    reports = [report_model(find_shape(name), context, node=node) for name in names]
    figure = new_figure(7.2, 4.8)
    axes = figure.add_subplot()
    _scales(axes, [r.shape.linear_parameters for r in reports] + ([extra.linear_parameters] if extra else []))
    _curves(axes, reports)
    _points(axes, [f for f in figures if (f.context, f.node) == (context, node)])
    if extra is not None:
        _extra(axes, report_model(extra, context, node=node))
    axes.set_xlabel("parameters of the weight matrices")
    axes.set_ylabel(f"energy of a prefill of {context} tokens")
    axes.set_title(
        f"Paper accounting at {node.replace('nm', ' nm')}: arithmetic of matrices and attention only",
        fontsize=10,
    )
    tidy(axes)
    axes.legend(frameon=False, fontsize=8.5, loc="upper left", handlelength=3)
    return figure


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure as PNG or SVG, whole or not at all; the same figure gives the same file.

    Raises
    ------
    InputError
        Another file type, or a path that cannot be written.
    """
    suffix = path.suffix.lower()
    check_suffix(path)
    buffer = BytesIO()
    # Neither the date nor random identifiers enter an SVG.
    with mpl.rc_context({"svg.hashsalt": "tritforge", "svg.fonttype": "path"}):
        metadata = {"Date": None} if suffix == ".svg" else None
        figure.savefig(buffer, format=suffix[1:], metadata=metadata)
    write_atomically(path, buffer.getvalue())


def check_suffix(path: Path) -> None:
    """Reject a path that no plot can be written as, before work is done.

    Raises
    ------
    InputError
        The file type is not one of `SUFFIXES`.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise InputError(f"cannot plot to {path}: the name must end in {' or '.join(SUFFIXES)}")


def plot_energy(
    path: Path, *, context: int = 512, node: str = "7nm", extra: ModelShape | None = None
) -> None:
    """Draw energy against model size as `draw_energy` does, and write it as `save_figure` does."""
    check_suffix(path)
    with style(page=False):
        save_figure(draw_energy(context=context, node=node, extra=extra), path)
