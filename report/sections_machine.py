"""Sections of the page about the machine: the accelerator, and what it takes of an FPGA."""

from html import escape

from tritforge.energy.web_page import drawing, folded, paragraph, table
from tritforge.report.diagram import draw, kibibytes
from tritforge.report.results import Results
from tritforge.report.subject import quoted
from tritforge.report.words import again, share
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
    elif measured is not None and not measured.seeds and estimated is not None:
        body.append(
            paragraph(
                "The measured counts are of the netlist before packing, the estimate is of the core after it. "
                "Packing changes both counts, so they may differ by more than the model's error."
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
