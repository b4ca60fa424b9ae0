"""How a matrix of any size is cut into what the stores of a board hold: along its rows, and along its inputs."""

from dataclasses import dataclass

from tritforge.accel.codes import RESULT_WORD_BITS
from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.errors import InputError
from tritforge.models.image import image_bytes

_RESULT_BYTES = RESULT_WORD_BITS // 8


@dataclass(frozen=True, kw_only=True)
class StoreLimits:
    """Sizes of a board's stores in bytes.

    Attributes
    ----------
    weights, activations, results
        The stores.
    """

    weights: int
    activations: int
    results: int


@dataclass(frozen=True, kw_only=True)
class Piece:
    """A part of a matrix that is one job's.

    Attributes
    ----------
    rows, inputs
        Which part.
    image_bytes
        Length of its weight image.
    tokens
        Most tokens that one job may have.
    """

    rows: tuple[int, int]
    inputs: tuple[int, int]
    image_bytes: int
    tokens: int

    @property
    def m(self) -> int:
        """Its rows M."""
        return self.rows[1] - self.rows[0]

    @property
    def k(self) -> int:
        """Its inputs K."""
        return self.inputs[1] - self.inputs[0]


def activation_bytes(config: AcceleratorConfig, k: int) -> int:
    """Return what a token's activations take in the store: whole beats."""
    return -(-k // config.acts_per_beat) * config.act_port_bits // 8


def result_bytes(config: AcceleratorConfig, m: int, tokens: int) -> int:
    """Return what a job's results take in the store: whole beats."""
    return -(-m * tokens // config.results_per_beat) * config.result_port_bits // 8


def cut_matrix(config: AcceleratorConfig, limits: StoreLimits, m: int, k: int) -> list[Piece]:
    """Cut a matrix, shape (M, K), into pieces that the stores hold, of nearly the same size.

    The pieces of one slice along K come one behind the other.

    Raises
    ------
    InputError
        No rows or inputs, or a store that does not hold the smallest piece there is.
    """
    for name, value in (("M", m), ("K", k)):
        if value < 1:
            raise InputError(f"{name} is {value}; 1 or more is needed")
    inputs = _part_length(k, config.lanes, _most_inputs(config, limits, k))
    tile = image_bytes(config, config.rows, inputs)
    row_tiles = min(
        limits.weights // tile, config.m_max // config.rows, _most_results(config, limits) // config.rows
    )
    if row_tiles >= 1:
        rows = _part_length(m, config.rows, row_tiles * config.rows)
    else:
        # A bound on M below a row tile: fewer rows than the array has.
        rows = min(m, config.m_max, _most_results(config, limits))
    pieces = []
    for left in range(0, k, inputs):
        right = min(left + inputs, k)
        for top in range(0, m, rows):
            bottom = min(top + rows, m)
            pieces.append(
                Piece(
                    rows=(top, bottom),
                    inputs=(left, right),
                    image_bytes=image_bytes(config, bottom - top, right - left),
                    tokens=_most_tokens(config, limits, bottom - top, right - left),
                )
            )
    return pieces


def _part_length(whole: int, unit: int, most: int) -> int:
    """Return the length of parts as even as they can be: whole units, `most` at most, where there are several."""
    if whole <= most:
        return whole
    if most < unit:
        return most
    units = -(-whole // unit)
    return -(-units // -(-units // (most // unit))) * unit


def _most_inputs(config: AcceleratorConfig, limits: StoreLimits, k: int) -> int:
    """Return the most inputs of which a row tile's weights and a token's activations fit."""
    beat_bytes = config.act_port_bits // 8
    most = min(k, config.k_max, limits.activations // beat_bytes * config.acts_per_beat)
    while most > config.lanes and image_bytes(config, config.rows, most) > limits.weights:
        most = (most - 1) // config.lanes * config.lanes
    if most < 1 or image_bytes(config, config.rows, most) > limits.weights:
        needed = image_bytes(config, config.rows, min(k, config.lanes))
        raise InputError(
            f"the stores hold {limits.weights} bytes of weights and {limits.activations} of activations; "
            f"{needed} and {beat_bytes} are needed for the smallest piece"
        )
    return most


def _most_results(config: AcceleratorConfig, limits: StoreLimits) -> int:
    """Return the most rows of which a token's results fit."""
    most = limits.results // (config.result_port_bits // 8) * config.results_per_beat
    if most < 1:
        raise InputError(
            f"the result store holds {limits.results} bytes; one beat takes {config.result_port_bits // 8}"
        )
    return most


def _most_tokens(config: AcceleratorConfig, limits: StoreLimits, m: int, k: int) -> int:
    """Return the most tokens of a job."""
    by_results = limits.results // (config.result_port_bits // 8) * config.results_per_beat // m
    return min(config.tokens_max, limits.activations // activation_bytes(config, k), by_results)
