"""Sections of the page about speed: where cycles go, matrix by matrix, and the rooflines."""

from collections.abc import Sequence
from html import escape

from tritforge.energy.web_page import folded, listed, paragraph, plot, table
from tritforge.report.plots import draw_cycles, draw_roof, short
from tritforge.report.results import Results
from tritforge.report.subject import quoted
from tritforge.report.words import again, bytes_of, number, rate, report_command, share
from tritforge.report.workload import PhaseCycles


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
