"""Checkpoints in GGUF files: what the writer writes and what other programs do, and what is refused."""

import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import numpy.typing as npt
import pytest
from fuzz import FUZZ_CASES, fuzz, mutated, read_or_refuse
from gguf_files import Tensor, gguf_bytes
from small_models import random_model

from tritforge.accel.errors import InputError, MissingToolError
from tritforge.models.checkpoint import Checkpoint
from tritforge.models.config import DecoderConfig
from tritforge.models.gguf_blocks import pack_blocks, pack_i2s
from tritforge.models.gguf_file import GgufFile, GgufTensor
from tritforge.models.gguf_names import tensor_name, to_pairs, write_config
from tritforge.models.gguf_reader import GgufReader, I2sLayout, smallest_grid

TINY = DecoderConfig(
    vocab_size=7,
    hidden_size=256,
    intermediate_size=256,
    num_hidden_layers=1,
    num_attention_heads=4,
    num_key_value_heads=2,
    max_position_embeddings=16,
)
LLAMA = replace(TINY, hidden_act="silu", sub_norms=False, tie_word_embeddings=False)
Entries = dict[str, Any]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model.gguf"


def floats(values: npt.NDArray[np.float32], name: str) -> Tensor:
    return Tensor(name=name, type=0, shape=values.shape, data=values.astype("<f4").tobytes())


def file_of(
    model: Checkpoint,
    architecture: str,
    *,
    kind: str = "TQ2_0",
    entries: Mapping[str, Any] | None = None,
    replaced: Sequence[Tensor] = (),
    without: Sequence[str] = (),
) -> bytes:
    """Return a file of a model, without the project's writer.

    `entries` are added, or left out where they are None; tensors are replaced or added by name, or left out.
    """
    tensors = {tensor_name(name): floats(values, tensor_name(name)) for name, values in model.tensors.items()}
    for name, matrix in model.matrices.items():
        codes = matrix.codes
        if architecture == "llama" and name.endswith(("q_proj", "k_proj")):
            config = model.config
            heads = config.num_attention_heads if name.endswith("q_proj") else config.num_key_value_heads
            codes = to_pairs(codes, heads)
        assert isinstance(matrix.scale, np.float32)
        scales = np.full((matrix.m, matrix.k // 256), matrix.scale)
        stored = f"{tensor_name(name)}.weight"
        match kind:
            case "TQ1_0" | "TQ2_0":
                data, number = pack_blocks(kind, codes, scales).tobytes(), 34 if kind == "TQ1_0" else 35
            case "F16":
                data, number = (codes * matrix.scale).astype("<f2").tobytes(), 1
            case _:
                data, number = pack_i2s(kind, codes, matrix.scale).tobytes(), 36
        tensors[stored] = Tensor(name=stored, type=number, shape=codes.shape, data=data)
    tensors |= {tensor.name: tensor for tensor in replaced}
    for name in without:
        del tensors[name]
    all_entries: Entries = {"general.architecture": architecture} | write_config(model.config, architecture)
    all_entries |= entries or {}
    all_entries = {key: value for key, value in all_entries.items() if value is not None}
    return gguf_bytes(all_entries, list(tensors.values()))


def assert_same(reader: GgufReader, model: Checkpoint) -> None:
    assert reader.config == model.config
    for name, matrix in model.matrices.items():
        found = reader.matrix(name)
        assert np.array_equal(found.codes, matrix.codes), name
        assert np.array_equal(found.scale_grid, matrix.scale_grid), name
        assert found.scale_kind == "multiplier"
    for name, tensor in model.tensors.items():
        assert np.array_equal(reader.tensor(name), tensor), name


def model_of(config: DecoderConfig, seed: int = 0) -> Checkpoint:
    return random_model(config, seed=seed, scale_kind="multiplier")


@pytest.mark.parametrize(
    ("architecture", "config"),
    [
        ("llama", LLAMA),
        ("llama", replace(LLAMA, head_dim=32, tie_word_embeddings=True)),
        ("bitnet", replace(TINY, hidden_act="silu")),
        ("bitnet", TINY),
        ("bitnet-b1.58", TINY),
        ("bitnet-25", replace(TINY, rope_theta=500000.0, rms_norm_eps=1e-6)),
    ],
)
@pytest.mark.parametrize("kind", ["TQ1_0", "TQ2_0", "x86", "arm", "F16"])
def test_files_of_every_architecture_and_type_are_read(
    path: Path, architecture: str, config: DecoderConfig, kind: str
) -> None:
    if config.attention_width % 256:
        config = replace(config, num_attention_heads=8, num_key_value_heads=2)
    model = model_of(config)
    path.write_bytes(file_of(model, architecture, kind=kind))
    with GgufReader(path, i2s_layout=kind if kind in {"x86", "arm"} else None) as reader:  # type: ignore[arg-type]
        assert_same(reader, model)
        stored = "I2_S" if kind in {"x86", "arm"} else kind
        assert reader.format == f"GGUF version 3, {architecture}, {stored}"


def test_a_file_runs_as_a_checkpoint(path: Path) -> None:
    model = model_of(TINY)
    path.write_bytes(file_of(model, "bitnet-b1.58"))
    with GgufReader(path) as reader:
        lazy = reader.checkpoint()
        assert np.array_equal(lazy.tensors["model.norm.weight"], model.tensors["model.norm.weight"])
        assert sorted(lazy.matrices) == sorted(model.matrices)


def rotate(
    x: npt.NDArray[np.float64], angles: npt.NDArray[np.float64], *, pairs: bool
) -> npt.NDArray[np.float64]:
    """Rotate the numbers of one head: neighbours (llama.cpp's NORM), or the halves (NEOX, and Hugging Face)."""
    half = len(x) // 2
    out = np.empty_like(x)
    for i in range(half):
        a, b = (2 * i, 2 * i + 1) if pairs else (i, i + half)
        cosine, sine = np.cos(angles[i]), np.sin(angles[i])
        out[a], out[b] = x[a] * cosine - x[b] * sine, x[a] * sine + x[b] * cosine
    return out


def test_permuted_rows_rotated_in_pairs_attend_as_plain_rows_rotated_in_halves(path: Path) -> None:
    """Both conventions, number by number: the products of queries and keys are the same."""
    model = model_of(LLAMA)
    stored = file_of(model, "llama")
    path.write_bytes(stored)
    reader = gguf.GGUFReader(path)
    in_file = {tensor.name: tensor for tensor in reader.tensors}
    generator = np.random.default_rng(1)
    x = generator.standard_normal(256)
    dim = LLAMA.head_dim
    angles = 5 * LLAMA.rope_theta ** (-np.arange(dim // 2) / (dim // 2))
    with GgufReader(path) as ours:
        for name, heads in (("q_proj", 4), ("k_proj", 2)):
            tensor = in_file[f"blk.0.attn_{name[0]}.weight"]
            theirs = gguf.quants.dequantize(tensor.data, tensor.tensor_type).astype(np.float64) @ x
            matrix = ours.matrix(f"model.layers.0.self_attn.{name}")
            plain = (matrix.codes * matrix.scale).astype(np.float64) @ x
            for head in range(heads):
                part = slice(head * dim, (head + 1) * dim)
                paired = rotate(theirs[part], angles, pairs=True)
                halves = rotate(plain[part], angles, pairs=False)
                assert np.allclose(paired.reshape(-1, 2).T.ravel(), halves)
                assert not np.allclose(paired, halves)


def test_scales_of_blocks_become_the_smallest_grid(path: Path) -> None:
    model = model_of(replace(LLAMA, hidden_size=512, intermediate_size=512, head_dim=64))
    codes = model.matrices["model.layers.0.mlp.gate_proj"].codes.copy()
    codes[256:, 256:] = 0
    scales = np.empty((512, 2), dtype=np.float32)
    scales[:256], scales[256:] = (0.5, 0.25), (0.75, 0)
    gate = Tensor(
        name="blk.0.ffn_gate.weight",
        type=34,
        shape=codes.shape,
        data=pack_blocks("TQ1_0", codes, scales).tobytes(),
    )
    path.write_bytes(file_of(model, "llama", replaced=[gate]))
    with GgufReader(path) as reader:
        matrix = reader.matrix("model.layers.0.mlp.gate_proj")
        assert matrix.scale_grid.tolist() == [[0.5, 0.25], [0.75, 0.75]]
        assert np.array_equal(matrix.codes, codes)


def test_permuted_rows_take_their_scales_with_them(path: Path) -> None:
    model = model_of(LLAMA)
    matrix = model.matrices["model.layers.0.self_attn.q_proj"]
    scales = np.linspace(1, 2, matrix.m).astype(np.float16).astype(np.float32)[:, None]
    data = pack_blocks("TQ2_0", to_pairs(matrix.codes, 4), to_pairs(scales, 4)).tobytes()
    query = Tensor(name="blk.0.attn_q.weight", type=35, shape=matrix.codes.shape, data=data)
    path.write_bytes(file_of(model, "llama", replaced=[query]))
    with GgufReader(path) as reader:
        found = reader.matrix("model.layers.0.self_attn.q_proj")
        assert np.array_equal(found.codes * found.scale_grid, matrix.codes * scales)


@pytest.mark.parametrize(
    ("scales", "grid"),
    [
        ([[2, 2], [2, 2]], 2),
        ([[2, 0], [0, 2]], 2),
        ([[0, 0]], 1),
        ([[2, 3], [2, 3]], [[2, 3]]),
        ([[2, 2], [3, 3]], [[2], [3]]),
        ([[2, 0], [0, 3]], [[2, 3]]),
        ([[1, 0, 0, 0], [0, 2, 0, 2]], [[1], [2]]),
        ([[2, 2], [2, 2], [3, 3], [3, 3]], [[2], [3]]),
        ([[1, 2], [3, 4]], [[1, 2], [3, 4]]),
        ([[1, 2], [0, 4]], [[1, 2], [4, 4]]),
        ([[1, 1, 2, 2]], [[1, 2]]),
        ([[1, 1, 2]], [[1, 1, 2]]),
    ],
)
def test_the_smallest_grid_holds_every_scale(
    scales: list[list[float]], grid: float | list[list[float]]
) -> None:
    found = smallest_grid(np.array(scales, dtype=np.float32))
    assert np.array_equal(found, np.array(grid, dtype=np.float32))
    rows, columns = np.array(scales).shape
    whole = np.atleast_2d(found)
    whole = whole.repeat(rows // whole.shape[0], axis=0).repeat(columns // whole.shape[1], axis=1)
    assert (whole > 0).all()
    assert all(
        stored in {0, said}
        for row, line in zip(scales, whole.tolist(), strict=True)
        for stored, said in zip(row, line, strict=True)
    )


def test_scale_tensors_are_multiplied_in(path: Path) -> None:
    model = model_of(replace(TINY, hidden_act="silu"))
    name = "model.layers.0.mlp.up_proj"
    factor = floats(np.array([0.3], dtype=np.float32), "blk.0.ffn_up.scale")
    ones = pack_blocks("TQ2_0", model.matrices[name].codes, np.ones((256, 1), dtype=np.float32)).tobytes()
    up = Tensor(name="blk.0.ffn_up.weight", type=35, shape=(256, 256), data=ones)
    path.write_bytes(file_of(model, "bitnet", replaced=[up, factor]))
    with GgufReader(path) as reader:
        assert reader.matrix(name).scale == np.float32(0.3)
    path.write_bytes(file_of(model, "bitnet", replaced=[factor]))
    with (
        GgufReader(path) as reader,
        pytest.raises(InputError, match=r"ffn_up.weight: .* float32 does not hold$"),
    ):
        reader.matrix(name)
    # Of 0, every code would become 0, and none of them is.
    for wrong in (0.0, -1.0):
        path.write_bytes(
            file_of(
                model,
                "bitnet",
                replaced=[up, floats(np.array([wrong], dtype=np.float32), "blk.0.ffn_up.scale")],
            )
        )
        with (
            GgufReader(path) as reader,
            pytest.raises(InputError, match=rf"the tensor \.scale holds {wrong}, "),
        ):
            reader.matrix(name)


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


def test_notes_say_what_the_file_does_not(path: Path) -> None:
    path.write_bytes(file_of(model_of(TINY), "bitnet-b1.58", kind="arm"))
    with GgufReader(path, i2s_layout="arm") as reader:
        assert reader.notes == (
            "The file does not name the activation; relu2 is that of bitnet-b1.58.",
            "The matrices in i2_s are read in the arm layout.",
        )


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


def test_floats_with_a_scale_for_each_part_of_the_rows_are_read(path: Path) -> None:
    """As TriLM's, whose matrices were spread over several devices in training."""
    model = model_of(LLAMA)
    matrix = model.matrices["model.layers.0.self_attn.q_proj"]
    scales = np.array([[0.5], [0.75]], dtype=np.float32)
    weights = matrix.codes * scales.repeat(128, axis=0)
    path.write_bytes(file_of(model, "llama", replaced=[floats(to_pairs(weights, 4), "blk.0.attn_q.weight")]))
    with GgufReader(path) as reader:
        found = reader.matrix("model.layers.0.self_attn.q_proj")
        assert np.array_equal(found.codes, matrix.codes)
        assert np.array_equal(found.scale_grid, scales)


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
