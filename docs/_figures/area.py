"""The area model: what its terms count and cost, the cores that it is fitted to, and how far it is off."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path

from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.presets import PRESETS
from tritforge.rtl.area import area_model, area_of
from tritforge.rtl.area_fit import Core, Floats, fit_columns, held_out_errors, parted
from tritforge.rtl.area_terms import RESOURCES
from tritforge.rtl.array_report import markdown_table

PAGE = "area.md"
BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
#: What the terms count.
MEANINGS = {
    "masked lane bits": "bits of lanes that pass `x`, `~x` or 0: all of `tree`, the first of each chain of `fused`",
    "adder bits": "bits of carry chains in whole cells of two: adders of datapath, accumulators, column lanes",
    "carry chains": "adders of `+`, each of which starts in a carry cell of its own; those of `fused` do not",
    "compressed bits": "bits of rows of full adders, which sums of more operands begin with",
    "LUT RAMs": "memories of 16 x 4 bits: accumulators, result queue, biases, small activation buffers, waiting jobs",
    "bits chosen among LUT RAMs": "bits of memories deeper than 16, for each further 16",
    "accumulator bits": "`rows` x accumulator width where there are several tokens; as FFs once more in any case",
    "start bits": "`rows` x accumulator width, where a row starts from a bias or its adder is a plain one",
    "result bits": "`rows` x accumulator width: an entry of the result queue on its way out",
    "result bits chosen": "the same, where an entry leaves in more than one beat",
    "packed result bits": "bits that may be at each place of a result beat",
    "i2 words": "words that the weight loader and the column lanes check",
    "s5 words": "words that they decode and check",
    "s8 words": "the same",
    "beats of a tile": "weight beats of a tile and of a row tile's biases",
    "index bits": "bits of M, K and T together",
    "address bits": "bits of an address of the activation buffer",
    "partial sum bits": "bits of a result beat, with `partial_sums`",
    "column sum bits": "bits of the column lanes' sums, with `sparse`",
    "sparse units": "1 with `sparse`",
    "cores": "1",
    "tile bits": "trits of a tile, assembled and in use, two bits each; and of those that wait in chains",
    "datapath bits": "bits of the sums that are registers in the datapaths of all rows",
    "decoded bits": "trits of a weight beat, two bits each",
    "activation bits": "`lanes` x `act_bits`",
    "bits behind LUT RAM": "the same, where no block memory holds the activations, whose registers would",
    "bias bits": "`rows` x bias width",
    "port bits": "bits of a weight beat that are used and of an activation beat",
    "stage bits": "what goes beside a token through the datapath, bits x latency",
    "delayed address bits": "two addresses of the activation buffer for each position of a chain but the first",
    "swaps": "registers that start a tile: groups of chains x positions",
    "controls": "groups of accumulators with control registers of their own",
}
#: What a table of cores shows of a configuration.
SHOWN = ("lanes", "rows", "tokens_max", "packing")


def terms() -> str:
    """Return the terms with their costs."""
    model = area_model()
    costs = {name: getattr(model, name) for name in RESOURCES}
    rows = []
    for term, meaning in MEANINGS.items():
        cells = []
        for resource in costs.values():
            cost = resource.costs.get(term)
            fitted = "fitted" if term in resource.fitted else "the cell"
            cells += ["", ""] if cost is None else [f"{cost:.2f}", fitted]
        rows.append([term, meaning, *cells])
    unknown = {term for resource in costs.values() for term in resource.costs} - set(MEANINGS)
    if unknown:
        raise ValueError(f"terms without a meaning: {', '.join(sorted(unknown))}")
    return markdown_table(("term", "what is counted", "LUTs", "from", "FFs", "from"), rows, text=2)


def errors() -> str:
    """Return the errors, a row for each resource."""
    model = area_model()
    rows = []
    for title, found in (("LUTs", model.luts), ("flip-flops", model.ffs)):
        fitted = [str(model.cores), f"{100 * found.median_error:.2f}", f"{100 * found.worst_error:.2f}"]
        others = [
            str(model.held_out),
            f"{100 * found.held_out_median:.2f}",
            f"{100 * found.held_out_worst:.2f}",
        ]
        rows.append([title, *fitted, *others])
    errors = ("median error, %", "worst error, %")
    return markdown_table(("ECP5", "fitted cores", *errors, "held out", *errors), rows)


def changed(config: AcceleratorConfig) -> str:
    """Return the parameters of a configuration that a table does not show and that are not the defaults."""
    default = AcceleratorConfig()
    return " ".join(
        f"`{field.name}={getattr(config, field.name)}`"
        for field in fields(config)
        if field.name not in (*SHOWN, "datapath", "target", "m_max")
        and getattr(config, field.name) != getattr(default, field.name)
        and (field.name, config.datapath) != ("negation", "fused")
    )


def cores() -> dict[str, str]:
    """Return the measured cores with the model's figures: those of the fit, each left out in turn, and the others."""
    fitted, others = parted(json.loads((BENCHMARKS / "area.json").read_text())["cores"])
    fits = {name: fit_columns(fitted, name) for name in RESOURCES}
    apart = {name: held_out_errors(found, others, name) for name, found in fits.items()}
    return {
        "cores": core_table(fitted, {name: found.errors for name, found in fits.items()}),
        "held_out": core_table(others, apart),
    }


def core_table(measured: Sequence[Core], errors: Mapping[str, Floats]) -> str:
    """Return cores with what they take and what the model says."""
    rows = []
    for index, core in enumerate(measured):
        config, used = AcceleratorConfig(**core["config"]), core["used"]
        size = f"{config.lanes} x {config.rows}, {config.tokens_max}"
        cells = [config.datapath, size, config.packing, changed(config)]
        for name in RESOURCES:
            error = errors[name][index]
            cells += [f"{used[name]:,}", f"{used[name] * (1 + error):,.0f}", f"{100 * error:+.1f}"]
        rows.append([*cells, f"{used['lut_rams']:,}", f"{used['block_rams']:,}"])
    headings = (
        "datapath",
        "lanes x rows, tokens",
        "packing",
        "and",
        "LUTs",
        "model",
        "%",
        "FFs",
        "model",
        "%",
    )
    return markdown_table((*headings, "LUT RAMs", "block RAMs"), rows, text=4)


def routed() -> str:
    """Return a core that was placed and routed beside the model's figures for it."""
    history = json.loads((BENCHMARKS / "fpga.json").read_text())["designs"]["ecp5-3072"][-1]
    used, found = history["routed"][0]["used"], area_of(PRESETS["ecp5-3072"])
    rows = [
        [title, f"{used[key]:,}", f"{value:,}", f"{100 * (value / used[key] - 1):+.1f}"]
        for title, key, value in (
            ("LUTs", "LUTs", found.luts),
            ("flip-flops", "FFs", found.ffs),
            ("LUT RAMs", "LUT RAM writers", found.lut_rams),
            ("block RAMs", "block RAMs", found.block_rams),
        )
    ]
    return markdown_table(("`ecp5-3072`", "routed", "model", "%"), rows)


def tables() -> dict[str, str]:
    """Return the tables of the page."""
    return {"errors": errors(), "routed": routed(), "terms": terms(), **cores()}
