"""What an accelerator is built in: logic, memory on the chip and behind it, and a clock, each with its source."""

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from pathlib import Path

from tritforge.accel.errors import InputError
from tritforge.energy.devices import STATUSES, TYPED, check_number
from tritforge.energy.records import read_table

#: Kinds of devices: FPGA families, and a chip of one's own.
FAMILIES = ("ecp5", "xilinx", "asic")
#: Numbers that a device must have, and those that do not bound it where they are missing.
_NEEDED = ("memory_gb", "bandwidth_gbs", "clock_mhz")
_BOUNDS = ("luts", "block_ram_bytes")
#: Where a typed clock is from.
TYPED_CLOCK = "given by the user"


@dataclass(frozen=True, kw_only=True)
class TargetDevice:
    """What an accelerator is built in.

    Attributes
    ----------
    name, title
        What the command line and a reader call it.
    family
        One of `FAMILIES`: whose cells a ``fused`` datapath may instantiate.
    luts, block_ram_bytes
        Logic and memory of the part; None does not bound it.
    memory_gb, bandwidth_gbs, dram
        Memory behind the chip: 1e9 bytes, 1e9 bytes a second, and the technology row that prices its bits.
    clock_mhz, clock_source
        Clock that all configurations are taken to reach, and where it is from.
    source, status, note
        Where the numbers are from, one of `tritforge.energy.devices.STATUSES`, and what else a reader should know.

    Raises
    ------
    InputError
        A number out of its bounds, a name outside its list, or no source.
    """

    name: str
    title: str
    family: str
    memory_gb: float
    bandwidth_gbs: float
    dram: str
    clock_mhz: float
    clock_source: str
    luts: float | None = None
    block_ram_bytes: float | None = None
    source: str = TYPED
    status: str = "typed"
    note: str = ""

    def __post_init__(self) -> None:
        where = f"device {self.name!r}"
        for field in (*_NEEDED, *_BOUNDS):
            value = getattr(self, field)
            if value is None and field in _BOUNDS:
                continue
            check_number(f"{where}: {field}", value)
        for field, allowed in (("family", FAMILIES), ("status", STATUSES)):
            if getattr(self, field) not in allowed:
                raise InputError(
                    f"{where}: {field} is {getattr(self, field)!r}; it must be one of {', '.join(allowed)}"
                )
        for field in ("source", "clock_source", "dram"):
            if not getattr(self, field).strip():
                raise InputError(f"{where} has no {field}; name it")

    @property
    def hertz(self) -> float:
        """The clock."""
        return self.clock_mhz * 1e6

    @property
    def bytes_per_second(self) -> float:
        """The memory's bandwidth."""
        return self.bandwidth_gbs * 1e9

    @property
    def fused_target(self) -> str | None:
        """Target of a ``fused`` datapath in it, or None where it has no cells for one."""
        return None if self.family == "asic" else self.family


def read_target_devices(path: Path) -> dict[str, TargetDevice]:
    """Read a file of devices: CSV with the fields of `TargetDevice` as columns, numbers that do not bound left empty.

    Raises
    ------
    InputError
        The file cannot be read, or a device is wrong or there twice.
    """
    return read_table(path, TargetDevice, what="device", key="name", numbers=_NEEDED, optional=_BOUNDS)


@cache
def all_target_devices() -> Mapping[str, TargetDevice]:
    """Return the devices that come with the package, by name."""
    return read_target_devices(Path(__file__).parent / "data" / "devices.csv")


def find_target_device(name: str) -> TargetDevice:
    """Look up a device.

    Raises
    ------
    InputError
        There is none of that name; the message has those that come close.
    """
    devices = all_target_devices()
    if name in devices:
        return devices[name]
    close = get_close_matches(name.casefold(), devices, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(close)}?" if close else f"there are {', '.join(devices)}"
    raise InputError(f"no device is called {name!r}; {hint}")
