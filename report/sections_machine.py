"""Sections of the page about the machine: the accelerator, what it takes of an FPGA, its cycles, its rooflines."""

from collections.abc import Sequence
from html import escape

from tritforge.energy.web_page import drawing, folded, listed, paragraph, plot, table
from tritforge.report.diagram import draw, kibibytes
from tritforge.report.plots import draw_cycles, draw_roof, short
from tritforge.report.results import Results
from tritforge.report.subject import quoted
from tritforge.report.words import again, bytes_of, number, rate, report_command, share
from tritforge.report.workload import PhaseCycles
from tritforge.rtl.cell_counts import TITLES


def accelerator(results: Results) -> list[str]:
    """Return the diagram, what the core holds, and every parameter."""
    subject = results.subject
    parameters = [[name, str(value)] for name, value in subject.config.to_dict().items()]
    held = [[store.name, store.made_of, kibibytes(store.bits)] for store in results.stores]
    total = sum(store.bits for store in results.stores)
    return [
        drawing(
            draw(subject.config),
            "Blue: memories and registers. Orange: arithmetic and decoding. An arrow is as thick as the "
            "logarithm of its width; figures on arrows are bits a cycle.",
            name="the accelerator",
            kind="diagram",
        ),
        table(
            "Stores on the chip",
            ["store", "made of", "size"],
            [*held, ["together", "", kibibytes(total)]],
            text=(1,),
            total=True,
        ),
        folded(
            "All parameters of the configuration", table("Parameters", ["parameter", "value"], parameters)
        ),
        again(f"tritforge verilog {subject.config_arguments} -o core.v"),
    ]


def resources(results: Results) -> list[str]:
    """Return measured and estimated resources, each called what it is."""
    found = results.resources
    measured, estimated = found.measured, found.estimated
    body = []
    if measured is not None:
        if measured.seeds:
            routed = f"{measured.seeds} placement{'s' if measured.seeds > 1 else ''} routed"
            clock = f"; {measured.fmax_mhz:.1f} MHz reached, {measured.clock_mhz:g} MHz asked for"
        else:
            routed, clock = "synthesised, not placed", ""
        tools = ", ".join(f"{name} {version}" for name, version in measured.tools.items())
        body.append(
            f'<p><span class="tag">measured</span> {escape(measured.title)}: {routed}{clock} ({escape(tools)}). '
            "Kept in the repository's <code>benchmarks/fpga.json</code>.</p>"
        )
    else:
        body.append(
            paragraph(
                "Nothing is measured on record for this configuration: it is no preset that the "
                "repository has a row of."
            )
        )
    if estimated is not None:
        errors = found.model.luts
        body.append(
            f'<p><span class="tag">estimated</span> The stream core alone on ECP5 after packing, by a model fitted '
            f"to {found.model.cores} packed netlists. At those, each left out of its own fit, LUTs were off by "
            f"{errors.median_error:.1%} in the median and {errors.worst_error:.1%} at worst; at "
            f"{found.model.held_out} others, which differ in many parameters at once, by "
            f"{errors.held_out_median:.1%} and {errors.held_out_worst:.1%}.</p>"
        )
        if estimated.extrapolated:
            body.append(
                paragraph(
                    "A parameter lies outside of those of the measured cores, so the stated errors do not "
                    "hold here.",
                    kind="notice",
                )
            )
    else:
        body.append(f"<p>No estimate: {escape(found.refused)}.</p>")
    body.append(_resource_table(results))
    if measured is not None and measured.board is not None and estimated is not None:
        body.append(
            paragraph(
                "The measured design is the whole board: core, control, stores, serial link and PLL. The "
                "estimate is of the core alone, so the two are not to be held against each other."
            )
        )
    if measured is not None:
        name = f"board {measured.board}" if measured.board else measured.preset
        seeds = measured.seeds
        body.append(again(f"tritforge bench fpga --design {quoted(name)} --seeds {seeds}"))
    return body


def _resource_table(results: Results) -> str:
    measured, estimated, model = (
        results.resources.measured,
        results.resources.estimated,
        results.resources.model,
    )
    headings = ["resource"]
    if measured is not None:
        headings.append("measured")
    if estimated is not None:
        headings += ["estimated, core alone", "worst error"]
    if len(headings) == 1:
        return ""
    guesses = {} if estimated is None else {
        "luts": (estimated.luts, share(model.luts.bound)),
        "ffs": (estimated.ffs, share(model.ffs.bound)),
        "lut_ram": (estimated.lut_rams, "counted"),
        "block_ram": (estimated.block_rams, "counted"),
    }  # fmt: skip
    rows = []
    for name, title in TITLES.items():
        row = [title]
        if measured is not None:
            row.append(f"{measured.counts[name]:,}" if name in measured.counts else "")
        if estimated is not None:
            number, error = guesses.get(name, (None, ""))
            row += [f"{number:,}" if number is not None else "", error]
        if any(row[1:]):
            rows.append(row)
    if measured is not None and measured.placed is not None:
        rows.append(["LUTs, placed", f"{measured.placed:,}", *([""] * (len(headings) - 2))])
    return table("What the design takes", headings, rows)


def cycles(results: Results) -> list[str]:
    """Return where the cycles go, by matrix."""
    subject = results.subject
    clock = subject.clock
    told = "; ".join(
        f"{phase.phase} {share(phase.utilisation)} of the lanes' operations used" for phase in results.phases
    )
    rows = [_phase_row(results, phase) for phase in results.phases]
    return [
        paragraph(
            "By the cycle model, which every co-simulation holds to the generated Verilog, cycle for "
            "cycle. The weight port is always served here; beside it stands what a memory allows that gives "
            "these weights and nothing else. Caches, and an LM head that is not ternary, come on top: the bound "
            "on the whole model below has them."
        ),
        listed(results.cycle_notes),
        table(
            "The ternary matrices of the model",
            [
                "phase",
                "tokens",
                "cycles",
                "used",
                f"tokens/s at {clock.value:g} MHz",
                "tokens/s, weights from the memory",
            ],
            rows,
        ),
        f"<p>Clock: {clock.value:g} MHz, {escape(clock.source)}. Memory: {escape(_memory(results))}.</p>",
        plot(
            lambda: draw_cycles(results.phases),
            "cycles",
            f"Share of the cycles of each matrix by what the lanes do: {told}. The tables below have the "
            "figures.",
            "Working: ternary operations that the product asks for. Empty lanes: places of a tile that "
            "the matrix does not fill. The rest: what the lanes waited for, and the beginning and end of "
            "each job.",
        ),
        *(_matrix_table(phase) for phase in results.phases),
        again(
            report_command(subject, "--no-verify", "--json report.json", "-o report.html"),
            intro="The figures as JSON:",
        ),
    ]


def _memory(results: Results) -> str:
    memory = results.subject.memory
    if results.on_chip:
        return "the store on the chip holds all matrices"
    return f"{bytes_of(memory.value)}/s, {memory.source}"


def _phase_row(results: Results, phase: PhaseCycles) -> list[str]:
    return [
        f"{phase.phase}, a block" if phase.phase == "prefill" else f"{phase.phase}, a token",
        f"{phase.tokens}",
        f"{phase.cycles:,}",
        share(phase.utilisation),
        rate(phase.tokens_per_second(results.subject.clock.value)),
        rate(results.memory_tokens_per_second(phase)),
    ]


def _matrix_table(phase: PhaseCycles) -> str:
    rows = []
    for one in (*phase.matrices, *([phase.head] if phase.head else [])):
        waits = one.stalls
        rows.append(
            [
                short(one.name) + (f" × {one.copies}" if one.copies > 1 else ""),
                f"{one.m:,} × {one.k:,}",
                f"{one.cycles:,}",
                share(one.utilisation),
                *(f"{waits[cause]:,}" for cause in ("weights", "activations", "output")),
                f"{one.parts['fill and drain']:,}",
                one.bound,
            ]
        )
    what = f"a block of {phase.tokens} tokens" if phase.phase == "prefill" else "a token"
    return table(
        f"Cycles of a layer's matrices, {phase.phase} of {what}",
        [
            "matrix",
            "M × K",
            "cycles",
            "used",
            "waits: weights",
            "activations",
            "output",
            "fill, drain",
            "bound",
        ],
        rows,
    )


def roofline(results: Results) -> list[str]:
    """Return the array's roofline and the bound on the whole model."""
    roof, subject = results.roof, results.subject
    points = [
        [short(point.name), point.phase, number(point.intensity), f"{point.performance:,.1f}", f"{point.roof:,.1f}",
         share(point.performance / point.roof)]
        for point in roof.points
    ]  # fmt: skip
    side = "right" if roof.ridge <= min(p.intensity for p in roof.points if p.phase == "prefill") else "left"
    decode = "decode further left" if subject.block > 1 else "and decode, whose blocks are as small, with it"
    return [
        paragraph(
            f"The lanes do {roof.operations_per_cycle:,} ternary operations a cycle, the weight port takes "
            f"{number(roof.port_bytes_per_cycle)} bytes. A product that does more than {number(roof.ridge)} "
            "operations for each byte of weights is bound by the lanes, one that does fewer by its "
            f"weights; for the memory that edge is at {number(roof.memory_ridge)}."
        ),
        plot(
            lambda: draw_roof(roof),
            "roofline",
            f"Roofline of the array: {roof.operations_per_cycle:,} operations a cycle at most, from "
            f"{number(roof.ridge)} operations for each byte on. Prefill lies {side} of that edge, {decode}. "
            "The table below has every point.",
            f"Weight bytes as they pass the port, packed {subject.config.packing}, biases included. Memory: "
            f"{_memory(results)}, at {subject.clock.value:g} MHz.",
        ),
        folded(
            "Every point of the roofline",
            table(
                "Points of the roofline",
                ["matrix", "phase", "operations a byte", "operations a cycle", "roof", "of the roof"],
                points,
            ),
        ),
        _whole_model(results),
        again(
            f"tritforge models {quoted(subject.model)} --context {subject.context} --kv-bits {subject.kv_bits} "
            f"--bandwidth {subject.memory.value / 1e9:.6g} "
            f"--rate {results.steps[0].device.rate_tops:.6g} --memory {_whole_gigabytes(results):.6g}",
            intro="The bound on the whole model, from a shell:",
        ),
    ]


def _whole_gigabytes(results: Results) -> float:
    # A little over what is needed, so that rounding does not keep the model out.
    return max(1e-3, results.steps[0].device.memory_gb * 1.01)


def _whole_model(results: Results) -> str:
    rows: Sequence[Sequence[str]] = [
        [
            step.phase,
            bytes_of(step.traffic_bytes),
            number(step.operations / 1e9),
            rate(step.tokens_per_second),
            step.bound,
        ]
        for step in results.steps
    ]
    return (
        "<h3>The whole model, at most</h3>"
        + paragraph(
            "Everything that a step moves, once, at the memory's rate, and everything that it computes, "
            "attention and LM head included, at the array's. The array does neither of those, so this "
            "bounds any system around it from above."
        )
        + table(
            f"Bound on the whole model, context {results.subject.context:,}",
            ["phase", "bytes moved", "10⁹ operations", "tokens/s at most", "bound"],
            rows,
        )
    )
