"""The control side of a top: its registers and its queue of jobs. Imports neither Amaranth nor NumPy."""

from dataclasses import dataclass

from tritforge.accel.errors import InputError
from tritforge.accel.parameters import check_choice, check_ranges, is_power_of_two

#: Where results go: out of a stream; into memory, a row of ``Y[T, M]`` for each token; into a store on the chip, in
#: the order of the stream.
RESULTS = ("stream", "memory", "store")
#: Job numbers in the registers are modulo this, and as many jobs at most are under way.
NUMBERS = 16
_RANGES = {
    "address_bits": (8, 64),
    "queue_depth": (1, NUMBERS),
    "in_flight": (2, NUMBERS),
    "activation_store_bytes": (0, 1 << 31),
    "result_store_bytes": (0, 1 << 31),
}


@dataclass(frozen=True, kw_only=True)
class ControlConfig:
    """Parameters of registers and job queue.

    Attributes
    ----------
    address_bits
        Width of a byte address of weights and results.
    queue_depth
        Jobs that may wait for the core.
    in_flight
        Jobs that may be started and not completed, those that wait included; a power of two.
    results
        Where results go, one of `RESULTS`.
    activation_store_bytes, result_store_bytes
        Sizes of stores on the chip that the host fills and empties; 0 where streams or memories are in their place.

    Raises
    ------
    InputError
        A parameter out of its bounds.
    """

    address_bits: int = 32
    queue_depth: int = 4
    in_flight: int = NUMBERS
    results: str = "stream"
    activation_store_bytes: int = 0
    result_store_bytes: int = 0

    def __post_init__(self) -> None:
        check_ranges(self, _RANGES)
        if not is_power_of_two(self.in_flight):
            raise InputError(f"in_flight is {self.in_flight}; a power of two up to {NUMBERS} is needed")
        if self.queue_depth > self.in_flight:
            raise InputError(
                f"queue_depth is {self.queue_depth}; it must not exceed the {self.in_flight} jobs in flight"
            )
        check_choice("results", self.results, RESULTS)
