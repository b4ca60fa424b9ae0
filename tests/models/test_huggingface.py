"""Checkpoints of Hugging Face in every form, read exactly, and refused where they are damaged."""

import json
import os
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from checkpoints import BITNET, FORMS, LLAMA, Form, Written, as_bfloat16, config_json, store, write
from fuzz import FUZZ_CASES, fuzz, mutated, read_or_refuse
from safetensors.numpy import load_file

from tritforge.accel.errors import InputError
from tritforge.models.checkpoint import Checkpoint, matrix_shapes, tensor_shapes
from tritforge.models.config import DecoderConfig
from tritforge.models.hf_weights import pack_quarters
from tritforge.models.huggingface import HuggingFaceReader
from tritforge.models.native import NativeReader, write_native
from tritforge.models.reader import CheckpointReader
from tritforge.models.ternary import quantise_weights

QUERY = "model.layers.0.self_attn.q_proj"
DOWN = "model.layers.1.mlp.down_proj"
SUB_NORM = "model.layers.0.self_attn.attn_sub_norm.weight"
REPRODUCTION = replace(BITNET, hidden_act="silu")


def configs(form: Form) -> list[DecoderConfig]:
    """Architectures that are published in a form."""
    if form == "1bitllm":
        return [REPRODUCTION]
    if form == "trilm":
        return [LLAMA]
    return [
        BITNET,
        LLAMA,
        replace(LLAMA, linear_norms=True),
        replace(BITNET, linear_norms=True, linear_norm_eps=1e-5),
    ]


def whole(reader: CheckpointReader) -> Checkpoint:
    """Everything that a reader gives, read at once."""
    return Checkpoint(
        config=reader.config,
        matrices={name: reader.matrix(name) for name in reader.matrices},
        tensors={name: reader.tensor(name) for name in reader.tensors},
    )


def assert_same(found: Checkpoint, wanted: Checkpoint) -> None:
    assert found.config == wanted.config
    for name, matrix in wanted.matrices.items():
        assert np.array_equal(found.matrices[name].codes, matrix.codes), name
        assert np.array_equal(found.matrices[name].scale_grid, matrix.scale_grid), name
        assert found.matrices[name].scale_kind == matrix.scale_kind, name
    for name, tensor in wanted.tensors.items():
        assert np.array_equal(found.tensors[name], tensor), name


def refuses(folder: Path, message: str, *, quantise: bool = False) -> None:
    with (
        pytest.raises(InputError, match=f"^{re.escape(message)}$"),
        HuggingFaceReader(folder, quantise=quantise) as r,
    ):
        whole(r)


def change(folder: Path, **fields: Any) -> None:
    """Change fields of config.json; None takes one out."""
    path = folder / "config.json"
    document = {**json.loads(path.read_text()), **fields}
    path.write_text(json.dumps({name: value for name, value in document.items() if value is not None}))


def rewrite(folder: Path, tensors: dict[str, npt.NDArray[Any]]) -> None:
    store(folder / "model.safetensors", tensors)


@pytest.fixture
def packed(tmp_path: Path) -> Written:
    """A packed LLaMA."""
    return write(tmp_path / "packed", LLAMA, "bitlinear")


@pytest.mark.parametrize("dtype", ["F32", "BF16", "F16"])
@pytest.mark.parametrize("shards", [1, 3])
@pytest.mark.parametrize(("form", "config"), [(form, config) for form in FORMS for config in configs(form)])
def test_every_form_is_read_exactly(
    form: Form, config: DecoderConfig, shards: int, dtype: str, tmp_path: Path
) -> None:
    written = write(tmp_path / "hf", config, form, dtype=dtype, shards=shards)
    with HuggingFaceReader(written.folder) as reader:
        assert_same(whole(reader), written.checkpoint)
        assert reader.format.startswith(
            f"Hugging Face safetensors in {'one file' if shards == 1 else '3 files'}: "
        )
        for name in reader.matrices:
            assert reader.scale_form(name) == CheckpointReader.scale_form(reader, name)
        write_native(reader, tmp_path / "native.safetensors")
    with NativeReader(tmp_path / "native.safetensors") as native:
        assert_same(whole(native), written.checkpoint)


@pytest.mark.parametrize(("m", "kv"), [(6, 1), (18, 3)])
def test_rows_that_are_no_multiple_of_four_are_packed_as_the_packer_does(
    m: int, kv: int, tmp_path: Path
) -> None:
    config = replace(LLAMA, hidden_size=m, num_attention_heads=3, num_key_value_heads=kv, head_dim=2)
    written = write(tmp_path / "hf", config, "bitlinear")
    with HuggingFaceReader(written.folder) as reader:
        assert_same(whole(reader), written.checkpoint)


def test_the_two_conventions_of_a_scale_are_told_apart_by_the_class(packed: Written) -> None:
    stored = load_file(packed.folder / "model.safetensors")[f"{QUERY}.weight_scale"]
    with HuggingFaceReader(packed.folder) as reader:
        assert (reader.matrix(QUERY).scale, reader.matrix(QUERY).scale_kind) == (stored[0], "divisor")
    quantisation = config_json(LLAMA, "auto-packed")["quantization_config"]
    change(packed.folder, quantization_config=quantisation)
    with HuggingFaceReader(packed.folder) as reader:
        assert (reader.matrix(QUERY).scale, reader.matrix(QUERY).scale_kind) == (stored[0], "multiplier")
    # bitlinear is the class of a file that does not say.
    change(packed.folder, quantization_config={"quant_method": "bitnet"})
    with HuggingFaceReader(packed.folder) as reader:
        assert reader.matrix(QUERY).scale_kind == "divisor"


def test_a_scale_may_be_a_single_number_without_axes(packed: Written) -> None:
    tensors = load_file(packed.folder / "model.safetensors")
    tensors[f"{QUERY}.weight_scale"] = tensors[f"{QUERY}.weight_scale"].reshape(())
    rewrite(packed.folder, tensors)
    with HuggingFaceReader(packed.folder) as reader:
        assert_same(whole(reader), packed.checkpoint)


def test_a_code_of_3_is_named_with_tensor_and_position(packed: Written) -> None:
    tensors = load_file(packed.folder / "model.safetensors")
    rows = LLAMA.matrices["mlp.down_proj"][0] // 4
    tensors[f"{DOWN}.weight"][2, 5] |= 0b11000000
    rewrite(packed.folder, tensors)
    refuses(
        packed.folder,
        f"{packed.folder}: {DOWN}: the field of row {3 * rows + 2}, column 5 is 3; 0, 1 or 2 is needed: "
        "the file is damaged or not in this packing",
    )


def test_what_was_done_to_a_model_is_told(tmp_path: Path) -> None:
    halves = "Tensors of type F16 are computed with in float32."
    wanted: dict[Form, tuple[str, ...]] = {
        "bitlinear": (halves,),
        "online": ("Master weights were quantised by absmean, the mean taken in float64.", halves),
        "trilm": (
            "The weights are floats of three values, whose magnitudes were taken as scales, exactly.",
            "The file does not say how activations are quantised; they are INT8 here, a scale for each token.",
            halves,
        ),
    }
    for form, notes in wanted.items():
        written = write(tmp_path / form, LLAMA, form, dtype="F16")
        with HuggingFaceReader(written.folder) as reader:
            assert reader.notes == notes


def test_a_float_model_is_made_ternary_only_on_request(tmp_path: Path) -> None:
    written = write(tmp_path / "hf", LLAMA, "online")
    change(written.folder, quantization_config=None)
    refuses(
        written.folder,
        f"{written.folder}: the weights are floats that are not ternary ({QUERY}), and the configuration names no "
        "quantisation; to make a ternary model of them all the same: tritforge model convert --quantise",
    )
    with HuggingFaceReader(written.folder, quantise=True) as reader:
        assert_same(whole(reader), written.checkpoint)
        assert reader.notes[0] == (
            "The weights are not those of a ternary model: they were quantised by absmean, as was asked for."
        )


@pytest.mark.parametrize("form", ["bitlinear", "auto-units", "trilm"])
def test_a_ternary_model_is_not_quantised_again(form: Form, tmp_path: Path) -> None:
    written = write(tmp_path / "hf", LLAMA, form)
    message = f"{written.folder}: its weights are ternary already; leave out to quantise them"
    refuses(written.folder, message, quantise=True)


def test_a_matrix_that_is_not_ternary_among_those_that_are_is_named(tmp_path: Path) -> None:
    written = write(tmp_path / "hf", LLAMA, "trilm")
    tensors = load_file(written.folder / "model.safetensors")
    tensors[f"{DOWN}.weight"][1, 1] = 0.3
    rewrite(written.folder, tensors)
    refuses(
        written.folder,
        f"{written.folder}: {DOWN}: the weights are not ternary, though those of the first matrix are; it is damaged",
    )


def test_weights_that_are_no_units_are_named(tmp_path: Path) -> None:
    written = write(tmp_path / "hf", LLAMA, "auto-units")
    tensors = load_file(written.folder / "model.safetensors")
    tensors[f"{DOWN}.weight"][3, 1] = 2
    rewrite(written.folder, tensors)
    refuses(
        written.folder,
        f"{written.folder}: {DOWN}: the weight at row 3, column 1 is np.float32(2.0); -1, 0 or 1 is needed, "
        "as the scale is a tensor of its own",
    )


@pytest.mark.parametrize("form", ["online", "trilm", "auto-units"])
@pytest.mark.parametrize("bits", [0x7F800001, 0x7FC00000, 0xFF800000])
def test_a_weight_that_is_no_number_is_named_without_a_warning(form: Form, bits: int, tmp_path: Path) -> None:
    """A signalling NaN, whose every use is an invalid operation; a quiet one; minus infinity."""
    written = write(tmp_path / "hf", LLAMA, form)
    tensors = load_file(written.folder / "model.safetensors")
    tensors[f"{QUERY}.weight"].view(np.uint32)[4, 2] = bits
    rewrite(written.folder, tensors)
    value = "-inf" if bits >> 31 else "nan"
    refuses(
        written.folder,
        f"{written.folder}: {QUERY}: the weight at row 4, column 2 is {value}; a finite one is needed",
    )


def test_a_head_that_is_tied_may_be_there_if_it_is_the_embedding(tmp_path: Path) -> None:
    written = write(tmp_path / "hf", BITNET, "bitlinear")
    tensors = load_file(written.folder / "model.safetensors")
    tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"].copy()
    tensors["model.layers.0.self_attn.rotary_emb.inv_freq"] = np.ones(3, dtype=np.float32)
    rewrite(written.folder, tensors)
    with HuggingFaceReader(written.folder) as reader:
        assert_same(whole(reader), written.checkpoint)
        assert reader.notes == ("lm_head.weight equals the embedding, which it is tied to, and is left out.",)
    tensors["lm_head.weight"][18, 3] += 1
    rewrite(written.folder, tensors)
    refuses(
        written.folder,
        f"{written.folder}: tie_word_embeddings is true, but lm_head.weight is not model.embed_tokens.weight; "
        "set it to false",
    )


Change = Callable[[dict[str, npt.NDArray[Any]]], object]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda t: t.pop(f"{DOWN}.weight"), f"tensor {DOWN}.weight is missing"),
        (lambda t: t.pop(f"{DOWN}.weight_scale"), f"tensor {DOWN}.weight_scale is missing"),
        (lambda t: t.pop("lm_head.weight"), "tensor lm_head.weight is missing"),
        (
            lambda t: t.update({f"{QUERY}.bias": np.zeros(32, np.float32)}),
            f"tensor {QUERY}.bias does not belong to a model of this configuration (1 such)",
        ),
        (
            lambda t: t.update({SUB_NORM: np.zeros(32, np.float32)}),
            f"tensor {SUB_NORM} does not belong to a model of this configuration (1 such)",
        ),
        (
            lambda t: t.update({f"{QUERY}.weight": np.zeros((32, 24), np.float32)}),
            f"{QUERY}.weight is F32 of shape (32, 24); U8 of shape (8, 24) is needed",
        ),
        (
            lambda t: t.update({f"{QUERY}.weight": np.zeros((8, 23), np.uint8)}),
            f"{QUERY}.weight is U8 of shape (8, 23); U8 of shape (8, 24) is needed",
        ),
        (
            lambda t: t.update({f"{QUERY}.weight_scale": np.ones(2, np.float32)}),
            f"{QUERY}.weight_scale is F32 of shape (2,); F16 or BF16 or F32 or F64 of shape (1,) is needed",
        ),
        (
            lambda t: t.update({f"{QUERY}.weight_scale": np.full(1, -1, np.float32)}),
            f"{QUERY}: the scale is np.float32(-1.0); a positive, finite float32 is needed",
        ),
        (
            lambda t: t.update({"model.norm.weight": np.ones(24, np.uint8)}),
            "model.norm.weight is U8 of shape (24,); F16 or BF16 or F32 or F64 of shape (24,) is needed",
        ),
        (
            lambda t: t.update({"model.norm.weight": np.full(24, np.nan, np.float32)}),
            "model.norm.weight holds nan; finite values are needed",
        ),
    ],
)  # fmt: skip
def test_tensors_that_are_missing_or_wrong_are_named(damage: Change, message: str, packed: Written) -> None:
    tensors = load_file(packed.folder / "model.safetensors")
    damage(tensors)
    rewrite(packed.folder, tensors)
    refuses(packed.folder, f"{packed.folder}: {message}")


def test_layers_that_are_not_there_are_not_counted_one_by_one(packed: Written) -> None:
    change(packed.folder, num_hidden_layers=2**31 - 1)
    tensors = len(matrix_shapes(LLAMA)) * 2 + len(tensor_shapes(LLAMA))
    refuses(packed.folder, f"{packed.folder}: num_hidden_layers is 2147483647; there are {tensors} tensors")


def test_a_path_that_is_no_folder_is_refused(packed: Written, tmp_path: Path) -> None:
    for path in (packed.folder / "model.safetensors", tmp_path / "no"):
        refuses(path, f"cannot read {path}: it is not a folder; give the one that holds config.json")
    (tmp_path / "empty").mkdir()
    refuses(
        tmp_path / "empty",
        f"cannot read {tmp_path / 'empty' / 'config.json'}: there is no such file; fetch it, or give another folder",
    )


def test_a_truncated_file_is_refused(packed: Written) -> None:
    path = packed.folder / "model.safetensors"
    os.truncate(path, path.stat().st_size - 3)
    with pytest.raises(
        InputError, match=r"are not a whole safetensors file \(its tensors end at byte \d+\); fetch"
    ):
        HuggingFaceReader(packed.folder)


@pytest.mark.parametrize("cases", FUZZ_CASES)
@pytest.mark.parametrize("form", ["bitlinear", "online", "trilm"])
def test_a_mutated_file_is_refused_or_read_as_what_it_says(form: Form, cases: int, tmp_path: Path) -> None:
    """A file without checksums may say something else, rightly: then it is what the library reads."""
    config = replace(LLAMA, num_hidden_layers=1, vocab_size=3, hidden_size=16, intermediate_size=32,
                     num_attention_heads=2, num_key_value_heads=1)  # fmt: skip
    written = write(tmp_path / "hf", config, form)
    path = written.folder / "model.safetensors"
    content = path.read_bytes()
    header = int.from_bytes(content[:8], "little")

    def read() -> Checkpoint:
        with HuggingFaceReader(written.folder) as reader:
            return whole(reader)

    def check(content: bytes) -> None:
        path.write_bytes(content)
        found = read_or_refuse(read)
        if found is None:
            return
        stored = load_file(path)
        for name, matrix in found.matrices.items():
            weights = stored[f"{name}.weight"]
            if form == "bitlinear":
                assert np.array_equal(pack_quarters(matrix.codes), weights)
                assert matrix.scale == stored[f"{name}.weight_scale"].ravel()[0]
            elif form == "online":
                assert np.array_equal(matrix.codes, quantise_weights(weights.astype(np.float32)).codes)
            else:
                rows, columns = matrix.scale_grid.shape
                scales = matrix.scale_grid.repeat(matrix.m // rows, axis=0)
                assert np.array_equal(matrix.codes * scales.repeat(matrix.k // columns, axis=1), weights)
        for name, tensor in found.tensors.items():
            assert np.array_equal(tensor, stored[name].astype(np.float32))

    fuzz(cases, mutated(content, [(0, 8), (8, 8 + header), (8 + header, len(content))]), check)
    path.write_bytes(content)
    assert_same(read(), written.checkpoint)


@pytest.mark.parametrize("cases", FUZZ_CASES)
def test_a_mutated_configuration_is_refused_or_says_what_is_read(cases: int, packed: Written) -> None:
    path = packed.folder / "config.json"
    content = path.read_bytes()

    def read() -> DecoderConfig:
        with HuggingFaceReader(packed.folder) as reader:
            return whole(reader).config

    def check(content: bytes) -> None:
        path.write_bytes(content)
        found = read_or_refuse(read)
        if found is not None:
            document = json.loads(content)
            # The shapes are those of the tensors; what else is read must stand in the file or be the class's own.
            assert found.matrices == LLAMA.matrices
            assert found.rope_theta in (document.get("rope_theta"), 10000.0)
            assert found.rms_norm_eps in (document.get("rms_norm_eps"), 1e-6)
            assert found.max_position_embeddings in (document.get("max_position_embeddings"), 2048)
            assert (found.hidden_act, found.sub_norms, found.linear_norms) == ("silu", False, False)

    fuzz(cases, mutated(content), check)


def test_bfloat16_is_cut_from_float32_in_these_tests() -> None:
    assert as_bfloat16(np.array([1 + 2**-8], dtype=np.float32)) == 1
