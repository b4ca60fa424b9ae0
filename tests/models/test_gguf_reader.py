"""Checkpoints in GGUF files: of every architecture and type, with the scales that the file has."""

from dataclasses import replace
from pathlib import Path

import gguf
import numpy as np
import numpy.typing as npt
import pytest
from gguf_files import Tensor
from gguf_models import LLAMA, TINY, assert_same, file_of, floats, model_of

from tritforge.accel.errors import InputError
from tritforge.models.config import DecoderConfig
from tritforge.models.gguf_blocks import pack_blocks
from tritforge.models.gguf_names import to_pairs
from tritforge.models.gguf_reader import GgufReader, smallest_grid


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model.gguf"


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


def test_notes_say_what_the_file_does_not(path: Path) -> None:
    path.write_bytes(file_of(model_of(TINY), "bitnet-b1.58", kind="arm"))
    with GgufReader(path, i2s_layout="arm") as reader:
        assert reader.notes == (
            "The file does not name the activation; relu2 is that of bitnet-b1.58.",
            "The matrices in i2_s are read in the arm layout.",
        )


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
