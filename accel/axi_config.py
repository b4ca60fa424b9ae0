"""The bus side of an accelerator behind AXI."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.control_config import ControlConfig
from tritforge.accel.errors import InputError
from tritforge.accel.parameters import check_flag, check_names, check_ranges, is_power_of_two

#: Widths of the data of an AXI4 master, in bits.
DATA_BITS = (32, 512)
_RANGES = {
    "address_bits": (32, 64),
    "burst_beats": (2, 256),
    "outstanding": (1, 16),
    "queue_depth": (2, 16),
}


@dataclass(frozen=True, kw_only=True)
class AxiConfig:
    """Parameters of the AXI side; the widths of its data are those of the accelerator's ports.

    Attributes
    ----------
    address_bits
        Width of a byte address in memory.
    burst_beats
        Longest burst, a power of two: AXI4 allows 256 beats.
    outstanding
        Reads that may be under way at a time; as many bursts fit into the read buffer.
    queue_depth
        Jobs that wait for the core.
    write_master
        Whether results are written to memory, in place of a stream.

    Raises
    ------
    InputError
        A parameter out of its bounds.
    """

    address_bits: int = 32
    burst_beats: int = 64
    outstanding: int = 4
    queue_depth: int = 4
    write_master: bool = False

    def __post_init__(self) -> None:
        check_ranges(self, _RANGES)
        if not is_power_of_two(self.burst_beats):
            raise InputError(f"burst_beats is {self.burst_beats}; a power of two up to 256 is needed")
        check_flag("write_master", self.write_master)

    @property
    def control(self) -> ControlConfig:
        """Parameters of the registers and the job queue behind AXI."""
        return ControlConfig(
            address_bits=self.address_bits,
            queue_depth=self.queue_depth,
            results="memory" if self.write_master else "stream",
        )

    def check(self, config: AcceleratorConfig) -> None:
        """Refuse an accelerator that cannot stand behind AXI masters.

        Raises
        ------
        InputError
            A sparse configuration, or a port that is no AXI data width of a master.
        """
        if config.sparse:
            raise InputError("sparse is true; the AXI top runs dense jobs: use the stream core for columns")
        ports = ["weight_port_bits", *(["result_port_bits"] if self.write_master else [])]
        for name in ports:
            value = getattr(config, name)
            if not DATA_BITS[0] <= value <= DATA_BITS[1]:
                raise InputError(
                    f"{name} is {value}; the AXI masters take {DATA_BITS[0]} to {DATA_BITS[1]} bits"
                )

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "AxiConfig":
        """Build from parameters by name, the others being the defaults.

        Raises
        ------
        InputError
            An unknown parameter or one out of bounds.
        """
        check_names(cls, values, what="AXI parameter")
        return cls(**values)
