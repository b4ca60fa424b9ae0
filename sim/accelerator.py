"""The accelerator as a function: ``accelerator.matmul(weights, activations)``, on interchangeable back ends.

`golden` computes with NumPy and knows no cycles, `cycle` adds those of the cycle model, and `rtl` runs the generated
Verilog in a simulator. All take the same operands within the same bounds, give the same words and refuse the same
input with the same message, so that a program which runs on one runs on all. `board` is hardware behind a link; it
takes matrices of any size, in pieces:

    with open_accelerator("rtl", load_config("default")) as accelerator:
        weights = accelerator.load(codes)
        words = accelerator.matmul(weights, activations).words
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self

import numpy as np
import numpy.typing as npt

from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.errors import InputError
from tritforge.models.checkpoint import Checkpoint
from tritforge.models.ternary import first_illegal
from tritforge.sim.cycles import total_cycles
from tritforge.sim.golden import ternary_matmul
from tritforge.sim.jobs import split_product

#: Folder of compiled simulators, from where the program is started.
SIMULATORS = Path("build/simulators")


@dataclass(frozen=True, kw_only=True, eq=False)
class LoadedMatrix:
    """Weights that an accelerator holds; of use for that accelerator alone.

    Attributes
    ----------
    m, k
        Shape.
    number
        What the accelerator knows it by.
    owner
        The accelerator.
    """

    m: int
    k: int
    number: int
    owner: "Accelerator" = field(repr=False)


@dataclass(frozen=True, kw_only=True, eq=False)
class Product:
    """What a product gave.

    Attributes
    ----------
    words : ndarray of int32, shape (T, M)
        The exact sums.
    cycles
        From the first job taken to the last result beat, both counted: simulated, or of the cycle model; None on a
        back end that knows none. A product that takes several passes, each behind the one before, is their sum.
    """

    words: npt.NDArray[np.int32]
    cycles: int | None


@dataclass(frozen=True, kw_only=True)
class Usage:
    """What an accelerator has done; the difference of two is what it did between.

    Attributes
    ----------
    products
        Calls of `Accelerator.matmul`.
    jobs
        Jobs that they took.
    operations
        Ternary operations: the sum of M x K x T.
    words
        Result words.
    cycles
        Their sum; None on a back end that knows none.
    """

    products: int = 0
    jobs: int = 0
    operations: int = 0
    words: int = 0
    cycles: int | None = 0

    def __sub__(self, before: "Usage") -> "Usage":
        """Return what was done since."""
        return Usage(
            products=self.products - before.products,
            jobs=self.jobs - before.jobs,
            operations=self.operations - before.operations,
            words=self.words - before.words,
            cycles=None if self.cycles is None or before.cycles is None else self.cycles - before.cycles,
        )


class Accelerator(ABC):
    """Computes exact ternary products; a context manager, at whose end it is closed.

    Not to be shared between threads; several side by side do not touch each other.

    Parameters
    ----------
    config
        The accelerator: its bounds hold on every back end.

    Attributes
    ----------
    config
        As given.
    usage
        What was done so far.
    """

    #: The name that `open_accelerator` knows it by.
    name: ClassVar[str]
    #: Whether its products have cycles.
    counts_cycles: ClassVar[bool] = True
    #: Whether these are the cycle model's, to the cycle.
    predicted_cycles: ClassVar[bool] = True

    def __init__(self, config: AcceleratorConfig) -> None:
        self.config = config
        self.usage = Usage(cycles=0 if self.counts_cycles else None)
        self._closed = False
        self._numbers = count()
        self._held: set[int] = set()
        self._jobs: dict[tuple[int, int, int], int] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def load(self, codes: npt.NDArray[np.int8]) -> LoadedMatrix:
        """Take a matrix, to be multiplied with any number of times.

        Parameters
        ----------
        codes : ndarray of int8, shape (M, K)
            -1, 0 or +1.

        Raises
        ------
        InputError
            Codes of another type or with another value, a shape out of the configuration's bounds, or a closed
            accelerator.
        SimulationError
            The simulator ended.
        """
        self._check_open()
        if codes.dtype != np.int8 or codes.ndim != 2:
            raise InputError(
                f"weight codes are {codes.dtype} of shape {codes.shape}; int8 of two axes is needed"
            )
        m, k = codes.shape
        self._count_jobs(m, k, 1)
        illegal = first_illegal(codes)
        if illegal is not None:
            row, column = illegal
            raise InputError(
                f"the weight code at row {row}, column {column} is {codes[row, column]}; -1, 0 or 1 is needed"
            )
        matrix = LoadedMatrix(m=m, k=k, number=next(self._numbers), owner=self)
        self._load(matrix, codes)
        self._held.add(matrix.number)
        return matrix

    def unload(self, weights: LoadedMatrix) -> None:
        """Give a matrix's memory back; it cannot be multiplied with any more.

        Raises
        ------
        InputError
            A matrix of another accelerator, one that was given back, or a closed accelerator.
        """
        self._check_open()
        self._check_held(weights)
        self._held.remove(weights.number)
        self._unload(weights)

    def matmul(
        self, weights: LoadedMatrix | npt.NDArray[np.int8], activations: npt.NDArray[np.int8]
    ) -> Product:
        """Multiply activations with a matrix: exact ``activations @ weights.T``.

        Parameters
        ----------
        weights
            Of `load`; or weight codes, int8 of shape (M, K), that are loaded for this product alone.
        activations : ndarray of int8, shape (T, K)
            Activation codes, -128 to 127. More tokens than the configuration's `tokens_max` take several jobs; so
            does, with `partial_sums`, a K over its `k_max`.

        Raises
        ------
        InputError
            Operands of another type, of shapes that do not fit each other or the configuration, a matrix of another
            accelerator or one that was given back, or a closed accelerator.
        SimulationError
            The simulator ended, or the hardware did not give all words or reported an error.
        """
        if not isinstance(weights, LoadedMatrix):
            loaded = self.load(weights)
            try:
                return self.matmul(loaded, activations)
            finally:
                if not self._closed:
                    self.unload(loaded)
        self._check_open()
        self._check_held(weights)
        jobs = self._check_activations(weights, activations)
        words, cycles = self._matmul(weights, activations)
        used = self.usage
        self.usage = Usage(
            products=used.products + 1,
            jobs=used.jobs + jobs,
            operations=used.operations + weights.m * weights.k * len(activations),
            words=used.words + words.size,
            cycles=None if used.cycles is None or cycles is None else used.cycles + cycles,
        )
        return Product(words=words, cycles=cycles)

    def close(self) -> None:
        """Give everything back; closing again does nothing."""
        if not self._closed:
            self._closed = True
            self._close()

    def _check_open(self) -> None:
        if self._closed:
            raise InputError(f"the {self.name} accelerator is closed; open another one")

    def _check_held(self, weights: LoadedMatrix) -> None:
        if weights.owner is not self:
            raise InputError("the matrix was loaded by another accelerator; load it into this one")
        if weights.number not in self._held:
            raise InputError("the matrix was given back; load it again")

    def _check_activations(self, weights: LoadedMatrix, activations: npt.NDArray[np.int8]) -> int:
        """Refuse activations that do not fit; return the number of jobs that they take."""
        if activations.dtype != np.int8 or activations.ndim != 2 or activations.shape[1] != weights.k:
            raise InputError(
                f"activation codes are {activations.dtype} of shape {activations.shape}; "
                f"int8 of shape (tokens, {weights.k}) is needed"
            )
        if not len(activations):
            raise InputError("there are no tokens to multiply with; one at least is needed")
        limit = 1 << (self.config.act_bits - 1)
        if limit < 128 and not -limit <= activations.min() <= activations.max() < limit:
            worst = activations.min() if activations.min() < -limit else activations.max()
            raise InputError(
                f"activation {worst} does not fit {self.config.act_bits} bits; {-limit} to {limit - 1} is needed"
            )
        shape = weights.m, weights.k, len(activations)
        if shape not in self._jobs:
            self._jobs[shape] = self._count_jobs(*shape)
        return self._jobs[shape]

    def _count_jobs(self, m: int, k: int, tokens: int) -> int:
        """Return the number of jobs of a product; refuse a shape that does not fit."""
        return sum(len(batch) for batch in split_product(self.config, m, k, tokens))

    @abstractmethod
    def _load(self, matrix: LoadedMatrix, codes: npt.NDArray[np.int8]) -> None:
        """Take the checked codes of a matrix."""

    @abstractmethod
    def _unload(self, matrix: LoadedMatrix) -> None:
        """Forget a matrix."""

    @abstractmethod
    def _matmul(
        self, matrix: LoadedMatrix, activations: npt.NDArray[np.int8]
    ) -> tuple[npt.NDArray[np.int32], int | None]:
        """Return words and cycles of a checked product."""

    def _close(self) -> None:  # noqa: B027
        """Give everything back."""


class GoldenAccelerator(Accelerator):
    """The golden model: NumPy, without cycles."""

    name = "golden"
    counts_cycles = False

    def __init__(self, config: AcceleratorConfig) -> None:
        super().__init__(config)
        self._matrices: dict[int, npt.NDArray[np.int8]] = {}

    def _load(self, matrix: LoadedMatrix, codes: npt.NDArray[np.int8]) -> None:
        # A copy: what the caller does with its array afterwards is no concern of a matrix that was loaded.
        self._matrices[matrix.number] = codes.copy()

    def _unload(self, matrix: LoadedMatrix) -> None:
        del self._matrices[matrix.number]

    def _matmul(
        self, matrix: LoadedMatrix, activations: npt.NDArray[np.int8]
    ) -> tuple[npt.NDArray[np.int32], int | None]:
        return ternary_matmul(activations, self._matrices[matrix.number]), None

    def _close(self) -> None:
        self._matrices.clear()


class CycleAccelerator(GoldenAccelerator):
    """The golden model's words and the cycle model's cycles, which are those of the RTL under ideal streams."""

    name = "cycle"
    counts_cycles = True

    def _matmul(
        self, matrix: LoadedMatrix, activations: npt.NDArray[np.int8]
    ) -> tuple[npt.NDArray[np.int32], int | None]:
        words, _ = super()._matmul(matrix, activations)
        return words, total_cycles(self.config, matrix.m, matrix.k, len(activations))


class AcceleratorProduct:
    """The ternary product of a decoder (`tritforge.sim.decoder.TernaryProduct`) on an accelerator.

    Parameters
    ----------
    accelerator
        What computes; each matrix is loaded when it is first used.
    checkpoint
        The model.
    """

    def __init__(self, accelerator: Accelerator, checkpoint: Checkpoint) -> None:
        self.accelerator = accelerator
        self._checkpoint = checkpoint
        self._loaded: dict[str, LoadedMatrix] = {}

    def __call__(self, name: str, codes_x: npt.NDArray[np.int8], /) -> npt.NDArray[np.int32]:
        if name not in self._loaded:
            self._loaded[name] = self.accelerator.load(self._checkpoint.matrices[name].codes)
        return self.accelerator.matmul(self._loaded[name], codes_x).words


@dataclass(frozen=True, kw_only=True)
class _Opening:
    """What `open_accelerator` was given; see there."""

    config: AcceleratorConfig | None
    cache: Path
    port: str | None
    baud: int | None
    on_phase: Callable[[str], None] | None

    @property
    def known_config(self) -> AcceleratorConfig:
        """The configuration, for back ends that have no other source of it."""
        if self.config is None:
            raise InputError("a configuration is needed; only the back end board tells its own")
        return self.config


def _open_rtl(opening: _Opening) -> Accelerator:
    # Here, since the simulator's packages are not needed by the other back ends.
    from tritforge.sim.rtl_accelerator import RtlAccelerator, compile_core

    return RtlAccelerator(compile_core(opening.known_config, opening.cache, on_phase=opening.on_phase))


def _open_board(opening: _Opening) -> Accelerator:
    from tritforge.sim.board_accelerator import open_board

    if opening.port is None:
        raise InputError("the back end board needs a port, such as /dev/ttyUSB0, or simulation")
    return open_board(
        opening.port,
        opening.config,
        baud=opening.baud,
        cache=opening.cache,
        on_phase=opening.on_phase,
    )


#: What opens each back end.
_OPENERS: dict[str, Callable[[_Opening], Accelerator]] = {
    "golden": lambda opening: GoldenAccelerator(opening.known_config),
    "cycle": lambda opening: CycleAccelerator(opening.known_config),
    "rtl": _open_rtl,
    "board": _open_board,
}
#: Names of the back ends.
BACK_ENDS = tuple(_OPENERS)


def open_accelerator(
    back_end: str,
    config: AcceleratorConfig | None,
    *,
    cache: Path = SIMULATORS,
    port: str | None = None,
    baud: int | None = None,
    on_phase: Callable[[str], None] | None = None,
) -> Accelerator:
    """Open an accelerator by its back end's name.

    Parameters
    ----------
    back_end
        One of `BACK_ENDS`.
    config
        The accelerator; None stands for what a board says of itself, for ``board``.
    cache
        Folder of compiled simulators, for ``rtl`` and a simulated board.
    port, baud
        Of `tritforge.sim.board_accelerator.open_board`, for ``board``.
    on_phase
        Called with what is done next when it takes seconds: preparing the simulator.

    Raises
    ------
    InputError
        No such back end, a cache that cannot be written, no port, or a board with another configuration.
    MissingToolError
        What builds the simulator, or speaks to a port, is missing.
    SimulationError
        The simulator cannot be built or started.
    BoardError
        Nothing answers at the port.
    """
    if back_end not in _OPENERS:
        raise InputError(f"no back end is called {back_end!r}; there are {', '.join(BACK_ENDS)}")
    return _OPENERS[back_end](_Opening(config=config, cache=cache, port=port, baud=baud, on_phase=on_phase))
