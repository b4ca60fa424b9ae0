"""How the page writes numbers, and the commands that repeat its sections."""

from html import escape

from tritforge.report.subject import Subject, quoted

_BYTES = ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB"))


def bytes_of(value: float) -> str:
    """Write a number of bytes with three digits; a kB is 1000 of them."""
    scale, unit = next(((s, u) for s, u in _BYTES if value >= s), (1.0, "bytes"))
    return f"{value / scale:,.3g} {unit}" if value / scale < 999.5 else f"{value / scale:,.0f} {unit}"


def rate(value: float) -> str:
    """Write tokens a second with three digits, or whole where it has more."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def again(*commands: str, intro: str = "Again, from a shell:") -> str:
    """Return the commands that repeat a section."""
    lines = escape("\n".join(commands))
    return f"<p>{escape(intro)}</p><pre><code>{lines}</code></pre>"


def report_command(subject: Subject, *options: str) -> str:
    """Return the command that makes this page, or its data."""
    parts = ["tritforge report", subject.arguments, f"--context {subject.context}"]
    if subject.kv_bits != 16:
        parts.append(f"--kv-bits {subject.kv_bits}")
    if subject.dram != "LPDDR4":
        parts.append(f"--dram {quoted(subject.dram)}")
    if subject.clock_mhz is not None:
        parts.append(f"--clock {subject.clock_mhz:g}")
    if subject.bandwidth_gbs is not None:
        parts.append(f"--bandwidth {subject.bandwidth_gbs:g}")
    return " ".join([*parts, *options])


def energy_command(subject: Subject, phase: str) -> str:
    """Return the command that computes the energy of a phase; parameters that were replaced go into a file."""
    if subject.settings:
        return report_command(subject, "--no-verify", "--json -", "-o report.html")
    parts = [
        f"tritforge energy --model {quoted(subject.model)} --accounting hardware --phase {phase}",
        f"--context {subject.context} {subject.config_arguments}",
        f"--dram {quoted(subject.dram)} --kv-bits {subject.kv_bits}",
    ]
    return " ".join(parts)


def number(value: float) -> str:
    """Write a number with four digits, or whole where it has more."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def share(value: float) -> str:
    """Write a share as a percentage."""
    return f"{value:.1%}"
