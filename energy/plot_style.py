"""Colours and marks of all plots, and how a figure becomes a file or a part of a page.

Colours are from Okabe and Ito's palette, which colour-blind readers can tell apart; what they tell is told once more
by a marker, a line style or a hatch, so that a plot printed in grey still reads.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import StringIO
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure


@dataclass(frozen=True, kw_only=True)
class Look:
    """How one arithmetic is drawn."""

    label: str
    color: str
    linestyle: str
    marker: str
    hatch: str


#: Looks by arithmetic.
LOOKS = {
    "ternary": Look(label="ternary", color="#0072B2", linestyle="--", marker="s", hatch=""),
    "int8": Look(label="INT8", color="#009E73", linestyle="-.", marker="^", hatch="xx"),
    "fp16": Look(label="FP16", color="#D55E00", linestyle="-", marker="o", hatch="//"),
}

#: Fill and hatch by group of components, in the order of `tritforge.energy.steps.GROUPS`.
GROUP_LOOKS = {
    "matrices": ("#0072B2", ""),
    "scaling": ("#56B4E9", "//"),
    "attention": ("#E69F00", ""),
    "norms and rest": ("#F0E442", "--"),
    "LM head": ("#CC79A7", ""),
    "on-chip memory": ("#009E73", "\\\\"),
    "DRAM: weights": ("#666666", ""),
    "DRAM: LM head": ("#999999", "xx"),
    "DRAM: KV cache": ("#D0D0D0", "||"),
}

#: Ground, ink and grid of a file.
_PAPER = ("#ffffff", "#1a1a1a", "#dddddd")
#: What stands for them in a drawing for a page, and the page's variables that `inline_svg` puts in its place: they
#: change with the page's scheme.
_STANDING = {"#0a0b01": "var(--ground)", "#0a0b02": "var(--ink)", "#0a0b03": "var(--grid)"}
#: Identifiers of an SVG element, and what refers to one.
_ID, _REFERENCE = re.compile(r' id="([^"]+)"'), re.compile(r'(?:url\(#|href="#)([^)"]+)')


@contextmanager
def style(*, page: bool) -> Iterator[None]:
    """Draw for a file on light ground, or for a page, which has variables for ground, ink and grid."""
    ground, ink, faint = _STANDING if page else _PAPER
    settings: dict[Any, Any] = {
        "text.color": ink,
        "axes.labelcolor": ink,
        "axes.edgecolor": ink,
        "axes.titlecolor": ink,
        "xtick.color": ink,
        "ytick.color": ink,
        "grid.color": faint,
        "hatch.color": ground,
        "hatch.linewidth": 0.8,
        "figure.facecolor": ground,
        "axes.facecolor": ground,
        "font.size": 9.5,
        # Text stays text: it can be searched, copied and read aloud, and the file stays small.
        "svg.fonttype": "none",
        "font.family": "sans-serif",
    }
    with mpl.rc_context(settings):
        yield


def new_figure(width: float = 7.2, height: float = 4.2) -> Figure:
    """Return a figure that is not tied to a window."""
    figure = Figure(figsize=(width, height), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def tidy(axes: Axes, *, grid: str = "y") -> None:
    """Leave away what does not help to read: two spines, and a grid along one axis."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(visible=True, which="major", axis="y" if grid == "y" else "x", linewidth=0.6)
    axes.set_axisbelow(True)


def inline_svg(figure: Figure, *, salt: str) -> str:
    """Return a figure, drawn in the page's style, as an SVG element; the same figure gives the same text.

    Parameters
    ----------
    figure
        What is drawn.
    salt
        Keeps identifiers of several figures on one page apart.
    """
    buffer = StringIO()
    with mpl.rc_context({"svg.hashsalt": salt, "svg.fonttype": "none"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None}, transparent=True)
    text = buffer.getvalue()
    # A page has no use for the XML head, and a fixed size would not shrink on a narrow screen.
    element = text[text.index("<svg") :]
    head, _, rest = element.partition(">")
    kept = " ".join(part for part in head.split() if not part.startswith(('width="', 'height="')))
    # Neither does it have one for the maker's name, nor for a style that would hold for all of it.
    rest = re.sub(r"<metadata>.*?</metadata>|<style[^>]*>.*?</style>|<!--.*?-->", "", rest, flags=re.DOTALL)
    wanted = set(_REFERENCE.findall(rest))
    rest = _ID.sub(lambda found: found[0] if found[1] in wanted else "", rest)
    for color, variable in _STANDING.items():
        rest = rest.replace(color, variable)
    return f'{kept} role="img">' + re.sub(r"\n\s*", "\n", rest)
