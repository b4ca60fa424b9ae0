"""Streams of bytes to a board: what the link's protocol is spoken over, whatever carries it."""

from abc import ABC, abstractmethod
from contextlib import suppress
from os import strerror
from types import TracebackType
from typing import Any, Self

from tritforge.accel.errors import BoardError, InputError, MissingToolError

#: Bits that a byte takes on the line: start, eight of data, stop.
BITS_PER_CHARACTER = 10
#: Seconds that bytes may lie in drivers and USB adapters on the way there and back. FTDI's adapters hold received
#: bytes for up to 16 ms unless told otherwise (AN232B-04, latency timer); a busy machine adds its own.
SERIAL_LATENCY = 0.2
BAUD_RANGE = (1200, 12_000_000)


class ByteStream(ABC):
    """A stream of bytes in each direction, with time-outs; a context manager, at whose end it is closed.

    Seconds are those of the stream: of a simulated line they are simulated ones.

    Attributes
    ----------
    name
        What it is called in messages.
    character_seconds
        Time that a byte takes on the line.
    latency_seconds
        What an answer may take on top, there and back.
    """

    name: str
    character_seconds: float
    latency_seconds: float

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    @abstractmethod
    def write(self, data: bytes) -> None:
        """Send bytes; they need not have arrived on return.

        Raises
        ------
        BoardError
            The stream is gone.
        """

    @abstractmethod
    def read(self, count: int, seconds: float) -> bytes:
        """Return the next bytes, as soon as there are `count` of them, or those that came when the time is over.

        Raises
        ------
        BoardError
            The stream is gone.
        """

    @abstractmethod
    def close(self) -> None:
        """Give it back; closing again does nothing."""


class SerialStream(ByteStream):
    """A serial port, or whatever else pyserial has a URL for: ``socket://host:7000`` is a TCP connection.

    Parameters
    ----------
    port
        Such as ``/dev/ttyUSB0`` or ``COM3``.
    baud
        Symbols a second; that of the board's link.
    latency_seconds
        As of `ByteStream`.

    Raises
    ------
    InputError
        A speed out of its bounds, or no such port.
    MissingToolError
        pyserial is missing.
    """

    def __init__(self, port: str, *, baud: int, latency_seconds: float = SERIAL_LATENCY) -> None:
        if not BAUD_RANGE[0] <= baud <= BAUD_RANGE[1]:
            raise InputError(f"baud is {baud}; {BAUD_RANGE[0]} to {BAUD_RANGE[1]} is needed")
        try:
            import serial
        except ImportError as error:
            raise MissingToolError(
                'a board needs pyserial: pip install "tritforge[board]", or pip install pyserial'
            ) from error
        self.name = port
        self.character_seconds = BITS_PER_CHARACTER / baud
        self.latency_seconds = latency_seconds
        self._gone = serial.SerialException
        try:
            self._port: Any = serial.serial_for_url(port, baudrate=baud, timeout=latency_seconds)
        except (serial.SerialException, ValueError) as error:
            number = getattr(error, "errno", None)
            reason = str(error) if number is None else strerror(number)
            raise InputError(
                f"cannot open port {port}: {reason}; python -m serial.tools.list_ports lists the ports there are"
            ) from error

        # On Linux, an adapter then passes on what it received each millisecond; requests wait for their answers, so
        # this is most of the time of short ones. What cannot do it does without.
        with suppress(AttributeError, NotImplementedError, ValueError):
            self._port.set_low_latency_mode(True)

    def write(self, data: bytes) -> None:
        try:
            self._port.write(data)
        except self._gone as error:
            raise self._lost(error) from error

    def read(self, count: int, seconds: float) -> bytes:
        # Setting the time-out configures the port anew, which costs system calls.
        if self._port.timeout != seconds:
            self._port.timeout = seconds
        try:
            return bytes(self._port.read(count))
        except self._gone as error:
            raise self._lost(error) from error

    def close(self) -> None:
        self._port.close()

    def _lost(self, error: OSError) -> BoardError:
        return BoardError(f"port {self.name} is gone: {error}; plug the board in and try again")
