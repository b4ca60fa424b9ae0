"""Devices that models run on, each given by three numbers: bandwidth, arithmetic rate and memory."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tritforge.accel.errors import InputError
from tritforge.energy.records import read_table

#: Whether the numbers were read in their source, in a secondary copy, are recalled or were typed in.
STATUSES = ("verified", "secondary", "recalled", "typed")

_NUMBERS = ("bandwidth_gbs", "rate_tops", "memory_gb")
#: Bounds of a device's numbers, far beyond any that exists: what is computed from them stays finite.
LEAST, MOST = 1e-9, 1e12

#: Source of a device that somebody typed.
TYPED = "numbers given by the user"


@dataclass(frozen=True, kw_only=True)
class Device:
    """A device by its peaks; nothing runs faster than these allow.

    Attributes
    ----------
    name
        Name that it is chosen by.
    bandwidth_gbs
        Memory bandwidth in 1e9 bytes per second.
    rate_tops
        Operations in 1e12 per second; a multiply-accumulate is two, and so is a ternary add-accumulate.
    memory_gb
        Memory in 1e9 bytes.
    source, status, note
        Where the numbers are from, one of `STATUSES`, and what else a reader should know.

    Raises
    ------
    InputError
        A number out of its bounds, or no source.
    """

    name: str
    bandwidth_gbs: float
    rate_tops: float
    memory_gb: float
    source: str = TYPED
    status: str = "typed"
    note: str = ""

    def __post_init__(self) -> None:
        for field in _NUMBERS:
            check_number(f"device {self.name!r}: {field}", getattr(self, field))
        if self.status not in STATUSES:
            raise InputError(
                f"device {self.name!r}: status is {self.status!r}; it must be one of {', '.join(STATUSES)}"
            )
        if not self.source.strip():
            raise InputError(f"device {self.name!r} has no source; name the document that it is from")

    @property
    def memory_bytes(self) -> float:
        """Memory in bytes."""
        return self.memory_gb * 1e9


def check_number(name: str, value: object) -> None:
    """Refuse what is no number of a device.

    Raises
    ------
    InputError
        It is no number, or out of `LEAST` to `MOST`.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not LEAST <= value <= MOST:
        raise InputError(f"{name} is {value!r}; a number from {LEAST:g} to {MOST:g} is needed")


def read_devices(path: Path) -> dict[str, Device]:
    """Read a file of devices: CSV with the fields of `Device` as columns.

    Raises
    ------
    InputError
        The file cannot be read, or a device is wrong or there twice.
    """
    return read_table(path, Device, what="device", key="name", numbers=_NUMBERS)


@cache
def all_devices() -> Mapping[str, Device]:
    """Return the devices that come with the package, by name."""
    return read_devices(Path(__file__).parent / "data" / "devices.csv")


def find_device(name: str) -> Device:
    """Look up a device.

    Raises
    ------
    InputError
        There is none of that name.
    """
    devices = all_devices()
    if name not in devices:
        raise InputError(
            f"no device is called {name!r}; there are {', '.join(devices)}, "
            "or give --bandwidth, --rate and --memory"
        )
    return devices[name]
