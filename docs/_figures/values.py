"""How the three values are distributed: the shipped checkpoint, and what absmean makes of usual distributions."""

from math import erf, exp, log2, pi, sqrt

from _svg import bars

from tritforge.models.formats import open_checkpoint
from tritforge.models.inspection import entropy, inspect
from tritforge.rtl.array_report import markdown_table
from tritforge.sim.operands import ZERO_SHARE

PAGE = "questions/values.md"


def laws() -> dict[str, float]:
    """Return the share of zeros by distribution: of weights within half of their mean magnitude."""
    return {
        "uniform": 0.25,  # mean magnitude a / 2, so zeros within a quarter of the range
        "normal": erf(sqrt(2 / pi) / 2 / sqrt(2)),  # mean magnitude sigma sqrt(2 / pi)
        "Laplace": 1 - exp(-0.5),  # mean magnitude b
    }


def by_entropy(zeros: float) -> float:
    """Return the entropy of a trit with a share of zeros, -1 and +1 alike."""
    return entropy((round(1e9 * zeros), round(5e8 * (1 - zeros)), round(5e8 * (1 - zeros))))


def tables() -> dict[str, str]:
    """Return the tables of the page."""
    found = inspect(open_checkpoint("austen"))
    rows = [
        [
            f"layer {index} {name}",
            *(f"{100 * share:.1f}" for share in matrix.shares),
            f"{matrix.entropy:.3f}",
            str(matrix.zero_rows),
            str(matrix.zero_columns),
        ]
        for matrix in found.matrices
        for index, name in [(matrix.name.split(".")[2], matrix.name.rsplit(".", 1)[-1])]
    ]
    published = [
        ["evenly spread", "a third", f"{100 / 3:.1f}", f"{log2(3):.3f}"],
        *(
            [
                f"absmean of a {name} distribution",
                "closed form",
                f"{100 * zeros:.1f}",
                f"{by_entropy(zeros):.3f}",
            ]
            for name, zeros in laws().items()
        ),
        [
            "a trained BitNet b1.58",
            'arXiv:2603.05168, "about"',
            f"{100 * ZERO_SHARE:.0f}",
            f"{by_entropy(ZERO_SHARE):.3f}",
        ],
        [
            "`austen`, all matrices",
            "`tritforge model inspect austen`",
            f"{100 * found.counts[1] / found.weights:.1f}",
            f"{found.entropy:.3f}",
        ],
    ]
    return {
        "sources": markdown_table(("weights", "from", "zeros, %", "bits a weight"), published, text=2),
        "austen": markdown_table(
            ("matrix", "-1, %", "0, %", "+1, %", "bits a weight", "zero rows", "zero columns"), rows
        ),
    }


def plots() -> dict[str, str]:
    """Return the pictures of the page."""
    found = inspect(open_checkpoint("austen"))
    rows = [
        (
            f"layer {matrix.name.split('.')[2]} {matrix.name.rsplit('.', 1)[-1]}",
            [100 * share for share in matrix.shares],
            f"{100 * matrix.shares[1]:.1f} % zeros",
        )
        for matrix in found.matrices
    ]
    title = "Shares of -1, 0 and +1 in each matrix of the shipped model"
    fills = ("#3a78b5", "#8a8f98", "#b0762a")
    return {"values.svg": bars(title, ("-1", "0", "+1"), rows, full=100.0, fills=fills)}
