"""The accelerator's weight image: a ternary matrix in the order in which the hardware takes it, and its file."""

import struct
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tritforge.accel.codes import BIAS_WORD_BITS, WORDS
from tritforge.accel.config import NEGATIONS, AcceleratorConfig
from tritforge.accel.errors import InputError
from tritforge.models.packing import ILLEGAL, TRITS_PER_BYTE, pack_tiles, to_bytes, unpack_tiles

#: First bytes of an image, and the version of what follows.
MAGIC = b"tritimg\n"
LAYOUT_VERSION = 1
#: Length of the header: beats behind it stay aligned to ports of up to 512 bits.
HEADER_BYTES = 64
# Magic, version, packing, negation, rows, lanes, positions, port, M, K, length of the beats; the CRC-32 comes last.
_HEADER = struct.Struct("<8sHBBIIIIIIQ")
_CHECKSUM = struct.Struct("<I")
_PACKINGS = tuple(WORDS)
#: Trits that are packed at a time, so that they stay in a processor's cache.
_CHUNK_TRITS = 1 << 18


def frame(header: struct.Struct, magic: bytes, version: int, *values: int, beats: bytes) -> bytes:
    """Return an image's file: magic, layout version, values, length and CRC-32 in `HEADER_BYTES`, then the beats."""
    head = header.pack(magic, version, *values, len(beats)).ljust(HEADER_BYTES - _CHECKSUM.size, b"\0")
    return head + _CHECKSUM.pack(zlib.crc32(beats, zlib.crc32(head))) + beats


def unframe(
    header: struct.Struct, magic: bytes, version: int, data: bytes, *, what: str
) -> tuple[list[Any], bytes]:
    """Return the values and the beats of an image's file: the inverse of `frame`.

    Raises
    ------
    InputError
        No such image, one of another version, or a damaged one.
    """
    if len(data) < HEADER_BYTES:
        raise InputError(f"{len(data)} bytes are no {what}; its header alone takes {HEADER_BYTES}")
    head = data[: HEADER_BYTES - _CHECKSUM.size]
    found_magic, found_version, *values, length = header.unpack_from(head)
    if found_magic != magic:
        raise InputError(f"no {what}: it begins with {found_magic!r}; {magic!r} is needed")
    if found_version != version:
        raise InputError(
            f"the {what} has layout version {found_version}; this version of the program reads {version}"
        )
    beats = data[HEADER_BYTES:]
    if len(beats) != length:
        raise InputError(
            f"the {what} has {len(beats)} bytes of beats and its header says {length}: it is damaged"
        )
    (said,) = _CHECKSUM.unpack_from(data, len(head))
    found = zlib.crc32(beats, zlib.crc32(head))
    if found != said:
        raise InputError(f"the {what} has CRC-32 {found:08x} and its header says {said:08x}: it is damaged")
    return values, beats


@dataclass(frozen=True, kw_only=True)
class WeightImage:
    """A packed matrix with all that is needed to read it.

    Attributes
    ----------
    rows, lanes, positions
        Shape of a tile, and the order of its trits: (position, row, chain).
    packing, negation
        As of the configuration.
    weight_port_bits
        Width of a beat.
    m, k
        Shape of the matrix.
    beats
        What the hardware sees: the beats of the weight stream one behind the other, lowest byte first.
    """

    rows: int
    lanes: int
    positions: int
    packing: str
    negation: str
    weight_port_bits: int
    m: int
    k: int
    beats: bytes

    @classmethod
    def pack(cls, config: AcceleratorConfig, codes: npt.NDArray[np.int8]) -> "WeightImage":
        """Pack a ternary matrix, shape (M, K); see `pack_image`."""
        m, k = np.shape(codes) if np.ndim(codes) == 2 else (0, 0)
        return cls(**_layout(config), m=m, k=k, beats=pack_image(config, codes))

    def unpack(self, config: AcceleratorConfig) -> npt.NDArray[np.int8]:
        """Return the matrix; see `unpack_image`."""
        self.check(config)
        return unpack_image(config, self.beats, self.m, self.k)

    def check(self, config: AcceleratorConfig) -> None:
        """Refuse an image that was packed for another layout than a configuration's.

        Raises
        ------
        InputError
            A parameter of the layout differs.
        """
        for name, wanted in _layout(config).items():
            value = getattr(self, name)
            if value != wanted:
                raise InputError(
                    f"the weight image has {name} {value} and the configuration {wanted}; pack the weights again"
                )

    def to_bytes(self) -> bytes:
        """Return header and beats."""
        return frame(
            _HEADER,
            MAGIC,
            LAYOUT_VERSION,
            _PACKINGS.index(self.packing),
            NEGATIONS.index(self.negation),
            self.rows,
            self.lanes,
            self.positions,
            self.weight_port_bits,
            self.m,
            self.k,
            beats=self.beats,
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> "WeightImage":
        """Read header and beats.

        Raises
        ------
        InputError
            No image, one of another version, or a damaged one.
        """
        (packing, negation, rows, lanes, positions, port, m, k), beats = unframe(
            _HEADER, MAGIC, LAYOUT_VERSION, data, what="weight image"
        )
        if packing >= len(_PACKINGS) or negation >= len(NEGATIONS):
            raise InputError(
                f"the weight image has packing {packing} and negation {negation}; "
                f"{len(_PACKINGS)} and {len(NEGATIONS)} are known"
            )
        return cls(
            rows=rows,
            lanes=lanes,
            positions=positions,
            packing=_PACKINGS[packing],
            negation=NEGATIONS[negation],
            weight_port_bits=port,
            m=m,
            k=k,
            beats=beats,
        )


def _layout(config: AcceleratorConfig) -> dict[str, Any]:
    """Return the parameters that an image depends on."""
    names = ("rows", "lanes", "positions", "packing", "negation", "weight_port_bits")
    return {name: getattr(config, name) for name in names}


def _check_codes(codes: npt.NDArray[np.integer], first_row: int) -> None:
    """Refuse weights that are not ternary; `first_row` is the number of their first row."""
    if codes.dtype == np.int8 and codes.min() >= -1 and codes.max() <= 1:
        return
    wrong = np.argwhere((codes != 0) & (codes != 1) & (codes != -1))
    if not wrong.size:
        return
    row, column = wrong[0]
    raise InputError(
        f"weight {codes[row, column]} at row {first_row + row}, column {column} is not ternary; "
        "-1, 0 or +1 is needed"
    )


def _count_negative(matrix: npt.NDArray[np.int8]) -> npt.NDArray[np.uint16]:
    """Return the number of negative entries of each row, of which there are 32768 at most."""
    if matrix.shape[1] % 8:
        counts: npt.NDArray[np.uint16] = (matrix < 0).sum(axis=1, dtype=np.uint16)
    else:
        signs = matrix.view(np.uint64) & np.uint64(0x8080808080808080)
        counts = np.bitwise_count(signs).sum(axis=1, dtype=np.uint16)
    return counts


def _tile_codes(config: AcceleratorConfig, matrix: npt.NDArray[np.int8]) -> npt.NDArray[np.uint8]:
    """Return the trits of whole tiles in stream order, four a byte, shape (row tiles, tiles, bytes)."""
    chains = config.lanes // config.positions
    if chains % TRITS_PER_BYTE:
        trits = matrix.reshape(-1, config.rows, matrix.shape[1] // config.lanes, config.positions, chains)
        ordered = trits.transpose(0, 2, 3, 1, 4).reshape(len(trits), trits.shape[2], -1)
        whole = np.zeros((*ordered.shape[:2], -(-ordered.shape[2] // 4) * 4), dtype=np.int8)
        whole[..., : ordered.shape[2]] = ordered
        return to_bytes(whole)
    codes = to_bytes(matrix)
    size = chains // TRITS_PER_BYTE
    # As wide elements as there are, so that fewer are moved.
    width = size & -size
    units = codes.view(f"<u{min(width, 8)}")
    parts = units.reshape(
        -1, config.rows, matrix.shape[1] // config.lanes, config.positions, size // min(width, 8)
    )
    ordered_units = np.ascontiguousarray(parts.transpose(0, 2, 3, 1, 4))
    return ordered_units.view(np.uint8).reshape(*ordered_units.shape[:2], -1)


def pack_image(config: AcceleratorConfig, codes: npt.NDArray[np.int8]) -> bytes:
    """Pack a ternary matrix for the weight stream.

    For each row tile: with negation ``bias`` the biases of its rows (counts of -1, 16 bits little-endian, padded to
    whole beats), then its tiles along K, each ``rows x lanes`` trits in the order (position, row, chain) in words of
    the packing (`tritforge.accel.beats` tells where they lie), padded to whole beats. Rows and lanes beyond the
    matrix hold zeros.

    Parameters
    ----------
    config
        Tile, port and packing.
    codes : ndarray, shape (M, K)
        Weights in -1, 0, +1.

    Returns
    -------
    bytes
        The beats one behind the other, lowest byte first.

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
    row_tiles, columns = config.row_tiles(m), config.k_tiles(k) * config.lanes
    beat_bytes = config.weight_port_bits // 8
    bias_bytes = config.bias_beats * beat_bytes
    image = np.zeros(
        (row_tiles, bias_bytes + config.k_tiles(k) * config.tile_beats * beat_bytes), dtype=np.uint8
    )
    step = max(1, _CHUNK_TRITS // (config.rows * columns))
    for low in range(0, row_tiles, step):
        part = codes[low * config.rows : (low + step) * config.rows]
        _check_codes(part, low * config.rows)
        height = config.row_tiles(len(part)) * config.rows
        if part.shape == (height, columns) and part.dtype == np.int8 and part.flags.c_contiguous:
            matrix = part
        else:
            matrix = np.zeros((height, columns), dtype=np.int8)
            matrix[: len(part), :k] = part
        tiles = _tile_codes(config, matrix)
        packed = pack_tiles(config, tiles.reshape(-1, tiles.shape[-1]))
        image[low : low + step, bias_bytes:] = packed.reshape(len(tiles), -1)
        if bias_bytes:
            bias = np.zeros((len(tiles), bias_bytes * 8 // BIAS_WORD_BITS), dtype="<u2")
            bias[:, : config.rows] = _count_negative(matrix).reshape(-1, config.rows)
            image[low : low + step, :bias_bytes] = bias.view(np.uint8)
    return image.tobytes()


def image_bytes(config: AcceleratorConfig, m: int, k: int) -> int:
    """Return the length of the beats of a matrix, shape (M, K)."""
    beats = config.bias_beats + config.k_tiles(k) * config.tile_beats
    return config.row_tiles(m) * beats * (config.weight_port_bits // 8)


def unpack_image(config: AcceleratorConfig, beats: bytes, m: int, k: int) -> npt.NDArray[np.int8]:
    """Unpack a weight image: the inverse of `pack_image`.

    Parameters
    ----------
    config
        Tile, port and packing.
    beats
        The beats.
    m, k
        Shape of the matrix.

    Returns
    -------
    ndarray of int8, shape (M, K)

    Raises
    ------
    InputError
        Another number of bytes than the matrix takes, an illegal word, a weight other than 0 beyond the matrix, or a
        bias that is not the number of its row's -1.
    """
    config.check_job(m, k, 1)
    row_tiles, k_tiles = config.row_tiles(m), config.k_tiles(k)
    beat_bytes = config.weight_port_bits // 8
    bias_bytes = config.bias_beats * beat_bytes
    size = image_bytes(config, m, k)
    if len(beats) != size:
        raise InputError(f"{len(beats)} bytes of beats; a matrix of {m} x {k} takes {size}")
    image = np.frombuffer(beats, dtype=np.uint8).reshape(row_tiles, -1)
    matrix = np.empty((row_tiles * config.rows, k_tiles * config.lanes), dtype=np.int8)
    counts = np.empty(len(matrix), dtype=np.uint16)
    step = max(1, _CHUNK_TRITS // (config.rows * matrix.shape[1]))
    for low in range(0, row_tiles, step):
        part = np.ascontiguousarray(image[low : low + step, bias_bytes:])
        trits = unpack_tiles(config, part.reshape(len(part) * k_tiles, -1))
        rows = matrix[low * config.rows : (low + step) * config.rows]
        _place_tiles(config, trits, rows, low * config.rows)
        if bias_bytes:
            counts[low * config.rows : (low + step) * config.rows] = _count_negative(rows)
    if matrix[m:].any() or matrix[:, k:].any():
        matrix[:m, :k] = 0
        row, column = np.argwhere(matrix)[0]
        raise InputError(
            f"weight {matrix[row, column]} at row {row}, column {column} lies beyond the matrix of {m} x {k}; "
            "0 is needed there"
        )
    if bias_bytes:
        bias = np.ascontiguousarray(image[:, :bias_bytes]).view("<u2")
        found = bias[:, : config.rows].ravel()
        if (found != counts).any():
            row = int(np.argmax(found != counts))
            raise InputError(
                f"the bias of row {row} is {found[row]}; the row has {counts[row]} weights of -1"
            )
    return np.ascontiguousarray(matrix[:m, :k])


def _place_tiles(
    config: AcceleratorConfig, trits: npt.NDArray[np.int8], matrix: npt.NDArray[np.int8], first_row: int
) -> None:
    """Put the unpacked tiles of some row tiles into the rows of a matrix, the first of them `first_row`."""
    chains = config.lanes // config.positions
    count = config.rows * config.lanes
    shape = (
        len(matrix) // config.rows,
        matrix.shape[1] // config.lanes,
        config.positions,
        config.rows,
        chains,
    )
    # As wide elements as there are, so that fewer are moved.
    unit = f"<u{min(chains & -chains, 8)}"
    target = matrix.view(unit).reshape(shape[0], config.rows, shape[1], config.positions, -1)
    target[...] = trits[:, :count].view(unit).reshape(*shape[:4], -1).transpose(0, 3, 1, 2, 4)
    if matrix.max() == ILLEGAL:
        row, column = np.argwhere(matrix == ILLEGAL)[0]
        raise InputError(
            f"the word of the weight at row {first_row + row}, column {column} is illegal in packing "
            f"{config.packing}: the image is damaged"
        )
    if trits[:, count:].any():
        tile = int(np.argwhere(trits[:, count:])[0][0])
        row, column = first_row + tile // shape[1] * config.rows, tile % shape[1] * config.lanes
        raise InputError(
            f"the tile at row {row}, column {column} is followed by words other than 0: the image is damaged"
        )
