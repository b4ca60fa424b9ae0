"""The `board` back end: products on an accelerator behind a link, whose weights lie in its own memory."""

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tritforge.accel.codes import RESULT_WORD_BITS
from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.errors import BoardError, InputError
from tritforge.models.image import pack_image
from tritforge.models.operands import pack_activations, unpack_results
from tritforge.rtl.boards import BOARDS
from tritforge.sim.accelerator import SIMULATORS, Accelerator, LoadedMatrix
from tritforge.sim.byte_stream import ByteStream, SerialStream
from tritforge.sim.device import (
    ACTIVATIONS_BASE,
    RESULTS_BASE,
    WEIGHTS_BASE,
    Device,
    JobAddresses,
    check_config,
)
from tritforge.sim.link_protocol import WORD_BYTES, Link
from tritforge.sim.matrix_pieces import Piece, StoreLimits, cut_matrix, result_bytes
from tritforge.sim.weight_residency import StoreMap

#: The port that stands for a simulated board.
SIMULATION = "simulation"
#: Called with what is done now, how much of it is done and how much there is.
OnProgress = Callable[[str, int, int], None]
_WORDS = np.dtype(f"<i{RESULT_WORD_BITS // 8}")


class BoardAccelerator(Accelerator):
    """Products on an accelerator behind a link.

    A matrix is packed when it is loaded, and sent when it is first used. It stays in the board's weight store until
    others need the room: those used least recently go first. A matrix that exceeds the store, or the bound on K or M,
    runs in pieces; sums of pieces along K are added here, exactly. Cycles are those that the board counts.

    After a `BoardError` the next product brings the board to rest and loads its weights anew.

    Parameters
    ----------
    stream
        The line to the board; closed with the accelerator.
    config
        What the board must be; None takes what it says.
    on_progress
        Called while weights, activations or results are on their way.

    Attributes
    ----------
    device
        The driver.
    link
        The line, with its counts of retries.

    Raises
    ------
    BoardError
        Nothing answers, or something else than an accelerator with stores.
    InputError
        Another configuration than expected.
    """

    name = "board"
    predicted_cycles = False

    def __init__(
        self,
        stream: ByteStream,
        config: AcceleratorConfig | None = None,
        *,
        on_progress: OnProgress | None = None,
    ) -> None:
        self._stream = stream
        self.link = Link(stream)
        self.device = Device(self.link, name=f"the board on {stream.name}")
        if config is not None:
            check_config(self.device.config, config, self.device.name)
        super().__init__(self.device.config)
        control = self.device.control
        if self.config.weight_store != "bram" or not control.activation_store_bytes:
            raise BoardError(f"{self.device.name} has no stores of its own; it cannot be run over a link")
        self.limits = StoreLimits(
            weights=self.config.weight_store_bytes,
            activations=control.activation_store_bytes,
            results=control.result_store_bytes,
        )
        self.on_progress = on_progress
        self._pieces: dict[int, list[Piece]] = {}
        self._images: dict[tuple[int, int], bytes] = {}
        self._weights = StoreMap(self.limits.weights)
        self._sent: bytes | None = None
        self._at_rest = True

    def _count_jobs(self, m: int, k: int, tokens: int) -> int:
        """Return the number of jobs of a product: of all pieces, each of as many as its tokens take."""
        if k << (self.config.act_bits - 1) >= 1 << (RESULT_WORD_BITS - 1):
            most = (1 << RESULT_WORD_BITS - self.config.act_bits) - 1
            raise InputError(
                f"K is {k}; sums over more than {most} inputs do not fit {RESULT_WORD_BITS} bits"
            )
        return sum(-(-tokens // piece.tokens) for piece in cut_matrix(self.config, self.limits, m, k))

    def _load(self, matrix: LoadedMatrix, codes: npt.NDArray[np.int8]) -> None:
        pieces = cut_matrix(self.config, self.limits, matrix.m, matrix.k)
        self._pieces[matrix.number] = pieces
        for index, piece in enumerate(pieces):
            part = codes[slice(*piece.rows), slice(*piece.inputs)]
            self._images[matrix.number, index] = pack_image(self.config, part)

    def _unload(self, matrix: LoadedMatrix) -> None:
        for index in range(len(self._pieces.pop(matrix.number))):
            del self._images[matrix.number, index]
            self._weights.drop((matrix.number, index))

    def _matmul(
        self, matrix: LoadedMatrix, activations: npt.NDArray[np.int8]
    ) -> tuple[npt.NDArray[np.int32], int | None]:
        if not self._at_rest:
            self._forget()
            self.device.prepare()
        self._at_rest = False
        sums = np.zeros((len(activations), matrix.m), dtype=np.int64)
        cycles = 0
        for index, piece in enumerate(self._pieces[matrix.number]):
            inputs = activations[:, slice(*piece.inputs)]
            for start in range(0, len(activations), piece.tokens):
                tokens = slice(start, start + piece.tokens)
                words, took = self._run(matrix.number, index, piece, inputs[tokens])
                sums[tokens, slice(*piece.rows)] += words
                cycles += took
        # Were it reset on the way, its stores would have held something else.
        self.device.check_same()
        self._at_rest = True
        return sums.astype(np.int32), cycles

    def _run(
        self, number: int, index: int, piece: Piece, activations: npt.NDArray[np.int8]
    ) -> tuple[npt.NDArray[np.int32], int]:
        """Run one job; return ``Y[T, M]`` of its piece, and its cycles."""
        tokens = len(activations)
        address = self._place(number, index)
        self._send_activations(pack_activations(self.config, activations))
        job = JobAddresses(m=piece.m, k=piece.k, tokens=tokens, weights=address)
        took = self.device.run(job, limit=self._cycle_limit(piece, tokens))
        length = -(-result_bytes(self.config, piece.m, tokens) // WORD_BYTES) * WORD_BYTES
        data = self.link.read(RESULTS_BASE, length, self._telling("reading results", length))
        words = np.frombuffer(data, dtype=_WORDS)[: piece.m * tokens]
        return unpack_results(self.config, words, piece.m, tokens), took.cycles

    def _place(self, number: int, index: int) -> int:
        """Return where a piece lies in the weight store, having sent it there if it was not."""
        key = number, index
        address = self._weights.find(key)
        if address is None:
            image = self._images[key]
            address = self._weights.place(key, len(image))
            self.link.write(WEIGHTS_BASE + address, image, self._telling("sending weights", len(image)))
        return address

    def _send_activations(self, beats: bytes) -> None:
        """Send a job's activations, unless they are what the store holds."""
        if beats != self._sent:
            self._sent = None
            padded = beats.ljust(-(-len(beats) // WORD_BYTES) * WORD_BYTES, b"\0")
            self.link.write(ACTIVATIONS_BASE, padded, self._telling("sending activations", len(padded)))
            self._sent = beats

    def _cycle_limit(self, piece: Piece, tokens: int) -> int:
        """Return cycles far above what any job needs: 64 for each beat, each token of each tile, and each word."""
        tiles = self.config.row_tiles(piece.m) * self.config.k_tiles(piece.k) * tokens
        beats = piece.image_bytes * 8 // self.config.weight_port_bits + tokens * (piece.k + piece.m)
        return 10_000 + 64 * (beats + tiles)

    def _telling(self, what: str, length: int) -> Callable[[int], None] | None:
        report = self.on_progress
        return None if report is None else lambda done: report(what, done, length)

    def _forget(self) -> None:
        """Take it that the board's stores hold nothing."""
        self._weights.clear()
        self._sent = None

    def _close(self) -> None:
        self._pieces.clear()
        self._images.clear()
        self._stream.close()


def _find(port: str) -> ByteStream:
    """Open a port at the first rate of a known board at which one answers.

    Raises
    ------
    BoardError
        None does.
    """
    rates = sorted({board.baud for board in BOARDS.values()}, reverse=True)
    for rate in rates:
        stream = SerialStream(port, baud=rate)
        try:
            Link(stream, attempts=2)
        except BoardError:
            stream.close()
        else:
            return stream
    raise BoardError(
        f"no board answers on {port} at {' or '.join(str(rate) for rate in rates)} baud; load its bitstream "
        "(tritforge fpga --board NAME makes one), or give another rate with --baud"
    )


def open_board(
    port: str,
    config: AcceleratorConfig | None = None,
    *,
    baud: int | None = None,
    cache: Path = SIMULATORS,
    on_phase: Callable[[str], None] | None = None,
    on_progress: OnProgress | None = None,
) -> BoardAccelerator:
    """Open a board, or simulate one.

    Parameters
    ----------
    port
        As of `tritforge.sim.byte_stream.SerialStream`; ``simulation`` stands for the link top's Verilog in a
        simulator, driven at its UART's pins.
    config
        What the board must be; None takes what it says. A simulated board needs one.
    baud
        Symbols a second of the board's link; None tries those of the known boards (`tritforge.rtl.boards`).
    cache
        Folder of compiled simulators.
    on_phase, on_progress
        Called with what is done next, and with how far it is.

    Raises
    ------
    InputError
        No such port, another configuration than expected, or none to simulate.
    MissingToolError
        pyserial is missing, or what simulates.
    BoardError
        Nothing answers, or something else.
    SimulationError
        The simulator cannot be built or started.
    """
    with ExitStack() as undo:
        stream: ByteStream
        if port == SIMULATION:
            from tritforge.sim.uart_simulation import SimulatedUart, compile_link

            if config is None:
                raise InputError(
                    "a simulated board needs a configuration; give one, such as --config icebreaker"
                )
            stream = SimulatedUart(compile_link(config, cache, on_phase=on_phase))
        else:
            stream = _find(port) if baud is None else SerialStream(port, baud=baud)
        undo.callback(stream.close)
        board = BoardAccelerator(stream, config, on_progress=on_progress)
        undo.pop_all()
    return board
