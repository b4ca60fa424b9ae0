"""Checkpoints written to GGUF files: read back the same, as llama.cpp names and orders them, or refused."""

import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
from small_models import ARCHITECTURES, random_model

from tritforge.accel.errors import InputError, MissingToolError
from tritforge.models.checkpoint import Checkpoint
from tritforge.models.config import DecoderConfig
from tritforge.models.gguf_names import write_config
from tritforge.models.gguf_reader import GgufReader, I2sLayout
from tritforge.models.gguf_writer import FILE_TYPES, usual_architecture, write_gguf
from tritforge.models.reader import MemoryReader
from tritforge.models.ternary import TernaryMatrix

BITNET = ARCHITECTURES["bitnet"]
LLAMA = ARCHITECTURES["llama"]
#: Configurations that GGUF has a place for, and the architecture that is chosen for them.
CONFIGS = {
    "bitnet-b1.58": BITNET,
    "bitnet": replace(BITNET, hidden_act="silu"),
    "llama": LLAMA,
    "llama, wide heads": ARCHITECTURES["wide heads"],
}
TYPES: list[tuple[str, I2sLayout | None]] = [
    ("TQ1_0", None),
    ("TQ2_0", None),
    ("I2_S", "x86"),
    ("I2_S", "arm"),
]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "folder" / "model.gguf"


def model_of(config: DecoderConfig, **changes: Any) -> Checkpoint:
    return random_model(config, **{"scale_kind": "multiplier"} | changes)


def with_scale(model: Checkpoint, name: str, scale: Any, kind: str) -> Checkpoint:
    matrix = TernaryMatrix(codes=model.matrices[name].codes, scale=scale, scale_kind=kind)
    return replace(model, matrices={**model.matrices, name: matrix})


def assert_same(path: Path, model: Checkpoint, layout: I2sLayout | None = None) -> None:
    with GgufReader(path, i2s_layout=layout) as reader:
        assert reader.config == model.config
        for name, matrix in model.matrices.items():
            found = reader.matrix(name)
            assert np.array_equal(found.codes, matrix.codes), name
            assert np.array_equal(found.scale, matrix.scale), name
        for name, tensor in model.tensors.items():
            assert np.array_equal(reader.tensor(name), tensor), name


@pytest.mark.parametrize(("kind", "layout"), TYPES)
@pytest.mark.parametrize("config", CONFIGS.values(), ids=list(CONFIGS))
def test_what_is_written_is_read_back(
    path: Path, config: DecoderConfig, kind: str, layout: I2sLayout | None
) -> None:
    model = model_of(config)
    write_gguf(MemoryReader(model), path, kind, i2s_layout=layout)
    assert_same(path, model, layout)
    assert [file.name for file in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("grid", [(2, 1), (1, 2), (4, 2)])
def test_scales_by_block_are_read_back(path: Path, grid: tuple[int, int]) -> None:
    """Rows of query and key matrices move, and their scales with them."""
    wide = replace(LLAMA, hidden_size=512, num_attention_heads=8, head_dim=64)
    model = model_of(wide, grid=grid)
    write_gguf(MemoryReader(model), path, "TQ1_0")
    assert_same(path, model)
    with pytest.raises(
        InputError, match=r"q_proj: it has \d scales; I2_S has one for a matrix: choose TQ1_0 or "
    ):
        write_gguf(MemoryReader(model), path, "I2_S", i2s_layout="x86")


def test_a_matrix_of_zeros_keeps_its_scale(path: Path) -> None:
    model = model_of(LLAMA)
    name = "model.layers.1.mlp.down_proj"
    matrix = model.matrices[name]
    zeros = TernaryMatrix(codes=np.zeros_like(matrix.codes), scale=np.float32(0.5), scale_kind="multiplier")
    model = replace(model, matrices={**model.matrices, name: zeros})
    write_gguf(MemoryReader(model), path, "TQ2_0")
    assert_same(path, model)


@pytest.mark.parametrize(("kind", "layout"), TYPES)
def test_the_gguf_package_reads_the_same_numbers(path: Path, kind: str, layout: I2sLayout | None) -> None:
    model = model_of(BITNET)
    write_gguf(MemoryReader(model), path, kind, i2s_layout=layout)
    if kind == "I2_S":
        with pytest.raises(ValueError, match=r"36\)? is not a valid GGMLQuantizationType"):
            gguf.GGUFReader(path)
        return
    reader = gguf.GGUFReader(path)
    tensors = {tensor.name: tensor for tensor in reader.tensors}
    for layer in range(2):
        for stored, name in (("attn_q", "self_attn.q_proj"), ("ffn_down", "mlp.down_proj")):
            tensor = tensors[f"blk.{layer}.{stored}.weight"]
            matrix = model.matrices[f"model.layers.{layer}.{name}"]
            weights = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
            assert np.array_equal(weights, matrix.codes * matrix.scale)
    assert np.array_equal(tensors["token_embd.weight"].data, model.tensors["model.embed_tokens.weight"])
    names = {"TQ1_0": gguf.LlamaFileType.MOSTLY_TQ1_0, "TQ2_0": gguf.LlamaFileType.MOSTLY_TQ2_0}
    assert reader.fields["general.file_type"].contents() == names[kind] == FILE_TYPES[kind]


def test_names_and_entries_are_those_of_the_gguf_package(path: Path) -> None:
    """For the architectures that it knows."""
    for config in (CONFIGS["bitnet"], LLAMA):
        write_gguf(MemoryReader(model_of(config)), path, "TQ1_0")
        reader = gguf.GGUFReader(path)
        architecture = usual_architecture(config)
        assert reader.fields["general.architecture"].contents() == architecture
        assert reader.fields["tokenizer.ggml.model"].contents() == "no_vocab"
        arch = next(arch for arch, name in gguf.MODEL_ARCH_NAMES.items() if name == architecture)
        names = gguf.get_tensor_name_map(arch, config.num_hidden_layers)
        stored = {tensor.name for tensor in reader.tensors}
        for name in [*model_of(config).tensors, *(f"{name}.weight" for name in model_of(config).matrices)]:
            # Of the sub-norms it knows 1bitLLM's names.
            known = name.replace("attn_sub_norm", "inner_attn_ln").replace("ffn_sub_norm", "ffn_layernorm")
            assert names.get_name(known, try_suffixes=(".weight",)) in stored
        keys = {
            key.replace("{arch}", architecture)
            for group in (gguf.Keys.LLM, gguf.Keys.Attention, gguf.Keys.Rope)
            for key in vars(group).values()
            if isinstance(key, str)
        }
        assert set(write_config(config, architecture)) <= keys


def test_divisors_are_written_where_they_come_back(path: Path) -> None:
    model = random_model(LLAMA)
    name = "model.layers.0.self_attn.q_proj"
    for each in model.matrices:
        model = with_scale(model, each, np.float32(32), "divisor")
    write_gguf(MemoryReader(model), path, "TQ1_0")
    with GgufReader(path) as reader:
        assert reader.matrix(name).scale == np.float32(1 / 32)
        assert reader.matrix(name).scale_kind == "multiplier"


@pytest.mark.parametrize(("kind", "layout"), TYPES)
def test_scales_that_would_change_are_refused_or_rounded(
    path: Path, kind: str, layout: I2sLayout | None
) -> None:
    name = "model.layers.0.self_attn.q_proj"
    scale = np.float32(7)  # 1 / (1 / 7) is another float32
    model = with_scale(model_of(LLAMA), name, scale, "divisor")
    message = f"{name}: the scale 7.0 would be read back as "
    with pytest.raises(
        InputError, match=f"^{re.escape(message)}.*; have scales rounded, or choose another format$"
    ):
        write_gguf(MemoryReader(model), path, kind, i2s_layout=layout)
    assert not path.parent.exists()
    write_gguf(MemoryReader(model), path, kind, i2s_layout=layout, round_scales=True)
    with GgufReader(path, i2s_layout=layout) as reader:
        one = np.float32(1) / scale
        assert reader.matrix(name).scale == (one if layout else np.float16(one))


@pytest.mark.parametrize("scale", [1e-9, 1e9])
def test_scales_beyond_float16_are_refused_even_where_they_may_be_rounded(path: Path, scale: float) -> None:
    model = with_scale(model_of(LLAMA), "model.layers.0.mlp.up_proj", np.float32(scale), "multiplier")
    with pytest.raises(
        InputError, match=r"^model.layers.0.mlp.up_proj: the scale .* is beyond what TQ2_0 can hold; "
    ):
        write_gguf(MemoryReader(model), path, "TQ2_0", round_scales=True)
    write_gguf(MemoryReader(model), path, "I2_S", i2s_layout="x86")
    assert_same(path, model, "x86")


def test_rows_that_are_not_whole_blocks_are_refused_before_anything_is_written(path: Path) -> None:
    config = replace(LLAMA, hidden_size=192, num_attention_heads=3, num_key_value_heads=3, head_dim=64)
    model = model_of(config)
    message = (
        "model.layers.0.self_attn.q_proj has 192 weights in a row, which is not a multiple of 256, as TQ1_0 needs; "
        "choose another format"
    )
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        write_gguf(MemoryReader(model), path, "TQ1_0")
    with pytest.raises(
        InputError, match=r"192 weights in a row, which is not a multiple of 128, as I2_S needs"
    ):
        write_gguf(MemoryReader(model), path, "I2_S", i2s_layout="x86")
    assert not path.parent.exists()
    write_gguf(MemoryReader(model), path, "I2_S", i2s_layout="arm")
    assert_same(path, model, "arm")


def test_scales_finer_than_a_block_are_refused(path: Path) -> None:
    model = model_of(LLAMA, grid=(1, 2))
    with pytest.raises(
        InputError, match=r"its scales are each for 128 weights of a row; TQ1_0 has one for each 256$"
    ):
        write_gguf(MemoryReader(model), path, "TQ1_0")


def test_models_that_no_architecture_computes_are_refused(path: Path) -> None:
    def refuse(config: DecoderConfig, message: str, **options: Any) -> None:
        with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
            write_gguf(MemoryReader(model_of(config)), path, "TQ1_0", **options)

    refuse(
        replace(LLAMA, hidden_act="relu2"),
        "no architecture of GGUF has the activation relu2 without sub-norms; choose another format",
    )
    refuse(
        ARCHITECTURES["linear norms"],
        "GGUF has no place for norms before every ternary matrix; choose another format",
    )
    refuse(
        ARCHITECTURES["untied bitnet"],
        "the architecture bitnet-b1.58 has no LM head of its own, which this model has; choose another format",
    )
    refuse(
        LLAMA,
        "the architecture bitnet has sub-norms, unlike this model; choose another",
        architecture="bitnet",
    )
    refuse(
        CONFIGS["bitnet"],
        "the architecture bitnet-25 has the activation relu2; the model's is silu: choose another architecture",
        architecture="bitnet-25",
    )
    refuse(
        LLAMA,
        "the architecture is 'gpt2'; one of llama, bitnet, bitnet-b1.58, bitnet-25 is needed",
        architecture="gpt2",
    )
    refuse(
        replace(LLAMA, rms_norm_eps=1 / 3),
        "llama.attention.layer_norm_rms_epsilon would be 0.3333333333333333, which float32 does not hold",
    )


def test_bitnet_can_say_its_activation(path: Path) -> None:
    model = model_of(BITNET)
    write_gguf(MemoryReader(model), path, "TQ2_0", architecture="bitnet")
    assert gguf.GGUFReader(path).fields["bitnet.hidden_activation"].contents() == "relu2"
    assert_same(path, model)


def test_options_that_are_none_are_refused(path: Path) -> None:
    reader = MemoryReader(model_of(LLAMA))
    with pytest.raises(InputError, match=r"^the type is 'Q4_0'; one of TQ1_0, TQ2_0, I2_S is needed$"):
        write_gguf(reader, path, "Q4_0")
    message = "the layout of i2_s is None; x86 or arm is needed, the processor that bitnet.cpp is to run on"
    with pytest.raises(InputError, match=f"^{message}$"):
        write_gguf(reader, path, "I2_S")


def test_the_package_is_asked_for(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gguf", None)
    message = "writing GGUF files needs the package gguf; install it with: pip install 'tritforge[gguf]'"
    with pytest.raises(MissingToolError, match=f"^{re.escape(message)}$"):
        write_gguf(MemoryReader(model_of(LLAMA)), path, "TQ1_0")
    assert not path.parent.exists()


def test_progress_reaches_the_total(path: Path) -> None:
    model = model_of(LLAMA)
    calls: list[tuple[int, int]] = []
    write_gguf(
        MemoryReader(model), path, "TQ1_0", on_progress=lambda done, total: calls.append((done, total))
    )
    numbers = sum(matrix.codes.size for matrix in model.matrices.values())
    numbers += sum(tensor.size for tensor in model.tensors.values())
    assert calls[0] == (0, numbers)
    assert calls[-1] == (numbers, numbers)
    assert calls == sorted(calls)


def test_an_interruption_leaves_the_old_file(path: Path) -> None:
    path.parent.mkdir()
    path.write_text("old")

    def interrupt(done: int, total: int) -> None:
        if done > total / 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_gguf(MemoryReader(model_of(LLAMA)), path, "TQ1_0", on_progress=interrupt)
    assert path.read_text() == "old"
    assert [file.name for file in path.parent.iterdir()] == [path.name]
