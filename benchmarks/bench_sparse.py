"""Sparse decode against dense: bits read and cycles, for BitNet b1.58 2B-4T's shape and the shipped model.

Run as ``python benchmarks/bench_sparse.py``; cycles are those of the cycle model, which equals the hardware. Exit
status 1 where a sparse job at 2B-4T's shape reads more than 1.10 times its non-zero columns.
"""

import sys

import numpy as np
import numpy.typing as npt

from tritforge.accel.codes import WORDS
from tritforge.accel.config import AcceleratorConfig
from tritforge.models.columns import column_traffic
from tritforge.models.library import held_out_text, load_model
from tritforge.models.tokenizer import encode
from tritforge.rtl.array_report import markdown_table
from tritforge.sim.cycles import JobCycles, activation_beats, batch_cycles, weight_beats
from tritforge.sim.decoder import Decoder, GoldenProduct
from tritforge.sim.jobs import Job
from tritforge.sim.streams import Stalls

SHAPE = (2560, 6912)
ZEROS = 0.85
BOUND = 1.10
PORTS = (64, 128, 512)
#: Cycles from a request to its column, those of a DRAM controller.
LATENCY = 40
SHAPE_HEADINGS = (
    "packing",
    "port",
    "rows of a block",
    "read / ideal",
    "with addresses",
    "cycles dense",
    "cycles sparse",
    "gain",
)
MODEL_HEADINGS = (
    "layer",
    "zeros",
    "packing",
    "read / ideal",
    "read / dense image",
    "cycles dense",
    "cycles sparse",
    "gain",
)
#: Positions of held-out text whose activations are taken.
CONTEXT = 512
#: Tokens of these positions whose cycles are averaged.
TOKENS = 16


def config_of(packing: str, port: int) -> AcceleratorConfig:
    """Return a configuration with sparse jobs whose dense tiles fill their beats."""
    lanes = {"i2": 64, "s5": 192, "s8": 80}[packing]
    return AcceleratorConfig(
        sparse=True, packing=packing, weight_port_bits=port, negation="carry", lanes=lanes
    )


def cycles(config: AcceleratorConfig, m: int, nonzero: npt.NDArray[np.bool_]) -> tuple[JobCycles, JobCycles]:
    """Return the cycles of one token, dense and sparse."""
    k = len(nonzero)
    stalls = Stalls(latency=LATENCY)
    dense = batch_cycles(config, [Job(m=m, k=k, tokens=1)], stalls).jobs[0]
    sparse = batch_cycles(config, [Job(m=m, k=k, tokens=1, nonzero=nonzero)], stalls).jobs[0]
    return dense, sparse


def shape_rows() -> list[list[str]]:
    """Return the rows of 2B-4T's shape: traffic and cycles by packing and port."""
    m, k = SHAPE
    nonzero = nonzero_of_shape()
    rows = []
    for packing in WORDS:
        for port in PORTS:
            config = config_of(packing, port)
            traffic = column_traffic(config, m, k, int(nonzero.sum()))
            dense, sparse = cycles(config, m, nonzero)
            with_addresses = (traffic.bits + 32 * traffic.requests) / traffic.ideal_bits
            rows.append(
                [
                    packing,
                    f"{port}",
                    f"{config.column_rows}",
                    f"{traffic.overhead:.3f}",
                    f"{with_addresses:.3f}",
                    f"{dense.total:,}",
                    f"{sparse.total:,}",
                    f"{dense.total / sparse.total:.2f}",
                ]
            )
    return rows


def nonzero_of_shape() -> npt.NDArray[np.bool_]:
    """Return which of 2B-4T's activations are not zero, seeded."""
    return np.random.default_rng(0).random(SHAPE[1]) >= ZEROS


def down_activations(model: str) -> dict[str, npt.NDArray[np.int8]]:
    """Return the activation codes of each layer's ``down_proj`` on held-out text, shape (CONTEXT, K)."""
    checkpoint = load_model(model)
    golden = GoldenProduct(checkpoint)
    seen: dict[str, npt.NDArray[np.int8]] = {}

    def product(name: str, codes_x: npt.NDArray[np.int8], /) -> npt.NDArray[np.int32]:
        seen[name] = codes_x
        return golden(name, codes_x)

    Decoder(checkpoint, product).forward(encode(held_out_text(model)[:CONTEXT], errors="replace"))
    return {name: codes for name, codes in seen.items() if name.endswith("down_proj")}


def model_rows() -> list[list[str]]:
    """Return the rows of the shipped model: traffic of all positions, mean cycles of the last tokens."""
    rows = []
    for name, codes in down_activations("austen").items():
        m, k = load_model("austen").matrices[name].codes.shape
        counts = (codes != 0).sum(axis=1)
        for packing in WORDS:
            config = config_of(packing, 128)
            traffics = [column_traffic(config, m, k, int(count)) for count in counts]
            bits, ideal = sum(t.bits for t in traffics), sum(t.ideal_bits for t in traffics)
            dense_bits = weight_beats(config, m, k) * config.weight_port_bits
            pairs = [cycles(config, m, codes[token] != 0) for token in range(CONTEXT - TOKENS, CONTEXT)]
            dense, sparse = (sum(pair[i].total for pair in pairs) / TOKENS for i in (0, 1))
            rows.append(
                [
                    name.split(".")[2],
                    f"{100 * (1 - counts.mean() / k):.1f} %",
                    packing,
                    f"{bits / ideal:.3f}",
                    f"{bits / CONTEXT / dense_bits:.3f}",
                    f"{dense:,.0f}",
                    f"{sparse:,.0f}",
                    f"{dense / sparse:.1f}",
                ]
            )
    return rows


def main() -> int:
    """Print both tables."""
    m, k = SHAPE
    nonzero = nonzero_of_shape()
    print(f"2B-4T down_proj, {m} x {k}, {int(nonzero.sum())} activations other than zero\n")
    rows = shape_rows()
    print(markdown_table(SHAPE_HEADINGS, rows))
    config = config_of("i2", 128)
    dense, sparse = cycles(config, m, np.ones(k, dtype=np.bool_))
    print(f"no activation zero, i2, 128 bits: {dense.total} cycles dense, {sparse.total} sparse")
    print(f"activation beats of the token: {activation_beats(config, k, 1)} cycles\n")
    print(markdown_table(MODEL_HEADINGS, model_rows(), text=3))
    return 0 if max(float(row[3]) for row in rows) <= BOUND else 1


if __name__ == "__main__":
    sys.exit(main())
