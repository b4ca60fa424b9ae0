"""The page: a frame, the figures at a glance, and the sections in the order of a designer's questions."""

from collections.abc import Callable
from html import escape
from pathlib import Path

from tritforge.energy.report import format_joules
from tritforge.energy.web_page import render_frame
from tritforge.report import sections_cost, sections_machine, sections_speed
from tritforge.report.results import Results
from tritforge.report.words import bytes_of, rate, share

#: Sections: identifier, heading, and what makes the body.
SECTIONS: tuple[tuple[str, str, Callable[[Results], list[str]]], ...] = (
    ("accelerator", "The accelerator", sections_machine.accelerator),
    ("resources", "Resources", sections_machine.resources),
    ("cycles", "Cycles and utilisation by matrix", sections_speed.cycles),
    ("roofline", "Roofline", sections_speed.roofline),
    ("energy", "Energy by component", sections_cost.energy),
    ("memory", "Memory", sections_cost.memory),
    ("verification", "Verification", sections_cost.verification),
    ("sources", "Sources and versions", sections_cost.sources),
)


def render(results: Results) -> str:
    """Write the page.

    Parameters
    ----------
    results
        Of `tritforge.report.results.compute`.

    Returns
    -------
    str
        HTML that loads nothing and holds no script; the same results give the same text.
    """
    subject = results.subject
    config = subject.config
    title = f"{subject.shape.name} on {Path(subject.config_name).stem}"
    lead = (
        f"A ternary accelerator of {config.rows} rows × {config.lanes} lanes, {config.datapath} datapath, "
        f"weights packed {config.packing}; context {subject.context:,}, {subject.clock.value:g} MHz"
        + (f"; with {', '.join(subject.settings)}" if subject.settings else "")
        + "."
    )
    links = "".join(f'<li><a href="#{name}">{escape(heading)}</a></li>' for name, heading, _ in SECTIONS)
    contents = f'<nav class="contents" aria-label="Contents"><ul>{links}</ul></nav>'
    body = [_glance(results)]
    for name, heading, make in SECTIONS:
        parts = "\n".join(part for part in make(results) if part)
        body.append(
            f'<section aria-labelledby="{name}">\n<h2 id="{name}">{escape(heading)}</h2>\n{parts}\n</section>'
        )
    return render_frame(title, lead, body, contents=contents)


def _glance(results: Results) -> str:
    """Return the figures that a reader looks for first."""
    subject = results.subject
    prefill, decode = results.phases
    config, clock = subject.config, subject.clock.value
    tiles = [
        (
            "Ternary operations a cycle",
            f"{config.lanes * config.rows:,}",
            f"{config.lanes * config.rows * clock / 1e3:,.3g} billion/s at {clock:g} MHz",
        ),
        (
            "Prefill, matrices alone",
            f"{rate(prefill.tokens_per_second(clock))} tokens/s",
            f"{share(prefill.utilisation)} of the lanes used",
        ),
        (
            "Decode, matrices alone",
            f"{rate(decode.tokens_per_second(clock))} tokens/s",
            f"{share(decode.utilisation)} of the lanes used",
        ),
        _area(results),
        *(_joules(results, index) for index in (0, 1)),
        (
            "Parameters in memory",
            bytes_of(results.memory["packings"][config.packing]["total"]),
            f"matrices packed {config.packing}",
        ),
        _checked(results),
    ]
    items = "".join(
        f"<div><dt>{escape(name)}</dt><dd>{escape(value)}<small>{escape(note)}</small></dd></div>"
        for name, value, note in tiles
    )
    return f'<h2 class="unseen">At a glance</h2><dl class="glance">{items}</dl>'


def _joules(results: Results, index: int) -> tuple[str, str, str]:
    result = results.energy[index].ternary
    value, _, bounds = format_joules(result.per_token).partition(" (")
    return (
        f"Energy of a token, {result.phase}",
        value,
        f"computed, {bounds.rstrip(')')}" if bounds else "computed",
    )


def _area(results: Results) -> tuple[str, str, str]:
    found = results.resources
    if found.measured is not None:
        return "LUTs", f"{found.measured.counts['luts']:,}", f"measured, {found.measured.part}"
    if found.estimated is not None:
        error = "outside of what was measured" if found.estimated.extrapolated else (
            f"± {found.model.luts.bound:.1%}"
        )  # fmt: skip
        return "LUTs", f"{found.estimated.luts:,}", f"estimated for ECP5, {error}"
    return "LUTs", "not known", "no measurement, no estimate"


def _checked(results: Results) -> tuple[str, str, str]:
    done = results.verification
    if done is None:
        return "Simulated for this page", "nothing", "made without verification"
    verdict = "all equal" if done.ok else "NOT EQUAL"
    return (
        "Simulated for this page",
        verdict,
        f"{done.words:,} words, {done.cycles:,} cycles, seed {done.seed}",
    )
