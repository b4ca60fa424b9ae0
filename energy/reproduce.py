"""All published figures beside their computed values, by paper, and whether each came out as it is on record."""

import csv
from collections import Counter
from dataclasses import dataclass
from io import StringIO
from itertools import groupby
from typing import Any

from tritforge.accel.errors import InputError
from tritforge.energy.markdown import row_of
from tritforge.energy.published import VERDICTS, Comparison, compare, published_figures
from tritforge.energy.published_inputs import published_inputs
from tritforge.energy.technology import Technology
from tritforge.models.shapes import STATUSES, all_shapes

#: Energy figures that must be exact or within rounding when all papers are compared.
ENERGY_NEEDED = 63


@dataclass(frozen=True, kw_only=True)
class Paper:
    """A paper whose figures are compared.

    Attributes
    ----------
    key
        Its identifier in the data.
    short, title
        Name that it is chosen by, and its title.
    not_computed
        Its figures that no model here produces.
    """

    key: str
    short: str
    title: str
    not_computed: str = ""


#: Papers in the order in which they are printed.
PAPERS = (
    Paper(
        key="arXiv:2402.17764",
        short="b1.58",
        title="The Era of 1-bit LLMs: All Large Language Models are in 1.58 Bits",
        not_computed=(
            "perplexities, task scores, latencies of Table 1 and Figure 2 and the throughput of Table 3 "
            "(measured on GPUs); five of those latencies enter the claims as given"
        ),
    ),
    Paper(
        key="arXiv:2310.11453",
        short="bitnet-v1",
        title="BitNet: Scaling 1-bit Transformers for Large Language Models",
        not_computed="losses and task scores",
    ),
    Paper(
        key="arXiv:2504.12285",
        short="2b4t",
        title="BitNet b1.58 2B4T Technical Report",
        not_computed="task scores and CPU latencies (measured)",
    ),
    Paper(
        key="arXiv:2407.12327",
        short="spectra",
        title="Spectra: Surprising Effectiveness of Pretraining Ternary Language Models at Scale",
        not_computed="losses and task scores",
    ),
)


def find_paper(name: str) -> Paper:
    """Look up a paper by its short name or its arXiv number, upper and lower case alike.

    Raises
    ------
    InputError
        There is none of that name.
    """
    wanted = name.casefold().removeprefix("arxiv:")
    for paper in PAPERS:
        if wanted in {paper.short, paper.key.removeprefix("arXiv:")}:
            return paper
    known = ", ".join(f"{paper.short} ({paper.key.removeprefix('arXiv:')})" for paper in PAPERS)
    raise InputError(f"no paper is called {name!r}; there are {known}")


@dataclass(frozen=True, kw_only=True)
class Reproduction:
    """Published figures beside their computed values.

    Attributes
    ----------
    papers
        Papers that were compared.
    comparisons
        Their figures, paper by paper.
    """

    papers: tuple[Paper, ...]
    comparisons: tuple[Comparison, ...]

    @property
    def unexpected(self) -> tuple[Comparison, ...]:
        """Figures whose verdict is not the one on record, better or worse."""
        return tuple(entry for entry in self.comparisons if entry.verdict != entry.figure.expected)

    @property
    def verdicts(self) -> dict[str, int]:
        """Number of figures by verdict."""
        counted = Counter(entry.verdict for entry in self.comparisons)
        return {verdict: counted[verdict] for verdict in VERDICTS}

    @property
    def energies(self) -> tuple[int, int]:
        """Energy figures that are exact or within rounding, and all of them."""
        energies = [entry for entry in self.comparisons if entry.figure.is_energy]
        return sum(entry.verdict in {"exact", "rounding"} for entry in energies), len(energies)

    @property
    def ok(self) -> bool:
        """Whether every verdict is the one on record, and with all papers enough energies are met."""
        met, _ = self.energies
        return not self.unexpected and (self.papers != PAPERS or met >= ENERGY_NEEDED)

    def of(self, paper: Paper) -> tuple[Comparison, ...]:
        """Figures of one paper."""
        return tuple(entry for entry in self.comparisons if entry.figure.paper == paper.key)

    def reservations(self, paper: Paper) -> list[str]:
        """Say what is not computed for a paper, and which of its figures and shapes were not read in a source.

        Returns
        -------
        list of str
            Sentences; the one about figures and the one about shapes only where there is something to say.
        """
        lines = [f"Not computed: {paper.not_computed}."]
        marks = dict.fromkeys(entry.figure.status for entry in self.of(paper))
        lines += [f"Figures {STATUSES[mark]}." for mark in marks if mark != "verified"]
        shapes = all_shapes()
        names = dict.fromkeys(entry.figure.shape for entry in self.of(paper))
        for mark in ("secondary", "deduced", "recalled"):
            found = [name for name in names if name in shapes and shapes[name].status == mark]
            if found:
                lines.append(f"Shapes {STATUSES[mark]}: {', '.join(found)}.")
        return lines

    def to_dict(self) -> dict[str, Any]:
        """Return the figures with plain values, the counts, and the inputs that were taken as given."""
        met, total = self.energies
        return {
            "ok": self.ok,
            "figures": [describe(entry) for entry in self.comparisons],
            "verdicts": self.verdicts,
            "energy": {"met": met, "of": total},
            "unexpected": [entry.figure.title for entry in self.unexpected],
            "inputs": [entry.citation for entry in published_inputs().values()],
            "reservations": {paper.key: self.reservations(paper) for paper in self.papers},
        }


def describe(comparison: Comparison) -> dict[str, Any]:
    """Return a comparison with the verdict on record, its basis, shape and note, and the source's status."""
    figure = comparison.figure
    return comparison.to_dict() | {
        "expected": figure.expected,
        "basis": figure.basis,
        "shape": figure.shape,
        "status": figure.status,
        "note": figure.note,
    }


def reproduce(paper: str | None = None, *, technology: Technology | None = None) -> Reproduction:
    """Compare the published figures of one paper, or of all, with what the models compute.

    Parameters
    ----------
    paper
        A name that `find_paper` knows; all papers unless given.
    technology
        Table of rows; the one of the package unless given.

    Raises
    ------
    InputError
        No such paper.
    """
    papers = PAPERS if paper is None else (find_paper(paper),)
    figures = [figure for chosen in papers for figure in published_figures() if figure.paper == chosen.key]
    return Reproduction(papers=papers, comparisons=compare(figures, technology))


def format_values(comparison: Comparison) -> tuple[str, str, str]:
    """Write published value, computed value and relative error for a table."""
    figure = comparison.figure
    error = f"{comparison.relative_error:+.2%}"
    if figure.reading == "bound":
        return f"below {figure.published} {figure.unit}", f"{comparison.computed:.3f} {figure.unit}", error
    decimals = len(figure.published.partition(".")[2])
    cut = " (cut)" if figure.reading == "truncated" else ""
    more = 2 if decimals or figure.unit != "sequences" else 0
    computed = f"{comparison.computed:.{decimals + more}f} {figure.unit}"
    return f"{figure.published} {figure.unit}{cut}", computed, error


def summary(result: Reproduction) -> list[str]:
    """Sum up in a few lines: verdicts, energies, what fails and what is not as it is on record."""
    counts = ", ".join(f"{count} {verdict}" for verdict, count in result.verdicts.items())
    met, total = result.energies
    lines = [f"{len(result.comparisons)} figures: {counts}."]
    if total:
        lines.append(f"{met} of {total} energy figures are exact or within rounding.")
    for entry in result.comparisons:
        if entry.verdict == "fails":
            published, computed, _ = format_values(entry)
            note = f" ({entry.figure.note})" if entry.figure.note else ""
            lines.append(f"Fails: {entry.figure.title}: published {published}, computed {computed}{note}.")
    lines.extend(
        f"Not as on record: {entry.figure.title}: {entry.verdict}, on record {entry.figure.expected}."
        for entry in result.unexpected
    )
    return lines


def to_markdown(result: Reproduction) -> str:
    """Write the comparison as Markdown: a heading for each paper, a table for each of its figures."""
    lines = ["# Published figures beside computed ones", "", *summary(result), ""]
    for paper in result.papers:
        lines += [f"## {paper.title} ({paper.key})", ""]
        for name, group in groupby(result.of(paper), key=lambda entry: entry.figure.figure):
            lines += [f"### {name}", ""]
            lines += [row_of(("row", "published", "computed", "error", "verdict", "note"))]
            lines += ["|---|---:|---:|---:|---|---|"]
            for entry in group:
                values = format_values(entry)
                lines.append(row_of((entry.figure.row, *values, entry.verdict, entry.figure.note)))
            lines.append("")
        lines += [*(f"- {line}" for line in result.reservations(paper)), ""]
    lines += ["## Taken as given", ""]
    lines += [f"- {entry.citation}" for entry in published_inputs().values()]
    lines += ["", "## Verdicts", "", *(f"- `{name}`: {meaning}" for name, meaning in VERDICTS.items())]
    return "\n".join(lines) + "\n"


def to_csv(result: Reproduction) -> str:
    """Write the comparison as CSV with the keys of `describe` as columns."""
    rows = [describe(entry) for entry in result.comparisons]
    text = StringIO()
    writer = csv.DictWriter(text, tuple(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
