"""Reading safetensors files, against the library's own reading and against damage of every kind."""

import itertools
import json
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from fuzz import FUZZ_CASES, fuzz, mutated, read_or_refuse
from safetensors import SafetensorError, deserialize
from safetensors.numpy import save, save_file

from tritforge.accel.errors import InputError
from tritforge.models.safetensors_file import HEADER_LIMIT, SafetensorsFile, to_float32

TENSORS: dict[str, npt.NDArray[Any]] = {
    "codes": np.arange(24, dtype=np.uint8).reshape(6, 4),
    "half": np.linspace(-2, 2, 6, dtype=np.float16).reshape(3, 2),
    "gains": np.linspace(0, 1, 5, dtype=np.float32),
    "wide": np.array([[1e300, 0.1]]),
    "number": np.array(3, dtype=np.int64),
    "nothing": np.zeros((0, 3), dtype=np.float32),
}


def build(header: object, data: bytes = b"", *, length: int | None = None) -> bytes:
    """Bytes of a file with any header."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(text) if length is None else length).to_bytes(8, "little") + text + data


def entry(dtype: object = "U8", shape: object = (4,), offsets: object = (0, 4)) -> dict[str, object]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


def refuses(path: Path, message: str) -> None:
    with pytest.raises(InputError, match=f"^{re.escape(f'{path}{message}')}$"):
        SafetensorsFile(path)


def refuses_content(folder: Path, content: bytes, why: str) -> None:
    path = folder / "f.safetensors"
    path.write_bytes(content)
    whole = f"{path}: its {len(content)} bytes are not a whole safetensors file ({why}"
    with pytest.raises(InputError, match=rf"^{re.escape(whole)}.*; fetch it again$"):
        SafetensorsFile(path)


def test_a_file_of_the_library_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_file(TENSORS, path, metadata={"format": "np"})
    with SafetensorsFile(path) as file:
        assert file.metadata == {"format": "np"}
        assert file.tensors.keys() == TENSORS.keys()
        for name, values in TENSORS.items():
            found = file.read(name)
            assert (found.dtype, found.shape) == (values.dtype, values.shape), name
            assert np.array_equal(found, values), name
        assert np.array_equal(file.read("codes", 2, 5), TENSORS["codes"][2:5])
        assert np.array_equal(file.rows("half", 1, 2), TENSORS["half"][1:2].astype(np.float32))
        assert file.rows("wide")[0, 0] == np.inf
        assert file.rows("wide")[0, 1] == np.float32(0.1)


def test_every_half_is_widened_as_numpy_widens_it_and_every_bfloat16_by_its_bits() -> None:
    bits = np.arange(1 << 16, dtype=np.uint16)
    halves = to_float32(bits.view(np.float16), "F16")
    assert np.array_equal(halves, bits.view(np.float16).astype(np.float32), equal_nan=True)
    wide = to_float32(bits, "BF16")
    assert np.array_equal(wide.view(np.uint32), bits.astype(np.uint32) << 16)
    # 1 sign, 8 bits of exponent, 7 of mantissa: the largest finite one and the smallest above 1.
    assert wide[0x7F7F] == (2 - 2**-7) * 2.0**127
    assert wide[0x3F81] == 1 + 2**-7
    with pytest.raises(InputError, match=r"^the type is U8; one of F16, BF16, F32, F64 is needed$"):
        to_float32(bits.astype(np.uint8), "U8")


def test_rows_and_tensors_that_are_not_there_are_named(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_file(TENSORS, path)
    start = re.escape(str(path))
    with SafetensorsFile(path) as file:
        refuses_reading(file, start)


def refuses_reading(file: SafetensorsFile, start: str) -> None:
    with pytest.raises(InputError, match=rf"^{start}: there is no tensor x$"):
        file.read("x")
    with pytest.raises(InputError, match=rf"^{start}: rows 2 to 7 of codes are not within its 6$"):
        file.read("codes", 2, 7)
    with pytest.raises(InputError, match=rf"^{start}: codes: the type is U8; one of F16, "):
        file.rows("codes")


def test_a_file_cut_short_after_it_was_opened_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_file(TENSORS, path)
    with SafetensorsFile(path) as file:
        os.truncate(path, path.stat().st_size - 1)
        last = max(file.tensors, key=lambda name: file.tensors[name].offset)
        with pytest.raises(InputError, match=r"are not a whole safetensors file \(it ends at byte \d+\)"):
            file.read(last)


PICKLES = "pickles can run code and are never opened: convert it to safetensors where it is trusted"


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"PK\x03\x04rest of a zip", f"a zip archive, as PyTorch saves pickles; {PICKLES}"),
        (b"\x80\x02}q\x00.", f"a Python pickle; {PICKLES}"),
        (b"GGUF\x03\x00\x00\x00" + bytes(40), "a GGUF file; give it as such"),
        (
            b"version https://git-lfs.github.com/spec/v1\n",
            "a pointer of Git LFS in place of the file; fetch the file itself (git lfs pull)",
        ),
    ],
)
def test_files_of_other_kinds_are_told_by_their_first_bytes(
    content: bytes, what: str, tmp_path: Path
) -> None:
    path = tmp_path / "pytorch_model.bin"
    path.write_bytes(content)
    refuses(path, f" is {what}")


def test_a_header_whose_length_begins_like_a_pickle_is_read(tmp_path: Path) -> None:
    header = json.dumps({"a": entry()}).encode()
    path = tmp_path / "f.safetensors"
    path.write_bytes(build(header + b" " * (0x80 - len(header)), bytes(4)))
    assert path.read_bytes()[0] == 0x80
    with SafetensorsFile(path) as file:
        assert file.tensors["a"].shape == (4,)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "it is too short for a header"),
        (bytes(8), "it is too short for a header"),
        (build({}, length=9), "it says that its header has 9 bytes, and ends before"),
        (
            build({}, length=2**64 - 1),
            f"it says that its header has {2**64 - 1} bytes; {HEADER_LIMIT} are the limit",
        ),
        (build(b'{"a": 1,}'), "of its header: it is not JSON: "),
        (build(b'{"\xff": 1}'), "of its header: it is not JSON: "),
        (build(b'{"a": 1' + b"0" * 5000 + b"}"), "of its header: it is not JSON: "),
        (build(b'{"a": 1, "b": 2, "a": 1}'), "of its header: it is not JSON: the key a is there twice)"),
        (build(b"[]"), "its header is not a JSON object)"),
        (build(b" {}"), "its header is not a JSON object)"),
        (build(b'{"a": ' + b"[" * 100_000), "of its header: it is nested too deeply)"),
        (build({"__metadata__": {"a": 1}}), "the header's __metadata__ is not an object of texts)"),
        (build({"a": 3}), "a: dtype, shape and data_offsets are needed, and nothing else)"),
        (
            build({"a\n\ud800": 3}),
            r"'a\n\ud800': dtype, shape and data_offsets are needed, and nothing else)",
        ),
        (build({"a": entry(offsets=[2, 6])}, bytes(6)), "a leaves a hole before it, at byte 2 of the data)"),
        (
            build({"a": entry(), "b": entry(offsets=[3, 7])}, bytes(7)),
            "b overlaps the tensor before it, at byte 3 of the data)",
        ),
        (
            build({"a": entry(), "b": entry()}, bytes(4)),
            "b overlaps the tensor before it, at byte 0 of the data)",
        ),
        (build({"a": entry()}, bytes(3)), "its tensors end at byte 72)"),
        (build({"a": entry()}, bytes(5)), "its tensors end at byte 72)"),
    ],
    ids=itertools.count(),
)
def test_a_damaged_or_hostile_header_is_refused_in_one_line(content: bytes, why: str, tmp_path: Path) -> None:
    refuses_content(tmp_path, content, why)


@pytest.mark.parametrize(
    ("damaged", "why"),
    [
        (entry("U9"), "the type is 'U9'; one of BOOL, U8, "),
        (entry(["U8"]), "the type is ['U8']; one of BOOL, U8, "),
        (entry(shape=[4.0]), "the shape is [4.0]; a list of whole numbers is needed)"),
        (entry(shape=[True, 4]), "the shape is [True, 4]; a list of whole numbers is needed)"),
        (entry(shape=[-2, -2]), "the shape is [-2, -2]; a list of whole numbers is needed)"),
        (entry(shape=[1] * 33), f"the shape is {[1] * 33}; a list of whole numbers is needed)"),
        (entry(shape=[0, 2**63], offsets=[0, 0]), f"the shape is (0, {2**63}), larger than an array can be)"),
        (entry(offsets=[0]), "data_offsets is [0]; two whole numbers are needed)"),
        (entry(offsets=[0, "4"]), "data_offsets is [0, '4']; two whole numbers are needed)"),
        (entry(offsets=[4, 0]), "it takes bytes 4 to 0; U8 of shape (4,) is 4 bytes)"),
        (entry("F32"), "it takes bytes 0 to 4; F32 of shape (4,) is 16 bytes)"),
    ],
    ids=itertools.count(),
)
def test_a_tensors_damaged_entry_is_refused_in_one_line(damaged: object, why: str, tmp_path: Path) -> None:
    refuses_content(tmp_path, build({"a": damaged}, bytes(4)), f"a: {why}")


def test_paths_that_are_no_files_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    message = f"cannot read {tmp_path / 'pipe'}: it is not a regular file; give a checkpoint's file"
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        SafetensorsFile(tmp_path / "pipe")
    for path, reason in ((tmp_path, "Is a directory"), (tmp_path / "no", "No such file or directory")):
        with pytest.raises(InputError, match=f"^{re.escape(f'cannot read {path}: {reason}')}$"):
            SafetensorsFile(path)
    with pytest.raises(InputError, match=r"^cannot read .*: embedded null byte$"):
        SafetensorsFile(Path("a\0b"))


@pytest.mark.parametrize("cases", FUZZ_CASES)
def test_a_mutated_file_is_read_as_the_library_reads_it_or_refused(cases: int, tmp_path: Path) -> None:
    content = save(TENSORS, metadata={"format": "np"})
    header = int.from_bytes(content[:8], "little")
    path = tmp_path / "f.safetensors"

    def read() -> dict[str, tuple[tuple[int, ...], bytes]]:
        with SafetensorsFile(path) as file:
            return {name: (place.shape, file.read(name).tobytes()) for name, place in file.tensors.items()}

    def check(content: bytes) -> None:
        path.write_bytes(content)
        found = read_or_refuse(read)
        if found is not None:
            views = deserialize(content)  # type: ignore[no-untyped-call]
            wanted = {name: (tuple(view["shape"]), bytes(view["data"])) for name, view in views}
            assert found == wanted

    fuzz(cases, mutated(content, [(0, 8), (8, 8 + header), (8 + header, len(content))]), check)
    # Neither refuses everything: an untouched file is read.
    check(content)
    assert read_or_refuse(read) is not None
    with pytest.raises(SafetensorError):
        deserialize(content[:-1])  # type: ignore[no-untyped-call]
