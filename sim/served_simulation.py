"""A simulator's process that answers requests: the side of who asks."""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from multiprocessing import Pipe
from pathlib import Path
from typing import Any

import numpy.typing as npt

from tritforge.accel.config import AcceleratorConfig
from tritforge.sim.rtl_protocol import receive, send
from tritforge.sim.simulator import Simulation

#: Seconds between two looks at how far a request is.
_LOOK = 0.2
#: Seconds that a process which was told to end, or whose socket closed, is given to do so by itself.
_PATIENCE = 5.0


@dataclass(frozen=True, kw_only=True)
class CompiledDesign:
    """A design with its bench, compiled: what any number of simulators are started from.

    Attributes
    ----------
    config
        The accelerator's configuration.
    folder
        Of `tritforge.sim.simulator.compile_bench`.
    verilog_sha256
        Hash of the Verilog.
    """

    config: AcceleratorConfig
    folder: Path
    verilog_sha256: str


class ServedSimulation(Simulation):
    """A simulator's process that answers requests, one after the other, until it is closed.

    Parameters
    ----------
    compiled
        The design.
    server
        ``module:function`` of what answers; its task has ``socket``, the number of its end of the pair.
    task
        What else it is told.
    trace
        Where to write a waveform; needs a design that was compiled for it.

    Attributes
    ----------
    greeting
        What the process said when it was ready.

    Raises
    ------
    SimulationError
        The simulator does not start.
    """

    def __init__(
        self,
        compiled: CompiledDesign,
        server: str,
        task: Mapping[str, Any] | None = None,
        *,
        trace: Path | None = None,
    ) -> None:
        self._connection, other = Pipe()
        with ExitStack() as undo:
            undo.callback(self._connection.close)
            # The process keeps its end of the pair under the same number. With the copy here closed, the end of
            # either process is the end of the other's waiting.
            with other:
                super().__init__(
                    compiled.folder,
                    server,
                    {"socket": other.fileno(), **(task or {})},
                    config=compiled.config.to_dict(),
                    trace=trace,
                    inherited=(other.fileno(),),
                )
                undo.callback(super().close)
                self.wait_started()
            self.greeting, _ = self.ask({"do": "greet"})
            undo.pop_all()

    def ask(
        self,
        request: Mapping[str, Any],
        array: npt.NDArray[Any] | None = None,
        on_words: Callable[[int], None] | None = None,
    ) -> tuple[dict[str, Any], Any]:
        """Send a request and wait for its answer; without one, close, since it would be taken for the next one's.

        Parameters
        ----------
        request
            What is asked, fit for JSON.
        array
            What goes with it.
        on_words
            Called now and then, until the answer comes, with the number of words that the bench has written.

        Returns
        -------
        tuple of dict and ndarray or None
            The answer, and what goes with it.

        Raises
        ------
        SimulationError
            The process ended.
        """
        self._idle = False
        try:
            send(self._connection, request, array)
            while on_words is not None and not self._connection.poll(_LOOK):
                on_words(self.words_written)
            answer = receive(self._connection)
            self._idle = True
        except (EOFError, OSError) as error:
            self.wait(_PATIENCE)
            raise self.failure() from error
        finally:
            if not self._idle:
                self.close()
        return answer

    def close(self) -> None:
        """Tell the process to end, end it if it has not, and remove its files; closing again does nothing."""
        self._connection.close()
        # In the middle of a request it would compute on until it looks for the next one.
        if self._idle:
            self.wait(_PATIENCE)
        super().close()
