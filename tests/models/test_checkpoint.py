"""The shipped model's file."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from tritforge.accel.errors import InputError
from tritforge.models.checkpoint import Checkpoint, matrix_shapes, quantise_master, tensor_shapes
from tritforge.models.config import DecoderConfig
from tritforge.models.ternary import quantise_weights

QUERY = "model.layers.0.self_attn.q_proj"
DOWN = "model.layers.1.mlp.down_proj"
Tensors = dict[str, npt.NDArray[Any]]
Saved = tuple[Path, Tensors, dict[str, Any]]


@pytest.fixture
def saved(tiny_checkpoint: Checkpoint, tmp_path: Path) -> Saved:
    """A saved model: path, its tensors and its metadata document, to be written back changed."""
    path = tmp_path / "model.safetensors"
    tiny_checkpoint.save(path)
    with safe_open(path, framework="numpy") as file:
        document = json.loads(file.metadata()["tritforge"])
    return path, load_file(path), document


def refuses(path: Path, message: str) -> None:
    with pytest.raises(InputError, match=f"^{re.escape(f'{path}: {message}')}$"):
        Checkpoint.load(path)


def rewrite(path: Path, tensors: Tensors, document: dict[str, Any], changed: Sequence[str] = ()) -> None:
    """Write the file with hashes of the changed tensors made good, so that later checks are reached."""
    for name in changed:
        document["sha256"][name] = sha256(tensors[name].tobytes()).hexdigest()
    save_file(tensors, path, metadata={"tritforge": json.dumps(document)})


def same(a: Checkpoint, b: Checkpoint) -> bool:
    return (
        a.config == b.config
        and all(np.array_equal(a.matrices[n].codes, b.matrices[n].codes) for n in a.matrices)
        and all(a.matrices[n].scale == b.matrices[n].scale for n in a.matrices)
        and all(np.array_equal(a.tensors[n], b.tensors[n]) for n in a.tensors)
    )


def test_loading_gives_back_what_was_saved(tiny_checkpoint: Checkpoint, saved: Saved) -> None:
    assert same(Checkpoint.load(saved[0]), tiny_checkpoint)


def test_the_layout_is_the_documented_one(tiny_checkpoint: Checkpoint, saved: Saved) -> None:
    _, tensors, document = saved
    codes = tiny_checkpoint.matrices[DOWN].codes  # 40 x 48: ten bytes a row, two trits of padding
    stored = tensors[f"{DOWN}.weight"]
    assert stored.dtype == np.uint8
    assert stored.shape == (40, 10)
    assert stored[3, 0] == sum((int(trit) + 1) * 3**i for i, trit in enumerate(codes[3, :5]))
    assert tensors[f"{DOWN}.weight_scale"] == [tiny_checkpoint.matrices[DOWN].scale]
    assert tensors["model.embed_tokens.weight"].dtype == np.float32
    assert document["format_version"] == 1
    assert document["shapes"][DOWN] == [40, 48]
    assert DecoderConfig.from_dict(document["config"]) == tiny_checkpoint.config
    assert document["sha256"][f"{DOWN}.weight"] == sha256(stored.tobytes()).hexdigest()
    assert document["sha256"].keys() == {"config", *tensors}


def test_equal_models_give_equal_bytes_in_every_process(tiny_checkpoint: Checkpoint, saved: Saved) -> None:
    path = saved[0]
    code = (
        "import sys, hashlib, pathlib; from tritforge.models.checkpoint import Checkpoint; "
        "print(hashlib.sha256(Checkpoint.load(pathlib.Path(sys.argv[1])).to_bytes()).hexdigest())"
    )
    for seed in ("1", "2"):
        found = subprocess.run(
            [sys.executable, "-c", code, str(path)],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        )
        assert found.stdout.strip() == sha256(tiny_checkpoint.to_bytes()).hexdigest()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
@given(data=st.data())
def test_a_changed_byte_anywhere_is_noticed(
    data: st.DataObject, saved: Saved, tiny_checkpoint: Checkpoint
) -> None:
    content = bytearray(tiny_checkpoint.to_bytes())
    header = int.from_bytes(content[:8], "little")
    area = data.draw(st.sampled_from([(0, 8), (8, 8 + header), (8 + header, len(content))]))
    position = data.draw(st.integers(area[0], area[1] - 1))
    content[position] ^= data.draw(st.integers(1, 255))
    saved[0].write_bytes(content)
    try:
        loaded = Checkpoint.load(saved[0])
    except InputError as error:
        message = str(error)
    else:  # white space of the header, exchanged for another kind
        assert 8 <= position < 8 + header
        assert same(loaded, tiny_checkpoint)
        return
    assert "\n" not in message
    assert message.startswith(str(saved[0]))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(share=st.floats(0, 1, exclude_max=True))
def test_a_truncated_file_is_noticed(share: float, saved: Saved, tiny_checkpoint: Checkpoint) -> None:
    content = tiny_checkpoint.to_bytes()
    saved[0].write_bytes(content[: int(share * len(content))])
    size = int(share * len(content))
    with pytest.raises(InputError) as caught:
        Checkpoint.load(saved[0])
    assert str(caught.value).startswith(f"{saved[0]}: its {size} bytes are not a whole safetensors file (")


def test_a_changed_tensor_is_named_with_both_hashes(saved: Saved) -> None:
    path, tensors, document = saved
    tensors["model.norm.weight"][3] += 1
    computed = sha256(tensors["model.norm.weight"].tobytes()).hexdigest()
    rewrite(path, tensors, document)
    recorded = document["sha256"]["model.norm.weight"]
    refuses(
        path,
        f"model.norm.weight: the SHA-256 of its numbers is {computed}, not {recorded} as recorded; fetch it again",
    )


def test_an_illegal_byte_is_named(saved: Saved) -> None:
    path, tensors, document = saved
    tensors[f"{QUERY}.weight"][7, 2] = 250
    rewrite(path, tensors, document, [f"{QUERY}.weight"])
    refuses(
        path,
        f"{QUERY}: row 7, byte 2 is 250; five base-3 digits reach 242: "
        "the file is damaged or not in this packing",
    )


def test_a_scale_that_is_not_positive_is_named(saved: Saved) -> None:
    path, tensors, document = saved
    tensors[f"{QUERY}.weight_scale"][0] = -1
    rewrite(path, tensors, document, [f"{QUERY}.weight_scale"])
    refuses(path, f"{QUERY}: the scale is np.float32(-1.0); a positive, finite float32 is needed")


def test_a_value_that_is_not_finite_is_named(saved: Saved) -> None:
    path, tensors, document = saved
    tensors["model.norm.weight"][3] = np.inf
    rewrite(path, tensors, document, ["model.norm.weight"])
    refuses(path, "model.norm.weight holds inf; finite values are needed")


def test_another_type_is_named(saved: Saved) -> None:
    path, tensors, document = saved
    tensors["model.norm.weight"] = tensors["model.norm.weight"].astype(np.float16)
    rewrite(path, tensors, document, ["model.norm.weight"])
    refuses(path, "model.norm.weight is F16 of shape (40,); F32 of shape (40,) is needed")


def test_another_shape_is_named(saved: Saved) -> None:
    path, tensors, document = saved
    tensors[f"{DOWN}.weight"] = tensors[f"{DOWN}.weight"][:, :9].copy()
    rewrite(path, tensors, document, [f"{DOWN}.weight"])
    refuses(path, f"{DOWN}.weight is U8 of shape (40, 9); U8 of shape (40, 10) is needed")


def test_a_missing_tensor_is_named(saved: Saved) -> None:
    path, tensors, document = saved
    del tensors[f"{DOWN}.weight_scale"]
    rewrite(path, tensors, document)
    refuses(path, f"tensor {DOWN}.weight_scale is missing (1 of 38 are)")


def test_an_extra_tensor_is_named(saved: Saved) -> None:
    path, tensors, document = saved
    tensors["lm_head.weight"] = np.zeros((2, 2), dtype=np.float32)
    rewrite(path, tensors, document)
    refuses(path, "tensor lm_head.weight does not belong to the model (1 such)")


def test_an_unknown_format_version_is_named(saved: Saved) -> None:
    path, tensors, document = saved
    rewrite(path, tensors, {**document, "format_version": 3})
    refuses(path, "format version 3 is unknown; this release reads 1 and 2")


def test_a_changed_configuration_is_noticed(saved: Saved) -> None:
    path, tensors, document = saved
    recorded = document["sha256"]["config"]
    document["config"]["rope_theta"] = 500000.0
    computed = sha256(json.dumps(document["config"], sort_keys=True).encode()).hexdigest()
    rewrite(path, tensors, document)
    refuses(
        path,
        f"the configuration's SHA-256 is {computed}, not {recorded} as recorded; the file is damaged",
    )


def test_shapes_that_contradict_the_configuration_are_noticed(saved: Saved) -> None:
    path, tensors, document = saved
    document["shapes"][DOWN] = [40, 50]
    rewrite(path, tensors, document)
    refuses(path, "the metadata's shapes are not those of its configuration; the file is damaged")


def test_metadata_of_another_kind_is_refused(saved: Saved) -> None:
    path, tensors, document = saved
    rewrite(path, tensors, {**document, "sha256": None})
    refuses(path, "the metadata's sha256 is None; an object is needed")


@pytest.mark.parametrize("metadata", [None, {"format": "pt"}, {"tritforge": "{"}, {"tritforge": "[]"}])
def test_a_safetensors_file_of_another_kind_is_refused(
    metadata: dict[str, str] | None, tmp_path: Path
) -> None:
    path = tmp_path / "other.safetensors"
    save_file({"a": np.zeros(1, dtype=np.float32)}, path, metadata=metadata)
    refuses(path, "no valid metadata entry 'tritforge'; this is not a TritForge model")


def test_a_path_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    for path in (tmp_path / "no", tmp_path):
        with pytest.raises(InputError, match=f"^cannot read {re.escape(str(path))}: "):
            Checkpoint.load(path)


def test_a_path_that_cannot_be_written_leaves_nothing(tiny_checkpoint: Checkpoint, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"^cannot write .*; choose another path$"):
        tiny_checkpoint.save(tmp_path / "file" / "model.safetensors")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_layers_matrices_come_in_the_order_of_use(tiny_checkpoint: Checkpoint) -> None:
    found = tiny_checkpoint.matrices_of_layer(1)
    assert list(found) == [f"model.layers.1.{name}" for name in tiny_checkpoint.config.matrices]
    assert found[DOWN] is tiny_checkpoint.matrices[DOWN]


@pytest.mark.parametrize("layer", [-1, 2])
def test_a_layer_that_does_not_exist_is_refused(tiny_checkpoint: Checkpoint, layer: int) -> None:
    with pytest.raises(InputError, match=rf"^layer {layer} does not exist: the model has layers 0 to 1$"):
        tiny_checkpoint.matrices_of_layer(layer)


def test_master_weights_are_quantised_matrix_by_matrix(
    tiny_checkpoint: Checkpoint, tiny_master: dict[str, npt.NDArray[np.float32]]
) -> None:
    assert tiny_checkpoint.matrices.keys() == matrix_shapes(tiny_checkpoint.config).keys()
    for name, matrix in tiny_checkpoint.matrices.items():
        assert np.array_equal(matrix.codes, quantise_weights(tiny_master[f"{name}.weight"]).codes)
    for name in tensor_shapes(tiny_checkpoint.config):
        assert np.array_equal(tiny_checkpoint.tensors[name], tiny_master[name])


def test_master_weights_that_do_not_fit_are_named(
    tiny_checkpoint: Checkpoint, tiny_master: dict[str, npt.NDArray[np.float32]]
) -> None:
    config = tiny_checkpoint.config
    with pytest.raises(InputError, match=r"^tensor model\.norm\.weight is missing \(1 of 24 are\)$"):
        quantise_master(config, {n: t for n, t in tiny_master.items() if n != "model.norm.weight"})
    message = f"{QUERY} has shape (40, 41); the configuration says (40, 40)"
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        quantise_master(config, {**tiny_master, f"{QUERY}.weight": np.ones((40, 41), np.float32)})
    broken = {**tiny_master, f"{QUERY}.weight": np.full((40, 40), np.nan, np.float32)}
    with pytest.raises(
        InputError, match=rf"^{re.escape(QUERY)}\.weight: the mean of the weights' magnitudes is nan"
    ):
        quantise_master(config, broken)
