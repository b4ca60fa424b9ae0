"""Import of checkpoints: a layer of BitNet b1.58 2B-4T read from every format, beside gguf's own reading of TQ1_0.

Run as ``python benchmarks/bench_import.py``. Codes are random, with the published share of zeros. Each format is
written once, as ``tritforge model convert`` does, then opened and read, all checks included, as often as ``--rounds``
says, in turns; a figure is that of the fastest turn. The peer reads the same TQ1_0 file with the ``gguf`` package
and dequantises it to float32.
"""

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from bench_host import race
from rich.console import Console
from rich.table import Table

from tritforge.accel.presets import PRESETS
from tritforge.models.checkpoint import Checkpoint, matrix_shapes, tensor_shapes
from tritforge.models.config import DecoderConfig
from tritforge.models.conversion import convert
from tritforge.models.formats import open_checkpoint
from tritforge.models.reader import MemoryReader
from tritforge.models.ternary import TernaryMatrix
from tritforge.sim.operands import seeded_weights

#: A layer of BitNet b1.58 2B-4T; the vocabulary is small, since weights are what is measured.
LAYER = DecoderConfig(
    vocab_size=1024,
    hidden_size=2560,
    intermediate_size=6912,
    num_hidden_layers=1,
    num_attention_heads=20,
    num_key_value_heads=5,
    max_position_embeddings=4096,
)
#: float16, bfloat16 and float32 hold it, so that no format rounds it.
SCALE = np.float32(1 / 32)
#: Formats, with what is said when they are written and when they are read.
FORMATS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "native": ({}, {}),
    "hf-packed": ({}, {}),
    "gguf-tq1_0": ({}, {}),
    "gguf-tq2_0": ({}, {}),
    "gguf-i2_s": ({"i2s_layout": "x86"}, {"i2s_layout": "x86"}),
    "image": ({"accelerator": PRESETS["default"]}, {}),
}


def model() -> Checkpoint:
    """Return a random model of one layer."""
    random = np.random.default_rng(0)
    return Checkpoint(
        config=LAYER,
        matrices={
            name: TernaryMatrix(codes=seeded_weights(*shape, random), scale=SCALE, scale_kind="multiplier")
            for name, shape in matrix_shapes(LAYER).items()
        },
        tensors={
            name: random.standard_normal(shape, dtype=np.float32)
            for name, shape in tensor_shapes(LAYER).items()
        },
    )


def read_all(path: Path, options: dict[str, Any]) -> None:
    """Open a checkpoint and read every matrix of it."""
    with open_checkpoint(path, **options) as reader:
        for name in reader.matrices:
            reader.matrix(name)


def read_with_gguf(console: Console, path: Path) -> dict[str, Callable[[], None]]:
    """Return gguf's reading of a file; nothing, and a line that says so, where it is not installed."""
    try:
        from gguf import GGUFReader
        from gguf.quants import dequantize
    except ModuleNotFoundError:
        console.print("gguf is not installed: no peer for the import (pip install gguf)")
        return {}

    def read() -> None:
        for tensor in GGUFReader(path).tensors:
            dequantize(tensor.data, tensor.tensor_type)

    return {"gguf's own, TQ1_0": read}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="Import of checkpoints, by format.")
    parser.add_argument("--rounds", type=int, default=3, help="turns (default 3)")
    rounds = parser.parse_args().rounds
    if rounds < 1:
        parser.error(f"--rounds is {rounds}; 1 or more is needed")
    console = Console()
    with TemporaryDirectory() as folder:
        source = MemoryReader(model())
        trits = sum(m * k for m, k in source.matrices.values())
        works: dict[str, Callable[[], None]] = {}
        sizes = {}
        for name, (writing, reading) in FORMATS.items():
            path = Path(folder) / name
            sizes[name] = convert(source, path, name, **writing).bytes
            works[name] = partial(read_all, path, reading)
        works |= read_with_gguf(console, Path(folder) / "gguf-tq1_0")
        seconds = race(works, rounds)
    table = Table(title=f"reading {trits / 1e6:.1f} million ternary weights", title_justify="left")
    table.add_column("format", no_wrap=True)
    for heading in ("MB", "ms", "Gtrit/s"):
        table.add_column(heading, justify="right")
    for name, time in seconds.items():
        size = f"{sizes[name] / 1e6:.1f}" if name in sizes else ""
        table.add_row(name, size, f"{1e3 * time:.0f}", f"{trits / time / 1e9:.2f}")
    console.print(table)


if __name__ == "__main__":
    main()
