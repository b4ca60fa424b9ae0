"""Folders for transformers: what they hold byte by byte, and what is refused since no class there has it."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file
from small_models import ARCHITECTURES, random_model

from tritforge.accel.errors import InputError
from tritforge.models.checkpoint import Checkpoint
from tritforge.models.config import DecoderConfig
from tritforge.models.huggingface import HuggingFaceReader
from tritforge.models.huggingface_writer import Form, configuration, write_hugging_face
from tritforge.models.reader import MemoryReader
from tritforge.models.ternary import TernaryMatrix
from tritforge.models.verification import verify_equal

UP = "model.layers.0.mlp.up_proj"


def refused(message: str) -> Any:
    """Expect an error of exactly this text."""
    return pytest.raises(InputError, match=f"^{re.escape(message)}$")


def write(folder: Path, model: Checkpoint, form: Form = "packed", **options: Any) -> Path:
    write_hugging_face(MemoryReader(model), folder, form, **options)
    return folder


def changed(model: Checkpoint, name: str, **values: Any) -> Checkpoint:
    """Return a model with fields of one matrix replaced."""
    return replace(model, matrices={**model.matrices, name: replace(model.matrices[name], **values)})


@pytest.mark.parametrize(
    ("kind", "linear_class"), [("divisor", "bitlinear"), ("multiplier", "autobitlinear")]
)
def test_packed_codes_and_scales_lie_as_transformers_reads_them(
    kind: str, linear_class: str, tmp_path: Path
) -> None:
    model = random_model(ARCHITECTURES["bitnet"], scale_kind=kind)
    folder = write(tmp_path / "out", model)
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "model.safetensors"]
    quantisation = json.loads((folder / "config.json").read_text())["quantization_config"]
    assert (quantisation["quant_method"], quantisation["linear_class"]) == ("bitnet", linear_class)
    stored = load_file(folder / "model.safetensors")
    matrix = model.matrices[UP]
    packed = stored[f"{UP}.weight"]
    assert packed.shape == (512 // 4, 256)
    # Quarter q of the rows is in bits 2q and 2q + 1, as code + 1.
    for row, column in ((0, 0), (127, 3), (128, 7), (300, 255), (511, 100)):
        field = packed[row % 128, column] >> 2 * (row // 128) & 3
        assert int(field) - 1 == matrix.codes[row, column]
    assert stored[f"{UP}.weight_scale"].tolist() == [float(np.float32(matrix.scale))]
    for name, tensor in model.tensors.items():
        assert stored[name].dtype == np.float32
        assert np.array_equal(stored[name], tensor)
    assert len(stored) == 2 * len(model.matrices) + len(model.tensors)


def test_floats_are_codes_times_scales_in_the_smallest_type_that_holds_them(tmp_path: Path) -> None:
    model = random_model(ARCHITECTURES["llama"], scale_kind="multiplier")
    # A third has no end in binary; the others are float16 numbers.
    model = changed(model, UP, scale=np.float32(1) / np.float32(3))
    folder = write(tmp_path / "out", model, "float")
    assert "quantization_config" not in json.loads((folder / "config.json").read_text())
    with HuggingFaceReader(folder) as reader:
        verify_equal(MemoryReader(model), reader)
    head = (folder / "model.safetensors").read_bytes()
    header = json.loads(head[8 : 8 + int.from_bytes(head[:8], "little")])
    assert header[f"{UP}.weight"]["dtype"] == "F32"
    assert header["model.layers.1.mlp.up_proj.weight"]["dtype"] == "F16"
    assert header["model.embed_tokens.weight"]["dtype"] == "BF16"


def test_scales_of_blocks_are_kept_as_floats(tmp_path: Path) -> None:
    model = random_model(ARCHITECTURES["llama"], scale_kind="multiplier", grid=(2, 1))
    with refused(
        "model.layers.0.self_attn.q_proj has 2 x 1 scales and transformers' layers have one; "
        "use another format, or the float form"
    ):
        write(tmp_path / "out", model)
    with HuggingFaceReader(write(tmp_path / "out", model, "float")) as reader:
        verify_equal(MemoryReader(model), reader)


@pytest.mark.parametrize("form", ["packed", "float"])
def test_shards_hold_each_tensor_once_and_the_index_says_where(form: Form, tmp_path: Path) -> None:
    model = random_model(ARCHITECTURES["llama"], scale_kind="multiplier")
    folder = write(tmp_path / "out", model, form, shard_bytes=300_000)
    index = json.loads((folder / "model.safetensors.index.json").read_text())
    files = sorted(folder.glob("model-*.safetensors"))
    assert [path.name for path in files] == [
        f"model-{number:05}-of-{len(files):05}.safetensors" for number in range(1, len(files) + 1)
    ]
    assert len(files) > 1
    found: dict[str, str] = {}
    for path in files:
        head = path.read_bytes()
        header = json.loads(head[8 : 8 + int.from_bytes(head[:8], "little")])
        assert header.pop("__metadata__") == {"format": "pt"}
        found |= dict.fromkeys(header, path.name)
        assert (
            sum(entry["data_offsets"][1] - entry["data_offsets"][0] for entry in header.values()) <= 300_000
        )
    assert index["weight_map"] == found
    with HuggingFaceReader(folder) as reader:
        verify_equal(MemoryReader(model), reader)


def test_progress_ends_at_the_total(tmp_path: Path) -> None:
    model = random_model(ARCHITECTURES["bitnet"])
    seen: list[tuple[int, int]] = []
    write(tmp_path / "out", model, on_progress=lambda *numbers: seen.append(numbers))
    total = sum(matrix.codes.size for matrix in model.matrices.values())
    assert seen[-1] == (total + sum(tensor.size for tensor in model.tensors.values()),) * 2


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_configuration_is_read_as_it_was(name: str, tmp_path: Path) -> None:
    model = random_model(ARCHITECTURES[name])
    document = configuration(model.config, "packed", "divisor")
    # transformers would take 128000 and 128001, whatever the vocabulary.
    assert document["bos_token_id"] is document["eos_token_id"] is None
    assert document["model_type"] == ("bitnet" if model.config.sub_norms else "llama")
    with HuggingFaceReader(write(tmp_path / "out", model)) as reader:
        assert reader.config == model.config


def test_what_transformers_has_no_class_for_is_refused_by_name(tmp_path: Path) -> None:
    bitnet = random_model(ARCHITECTURES["bitnet"])
    mixed = changed(bitnet, UP, scale_kind="multiplier")
    with refused(
        "the scale of model.layers.0.self_attn.q_proj is a divisor and that of model.layers.0.mlp.up_proj a "
        "multiplier; transformers has one class of layer for all: use another format"
    ):
        write(tmp_path / "out", mixed)
    ragged = DecoderConfig(
        vocab_size=8,
        hidden_size=6,
        intermediate_size=8,
        num_hidden_layers=1,
        num_attention_heads=1,
        num_key_value_heads=1,
        max_position_embeddings=8,
    )
    with refused(
        "model.layers.0.self_attn.q_proj has 6 rows and transformers packs four at a time; "
        "use another format, or the float form"
    ):
        write(tmp_path / "out", random_model(ragged))
    wide = replace(ARCHITECTURES["wide heads"], sub_norms=True)
    with refused(
        "head_dim is 128; transformers' BitNet model takes 64, hidden_size over the heads: use another format"
    ):
        write(tmp_path / "out", random_model(wide))
    assert list(tmp_path.iterdir()) == []


def test_floats_that_would_be_read_otherwise_are_refused(tmp_path: Path) -> None:
    with refused(
        "the model's scales are divisors, whose reciprocals float32 rounds; the float form takes multipliers: "
        "use the packed form"
    ):
        write(tmp_path / "out", random_model(ARCHITECTURES["llama"]), "float")
    for name, norms in (("bitnet", "sub-norms"), ("linear norms", "norms before every matrix")):
        with refused(
            f"{norms} belong to models whose config.json says how they are quantised; use the packed form"
        ):
            write(tmp_path / "out", random_model(ARCHITECTURES[name], scale_kind="multiplier"), "float")
    llama = random_model(ARCHITECTURES["llama"], scale_kind="multiplier")
    zero = TernaryMatrix(
        codes=np.zeros((512, 256), dtype=np.int8), scale=np.float32(0.5), scale_kind="multiplier"
    )
    with refused(
        "model.layers.0.mlp.up_proj as floats would be read with other scales, since a block is all zeros or "
        "scales repeat; use another format"
    ):
        write(tmp_path / "out", replace(llama, matrices={**llama.matrices, UP: zero}), "float")
    assert list(tmp_path.iterdir()) == []
