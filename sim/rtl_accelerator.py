"""The `rtl` back end: products on the generated Verilog, in one simulator process while it is open."""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.errors import SimulationError
from tritforge.rtl.gate_netlist import gate_netlist
from tritforge.rtl.tools import verilator_environment
from tritforge.rtl.verilog import GeneratedCore, generate
from tritforge.sim.accelerator import Accelerator, LoadedMatrix
from tritforge.sim.core_cache import cached_core
from tritforge.sim.rtl_protocol import SERVER, ProductRun
from tritforge.sim.served_simulation import CompiledDesign, ServedSimulation
from tritforge.sim.simulator import CORE_NAME, build, locked

if TYPE_CHECKING:
    from tritforge.accel.core import Core


def compile_core(
    config: AcceleratorConfig,
    cache: Path,
    *,
    core: "Core | None" = None,
    gate_level: bool = False,
    trace: bool = False,
    on_phase: Callable[[str], None] | None = None,
) -> CompiledDesign:
    """Generate a core's Verilog and compile its simulator, or find it compiled.

    Parameters
    ----------
    config
        The accelerator.
    cache
        Folder of compiled simulators.
    core
        A core to simulate in place of the one that `config` describes.
    gate_level
        Whether to simulate the core's netlist for ECP5, with the models of its cells, in place of its Verilog.
    trace
        Whether the simulator can write waveforms.
    on_phase
        Called with what is done next.

    Raises
    ------
    InputError
        The cache cannot be written, or there is no gate level of the configuration.
    MissingToolError
        Verilator, the compiler, make or perl is missing; for the gate level Yosys.
    SimulationError
        The compiler or the synthesis failed.
    """
    verilator_environment()  # a missing tool ends the work before it says that it has begun
    say = on_phase or (lambda _phase: None)
    generated: GeneratedCore
    if gate_level:
        say("synthesising for ECP5 (up to a minute; Yosys' first run prepares itself, a minute more)")
        generated = _synthesised(config, cache, core)
    say("preparing the simulator (compiled once per configuration)")
    if not gate_level:
        generated = (
            cached_core(config, cache, name=CORE_NAME)
            if core is None
            else generate(config, name=CORE_NAME, core=core)
        )
    folder = build(generated, cache, trace=trace)
    return CompiledDesign(config=config, folder=folder, verilog_sha256=generated.sha256)


def _synthesised(config: AcceleratorConfig, cache: Path, core: "Core | None") -> GeneratedCore:
    """Return a core's netlist; processes that want the same one make it once."""
    what = f"{sorted(config.to_dict().items())} {type(core).__qualname__}"
    folder = cache / f"netlist-{sha256(what.encode()).hexdigest()[:20]}"
    with locked(folder.with_suffix(".lock")):
        return gate_netlist(config, folder=folder, name=CORE_NAME, core=core)


class RtlAccelerator(Accelerator):
    """Products on the simulated core.

    Weights are packed once, into the image that the bench streams; a product sends its activations and gets the words
    that the core gave. Between products the simulation stands still.

    Parameters
    ----------
    compiled
        Of `compile_core`.
    trace
        Where to write a waveform; needs a core that was compiled for it.

    Raises
    ------
    SimulationError
        The simulator does not start.
    """

    name = "rtl"

    def __init__(self, compiled: CompiledDesign, *, trace: Path | None = None) -> None:
        super().__init__(compiled.config)
        self._simulation = ServedSimulation(compiled, SERVER, trace=trace)

    def product(
        self,
        weights: LoadedMatrix,
        activations: npt.NDArray[np.int8],
        *,
        on_words: Callable[[int], None] | None = None,
    ) -> ProductRun:
        """Run a product whatever the hardware does: words may be missing.

        Parameters
        ----------
        weights
            Of `load`.
        activations : ndarray of int8, shape (T, K)
            Activation codes.
        on_words
            Called now and then, while the product runs, with the number of words that the bench has written.

        Raises
        ------
        InputError
            As of `matmul`.
        SimulationError
            The simulator ended.
        """
        self._check_open()
        self._check_held(weights)
        self._check_activations(weights, activations)
        return self._run(weights, activations, on_words)

    def abort(self) -> None:
        """End the simulator at once, from whatever thread; who waits for a product gets a `SimulationError`."""
        self._simulation.stop()

    def _run(
        self,
        weights: LoadedMatrix,
        activations: npt.NDArray[np.int8],
        on_words: Callable[[int], None] | None = None,
    ) -> ProductRun:
        request = {"do": "multiply", "name": str(weights.number), "m": weights.m}
        answer, words = self._ask(request, activations, on_words)
        return ProductRun(words=words, **answer)

    def _load(self, matrix: LoadedMatrix, codes: npt.NDArray[np.int8]) -> None:
        self._ask({"do": "load", "name": str(matrix.number)}, codes)

    def _unload(self, matrix: LoadedMatrix) -> None:
        self._ask({"do": "unload", "name": str(matrix.number)})

    def _matmul(
        self, matrix: LoadedMatrix, activations: npt.NDArray[np.int8]
    ) -> tuple[npt.NDArray[np.int32], int | None]:
        run = self._run(matrix, activations)
        if run.words is None:
            expected = matrix.m * len(activations)
            why = "and then nothing until the watchdog ended the run" if run.timed_out else "and no more"
            raise SimulationError(
                f"the core sent {run.words_received} of {expected} words of a product, {why}"
            )
        if run.error:
            raise SimulationError(f"the core reported error {run.error} during a product")
        return run.words, run.cycles

    def _ask(
        self,
        request: Mapping[str, Any],
        array: npt.NDArray[Any] | None = None,
        on_words: Callable[[int], None] | None = None,
    ) -> tuple[dict[str, Any], Any]:
        """Send a request and wait for its answer; without one, the accelerator is closed."""
        with ExitStack() as undo:
            undo.callback(self.close)
            answer = self._simulation.ask(request, array, on_words)
            undo.pop_all()
        return answer

    def _close(self) -> None:
        self._simulation.close()
