"""What goes between the job queue and the blocks that fetch weights and store results."""

import enum

from amaranth.lib.data import StructLayout

from tritforge.accel.config import AcceleratorConfig

#: Bits of a job's number: jobs that were taken, counted modulo 16.
NUMBER_BITS = 4
#: Bits of the distance between two tokens' rows in memory, in bytes.
STRIDE_BITS = 32


class Response(enum.IntEnum):
    """How a memory answers, with the codes of RRESP and BRESP in AXI."""

    OKAY = 0
    EXOKAY = 1
    SLVERR = 2
    DECERR = 3


#: Bits of a response.
RESPONSE_BITS = 2


def fetch_layout(config: AcceleratorConfig, address_bits: int) -> StructLayout:
    """Layout of an image to fetch: that of a matrix ``W[M, K]`` which starts at byte `address`.

    `number` is the job's. How many beats the image has follows from `m` and `k`.
    """
    return StructLayout(
        {
            "m": config.m_max.bit_length(),
            "k": config.k_max.bit_length(),
            "address": address_bits,
            "number": NUMBER_BITS,
        }
    )


def load_layout(config: AcceleratorConfig) -> StructLayout:
    """Layout of the activations that a job takes: those of a matrix ``X[T, K]``."""
    return StructLayout({"k": config.k_max.bit_length(), "tokens": config.tokens_max.bit_length()})


def store_layout(config: AcceleratorConfig, address_bits: int) -> StructLayout:
    """Layout of the place of a job's results: word ``Y[t, m]`` lies at byte ``address + stride * t + 4 * m``."""
    return StructLayout(
        {
            "m": config.m_max.bit_length(),
            "tokens": config.tokens_max.bit_length(),
            "address": address_bits,
            "stride": STRIDE_BITS,
            "number": NUMBER_BITS,
        }
    )


def weight_beat_layout(config: AcceleratorConfig) -> StructLayout:
    """Layout of a beat of a weight image; `error` is the memory's `Response` to it."""
    return StructLayout({"data": config.weight_port_bits, "error": RESPONSE_BITS})
