"""Memory of an import: near the largest tensor, whatever the size of the model."""

import json
import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from checkpoints import LLAMA, config_json, write

from tritforge.models.checkpoint import matrix_shapes, tensor_shapes
from tritforge.models.config import DecoderConfig
from tritforge.models.hf_weights import packed_rows, unpack_quarters
from tritforge.models.huggingface import HuggingFaceReader
from tritforge.models.native import NativeReader, write_native
from tritforge.models.safetensors_file import to_float32
from tritforge.models.safetensors_writer import SafetensorsWriter, TensorType

#: The shape of Llama-3-8B.
LLAMA3_8B = DecoderConfig(
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
LIMIT_MIB = 2000
# What the process that imports reports: the peak of its own memory, pages of mapped files counted.
IMPORT = """
import sys
from pathlib import Path
from tritforge.models.huggingface import HuggingFaceReader
from tritforge.models.native import write_native
with HuggingFaceReader(Path(sys.argv[1])) as reader:
    write_native(reader, Path(sys.argv[2]))
peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
print(int(peak.split()[1]) // 1024)
"""
#: Bytes of four codes each, none of them 3.
LEGAL = np.array([b for b in range(256) if all(b >> 2 * field & 3 < 3 for field in range(4))], dtype=np.uint8)


class Synthetic:
    """Content of a large checkpoint: rows of one block of random numbers, begun elsewhere for each tensor."""

    def __init__(self, config: DecoderConfig) -> None:
        random = np.random.default_rng(8)
        self.codes = LEGAL[random.integers(0, len(LEGAL), 1 << 24, dtype=np.uint8)]
        # bfloat16 of magnitude 2**-8 to 2**8, all mantissas.
        self.halves = random.integers(119 << 7, 135 << 7, 1 << 22, dtype=np.uint16)
        self.types: dict[str, TensorType] = {}
        for name, (m, k) in matrix_shapes(config).items():
            self.types[f"{name}.weight"] = TensorType(dtype="U8", shape=(packed_rows(m), k))
            self.types[f"{name}.weight_scale"] = TensorType(dtype="BF16", shape=(1,))
        for name, shape in tensor_shapes(config).items():
            self.types[name] = TensorType(dtype="BF16", shape=shape)
        self.number = {name: number for number, name in enumerate(self.types)}

    def rows(self, name: str, start: int, stop: int) -> npt.NDArray[Any]:
        """Return rows of a tensor."""
        kind = self.types[name]
        width = int(np.prod(kind.shape[1:]))
        source = self.codes if kind.dtype == "U8" else self.halves
        first = (self.number[name] * 40961 + start * width) % source.size
        indices = np.arange(first, first + (stop - start) * width) % source.size
        return source[indices].reshape(-1, *kind.shape[1:])

    def write(self, folder: Path, config: DecoderConfig, shards: int) -> None:
        """Write the checkpoint, some rows at a time."""
        folder.mkdir()
        (folder / "config.json").write_text(json.dumps(config_json(config, "bitlinear")))
        names = list(self.types)
        where = {name: f"model-{i % shards + 1}.safetensors" for i, name in enumerate(names)}
        for shard in sorted(set(where.values())):
            own = {name: kind for name, kind in self.types.items() if where[name] == shard}
            with (folder / shard).open("wb") as file:
                writer = SafetensorsWriter(file, own)
                for name, kind in own.items():
                    step = max(1, (1 << 22) // int(np.prod(kind.shape[1:])))
                    for start in range(0, kind.shape[0], step):
                        writer.write(name, self.rows(name, start, min(start + step, kind.shape[0])))
                writer.finish()
        (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": where}))


@pytest.mark.slow
def test_an_import_of_8_billion_weights_stays_under_two_gigabytes(tmp_path: Path) -> None:
    """Packed codes and a bfloat16 embedding and head of 128256 x 4096, 3.8 GB in all."""
    content = Synthetic(LLAMA3_8B)
    content.write(tmp_path / "hf", LLAMA3_8B, shards=4)
    found = subprocess.run(
        [sys.executable, "-c", IMPORT, str(tmp_path / "hf"), str(tmp_path / "native.safetensors")],
        capture_output=True,
        text=True,
        check=True,
    )
    peak = int(found.stdout)
    print(f"peak memory of the import: {peak} MiB")
    assert peak < LIMIT_MIB
    with NativeReader(tmp_path / "native.safetensors") as reader:
        assert reader.config == LLAMA3_8B
        for name in (*list(reader.matrices)[:2], list(reader.matrices)[-1]):
            stored = content.types[f"{name}.weight"].shape
            codes = unpack_quarters(content.rows(f"{name}.weight", 0, stored[0]), reader.matrices[name][0])
            assert np.array_equal(reader.matrix(name).codes, codes)
            scale = to_float32(content.rows(f"{name}.weight_scale", 0, 1), "BF16")
            assert reader.matrix(name).scale == scale[0]
        for name in ("model.embed_tokens.weight", "lm_head.weight"):
            wanted = to_float32(content.rows(name, 127_000, 128_256), "BF16")
            assert np.array_equal(reader.rows(name, 127_000, 128_256), wanted)


@pytest.mark.parametrize("form", ["bitlinear", "online", "trilm"])
def test_memory_does_not_grow_with_the_number_of_layers(form: Any, tmp_path: Path) -> None:
    peaks = []
    for layers in (2, 12):
        config = DecoderConfig(
            **LLAMA.to_dict()
            | {
                "hidden_size": 256,
                "intermediate_size": 1024,
                "head_dim": 64,
                "num_hidden_layers": layers,
            }
        )
        folder = tmp_path / str(layers)
        write(folder, config, form)
        tracemalloc.start()
        with HuggingFaceReader(folder) as reader:
            write_native(reader, tmp_path / "native.safetensors")
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    # A few times the largest matrix in float32, 1 MiB; what grows with layers are names and hashes.
    assert peaks[1] < peaks[0] + 500_000
    assert peaks[1] < 6 << 20
