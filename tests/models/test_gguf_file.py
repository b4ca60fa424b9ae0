"""GGUF files: what the gguf package writes is read, and whatever is wrong is refused in one line."""

import re
import struct
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import numpy.typing as npt
import pytest
from gguf_files import Tensor, gguf_bytes, text

from tritforge.accel.errors import InputError
from tritforge.models.gguf_file import TYPES, GgufArray, GgufFile

ARCH = {"general.architecture": "llama"}
ONE = Tensor(name="x", type=0, shape=(2, 4), data=np.arange(8, dtype="<f4").tobytes())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model.gguf"


def refused(path: Path, content: bytes, message: str) -> None:
    """Check that a file is refused with a message, whole from begin to end."""
    path.write_bytes(content)
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        GgufFile(path)


def broken(path: Path, content: bytes, why: str) -> None:
    refused(
        path, content, f"{path}: its {len(content)} bytes are not a whole GGUF file ({why}); fetch it again"
    )


def test_sizes_of_types_are_those_of_the_gguf_package() -> None:
    for number, (name, block, size) in TYPES.items():
        if name == "I2_S":
            assert number == 36
            continue
        kind = gguf.GGMLQuantizationType(number)
        assert (kind.name, gguf.GGML_QUANT_SIZES[kind]) == (name, (block, size))


def test_what_the_gguf_package_writes_is_read_as_it_reads_it(path: Path) -> None:
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_uint32("a.u32", 7)
    writer.add_int8("a.i8", -3)
    writer.add_uint64("a.u64", 2**63)
    writer.add_float32("a.f32", 1e-5)
    writer.add_float64("a.f64", 0.1)
    writer.add_bool("a.bool", True)
    writer.add_string("a.string", "Größe")
    writer.add_array("a.numbers", [1, 2, 3])
    writer.add_array("a.strings", ["one", "two"])
    tensors: dict[str, npt.NDArray[Any]] = {
        "x": np.arange(24, dtype=np.float32).reshape(2, 3, 4),
        "y": np.ones(5, dtype=np.float16),
    }
    for name, tensor in tensors.items():
        writer.add_tensor(name, tensor)
    writer.add_custom_alignment(64)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    golden = gguf.GGUFReader(path)
    with GgufFile(path) as file:
        assert file.version == 3
        assert file.values["a.f32"] == 1e-5  # the shortest number that float32 takes for what it holds
        assert file.values["a.numbers"] == GgufArray(length=3)
        assert file.values["a.strings"] == GgufArray(length=2)
        for key in ("u32", "i8", "u64", "f64", "bool", "string"):
            assert file.values[f"a.{key}"] == golden.fields[f"a.{key}"].contents()
        for tensor in golden.tensors:
            place = file.tensors[tensor.name]
            assert (place.kind, place.offset, place.nbytes) == (
                tensor.tensor_type.name,
                tensor.data_offset,
                tensor.n_bytes,
            )
            assert place.shape == tensors[tensor.name].shape
            assert file.read(tensor.name).tobytes() == tensors[tensor.name].tobytes()
        assert file.read("x", 1, 2).tobytes() == tensors["x"][1].tobytes()


def test_what_the_tests_write_is_what_the_gguf_package_reads(path: Path) -> None:
    path.write_bytes(gguf_bytes(ARCH | {"n": 3, "e": 0.5, "t": True, "l": ["a", "bc"]}, [ONE]))
    fields = gguf.GGUFReader(path).fields
    assert [fields[key].contents() for key in "netl"] == [3, 0.5, True, ["a", "bc"]]
    with GgufFile(path) as file:
        assert file.values == ARCH | {"n": 3, "e": 0.5, "t": True, "l": GgufArray(length=2)}


def test_a_file_that_is_not_there_or_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^cannot read .*none: No such file or directory$"):
        GgufFile(tmp_path / "none")
    with pytest.raises(InputError, match=r"^cannot read .*: Is a directory$"):
        GgufFile(tmp_path)
    with pytest.raises(
        InputError, match=r"^cannot read /dev/null: it is not a regular file; give a checkpoint's file$"
    ):
        GgufFile(Path("/dev/null"))


def test_other_files_and_versions_are_refused(path: Path) -> None:
    refused(path, b"", f"{path} is not a GGUF file: it begins with b'', not b'GGUF'")
    refused(
        path, b"\x80\x04pickle", f"{path} is not a GGUF file: it begins with b'\\x80\\x04pi', not b'GGUF'"
    )
    hint = "little-endian files of version 2 or 3 are read: convert the model again"
    refused(path, gguf_bytes(ARCH, version=1), f"{path} is of GGUF version 1; {hint}")
    big = b"GGUF" + struct.pack(">IQQ", 3, 0, 0)
    refused(path, big, f"{path} is of GGUF version 50331648 (big-endian); {hint}")


def test_a_file_cut_short_anywhere_is_refused(path: Path) -> None:
    content = gguf_bytes(ARCH | {"n": 3, "l": ["a", "b"]}, [ONE])
    for length in range(4, len(content)):
        path.write_bytes(content[:length])
        with pytest.raises(InputError, match=r"are not a whole GGUF file \(.*\); fetch it again$"):
            GgufFile(path)
    path.write_bytes(content)
    with GgufFile(path) as file:
        assert list(file.tensors) == ["x"]


def test_a_file_cut_short_after_it_was_opened_is_refused(path: Path) -> None:
    content = gguf_bytes(ARCH, [Tensor(name="x", type=0, shape=(1 << 18,), data=bytes(1 << 20))])
    path.write_bytes(content)
    with GgufFile(path) as file:
        path.write_bytes(content[:-4])
        with pytest.raises(InputError, match=r"\(it ends within x\); fetch it again$"):
            file.read("x")


def test_lengths_beyond_the_file_are_refused_before_they_are_used(path: Path) -> None:
    huge = 2**60
    broken(path, gguf_bytes(ARCH, counts=(huge, 1)), f"it says that it has {huge} tensors")
    broken(path, gguf_bytes(ARCH, counts=(0, huge)), f"it says that it has {huge} entries")
    broken(
        path, gguf_bytes({"s": struct.pack("<IQ", 8, huge)}), f"the value of s takes {huge} bytes at byte 45"
    )
    broken(path, gguf_bytes({"s": struct.pack("<IQ", 8, 1000)}), "the value of s takes 1000 bytes at byte 45")
    array = struct.pack("<IIQ", 9, 10, huge)
    broken(path, gguf_bytes({"a": array}), f"the value of a takes {8 * huge} bytes at byte 49")
    strings = struct.pack("<IIQ", 9, 8, huge)
    broken(path, gguf_bytes({"a": strings}), f"the value of a says that it has {huge} elements")
    inner = struct.pack("<IIQQ", 9, 8, 1, 2**64 - 1)
    broken(path, gguf_bytes({"a": inner}), f"the value of a takes {2**64 - 1} bytes at byte 57")


def test_a_head_longer_than_any_is_refused_before_it_is_read(path: Path) -> None:
    content = gguf_bytes({"s": struct.pack("<IQ", 8, 1 << 27)})
    path.write_bytes(content)
    with path.open("r+b") as file:
        file.truncate(1 << 30)  # a hole, which takes no room on the disk
    why = "the value of s takes 134217728 bytes at byte 45; 67108864 are the limit of a head"
    with pytest.raises(InputError, match=re.escape(f"({why})")):
        GgufFile(path)


def test_values_of_unknown_types_are_refused(path: Path) -> None:
    broken(path, gguf_bytes({"v": struct.pack("<IQ", 13, 0)}), "the value of v has the unknown type 13")
    nested = struct.pack("<IIQ", 9, 9, 1) + bytes(16)
    broken(path, gguf_bytes({"v": nested}), "the value of v is an array of the unknown type 9")
    broken(path, gguf_bytes({"v": struct.pack("<IBQ", 7, 2, 0)}), "the value of v is the truth value 2")
    bad = struct.pack("<I", 8) + text(b"\xff\xfe")
    broken(path, gguf_bytes({"v": bad}), "the value of v is not UTF-8")


def test_a_key_or_tensor_that_is_there_twice_is_refused(path: Path) -> None:
    broken(path, gguf_bytes({"k": 1, "l": 2}).replace(text("l"), text("k")), "the key k is there twice")
    broken(path, gguf_bytes(ARCH, [ONE, ONE]), "the tensor x is there twice")


@pytest.mark.parametrize("alignment", [0, 24, 2**31])
def test_an_alignment_that_is_none_is_refused(path: Path, alignment: int) -> None:
    content = gguf_bytes(ARCH | {"general.alignment": alignment}, [ONE])
    broken(path, content, f"the alignment is {alignment}; a power of two is needed")


def test_tensors_of_impossible_shape_or_place_are_refused(path: Path) -> None:
    def content(**changes: object) -> bytes:
        fields = {"name": "x", "type": 0, "shape": (2, 4), "data": ONE.data} | changes
        return gguf_bytes(ARCH, [Tensor(**fields)])  # type: ignore[arg-type]

    broken(path, content(shape=()), "x has 0 axes; 1 to 4 are possible")
    broken(path, content(shape=(1,) * 5), "x has 5 axes; 1 to 4 are possible")
    broken(path, content(shape=(2, 0)), "x has the shape (2, 0), which is empty")
    broken(path, content(type=34), "x has the shape (2, 4); TQ1_0 has blocks of 256")
    broken(path, content(offset=16), "x lies at 16, which is not a multiple of 32")
    broken(path, content(offset=64), "x ends at byte 224")
    broken(path, content(offset=2**63), f"x ends at byte {128 + 2**63 + 32}")
    broken(path, content(shape=(2**40, 2**40)), f"x ends at byte {128 + 2**82}")
    path.write_bytes(content(type=38))
    with pytest.raises(
        InputError, match=r"model.gguf: x is of type 38; known are F32, F16, .*, TQ2_0, I2_S$"
    ):
        GgufFile(path)
    second = Tensor(name="y", type=0, shape=(2, 4), data=b"", offset=0)
    broken(path, gguf_bytes(ARCH, [ONE, second]), "y overlaps the tensor before it, at byte 0 of the data")


def test_i2s_is_two_bits_a_weight_and_a_tail(path: Path) -> None:
    path.write_bytes(gguf_bytes(ARCH, [Tensor(name="w", type=36, shape=(4, 128), data=bytes(128 + 32))]))
    with GgufFile(path) as file:
        assert file.tensors["w"].nbytes == 160


def test_what_is_said_of_a_file_is_one_line_whatever_it_calls_its_tensors(path: Path) -> None:
    path.write_bytes(gguf_bytes(ARCH, [Tensor(name="x\n\x1b[31m" * 99, type=99, shape=(1,), data=b"")]))
    with pytest.raises(InputError) as caught:
        GgufFile(path)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 600
