"""One view of a checkpoint whatever its format: read matrix by matrix, so that memory stays near the largest."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from math import prod
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from tritforge.accel.errors import InputError
from tritforge.models.checkpoint import Checkpoint, matrix_shapes, tensor_shapes
from tritforge.models.config import DecoderConfig
from tritforge.models.lazy import LazyMapping
from tritforge.models.ternary import TernaryMatrix

#: Kind of a scale (`tritforge.models.ternary.SCALE_KINDS`), and the shape of its grid; None where it is one number.
ScaleForm = tuple[str, tuple[int, ...] | None]
#: Float32 numbers that `CheckpointReader.chunks` yields at a time: 64 MiB.
CHUNK = 1 << 24


def form_of(matrix: TernaryMatrix) -> ScaleForm:
    """Return what a matrix's scale is."""
    return matrix.scale_kind, None if isinstance(matrix.scale, np.float32) else matrix.scale.shape


def row_ranges(shape: tuple[int, ...], numbers: int = CHUNK) -> Iterator[tuple[int, int]]:
    """Yield first row and end of parts of a tensor, of about so many numbers each."""
    step = max(1, numbers // max(1, prod(shape[1:])))
    for start in range(0, shape[0], step):
        yield start, min(start + step, shape[0])


def counting(total: int, on_progress: Callable[[int, int], None] | None) -> Callable[[int], None]:
    """Return what is called with the numbers just done; it reports their sum and the total, if anyone asks."""
    done = 0

    def advance(numbers: int) -> None:
        nonlocal done
        done += numbers
        if on_progress is not None:
            on_progress(done, total)

    return advance


class CheckpointReader(ABC):
    """An open checkpoint. Names are those of `tritforge.models.checkpoint`, whatever the file calls its tensors.

    A format implements `_matrix` and `_rows`; a tensor's name and bounds are checked before, type and shape after. A
    reader checks when it is opened that every tensor is there, with the type and shape that it must have.

    Attributes
    ----------
    path
        As it was given.
    config
        Shapes and architecture.
    format
        What the file is, in words.
    notes
        What a user should know of this checkpoint, a sentence each.
    """

    path: Path
    config: DecoderConfig
    format: str
    notes: tuple[str, ...] = ()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:  # noqa: B027  (not every format has something to close)
        """Give the files back; nothing can be read afterwards."""

    def __del__(self) -> None:
        # A lazy checkpoint may be the last to hold its reader, and nobody closes a checkpoint. Nothing global is
        # named here: at the end of a program it may be gone.
        try:
            self.close()
        except AttributeError:
            return  # it was never opened

    @property
    def matrices(self) -> dict[str, tuple[int, int]]:
        """Names of the ternary matrices, with outputs M and inputs K, in the order they are used in."""
        return matrix_shapes(self.config)

    @property
    def tensors(self) -> dict[str, tuple[int, ...]]:
        """Names and shapes of the float32 tensors."""
        return tensor_shapes(self.config)

    @property
    def weights(self) -> int:
        """How many numbers its ternary matrices have."""
        return sum(m * k for m, k in self.matrices.values())

    @property
    def float_numbers(self) -> int:
        """How many numbers its float32 tensors have."""
        return sum(map(prod, self.tensors.values()))

    def matrix(self, name: str) -> TernaryMatrix:
        """Read a ternary matrix.

        Raises
        ------
        InputError
            There is no such matrix, or its content is damaged; the message names file and tensor.
        """
        shape = self.matrices.get(name)
        if shape is None:
            raise InputError(
                f"{self.path}: there is no matrix {name}; the first is {next(iter(self.matrices))}"
            )
        try:
            matrix = self._matrix(name)
        except InputError as error:
            raise InputError(f"{self.path}: {name}: {error}") from error
        if (matrix.m, matrix.k) != shape:
            raise InputError(
                f"{self.path}: {name} has shape {(matrix.m, matrix.k)}; the configuration says {shape}"
            )
        return matrix

    def scale_form(self, name: str) -> ScaleForm:
        """Return what a matrix's scale is. The matrix is read for it, unless its format says so by itself."""
        return form_of(self.matrix(name))

    def rows(self, name: str, start: int, stop: int) -> npt.NDArray[np.float32]:
        """Read rows of a float tensor (of its first axis), start to stop, as float32.

        Raises
        ------
        InputError
            There is no such tensor, no such rows, or a value that is not finite.
        """
        shape = self.tensors.get(name)
        if shape is None:
            raise InputError(
                f"{self.path}: there is no tensor {name}; the first is {next(iter(self.tensors))}"
            )
        if not 0 <= start < stop <= shape[0]:
            raise InputError(f"{self.path}: rows {start} to {stop} of {name} are not within its {shape[0]}")
        try:
            values = self._rows(name, start, stop)
        except InputError as error:
            raise InputError(f"{self.path}: {name}: {error}") from error
        wanted = (stop - start, *shape[1:])
        if values.dtype != np.float32 or values.shape != wanted:
            raise InputError(
                f"{self.path}: {name} is {values.dtype} of shape {values.shape}; float32 of shape {wanted} is needed"
            )
        finite = np.isfinite(values)
        if not finite.all():
            raise InputError(f"{self.path}: {name} holds {values[~finite][0]}; finite values are needed")
        return values

    def tensor(self, name: str) -> npt.NDArray[np.float32]:
        """Read a whole float tensor; see `rows`."""
        return self.rows(name, 0, self.tensors.get(name, (1,))[0])

    def chunks(self, name: str, *, numbers: int = CHUNK) -> Iterator[npt.NDArray[np.float32]]:
        """Yield a float tensor some rows at a time, about so many numbers each."""
        for start, stop in row_ranges(self.tensors.get(name, (1,)), numbers):
            yield self.rows(name, start, stop)

    def checkpoint(self) -> Checkpoint:
        """Return the model to run: each matrix and tensor is read when it is first used, and kept.

        The reader must stay open as long as something may be read.
        """
        return Checkpoint(
            config=self.config,
            matrices=LazyMapping(self.matrices, self.matrix),
            tensors=LazyMapping(self.tensors, self.tensor),
        )

    @abstractmethod
    def _matrix(self, name: str) -> TernaryMatrix:
        """Read a matrix that exists."""

    @abstractmethod
    def _rows(self, name: str, start: int, stop: int) -> npt.NDArray[np.float32]:
        """Read rows that exist of a tensor that exists."""


class MemoryReader(CheckpointReader):
    """A checkpoint that is in memory, such as one that a program has just made.

    Parameters
    ----------
    checkpoint
        What is read.
    path
        What messages call it.
    """

    def __init__(self, checkpoint: Checkpoint, *, path: str | Path = "memory") -> None:
        self.path = Path(path)
        self.config = checkpoint.config
        self.format = "in memory"
        self._checkpoint = checkpoint

    def _matrix(self, name: str) -> TernaryMatrix:
        return self._checkpoint.matrices[name]

    def _rows(self, name: str, start: int, stop: int) -> npt.NDArray[np.float32]:
        return self._checkpoint.tensors[name][start:stop]


def summary(reader: CheckpointReader) -> dict[str, Any]:
    """Return what identifies a checkpoint, fit for JSON: path, format, configuration and notes."""
    return {
        "path": str(reader.path),
        "format": reader.format,
        "config": reader.config.to_dict(),
        "notes": list(reader.notes),
    }
