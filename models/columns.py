"""The column image: a ternary matrix in the order in which a sparse job asks for its columns."""

import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tritforge.accel.codes import BITS_PER_TRIT, CODES, TRITS, WORDS, value_of
from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.errors import InputError
from tritforge.models.image import HEADER_BYTES, frame, unframe

#: First bytes of a column image, and the version of what follows.
MAGIC = b"tritcol\n"
LAYOUT_VERSION = 1
# Magic, version, packing, rows a beat, beats a column, port, M, K, length of the beats; the CRC-32 comes last.
_HEADER = struct.Struct("<8sHBIIIIIQ")
_PACKINGS = tuple(WORDS)


def row_blocks(config: AcceleratorConfig, m: int) -> int:
    """Row blocks of M output rows."""
    return -(-m // config.column_rows)


def column_bytes(config: AcceleratorConfig) -> int:
    """Bytes of one column of one row block: a burst."""
    return config.column_phases * config.weight_port_bits // 8


def image_bytes(config: AcceleratorConfig, m: int, k: int) -> int:
    """Bytes of the column image of a matrix of M rows and K columns."""
    return row_blocks(config, m) * k * column_bytes(config)


def pack_columns(config: AcceleratorConfig, codes: npt.NDArray[np.int8]) -> bytes:
    """Pack a ternary matrix by columns.

    Row blocks of `column_rows` rows one behind the other; in each, the K columns; in each, `column_phases` beats of
    `column_lanes` trits, packed into words from the low end of a beat. Bits above the last word are 0, and so are the
    trits of rows beyond the matrix. Column k of block b is the ``b * K + k``-th.

    Parameters
    ----------
    config
        Packing and port.
    codes : ndarray, shape (M, K)
        Weights in -1, 0, +1.

    Raises
    ------
    InputError
        Not a matrix, a value that is not ternary, or a shape out of the configuration's bounds.
    """
    codes = np.asarray(codes)
    if codes.ndim != 2:
        raise InputError(f"weights have {codes.ndim} dimensions; a matrix of 2 is needed")
    m, k = codes.shape
    config.check_job(m, k, 1)
    if codes.min() < -1 or codes.max() > 1:
        bad = codes[(codes < -1) | (codes > 1)][0]
        raise InputError(f"weight {bad} is not ternary; -1, 0 or +1 is needed")
    blocks, lanes = row_blocks(config, m), config.column_lanes
    padded = np.zeros((blocks * config.column_rows, k), dtype=np.int8)
    padded[:m] = codes
    beats = padded.reshape(blocks, config.column_phases, lanes, k).transpose(0, 3, 1, 2)

    trits, word_bits = WORDS[config.packing]
    words = -(-lanes // trits)
    filled = np.zeros((*beats.shape[:3], words * trits), dtype=np.int8)
    filled[..., :lanes] = beats
    weights = 3 ** np.arange(trits, dtype=np.int16)
    values = ((filled.reshape(*beats.shape[:3], words, trits) + 1) @ weights).astype(np.uint8)
    table = np.zeros(3**trits, dtype=np.uint8)
    for word_trits, word in CODES[config.packing].items():
        table[value_of(word_trits)] = word
    bits = table[values][..., np.newaxis] >> np.arange(word_bits, dtype=np.uint8) & 1
    image = np.zeros((*beats.shape[:3], config.weight_port_bits // 8), dtype=np.uint8)
    packed = np.packbits(bits.reshape(*beats.shape[:3], -1), axis=-1, bitorder="little")
    image[..., : packed.shape[-1]] = packed
    return image.tobytes()


def unpack_columns(config: AcceleratorConfig, image: bytes, m: int, k: int) -> npt.NDArray[np.int8]:
    """Return the matrix of a column image: the inverse of `pack_columns`.

    Raises
    ------
    InputError
        The image is not as long as the shape asks for, or holds a word that is none of the packing's.
    """
    config.check_job(m, k, 1)
    if len(image) != image_bytes(config, m, k):
        raise InputError(
            f"the column image has {len(image)} bytes; {image_bytes(config, m, k)} are needed for {m} x {k}"
        )
    trits, word_bits = WORDS[config.packing]
    blocks, lanes = row_blocks(config, m), config.column_lanes
    words = -(-lanes // trits)
    beats = np.frombuffer(image, dtype=np.uint8).reshape(blocks, k, config.column_phases, -1)
    bits = np.unpackbits(beats, axis=-1, bitorder="little")[..., : words * word_bits]
    values = bits.reshape(*beats.shape[:3], words, word_bits) @ (1 << np.arange(word_bits, dtype=np.uint8))
    table = np.full((1 << word_bits, trits), 2, dtype=np.int8)
    for word, word_trits in TRITS[config.packing].items():
        table[word] = word_trits
    codes = table[values].reshape(*beats.shape[:3], words * trits)[..., :lanes]
    if (codes > 1).any():
        block, column, beat, _ = np.argwhere(codes > 1)[0]
        raise InputError(
            f"the column image holds an illegal word in beat {beat} of column {column} of row block {block}; "
            "pack the matrix again"
        )
    matrix: npt.NDArray[np.int8] = codes.transpose(0, 2, 3, 1).reshape(-1, k)[:m]
    return matrix


@dataclass(frozen=True, kw_only=True)
class ColumnImage:
    """A matrix packed by columns with all that is needed to read it.

    Attributes
    ----------
    packing
        As of the configuration.
    column_lanes, column_phases
        Rows that a beat of a column holds, and beats of a column.
    weight_port_bits
        Width of a beat.
    m, k
        Shape of the matrix.
    beats
        What the memory answers requests from; see `pack_columns`.
    """

    packing: str
    column_lanes: int
    column_phases: int
    weight_port_bits: int
    m: int
    k: int
    beats: bytes

    @classmethod
    def pack(cls, config: AcceleratorConfig, codes: npt.NDArray[np.int8]) -> "ColumnImage":
        """Pack a ternary matrix, shape (M, K)."""
        m, k = np.shape(codes) if np.ndim(codes) == 2 else (0, 0)
        return cls(**_layout(config), m=m, k=k, beats=pack_columns(config, codes))

    def unpack(self, config: AcceleratorConfig) -> npt.NDArray[np.int8]:
        """Return the matrix.

        Raises
        ------
        InputError
            A parameter of the layout differs from the configuration's, or a word is illegal.
        """
        for name, wanted in _layout(config).items():
            value = getattr(self, name)
            if value != wanted:
                raise InputError(
                    f"the column image has {name} {value} and the configuration {wanted}; pack the matrix again"
                )
        return unpack_columns(config, self.beats, self.m, self.k)

    def to_bytes(self) -> bytes:
        """Return header and beats."""
        return frame(
            _HEADER,
            MAGIC,
            LAYOUT_VERSION,
            _PACKINGS.index(self.packing),
            self.column_lanes,
            self.column_phases,
            self.weight_port_bits,
            self.m,
            self.k,
            beats=self.beats,
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> "ColumnImage":
        """Read header and beats.

        Raises
        ------
        InputError
            No column image, one of another version, or a damaged one.
        """
        (packing, lanes, phases, port, m, k), beats = unframe(
            _HEADER, MAGIC, LAYOUT_VERSION, data, what="column image"
        )
        return cls(
            packing=_PACKINGS[packing],
            column_lanes=lanes,
            column_phases=phases,
            weight_port_bits=port,
            m=m,
            k=k,
            beats=beats,
        )


def _layout(config: AcceleratorConfig) -> dict[str, Any]:
    """Return the parameters that a column image depends on."""
    names = ("packing", "column_lanes", "column_phases", "weight_port_bits")
    return {name: getattr(config, name) for name in names}


@dataclass(frozen=True, kw_only=True)
class ColumnTraffic:
    """What a sparse job reads.

    Attributes
    ----------
    bits
        Bits that the memory sends: whole bursts, padding included, and the image's header.
    ideal_bits
        Non-zero columns x M x bits of a trit.
    requests
        Columns asked for: one address each.
    dense_bits
        Bits of all trits of the matrix, without padding: what no dense job can go below.
    """

    bits: int
    ideal_bits: float
    requests: int
    dense_bits: float

    @property
    def overhead(self) -> float:
        """Bits over ideal bits; infinite where no activation is other than zero."""
        return self.bits / self.ideal_bits if self.ideal_bits else float("inf")


def column_traffic(config: AcceleratorConfig, m: int, k: int, nonzero: int) -> ColumnTraffic:
    """Return what a sparse job with a number of non-zero activations reads.

    Raises
    ------
    InputError
        A shape out of the configuration's bounds, or more non-zero activations than K.
    """
    config.check_job(m, k, 1)
    if not 0 <= nonzero <= k:
        raise InputError(f"non-zero activations are {nonzero}; K = {k} allows 0 to {k}")
    # A token of zeros still asks for one column of each block.
    requests = row_blocks(config, m) * max(1, nonzero)
    per_trit = BITS_PER_TRIT[config.packing]
    return ColumnTraffic(
        bits=(requests * column_bytes(config) + HEADER_BYTES) * 8,
        ideal_bits=nonzero * m * per_trit,
        requests=requests,
        dense_bits=m * k * per_trit,
    )
