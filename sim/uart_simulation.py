"""A simulated board: the link top's Verilog in a process of its own, spoken to at its UART's pins.

The bits on the pins are made and read by cocotbext-uart, which knows nothing of this project.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.errors import MissingToolError
from tritforge.rtl.tools import verilator_environment
from tritforge.rtl.verilog import convert
from tritforge.sim.byte_stream import BITS_PER_CHARACTER, ByteStream
from tritforge.sim.served_simulation import CompiledDesign, ServedSimulation
from tritforge.sim.simulator import Bench, compile_bench

if TYPE_CHECKING:
    from tritforge.accel.link_top import LinkTop

BENCH = Path(__file__).with_name("link_bench.sv")
#: The link top's name in the bench.
LINK_NAME = "tritforge_link"
#: Where the simulator's process finds what moves the bytes.
SERVER = "tritforge.sim.uart_server:serve"
#: Clock cycles of a bit: as few as leave a receiver room to look at its middle, so that little is simulated.
DIVISOR = 4
#: The clock's period, in nanoseconds of the simulation.
PERIOD_NS = 2
# State machines have fewer states than their registers have values.
_LINT = "// verilator lint_off CASEINCOMPLETE\n"
#: Characters that an answer may take beyond its own.
_LATENCY_CHARACTERS = 64


@dataclass(frozen=True, kw_only=True)
class CompiledLink(CompiledDesign):
    """A link top with its bench, compiled.

    Attributes
    ----------
    divisor
        Clock cycles of a bit.
    """

    divisor: int


def compile_link(
    config: AcceleratorConfig,
    cache: Path,
    *,
    divisor: int = DIVISOR,
    top: "LinkTop | None" = None,
    trace: bool = False,
    on_phase: Callable[[str], None] | None = None,
) -> CompiledLink:
    """Generate a link top's Verilog and compile its simulator, or find it compiled.

    Parameters
    ----------
    config
        The accelerator.
    cache
        Folder of compiled simulators.
    divisor
        Clock cycles of a bit.
    top
        A top to simulate in place of the one that `config` and `divisor` describe.
    trace
        Whether the simulator can write waveforms.
    on_phase
        Called with what is done next.

    Raises
    ------
    InputError
        A configuration that cannot stand behind the link, or a cache that cannot be written.
    MissingToolError
        cocotbext-uart, Verilator, the compiler, make or perl is missing.
    SimulationError
        The compiler failed.
    """
    from tritforge.accel.link_top import LinkTop

    if find_spec("cocotbext") is None or find_spec("cocotbext.uart") is None:
        raise MissingToolError(
            'a simulated board needs cocotbext-uart: pip install "tritforge[board]", or pip install cocotbext-uart'
        )
    verilator_environment()  # a missing tool ends the work before it says that it has begun
    if on_phase is not None:
        on_phase("preparing the simulated board (compiled once per configuration)")
    generated = convert(top or LinkTop(config, divisor=divisor), name=LINK_NAME)
    bench = Bench(text=_LINT + generated.text, files=(*generated.cell_models, BENCH))
    folder = compile_bench(bench, cache, trace=trace)
    return CompiledLink(config=config, divisor=divisor, folder=folder, verilog_sha256=generated.sha256)


class SimulatedUart(ByteStream):
    """The line to a simulated board; its seconds are simulated, and time passes in `read` alone.

    Parameters
    ----------
    compiled
        Of `compile_link`.
    trace
        Where to write a waveform; needs a link that was compiled for it.

    Attributes
    ----------
    nanoseconds
        Simulated time so far.

    Raises
    ------
    SimulationError
        The simulator does not start.
    """

    def __init__(self, compiled: CompiledLink, *, trace: Path | None = None) -> None:
        self.name = "simulation"
        self.character_seconds = BITS_PER_CHARACTER * compiled.divisor * PERIOD_NS * 1e-9
        self.latency_seconds = _LATENCY_CHARACTERS * self.character_seconds
        task = {"bit_ns": compiled.divisor * PERIOD_NS}
        self._simulation = ServedSimulation(compiled, SERVER, task, trace=trace)
        self.nanoseconds: int = self._simulation.greeting["nanoseconds"]

    def write(self, data: bytes) -> None:
        self._ask({"do": "write"}, np.frombuffer(data, dtype=np.uint8))

    def read(self, count: int, seconds: float) -> bytes:
        data = self._ask({"do": "read", "count": count, "nanoseconds": round(seconds * 1e9)})
        return b"" if data is None else bytes(data)

    def reset(self) -> None:
        """Reset the board, as its button does."""
        self._ask({"do": "reset"})

    def hold(self, characters: float) -> None:
        """Hold the line to the board low: a break."""
        self._ask({"do": "hold", "nanoseconds": round(characters * self.character_seconds * 1e9)})

    def close(self) -> None:
        self._simulation.close()

    def _ask(self, request: Mapping[str, Any], array: npt.NDArray[np.uint8] | None = None) -> Any:
        """Send a request and wait for its answer; return the bytes that come with it."""
        answer, data = self._simulation.ask(request, array)
        self.nanoseconds = answer["nanoseconds"]
        return data
