"""The control side of a top: its registers and its queue of jobs. Imports neither Amaranth nor NumPy."""

from dataclasses import dataclass

from tritforge.accel.errors import InputError

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
        for name, (low, high) in _RANGES.items():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
                raise InputError(f"{name} is {value!r}; a whole number in {low} to {high} is needed")
        if self.in_flight & (self.in_flight - 1):
            raise InputError(f"in_flight is {self.in_flight}; a power of two up to {NUMBERS} is needed")
        if self.queue_depth > self.in_flight:
            raise InputError(
                f"queue_depth is {self.queue_depth}; it must not exceed the {self.in_flight} jobs in flight"
            )
        if self.results not in RESULTS:
            raise InputError(f"results is {self.results!r}; it must be one of {', '.join(RESULTS)}")
