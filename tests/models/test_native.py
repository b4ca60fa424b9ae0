"""The project's own file: both versions, streamed, verified, and refused where it is damaged."""

import json
import re
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from fuzz import FUZZ_CASES, fuzz, mutated, read_or_refuse
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from tritforge.accel.errors import InputError
from tritforge.models.checkpoint import Checkpoint, matrix_shapes, tensor_shapes
from tritforge.models.config import DecoderConfig
from tritforge.models.library import find
from tritforge.models.native import NativeReader, write_native
from tritforge.models.reader import MemoryReader, ScaleForm
from tritforge.models.ternary import TernaryMatrix

#: An architecture that version 1 has no words for.
OTHER = DecoderConfig(
    vocab_size=11,
    hidden_size=12,
    intermediate_size=20,
    num_hidden_layers=2,
    num_attention_heads=2,
    num_key_value_heads=1,
    max_position_embeddings=16,
    head_dim=8,
    hidden_act="silu",
    sub_norms=False,
    tie_word_embeddings=False,
    linear_norms=True,
)
QUERY = "model.layers.0.self_attn.q_proj"
DOWN = "model.layers.1.mlp.down_proj"


def random_checkpoint(config: DecoderConfig, *, seed: int = 0) -> Checkpoint:
    """Matrices with one divisor, one multiplier, and grids of both, in turn."""
    random = np.random.default_rng(seed)
    matrices = {}
    for number, (name, shape) in enumerate(matrix_shapes(config).items()):
        grid = random.uniform(0.1, 2, (2, 1) if number % 3 else (1, 4)).astype(np.float32)
        matrices[name] = TernaryMatrix(
            codes=random.integers(-1, 2, shape, dtype=np.int8),
            scale=grid if number % 4 > 1 else np.float32(grid[0, 0]),
            scale_kind=("divisor", "multiplier")[number % 2],
        )
    tensors = {n: random.standard_normal(s, dtype=np.float32) for n, s in tensor_shapes(config).items()}
    return Checkpoint(config=config, matrices=matrices, tensors=tensors)


def same(a: Checkpoint, b: Checkpoint) -> bool:
    """Whether two models are equal in every bit."""
    return (
        a.config == b.config
        and all(np.array_equal(a.matrices[n].codes, b.matrices[n].codes) for n in a.matrices)
        and all(np.array_equal(a.matrices[n].scale_grid, b.matrices[n].scale_grid) for n in a.matrices)
        and all(a.matrices[n].scale_kind == b.matrices[n].scale_kind for n in a.matrices)
        and all(np.array_equal(a.tensors[n], b.tensors[n]) for n in a.tensors)
    )


def whole(reader: NativeReader) -> Checkpoint:
    """Everything that a reader gives, read at once."""
    return Checkpoint(
        config=reader.config,
        matrices={name: reader.matrix(name) for name in reader.matrices},
        tensors={name: reader.tensor(name) for name in reader.tensors},
    )


Saved = tuple[Path, dict[str, npt.NDArray[Any]], dict[str, Any]]


@pytest.fixture
def saved(tmp_path: Path) -> Saved:
    """A file of version 2: path, its tensors and its metadata document, to be written back changed."""
    path = tmp_path / "model.safetensors"
    write_native(MemoryReader(random_checkpoint(OTHER)), path)
    with safe_open(path, framework="numpy") as file:
        document = json.loads(file.metadata()["tritforge"])
    return path, load_file(path), document


def refuses(path: Path, message: str) -> None:
    with (
        pytest.raises(InputError, match=f"^{re.escape(f'{path}: {message}')}$"),
        NativeReader(path) as reader,
    ):
        whole(reader)


def rewrite(saved: Saved, document: dict[str, Any]) -> None:
    """Write the file with other metadata, their hashes made good."""
    for key in ("config", "scales"):
        if key in document["sha256"]:
            document["sha256"][key] = sha256(json.dumps(document[key], sort_keys=True).encode()).hexdigest()
    save_file(saved[1], saved[0], metadata={"tritforge": json.dumps(document)})


def test_every_architecture_and_scale_is_kept_as_it_is(saved: Saved) -> None:
    checkpoint = random_checkpoint(OTHER)
    with NativeReader(saved[0]) as reader:
        assert same(whole(reader), checkpoint)
        assert reader.format == "TritForge model, format version 2"
        for name, matrix in checkpoint.matrices.items():
            assert reader.scale_form(name) == MemoryReader(checkpoint).scale_form(name)
            assert reader.scale_form(name)[0] == matrix.scale_kind
    assert same(Checkpoint.load(saved[0]), checkpoint)


def test_the_layout_of_version_2_is_the_documented_one(saved: Saved) -> None:
    _, tensors, document = saved
    checkpoint = random_checkpoint(OTHER)
    assert document["format_version"] == 2
    assert document["config"]["hidden_act"] == "silu"
    names = list(checkpoint.matrices)
    # By number: one divisor, one multiplier, a grid of divisors, a grid of multipliers.
    assert names[0] not in document["scales"]
    assert document["scales"][names[1]] == {"kind": "multiplier"}
    assert document["scales"][names[2]] == {"kind": "divisor", "grid": [2, 1]}
    assert document["scales"][names[3]] == {"kind": "multiplier", "grid": [1, 4]}
    for name, matrix in checkpoint.matrices.items():
        stored = tensors[f"{name}.weight_scale"]
        assert stored.shape == (matrix.scale_grid.shape if matrix.scale_grid.size > 1 else (1,))
        assert np.array_equal(stored.ravel(), matrix.scale_grid.ravel())
    assert document["sha256"].keys() == {"config", "scales", *tensors}
    for name, values in tensors.items():
        assert document["sha256"][name] == sha256(values.tobytes()).hexdigest()


def test_version_1_is_written_wherever_it_says_everything(
    tiny_checkpoint: Checkpoint, tmp_path: Path
) -> None:
    for checkpoint, version in (
        (tiny_checkpoint, 1),
        (replace(tiny_checkpoint, matrices=dict(tiny_checkpoint.matrices) | {
            QUERY: replace(tiny_checkpoint.matrices[QUERY], scale_kind="multiplier")}), 2),
        (replace(tiny_checkpoint, config=replace(tiny_checkpoint.config, hidden_act="silu")), 2),
    ):  # fmt: skip
        path = tmp_path / "m.safetensors"
        write_native(MemoryReader(checkpoint), path)
        assert checkpoint.to_bytes() == path.read_bytes()
        with NativeReader(path) as reader:
            assert reader.format == f"TritForge model, format version {version}"
            assert same(whole(reader), checkpoint)


def test_the_shipped_model_is_written_back_byte_for_byte(tmp_path: Path) -> None:
    path = find("austen")
    with NativeReader(path) as reader:
        write_native(reader, tmp_path / "copy.safetensors")
    assert (tmp_path / "copy.safetensors").read_bytes() == path.read_bytes()


def test_rows_are_verified_before_the_first_are_given_out(saved: Saved) -> None:
    path, tensors, document = saved
    with NativeReader(path) as reader:
        assert np.array_equal(reader.rows("lm_head.weight", 3, 5), tensors["lm_head.weight"][3:5])
        assert [len(rows) for rows in reader.chunks("lm_head.weight", numbers=50)] == [4, 4, 3]
    tensors["lm_head.weight"][10, 0] += 1
    rewrite(saved, document)
    with (
        NativeReader(path) as reader,
        pytest.raises(InputError, match=r"lm_head\.weight: the SHA-256 of its "),
    ):
        reader.rows("lm_head.weight", 0, 1)


def test_progress_counts_all_numbers(tiny_checkpoint: Checkpoint, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    write_native(
        MemoryReader(tiny_checkpoint),
        tmp_path / "m",
        on_progress=lambda done, all_: seen.append((done, all_)),
    )
    numbers = 2 * sum(matrix.codes.size for matrix in tiny_checkpoint.matrices.values())
    numbers += sum(tensor.size for tensor in tiny_checkpoint.tensors.values())
    assert seen[0] == (0, numbers)
    assert seen[-1] == (numbers, numbers)
    assert seen == sorted(seen)


def test_a_source_that_fails_leaves_the_old_file_and_nothing_else(saved: Saved, tmp_path: Path) -> None:
    target = tmp_path / "out" / "m.safetensors"
    path, tensors, document = saved
    tensors[f"{DOWN}.weight"][0, 0] = 250
    rewrite(saved, document)
    target.parent.mkdir()
    target.write_text("old")
    with (
        NativeReader(path) as reader,
        pytest.raises(InputError, match=r"down_proj: the SHA-256 of its weight is "),
    ):
        write_native(reader, target)
    assert list(target.parent.iterdir()) == [target]
    assert target.read_text() == "old"


def test_a_source_whose_scales_change_meanwhile_is_refused(
    tiny_checkpoint: Checkpoint, tmp_path: Path
) -> None:
    class Changing(MemoryReader):
        def scale_form(self, name: str) -> ScaleForm:
            return "multiplier", None

    message = f"memory: the scales of {QUERY} have changed meanwhile; write it again"
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        write_native(Changing(tiny_checkpoint), tmp_path / "m")
    assert list(tmp_path.iterdir()) == []


def test_an_interrupt_leaves_nothing(tiny_checkpoint: Checkpoint, tmp_path: Path) -> None:
    def interrupt(done: int, total: int) -> None:
        if done > total / 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_native(MemoryReader(tiny_checkpoint), tmp_path / "m", interrupt)
    assert list(tmp_path.iterdir()) == []


def test_damaged_scales_are_named(saved: Saved) -> None:
    path, _, document = saved
    grid = next(name for name, entry in document["scales"].items() if "grid" in entry)
    shape = matrix_shapes(OTHER)[grid]
    for entry, message in (
        (
            {"kind": "divisor", "grid": [7, 1]},
            f"{grid} has a grid of [7, 1] scales; it does not divide {shape}",
        ),
        (
            {"kind": "divisor", "grid": [0, 1]},
            f"{grid} has a grid of [0, 1] scales; it does not divide {shape}",
        ),
        ({"kind": "divisor", "grid": 2}, f"{grid} has a grid of 2 scales; it does not divide {shape}"),
        ({"kind": "sum"}, f"the metadata's scales hold {grid}: {{'kind': 'sum'}}; the file is damaged"),
        (3, f"the metadata's scales hold {grid}: 3; the file is damaged"),
    ):
        document["scales"][grid] = entry
        rewrite(saved, document)
        refuses(path, message)
    document["scales"] = {"x": {"kind": "divisor"}}
    rewrite(saved, document)
    refuses(path, "the metadata's scales hold x: {'kind': 'divisor'}; the file is damaged")
    document["sha256"]["scales"] = "0"
    computed = sha256(json.dumps(document["scales"], sort_keys=True).encode()).hexdigest()
    save_file(saved[1], path, metadata={"tritforge": json.dumps(document)})
    refuses(path, f"the scales' SHA-256 is {computed}, not 0 as recorded; the file is damaged")


def test_metadata_that_would_be_counted_by_forever_are_refused(saved: Saved) -> None:
    path, tensors, document = saved
    document["config"]["num_hidden_layers"] = 2**31 - 1
    rewrite(saved, document)
    refuses(path, f"num_hidden_layers is 2147483647; the file has {len(tensors)} tensors")


def test_version_1_with_fields_of_version_2_is_refused(saved: Saved) -> None:
    rewrite(saved, {**saved[2], "format_version": 1})
    refuses(saved[0], "the configuration has fields of format version 2, and the file says 1; it is damaged")


@pytest.mark.parametrize("cases", FUZZ_CASES)
def test_a_mutated_file_is_refused_or_read_as_it_was(cases: int, saved: Saved) -> None:
    path, checkpoint = saved[0], random_checkpoint(OTHER)
    content = path.read_bytes()
    header = int.from_bytes(content[:8], "little")

    def read() -> Checkpoint:
        with NativeReader(path) as reader:
            return whole(reader)

    def check(content: bytes) -> None:
        path.write_bytes(content)
        found = read_or_refuse(read)
        assert found is None or same(found, checkpoint)

    fuzz(cases, mutated(content, [(0, 8), (8, 8 + header), (8 + header, len(content))]), check)
    path.write_bytes(content)
    assert same(read(), checkpoint)
