"""Figures in sentences are those that are computed: what a table cannot hold, page by page.

Each claim is a piece of a page with the computed figures in it. When one fails, either the sentence is out of date or
what it speaks of has changed; the message shows what the page has to say.
"""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import lru_cache
from importlib.util import module_from_spec, spec_from_file_location
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from doc_commands import ROOT
from test_yosys_mutants import CONFIG as MUTATED

from tritforge.accel.codes import WORDS
from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.core import Core, StreamCore
from tritforge.accel.job import Error
from tritforge.accel.link_top import SILENCE_CHARACTERS
from tritforge.accel.presets import PRESETS, load_config
from tritforge.energy.memory import weight_memory
from tritforge.energy.published import compare, published_figures
from tritforge.energy.roofline import weight_traffic
from tritforge.energy.technology import default_technology
from tritforge.models.columns import image_bytes
from tritforge.models.formats import open_checkpoint
from tritforge.models.inspection import Inspection, entropy, inspect
from tritforge.models.shapes import all_shapes, find_shape
from tritforge.rtl.fpga import DENSE_SHARE
from tritforge.rtl.gates.page import results_of, sensitivity
from tritforge.rtl.parts import PARTS
from tritforge.rtl.verilog import generate
from tritforge.sim.cycles import batch_cycles, total_cycles
from tritforge.sim.jobs import Job

DEFAULT, TINY = load_config("default"), load_config("tiny")
AUSTEN_LAYER = ((256, 256), (128, 256), (128, 256), (256, 256), (512, 256), (512, 256), (256, 512))
LAYER_2B = [(one.outputs, one.inputs) for one in find_shape("bitnet-2b4t").linears]
"""Shapes (M, K) of a decoder layer's matrices."""
MIXTURE, DENSE = "mistralai/Mixtral-8x7B-v0.1", "HF1BitLLM/Llama3-8B-1.58-100B-tokens"
SUM = ("fp16.mul", "fp16.add", "int8.add")
TERNARY, FP16 = "ternary-16", "fp16-fused-16"
UNITS = ("logic", "unit", "registered")

AXI_TEST = ROOT / "tests" / "cosim" / "test_axi.py"

Claims = Iterator[str]


def kept(name: str) -> Any:
    """Return what a benchmark keeps."""
    return json.loads((ROOT / "benchmarks" / name).read_text())


def benchmark(name: str) -> ModuleType:
    """Return a benchmark as a module."""
    spec = spec_from_file_location(name, ROOT / "benchmarks" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def tabled(page: str, *first: str) -> list[str]:
    """Return the cells of the first row that begins with these in the tables of a page."""
    for line in (ROOT / page).read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("| ") and cells[: len(first)] == list(first):
            return cells
    pytest.fail(f"{page} has no row {first}")


@lru_cache(maxsize=1)
def austen() -> Inspection:
    return inspect(open_checkpoint("austen"))


def routed(design: str) -> tuple[dict[str, Any], dict[str, int]]:
    """Return the last row of a design, and what its first placement uses."""
    row = kept("fpga.json")["designs"][design][-1]
    return row, row["routed"][0]["used"]


def cycles_of(config: AcceleratorConfig, shapes: list[tuple[int, int]], tokens: int) -> int:
    return sum(total_cycles(config, m, k, tokens) for m, k in shapes)


def readme() -> Claims:
    yield f"with {austen().weights / 1e6:.2f} million ternary weights"
    cycles = cycles_of(DEFAULT, list(AUSTEN_LAYER), 16)
    operations = sum(16 * m * k for m, k in AUSTEN_LAYER)
    yield f"{operations:,} ternary operations on the RTL"
    yield f"Cycles: {cycles:,}, predicted {cycles:,}; the lanes worked {100 * operations / cycles / 512:.1f}% of"
    yield f"all {sum(16 * m for m, _ in AUSTEN_LAYER):,} words bit for bit"
    yield f"{sum(m * k for m, k in LAYER_2B) / 1e6:.1f} million ternary weights, on the Verilog of the default core"
    yield f"{cycles_of(DEFAULT, LAYER_2B, 1):,} cycles, all as predicted"
    yield f"all {sum(m for m, _ in LAYER_2B):,} result words compared"
    figures = published_figures()
    yield f"sets {len(figures)} published figures beside"
    assert len({figure.paper for figure in figures}) == 4
    yield "claims of four papers"
    yield f"to any of {len(all_shapes())} model shapes"
    for name, words in {
        "default": "64 lanes x 8 rows, 16 tokens",
        "ecp5-3072": "192 x 16",
        "wide": "256 x 16",
        "decode": "one token",
    }.items():
        yield f"`{name}` ({words})"
    sizes = {name: (PRESETS[name].lanes, PRESETS[name].rows) for name in ("default", "ecp5-3072", "wide")}
    assert sizes == {"default": (64, 8), "ecp5-3072": (192, 16), "wide": (256, 16)}
    assert PRESETS["default"].tokens_max == 16
    assert PRESETS["decode"].tokens_max == 1


def checkpoints() -> Claims:
    record = kept("checkpoints.json")
    assert record["layers"] == 32
    assert max(row["peak_mb"] for row in record["commands"].values()) < 500
    yield "converting a checkpoint of Llama3-8B-1.58's size takes under 0.5 GB"


def readme_digest() -> Claims:
    yield f"Verilog: build/demo/core.v, 64 lanes x 8 rows, sha256 {generate(DEFAULT).sha256[:12]}"


def mutants() -> Claims:
    yield f"has the SHA-256 {generate(MUTATED).sha256[:16]}"


def energy_readme() -> Claims:
    figures = published_figures()
    yield f"compares {len(figures)} figures of four papers"
    yield f"{len(all_shapes())} shapes x 4 contexts"
    assert sum(one.verdict == "fails" for one in compare(figures)) == 3
    yield "Three figures are known to fail"
    yield f"reads all weights from DRAM {512 // DEFAULT.tokens_max} times"


def verification() -> Claims:
    yield f"The energy: {len(published_figures())} published figures"


def verilog() -> Claims:
    """The bits of the job port and the causes of an error."""
    top = StreamCore(Core(replace(DEFAULT, partial_sums=True, sparse=True)))
    ends = np.cumsum([width for _, width in top.job_fields])
    m, k, tokens, flags = (
        f"{end - 1}:{end - width}" for end, (_, width) in zip(ends, top.job_fields, strict=True)
    )
    yield f"M (outputs) in bits {m}, K (inputs) in {k}, T (tokens) in {tokens}; flags in {flags}"
    bits = {name: bit for bit, name in top.flags.items()}
    yield f"`partial_sums` (bit {bits['accumulate']}, accumulate) or `sparse` (bit {bits['sparse']})"
    yield (
        f"{Error.NONE:d} none, {Error.ILLEGAL_JOB:d} the job was refused, "
        f"{Error.ILLEGAL_TRIT:d} a weight code is illegal"
    )


def axi() -> Claims:
    core = batch_cycles(TINY, [Job(m=32, k=64, tokens=1)] * 8).total
    yield f"take {core:,} cycles in the core alone"
    # What `tests/cosim/test_axi.py` allows for the registers around the core, and for the first beat of a memory.
    bounds = dict(re.findall(r"^(AROUND|FIRST_BEAT) = (\d+)$", AXI_TEST.read_text(), re.MULTILINE))
    around = sum(map(int, bounds.values()))
    yield f"at most {around} more, or {around + 20} with a memory whose first beat comes 20 cycles later"


def link() -> Claims:
    milliseconds = 1000 * SILENCE_CHARACTERS * 10 / 1e6
    yield f"silence of {SILENCE_CHARACTERS:,} character times ({milliseconds:.0f} ms at 1 Mbaud"


def sparse() -> Claims:
    bench = benchmark("bench_sparse")
    (m, k), nonzero = bench.SHAPE, bench.nonzero_of_shape()
    columns = int(nonzero.sum())
    yield f"({m} x {k}), {columns:,} of {k:,} activations not zero"
    yield f"With {columns:,} columns left of {k:,} the gain cannot pass {k / columns:.2f}"
    copies = {
        packing: image_bytes(bench.config_of(packing, 128), m, k) / 1e6 for packing in ("i2", "s5", "s8")
    }
    yield ", ".join(f"{size:.2f} MB (`{name}`)" for name, size in list(copies.items())[:2])
    yield f"or {copies['s8']:.2f} MB (`s8`) more"
    config = bench.config_of("i2", 128)
    zeros = [float(row[1].removesuffix(" %")) for row in bench.model_rows()]
    yield f"{min(zeros):.0f} to {max(zeros):.0f} % by layer in the shipped one"
    dense, full = bench.cycles(config, m, np.ones(k, dtype=np.bool_))
    yield f"takes {full.total:,} cycles (`i2`, 128 bits) and the dense one {dense.total:,}"
    _, job = bench.cycles(config, m, nonzero)
    yield f"that is {job.weight_beats:,} beats in {job.total:,} cycles"
    area = kept("sparse_area.json")
    one_beat = area["lanes"][0]
    assert (one_beat["packing"], one_beat["beats"]) == ("i2", 1)
    assert sum(area["trial"].values()) == pytest.approx(one_beat["cells"], rel=0.02)
    yield "took as many cells as the column lanes with one beat a column"
    assert image_bytes(bench.config_of("i2", 128), 256, 512) == 32768
    yield "32,768 bytes more for each of the shipped model's three"


def fpga() -> Claims:
    part = PARTS["ecp5-85k"]
    row, used = routed("board ulx3s")
    totals = {"LUTs": 83640, "block RAMs": 208}
    yield f"reaches {row['fmax_mhz']:.1f} MHz with seed {row['routed'][0]['seed']}"
    yield f"in {used['LUTs']:,} LUTs ({100 * used['LUTs'] / totals['LUTs']:.1f} %), {used['FFs']:,} flip-flops"
    yield f"{used['block RAMs']} block RAMs and no DSP"
    row, used = routed("board icebreaker")
    yield f"reaches {row['fmax_mhz']:.1f} MHz (median of three seeds) in {100 * used['LUTs'] / 5280:.0f} %"
    row, used = routed("ecp5-3072")
    counts, lanes = row["counts"], 3072
    yield f"LUTs: {counts['luts']:,}, {counts['luts'] / lanes:.2f} a lane"
    yield f"{used['LUTs']:,} | {100 * used['LUTs'] / totals['LUTs']:.1f} %"
    yield f"flip-flops: {counts['ffs']:,}, {counts['ffs'] / lanes:.1f} a lane"
    yield f"{used['FFs']:,} | {100 * used['FFs'] / totals['LUTs']:.1f} %"
    yield f"{used['block RAMs']} | {100 * used['block RAMs'] / totals['block RAMs']:.1f} %"
    # Ties are rounded to even, as in the page on resources.
    yield f"Seed 1 reached {row['fmax_mhz']:.1f} MHz where {row['clock_mhz']:.0f} were asked for"
    yield f"{lanes / part.multipliers:.1f} times what its {part.multipliers} multipliers"
    yield f"{lanes / part.multipliers / 2:.1f} times with two INT8 products"
    yield f"a design of over {100 * DENSE_SHARE:.0f} % of the LUTs is placed for short wires"
    yield f"so 512 lanes do {512 / part.multipliers:.2f} times as many"


def array() -> Claims:
    run = kept("array.json")["runs"][-1]
    for datapath, structure in {
        "fused": {"chain_length": 8, "adders_per_chain": 2},
        "tree": {"tree_arity": 2, "levels_per_register": 1},
    }.items():
        rows = [row for row in run["sweep"] if row["datapath"] == datapath]
        (own,) = (row for row in rows if structure.items() <= row["structure"].items())
        assert own["cells_per_lane"] - min(row["cells_per_lane"] for row in rows) <= 0.15
    yield "are within 0.15 cells of the smallest"


def gates() -> Claims:
    record = kept("gates.json")
    row = {name: default_technology().row("7nm", name).joules.value for name in SUM}
    yield f"{(row['fp16.mul'] + row['fp16.add']) / row['int8.add']:.1f} times less energy"
    ratios = {one["ratio"]: one["value"] for one in record["ratios"]}
    random = {kind: ratios[f"(fp16.mul + fp16.add) / int8.add, {kind}, random operands"] for kind in UNITS}
    yield f"even exceeded: {random['logic']:.0f} with random operands"
    yield f"it is {random['unit']:.0f}, with those of their operands {random['registered']:.0f}"
    alone, shared = (
        ratios[f"{FP16} / {TERNARY}, a product, {rows}, real operands"] for rows in ("1 row", "8 rows")
    )
    assumptions = dict(sensitivity(results_of(record)))
    still, moving = assumptions["no glitches"], assumptions["as assumed"]
    yield (
        f"In rows of an array the ratio is about {shared:.0f}, for a row alone about {alone:.0f}, and "
        f"{still[FP16] / still[TERNARY]:.0f} without glitches"
    )
    results = results_of(record).measurements
    assert all(
        one.energies["real"].parts["leakage"] < 0.01 * one.energies["real"].total for one in results.values()
    )
    yield "is under 1 % everywhere"
    glitches = {name: 100 * (1 - still[name] / moving[name]) for name in still}
    yield f"{glitches[FP16]:.0f} % of their energy, {glitches[TERNARY]:.0f} % of the ternary one's"


def values() -> Claims:
    share = sum(matrix.zero for matrix in austen().matrices) / austen().weights
    yield f"Of all weights of the shipped model {100 * share:.1f} % are zero"
    matrices = {matrix.name: 100 * matrix.shares[1] for matrix in austen().matrices}
    assert all(abs(zeros - 100 / 3) <= 3 for name, zeros in matrices.items() if "self_attn" in name)
    yield "within three points of an even spread in every layer"
    network = [
        [zeros for name, zeros in matrices.items() if f"layers.{layer}.mlp" in name] for layer in range(3)
    ]
    first, second, third = ((min(zeros), max(zeros)) for zeros in network)
    yield (
        f"{first[0]:.0f} to {first[1]:.0f} % in layer 0, {second[0]:.0f} to {second[1]:.0f} % in layer 1, "
        f"{third[0]:.0f} to {third[1]:.0f} % in layer 2"
    )
    assert round(entropy((4, 1, 1)), 2) == 1.25
    yield "A share above two thirds would matter: below 1.25 bits of entropy"
    yield f"a character model of {austen().weights / 1e6:.2f} million ternary weights"


def bits() -> Claims:
    shape = find_shape("microsoft/bitnet-b1.58-2B-4T")
    found = {name: weight_memory(shape, name) for name in ("int4", "i2", "s8")}
    other = {name: memory.total - memory.matrices - memory.scales for name, memory in found.items()}
    assert found["int4"].matrices > other["int4"]
    assert found["i2"].matrices < other["i2"]
    yield "in any packing denser than four bits"
    smaller = tabled("docs/questions/bits.md", "microsoft/bitnet-b1.58-2B-4T", "`s8`")[-1]
    yield f"BitNet b1.58 2B-4T is {smaller} times smaller in `s8` than in FP16"
    assert found["s8"].matrices / found["i2"].matrices == pytest.approx(0.8)
    assert 0.9 < found["s8"].total / found["i2"].total < 1
    yield "From `i2` to `s8` a fifth of the matrices goes, but less than a tenth of that model"


def experts() -> Claims:
    mixture, dense = (weight_traffic(find_shape(name), "s8", 32) for name in (MIXTURE, DENSE))
    assert round(mixture / dense) == 4
    yield "the mixture four times the dense model's for 32"
    yield "with 32 of them the mixture reads four times as much as the dense model"
    one, other = (weight_traffic(find_shape(name), "s8", 1) for name in (MIXTURE, DENSE))
    assert 1 < one / other < 1.2
    yield "reads little more than a dense model of its width"


def dataflow() -> Claims:
    m, k = 2560, 2560
    assert round(8 * (1 - m * k / (total_cycles(DEFAULT, m, k, 1) * 512))) == 7
    yield "lanes wait for weights seven cycles of eight"


def packing() -> Claims:
    words = {name: 128 // WORDS[name][1] * WORDS[name][0] for name in ("i2", "s8")}
    assert words["s8"] / words["i2"] == 1.25
    yield "a quarter more weights a second and a quarter more weights in the same memory"


def edge() -> Claims:
    boards = ("AMD Kria KV260", "Raspberry Pi 5", "Jetson Orin Nano")
    kria, pi, jetson = (tabled("docs/questions/edge.md", "bitnet-b1.58-2B-4T", board)[3] for board in boards)
    yield (
        f"that is {kria} tokens a second of BitNet b1.58 2B-4T on a Kria KV260, {pi} on a Raspberry Pi 5 and "
        f"{jetson} on a Jetson Orin Nano"
    )


def processors() -> Claims:
    page = "docs/questions/processors.md"
    packed, fp16 = (tabled(page, "microsoft/bitnet-b1.58-2B-4T", f"`{name}`") for name in ("s8", "fp16"))
    yield f"BitNet b1.58 2B-4T at {packed[2]} tokens a second at most where FP16 has {fp16[2]}"
    assert packed[4] == fp16[4]
    yield "In a prompt it gains nothing"
    writing, reading = (
        tabled(page, "bitnet-b1.58-2B-4T", phase, "LPDDR4")[4].split("x")[0]
        for phase in ("decode", "prefill")
    )
    yield (
        f"FP16 in the same dataflow takes {writing} times as much in decoding and {reading} times as much in a "
        "prompt (LPDDR4)"
    )


def questions() -> Claims:
    shape = find_shape("microsoft/bitnet-b1.58-2B-4T")
    row = tabled("docs/questions/context.md", shape.name)
    yield f"from {row[2]} positions on with 16 bits, from {row[4]} on with 4"
    other = find_shape("HF1BitLLM/Llama3-8B-1.58-100B-tokens")
    yield (
        f"({shape.num_key_value_heads} of {shape.num_attention_heads} heads in 2B-4T, "
        f"{other.num_key_value_heads} of {other.num_attention_heads} in Llama3-8B)"
    )


PAGES: dict[str, tuple[str, Callable[[], Claims]]] = {
    "README": ("README.md", readme),
    "README's digest": ("README.md", readme_digest),
    "mutants": ("tests/cosim/yosys_mutants.md", mutants),
    "README on checkpoints": ("README.md", checkpoints),
    "energy": ("energy/README.md", energy_readme),
    "verification": ("docs/verification.md", verification),
    "axi": ("docs/axi.md", axi),
    "verilog": ("docs/howto/verilog.md", verilog),
    "link": ("docs/link.md", link),
    "sparse": ("docs/sparse.md", sparse),
    "fpga": ("docs/fpga.md", fpga),
    "array": ("docs/array.md", array),
    "gates": ("docs/gates.md", gates),
    "dataflow": ("docs/dataflow.md", dataflow),
    "values": ("docs/questions/values.md", values),
    "bits": ("docs/questions/bits.md", bits),
    "packing": ("docs/questions/packing.md", packing),
    "edge": ("docs/questions/edge.md", edge),
    "processors": ("docs/questions/processors.md", processors),
    "experts": ("docs/questions/experts.md", experts),
    "context": ("docs/questions/context.md", questions),
}


@pytest.mark.parametrize("name", PAGES)
def test_the_figures_in_sentences_are_the_computed_ones(name: str) -> None:
    path, claims = PAGES[name]
    page = " ".join((ROOT / path).read_text().split())
    missing = [claim for claim in claims() if claim not in page]
    assert not missing, f"{path} does not say: {missing}"
