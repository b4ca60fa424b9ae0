"""Embeddings in GGUF files: of every type that `gguf` reads, and what is said without it."""

import re
import sys
from pathlib import Path

import gguf
import numpy as np
import pytest
from gguf_files import Tensor
from gguf_models import TINY, file_of, model_of

from tritforge.accel.errors import MissingToolError
from tritforge.models.gguf_blocks import pack_blocks
from tritforge.models.gguf_reader import GgufReader


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model.gguf"


@pytest.mark.parametrize("kind", ["Q8_0", "Q4_0", "F16", "BF16"])
def test_embeddings_of_other_types_are_what_gguf_makes_of_them(path: Path, kind: str) -> None:
    model = model_of(TINY)
    number = gguf.GGMLQuantizationType[kind]
    packed = gguf.quants.quantize(model.tensors["model.embed_tokens.weight"], number)
    embedding = Tensor(name="token_embd.weight", type=number.value, shape=(7, 256), data=packed.tobytes())
    path.write_bytes(file_of(model, "bitnet-25", replaced=[embedding]))
    golden = gguf.quants.dequantize(packed, number)
    with GgufReader(path) as reader:
        assert np.array_equal(reader.tensor("model.embed_tokens.weight"), golden)
        assert np.array_equal(reader.rows("model.embed_tokens.weight", 2, 5), golden[2:5])
        note = f"model.embed_tokens.weight is stored in {kind}: what it was before is not known."
        assert (note in reader.notes) == kind.startswith("Q")


@pytest.mark.parametrize("kind", ["Q6_K", "Q4_K"])
def test_embeddings_in_k_quants_are_what_gguf_makes_of_their_bytes(path: Path, kind: str) -> None:
    """The package packs none of them: random bytes, with scales that float16 has."""
    number = gguf.GGMLQuantizationType[kind]
    block, size = gguf.GGML_QUANT_SIZES[number]
    packed = np.random.default_rng(0).integers(0, 256, (7, size), dtype=np.uint8)
    one = np.array([0.01], dtype="<f2").view(np.uint8)
    for at in (208,) if kind == "Q6_K" else (0, 2):
        packed[:, at : at + 2] = one
    embedding = Tensor(name="token_embd.weight", type=number.value, shape=(7, block), data=packed.tobytes())
    path.write_bytes(file_of(model_of(TINY), "bitnet-25", replaced=[embedding]))
    with GgufReader(path) as reader:
        found = reader.tensor("model.embed_tokens.weight")
        assert np.array_equal(found, gguf.quants.dequantize(packed, number))


def test_an_embedding_in_a_ternary_type_is_read_as_numbers(path: Path) -> None:
    model = model_of(TINY)
    codes = np.random.default_rng(0).integers(-1, 2, (7, 256), dtype=np.int8)
    scales = np.linspace(1, 2, 7).astype(np.float16).astype(np.float32)[:, None]
    data = pack_blocks("TQ1_0", codes, scales).tobytes()
    embedding = Tensor(name="token_embd.weight", type=34, shape=(7, 256), data=data)
    path.write_bytes(file_of(model, "bitnet-25", replaced=[embedding]))
    with GgufReader(path) as reader:
        assert np.array_equal(reader.tensor("model.embed_tokens.weight"), codes * scales)


def test_quantised_embeddings_need_the_package_and_nothing_else_does(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = model_of(TINY)
    packed = gguf.quants.quantize(model.tensors["model.embed_tokens.weight"], gguf.GGMLQuantizationType.Q8_0)
    embedding = Tensor(name="token_embd.weight", type=8, shape=(7, 256), data=packed.tobytes())
    path.write_bytes(file_of(model, "bitnet-25", replaced=[embedding]))
    monkeypatch.setitem(sys.modules, "gguf", None)
    with GgufReader(path) as reader:
        reader.matrix("model.layers.0.mlp.up_proj")
        reader.tensor("model.norm.weight")
        message = (
            "reading numbers in Q8_0 needs the package gguf; install it with: pip install 'tritforge[gguf]'"
        )
        with pytest.raises(MissingToolError, match=f"^{re.escape(message)}$"):
            reader.tensor("model.embed_tokens.weight")
