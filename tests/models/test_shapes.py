"""Shapes of models: the table, its lookups, and what is counted from a shape."""

import json
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from tritforge.accel.errors import InputError
from tritforge.models import library
from tritforge.models.checkpoint import Checkpoint
from tritforge.models.config import DecoderConfig
from tritforge.models.shapes import ALIASES, ModelShape, all_shapes, find_shape, read_shapes, resolve_shape

ENTRY: dict[str, Any] = {
    "name": "tiny",
    "hidden_size": 8,
    "intermediate_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 2,
    "source": "made for a test",
    "status": "verified",
}


def test_the_table_has_69_shapes_each_with_a_source() -> None:
    assert len(all_shapes()) == 69
    assert all(shape.source and shape.name == name for name, shape in all_shapes().items())


def test_no_shape_claims_to_be_verified_where_its_source_is_not_named() -> None:
    vague = {
        shape.source for shape in all_shapes().values() if shape.source == "widely published configuration"
    }
    assert vague
    assert all(s.status == "recalled" for s in all_shapes().values() if s.source in vague)


def test_marks_of_recalled_fields_are_kept() -> None:
    assert find_shape("bitnet-b1.58-paper-3B").recalled == ("vocab_size",)
    assert find_shape("LLaMA-7B").status == "recalled"
    assert find_shape("bitnet-b1.58-figure3-3B").status == "deduced"


@pytest.mark.parametrize(
    ("name", "total"),
    [
        # Counts as their publishers round them, with embeddings and the LM head, which is not tied to them.
        ("LLaMA-7B", 6.74e9),
        ("LLaMA-13B", 13.0e9),
        ("LLaMA-65B", 65.3e9),
        ("Llama-2-70B", 69.0e9),
        ("mistralai/Mixtral-8x7B-v0.1", 46.7e9),
        ("SpectraSuite/TriLM_99M", 99.7e6),
    ],
)
def test_parameters_add_up_to_the_published_size(name: str, total: float) -> None:
    shape = find_shape(name)
    assert shape.linear_parameters + 2 * shape.embedding_parameters == pytest.approx(total, rel=2e-3)


def test_a_token_meets_two_of_the_eight_experts_of_mixtral() -> None:
    shape = find_shape("mistralai/Mixtral-8x7B-v0.1")
    dense = replace(shape, num_local_experts=1, num_experts_per_tok=1)
    expert = 3 * shape.hidden_size * shape.intermediate_size * shape.num_hidden_layers
    assert shape.linear_parameters - dense.linear_parameters == 7 * expert
    assert shape.active_linear_parameters - dense.linear_parameters == expert
    assert [linear.name for linear in shape.linears][-1] == "mlp.experts.down_proj"


def test_a_plain_network_has_two_matrices_and_a_gated_one_three() -> None:
    plain = ModelShape.from_dict(ENTRY | {"ffn_gated": False})
    gated = ModelShape.from_dict(ENTRY)
    assert [linear.name for linear in plain.linears if "mlp" in linear.name] == [
        "mlp.up_proj",
        "mlp.down_proj",
    ]
    assert gated.linear_parameters - plain.linear_parameters == 2 * 8 * 16


def test_heads_need_not_span_the_hidden_size() -> None:
    shape = find_shape("Gemma-3 1B")
    query, key, _, output = shape.linears[:4]
    assert (query.inputs, query.outputs) == (1152, 1024)
    assert (key.inputs, key.outputs) == (1152, 256)
    assert (output.inputs, output.outputs) == (1024, 1152)


def test_a_recurrence_has_four_square_projections() -> None:
    shape = find_shape("ridger/MMfreeLM-370M")
    assert [(linear.inputs, linear.outputs) for linear in shape.linears[:4]] == [(1024, 1024)] * 4
    assert shape.ternary_parameters == shape.linear_parameters + 32000 * 1024


def test_only_ternary_models_have_ternary_parameters() -> None:
    assert find_shape("LLaMA-7B").ternary_parameters == 0
    assert find_shape("bitnet-v1-6.7B").ternary_parameters == 0
    assert find_shape("microsoft/bitnet-b1.58-2B-4T").ternary_parameters == 2_084_044_800
    assert find_shape("microsoft/bitnet-b1.58-2B-4T").weight_bits == pytest.approx(1.585, abs=1e-4)


def test_unknown_vocabulary_cannot_be_counted() -> None:
    with pytest.raises(InputError) as caught:
        _ = find_shape("bitnet-b1.58-figure3-3B").embedding_parameters
    assert str(caught.value) == (
        "shape 'bitnet-b1.58-figure3-3B' has no vocab_size, so its embeddings cannot be counted"
    )


@pytest.mark.parametrize("name", sorted(all_shapes()))
def test_every_shape_is_found_in_any_case_and_without_its_owner(name: str) -> None:
    assert find_shape(name.upper()) is all_shapes()[name]
    assert find_shape(name.rpartition("/")[2]) is all_shapes()[name]


@pytest.mark.parametrize(("alias", "name"), ALIASES.items())
def test_an_alias_names_one_shape_in_any_case(alias: str, name: str) -> None:
    assert find_shape(alias) is find_shape(alias.upper()) is all_shapes()[name]
    assert resolve_shape(alias) is all_shapes()[name]


def test_an_unknown_name_gets_those_that_come_close() -> None:
    with pytest.raises(InputError) as caught:
        find_shape("bitnet-b1.58-2B")
    assert str(caught.value) == (
        "no model shape is called 'bitnet-b1.58-2B'; did you mean microsoft/bitnet-b1.58-2B-4T or "
        "1bitLLM/bitnet_b1_58-3B or bitnet-b1.58-paper-3B?"
    )


def test_a_name_like_no_other_gets_an_example() -> None:
    with pytest.raises(InputError) as caught:
        find_shape("????")
    assert str(caught.value) == (
        "no model shape is called '????'; there are 69, such as bitnet-b1.58-paper-700M; tritforge models lists them"
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"hidden_size": 0}, "shape 'tiny': hidden_size is 0; a whole number of 1 or more is needed"),
        ({"head_dim": 2.5}, "shape 'tiny': head_dim is 2.5; a whole number of 1 or more is needed"),
        (
            {"num_hidden_layers": True},
            "shape 'tiny': num_hidden_layers is True; a whole number of 1 or more is needed",
        ),
        ({"vocab_size": -1}, "shape 'tiny': vocab_size is -1; a whole number of 1 or more is needed"),
        (
            {"num_key_value_heads": 3},
            "shape 'tiny': num_attention_heads 4 is not a multiple of num_key_value_heads 3",
        ),
        ({"num_experts_per_tok": 2}, "shape 'tiny': num_experts_per_tok 2 is above num_local_experts 1"),
        (
            {"status": "certain"},
            "shape 'tiny': status is 'certain'; it must be one of verified, secondary, deduced, recalled, typed",
        ),
        ({"mixer": "mamba"}, "shape 'tiny': mixer is 'mamba'; it must be one of attention, hgrn"),
        ({"weights": "int4"}, "shape 'tiny': weights is 'int4'; it must be one of ternary, binary, float16"),
        ({"ffn_gated": "yes"}, "shape 'tiny': ffn_gated is 'yes'; true or false is needed"),
        ({"act_bits": [0]}, "shape 'tiny': act_bits is (0,); a list of positive whole numbers is needed"),
        ({"source": " "}, "shape 'tiny' has no source; name the document that it is from"),
        ({"name": ""}, "a shape's name is ''; give it a name"),
        ({"recalled": ["colour"]}, "shape 'tiny': recalled names colour, which is no field of a shape"),
        ({"colour": 1}, "shape 'tiny' has the unknown field colour"),
    ],
)
def test_a_wrong_field_is_named_with_its_value(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as caught:
        ModelShape.from_dict(ENTRY | change)
    assert str(caught.value) == message


def test_missing_fields_are_named() -> None:
    with pytest.raises(InputError) as caught:
        ModelShape.from_dict({"name": "tiny", "hidden_size": 8})
    assert str(caught.value) == (
        "shape 'tiny' lacks intermediate_size, num_hidden_layers, num_attention_heads, num_key_value_heads, "
        "head_dim, source, status"
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{}", "{path} must hold a JSON list of shapes"),
        ("[1]", "{path} must hold a JSON list of shapes"),
        ("[", "{path} is not JSON: Expecting value: line 1 column 2 (char 1)"),
        (json.dumps([ENTRY, ENTRY]), "{path} has the shape 'tiny' twice; keep one"),
    ],
)
def test_a_wrong_file_is_rejected(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "shapes.json"
    path.write_text(content)
    with pytest.raises(InputError) as caught:
        read_shapes(path)
    assert str(caught.value) == message.format(path=path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        read_shapes(tmp_path / "none.json")
    assert str(caught.value) == (
        f"cannot read {tmp_path / 'none.json'}: No such file or directory; give a file of shapes"
    )


def test_a_decoder_that_runs_has_the_same_matrices_as_its_shape(tiny_checkpoint: Checkpoint) -> None:
    config = tiny_checkpoint.config
    shape = ModelShape.from_decoder(config, name="small", source="a test")
    assert {linear.name: (linear.outputs, linear.inputs) for linear in shape.linears} == config.matrices
    assert shape.ternary_parameters == sum(m.m * m.k for m in tiny_checkpoint.matrices.values())
    assert shape.embedding_parameters == tiny_checkpoint.tensors["model.embed_tokens.weight"].size
    # A shape has no place for the norms of single matrices, which count little.
    shared = [field.name for field in fields(DecoderConfig) if hasattr(shape, field.name)]
    assert len(shared) == len(fields(DecoderConfig)) - 2
    assert {name: getattr(shape, name) for name in shared} == {name: getattr(config, name) for name in shared}


def test_a_shipped_model_a_checkpoint_and_a_shape_are_resolved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_checkpoint: Checkpoint
) -> None:
    tiny_checkpoint.save(tmp_path / "small" / "model.safetensors")
    monkeypatch.setattr(library, "_DATA", tmp_path)
    shipped, by_path = resolve_shape("small"), resolve_shape(str(tmp_path / "small"))
    assert shipped == ModelShape.from_decoder(
        tiny_checkpoint.config, name="small", source="the model small that comes with tritforge"
    )
    assert by_path.linears == shipped.linears
    assert by_path.source == f"the checkpoint {tmp_path / 'small'}"
    assert resolve_shape("LLaMA-7B") is all_shapes()["LLaMA-7B"]


def test_shapes_load_without_the_packages_that_are_slow_to_import() -> None:
    code = (
        "import sys; from tritforge.models.shapes import all_shapes; all_shapes(); "
        "print(sorted({'pandas', 'matplotlib', 'numpy', 'safetensors', 'torch'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
