"""Files of a checkpoint: an index that says what is true, and nothing from outside the folder."""

import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from checkpoints import store
from fuzz import FUZZ_CASES, fuzz, mutated, read_or_refuse

from tritforge.accel.errors import InputError
from tritforge.models.hf_shards import INDEX, SINGLE, Shards

A = {"a": np.arange(6, dtype=np.float32).reshape(3, 2)}
B = {"b": np.arange(4, dtype=np.uint8)}
MAP = {"a": "x.safetensors", "b": "y.safetensors"}


def build(folder: Path, weight_map: object = MAP) -> Path:
    """A folder of two shards and an index."""
    folder.mkdir()
    store(folder / "x.safetensors", A)
    store(folder / "y.safetensors", B)
    (folder / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    return folder


def refuses(folder: Path, message: str) -> None:
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        Shards(folder)


def test_tensors_are_read_wherever_they_lie(tmp_path: Path) -> None:
    shards = Shards(build(tmp_path / "m"))
    assert shards.tensors.keys() == {"a", "b"}
    assert shards.count == 2
    assert np.array_equal(shards.rows("a", 1, 3), A["a"][1:3])
    assert np.array_equal(shards.read("b"), B["b"])
    shards.close()
    (tmp_path / "s").mkdir()
    store(tmp_path / "s" / SINGLE, A | B)
    shards = Shards(tmp_path / "s")
    assert shards.tensors.keys() == {"a", "b"}
    assert shards.count == 1
    shards.close()


@pytest.mark.parametrize(
    "name",
    ["../x.safetensors", "/etc/passwd", "a/x.safetensors", "..\\x.safetensors", "C:x.safetensors", ".x.safetensors",
     "x.bin", "", "..", "x\n.safetensors", "x\0.safetensors", "\ud800.safetensors", "x" * 200 + ".safetensors"],
)  # fmt: skip
def test_a_name_that_is_not_that_of_a_file_in_the_folder_is_refused(name: str, tmp_path: Path) -> None:
    store(tmp_path / "x.safetensors", A)
    folder = build(tmp_path / "m", {**MAP, "a": name})
    with pytest.raises(InputError) as caught:
        Shards(folder)
    message = str(caught.value)
    assert message.isprintable()
    assert message.startswith(f"{folder / INDEX}: the file '")
    assert message.endswith(" is refused; the name of a .safetensors file in the same folder is needed")


def test_a_link_out_of_the_folder_is_refused_and_one_within_followed(tmp_path: Path) -> None:
    folder = build(tmp_path / "m")
    (folder / "x.safetensors").rename(folder / "real.safetensors")
    (folder / "x.safetensors").symlink_to("real.safetensors")
    Shards(folder).close()
    (folder / "real.safetensors").rename(tmp_path / "real.safetensors")
    (folder / "x.safetensors").unlink()
    (folder / "x.safetensors").symlink_to("../real.safetensors")
    path = folder / "x.safetensors"
    refuses(
        folder,
        f"{path} is a link out of its folder, to {tmp_path / 'real.safetensors'}; put the file itself there",
    )


def test_the_hubs_cache_is_followed(tmp_path: Path) -> None:
    build(tmp_path / "blobs")
    (tmp_path / "snapshots").mkdir()
    snapshot = tmp_path / "snapshots" / "abc"
    snapshot.mkdir()
    for name in (INDEX, "x.safetensors", "y.safetensors"):
        (snapshot / name).symlink_to(f"../../blobs/{name}")
    shards = Shards(snapshot)
    assert shards.tensors.keys() == {"a", "b"}
    shards.close()


@pytest.mark.parametrize(
    ("weight_map", "message"),
    [
        ({**MAP, "c": "y.safetensors"}, "c must be in y.safetensors, but no file has it"),
        ({"a": MAP["b"], "b": MAP["a"]}, "a must be in y.safetensors, but it is in x.safetensors"),
        ({"b": "y.safetensors", "a": "y.safetensors"}, "a must be in y.safetensors, but no file has it"),
        ({**MAP, "a": 3}, "the file of a is 3; a name is needed"),
        ({}, "its weight_map is empty"),
        ([], "it has no weight_map, an object of tensors and files"),
        ({str(i): f"{i}.safetensors" for i in range(600)}, "it names 600 files; 512 are the limit"),
    ],
)  # fmt: skip
def test_an_index_that_is_not_that_of_the_files_is_refused(
    weight_map: Any, message: str, tmp_path: Path
) -> None:
    folder = build(tmp_path / "m", weight_map)
    refuses(folder, f"{folder / INDEX}: {message}")


def test_a_tensor_that_is_in_two_files_or_not_in_the_index_is_refused(tmp_path: Path) -> None:
    folder = build(tmp_path / "m")
    store(folder / "y.safetensors", A | B)
    refuses(folder, f"{folder / 'y.safetensors'}: a is in x.safetensors too; remove one")
    store(folder / "y.safetensors", B | {"c": A["a"]})
    refuses(folder, f"{folder / INDEX}: c of y.safetensors is not in it; the index is another's")


def test_missing_and_doubled_files_are_named(tmp_path: Path) -> None:
    folder = build(tmp_path / "m")
    (folder / "y.safetensors").unlink()
    missing = folder / "y.safetensors"
    refuses(folder, f"cannot read {missing}: there is no such file; fetch it, or give another folder")
    os.mkfifo(missing)
    refuses(folder, f"cannot read {missing}: there is no such file; fetch it, or give another folder")
    shutil.copy(folder / "x.safetensors", folder / SINGLE)
    refuses(folder, f"{folder} holds both {SINGLE} and {INDEX}; remove the one that is not the model's")


def test_an_index_that_is_no_json_is_refused(tmp_path: Path) -> None:
    folder = build(tmp_path / "m")
    (folder / INDEX).write_text("{")
    with pytest.raises(InputError, match=rf"^{re.escape(str(folder / INDEX))}: it is not JSON: "):
        Shards(folder)


def test_a_folder_of_pickles_or_of_nothing_is_refused(tmp_path: Path) -> None:
    refuses(tmp_path, f"{tmp_path} holds neither {SINGLE} nor {INDEX}; give the folder of a checkpoint")
    (tmp_path / "pytorch_model.bin").write_bytes(b"PK\x03\x04")
    refuses(
        tmp_path,
        f"{tmp_path} holds no safetensors files, and pytorch_model.bin is a pickle: pickles can run code and are "
        "never opened; convert it to safetensors where it is trusted",
    )


def test_no_file_stays_open_after_a_refusal(tmp_path: Path) -> None:
    """The interpreter warns of a file that is left open, and a warning fails a test here."""
    folder = build(tmp_path / "m")
    (folder / "y.safetensors").write_bytes(b"")
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    with pytest.raises(InputError, match=r"too short for a header"):
        Shards(folder)
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208


@pytest.mark.parametrize("cases", FUZZ_CASES)
def test_a_mutated_index_is_refused_or_says_where_the_tensors_are(cases: int, tmp_path: Path) -> None:
    folder = build(tmp_path / "m")
    content = (folder / INDEX).read_bytes()

    def read() -> set[str]:
        shards = Shards(folder)
        for name in shards.tensors:
            assert np.array_equal(shards.read(name), (A | B)[name])
        shards.close()
        return set(shards.tensors)

    def check(content: bytes) -> None:
        """An index may name one shard alone; that a model then lacks tensors is its reader's to say."""
        (folder / INDEX).write_bytes(content)
        found = read_or_refuse(read)
        assert found is None or found == set(json.loads(bytes(content))["weight_map"])

    fuzz(cases, mutated(content), check)
    check(content)
    assert read() == {"a", "b"}
