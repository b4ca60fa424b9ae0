"""What every reader promises, whatever its format: names, bounds, types and shapes are checked here."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from small_models import ARCHITECTURES, random_model

from tritforge.accel.errors import InputError
from tritforge.models.lazy import LazyMapping
from tritforge.models.reader import CheckpointReader, MemoryReader, summary
from tritforge.models.ternary import TernaryMatrix

MODEL = random_model(ARCHITECTURES["untied bitnet"], grid=(1, 2))
UP = "model.layers.0.mlp.up_proj"
TABLE = "model.embed_tokens.weight"


def refused(message: str) -> Any:
    """Expect an error of exactly this text."""
    return pytest.raises(InputError, match=f"^{re.escape(message)}$")


class Odd(CheckpointReader):
    """A reader that returns what it is told to."""

    def __init__(self, answer: Any) -> None:
        self.path = Path("odd")
        self.config = MODEL.config
        self.format = "odd"
        self.notes = ("It is odd.",)
        self._answer = answer

    def _matrix(self, name: str) -> TernaryMatrix:
        if isinstance(self._answer, InputError):
            raise self._answer
        assert isinstance(self._answer, TernaryMatrix)
        return self._answer

    def _rows(self, name: str, start: int, stop: int) -> npt.NDArray[np.float32]:
        if isinstance(self._answer, InputError):
            raise self._answer
        assert isinstance(self._answer, np.ndarray)
        return self._answer


def test_a_model_in_memory_is_read_as_it_is() -> None:
    with MemoryReader(MODEL, path="here") as reader:
        assert summary(reader) == {
            "path": "here",
            "format": "in memory",
            "config": MODEL.config.to_dict(),
            "notes": [],
        }
        assert reader.matrix(UP) is MODEL.matrices[UP]
        assert reader.scale_form(UP) == ("divisor", (1, 2))
        assert np.array_equal(reader.tensor(TABLE), MODEL.tensors[TABLE])
        assert np.array_equal(reader.rows(TABLE, 3, 8), MODEL.tensors[TABLE][3:8])


@pytest.mark.parametrize("numbers", [1, 255, 256, 257, 3000, 1 << 20])
def test_chunks_are_the_tensor_in_order(numbers: int) -> None:
    chunks = list(MemoryReader(MODEL).chunks(TABLE, numbers=numbers))
    assert np.array_equal(np.concatenate(chunks), MODEL.tensors[TABLE])
    assert all(chunk.size <= max(numbers, 256) for chunk in chunks)
    assert len({len(chunk) for chunk in chunks[:-1]}) <= 1


def test_a_lazy_checkpoint_reads_each_matrix_once() -> None:
    read: list[str] = []

    class Counting(MemoryReader):
        def _matrix(self, name: str) -> TernaryMatrix:
            read.append(name)
            return super()._matrix(name)

    model = Counting(MODEL).checkpoint()
    assert isinstance(model.matrices, LazyMapping)
    assert not read
    for _ in range(2):
        assert np.array_equal(model.matrices[UP].codes, MODEL.matrices[UP].codes)
    assert read == [UP]
    assert list(model.tensors) == list(MODEL.tensors)


def test_names_and_rows_that_do_not_exist_are_refused() -> None:
    reader = MemoryReader(MODEL)
    with refused("memory: there is no matrix x; the first is model.layers.0.self_attn.q_proj"):
        reader.matrix("x")
    for read in (reader.tensor, lambda name: next(reader.chunks(name))):
        with refused(f"memory: there is no tensor x; the first is {TABLE}"):
            read("x")
    for start, stop in ((-1, 1), (3, 3), (39, 41)):
        with refused(f"memory: rows {start} to {stop} of {TABLE} are not within its 40"):
            reader.rows(TABLE, start, stop)


def test_what_a_format_returns_is_checked() -> None:
    small = TernaryMatrix(codes=np.zeros((2, 3), dtype=np.int8), scale=np.float32(1))
    with refused(f"odd: {UP} has shape (2, 3); the configuration says (512, 256)"):
        Odd(small).matrix(UP)
    with refused(f"odd: {TABLE} is float64 of shape (1, 256); float32 of shape (1, 256) is needed"):
        Odd(np.zeros((1, 256))).rows(TABLE, 0, 1)
    with refused(f"odd: {TABLE} is float32 of shape (2, 256); float32 of shape (1, 256) is needed"):
        Odd(np.zeros((2, 256), dtype=np.float32)).rows(TABLE, 0, 1)
    with refused(f"odd: {TABLE} holds inf; finite values are needed"):
        Odd(np.full((1, 256), np.inf, dtype=np.float32)).rows(TABLE, 0, 1)


def test_damage_is_named_with_file_and_tensor() -> None:
    reader = Odd(InputError("a code is 3"))
    with refused(f"odd: {UP}: a code is 3"):
        reader.matrix(UP)
    with refused(f"odd: {TABLE}: a code is 3"):
        reader.rows(TABLE, 0, 1)
    assert summary(reader)["notes"] == ["It is odd."]
