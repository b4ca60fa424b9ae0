"""Serial ports and sockets as streams of bytes."""

import builtins
import os
import pty
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_link import FakeLink, Memory

from tritforge.accel.errors import BoardError, InputError, MissingToolError
from tritforge.sim.byte_stream import SerialStream
from tritforge.sim.link_protocol import Link


@pytest.fixture
def terminal() -> Iterator[tuple[int, str]]:
    """A pseudo terminal: the board's end, and the name of the host's."""
    board, host = pty.openpty()
    yield board, os.ttyname(host)
    os.close(host)
    os.close(board)


def test_a_read_ends_with_its_bytes_or_with_its_time(terminal: tuple[int, str]) -> None:
    board, name = terminal
    with SerialStream(name, baud=115200) as stream:
        assert stream.name == name
        assert stream.character_seconds == pytest.approx(86.8e-6, rel=1e-3)
        stream.write(b"to the board \x00\x11\x13\xff\r\n")
        assert os.read(board, 100) == b"to the board \x00\x11\x13\xff\r\n"
        os.write(board, b"and back\x03\x04\r")
        assert stream.read(4, 5) == b"and "
        assert stream.read(7, 5) == b"back\x03\x04\r"
        start = time.monotonic()
        os.write(board, b"ab")
        assert stream.read(3, 0.1) == b"ab"
        assert 0.1 <= time.monotonic() - start < 2


def test_the_protocol_runs_over_a_socket() -> None:
    memory, server = Memory(100), socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        connection, _ = server.accept()
        link = FakeLink(memory)
        with connection:
            while data := connection.recv(100):
                connection.sendall(b"".join(link.take(byte) for byte in data))

    thread = threading.Thread(target=serve)
    thread.start()
    with server, SerialStream(f"socket://127.0.0.1:{server.getsockname()[1]}", baud=9600) as stream:
        link = Link(stream)
        link.write(8, bytes(range(40)))
        assert link.read(8, 40) == bytes(range(40))
        assert link.counts.retries == 0
    thread.join(10)
    assert not thread.is_alive()
    assert len(memory.log) == 10


def test_a_port_that_goes_away_is_one_error() -> None:
    server = socket.create_server(("127.0.0.1", 0))
    name = f"socket://127.0.0.1:{server.getsockname()[1]}"
    with server, SerialStream(name, baud=115200) as stream:
        connection, _ = server.accept()
        connection.close()
        with pytest.raises(BoardError) as caught:
            stream.read(1, 5)
    assert (
        str(caught.value)
        == f"port {name} is gone: read failed: socket disconnected; plug the board in and try again"
    )


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("nowhere", "No such file or directory"),
        ("/dev/null", "Could not configure port: (25, 'Inappropriate ioctl for device')"),
        ("ftp://nowhere", "invalid URL, protocol 'ftp' not known"),
    ],
)
def test_no_such_port_is_bad_input(name: str, reason: str) -> None:
    with pytest.raises(InputError) as caught:
        SerialStream(name, baud=115200)
    assert str(caught.value) == (
        f"cannot open port {name}: {reason}; python -m serial.tools.list_ports lists the ports there are"
    )


@pytest.mark.parametrize("baud", [0, 1199, 12_000_001])
def test_a_speed_out_of_its_bounds_is_bad_input(baud: int, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        SerialStream(str(tmp_path), baud=baud)
    assert str(caught.value) == f"baud is {baud}; 1200 to 12000000 is needed"


def test_without_pyserial_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def missing(name: str, *rest: object) -> object:
        if name == "serial":
            raise ImportError(name)
        return real(name, *rest)  # type: ignore[arg-type]

    monkeypatch.delitem(sys.modules, "serial", raising=False)
    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(MissingToolError) as caught:
        SerialStream("/dev/ttyUSB0", baud=115200)
    assert str(caught.value) == (
        'a board needs pyserial: pip install "tritforge[board]", or pip install pyserial'
    )
