"""GGUF files that are no model: each is refused where it is wrong, and none is read wrongly."""

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
from fuzz import FUZZ_CASES, fuzz, mutated, read_or_refuse
from gguf_files import Tensor, gguf_bytes
from gguf_models import LLAMA, TINY, Entries, assert_same, file_of, floats, model_of

from tritforge.accel.errors import InputError
from tritforge.models.gguf_blocks import pack_blocks
from tritforge.models.gguf_file import GgufFile, GgufTensor
from tritforge.models.gguf_names import tensor_name, write_config
from tritforge.models.gguf_reader import GgufReader, I2sLayout


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model.gguf"


def test_i2s_needs_its_layout_said(path: Path) -> None:
    path.write_bytes(file_of(model_of(TINY), "bitnet-b1.58", kind="x86"))
    message = (
        f"{path}: blk.0.attn_q.weight is i2_s, whose layout differs between x86 and ARM builds of bitnet.cpp and is "
        "not in the file; say which one wrote it (tritforge model convert --i2s-layout x86 or arm)"
    )
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        GgufReader(path)
    with pytest.raises(InputError, match=r"^the layout of i2_s is 'mips'; one of x86, arm is needed$"):
        GgufReader(path, i2s_layout="mips")  # type: ignore[arg-type]


def test_i2s_of_part_of_a_block_is_refused(path: Path) -> None:
    model = model_of(replace(LLAMA, num_key_value_heads=1, head_dim=2, num_attention_heads=1, hidden_size=32))
    query = Tensor(name="blk.0.attn_q.weight", type=36, shape=(2, 32), data=bytes(16 + 32))
    others = [
        Tensor(
            name=f"{tensor_name(name)}.weight", type=0, shape=(m.m, m.k), data=m.codes.astype("<f4").tobytes()
        )
        for name, m in model.matrices.items()
    ]
    tensors = [floats(values, tensor_name(name)) for name, values in model.tensors.items()]
    stored = {tensor.name: tensor for tensor in [*others, *tensors, query]}
    content: Entries = {"general.architecture": "llama"} | write_config(model.config, "llama")
    path.write_bytes(gguf_bytes(content, list(stored.values())))
    message = "blk.0.attn_q.weight has the shape (2, 32); i2_s in the x86 layout has blocks of 128"
    with pytest.raises(InputError, match=f"^{re.escape(f'{path}: {message}')}$"):
        GgufReader(path, i2s_layout="x86")
    with (
        GgufReader(path, i2s_layout="arm") as reader,
        pytest.raises(InputError, match=r"makes zeros of them$"),
    ):
        reader.matrix("model.layers.0.self_attn.q_proj")


def test_damage_is_found_where_it_is(path: Path) -> None:
    model = model_of(TINY)
    data = bytearray(
        pack_blocks("TQ1_0", model.matrices["model.layers.0.mlp.up_proj"].codes, np.ones((256, 1), "f4"))
    )
    data[489] = next(byte for byte in range(256) if byte not in {-(-v * 256 // 243) for v in range(243)})
    up = Tensor(name="blk.0.ffn_up.weight", type=34, shape=(256, 256), data=bytes(data))
    path.write_bytes(file_of(model, "bitnet-b1.58", replaced=[up]))
    message = (
        f"{path}: model.layers.0.mlp.up_proj: blk.0.ffn_up.weight: row 9, column 3: the byte {data[489]} "
    )
    with GgufReader(path) as reader, pytest.raises(InputError, match=f"^{re.escape(message)}"):
        reader.matrix("model.layers.0.mlp.up_proj")


def test_floats_that_are_not_ternary_are_refused(path: Path) -> None:
    model = model_of(TINY)
    weights = model.matrices["model.layers.0.mlp.up_proj"].codes.astype(np.float32)
    message = (
        f"{path}: model.layers.0.mlp.up_proj: blk.0.ffn_up.weight: the weights are F32 and not ternary: convert a "
        "ternary model, or a Hugging Face checkpoint that is quantised on the way"
    )
    for value in (0.5, np.nan, np.inf):
        weights[3, 5] = value
        path.write_bytes(file_of(model, "bitnet-b1.58", replaced=[floats(weights, "blk.0.ffn_up.weight")]))
        with GgufReader(path) as reader, pytest.raises(InputError, match=f"^{re.escape(message)}$"):
            reader.matrix("model.layers.0.mlp.up_proj")


def test_tensors_that_are_missing_wrong_or_unknown_are_refused(path: Path) -> None:
    model = model_of(LLAMA)

    def refuse(message: str, **changes: Any) -> None:
        path.write_bytes(file_of(model, "llama", **changes))
        with pytest.raises(InputError, match=f"^{re.escape(f'{path}: {message}')}$"):
            GgufReader(path)

    refuse("there is no tensor token_embd.weight", without=["token_embd.weight"])
    refuse("there is no tensor blk.0.attn_v.weight", without=["blk.0.attn_v.weight"])
    refuse("there is no tensor blk.0.ffn_norm.weight", without=["blk.0.ffn_norm.weight"])
    norm = floats(np.ones(255, dtype=np.float32), "output_norm.weight")
    refuse("output_norm.weight has the shape (255,); the entries say (256,)", replaced=[norm])
    quantised = Tensor(name="output_norm.weight", type=8, shape=(256,), data=bytes(8 * 34))
    refuse("output_norm.weight is Q8_0; one of F32, F16, BF16 is needed", replaced=[quantised])
    key = Tensor(name="blk.0.attn_k.weight", type=8, shape=(128, 256), data=bytes(128 * 8 * 34))
    refuse("blk.0.attn_k.weight is Q8_0; one of TQ1_0, TQ2_0, I2_S, F32, F16, BF16 is needed", replaced=[key])
    bias = floats(np.ones(256, dtype=np.float32), "blk.0.attn_q.bias")
    refuse("the tensor blk.0.attn_q.bias has no place in the model llama", replaced=[bias])
    scale = floats(np.ones(2, dtype=np.float32), "blk.0.attn_q.scale")
    refuse("blk.0.attn_q.scale is F32 of shape (2,); F32 of shape (1,) is needed", replaced=[scale])
    factors = floats(np.full(32, 2, dtype=np.float32), "rope_freqs.weight")
    refuse("rope_freqs.weight scales the rotary frequencies, which is not supported", replaced=[factors])
    path.write_bytes(
        file_of(model, "llama", replaced=[floats(np.ones(32, dtype=np.float32), "rope_freqs.weight")])
    )
    with GgufReader(path) as reader:
        assert_same(reader, model)


def test_more_layers_than_the_file_can_have_are_refused_at_once(path: Path) -> None:
    path.write_bytes(file_of(model_of(LLAMA), "llama", entries={"llama.block_count": 2**32 - 1}))
    with pytest.raises(InputError, match=r"llama.block_count is 4294967295; the file has only 12 tensors$"):
        GgufReader(path)


def assert_as_the_package_reads(path: Path) -> None:
    golden = {tensor.name: tensor for tensor in gguf.GGUFReader(path).tensors}
    with GgufReader(path) as reader:
        for name in reader.matrices:
            tensor = golden[f"{tensor_name(name)}.weight"]
            weights = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
            matrix = reader.matrix(name)
            grid = matrix.scale_grid
            scales = grid.repeat(matrix.m // grid.shape[0], axis=0).repeat(matrix.k // grid.shape[1], axis=1)
            assert np.array_equal(matrix.codes * scales, weights), name


class Content(bytes):
    """Bytes that hypothesis does not print."""

    def __repr__(self) -> str:
        return f"{len(self)} bytes"


@pytest.mark.parametrize("cases", FUZZ_CASES)
@pytest.mark.parametrize("kind", ["TQ1_0", "arm"])
def test_changed_files_are_refused_or_read_rightly(path: Path, cases: int, kind: str) -> None:
    """A file that is accepted is read as the package reads it, which knows no i2_s."""
    valid = Content(file_of(model_of(TINY), "bitnet-b1.58", kind=kind))
    layout: I2sLayout | None = "arm" if kind == "arm" else None
    read_at_all = 0

    def read() -> bool:
        with GgufReader(path, i2s_layout=layout) as reader:
            matrices = [reader.matrix(name) for name in reader.matrices]
            tensors = [reader.tensor(name) for name in reader.tensors]
        assert all(np.isfinite(tensor).all() for tensor in tensors)
        assert {(matrix.m, matrix.k) for matrix in matrices} == set(reader.matrices.values())
        return True

    def check(content: bytes) -> None:
        nonlocal read_at_all
        path.write_bytes(content)
        if read_or_refuse(read):
            read_at_all += 1
            if layout is None:
                assert_as_the_package_reads(path)

    head = len(valid) - sum(tensor.nbytes for tensor in _tensors(path, valid).values())
    fuzz(cases, mutated(valid, [(0, 64), (0, head), (head, len(valid))]), check)
    assert read_at_all > cases // 100


def _tensors(path: Path, content: bytes) -> Mapping[str, GgufTensor]:
    path.write_bytes(content)
    with GgufFile(path) as file:
        return file.tensors
