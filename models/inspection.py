"""What a checkpoint's matrices are made of: shares of the trits, entropy, empty rows and columns, scales, memory."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from math import log2
from typing import Any

import numpy as np

from tritforge.accel.codes import WORDS
from tritforge.models.base3 import TRITS_PER_BYTE
from tritforge.models.gguf_blocks import BLOCK, BLOCK_BYTES
from tritforge.models.reader import CheckpointReader, counting, summary
from tritforge.models.ternary import TernaryMatrix

#: Bits that a packing spends on a weight, scales that belong to its blocks included. i2, s5 and s8 are the
#: accelerator's (`tritforge.accel.codes`); base3 is the project's own file; GGUF's blocks are those of
#: `tritforge.models.gguf_blocks`.
PACKING_BITS: dict[str, Fraction] = {
    **{packing: Fraction(bits, trits) for packing, (trits, bits) in WORDS.items()},
    "base3": Fraction(8, TRITS_PER_BYTE),
    **{kind.lower(): Fraction(8 * size, BLOCK) for kind, size in BLOCK_BYTES.items()},
}
#: Packings whose bits hold the scales.
_WITH_SCALES = frozenset({"tq1_0", "tq2_0"})
_SCALE_BYTES = 4
#: Bytes of a number of embedding, LM head and norms, as checkpoints are published: bfloat16.
_FLOAT_BYTES = 2


def entropy(counts: Iterable[int]) -> float:
    """Return the entropy in bits of a symbol that occurs with these counts."""
    found = [count for count in counts if count]
    total = sum(found)
    return sum(count / total * log2(total / count) for count in found)


@dataclass(frozen=True, kw_only=True)
class MatrixFigures:
    """One ternary matrix.

    Attributes
    ----------
    name
        Its full name.
    m, k
        Outputs and inputs.
    negative, zero, positive
        How many weights are -1, 0, +1.
    zero_rows, zero_columns
        Outputs and inputs all of whose weights are 0.
    scales
        How many scales it has.
    scale_low, scale_mean, scale_high
        Smallest, mean and largest of them.
    scale_kind
        What they do, see `tritforge.models.ternary.TernaryMatrix`.
    """

    name: str
    m: int
    k: int
    negative: int
    zero: int
    positive: int
    zero_rows: int
    zero_columns: int
    scales: int
    scale_low: float
    scale_mean: float
    scale_high: float
    scale_kind: str

    @property
    def kind(self) -> str:
        """Its name within a layer, such as ``mlp.up_proj``."""
        return self.name.split(".", 3)[3]

    @property
    def layer(self) -> int:
        """Its layer."""
        return int(self.name.split(".", 3)[2])

    @property
    def weights(self) -> int:
        """Number of weights."""
        return self.m * self.k

    @property
    def shares(self) -> tuple[float, float, float]:
        """Shares of -1, 0 and +1."""
        return self.negative / self.weights, self.zero / self.weights, self.positive / self.weights

    @property
    def entropy(self) -> float:
        """Bits a weight that no packing of independent weights goes below."""
        return entropy((self.negative, self.zero, self.positive))

    def to_dict(self) -> dict[str, Any]:
        """Return the figures, fit for JSON."""
        return asdict(self) | {"entropy_bits": self.entropy}

    @classmethod
    def of(cls, name: str, matrix: TernaryMatrix) -> "MatrixFigures":
        """Count a matrix."""
        codes, scales = matrix.codes, matrix.scale_grid
        nonzero, negative = int(np.count_nonzero(codes)), int(np.count_nonzero(codes < 0))
        return cls(
            name=name,
            m=matrix.m,
            k=matrix.k,
            negative=negative,
            zero=codes.size - nonzero,
            positive=nonzero - negative,
            zero_rows=matrix.m - int(np.count_nonzero(codes.any(axis=1))),
            zero_columns=matrix.k - int(np.count_nonzero(codes.any(axis=0))),
            scales=scales.size,
            scale_low=float(scales.min()),
            scale_mean=float(scales.mean(dtype=np.float64)),
            scale_high=float(scales.max()),
            scale_kind=matrix.scale_kind,
        )


@dataclass(frozen=True, kw_only=True)
class PackingFigures:
    """What a model takes in one packing; rows that a packing fills up are not counted.

    Attributes
    ----------
    packing
        A name of `PACKING_BITS`, or ``entropy`` for the bound.
    bits_per_weight
        Of a ternary weight.
    matrix_bytes, scale_bytes, float_bytes
        Of the ternary weights, of their scales where they lie apart (float32), and of embedding, LM head and norms
        (bfloat16).
    """

    packing: str
    bits_per_weight: float
    matrix_bytes: int
    scale_bytes: int
    float_bytes: int

    @property
    def total_bytes(self) -> int:
        """All of it."""
        return self.matrix_bytes + self.scale_bytes + self.float_bytes

    def to_dict(self) -> dict[str, Any]:
        """Return the figures, fit for JSON."""
        return asdict(self) | {"total_bytes": self.total_bytes}


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """What was found in a checkpoint.

    Attributes
    ----------
    source
        Path, format, configuration and notes, as of `tritforge.models.reader.summary`.
    matrices
        Figures of each matrix, in the order that they are used in.
    float_numbers
        Numbers in embedding, LM head and norms.
    """

    source: dict[str, Any]
    matrices: tuple[MatrixFigures, ...]
    float_numbers: int

    @property
    def counts(self) -> tuple[int, int, int]:
        """Weights of -1, 0 and +1 in all matrices."""
        return (
            sum(matrix.negative for matrix in self.matrices),
            sum(matrix.zero for matrix in self.matrices),
            sum(matrix.positive for matrix in self.matrices),
        )

    @property
    def weights(self) -> int:
        """Number of ternary weights."""
        return sum(self.counts)

    @property
    def entropy(self) -> float:
        """Bits a weight, each matrix with its own shares."""
        return sum(matrix.entropy * matrix.weights for matrix in self.matrices) / self.weights

    @property
    def kinds(self) -> dict[str, list[MatrixFigures]]:
        """Matrices of all layers by their name within a layer."""
        groups: dict[str, list[MatrixFigures]] = {}
        for matrix in self.matrices:
            groups.setdefault(matrix.kind, []).append(matrix)
        return groups

    @property
    def packings(self) -> list[PackingFigures]:
        """Memory in every packing, and at the entropy."""
        scales = sum(matrix.scales for matrix in self.matrices) * _SCALE_BYTES
        bits: dict[str, Fraction] = PACKING_BITS | {"entropy": Fraction(self.entropy)}
        return [
            PackingFigures(
                packing=packing,
                bits_per_weight=float(per_weight),
                matrix_bytes=-int(-self.weights * per_weight // 8),
                scale_bytes=0 if packing in _WITH_SCALES else scales,
                float_bytes=self.float_numbers * _FLOAT_BYTES,
            )
            for packing, per_weight in bits.items()
        ]

    def to_dict(self) -> dict[str, Any]:
        """Return all figures, fit for JSON."""
        negative, zero, positive = self.counts
        return {
            **self.source,
            "matrices": [matrix.to_dict() for matrix in self.matrices],
            "totals": {
                "weights": self.weights,
                "negative": negative,
                "zero": zero,
                "positive": positive,
                "entropy_bits": self.entropy,
                "zero_rows": sum(matrix.zero_rows for matrix in self.matrices),
                "zero_columns": sum(matrix.zero_columns for matrix in self.matrices),
                "float_numbers": self.float_numbers,
            },
            "packings": [packing.to_dict() for packing in self.packings],
        }


def spread(values: Sequence[float]) -> tuple[float, float, float]:
    """Return smallest, mean and largest."""
    return min(values), sum(values) / len(values), max(values)


def inspect(reader: CheckpointReader, *, on_progress: Callable[[int, int], None] | None = None) -> Inspection:
    """Count every matrix of a checkpoint, one at a time.

    Parameters
    ----------
    reader
        The checkpoint.
    on_progress
        Called with weights done and weights in all.

    Raises
    ------
    InputError
        A matrix is damaged.
    """
    advance = counting(reader.weights, on_progress)
    figures = []
    for name in reader.matrices:
        figures.append(MatrixFigures.of(name, reader.matrix(name)))
        advance(figures[-1].weights)
    return Inspection(
        source=summary(reader),
        matrices=tuple(figures),
        float_numbers=reader.float_numbers,
    )
