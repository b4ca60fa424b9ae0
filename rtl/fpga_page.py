"""The report of a routed design as a page of Markdown, which a terminal shows as well."""

from collections.abc import Sequence

from tritforge.rtl.boards import Memory
from tritforge.rtl.fpga import FpgaBuild
from tritforge.rtl.fpga_report import (
    STORE,
    TokenRate,
    operations_per_cycle,
    port_bytes_per_second,
    resources,
    working_mhz,
)


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]], text: int) -> list[str]:
    """Return a table whose columns are as wide as their contents, the first `text` of them to the left."""
    widths = [max(len(row[place]) for row in (headings, *rows)) for place in range(len(headings))]

    def line(cells: Sequence[str]) -> str:
        aligned = [
            cell.ljust(width) if place < text else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ]
        return f"| {' | '.join(aligned)} |"

    marks = ["-" * width if place < text else "-" * (width - 1) + ":" for place, width in enumerate(widths)]
    return [line(headings), line(marks), *(line(row) for row in rows)]


def _number(value: float) -> str:
    """Return a rate with three digits or more."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def si(value: float, unit: str) -> str:
    """Return a value with a decimal prefix and three digits."""
    for factor, prefix in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= factor:
            return f"{value / factor:.3g} {prefix}{unit}"
    return f"{value:.3g} {unit}"


def _clock(build: FpgaBuild) -> list[str]:
    """Return the lines on the clock."""
    design = build.design
    wanted, got = float(design.clock_mhz), build.fmax_mhz
    origin = ""
    if design.pll is not None:
        origin = f" from the board's {float(design.pll.input_mhz):g} MHz through the PLL"
    verdict = "closes" if build.closes else "FAILS"
    tried = ", ".join(f"{seed}: {fmax:.1f}" for seed, fmax in build.tried.items())
    lines = [
        f"Clock: {wanted:g} MHz{origin}; the routed design reaches {got:.1f} MHz: timing {verdict}.",
        f"Seed {build.seed} (MHz by seed: {tried}).",
    ]
    others = {name: clock for name, clock in build.report["fmax"].items() if name != build.clock}
    lines += [
        f"Clock {name}: {clock['achieved']:.1f} MHz of {clock['constraint']:.1f} MHz."
        for name, clock in others.items()
    ]
    return lines


def _rates(build: FpgaBuild, rates: Sequence[TokenRate], memories: Sequence[Memory]) -> list[str]:
    """Return the section on tokens a second."""
    if not rates:
        return []
    rows = [
        [
            rate.model,
            rate.source,
            si(rate.bytes_per_token, "B"),
            si(rate.bytes_per_second, "B/s"),
            f"{_number(rate.tokens_per_second)}{'' if rate.fits else ' *'}",
        ]
        for rate in rates
    ]
    config = build.design.config
    lines = [
        "",
        "## Decoding, bound by the bytes of the weights",
        "",
        (
            f"One token reads every ternary matrix once, packed as {config.packing} in tiles of {config.lanes} x "
            f"{config.rows}. The rate is that of the source, at most that of the weight port. Embeddings, LM head, "
            "attention and the host's work come on top."
        ),
        "",
        *_table(("model", "weights from", "a token", "rate", "tokens/s, at most"), rows, text=2),
        "",
    ]
    if any(not rate.fits for rate in rates):
        lines.append("`*` The memory is too small for the model: this is the bound of its bandwidth alone.")
    lines += [
        f"{memory.name}: {si(memory.size_bytes, 'B')}, {si(memory.bytes_per_second, 'B/s')} at its peak "
        f"({memory.source}). The link top does not use it."
        for memory in memories
    ]
    if any(rate.source == STORE for rate in rates):
        lines.append(f"The {STORE} holds {si(config.weight_store_bytes, 'B')}, loaded once.")
    elif config.weight_store == "bram" and build.design.board is not None:
        lines.append(
            f"The {STORE} holds {si(config.weight_store_bytes, 'B')}, too little for these models, whose matrices "
            "pass the serial port piece by piece for every token."
        )
    return lines


def render(build: FpgaBuild, rates: Sequence[TokenRate] = (), *, memories: Sequence[Memory] = ()) -> str:
    """Return the report.

    Parameters
    ----------
    build
        The routed design.
    rates
        Bounds of models; see `tritforge.rtl.fpga_report.token_rates`.
    memories
        Memories that they name, for the assumptions.
    """
    design = build.design
    config, part = design.config, design.part
    operations = operations_per_cycle(config)
    mhz = working_mhz(build)
    taken = [
        [one.name, f"{one.used:,}", f"{one.total:,}", f"{one.percent:.1f}", one.note]
        for one in resources(build)
    ]
    rows = [[row[0], row[4], *row[1:4]] for row in taken]
    lines = [
        f"# {config.lanes} lanes x {config.rows} rows: {design.title}",
        "",
        *_clock(build),
        *([f"Bitstream: {build.bitstream}"] if build.bitstream else []),
        "",
        "## Resources of the routed design",
        "",
        *_table(("resource", "cell", "used", "of", "%"), rows, text=2),
        "",
        part.family.lut_note,
        "",
        f"## Rates at {mhz:.4g} MHz",
        "",
        (
            f"Ternary operations: {operations:,} a cycle ({config.lanes} lanes x {config.rows} rows, each one weight "
            f"times one activation, added), {si(operations * mhz * 1e6, 'op/s')}."
        ),
        (
            f"Multipliers: none. The part's {part.multipliers} {part.multiplier}, one product each, would do "
            f"{part.multipliers} a cycle: the array does {operations / part.multipliers:.2f} times that."
        ),
        f"Weight port: {config.weight_port_bits} bits a cycle, {si(port_bytes_per_second(build), 'B/s')}.",
        *_rates(build, rates, memories),
        "",
        "## The slowest path",
        "",
        f"{str(build.path)[0].upper()}{str(build.path)[1:]}.",
    ]
    return "\n".join(lines) + "\n"
