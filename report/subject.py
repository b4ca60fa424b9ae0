"""What a page is about: a model, an accelerator, and what runs where."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from tritforge.accel.config import AcceleratorConfig
from tritforge.energy.devices import check_number
from tritforge.energy.scenario import Scenario
from tritforge.models.shapes import ModelShape, resolve_shape
from tritforge.report.recorded import Recorded, recorded
from tritforge.rtl.boards import BOARDS

#: Clock where none is given or recorded, as of `tritforge generate`.
ASSUMED_MHZ = 200.0
#: Bytes a second of a memory where none is given: 32 bits, 3,200 million transfers a second, an LPDDR4-3200.
ASSUMED_MEMORY = (32 / 8 * 3200e6, "LPDDR4-3200 of 32 bits, assumed")


@dataclass(frozen=True, kw_only=True)
class Rate:
    """A number that figures rest on, and where it is from."""

    value: float
    source: str


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A model on an accelerator.

    Attributes
    ----------
    model
        What the user calls it.
    shape
        Its shape.
    config_name, settings
        Preset or file as the user calls it, and replaced parameters as typed: for the commands of the page.
    config
        The accelerator.
    context
        Tokens of a prompt, and positions that a decoded token sees.
    kv_bits
        Width of a cached key or value.
    dram
        Type of memory that the energy is of.
    clock_mhz, bandwidth_gbs
        Given, or None for what is recorded or assumed.

    Raises
    ------
    InputError
        A number out of its bounds.
    """

    model: str
    shape: ModelShape
    config: AcceleratorConfig
    config_name: str = "default"
    settings: tuple[str, ...] = ()
    context: int = 512
    kv_bits: int = 16
    dram: str = "LPDDR4"
    clock_mhz: float | None = None
    bandwidth_gbs: float | None = None

    def __post_init__(self) -> None:
        for name in ("clock_mhz", "bandwidth_gbs"):
            value = getattr(self, name)
            if value is not None:
                check_number(name, value)
        self.scenario("prefill")

    @classmethod
    def of(cls, model: str, config: AcceleratorConfig, **options: Any) -> "Subject":
        """Resolve a model by its name or path.

        Raises
        ------
        InputError
            There is no such model, or an option out of its bounds.
        """
        return cls(model=model, shape=resolve_shape(model), config=config, **options)

    def scenario(self, phase: str) -> Scenario:
        """Return the scenario of the energy's hardware accounting in a phase."""
        return Scenario(
            config=self.config, phase=phase, context=self.context, kv_bits=self.kv_bits, dram=self.dram
        )

    @property
    def block(self) -> int:
        """Tokens of a prefill that share a pass over the weights."""
        return min(self.context, self.config.tokens_max)

    @cached_property
    def recorded(self) -> Recorded | None:
        """What the repository has measured of this configuration."""
        return recorded(self.config)

    @property
    def clock(self) -> Rate:
        """Clock in MHz."""
        if self.clock_mhz is not None:
            return Rate(value=self.clock_mhz, source="given")
        if self.recorded is not None and self.recorded.fmax_mhz is not None:
            wanted = min(self.recorded.clock_mhz, self.recorded.fmax_mhz)
            board = self.recorded.board is not None
            return Rate(
                value=wanted if board else self.recorded.fmax_mhz,
                source=f"{'of the board, met' if board else 'median'} after place and route on {self.recorded.part}",
            )
        return Rate(value=ASSUMED_MHZ, source="assumed; nothing routed is on record")

    @property
    def memory(self) -> Rate:
        """Bytes a second of where weights that are not on the chip come from."""
        if self.bandwidth_gbs is not None:
            return Rate(value=self.bandwidth_gbs * 1e9, source="memory of the bandwidth given")
        if self.recorded is not None and self.recorded.board is not None:
            board = BOARDS[self.recorded.board]
            # Ten symbols carry a byte.
            return Rate(value=board.baud / 10, source=f"serial port of the board, {board.baud:,} baud")
        return Rate(value=ASSUMED_MEMORY[0], source=ASSUMED_MEMORY[1])

    @property
    def arguments(self) -> str:
        """Model and configuration as a command takes them."""
        return " ".join(["--model", quoted(self.model), self.config_arguments])

    @property
    def config_arguments(self) -> str:
        """The configuration as a command takes it."""
        return " ".join(
            ["--config", quoted(self.config_name), *(f"--set {quoted(each)}" for each in self.settings)]
        )


def quoted(text: str) -> str:
    """Return a word as a shell takes it."""
    from shlex import quote

    return quote(text)
