"""Host paths against their peers in one run: packing and unpacking against gguf, the golden product against BLAS.

Run as ``python benchmarks/bench_host.py``. The matrix is the largest of BitNet b1.58 2B-4T unless ``--shape`` says
another. Contestants take turns, and each figure is that of the fastest turn, so that a busy machine slows all of them
alike. The peers are gguf's TQ1_0 and TQ2_0 (from and to float32, as that package has them), NumPy's float32 product
with weights that are float32 already, NumPy's int32 product, and torch's int8 product if torch is installed.
"""

import argparse
import os
import tracemalloc
from collections.abc import Callable, Mapping
from functools import partial
from time import perf_counter
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table

from tritforge.accel.codes import WORDS
from tritforge.accel.config import AcceleratorConfig
from tritforge.models.base3 import pack, unpack
from tritforge.models.image import pack_image, unpack_image
from tritforge.models.row_packing import Base3Rows, QuarterRows
from tritforge.sim.golden import ternary_matmul

TOKENS = (1, 4, 16, 128, 512, 2048)
PORTS = (64, 128, 512)
ORDERS: dict[str, dict[str, Any]] = {
    "row by row, bias": {},
    "row by row": {"negation": "carry"},
    "8 positions": {"datapath": "fused", "target": "ecp5", "negation": "carry"},
}
#: Tokens that NumPy's int32 product is timed with; its rate does not depend on them.
INTEGER_TOKENS = 4
#: Weights of a block of TQ1_0 and TQ2_0.
GGUF_BLOCK = 256

Codes = npt.NDArray[np.int8]
Work = Callable[[], Any]


def race(contestants: Mapping[str, Work], rounds: int) -> dict[str, float]:
    """Return the least seconds of each of some functions, which take turns."""
    seconds = dict.fromkeys(contestants, float("inf"))
    for _ in range(rounds):
        for name, work in contestants.items():
            start = perf_counter()
            work()
            seconds[name] = min(seconds[name], perf_counter() - start)
    return seconds


def peak_bytes(work: Work) -> int:
    """Return the memory that a call takes at most, its result left out."""
    tracemalloc.start()
    result = work()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak - int(result.nbytes)


def packers(codes: Codes) -> dict[str, tuple[Work, Work]]:
    """Return packing and unpacking by name; each is checked to give the codes back."""
    m, k = codes.shape
    packed = pack(codes)
    assert np.array_equal(unpack(packed, k), codes)
    works: dict[str, tuple[Work, Work]] = {"base 3||": (partial(pack, codes), partial(unpack, packed, k))}
    for packing in WORDS:
        for port in PORTS:
            for order, values in ORDERS.items():
                config = AcceleratorConfig(packing=packing, weight_port_bits=port, **values)
                image = pack_image(config, codes)
                assert np.array_equal(unpack_image(config, image, m, k), codes)
                works[f"{packing}|{port}|{order}"] = (
                    partial(pack_image, config, codes),
                    partial(unpack_image, config, image, m, k),
                )
    return works


def packing_peers(console: Console, codes: Codes) -> dict[str, tuple[Work, Work]]:
    """Return gguf's quantisation and dequantisation; none, and a line that says so, where it is not installed."""
    try:
        from gguf.quants import TQ1_0, TQ2_0
    except ModuleNotFoundError:
        console.print("gguf is not installed: no peer for packing (pip install gguf)")
        return {}
    floats = codes.astype(np.float32)
    return {
        f"gguf {name}||": (partial(kind.quantize, floats), partial(kind.dequantize, kind.quantize(floats)))
        for name, kind in (("TQ1_0", TQ1_0), ("TQ2_0", TQ2_0))
    }


def bench_packing(console: Console, codes: Codes, rounds: int) -> None:
    """Print a line for each packing, port and order."""
    peers = packing_peers(console, codes)
    works = peers | packers(codes)
    seconds = [race({name: work[way] for name, work in works.items()}, rounds) for way in (0, 1)]
    table = Table(title="packing and unpacking, 64 lanes x 8 rows", title_justify="left")
    for heading in ("packing", "port", "order"):
        table.add_column(heading, no_wrap=True)
    for heading in ("pack\nGtrit/s", "TQ1_0\n= 1", "unpack\nGtrit/s", "TQ1_0\n= 1"):
        table.add_column(heading, justify="right")
    for name in works:
        cells = []
        for times in seconds:
            ratio = f"{times['gguf TQ1_0||'] / times[name]:.1f}" if peers else "-"
            cells += [f"{codes.size / times[name] / 1e9:.2f}", ratio]
        table.add_row(*name.split("|"), *cells)
    console.print(table)


def bench_products(console: Console, codes: Codes, all_tokens: list[int], rounds: int) -> None:
    """Print the golden product's time for several numbers of tokens, and its peers'."""
    m, k = codes.shape
    random = np.random.default_rng(1)
    floats = codes.astype(np.float32)
    fields = (codes[: m // 4 * 4] + 1).astype(np.uint8).reshape(4, -1, k)
    quarters = QuarterRows(fields[0] | fields[1] << 2 | fields[2] << 4 | fields[3] << 6)
    base3 = Base3Rows(pack(codes), k)
    integers = codes.astype(np.int32)
    torch_weights = torch_int8(console, codes)

    table = Table(title="product: tokens x K by K x M, conversion included", title_justify="left")
    for heading in ("tokens", "weights", "ms", "GOP/s", "time / float32", "extra MiB"):
        table.add_column(heading, justify="left" if heading == "weights" else "right")
    for tokens in all_tokens:
        codes_x = random.integers(-128, 128, (tokens, k), dtype=np.int8)
        few = codes_x[:INTEGER_TOKENS]

        works: dict[str, Work] = {
            "float32 (NumPy)": lambda x=codes_x: x.astype(np.float32) @ floats.T,
            "int8": partial(ternary_matmul, codes_x, codes),
            "base 3": partial(ternary_matmul, codes_x, base3),
            "four codes a byte": partial(ternary_matmul, codes_x, quarters),
        }
        expected = works["float32 (NumPy)"]().astype(np.int32)
        for name in ("int8", "base 3"):
            assert np.array_equal(works[name](), expected)
        assert np.array_equal(works["four codes a byte"](), expected[:, : quarters.m])
        if torch_weights is not None:
            works["int8 (torch)"] = torch_weights(codes_x)
            assert np.array_equal(works["int8 (torch)"]().numpy(), expected)
        seconds = race(works, rounds * 2 if tokens < 64 else rounds)
        seconds |= race({"int32 (NumPy)": partial(np.matmul, few.astype(np.int32), integers.T)}, 1)
        for name, time in seconds.items():
            count = len(few) if name == "int32 (NumPy)" else tokens
            table.add_row(
                str(tokens) if name == "float32 (NumPy)" else "",
                name,
                f"{1e3 * time * tokens / count:.2f}",
                f"{2 * count * m * k / time / 1e9:.1f}",
                f"{time * tokens / count / seconds['float32 (NumPy)']:.2f}",
                f"{peak_bytes(works[name]) / 2**20:.1f}" if name in works and "torch" not in name else "",
            )
        table.add_section()
    console.print(table)
    console.print(
        f"int32 (NumPy) is timed with up to {INTEGER_TOKENS} tokens and scaled. Extra memory leaves out result and "
        f"weights: {codes.nbytes / 2**20:.0f} MiB of int8, {4 * codes.nbytes / 2**20:.0f} of float32, which one "
        "token has to read once, so that memory is its bound."
    )


def torch_int8(console: Console, codes: Codes) -> Callable[[Codes], Work] | None:
    """Return what makes torch's int8 product; None, and a line that says so, where torch is not installed."""
    try:
        import torch
    except ModuleNotFoundError:
        console.print("torch is not installed: its int8 product is left out (pip install torch)")
        return None
    weights = torch.from_numpy(codes)
    # Not public, but the one int8 product with int32 sums that torch has.
    return lambda codes_x: partial(torch._int_mm, torch.from_numpy(codes_x), weights.T)  # noqa: SLF001


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shape", type=int, nargs=2, default=(6912, 2560), metavar=("M", "K"))
    parser.add_argument("--tokens", type=int, nargs="+", default=TOKENS)
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    m, k = arguments.shape
    if k % GGUF_BLOCK or m < 1 or k < 1:
        parser.error(
            f"the shape is {m} x {k}; gguf packs rows of whole blocks, so K must be a multiple of {GGUF_BLOCK}"
        )
    console = Console(highlight=False)
    console.print(f"{m} x {k}, {os.cpu_count()} processors, NumPy {np.__version__}")
    codes = np.random.default_rng(0).integers(-1, 2, (m, k), dtype=np.int8)
    bench_packing(console, codes, arguments.rounds)
    bench_products(console, codes, arguments.tokens, arguments.rounds)


if __name__ == "__main__":
    main()
