"""Writing safetensors files: the library's bytes, and what it reads of them."""

import io
import re
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from safetensors import deserialize
from safetensors.numpy import save

from tritforge.accel.errors import InputError
from tritforge.models.safetensors_file import to_float32
from tritforge.models.safetensors_writer import SafetensorsWriter, TensorType, from_float32

NAMES: dict[np.dtype[Any], str] = {
    np.dtype(np.uint8): "U8",
    np.dtype(np.float16): "F16",
    np.dtype(np.float32): "F32",
}


def layout(tensors: dict[str, npt.NDArray[Any]]) -> dict[str, TensorType]:
    return {n: TensorType(dtype=NAMES[values.dtype], shape=values.shape) for n, values in tensors.items()}


@given(
    tensors=st.dictionaries(
        st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
        st.sampled_from(list(NAMES)).flatmap(
            lambda kind: arrays.arrays(
                kind, arrays.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=4)
            )
        ),
        max_size=5,
    ),
    metadata=st.dictionaries(
        st.text(st.characters(exclude_categories=["Cs"])), st.text(max_size=8), max_size=1
    ),
    data=st.data(),
)
def test_the_bytes_are_the_librarys_in_whatever_order_and_pieces_tensors_are_written(
    tensors: dict[str, npt.NDArray[Any]], metadata: dict[str, str], data: st.DataObject
) -> None:
    tensors.pop("__metadata__", None)
    file = io.BytesIO()
    writer = SafetensorsWriter(file, layout(tensors), metadata)
    for name in data.draw(st.permutations(list(tensors))):
        cut = data.draw(st.integers(0, tensors[name].shape[0]))
        writer.write(name, tensors[name][:cut])
        writer.write(name, tensors[name][cut:])
    writer.finish()
    assert file.getvalue() == save(tensors, metadata=metadata or None)


def test_the_library_reads_back_bfloat16_bits() -> None:
    file = io.BytesIO()
    values = np.array([[1.0, -2.5], [0.0, 2.0**-130]], dtype=np.float32)
    writer = SafetensorsWriter(file, {"a": TensorType(dtype="BF16", shape=(2, 2))})
    writer.write("a", from_float32(values, "BF16"))
    writer.finish()
    [(name, view)] = deserialize(file.getvalue())  # type: ignore[no-untyped-call]
    assert (name, view["dtype"], view["shape"]) == ("a", "BF16", [2, 2])
    assert np.array_equal(np.frombuffer(view["data"], np.uint16), values.view(np.uint32).reshape(-1) >> 16)


def test_metadata_known_at_the_end_take_the_place_of_others() -> None:
    file = io.BytesIO()
    writer = SafetensorsWriter(file, {"a": TensorType(dtype="U8", shape=(3,))}, {"hash": "0" * 64})
    writer.write("a", np.arange(3, dtype=np.uint8))
    writer.finish({"hash": "f" * 64})
    assert file.getvalue() == save({"a": np.arange(3, dtype=np.uint8)}, metadata={"hash": "f" * 64})
    with pytest.raises(ValueError, match=r"^the header has 152 bytes; 160 would replace it$"):
        writer.finish({"hash": "f" * 70})


def test_what_does_not_fit_the_header_is_refused() -> None:
    writer = SafetensorsWriter(io.BytesIO(), {"a": TensorType(dtype="F32", shape=(3,))})
    with pytest.raises(ValueError, match=r"^a is float64; float32 is what F32 is kept in$"):
        writer.write("a", np.zeros(3))
    writer.write("a", np.zeros(2, dtype=np.float32))
    with pytest.raises(ValueError, match=r"^a has 12 bytes; 8 were written$"):
        writer.finish()
    with pytest.raises(ValueError, match=r"^a has 12 bytes; more were written$"):
        writer.write("a", np.zeros(2, dtype=np.float32))


@pytest.mark.parametrize("dtype", ["F16", "BF16", "F32"])
@given(bits=st.integers(0, 65535))
def test_narrowing_is_exact_or_refused(dtype: str, bits: int) -> None:
    exact = to_float32(np.array([bits], dtype=np.uint16).view("<f2" if dtype == "F16" else "<u2"),
                       "F16" if dtype == "F16" else "BF16")  # fmt: skip
    if np.isfinite(exact).all():
        assert to_float32(from_float32(exact, dtype), dtype) == exact


@pytest.mark.parametrize(("dtype", "value"), [("F16", 1e6), ("F16", 1 + 2**-11), ("BF16", 1 + 2**-8)])
def test_a_number_that_a_type_cannot_hold_is_named(dtype: str, value: float) -> None:
    values = np.array([0, value], dtype=np.float32)
    message = f"{dtype} cannot hold {values[1]!r} exactly; choose F32"
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        from_float32(values, dtype)
