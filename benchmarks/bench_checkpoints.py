"""Memory and time of reading and converting a checkpoint of Llama3-8B-1.58's shapes.

Run as ``python benchmarks/bench_checkpoints.py --folder FOLDER``, which needs 15 GB of disk there; ``--layers`` makes
a smaller checkpoint of as large matrices. The checkpoint is seeded, in the packed form of Hugging Face, and written
some rows at a time. Each command runs in a process of its own; its peak is what the system says of it (`ru_maxrss`).
``--keep`` writes `benchmarks/checkpoints.json`, of which ``docs/checkpoints.md`` is made.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from tritforge.accel.files import write_atomically
from tritforge.models.checkpoint import matrix_shapes, tensor_shapes
from tritforge.models.config import DecoderConfig
from tritforge.models.hf_weights import packed_rows
from tritforge.models.safetensors_writer import SafetensorsWriter, TensorType

KEPT = Path(__file__).with_name("checkpoints.json")
#: The shape of Llama-3-8B.
SHAPE = DecoderConfig(
    vocab_size=128256,
    hidden_size=4096,
    intermediate_size=14336,
    num_hidden_layers=32,
    num_attention_heads=32,
    num_key_value_heads=8,
    max_position_embeddings=8192,
    rope_theta=500000.0,
    hidden_act="silu",
    sub_norms=False,
    tie_word_embeddings=False,
)
#: What ``config.json`` says of it.
FIELDS = (
    *("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads"),
    *("num_key_value_heads", "max_position_embeddings", "rope_theta", "rms_norm_eps", "hidden_act"),
    "tie_word_embeddings",
)
SHARDS = 4
#: Numbers that are written at a time.
STEP = 1 << 22
#: What runs, by what the page calls it: words behind `tritforge`, with the checkpoint and a place for the result.
COMMANDS = {
    "model inspect": ["model", "inspect", "{checkpoint}"],
    "model convert --to native": [
        "model",
        "convert",
        "{checkpoint}",
        "{out}/model.safetensors",
        "--to",
        "native",
    ],
    "model convert --to image --set packing=s8 --set partial_sums=true": [
        *("model", "convert", "{checkpoint}", "{out}/image", "--to", "image"),
        *("--set", "packing=s8", "--set", "partial_sums=true"),
    ],
}


def seeded(folder: Path, config: DecoderConfig) -> int:
    """Write a checkpoint of random codes and numbers; return its bytes."""
    random = np.random.default_rng(0)
    legal = np.array(
        [byte for byte in range(256) if all(byte >> 2 * field & 3 < 3 for field in range(4))], dtype=np.uint8
    )
    types: dict[str, TensorType] = {}
    for name, (m, k) in matrix_shapes(config).items():
        types[f"{name}.weight"] = TensorType(dtype="U8", shape=(packed_rows(m), k))
        types[f"{name}.weight_scale"] = TensorType(dtype="BF16", shape=(1,))
    types |= {name: TensorType(dtype="BF16", shape=shape) for name, shape in tensor_shapes(config).items()}
    folder.mkdir(parents=True)
    fields = config.to_dict()
    document = {name: fields[name] for name in FIELDS} | {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "quantization_config": {
            "quant_method": "bitnet",
            "linear_class": "bitlinear",
            "quantization_mode": "offline",
        },
    }
    (folder / "config.json").write_text(json.dumps(document))
    where = {name: f"model-{number % SHARDS + 1}.safetensors" for number, name in enumerate(types)}
    for shard in sorted(set(where.values())):
        own = {name: kind for name, kind in types.items() if where[name] == shard}
        with (folder / shard).open("wb") as file:
            writer = SafetensorsWriter(file, own)
            for name, kind in own.items():
                width = int(np.prod(kind.shape[1:]))
                step = max(1, STEP // width)
                for start in range(0, kind.shape[0], step):
                    shape = (min(step, kind.shape[0] - start), *kind.shape[1:])
                    if kind.dtype == "U8":
                        writer.write(name, legal[random.integers(0, len(legal), shape, dtype=np.uint8)])
                    else:
                        # bfloat16 of magnitude 2**-8 to 2**8.
                        writer.write(name, random.integers(119 << 7, 135 << 7, shape, dtype=np.uint16))
            writer.finish()
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": where}))
    return sum(path.stat().st_size for path in folder.iterdir())


def measured(words: list[str]) -> dict[str, Any]:
    """Run `tritforge` in a process; return its peak and its time, on the clock and of the processor."""
    start = perf_counter()
    command = [Path(sys.executable).with_name("tritforge"), *words]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if status:
        raise SystemExit(f"tritforge {' '.join(words)} ends with {process.returncode}")
    return {
        "peak_mb": round(usage.ru_maxrss * 1024 / 1e6),
        "seconds": round(perf_counter() - start, 1),
        "cpu_seconds": round(usage.ru_utime + usage.ru_stime, 1),
    }


def main() -> int:
    """Measure all commands; return the exit status."""
    parser = argparse.ArgumentParser(description="Memory and time of a large checkpoint's commands.")
    parser.add_argument(
        "--folder", type=Path, required=True, help="place for 15 GB; made, and removed at the end"
    )
    parser.add_argument(
        "--layers", type=int, default=SHAPE.num_hidden_layers, help="layers of the checkpoint (32)"
    )
    parser.add_argument("--keep", action="store_true", help=f"write {KEPT.name}")
    options = parser.parse_args()
    config = replace(SHAPE, num_hidden_layers=options.layers)
    weights = sum(m * k for m, k in matrix_shapes(config).values())
    options.folder.mkdir(parents=True)
    try:
        size = seeded(options.folder / "checkpoint", config)
        print(f"{weights / 1e9:.2f} billion ternary weights, {size / 1e9:.1f} GB", flush=True)
        rows = {}
        for name, words in COMMANDS.items():
            out = options.folder / "out"
            out.mkdir()
            places = {"checkpoint": options.folder / "checkpoint", "out": out}
            rows[name] = measured([word.format(**places) for word in words])
            print(f"{name}: {rows[name]}", flush=True)
            shutil.rmtree(out)
    finally:
        shutil.rmtree(options.folder)
    if options.keep:
        result = {"tritforge": version("tritforge"), "numpy": version("numpy"), "layers": options.layers}
        result |= {"weights": weights, "bytes": size, "commands": rows}
        write_atomically(KEPT, json.dumps(result, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
